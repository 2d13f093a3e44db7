//! Every way to alter a log that we could think of, and the fault that names it.

use super::*;
use crate::line::{Kind, Line, chain, render};
use crate::{Fault, FaultKind, Hash};

/// A log's files, and the means to alter them one at a time.
struct Bench {
    directory: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
    head: Hash,
}

impl Bench {
    fn new() -> Self {
        let directory = scratch();
        let log = sample(directory.path());
        // An unsigned end as well.
        append(&log, 300);
        append(&log, 301);
        let head = log.head().hash;
        drop(log);
        let files = files(directory.path());
        assert!(files.len() >= 4);
        Self { directory, files, head }
    }

    fn verify(&self, head: Option<Hash>) -> Option<Fault> {
        verify(self.directory.path(), Some(&key().public()), head).first_fault
    }

    /// The fault with one file replaced; the file is put back.
    fn with(&self, file: usize, bytes: &[u8], head: Option<Hash>) -> Option<Fault> {
        let (path, original) = &self.files[file];
        std::fs::write(path, bytes).unwrap();
        let fault = self.verify(head);
        std::fs::write(path, original).unwrap();
        fault
    }

    fn lines(&self, file: usize) -> Vec<Vec<u8>> {
        self.files[file].1.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn name(&self, file: usize) -> String {
        self.files[file].0.file_name().unwrap().to_str().unwrap().to_owned()
    }
}

#[test]
fn no_byte_can_change() {
    let bench = Bench::new();
    assert_eq!(bench.verify(None), None);
    for (file, (_, bytes)) in bench.files.iter().enumerate() {
        for at in 0..bytes.len() {
            let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            for changed in [bytes[at] ^ 1, bytes[at] ^ 0x20, b'\n'] {
                // Every byte once; each kind of change in every place of the form, as the records repeat it.
                if changed == bytes[at] || (changed != bytes[at] ^ 1 && at % 11 > 0) {
                    continue;
                }
                let mut altered = bytes.clone();
                altered[at] = changed;
                let fault = bench.with(file, &altered, None).unwrap();
                let found = (fault.file, usize::try_from(fault.line).unwrap());
                assert_eq!(found, (bench.name(file), line), "byte {at} to {changed}: {:?}", fault.kind);
            }
        }
    }
}

#[test]
fn no_byte_can_be_dropped_or_added() {
    let bench = Bench::new();
    for (file, (_, bytes)) in bench.files.iter().enumerate() {
        for at in (0..bytes.len()).step_by(3) {
            let mut dropped = bytes.clone();
            dropped.remove(at);
            assert!(bench.with(file, &dropped, None).is_some(), "dropped {at}");
            let mut added = bytes.clone();
            added.insert(at, b' ');
            assert!(bench.with(file, &added, None).is_some(), "added {at}");
        }
    }
}

#[test]
fn no_line_can_be_dropped_repeated_or_moved() {
    let bench = Bench::new();
    for file in 0..bench.files.len() {
        let lines = bench.lines(file);
        let is_last = |index: usize| file + 1 == bench.files.len() && index + 1 == lines.len();
        for index in 0..lines.len() {
            let mut dropped = lines.clone();
            dropped.remove(index);
            let fault = bench.with(file, &dropped.concat(), Some(bench.head)).unwrap();
            if is_last(index) {
                // The very end is missed by nothing but the head.
                assert_eq!(fault.kind, FaultKind::HeadMissing);
                assert_eq!(bench.with(file, &dropped.concat(), None), None);
            } else {
                assert!(bench.with(file, &dropped.concat(), None).is_some());
            }
            let mut repeated = lines.clone();
            repeated.insert(index, lines[index].clone());
            let fault = bench.with(file, &repeated.concat(), None).unwrap();
            assert!(matches!(fault.kind, FaultKind::Sequence { .. }), "{fault}");
            for other in index + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(index, other);
                let fault = bench.with(file, &swapped.concat(), None).unwrap();
                assert!(matches!(fault.kind, FaultKind::Sequence { .. }), "{fault}");
                assert_eq!(fault.line, u64::try_from(index).unwrap() + 1);
            }
        }
    }
}

#[test]
fn every_cut_is_seen() {
    let bench = Bench::new();
    for (file, (_, bytes)) in bench.files.iter().enumerate() {
        let last = file + 1 == bench.files.len();
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let fault = bench.with(file, cut, Some(bench.head)).unwrap();
            let unforeseen = bench.with(file, cut, None);
            match cut.last() {
                None => assert_eq!(fault.kind, FaultKind::Torn),
                Some(b'\n') if last => {
                    assert_eq!((fault.kind, unforeseen), (FaultKind::HeadMissing, None));
                }
                Some(b'\n') => assert_eq!(unforeseen.unwrap().kind, FaultKind::NotClosed),
                Some(_) => assert_eq!(unforeseen.unwrap().kind, FaultKind::Torn),
            }
        }
    }
}

