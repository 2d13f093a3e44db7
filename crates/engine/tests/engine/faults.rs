//! A store that conflicts, loses answers, tears and crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_store::{Action, Faulty, Memory, Point};

use crate::toy::Ask;
use crate::{Dice, Kit, demand_whole};

#[tokio::test]
async fn a_conflict_runs_the_call_again() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for _ in 0..5 {
        kit.script.next(Point::Commit, Action::Conflict);
    }
    let id = kit.set(&engine, "a", "1").await;
    assert_eq!(kit.get(&engine, "a").await.as_deref(), Some("1"));
    assert_eq!(kit.recorded(&id), 1);
    demand_whole(&engine).await;
}

#[tokio::test]
async fn conflicts_without_end_end_in_an_error() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for _ in 0..claviger_engine::COMMIT_RETRIES_MAX {
        kit.script.next(Point::Commit, Action::Conflict);
    }
    let (id, result) = kit.ask(&engine, Ask::Set(vec![("a".to_owned(), "1".to_owned())])).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure");
    assert_eq!(kit.recorded(&id), 0, "only its failure is recorded");
    assert_eq!(kit.get(&engine, "a").await, None);
    kit.set(&engine, "a", "2").await;
    demand_whole(&engine).await;
}

#[tokio::test]
async fn a_lost_answer_is_an_error_and_the_truth_is_read_again() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    kit.script.next(Point::Commit, Action::LoseAnswer);
    let (_, result) = kit.ask(&engine, Ask::Set(vec![("a".to_owned(), "2".to_owned())])).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure");
    assert_eq!(kit.get(&engine, "a").await.as_deref(), Some("2"), "the cache does not hide what was committed");
    kit.set(&engine, "a", "3").await;
    assert_eq!(kit.get(&engine, "a").await.as_deref(), Some("3"));
    demand_whole(&engine).await;
    drop(engine);
    demand_whole(&*kit.open().await).await;
}

#[tokio::test]
async fn a_lost_commit_is_an_error_and_nothing_changed() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    for action in [Action::LoseCommit, Action::Refuse] {
        kit.script.next(Point::Commit, action);
        let (id, result) = kit.ask(&engine, Ask::Set(vec![("a".to_owned(), "2".to_owned())])).await;
        assert_eq!(result.unwrap_err().code, "ToyFailure");
        assert_eq!(kit.get(&engine, "a").await.as_deref(), Some("1"));
        assert_eq!(kit.recorded(&id), 0);
    }
    kit.set(&engine, "a", "3").await;
    demand_whole(&engine).await;
}

