//! Random histories: whatever the store answers, the simplest model that could be right answers the same.
//!
//! The model keeps a whole copy of the rows for every revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use claviger_store::{Batch, CommitError, Embedded, Memory, Range, Revision, Store, View, Watch, WatchEvent};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Check {
    Absent(u8),
    /// Against the revision so many commits ago.
    Revision(u8, u64),
    /// Against the row's own revision.
    Current(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Check>, Vec<(u8, Option<Vec<u8>>)>),
    Open,
    /// Reads everything through the open view of this number.
    Read(usize, u8, u8, usize),
    Drop(usize),
    Erase,
    Reopen,
}

type Rows = BTreeMap<Bytes, (Bytes, Revision)>;

fn key(number: u8) -> Bytes {
    // Of different lengths, with common prefixes and the extreme bytes.
    let texts: [&[u8]; 8] = [b"\0", b"a", b"a\0", b"aa", b"a\xff", b"b", b"\xff", b"\xff\xff"];
    Bytes::from_static(texts[usize::from(number) % texts.len()])
}

fn check() -> impl Strategy<Value = Check> {
    prop_oneof![
        any::<u8>().prop_map(Check::Absent),
        (any::<u8>(), 0..4_u64).prop_map(|(key, ago)| Check::Revision(key, ago)),
        any::<u8>().prop_map(Check::Current),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![3 => vec(any::<u8>(), 0..8), 1 => vec(any::<u8>(), 3000..6000)];
    let write = (any::<u8>(), proptest::option::weighted(0.7, value));
    prop_oneof![
        12 => (vec(check(), 0..2), vec(write, 0..5)).prop_map(|(checks, writes)| Step::Commit(checks, writes)),
        3 => Just(Step::Open),
        6 => (0..4_usize, any::<u8>(), any::<u8>(), 0..6_usize).prop_map(|(v, a, b, n)| Step::Read(v, a, b, n)),
        2 => (0..4_usize).prop_map(Step::Drop),
        1 => Just(Step::Erase),
        1 => Just(Step::Reopen),
    ]
}

/// What was committed: the rows after each revision.
struct Model(Vec<Rows>);

impl Model {
    fn head(&self) -> (&Rows, Revision) {
        (self.0.last().unwrap(), Revision(self.0.len() as u64 - 1))
    }

    fn batch(&self, checks: &[Check], writes: &[(u8, Option<Vec<u8>>)]) -> Batch {
        let (rows, head) = self.head();
        let mut batch = Batch::new();
        for check in checks {
            match check {
                Check::Absent(number) => batch.check_absent(key(*number)),
                Check::Revision(number, ago) => {
                    batch.check_revision(key(*number), Revision(head.0.saturating_sub(*ago)))
                }
                Check::Current(number) => match rows.get(&key(*number)) {
                    Some((_, revision)) => batch.check_revision(key(*number), *revision),
                    None => batch.check_absent(key(*number)),
                },
            };
        }
        for (number, value) in writes {
            match value {
                Some(value) => batch.put(key(*number), value.clone()),
                None => batch.delete(key(*number)),
            };
        }
        batch
    }

    fn commit(&mut self, batch: &Batch) -> Result<Revision, CommitError> {
        let (rows, head) = self.head();
        for (key, check) in batch.checks() {
            let found = rows.get(key).map(|(_, revision)| *revision);
            let wanted = match check {
                claviger_store::Check::Absent => None,
                claviger_store::Check::Revision(revision) => Some(revision),
            };
            if found != wanted {
                return Err(CommitError::Conflict);
            }
        }
        let mut after = rows.clone();
        let mut changed = false;
        for (key, value) in batch.writes() {
            changed |= match value {
                Some(value) => {
                    after.insert(key.clone(), (value.clone(), Revision(head.0 + 1)));
                    true
                }
                None => after.remove(key).is_some(),
            };
        }
        if changed {
            self.0.push(after);
        }
        Ok(self.head().1)
    }
}

async fn read(view: &dyn View, model: &Model, bounds: (u8, u8), count: usize) {
    let rows = &model.0[view.revision().0 as usize];
    for number in 0..8 {
        let found = view.get(&key(number)).await.unwrap().map(|row| (row.value, row.revision));
        assert_eq!(found, rows.get(&key(number)).cloned());
    }
    let ranges = [
        Range::all(),
        Range::prefix(&key(bounds.0)),
        Range { start: key(bounds.0), end: Some(key(bounds.1)) },
        Range { start: key(bounds.0), end: None },
    ];
    for range in ranges {
        for after in [None, Some(key(bounds.1))] {
            let found = view.scan(range.clone(), after.as_deref(), count).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|(key, row)| (key, (row.value, row.revision))).collect();
            let inside = |key: &Bytes| range.contains(key) && after.as_ref().is_none_or(|after| key > after);
            let expected = rows.iter().filter(|(key, _)| inside(key)).take(count);
            let expected: Vec<_> = expected.map(|(key, row)| (key.clone(), row.clone())).collect();
            assert_eq!(found, expected);
        }
    }
}

