//! Checks a log with nothing but its files: every line, every hash, every signature, every segment.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use crate::disk;
use crate::line::{Hash, Kind};
use crate::walk::{FaultKind, Next, PublicKey, Walker, read_line};

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name within the directory.
    pub file: String,
    /// The line's number, from 1; 0 if it is about the file as a whole.
    pub line: u64,
    /// The sequence number of the entry that should be there.
    pub sequence: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

pub(crate) fn fault(file: &str, line: u64, sequence: u64, kind: FaultKind) -> Fault {
    Fault { file: file.to_owned(), line, sequence, kind }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, sequence, kind } = self;
        match line {
            0 => write!(formatter, "{file}, at entry {sequence}: {kind}"),
            _ => write!(formatter, "{file}, line {line}, entry {sequence}: {kind}"),
        }
    }
}

/// What a log holds, as far as it is sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The node that wrote it.
    pub node: String,
    /// Segments read.
    pub segments: u64,
    /// Records of calls.
    pub records: u64,
    /// Signed checkpoints.
    pub checkpoints: u64,
    /// Starts that found a torn end and cut it off; each has its entry.
    pub recoveries: u64,
    /// The last sound entry's number.
    pub sequence: u64,
    /// The last sound entry's hash, as lower-case hexadecimal digits.
    pub head: String,
    /// The last entry that a signature covers. Whoever can write the files could have made or removed the entries
    /// after it.
    pub signed: u64,
    /// The public key came from the log's own directory, so whoever can write there could have exchanged it.
    pub key_from_directory: bool,
    /// The first thing that is wrong; none if the log is whole.
    pub first_fault: Option<Fault>,
}

impl Report {
    /// Nothing is wrong.
    pub const fn is_whole(&self) -> bool {
        self.first_fault.is_none()
    }

    /// Entries after the last signature.
    pub const fn unsigned(&self) -> u64 {
        self.sequence.saturating_sub(self.signed)
    }
}

/// Reads a whole log and reports the first fault.
///
/// `public_key`: the node's key from a place that the log's writer cannot reach; without it the directory's own
/// `key.pub` is believed. `expected_head`: the hash of an entry known from elsewhere (the store, an earlier run); the
/// log must hold it, so a log whose end was cut off before it is found out. Without it, entries cut off at the end are
/// missed.
pub fn verify(directory: &Path, public_key: Option<&PublicKey>, expected_head: Option<Hash>) -> Report {
    let mut report = Report { head: Hash::ZERO.to_string(), ..Report::default() };
    let unreadable = |file: &str, error: &io::Error| Some(fault(file, 0, 1, FaultKind::Unreadable(error.kind())));
    let key = match public_key {
        Some(key) => *key,
        None => match disk::read_public_key(directory) {
            Ok(Some(key)) => {
                report.key_from_directory = true;
                key
            }
            Ok(None) => {
                report.first_fault = unreadable(disk::PUBLIC_KEY_FILE, &io::ErrorKind::NotFound.into());
                return report;
            }
            Err(error) => {
                report.first_fault = unreadable(disk::PUBLIC_KEY_FILE, &error);
                return report;
            }
        },
    };
    let numbers = match disk::segments(directory) {
        Ok(numbers) => numbers,
        Err(error) => {
            report.first_fault = unreadable(&disk::segment_name(1), &error);
            return report;
        }
    };
    let mut walker = Walker::at_beginning(key);
    let mut head_found = expected_head.is_none_or(|head| head == Hash::ZERO);
    let mut wanted = Wanted { head: expected_head, found: &mut head_found };
    report.first_fault = walk_all(directory, &numbers, &mut walker, &mut report, &mut wanted).err();
    report.node = walker.node().unwrap_or_default().to_owned();
    report.sequence = walker.sequence;
    report.signed = walker.signed;
    report.head = walker.head.to_string();
    if report.is_whole() && !head_found {
        let file = disk::segment_name(walker.segment);
        report.first_fault = Some(fault(&file, 0, walker.next_sequence(), FaultKind::HeadMissing));
    }
    report
}

struct Wanted<'a> {
    head: Option<Hash>,
    found: &'a mut bool,
}

fn walk_all(
    directory: &Path,
    numbers: &[u64],
    walker: &mut Walker,
    report: &mut Report,
    wanted: &mut Wanted<'_>,
) -> Result<(), Fault> {
    if numbers.is_empty() {
        return Err(fault(&disk::segment_name(1), 0, 1, FaultKind::MissingSegment));
    }
    for number in numbers {
        let expected = disk::segment_name(walker.segment.saturating_add(1));
        // What should have come is named: it is missing, not the one that is there.
        walker.enter(*number).map_err(|kind| fault(&expected, 0, walker.next_sequence(), kind))?;
        walk_file(directory, &expected, walker, report, wanted)?;
        report.segments = report.segments.saturating_add(1);
        if !walker.closed && Some(number) != numbers.last() {
            return Err(fault(&expected, 0, walker.next_sequence(), FaultKind::NotClosed));
        }
    }
    Ok(())
}

fn walk_file(
    directory: &Path,
    name: &str,
    walker: &mut Walker,
    report: &mut Report,
    wanted: &mut Wanted<'_>,
) -> Result<(), Fault> {
    let unreadable =
        |line, sequence, error: &io::Error| fault(name, line, sequence, FaultKind::Unreadable(error.kind()));
    let file = File::open(directory.join(name)).map_err(|error| unreadable(0, walker.next_sequence(), &error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut buffer = Vec::new();
    for number in 1_u64.. {
        let sequence = walker.next_sequence();
        let torn = || Err(fault(name, number, sequence, FaultKind::Torn));
        match read_line(&mut reader, &mut buffer).map_err(|error| unreadable(number, sequence, &error))? {
            Next::End if walker.is_fresh() => return torn(),
            Next::End => break,
            Next::Fragment => return torn(),
            Next::Line => {}
        }
        let line = walker.step(&buffer).map_err(|kind| fault(name, number, sequence, kind))?;
        *wanted.found |= wanted.head == Some(line.hash);
        let counter = match line.kind {
            Kind::Record { .. } => &mut report.records,
            Kind::Checkpoint { .. } => &mut report.checkpoints,
            Kind::Recovery => &mut report.recoveries,
            Kind::Segment => continue,
        };
        *counter = counter.saturating_add(1);
    }
    Ok(())
}
