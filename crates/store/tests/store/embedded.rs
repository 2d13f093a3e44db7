//! What only the embedded store has: files, a lock, a writer that groups, a log to erase.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use claviger_store::{Batch, CommitError, Embedded, OpenError, Range, Revision, Store, StoreError, WatchEvent, limit};

fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key.into(), value.into());
    batch
}

fn contains(path: &Path, needle: &[u8]) -> bool {
    let files = fs::read_dir(path).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

fn open_error(path: &Path) -> OpenError {
    match Embedded::open(path) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn rows_and_revisions_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made").join("here");
    for number in 0..3_u64 {
        let store = Embedded::open(&path).unwrap();
        assert_eq!(store.snapshot().await.unwrap().revision(), Revision(number));
        assert_eq!(store.commit(put("row", number.to_string())).await, Ok(Revision(number + 1)));
        if number == 1 {
            store.close().await.unwrap();
        }
    }
    let store = Embedded::open(&path).unwrap();
    let row = store.snapshot().await.unwrap().get(b"row").await.unwrap().unwrap();
    assert_eq!((&*row.value, row.revision), (b"2".as_slice(), Revision(3)));
    let mut watch = store.watch(b"", Revision(2)).await.unwrap();
    assert!(matches!(watch.next().await, Ok(WatchEvent::Lost)), "what happened before the start is not told");
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Embedded::open(&path).unwrap();
    store.commit(put("row", "value")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    assert_eq!(open_error(directory.path()), OpenError::Locked);
    store.commit(put("row", "value")).await.unwrap();
    drop(store);
    let store = Embedded::open(directory.path()).unwrap();
    assert_eq!(store.snapshot().await.unwrap().revision(), Revision(1));
    store.close().await.unwrap();
    assert!(Embedded::open(directory.path()).is_ok(), "closing unlocks before the handle is dropped");
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.sqlite");
    let set_up: [(&str, OpenError); 4] = [
        ("PRAGMA application_id = 0x436c6176; PRAGMA user_version = 2", OpenError::Newer { found: 2, known: 1 }),
        ("CREATE TABLE someone (else_s INTEGER)", OpenError::Foreign),
        ("PRAGMA application_id = 7; PRAGMA user_version = 1", OpenError::Foreign),
        ("PRAGMA application_id = 0x436c6176", OpenError::Corrupt),
    ];
    for (sql, expected) in set_up {
        let _: Result<_, _> = fs::remove_file(&file);
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&file).unwrap();
        assert_eq!(open_error(directory.path()), expected);
        assert_eq!(fs::read(&file).unwrap(), before, "left alone");
    }
    fs::write(&file, "not a database, and long enough that nobody takes it for an empty one".repeat(20)).unwrap();
    assert_eq!(open_error(directory.path()), OpenError::Foreign);
}

#[test]
fn a_directory_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open_error(&file.join("store")), OpenError::Unwritable(_)));
    assert!(matches!(open_error(&file), OpenError::Unwritable(_)));
}