/// What no sound store does. The rows that were half written are refused, at once and after a start; others work.
#[tokio::test]
async fn a_torn_commit_is_noticed_and_never_adopted() {
    for kept in 1..5 {
        let kit = Kit::new();
        let engine = kit.open().await;
        kit.set(&engine, "other", "fine").await;
        kit.set(&engine, "a", "1").await;
        kit.set(&engine, "b", "1").await;
        kit.script.next(Point::Commit, Action::Tear(kept));
        let both = vec![("a".to_owned(), "2".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert!(kit.ask(&engine, Ask::Set(both)).await.1.is_err());
        // A commit on other rows must not make the torn state look right.
        let after = kit.ask(&engine, Ask::Set(vec![("other".to_owned(), "new".to_owned())])).await.1;
        let a = kit.ask(&engine, Ask::Get("a".to_owned())).await.1;
        let b = kit.ask(&engine, Ask::Get("b".to_owned())).await.1;
        let halves = |value: &Result<Option<String>, _>| matches!(value, Ok(Some(text)) if text == "2");
        assert!(!halves(&a) && !halves(&b), "kept {kept}: a half of an unacknowledged commit shows");
        drop(engine);
        let reopened = kit.try_open().await;
        if let Ok(engine) = reopened {
            let found = engine.scrub().await.unwrap();
            assert!(!found.broken.is_empty(), "kept {kept}: noticed after a start too");
            if after.is_ok() {
                assert_eq!(kit.get(&engine, "other").await.as_deref(), Some("new"));
            }
        }
    }
}

#[tokio::test]
async fn after_a_crash_every_acknowledged_write_is_there() {
    let kit = Kit::new();
    let engine = kit.open().await;
    for number in 0..20 {
        kit.set(&engine, &format!("n{number}"), "kept").await;
    }
    kit.script.crash();
    assert!(kit.ask(&engine, Ask::Set(vec![("late".to_owned(), "x".to_owned())])).await.1.is_err());
    drop(engine);
    assert!(kit.try_open().await.is_err(), "a store that does not answer opens no door");
    kit.script.revive();
    let engine = kit.open().await;
    for number in 0..20 {
        assert_eq!(kit.get(&engine, &format!("n{number}")).await.as_deref(), Some("kept"));
    }
    assert_eq!(kit.get(&engine, "late").await, None);
    demand_whole(&engine).await;
}

/// What may be under a name: what was acknowledged last, or one of the attempts after it whose end is unknown.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<Option<String>>>);

impl Model {
    fn told(&mut self, name: &str, value: Option<String>, acknowledged: bool) {
        let possible = self.0.entry(name.to_owned()).or_insert_with(|| vec![None]);
        if acknowledged {
            possible.clear();
        }
        possible.push(value);
    }

    fn seen(&mut self, seed: u64, name: &str, value: Option<String>) {
        let possible = self.0.entry(name.to_owned()).or_insert_with(|| vec![None]);
        assert!(possible.contains(&value), "seed {seed}: {name} is {value:?}, expected one of {possible:?}");
        *possible = vec![value];
    }
}

/// Faults of every sound kind, drawn at random.
fn plan(seed: u64, calm: Arc<AtomicBool>) -> claviger_store::Plan {
    let dice = Dice::new(seed ^ 0xabcd);
    Box::new(move |point, _| match (point, dice.below(100)) {
        _ if calm.load(Ordering::SeqCst) => Action::Pass,
        (Point::Commit, 0..6) => Action::Conflict,
        (Point::Commit, 6..10) => Action::LoseCommit,
        (Point::Commit, 10..15) => Action::LoseAnswer,
        (Point::Commit, 15..18) => Action::Refuse,
        (Point::Commit, 18) => Action::Crash,
        (Point::Snapshot | Point::Read, 0..2) => Action::Refuse,
        _ => Action::Pass,
    })
}

async fn reopened(kit: &Kit, calm: &AtomicBool) -> Arc<claviger_engine::Engine> {
    // The first attempts meet the same faults as everything else.
    for attempt in 0..3 {
        kit.script.revive();
        calm.store(attempt == 2, Ordering::SeqCst);
        let opened = kit.try_open().await;
        calm.store(false, Ordering::SeqCst);
        if let Ok(engine) = opened {
            return engine;
        }
    }
    panic!("the engine does not open again");
}

async fn simulate(seed: u64) {
    let calm = Arc::new(AtomicBool::new(false));
    let store = Faulty::new(Memory::new(), plan(seed, Arc::clone(&calm)));
    let kit = Kit { script: store.script(), store: Arc::new(store), ..Kit::new() };
    let dice = Dice::new(seed);
    let (mut model, mut acknowledged) = (Model::default(), Vec::new());
    let mut engine = reopened(&kit, &calm).await;
    for step in 0..120 {
        let name = format!("n{}", dice.below(6));
        match dice.below(12) {
            0..6 => {
                let value = format!("v{step}");
                let (id, result) = kit.ask(&engine, Ask::Set(vec![(name.clone(), value.clone())])).await;
                model.told(&name, Some(value), result.is_ok());
                acknowledged.extend(result.is_ok().then_some(id));
            }
            6 => {
                let result = kit.ask(&engine, Ask::Drop(name.clone())).await.1;
                model.told(&name, None, result.is_ok());
            }
            7..10 => {
                if let Ok(value) = kit.ask(&engine, Ask::Get(name.clone())).await.1 {
                    model.seen(seed, &name, value);
                }
            }
            10 => drop(engine.sync_audit().await),
            _ => {
                drop(engine);
                engine = reopened(&kit, &calm).await;
            }
        }
        kit.script.revive();
        calm.store(true, Ordering::SeqCst);
        let found = engine.scrub().await.unwrap();
        calm.store(false, Ordering::SeqCst);
        assert!(found.broken.is_empty(), "seed {seed}, step {step}: {:?}", found.suspects);
    }
    drop(engine);
    let _last = reopened(&kit, &calm).await;
    for id in acknowledged {
        assert_eq!(kit.recorded(&id), 1, "seed {seed}: {id}");
    }
}

#[tokio::test]
async fn random_faults_never_break_the_books() {
    for seed in 0..60 {
        simulate(seed).await;
    }
}