#[test]
fn no_segment_can_be_missing_renamed_exchanged_or_doubled() {
    let bench = Bench::new();
    let count = bench.files.len();
    for file in 0..count {
        let (path, bytes) = &bench.files[file];
        std::fs::remove_file(path).unwrap();
        let fault = bench.verify(Some(bench.head)).unwrap();
        let expected = if file + 1 == count { FaultKind::HeadMissing } else { FaultKind::MissingSegment };
        assert_eq!(fault.kind, expected);
        std::fs::write(path, bytes).unwrap();
        for other in 0..count {
            if other != file {
                assert!(bench.with(file, &bench.files[other].1, None).is_some());
            }
        }
        let joined = [bytes.as_slice(), bench.files[(file + 1) % count].1.as_slice()].concat();
        assert!(bench.with(file, &joined, None).is_some());
    }
    let beyond = bench.directory.path().join(crate::disk::segment_name(99));
    std::fs::write(&beyond, &bench.files[0].1).unwrap();
    assert_eq!(bench.verify(None).unwrap().kind, FaultKind::NotClosed);
    std::fs::remove_file(beyond).unwrap();
    assert_eq!(bench.verify(Some(Hash::from_bytes([9; 32]))).unwrap().kind, FaultKind::HeadMissing);
    for (path, _) in &bench.files {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(bench.verify(None).unwrap().kind, FaultKind::MissingSegment);
}

/// Writes the lines anew as a forger without the key would: with right numbers and hashes, and the old signatures.
fn rehashed(mut previous: Hash, mut sequence: u64, lines: &[Vec<u8>], alter: impl Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        let line = Line::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
        let body = alter(line.body);
        let hash = chain(&previous, sequence, &body);
        let signature = match line.kind {
            Kind::Checkpoint { signature } => Some(signature),
            _ => None,
        };
        render(&mut out, &hash, sequence, &[&body], signature.as_ref().map(|signature| signature.as_slice()));
        (previous, sequence) = (hash, sequence + 1);
    }
    out
}

#[test]
fn a_forger_without_the_key_stops_at_the_signature() {
    let bench = Bench::new();
    let lines = bench.lines(0);
    assert_eq!(rehashed(Hash::ZERO, 1, &lines, str::to_owned), bench.files[0].1);
    let forged = rehashed(Hash::ZERO, 1, &lines, |body| body.replace("event-0", "event-X"));
    let fault = bench.with(0, &forged, None).unwrap();
    let checkpoint = lines.iter().position(|line| line.windows(10).any(|part| part == b"checkpoint")).unwrap();
    assert_eq!((fault.kind, fault.line), (FaultKind::Signature, u64::try_from(checkpoint).unwrap() + 1));
    // With the checkpoints left out there is nothing to stop at in this file, but it is not closed then.
    let unsigned: Vec<_> =
        lines.iter().filter(|line| !line.windows(10).any(|part| part == b"checkpoint")).cloned().collect();
    let forged = rehashed(Hash::ZERO, 1, &unsigned, str::to_owned);
    assert_eq!(bench.with(0, &forged, None).unwrap().kind, FaultKind::NotClosed);
}

#[test]
fn a_log_signed_by_another_key_is_another_log() {
    let bench = Bench::new();
    let other = SigningKey::generate().unwrap().public();
    let report = verify(bench.directory.path(), Some(&other), None);
    assert_eq!(report.first_fault.unwrap().kind, FaultKind::Signature);
    std::fs::write(bench.directory.path().join(crate::PUBLIC_KEY_FILE), "rubbish").unwrap();
    let report = verify(bench.directory.path(), None, None);
    assert!(matches!(report.first_fault.unwrap().kind, FaultKind::Unreadable(_)));
    let report = verify(&bench.directory.path().join("absent"), None, None);
    assert!(matches!(report.first_fault.unwrap().kind, FaultKind::Unreadable(_)));
}

#[test]
fn a_line_without_end_costs_bounded_memory() {
    let bench = Bench::new();
    let endless = vec![b'a'; 3 * crate::line::LINE_BYTES_MAX];
    assert_eq!(bench.with(0, &endless, None).unwrap().kind, FaultKind::Torn);
}

/// The checked-in log of format 1 must be readable for ever, and must still be what we write.
#[test]
fn the_golden_log_verifies_and_is_still_what_we_write() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    let report = verify(&golden, None, None);
    assert_eq!((report.first_fault, report.records, report.segments), (None, 18, 5));
    assert_eq!(report.head, include_str!("../../testdata/v1/head").trim());
    let directory = scratch();
    drop(sample(directory.path()));
    for ((written, bytes), (_, expected)) in files(directory.path()).iter().zip(files(&golden)) {
        assert!(*bytes == expected, "{}", written.display());
    }
}
