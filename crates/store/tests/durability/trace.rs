//! What `strace` saw, as events on files. Whatever is not understood stops the test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(crate) enum Event {
    /// The child is about to note something: by now it must be durable.
    Noted(String),
    Opened {
        path: PathBuf,
        truncated: bool,
    },
    Written {
        path: PathBuf,
        offset: usize,
        bytes: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        length: usize,
    },
    Removed {
        path: PathBuf,
    },
    /// What is written from here on is not covered by the sync that ends later.
    SyncStarted {
        path: PathBuf,
        thread: u32,
    },
    SyncEnded {
        thread: u32,
    },
}

/// Reads a whole trace.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut unfinished: HashMap<u32, String> = HashMap::new();
    let mut events = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let (thread, call) = (thread.parse::<u32>().unwrap(), call.trim_start());
        if call.starts_with("+++") || call.starts_with("---") {
            continue;
        }
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            started(begun, thread, &mut events);
            unfinished.insert(thread, begun.to_owned());
        } else if call.starts_with("<...") {
            let begun = unfinished.remove(&thread).unwrap();
            let rest = call.split_once(" resumed>").unwrap().1;
            ended(&format!("{begun}{rest}"), thread, &mut events);
        } else {
            started(call, thread, &mut events);
            ended(call, thread, &mut events);
        }
    }
    events
}

fn name(call: &str) -> &str {
    call.split_once('(').unwrap().0
}

/// The path that `-y` puts behind the first file descriptor.
fn descriptor_path(text: &str) -> PathBuf {
    let path = text.split_once('<').unwrap().1.split_once('>').unwrap().0;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    if path.starts_with("\\x") { String::from_utf8(unescape(path)).unwrap().into() } else { path.into() }
}

fn quoted(text: &str) -> Vec<u8> {
    let inside = text.split_once('"').unwrap().1;
    let (inside, behind) = inside.split_once('"').unwrap();
    assert!(!behind.starts_with("..."), "strace cut a text short");
    unescape(inside)
}

fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

fn started(call: &str, thread: u32, events: &mut Vec<Event>) {
    match name(call) {
        "fsync" | "fdatasync" => events.push(Event::SyncStarted { path: descriptor_path(call), thread }),
        "write" if descriptor_path(call).ends_with("notes") => {
            events.push(Event::Noted(String::from_utf8(quoted(call)).unwrap()));
        }
        _ => (),
    }
}

fn ended(call: &str, thread: u32, events: &mut Vec<Event>) {
    let (arguments, result) = call.rsplit_once(" = ").unwrap();
    if result.starts_with('-') {
        return;
    }
    let arguments = arguments.trim_end().strip_suffix(')').unwrap();
    let last_number = |text: &str| text.rsplit_once(", ").unwrap().1.parse::<usize>().unwrap();
    let event = match name(call) {
        "openat" if arguments.contains("O_CREAT") => {
            Event::Opened { path: descriptor_path(result), truncated: arguments.contains("O_TRUNC") }
        }
        "openat" => {
            assert!(!arguments.contains("O_TRUNC"), "not modelled: {call}");
            return;
        }
        "pwrite64" => {
            let mut bytes = quoted(arguments);
            bytes.truncate(result.parse().unwrap());
            Event::Written { path: descriptor_path(arguments), offset: last_number(arguments), bytes }
        }
        "ftruncate" => Event::Cut { path: descriptor_path(arguments), length: last_number(arguments) },
        "unlink" => Event::Removed { path: String::from_utf8(quoted(arguments)).unwrap().into() },
        "fsync" | "fdatasync" => Event::SyncEnded { thread },
        // The notes, and what the test harness prints.
        "write" => {
            let path = descriptor_path(arguments);
            assert!(!path.to_string_lossy().contains("/store."), "not modelled: a plain write to {path:?}");
            return;
        }
        other => panic!("not modelled: {other}"),
    };
    events.push(event);
}
