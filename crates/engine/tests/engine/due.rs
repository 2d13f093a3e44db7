//! Due work: done once, in its order, and one job that cannot be done does not keep the others from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger_store::{Action, Batch, Point, Store as _};

use crate::toy::{Ask, Toy, note_key};
use crate::{Kit, START, demand_whole};

async fn planned(kit: &Kit, engine: &claviger_engine::Engine, name: &str, at: i64) {
    kit.set(engine, name, "x").await;
    kit.ask(engine, Ask::DropAt(name.to_owned(), at)).await.1.unwrap();
}

#[tokio::test]
async fn a_job_is_done_when_its_time_has_come_and_once() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, "a", START + 10).await;
    planned(&kit, &engine, "b", START + 20).await;
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    kit.clock.0.store(START + 10, Ordering::SeqCst);
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    assert_eq!(kit.get(&engine, "a").await, None);
    assert_eq!(kit.get(&engine, "b").await.as_deref(), Some("x"));
    kit.clock.0.store(START + 30, Ordering::SeqCst);
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    let dropped = kit.lines().iter().filter(|line| line.contains("DropNote")).count();
    assert_eq!(dropped, 2);
    demand_whole(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runners_do_each_job_once() {
    let kit = Arc::new(Kit::new());
    let engine = kit.open().await;
    for number in 0..70 {
        planned(&kit, &engine, &format!("n{number}"), START + number).await;
    }
    kit.clock.0.store(START + 1_000, Ordering::SeqCst);
    let runners: Vec<_> = (0..3)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.run_due(&Toy).await })
        })
        .collect();
    for runner in runners {
        runner.await.unwrap().unwrap();
    }
    let dropped = kit.lines().iter().filter(|line| line.contains("DropNote")).count();
    assert_eq!(dropped, 70);
    demand_whole(&engine).await;
}

#[tokio::test]
async fn a_job_whose_commit_failed_stays_due() {
    for action in [Action::Refuse, Action::LoseCommit, Action::LoseAnswer] {
        let kit = Kit::new();
        let engine = kit.open().await;
        // The newest time seen is stored by a commit of its own.
        assert_eq!(engine.run_due(&Toy).await, Ok(0));
        planned(&kit, &engine, "a", START).await;
        kit.script.next(Point::Commit, action);
        assert!(engine.run_due(&Toy).await.is_err());
        engine.run_due(&Toy).await.unwrap();
        assert_eq!(kit.get(&engine, "a").await, None);
        drop(engine);
        let engine = kit.open().await;
        let dropped = kit.lines().iter().filter(|line| line.contains("DropNote")).count();
        assert_eq!(dropped, 1);
        demand_whole(&engine).await;
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_done_does_not_stop_the_others() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for number in 0..60 {
        planned(&kit, &engine, &format!("n{number:02}"), START + number).await;
    }
    drop(engine);
    let mut batch = Batch::new();
    batch.put(note_key("n03").as_bytes().to_vec(), "not a row");
    kit.store.commit(batch).await.unwrap();
    let engine = kit.open().await;
    kit.clock.0.store(START + 1_000, Ordering::SeqCst);
    assert!(engine.run_due(&Toy).await.is_err(), "the fault is told");
    for number in (0..60).filter(|number| *number != 3) {
        let found = kit.ask(&engine, Ask::Get(format!("n{number:02}"))).await.1;
        // Names that share a group with the broken row are refused with it.
        assert!(matches!(found, Ok(None) | Err(_)), "n{number:02} was not dropped");
    }
    let dropped = kit.lines().iter().filter(|line| line.contains("DropNote")).count();
    assert!(dropped >= 55, "{dropped}");
}
