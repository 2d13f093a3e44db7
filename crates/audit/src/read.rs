//! Reads every record of a log in order, while it is written or not, and checks the chain on the way.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use crate::disk;
use crate::line::{Kind, Line};
use crate::verify::{Fault, fault};
use crate::walk::{FaultKind, Next, Walker, read_line};

/// How much of what was read can be believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records read.
    pub records: u64,
    /// Records read before the first fault: each is as it was written.
    pub sound: u64,
    /// Lines that are none of this log; they were passed over.
    pub malformed: u64,
    /// The last entry that was checked.
    pub sequence: u64,
    /// The last entry that a signature covers.
    pub signed: u64,
    /// The first thing that is wrong. What came after it was read all the same, without being checked.
    pub first_fault: Option<Fault>,
}

/// Gives every record of the log, from the oldest on, to `visit`: its JSON text. The chain, the signatures and the
/// segments are checked as by [`crate::verify()`], with the key in the log's own directory; an end that is being written
/// is no fault. Holds one line at a time.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub fn read_records(directory: &Path, visit: &mut dyn FnMut(&str)) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let mut walker = match disk::read_public_key(directory)? {
        Some(key) => Some(Walker::at_beginning(key)),
        None => {
            let kind = FaultKind::Unreadable(io::ErrorKind::NotFound);
            reading.first_fault = Some(fault(disk::PUBLIC_KEY_FILE, 0, 1, kind));
            None
        }
    };
    let numbers = disk::segments(directory)?;
    for number in &numbers {
        let name = disk::segment_name(*number);
        let entered = walker.as_mut().map(|walker| (walker.next_sequence(), walker.enter(*number)));
        if let Some((sequence, Err(kind))) = entered {
            reading.stop(&mut walker, fault(&name, 0, sequence, kind));
        }
        let file = File::open(directory.join(&name))?;
        read_segment(&name, file, &mut walker, &mut reading, visit)?;
        let open = walker.as_ref().filter(|walker| !walker.closed).map(Walker::next_sequence);
        if let Some(sequence) = open.filter(|_| Some(number) != numbers.last()) {
            reading.stop(&mut walker, fault(&name, 0, sequence, FaultKind::NotClosed));
        }
    }
    reading.note(walker.as_ref());
    Ok(reading)
}

fn read_segment(
    name: &str,
    file: File,
    walker: &mut Option<Walker>,
    reading: &mut Reading,
    visit: &mut dyn FnMut(&str),
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut buffer = Vec::new();
    for number in 1_u64.. {
        match read_line(&mut reader, &mut buffer)? {
            Next::Line => {}
            // The newest line may be half written.
            Next::End | Next::Fragment => break,
        }
        let checked = walker.as_mut().map(|walker| (walker.next_sequence(), walker.step(&buffer)));
        let line = match checked {
            Some((_, Ok(line))) => Some(line),
            Some((sequence, Err(kind))) => {
                reading.stop(walker, fault(name, number, sequence, kind));
                Line::parse(&buffer)
            }
            None => Line::parse(&buffer),
        };
        let Some(line) = line else {
            reading.malformed = reading.malformed.saturating_add(1);
            continue;
        };
        let Some(record) = record_of(&line) else { continue };
        reading.records = reading.records.saturating_add(1);
        if walker.is_some() {
            reading.sound = reading.sound.saturating_add(1);
        }
        visit(record);
    }
    Ok(())
}

/// The JSON text of a record; none of an entry that is no record.
fn record_of<'a>(line: &Line<'a>) -> Option<&'a str> {
    let Kind::Record { commit } = line.kind else { return None };
    let body = match commit {
        None => line.body,
        Some(_) => line.body.split_once(',')?.1,
    };
    body.strip_prefix("\"record\":")
}

impl Reading {
    /// The first fault ends the checking.
    fn stop(&mut self, walker: &mut Option<Walker>, found: Fault) {
        self.note(walker.take().as_ref());
        self.first_fault.get_or_insert(found);
    }

    fn note(&mut self, walker: Option<&Walker>) {
        if let Some(walker) = walker {
            (self.sequence, self.signed) = (walker.sequence, walker.signed);
        }
    }

    /// Whether every record that was read is as it was written, as far as the log's own key tells.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.first_fault.is_none()
    }
}
