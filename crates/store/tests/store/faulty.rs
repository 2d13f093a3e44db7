//! The faults do what their names say.

use claviger_store::{
    Action, Batch, CommitError, Faulty, Gate, Memory, Point, Range, Revision, Store, StoreError, WatchEvent,
};

fn two_rows() -> Batch {
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "1");
    batch
}

async fn rows(store: &impl Store) -> usize {
    store.snapshot().await.unwrap().scan(Range::all(), None, 10).await.unwrap().len()
}

#[tokio::test]
async fn each_fault_of_a_commit() {
    let unknown = Err(CommitError::Unknown);
    let cases = [
        (Action::Pass, Ok(Revision(1)), 2),
        (Action::Refuse, Err(CommitError::Unavailable), 0),
        (Action::Conflict, Err(CommitError::Conflict), 0),
        (Action::LoseCommit, unknown, 0),
        (Action::LoseAnswer, unknown, 2),
        (Action::Tear(1), unknown, 1),
    ];
    for (action, answer, applied) in cases {
        let store = Faulty::scripted(Memory::new());
        store.script().next(Point::Commit, action);
        assert_eq!(store.commit(two_rows()).await, answer);
        assert_eq!(rows(&store).await, applied);
        assert_eq!(store.script().count(Point::Commit), 1);
    }
}

#[tokio::test]
async fn a_crash_lasts_until_it_is_revived() {
    let store = Faulty::scripted(Memory::new());
    store.commit(two_rows()).await.unwrap();
    let view = store.snapshot().await.unwrap();
    store.script().next(Point::Commit, Action::Crash);
    for _ in 0..3 {
        assert_eq!(store.commit(two_rows()).await, Err(CommitError::Unavailable));
        assert!(matches!(store.snapshot().await, Err(StoreError::Unavailable)));
        assert!(matches!(view.get(b"a").await, Err(StoreError::Unavailable)));
    }
    store.script().revive();
    assert!(view.get(b"a").await.unwrap().is_some());
    assert_eq!(store.commit(two_rows()).await, Ok(Revision(2)));
}

#[tokio::test]
async fn a_gate_holds_and_a_watch_is_lost() {
    let store = std::sync::Arc::new(Faulty::scripted(Memory::new()));
    let gate = Gate::new();
    store.script().next(Point::Commit, Action::Hold(gate.clone()));
    let held = tokio::spawn({
        let store = std::sync::Arc::clone(&store);
        async move { store.commit(two_rows()).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(rows(&*store).await, 0);
    gate.open();
    assert_eq!(held.await.unwrap(), Ok(Revision(1)));

    let mut watch = store.watch(b"", Revision::ZERO).await.unwrap();
    store.script().next(Point::Watch, Action::Refuse);
    assert!(matches!(watch.next().await, Ok(WatchEvent::Lost)));
    assert!(matches!(watch.next().await, Ok(WatchEvent::Lost)));
}
