//! Many calls at once: all durable, merged into few store commits, and the sums stay right.

use std::sync::Arc;

use claviger_store::Point;

use crate::toy::Ask;
use crate::{Kit, demand_whole};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_made_at_once_are_all_durable_and_add_up() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            let (kit, engine) = (Arc::clone(&kit), Arc::clone(&engine));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for round in 0..5 {
                    ids.push(kit.set(&engine, &format!("note-{task}-{round}"), &format!("{task}.{round}")).await);
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.unwrap());
    }
    demand_whole(&engine).await;
    engine.sync_audit().await.unwrap();
    demand_whole(&engine).await;
    drop(engine);
    let engine = kit.open().await;
    demand_whole(&engine).await;
    for task in 0..40 {
        for round in 0..5 {
            let found = kit.get(&engine, &format!("note-{task}-{round}")).await;
            assert_eq!(found, Some(format!("{task}.{round}")));
        }
    }
    for id in ids {
        assert_eq!(kit.recorded(&id), 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contended_row_counts_every_acknowledged_call() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (kit, engine) = (Arc::clone(&kit), Arc::clone(&engine));
            tokio::spawn(async move {
                let mut done = 0;
                for _ in 0..20 {
                    done += u64::from(kit.ask(&engine, Ask::Add("counter".to_owned())).await.1.is_ok());
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    assert!(done >= 60, "most calls get through: {done}");
    assert_eq!(kit.get(&engine, "counter").await, Some(done.to_string()));
    demand_whole(&engine).await;
}

/// While the first commit is held, others queue; they then share one store commit.
#[tokio::test]
async fn waiting_calls_share_a_store_commit() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let gate = claviger_store::Gate::new();
    kit.script.next(Point::Commit, claviger_store::Action::Hold(gate.clone()));
    let before = kit.script.count(Point::Commit);
    let calls = async {
        let names: Vec<String> = (0..10).map(|name| format!("n{name}")).collect();
        let sets: Vec<_> = names.iter().map(|name| Box::pin(kit.set(&engine, name, "x"))).collect();
        let mut sets = sets.into_iter();
        let first = sets.next().unwrap();
        let rest = async {
            tokio::task::yield_now().await;
            join_all(sets.collect()).await;
        };
        let open = async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            gate.open();
        };
        tokio::join!(first, rest, open);
    };
    calls.await;
    assert_eq!(kit.script.count(Point::Commit) - before, 2, "one held, and one for the nine that waited");
    demand_whole(&engine).await;
}

/// Polls all of them, in one task.
async fn join_all<F: Future<Output = String> + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(move |context| {
        futures.retain_mut(|future| std::pin::Pin::new(future).poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_for_a_commit_is_refused_whole() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let many = (0..45).map(|name| (format!("n{name}"), "x".to_owned())).collect();
    let (_, result) = kit.ask(&engine, Ask::Set(many)).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure");
    let (_, result) = kit.ask(&engine, Ask::Set(vec![("big".to_owned(), "x".repeat(950_000))])).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure");
    assert_eq!(kit.get(&engine, "n0").await, None);
    assert_eq!(kit.get(&engine, "big").await, None);
    kit.set(&engine, "n0", "still works").await;
    demand_whole(&engine).await;
}

/// Whoever holds the turn may be cancelled; those behind it get theirs.
#[tokio::test]
async fn a_caller_that_goes_away_holds_nobody_up() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    kit.script.next(Point::Commit, claviger_store::Action::Hold(claviger_store::Gate::new()));
    let set = |name: &'static str| {
        let (kit, engine) = (Arc::clone(&kit), Arc::clone(&engine));
        tokio::spawn(async move { kit.set(&engine, name, "x").await })
    };
    let (gone, waits) = (set("gone"), set("waits"));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    waits.await.unwrap();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(kit.get(&engine, "waits").await.as_deref(), Some("x"));
    assert_eq!(kit.get(&engine, "gone").await, None);
    let unfinished = kit.lines().iter().filter(|line| line.contains("InternalFailure")).count();
    assert_eq!(unfinished, 1, "its call is recorded all the same");
    demand_whole(&engine).await;
}
