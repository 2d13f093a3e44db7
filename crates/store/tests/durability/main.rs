//! Acknowledged means durable: what the embedded store said it had is there after a crash of any kind.
//!
//! A child process (this binary again) writes as fast as it can and notes each acknowledgement in a file.
//! - Killed at random moments, it loses nothing that it noted.
//! - Traced by `strace`, its system calls are replayed on a model of a disk that keeps only what was synced, and
//!   the store is opened from what such a disk holds at many moments. The same replay with the syncs left out
//!   must lose something, or the test shows nothing.
//! - With syncs and writes that fail (injected by `strace`), it refuses instead of acknowledging.
//!
//! Needs `strace` (`apt-get install strace`) and permission to trace one's own children.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod child;
mod disk;
mod trace;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use child::{Note, verify};
use disk::{Disk, Survivors};
use trace::Event;

/// Of each writer in each session of the replayed run: enough for the log to be moved into the file and started anew.
const COMMITS: u32 = 100;

const CALLS: &str = "trace=openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,write,writev,\
    pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,fsync,fdatasync";

/// This binary as the writing child.
fn child(directory: &Path, commits: u32) -> Vec<String> {
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let variable = format!("{}={}:{commits}", child::VARIABLE, directory.display());
    ["env", &variable, &own, "--ignored", "--exact", "child::writes_until_it_is_done"].map(str::to_owned).to_vec()
}

fn strace(directory: &Path, commits: u32, arguments: &[&str]) {
    let status = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-y", "-xx", "-s", "2000000", "-o"])
        .arg(directory.join("trace"))
        .args(["-e", CALLS])
        .args(arguments)
        .args(child(directory, commits))
        .stdout(Stdio::null())
        .status();
    let status = status.unwrap_or_else(|error| panic!("strace is needed (apt-get install strace): {error}"));
    assert!(status.success(), "the traced child failed");
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let mut random = disk::Random(0x9e37_79b9_7f4a_7c15);
    let directory = tempfile::tempdir().unwrap();
    let mut noted = 0;
    for _ in 0..20 {
        let command = child(directory.path(), 1_000_000);
        let mut running =
            Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 + random.below(120)));
        running.kill().unwrap();
        running.wait().unwrap();
        let notes = Note::read(&directory.path().join("notes"));
        noted = notes.len();
        verify(&directory.path().join("store"), &notes).unwrap();
    }
    assert!(noted > 100, "only {noted} commits in all rounds");
}

#[test]
fn what_was_not_synced_was_not_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    strace(directory.path(), COMMITS, &[]);
    let events = trace::read(&directory.path().join("trace"));
    let store = directory.path().join("store");

    let notes = events.iter().filter(|event| matches!(event, Event::Noted(_))).count();
    let syncs = events.iter().filter(|event| matches!(event, Event::SyncEnded { .. })).count();
    assert_eq!(notes, 2 * COMMITS as usize * usize::from(child::WRITERS) + 2);
    assert!(syncs * 2 < notes, "commits share syncs: {syncs} for {notes}");

    let checked = replay(&events, &store, true).unwrap();
    assert!(checked > 100, "only {checked} crashes were tried");
    let lost = replay(&events, &store, false);
    assert!(lost.is_err(), "without its syncs the store still lost nothing, so this test sees nothing");
}

/// Where a crashed disk is laid out to be read. Its real syncs would cost most of the time, so in memory if possible.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Crashes at many moments of the trace and opens what is left. `syncs`: whether the disk obeys them.
fn replay(events: &[Event], store: &Path, syncs: bool) -> Result<usize, String> {
    let mut random = disk::Random(0x1234_5678_9abc_def1);
    let mut disk = Disk::new(store);
    let mut notes = Vec::new();
    let mut checked = 0;
    let last = events.len() - 1;
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::Noted(text) => notes.extend(Note::parse(text)),
            Event::SyncStarted { .. } | Event::SyncEnded { .. } if !syncs => (),
            other => disk.apply(other),
        }
        // Right after an acknowledgement is when a missing sync shows; in between is when tearing does.
        let chance = if matches!(event, Event::Noted(_)) { 50 } else { 150 };
        if index != last && random.below(chance) != 0 {
            continue;
        }
        for survivors in [Survivors::OnlySynced, Survivors::SomeWrites, Survivors::SomeSectors] {
            let left = scratch();
            disk.after_crash(survivors, &mut random, left.path());
            let found = verify(left.path(), &notes);
            found.map_err(|lost| format!("event {index} of {last}, {survivors:?}: {lost}"))?;
            checked += 1;
        }
    }
    Ok(checked)
}

#[test]
fn a_failed_sync_acknowledges_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    // From the fortieth on, every sync fails: the child must see one round of unknown outcomes, then refusals.
    strace(directory.path(), 60, &["-e", "inject=fdatasync,fsync:error=EIO:when=40+"]);
    let notes = Note::read(&directory.path().join("notes"));
    let count = |wanted: fn(&Note) -> bool| notes.iter().filter(|note| wanted(note)).count();
    assert!(count(|note| matches!(note, Note::Acknowledged { .. })) > 10);
    assert!(count(|note| matches!(note, Note::Unknown)) >= 1);
    assert!(count(|note| matches!(note, Note::Refused)) >= 1);
    let first_bad = notes.iter().position(|note| matches!(note, Note::Refused)).unwrap();
    let mut later = notes[first_bad..].iter().take_while(|note| !matches!(note, Note::Started));
    assert!(!later.any(|note| matches!(note, Note::Acknowledged { .. })), "nothing after the refusals");
    verify(&directory.path().join("store"), &notes).unwrap();
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    strace(directory.path(), 60, &["-e", "inject=pwrite64:error=ENOSPC:when=200..230"]);
    let notes = Note::read(&directory.path().join("notes"));
    let refused = notes.iter().position(|note| matches!(note, Note::Refused));
    let refused = refused.unwrap_or_else(|| panic!("nothing was refused"));
    assert!(!notes.iter().any(|note| matches!(note, Note::Unknown)), "a full disk leaves nothing open");
    assert!(notes[refused..].iter().any(|note| matches!(note, Note::Acknowledged { .. })), "it recovers");
    verify(&directory.path().join("store"), &notes).unwrap();
}
