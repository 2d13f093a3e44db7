//! Records, obligations, commits, anchors, and disks that refuse.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::disk::Media;
use crate::state::{Disk, Place, State};
use crate::{AppendError, Hash, Head, OpenError, RECORD_BYTES_MAX, Recorded, Resource, SyncMode};

#[test]
fn a_record_has_cloudtrails_form() {
    let resource = Resource { account: "111122223333".into(), kind: "AWS::KMS::Key".into(), arn: "arn:k".into() };
    let event = Event {
        resources: Some(vec![resource]),
        decision: Some(Value::object([("effect", "Deny")])),
        additional_event_data: Some(Value::object([("keyMaterialId", "m")])),
        ..event().failed("AccessDenied", Some(Text::public("no\nway")))
    };
    let record = Prepared::new(&call(1), &event).unwrap();
    let expected = r#"{"eventVersion":"1.11","userIdentity":{"type":"Root","accountId":"111122223333"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"kms.amazonaws.com","eventName":"Encrypt","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.1","userAgent":"aws-cli/2 \"quoted\"\u001b[31m","errorCode":"AccessDenied","errorMessage":"no\nway","requestParameters":{"keyId":"alias/a"},"responseElements":null,"additionalEventData":{"keyMaterialId":"m"},"requestID":"request-1","eventID":"event-1","readOnly":true,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:k"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","clavigerDecision":{"effect":"Deny"}}"#;
    assert_eq!(record.as_str(), expected);
    assert_eq!(Prepared::from_bytes(record.as_bytes()).unwrap(), record);
}

#[test]
fn only_a_record_comes_out_of_an_outbox() {
    for bytes in [&b""[..], b"null", b"{", b"{}\n", b"{}{}", b"\xff", b"{\"a\":1}}", b"{},\"record\":{}"] {
        assert_eq!(Prepared::from_bytes(bytes), Err(AppendError::NotARecord), "{bytes:?}");
    }
}

#[test]
fn a_dropped_call_is_an_internal_failure() {
    let log = Log::in_memory(10);
    drop(log.open_call(call(1)));
    let panicked = std::panic::catch_unwind({
        let pending = std::panic::AssertUnwindSafe(log.open_call(call(2)));
        move || {
            let _kept = pending;
            std::panic::resume_unwind(Box::new(()));
        }
    });
    assert!(panicked.is_err());
    append(&log, 3);
    let lines = log.lines();
    assert_eq!(lines.len(), 3);
    for (line, id) in lines.iter().zip(1..) {
        assert!(line.contains(&format!("\"eventID\":\"event-{id}\"")));
        assert_eq!(line.contains("\"errorCode\":\"InternalFailure\""), id != 3);
    }
}

#[test]
fn a_record_too_large_refuses_the_call_and_says_so_in_the_log() {
    let log = Log::in_memory(10);
    let huge = Event { request_parameters: Value::public_text(&"x".repeat(RECORD_BYTES_MAX)), ..Event::new(true) };
    assert_eq!(log.append(log.open_call(call(1)), &huge, ()), Err(AppendError::TooLarge));
    assert_eq!(log.lines().len(), 1);
    assert!(log.lines()[0].contains("InternalFailure"));
    assert_eq!(log.anchor(&Value::public_text(&"x".repeat(65_536))), Err(AppendError::TooLarge));
}

#[test]
fn memory_keeps_the_newest_lines_only() {
    let log = Log::in_memory(3);
    for id in 0..10 {
        append_committed(&log, id, id);
    }
    assert_eq!(log.lines().len(), 3);
    assert_eq!(log.head().sequence, 10);
    assert_eq!(log.sync().unwrap().commits, (0..10).collect::<Vec<_>>());
    assert_eq!(log.public_key(), None);
}

#[test]
fn the_largest_record_can_be_read_back() {
    let directory = scratch();
    let log = open(directory.path());
    let overhead = Prepared::new(&call(1), &event()).unwrap().as_bytes().len();
    let large =
        Event { request_parameters: Value::public_text(&"x".repeat(RECORD_BYTES_MAX - overhead)), ..Event::new(true) };
    append(&log, 0);
    let pending = log.open_call(call(1));
    let _ = log.append_committed(pending, Prepared::new(&call(1), &large).unwrap(), u64::MAX, ());
    log.sync().unwrap();
    assert_eq!(whole(directory.path()).records, 2);
}