/// Replays a watch on a copy of the rows; after each event the copy must equal the model at that revision.
async fn follow(watch: &mut dyn Watch, model: &Model, mut at: Revision) {
    let mut copy = model.0[at.0 as usize].clone();
    watch.request_progress();
    while at < model.head().1 {
        match watch.next().await.unwrap() {
            WatchEvent::Changes(revision, writes) => {
                assert_eq!(revision, at.next(), "no gap");
                for (key, row) in writes {
                    match row {
                        Some(row) => _ = copy.insert(key, (row.value, row.revision)),
                        None => assert!(copy.remove(&key).is_some(), "only rows that were there are deleted"),
                    }
                }
                at = revision;
            }
            WatchEvent::Progress(revision) => assert_eq!(revision, at),
            WatchEvent::Lost => panic!("lost though it follows"),
        }
        assert_eq!(copy, model.0[at.0 as usize]);
    }
}

async fn run(mut reopen: impl FnMut(Option<Box<dyn Store>>) -> Box<dyn Store>, steps: Vec<Step>) {
    let mut store = reopen(None);
    let mut model = Model(vec![Rows::new()]);
    let mut views: Vec<Box<dyn View>> = Vec::new();
    let mut watch = (store.watch(b"", Revision::ZERO).await.unwrap(), Revision::ZERO);
    for step in steps {
        match step {
            Step::Commit(checks, writes) => {
                let batch = model.batch(&checks, &writes);
                let expected = model.commit(&batch);
                assert_eq!(store.commit(batch).await, expected);
            }
            Step::Open => views.push(store.snapshot().await.unwrap()),
            Step::Read(number, from, to, count) => {
                if let Some(view) = views.get(number) {
                    read(&**view, &model, (from, to), count).await;
                }
            }
            Step::Drop(number) => {
                if number < views.len() {
                    views.swap_remove(number);
                }
            }
            Step::Erase => {
                follow(&mut *watch.0, &model, watch.1).await;
                watch.1 = model.head().1;
                // With a view open it may have to be tried again; it must do no harm.
                let erased = store.erase().await;
                assert!(erased.is_ok() || !views.is_empty());
            }
            Step::Reopen => {
                follow(&mut *watch.0, &model, watch.1).await;
                views.clear();
                store = reopen(Some(store));
                watch = (store.watch(b"", model.head().1).await.unwrap(), model.head().1);
            }
        }
        let fresh = store.snapshot().await.unwrap();
        assert_eq!(fresh.revision(), model.head().1);
    }
    follow(&mut *watch.0, &model, watch.1).await;
    read(&*store.snapshot().await.unwrap(), &model, (0, 7), 10).await;
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_agrees_with_the_model(steps in vec(step(), 1..60)) {
        // It has nothing to reopen: the same store goes on.
        block_on(run(|store| store.unwrap_or_else(|| Box::new(Memory::new())), steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn embedded_agrees_with_the_model(steps in vec(step(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let reopen = |store: Option<Box<dyn Store>>| -> Box<dyn Store> {
            drop(store);
            Box::new(Embedded::open(directory.path()).unwrap())
        };
        block_on(run(reopen, steps));
    }
}
