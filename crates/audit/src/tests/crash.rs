//! Power losses, kills and restarts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{FaultKind, Hash, OpenError};

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A copy of a log whose last segment is replaced.
fn with_last(original: &Path, bytes: &[u8]) -> tempfile::TempDir {
    let directory = scratch();
    copy(original, directory.path());
    let (last, _) = files(directory.path()).pop().unwrap();
    std::fs::write(last, bytes).unwrap();
    directory
}

/// One signed group in the last segment, then records that nobody signed.
fn unsigned_end() -> (tempfile::TempDir, Vec<u8>) {
    let directory = scratch();
    let log = sample(directory.path());
    append_committed(&log, 300, 300);
    append(&log, 301);
    drop(log);
    let (_, last) = files(directory.path()).pop().unwrap();
    (directory, last)
}

#[test]
fn a_torn_end_is_cut_kept_and_recorded_at_every_offset() {
    let (original, last) = unsigned_end();
    for length in 0..last.len() {
        let directory = with_last(original.path(), &last[..length]);
        let sound = last[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let log = open(directory.path());
        if length == sound && length > 0 {
            assert_eq!(log.recovery(), None);
        } else {
            let recovery = log.recovery().unwrap();
            assert_eq!(recovery.offset, u64::try_from(sound).unwrap());
            assert_eq!(recovery.bytes, u64::try_from(length - sound).unwrap());
            assert_eq!(std::fs::read(directory.path().join(&recovery.kept_in)).unwrap(), &last[sound..length]);
        }
        append(&log, 400);
        log.sync().unwrap();
        let report = whole(directory.path());
        assert_eq!(report.recoveries, u64::from(log.recovery().is_some()));
        drop(log);
        assert_eq!(open(directory.path()).recovery(), None);
    }
}

#[test]
fn pages_lost_after_the_last_sync_are_recovered() {
    // A power loss may keep a later page and lose an earlier one: every byte of the unsigned end, turned to zero.
    let (original, last) = unsigned_end();
    let signed = last.windows(13).rposition(|part| part == b"\"signature\":\"").unwrap();
    let unsigned = signed + last[signed..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for at in (unsigned..last.len()).step_by(7) {
        let mut holed = last.clone();
        holed[at] = 0;
        let directory = with_last(original.path(), &holed);
        let log = open(directory.path());
        assert!(log.recovery().is_some());
        // What the outbox still has comes back; what was lost with the end alone does not.
        let lost = !log.commit_numbers_after(299).contains(&300);
        assert_eq!(log.replay(300, &prepared(300)).unwrap(), lost);
        log.sync().unwrap();
        assert_eq!(whole(directory.path()).recoveries, 1);
        assert!(event_ids(directory.path()).contains(&"event-300".to_owned()));
    }
}

/// One segment with four signed groups; the line numbers of the checkpoints.
fn groups(directory: &Path) -> (Vec<Vec<u8>>, Vec<usize>, Hash) {
    let log = Log::open(directory, key(), NODE, Settings::default()).unwrap();
    for id in 0..4 {
        append(&log, id);
        log.sync().unwrap();
    }
    let head = log.head().hash;
    drop(log);
    let (_, bytes) = files(directory).pop().unwrap();
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let is_checkpoint = |line: &[u8]| line.windows(10).any(|part| part == b"checkpoint");
    let checkpoints = (0..lines.len()).filter(|index| is_checkpoint(&lines[*index])).collect();
    (lines, checkpoints, head)
}

#[test]
fn an_altered_synced_line_does_not_open_and_nothing_is_touched() {
    let original = scratch();
    let (lines, checkpoints, head) = groups(original.path());
    for index in 0..lines.len() {
        let mut altered = lines.clone();
        altered[index][80] ^= 1;
        let after = checkpoints.iter().filter(|checkpoint| **checkpoint > index).count();
        let bytes = altered.concat();
        let directory = with_last(original.path(), &bytes);
        let opened = Log::open(directory.path(), key(), NODE, Settings::default());
        if after > 1 {
            let Err(OpenError::Damaged(fault)) = opened else { unreachable!("line {index} was not missed") };
            assert_eq!(fault.line, u64::try_from(index).unwrap() + 1);
            assert_eq!(files(directory.path())[0].1, bytes);
        } else {
            // It could be a power loss during the last sync. The store's memory of the head tells.
            drop(opened.unwrap());
            let directory = with_last(original.path(), &bytes);
            let settings = Settings { expected_head: Some(head), ..Settings::default() };
            assert!(matches!(Log::open(directory.path(), key(), NODE, settings), Err(OpenError::HeadMissing)));
        }
    }
    let settings = Settings { expected_head: Some(head), ..Settings::default() };
    drop(Log::open(original.path(), key(), NODE, settings).unwrap());
}

#[test]
fn an_altered_older_segment_does_not_open() {
    let (original, _) = unsigned_end();
    let all = files(original.path());
    let (path, bytes) = &all[all.len() - 2];
    let mut altered = bytes.clone();
    let end = altered.len() - 2;
    altered[end] ^= 1;
    std::fs::write(path, &altered).unwrap();
    let opened = Log::open(original.path(), key(), NODE, settings());
    assert!(matches!(opened, Err(OpenError::Damaged(fault)) if fault.kind == FaultKind::Malformed));
    std::fs::remove_file(path).unwrap();
    assert!(Log::open(original.path(), key(), NODE, settings()).is_err());
}

#[test]
fn a_crash_between_two_segments_is_bridged() {
    let directory = scratch();
    let log = sample(directory.path());
    drop(log);
    let all = files(directory.path());
    // The next segment's name never reached the disk.
    std::fs::remove_file(&all.last().unwrap().0).unwrap();
    let log = open(directory.path());
    assert_eq!(log.recovery(), None);
    append(&log, 1);
    log.sync().unwrap();
    assert_eq!(usize::try_from(whole(directory.path()).segments).unwrap(), all.len());
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Commit,
    Abandon,
    Sync,
    Anchor(i64),
    /// Stops and starts again.
    Restart,
    /// Loses power: of what was not synced, this share of 256 is left.
    Lose(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Append),
        3 => Just(Step::Commit),
        1 => Just(Step::Abandon),
        3 => Just(Step::Sync),
        1 => any::<i64>().prop_map(Step::Anchor),
        1 => Just(Step::Restart),
        1 => any::<u8>().prop_map(Step::Lose),
    ]
}

/// What the store would remember, and what the log must therefore hold.
#[derive(Default)]
struct Model {
    next: u64,
    /// Commits whose outbox rows are still there.
    outbox: BTreeSet<u64>,
    synced: BTreeSet<u64>,
    unsynced: BTreeSet<u64>,
    head: Option<Hash>,
    /// The last segment's path and length when it was synced.
    durable: Option<(PathBuf, usize)>,
}

impl Model {
    fn note_sync(&mut self, log: &Log, directory: &Path) {
        let synced = log.sync().unwrap();
        for commit in synced.commits {
            assert!(self.outbox.remove(&commit));
        }
        self.head = Some(synced.head.hash);
        self.synced.append(&mut self.unsynced);
        let (path, bytes) = files(directory).pop().unwrap();
        // A sync that closed a segment leaves the next one's opening entry to the next sync.
        let length = if log.head() == synced.head { bytes.len() } else { 0 };
        self.durable = Some((path, length));
    }

    fn restart(&mut self, directory: &Path) -> Log {
        let log = Log::open(directory, key(), NODE, Settings { expected_head: self.head, ..settings() }).unwrap();
        for commit in self.outbox.clone() {
            log.replay(commit, &prepared(commit)).unwrap();
        }
        self.note_sync(&log, directory);
        log
    }

    fn lose(&mut self, directory: &Path, share: u8) {
        let (path, bytes) = files(directory).pop().unwrap();
        let durable = match &self.durable {
            Some((synced, length)) if *synced == path => *length,
            _ => 0,
        };
        let left = durable + (bytes.len() - durable) * usize::from(share) / 256;
        std::fs::write(path, &bytes[..left]).unwrap();
        self.unsynced.retain(|id| self.outbox.contains(id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_synced_or_committed_is_ever_lost(steps in prop::collection::vec(step(), 1..40)) {
        let directory = scratch();
        let mut model = Model::default();
        let mut log = Some(model.restart(directory.path()));
        for step in steps {
            let current = log.take().unwrap();
            model.next += 1;
            let id = model.next;
            match step {
                Step::Append => { append(&current, id); model.unsynced.insert(id); }
                Step::Commit => {
                    append_committed(&current, id, id);
                    model.outbox.insert(id);
                    model.unsynced.insert(id);
                }
                Step::Abandon => { drop(current.open_call(call(id))); model.unsynced.insert(id); }
                Step::Sync => model.note_sync(&current, directory.path()),
                Step::Anchor(number) => current.anchor(&Value::from(number)).unwrap(),
                Step::Restart => {
                    drop(current);
                    log = Some(model.restart(directory.path()));
                    continue;
                }
                Step::Lose(share) => {
                    drop(current);
                    model.lose(directory.path(), share);
                    log = Some(model.restart(directory.path()));
                    continue;
                }
            }
            log = Some(current);
        }
        model.note_sync(&log.take().unwrap(), directory.path());
        let report = verify(directory.path(), None, model.head);
        prop_assert_eq!(report.first_fault, None);
        let ids = event_ids(directory.path());
        let distinct: BTreeSet<_> = ids.iter().cloned().collect();
        prop_assert_eq!(ids.len(), distinct.len(), "a record occurs twice");
        for id in &model.synced {
            prop_assert!(distinct.contains(&format!("event-{id}")), "record {} is missing", id);
        }
    }
}