#[test]
fn a_log_goes_on_where_it_stopped() {
    let directory = scratch();
    let log = sample(directory.path());
    let (head, anchor) = (log.head(), log.anchored());
    assert_eq!(anchor.as_deref(), Some("{\"revision\":8}"));
    assert!(matches!(Log::open(directory.path(), key(), NODE, settings()), Err(OpenError::Locked)));
    drop(log);

    let log = open(directory.path());
    assert_eq!((log.head(), log.anchored(), log.recovery()), (head, anchor, None));
    // Nothing new, nothing written.
    let idle = log.sync().unwrap();
    assert_eq!((idle.head, idle.commits), (head, vec![]));
    append(&log, 50);
    let report = whole(directory.path());
    assert!(report.segments > 2);
    assert_eq!((report.node.as_str(), report.records, report.recoveries), (NODE, 19, 0));
    assert_eq!((report.unsigned(), report.key_from_directory), (1, false));
    assert_eq!(report.head, log.head().hash.to_string());
    log.sync().unwrap();
    // That sync closed a segment, and the next one's opening entry waits for the next sync.
    assert!(whole(directory.path()).unsigned() <= 1);
    let own_key = verify(directory.path(), None, Some(head.hash));
    assert!(own_key.is_whole() && own_key.key_from_directory);
}

#[test]
fn a_log_is_of_one_node_and_one_key() {
    let directory = scratch();
    drop(sample(directory.path()));
    let other = SigningKey::generate().unwrap();
    let public = other.public();
    assert!(matches!(Log::open(directory.path(), other, NODE, settings()), Err(OpenError::OtherKey)));
    assert!(matches!(Log::open(directory.path(), key(), "b", settings()), Err(OpenError::OtherNode(_))));
    assert!(matches!(Log::open(directory.path(), key(), "", settings()), Err(OpenError::BadNode)));
    assert!(!verify(directory.path(), Some(&public), None).is_whole());
    let written = std::fs::read_to_string(directory.path().join(crate::PUBLIC_KEY_FILE)).unwrap();
    assert_eq!(crate::parse_public_key(&written), Some(key().public()));
}

#[test]
fn commits_are_reported_once_and_replayed_once() {
    let directory = scratch();
    let log = open(directory.path());
    append_committed(&log, 1, 7);
    append_committed(&log, 2, 5);
    assert_eq!(log.sync().unwrap().commits, [7, 5]);
    append_committed(&log, 3, 8);
    assert_eq!(log.sync().unwrap().commits, [8]);
    assert_eq!(log.sync().unwrap().commits, [0_u64; 0]);
    drop(log);

    let log = open(directory.path());
    assert_eq!(log.commit_numbers_after(5).into_iter().collect::<Vec<_>>(), [7, 8]);
    assert!(!log.replay(8, &prepared(3)).unwrap());
    assert!(log.replay(9, &prepared(4)).unwrap());
    assert!(!log.replay(9, &prepared(4)).unwrap());
    assert_eq!(log.sync().unwrap().commits, [8, 9]);
    assert_eq!(event_ids(directory.path()), ["event-1", "event-2", "event-3", "event-4"]);
}

#[test]
fn many_threads_append_to_one_chain() {
    for sync in [SyncMode::Interval, SyncMode::EveryRecord] {
        let directory = scratch();
        let log = Log::open(directory.path(), key(), NODE, Settings { sync, ..settings() }).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for id in 0..40 {
                        append(log, thread * 100 + id);
                        if id % 8 == 0 {
                            log.sync().unwrap();
                        }
                    }
                });
            }
        });
        let report = whole(directory.path());
        assert_eq!(report.records, 160);
        if sync == SyncMode::EveryRecord {
            // At most the opening entry of a segment that the last sync began.
            assert!(report.unsigned() <= 1);
        }
    }
}

/// A disk that can be full (in the middle of a line), refuse to cut, or fail to sync.
#[derive(Default)]
struct Failing {
    bytes: Mutex<Vec<u8>>,
    full: AtomicBool,
    uncuttable: AtomicBool,
    unsyncable: AtomicBool,
}

impl Failing {
    fn refuse(flag: &AtomicBool) -> io::Result<()> {
        if flag.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Media for Arc<Failing> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.bytes.lock().unwrap();
        assert_eq!(u64::try_from(file.len()).unwrap(), offset);
        let refused = Failing::refuse(&self.full);
        file.extend_from_slice(if refused.is_err() { &bytes[..bytes.len() / 2] } else { bytes });
        refused
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        Failing::refuse(&self.uncuttable)?;
        self.bytes.lock().unwrap().truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Failing::refuse(&self.unsyncable)
    }
}

