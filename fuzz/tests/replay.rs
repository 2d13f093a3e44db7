//! Every stored input through its target, and every change of one byte of it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use claviger_fuzz::{TARGETS, Target};

fn replay(name: &str, near: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = target.corpus().unwrap();
    assert!(corpus.len() >= 3, "{name} has no corpus");
    for (_, input) in &corpus {
        (target.run)(input);
        near_misses(target, input, near);
    }
}

/// Every cut, and at each position one byte flipped, up to `limit` positions spread over the input.
fn near_misses(target: &Target, input: &[u8], limit: usize) {
    let step = input.len().div_ceil(limit.max(1)).max(1);
    for position in (0..input.len()).step_by(step) {
        let (start, end) = input.split_at(position);
        (target.run)(start);
        let (byte, rest) = end.split_first().unwrap();
        for change in [1, 0x20, 0x80] {
            (target.run)(&[start, &[byte ^ change], rest].concat());
        }
    }
}

#[test]
fn attestation() {
    replay("attestation", 300);
}

#[test]
fn audit() {
    replay("audit", 300);
}

#[test]
fn blob() {
    replay("blob", 4096);
}

#[test]
fn json() {
    replay("json", 1000);
}

#[test]
fn operator() {
    replay("operator", 1000);
}

#[test]
fn policy() {
    replay("policy", 1000);
}

#[test]
fn query() {
    replay("query", 1000);
}

#[test]
fn sigv4() {
    replay("sigv4", 1000);
}

#[test]
fn token() {
    replay("token", 300);
}

#[test]
fn every_target_is_replayed() {
    let mut folders: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|target| target.name));
}

#[test]
#[ignore = "writes the seeds of fuzz/corpus anew"]
fn write_seeds() {
    for target in TARGETS {
        fs::create_dir_all(target.folder()).unwrap();
        for (name, content) in target.seeds() {
            let path = target.folder().join(name);
            // The sealed blob has a random salt and must keep opening: made once, never again.
            let keep = name == "sealed" && fs::read(&path).is_ok_and(|stored| !stored.is_empty());
            if !keep {
                fs::write(path, content).unwrap();
            }
        }
    }
}
