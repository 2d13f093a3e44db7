//! The log from outside: what it records, what it refuses, and what the verifier makes of it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod crash;
mod read;
mod record;
mod tamper;

use std::path::{Path, PathBuf};

use claviger_crypto::SigningKey;
use claviger_secret::SecretArray;

use crate::{Call, Event, EventType, Log, Prepared, Settings, Text, Time, Value, verify};

const NODE: &str = "node-1";

/// A directory in memory where the system has one: the tests make tens of thousands of syncs.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(SecretArray::new([42; 32])).unwrap()
}

fn call(id: u64) -> Call {
    Call {
        event_type: EventType::ApiCall,
        time: Time::from_millis(1_767_323_045_678),
        source: "kms.amazonaws.com".into(),
        name: "Encrypt".into(),
        region: "eu-central-1".into(),
        identity: Value::object([("type", "Root"), ("accountId", "111122223333")]),
        source_address: Text::public("192.0.2.1"),
        user_agent: Some(Text::public("aws-cli/2 \"quoted\"\u{1b}[31m")),
        request_id: Some(Text::public(&format!("request-{id}"))),
        event_id: Text::public(&format!("event-{id}")),
        recipient_account: "111122223333".into(),
        tls_details: None,
    }
}

fn event() -> Event {
    Event { request_parameters: Value::object([("keyId", "alias/a")]), ..Event::new(true) }
}

fn append(log: &Log, id: u64) {
    assert_eq!(log.append(log.open_call(call(id)), &event(), id).unwrap().into_inner(), id);
}

fn append_committed(log: &Log, id: u64, commit: u64) {
    let pending = log.open_call(call(id));
    let prepared = pending.prepare(&Event::new(false)).unwrap();
    let _ = log.append_committed(pending, prepared, commit, ());
}

/// Segments of two or three records.
fn settings() -> Settings {
    Settings { segment_bytes: 1800, ..Settings::default() }
}

fn open(directory: &Path) -> Log {
    Log::open(directory, key(), NODE, settings()).unwrap()
}

/// Three segments and more: records, commits, anchors, checkpoints; the last group is signed.
fn sample(directory: &Path) -> Log {
    let log = open(directory);
    for id in 0..9 {
        append(&log, id);
        append_committed(&log, 100 + id, id);
        if id % 2 == 0 {
            log.anchor(&Value::object([("revision", i64::try_from(id).unwrap())])).unwrap();
        }
        log.sync().unwrap();
    }
    log
}

/// The segments of a log, in order, with their bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    crate::disk::segments(directory)
        .unwrap()
        .into_iter()
        .map(|number| directory.join(crate::disk::segment_name(number)))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn whole(directory: &Path) -> crate::Report {
    let report = verify(directory, Some(&key().public()), None);
    assert_eq!(report.first_fault, None);
    report
}

/// The `eventID`s of all records, in order.
fn event_ids(directory: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    for (_, bytes) in files(directory) {
        for line in String::from_utf8(bytes).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(id) = line.pointer("/record/eventID") {
                ids.push(id.as_str().unwrap().to_owned());
            }
        }
    }
    ids
}

fn prepared(id: u64) -> Prepared {
    Prepared::new(&call(id), &event()).unwrap()
}
