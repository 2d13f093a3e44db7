//! Records that travel in the commit they describe: into the log exactly once.

use std::sync::Arc;

use claviger_store::{Action, Point};

use crate::toy::Ask;
use crate::{Kit, demand_whole};

#[tokio::test]
async fn a_record_lost_with_the_process_is_replayed_once() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.script.next(Point::Commit, Action::LoseAnswer);
    let (id, result) = kit.ask(&engine, Ask::Set(vec![("a".to_owned(), "1".to_owned())])).await;
    assert!(result.is_err());
    assert_eq!(kit.recorded(&id), 0, "the commit's own record is still in the outbox");
    drop(engine);
    for _ in 0..3 {
        drop(kit.open().await);
        assert_eq!(kit.recorded(&id), 1);
    }
    assert_eq!(kit.outbox().await, 0);
}

#[tokio::test]
async fn a_sync_empties_the_outbox() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for number in 0..75 {
        kit.set(&engine, &format!("n{number}"), "x").await;
    }
    assert_eq!(kit.outbox().await, 75);
    engine.sync_audit().await.unwrap();
    assert_eq!(kit.outbox().await, 0);
    demand_whole(&engine).await;
}

/// The removal is a commit of its own, which may fail: the rows are then removed by a later sync.
#[tokio::test]
async fn rows_whose_removal_failed_are_removed_later() {
    for action in [Action::Conflict, Action::Refuse, Action::LoseCommit, Action::LoseAnswer] {
        let kit = Kit::new();
        let engine = kit.open().await;
        kit.set(&engine, "a", "1").await;
        kit.script.next(Point::Commit, action);
        drop(engine.sync_audit().await);
        engine.sync_audit().await.unwrap();
        assert_eq!(kit.outbox().await, 0);
        demand_whole(&engine).await;
    }
}

/// Calls that go on while a sync runs: nothing that became durable meanwhile is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_calls_made_during_a_sync_are_removed_too() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    let writer = {
        let (kit, engine) = (Arc::clone(&kit), Arc::clone(&engine));
        tokio::spawn(async move {
            for number in 0..150 {
                kit.set(&engine, &format!("n{}", number % 20), "x").await;
            }
        })
    };
    while !writer.is_finished() {
        engine.sync_audit().await.unwrap();
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    engine.sync_audit().await.unwrap();
    assert_eq!(kit.outbox().await, 0);
}

/// Outbox numbers run ahead of commit numbers when calls share a commit or are run again. A number that is used
/// again after a start would make the replay take a new record for an old one that the log holds.
#[tokio::test]
async fn a_start_does_not_use_outbox_numbers_again() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for _ in 0..10 {
        kit.script.next(Point::Commit, Action::Conflict);
    }
    kit.set(&engine, "a", "1").await;
    for number in 0..5 {
        kit.set(&engine, &format!("n{number}"), "1").await;
    }
    engine.sync_audit().await.unwrap();
    drop(engine);
    let engine = kit.open().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        kit.script.next(Point::Commit, Action::LoseAnswer);
        let set = Ask::Set(vec![(format!("m{number}"), "1".to_owned())]);
        ids.push(kit.ask(&engine, set).await.0);
    }
    drop(engine);
    drop(kit.open().await);
    for id in ids {
        assert_eq!(kit.recorded(&id), 1, "{id}");
    }
}

/// One outbox row is edited, or dropped: the records of the others still come into the log, and the door opens.
#[tokio::test]
async fn a_tampered_row_does_not_take_the_others_with_it() {
    use claviger_store::{Batch, Range, Store as _};
    for dropped in [false, true] {
        let kit = Kit::new();
        let engine = kit.open().await;
        let mut ids = Vec::new();
        for number in 0..40 {
            kit.script.next(Point::Commit, Action::LoseAnswer);
            let set = Ask::Set(vec![(format!("n{number}"), "1".to_owned())]);
            ids.push(kit.ask(&engine, set).await.0);
        }
        drop(engine);
        let view = kit.store.snapshot().await.unwrap();
        let (key, _) = view.scan(Range::prefix(b"outbox/"), None, 4).await.unwrap().pop().unwrap();
        let mut batch = Batch::new();
        if dropped {
            batch.delete(key)
        } else {
            batch.put(key, "edited")
        };
        kit.store.commit(batch).await.unwrap();
        drop(view);
        let engine = kit.open().await;
        let missing = ids.iter().filter(|id| kit.recorded(id) != 1).count();
        assert_eq!(missing, 1, "only the record that was destroyed is missing");
        kit.set(&engine, "after", "works").await;
    }
}
