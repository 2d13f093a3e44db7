//! Reading every record, checked on the way.

use super::{files, sample, scratch};
use crate::{FaultKind, read_records};

fn read(directory: &std::path::Path) -> (crate::Reading, Vec<String>) {
    let mut found = Vec::new();
    let reading = read_records(directory, &mut |record| found.push(record.to_owned())).unwrap();
    (reading, found)
}

#[test]
fn every_record_comes_once_and_in_order() {
    let directory = scratch();
    let log = sample(directory.path());
    let (reading, found) = read(directory.path());
    assert_eq!((reading.records, reading.sound, reading.malformed), (18, 18, 0));
    assert!(reading.is_whole() && reading.signed > 0, "{reading:?}");
    let ids: Vec<_> = found
        .iter()
        .map(|record| {
            serde_json::from_str::<serde_json::Value>(record).unwrap()["requestID"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: Vec<_> = (0..9).flat_map(|id| [format!("request-{id}"), format!("request-{}", 100 + id)]).collect();
    assert_eq!(ids, expected);
    drop(log);
}

#[test]
fn a_half_written_end_is_no_fault() {
    let directory = scratch();
    drop(sample(directory.path()));
    let (path, bytes) = files(directory.path()).pop().unwrap();
    std::fs::write(path, [bytes.as_slice(), b"{\"hash\":\"0a"].concat()).unwrap();
    let (reading, found) = read(directory.path());
    assert!(reading.is_whole() && found.len() == 18, "{reading:?}");
}

#[test]
fn what_was_altered_is_said_and_the_rest_is_read_all_the_same() {
    let directory = scratch();
    drop(sample(directory.path()));
    let (path, bytes) = files(directory.path()).swap_remove(1);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("alias/a"));
    std::fs::write(&path, text.replacen("alias/a", "alias/b", 1)).unwrap();
    let (reading, found) = read(directory.path());
    assert_eq!(found.len(), 18);
    assert!(reading.sound > 0 && reading.sound < 18, "{reading:?}");
    assert_eq!(reading.first_fault.unwrap().kind, FaultKind::Altered);
}

#[test]
fn a_segment_that_is_gone_is_said() {
    let directory = scratch();
    drop(sample(directory.path()));
    std::fs::remove_file(&files(directory.path())[1].0).unwrap();
    let (reading, found) = read(directory.path());
    assert!(!found.is_empty() && found.len() < 18);
    assert_eq!(reading.first_fault.unwrap().kind, FaultKind::MissingSegment);
}
