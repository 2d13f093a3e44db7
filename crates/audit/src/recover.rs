//! What a start finds on the disk: where the chain goes on, and what a power loss tore off its end.
//!
//! The rule that tells a power loss from tampering: a checkpoint is written only after the one before it, and with it
//! every line up to there, was synced. So behind a line that a power loss tore there is at most one signed checkpoint.
//! Two mean that a synced line changed, and the log does not open.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::disk;
use crate::line::{Hash, Hex, Kind};
use crate::verify::{Fault, fault};
use crate::walk::{FaultKind, Next, PublicKey, Walker, read_line};

/// What a start cut off, as the log's recovery entry tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The segment's number.
    pub segment: u64,
    /// Where the torn end began, in bytes.
    pub offset: u64,
    /// How long it was, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The file beside the segments that keeps it.
    pub kept_in: String,
}

/// Where the log goes on.
pub(crate) struct Found {
    pub(crate) walker: Walker,
    /// The length of the last segment's sound part.
    pub(crate) length: u64,
    pub(crate) commits: BTreeSet<u64>,
    pub(crate) recovery: Option<Recovery>,
    /// The expected head is among the entries read, or none was expected.
    pub(crate) head_found: bool,
}

/// Reads the last two segments. The one before the last can hold numbers of commits that the store has not marked.
pub(crate) fn find(directory: &Path, key: PublicKey, expected: Option<Hash>) -> Result<Found, OpenError> {
    let numbers = disk::segments(directory)?;
    let tail = numbers.get(numbers.len().saturating_sub(2)..).unwrap_or_default();
    let first = tail.first().copied().unwrap_or(1);
    let mut found = Found {
        walker: start(directory, key, first)?,
        length: 0,
        commits: BTreeSet::new(),
        recovery: None,
        head_found: expected.is_none_or(|head| head == Hash::ZERO),
    };
    for (number, is_last) in tail.iter().map(|number| (*number, Some(number) == tail.last())) {
        let sequence = found.walker.next_sequence();
        found.walker.enter(number).map_err(|kind| damaged(number, 0, sequence, kind))?;
        let file = File::open(directory.join(disk::segment_name(number)))?;
        let stop = read_segment(&mut found, &mut BufReader::with_capacity(1 << 16, &file), expected)?;
        match stop {
            None if is_last || found.walker.closed => {}
            None => return Err(damaged(number, 0, found.walker.next_sequence(), FaultKind::NotClosed)),
            Some((line, kind)) => {
                let sequence = found.walker.next_sequence();
                if !is_last || signed_after(&found, &file)? > 1 {
                    return Err(damaged(number, line, sequence, kind));
                }
                found.recovery = Some(cut_off(directory, number, found.length)?);
            }
        }
    }
    Ok(found)
}

fn damaged(segment: u64, line: u64, sequence: u64, kind: FaultKind) -> OpenError {
    OpenError::Damaged(fault(&disk::segment_name(segment), line, sequence, kind))
}

/// A walker that stands before the first segment that is read.
fn start(directory: &Path, key: PublicKey, first: u64) -> Result<Walker, OpenError> {
    if first == 1 {
        return Ok(Walker::at_beginning(key));
    }
    let file = File::open(directory.join(disk::segment_name(first)))?;
    let mut line = Vec::new();
    read_line(&mut BufReader::new(file), &mut line)?;
    Walker::at_segment(key, first, &line).ok_or_else(|| damaged(first, 1, 0, FaultKind::Opening))
}

/// Walks to the end of a segment or to its first fault, with the number of the line. Leaves the length of what is
/// sound in `found`.
fn read_segment(
    found: &mut Found,
    reader: &mut BufReader<&File>,
    expected: Option<Hash>,
) -> Result<Option<(u64, FaultKind)>, OpenError> {
    found.length = 0;
    let mut buffer = Vec::new();
    for line in 1_u64.. {
        match read_line(reader, &mut buffer)? {
            Next::End if found.walker.is_fresh() => return Ok(Some((line, FaultKind::Torn))),
            Next::End => return Ok(None),
            Next::Fragment => return Ok(Some((line, FaultKind::Torn))),
            Next::Line => {}
        }
        match found.walker.step(&buffer) {
            Ok(entry) => {
                if let Kind::Record { commit: Some(commit) } = entry.kind {
                    found.commits.insert(commit);
                }
                found.head_found |= expected == Some(entry.hash);
            }
            Err(kind) => return Ok(Some((line, kind))),
        }
        let read = u64::try_from(buffer.len()).unwrap_or(u64::MAX).saturating_add(1);
        found.length = found.length.saturating_add(read);
    }
    Ok(None)
}

/// How many signed checkpoints stand behind the sound part of the segment; counts to two.
fn signed_after(found: &Found, file: &File) -> io::Result<u32> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(found.length))?;
    let mut buffer = Vec::new();
    let mut count = 0_u32;
    while count < 2 {
        match read_line(&mut reader, &mut buffer)? {
            Next::End => break,
            // A fragment can be a whole checkpoint whose newline alone is gone.
            Next::Line | Next::Fragment => {
                count = count.saturating_add(u32::from(found.walker.is_signed_elsewhere(&buffer)));
            }
        }
    }
    Ok(count)
}

/// Copies the torn end to a file of its own, then cuts it off.
fn cut_off(directory: &Path, segment: u64, offset: u64) -> io::Result<Recovery> {
    let mut file = disk::open_segment(directory, segment)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut torn = Vec::new();
    file.read_to_end(&mut torn)?;
    let kept_in = disk::keep_torn(directory, segment, offset, &torn)?;
    file.set_len(offset)?;
    file.sync_all()?;
    Ok(Recovery {
        segment,
        offset,
        bytes: u64::try_from(torn.len()).unwrap_or(u64::MAX),
        sha256: Hex(&claviger_crypto::sha256(&torn)).to_string(),
        kept_in,
    })
}

/// Why a log on disk does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the audit log is in use by another process")]
    Locked,
    /// The directory's `key.pub` is of another key than the one given.
    #[error("the audit log was signed by another key")]
    OtherKey,
    /// The log is of another node than the one named.
    #[error("the audit log belongs to node {0}")]
    OtherNode(String),
    /// A part that was synced is not as it was. Nothing was changed.
    #[error("the audit log was altered: {0}")]
    Damaged(Fault),
    /// The head that the store remembers is not in the log's newest two segments.
    #[error("the audit log does not hold the head that the store remembers: its end is missing")]
    HeadMissing,
    /// The name of the node is longer than [`crate::NODE_BYTES_MAX`] or empty.
    #[error("the name of the node is empty or too long")]
    BadNode,
    /// The operating system refused.
    #[error("the audit log cannot be opened: {0}")]
    Io(#[from] io::Error),
}