#[tokio::test]
async fn a_damaged_file_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    for number in 0..200_u32 {
        store.commit(put(number.to_be_bytes(), vec![1; 500])).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let file = directory.path().join("store.sqlite");
    let mut bytes = fs::read(&file).unwrap();
    // Every page but the first loses its header.
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..8].fill(0xee);
    }
    fs::write(&file, bytes).unwrap();
    match Embedded::open(directory.path()) {
        Ok(store) => {
            let answer = match store.snapshot().await {
                Ok(view) => view.scan(Range::all(), None, 1000).await.map(|_| ()),
                Err(error) => Err(error),
            };
            assert_eq!(answer, Err(StoreError::Corrupt));
            assert!(store.fault().is_some());
        }
        Err(error) => assert_eq!(error, OpenError::Corrupt),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_are_all_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(directory.path()).unwrap());
    store.commit(put("counter", 0_u64.to_be_bytes())).await.unwrap();
    let increments = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..25 {
                loop {
                    let view = store.snapshot().await.unwrap();
                    let row = view.get(b"counter").await.unwrap().unwrap();
                    drop(view);
                    let number = u64::from_be_bytes((&*row.value).try_into().unwrap());
                    let mut batch = put("counter", (number + 1).to_be_bytes());
                    batch.check_revision("counter", row.revision);
                    match store.commit(batch).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error, CommitError::Conflict),
                    }
                }
            }
        })
    });
    let increments: Vec<_> = increments.collect();
    for increment in increments {
        increment.await.unwrap();
    }
    let row = store.snapshot().await.unwrap().get(b"counter").await.unwrap().unwrap();
    assert_eq!(*row.value, 200_u64.to_be_bytes());
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    // Each close to a mebibyte, and called faster than they can be synced: more than the queue holds.
    let value = bytes::Bytes::from(vec![3; limit::BATCH_BYTES_MAX - 100]);
    let calls: Vec<_> = (0..400_u32)
        .map(|number| {
            let mut batch = Batch::new();
            batch.put((number % 4).to_be_bytes().to_vec(), value.clone());
            store.commit(batch)
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        match call.await {
            Ok(_) => (),
            Err(error) => {
                assert_eq!(error, CommitError::Unavailable);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the queue has an end");
    store.commit(put("row", "value")).await.unwrap();
}

#[tokio::test]
async fn erased_rows_are_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    let secret = |number: u32, round: u32| format!("<<material {number:04} of round {round}>>").repeat(40);
    for round in 0..3 {
        for number in 0..64_u32 {
            store.commit(put(number.to_be_bytes(), secret(number, round))).await.unwrap();
        }
    }
    assert!(contains(directory.path(), b"of round 0"), "the log still has what was overwritten");
    let view = store.snapshot().await.unwrap();
    for number in (0..64_u32).step_by(2) {
        let mut batch = Batch::new();
        batch.delete(number.to_be_bytes().to_vec());
        store.commit(batch).await.unwrap();
    }
    assert_eq!(store.erase().await, Err(StoreError::Unavailable), "an older view needs the log");
    assert!(view.get(&0_u32.to_be_bytes()).await.unwrap().is_some());
    drop(view);
    store.erase().await.unwrap();
    let gone = |path: &Path| {
        assert!(!contains(path, b"of round 0") && !contains(path, b"of round 1"), "overwritten");
        for number in 0..64_u32 {
            let text = format!("<<material {number:04}");
            assert_eq!(contains(path, text.as_bytes()), number % 2 == 1, "{text}");
        }
    };
    gone(directory.path());
    store.close().await.unwrap();
    gone(directory.path());
    assert!(!directory.path().join("store.sqlite-wal").exists(), "no log is left behind");
}

#[tokio::test]
async fn closing_waits_for_views_and_finishes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(directory.path()).unwrap());
    let queued: Vec<_> = (0..20_u32).map(|number| store.commit(put(number.to_be_bytes(), "value"))).collect();
    let view = store.snapshot().await.unwrap();
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    for commit in queued {
        commit.await.unwrap();
    }
    assert!(view.get(b"none").await.unwrap().is_none(), "an open view goes on");
    drop(view);
    closing.await.unwrap().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    assert_eq!(store.snapshot().await.unwrap().revision(), Revision(20));
}

#[tokio::test]
async fn more_views_than_there_is_room_for_wait() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    let mut views = Vec::new();
    for _ in 0..limit::VIEWS_MAX {
        views.push(store.snapshot().await.unwrap());
    }
    let mut next = store.snapshot();
    let pending = std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    views.pop();
    assert_eq!(next.await.unwrap().revision(), Revision::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_runs_beside_the_writers_misses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(directory.path()).unwrap());
    let writers = (0..4_u8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..50_u8 {
                store.commit(put([writer, number], "value")).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut watch = store.watch(b"", Revision::ZERO).await.unwrap();
    let mut at = Revision::ZERO;
    while at < Revision(200) {
        match watch.next().await.unwrap() {
            WatchEvent::Changes(revision, writes) => {
                assert_eq!((revision, writes.len()), (at.next(), 1));
                at = revision;
                // What is told can be read, and a watch from any view on is accepted.
                let view = store.snapshot().await.unwrap();
                assert!(view.revision() >= revision && view.get(&writes[0].0).await.unwrap().is_some());
                let mut later = store.watch(b"", view.revision()).await.unwrap();
                assert!(!matches!(later.next().await.unwrap(), WatchEvent::Lost));
            }
            WatchEvent::Progress(revision) => assert_eq!(revision, at),
            WatchEvent::Lost => panic!("lost"),
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Rows of every size, rewritten and deleted at random, so that pages split, merge and overflow; no version that
/// is gone may be left anywhere in the files.
#[tokio::test]
async fn no_version_survives_its_erasure_whatever_the_pages_go_through() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut versions = [0_u64; 96];
    let mut gone = Vec::new();
    for version in 1..=1500_u64 {
        let number = usize::try_from(below(96)).unwrap();
        let old = std::mem::replace(&mut versions[number], version);
        if old > 0 {
            gone.push(old);
        }
        // The mark fills the value, so that any piece of it that is left gives it away.
        let mut value = format!("<{version:08}>").repeat(1 + usize::try_from(below(8).pow(3)).unwrap());
        value.push('.');
        let mut batch = put((number as u64).to_be_bytes(), value);
        if below(4) == 0 {
            batch.delete((number as u64).to_be_bytes().to_vec());
            gone.push(version);
            versions[number] = 0;
        }
        store.commit(batch).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let bytes = fs::read(directory.path().join("store.sqlite")).unwrap();
    let marks = bytes.windows(10).filter(|window| window[0] == b'<' && window[9] == b'>');
    let found: BTreeSet<u64> = marks.filter_map(|mark| std::str::from_utf8(&mark[1..9]).ok()?.parse().ok()).collect();
    let live: BTreeSet<u64> = versions.into_iter().filter(|version| *version > 0).collect();
    assert_eq!(found, live);
    assert!(gone.len() > 1000);
}