fn failing_log() -> (Arc<Failing>, Log) {
    failing_log_with(Settings::default())
}

fn failing_log_with(settings: Settings) -> (Arc<Failing>, Log) {
    let media = Arc::new(Failing::default());
    let disk = Disk::new(Path::new("nowhere"), NODE, 1, Arc::new(Arc::clone(&media)), 0);
    let head = Head { sequence: 0, hash: Hash::ZERO };
    let mut state = State::new(Place::Disk(disk), head, 0, None);
    state.write_opening().unwrap();
    (media, Log::new(state, head, Some(key()), settings, None, None))
}

/// Puts the bytes of a failing disk into a real directory and verifies them.
fn verified(media: &Failing) -> crate::Report {
    let directory = scratch();
    std::fs::write(directory.path().join("segment-0000000001.log"), &*media.bytes.lock().unwrap()).unwrap();
    verify(directory.path(), Some(&key().public()), None)
}

#[test]
fn a_full_disk_refuses_calls_and_recovers() {
    let (media, log) = failing_log();
    append(&log, 1);
    media.full.store(true, Ordering::Relaxed);
    assert_eq!(log.append(log.open_call(call(2)), &event(), ()), Err(AppendError::Unwritable));
    assert_eq!(log.unrecorded(), 1);
    // This one is in its outbox row, so it is answered.
    append_committed(&log, 3, 77);
    assert_eq!(log.sync(), Err(AppendError::Unwritable));
    media.full.store(false, Ordering::Relaxed);
    append(&log, 4);
    assert_eq!(log.sync().unwrap().commits, [77]);
    let report = verified(&media);
    assert_eq!((report.first_fault, report.records, report.checkpoints), (None, 3, 1));
}

#[test]
fn a_line_that_cannot_be_taken_back_breaks_the_log() {
    let (media, log) = failing_log();
    media.full.store(true, Ordering::Relaxed);
    media.uncuttable.store(true, Ordering::Relaxed);
    assert_eq!(log.append(log.open_call(call(1)), &event(), ()), Err(AppendError::Broken));
    media.full.store(false, Ordering::Relaxed);
    assert_eq!(log.append(log.open_call(call(2)), &event(), ()), Err(AppendError::Broken));
    assert_eq!(log.sync(), Err(AppendError::Broken));
}

#[test]
fn a_failed_sync_breaks_the_log() {
    let (media, log) = failing_log();
    append_committed(&log, 1, 1);
    media.unsyncable.store(true, Ordering::Relaxed);
    assert_eq!(log.sync(), Err(AppendError::Broken));
    media.unsyncable.store(false, Ordering::Relaxed);
    assert_eq!(log.sync(), Err(AppendError::Broken));
    assert_eq!(log.append(log.open_call(call(2)), &event(), ()), Err(AppendError::Broken));
}

#[test]
fn every_record_waits_for_the_disk_only_if_asked_to() {
    for (sync, expected) in [(SyncMode::Interval, Ok(())), (SyncMode::EveryRecord, Err(AppendError::Broken))] {
        let (media, log) = failing_log_with(Settings { sync, ..Settings::default() });
        media.unsyncable.store(true, Ordering::Relaxed);
        let result = log.append(log.open_call(call(1)), &event(), ());
        assert_eq!(result.map(Recorded::into_inner), expected);
    }
}

#[test]
fn a_failed_next_segment_is_tried_again() {
    let directory = scratch();
    let log = open(directory.path());
    let obstacle = directory.path().join("segment-0000000002.log");
    std::fs::create_dir(&obstacle).unwrap();
    for id in 0..6 {
        if log.append(log.open_call(call(id)), &event(), ()).is_err() {
            break;
        }
        log.sync().unwrap();
    }
    assert_eq!(log.append(log.open_call(call(9)), &event(), ()), Err(AppendError::Unwritable));
    std::fs::remove_dir(&obstacle).unwrap();
    append(&log, 10);
    log.sync().unwrap();
    assert_eq!(whole(directory.path()).segments, 2);
    drop(log);
    assert_eq!(open(directory.path()).recovery(), None);
}

#[test]
fn the_proof_passes_through_a_change_of_value() {
    let log = Log::in_memory(1);
    let recorded: Recorded<u64> = log.append(log.open_call(call(1)), &event(), 20).unwrap();
    assert_eq!(recorded.as_ref(), &20);
    assert_eq!(recorded.map(|value| value + 1).into_inner(), 21);
}
