//! A clock that jumps: what is due stays due, and nothing is destroyed for a leap.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger_engine::{ClockStanding, Command, DOWNTIME_MAX_MILLIS, Engine, Fault, LEAP_MAX_MILLIS, Operator, Value};
use claviger_store::{Action, Batch, Point, Store as _};

use crate::toy::{Ask, Toy};
use crate::{Kit, START, demand_whole};

const DAY: i64 = 86_400_000;
const YEAR: i64 = 365 * DAY;
const MARK_ROW: &[u8] = b"time/newest/";

impl Kit {
    /// Time passes.
    fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Somebody sets the clock.
    fn leap(&self, millis: i64) {
        self.clock.2.fetch_add(millis, Ordering::SeqCst);
        self.pass(millis);
    }
}

/// A note that a job destroys at this time, and one that a harmless job tidies away.
async fn planned(kit: &Kit, engine: &Engine, at: i64) {
    for name in ["kept", "tidy"] {
        kit.set(engine, name, "x").await;
        kit.ask(engine, Ask::DropAt(name.to_owned(), at)).await.1.unwrap();
    }
}

/// Which of the two notes are there.
async fn left(kit: &Kit, engine: &Engine) -> [bool; 2] {
    [kit.get(engine, "kept").await.is_some(), kit.get(engine, "tidy").await.is_some()]
}

async fn accept(engine: &Engine) -> Result<claviger_engine::ClockState, claviger_engine::CommandError> {
    let command = Command {
        name: "AcceptClock",
        read_only: false,
        operator: Operator { uid: 1, process: None },
        request_id: "accept".to_owned(),
        account: None,
        facts: Value::Null,
    };
    engine.accept_clock(&command).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_leap_destroys_nothing_and_the_rest_goes_on() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, START + 30 * DAY).await;
    engine.run_due(&Toy).await.unwrap();
    kit.leap(10 * YEAR);
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    assert_eq!(left(&kit, &engine).await, [true, false]);
    let state = engine.clock_state();
    assert_eq!((state.standing, state.jobs_waiting), (ClockStanding::Leapt(10 * YEAR), 1));
    // The clock comes back, and the true time does what it should.
    kit.leap(-10 * YEAR);
    kit.pass(29 * DAY);
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    let state = engine.clock_state();
    assert_eq!((state.standing, state.jobs_waiting), (ClockStanding::Sound, 0));
    kit.pass(DAY);
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    assert_eq!(left(&kit, &engine).await, [false, false]);
    demand_whole(&engine).await;
}

#[tokio::test]
async fn what_has_truly_come_is_destroyed_though_the_clock_has_leapt() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, START + 7 * DAY).await;
    kit.leap(10 * YEAR);
    kit.pass(7 * DAY - 1);
    engine.run_due(&Toy).await.unwrap();
    assert_eq!(left(&kit, &engine).await, [true, false]);
    kit.pass(1);
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
}

#[tokio::test]
async fn small_leaps_do_not_add_up() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, START + DAY).await;
    for _ in 0..24 {
        engine.run_due(&Toy).await.unwrap();
        kit.leap(LEAP_MAX_MILLIS);
    }
    engine.run_due(&Toy).await.unwrap();
    assert_eq!(left(&kit, &engine).await, [true, false]);
}

#[tokio::test]
async fn a_restart_is_no_cause_for_a_leap() {
    for leap in [2 * DAY, 10 * YEAR] {
        let kit = Kit::new();
        let engine = kit.open().await;
        planned(&kit, &engine, START + DAY).await;
        engine.run_due(&Toy).await.unwrap();
        kit.leap(leap);
        assert_eq!(engine.run_due(&Toy).await, Ok(1));
        drop(engine);
        for _ in 0..3 {
            let engine = kit.open().await;
            assert_eq!(engine.run_due(&Toy).await, Ok(0), "{leap}");
            assert!(matches!(engine.clock_state().standing, ClockStanding::Leapt(_)), "{leap}");
            assert_eq!(left(&kit, &engine).await, [true, false]);
        }
    }
}

#[tokio::test]
async fn downtime_is_a_cause_as_far_as_it_is_plausible() {
    for (down, destroyed) in [(DOWNTIME_MAX_MILLIS, true), (DOWNTIME_MAX_MILLIS + 1, false), (10 * YEAR, false)] {
        let kit = Kit::new();
        let engine = kit.open().await;
        planned(&kit, &engine, START + DAY).await;
        engine.run_due(&Toy).await.unwrap();
        drop(engine);
        kit.pass(down);
        let engine = kit.open().await;
        assert_eq!(engine.run_due(&Toy).await, Ok(if destroyed { 2 } else { 1 }), "{down}");
        assert_eq!(left(&kit, &engine).await, [!destroyed, false], "{down}");
        if !destroyed {
            let state = accept(&engine).await.unwrap();
            assert_eq!(state.standing, ClockStanding::Sound);
            assert_eq!(engine.run_due(&Toy).await, Ok(1));
            assert_eq!(left(&kit, &engine).await, [false, false]);
            assert!(kit.lines().iter().any(|line| line.contains("AcceptClock") && line.contains("newestTimeBefore")));
        }
        demand_whole(&engine).await;
    }
}

#[tokio::test]
async fn what_an_operator_accepted_holds_after_a_restart() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, START + DAY).await;
    engine.run_due(&Toy).await.unwrap();
    kit.leap(10 * YEAR);
    engine.run_due(&Toy).await.unwrap();
    accept(&engine).await.unwrap();
    drop(engine);
    let engine = kit.open().await;
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    assert_eq!(left(&kit, &engine).await, [false, false]);
}

#[tokio::test]
async fn while_the_clock_is_behind_time_stands_still() {
    let kit = Kit::new();
    let mut engine = kit.open().await;
    planned(&kit, &engine, START + 10 * DAY).await;
    engine.run_due(&Toy).await.unwrap();
    kit.pass(9 * DAY);
    engine.run_due(&Toy).await.unwrap();
    kit.leap(-2 * YEAR);
    for restarted in [false, true] {
        if restarted {
            drop(engine);
            engine = kit.open().await;
        }
        assert_eq!(engine.run_due(&Toy).await, Ok(0));
        assert_eq!(engine.clock_state().standing, ClockStanding::Behind(2 * YEAR));
        // What was due is due still.
        kit.ask(&engine, Ask::DropAt("tidy nothing".to_owned(), START + 5 * DAY)).await.1.unwrap();
        assert_eq!(engine.run_due(&Toy).await, Ok(1));
    }
    // Back again, with nothing destroyed before its time.
    kit.leap(2 * YEAR);
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    assert_eq!(left(&kit, &engine).await, [true, true]);
    kit.pass(DAY);
    assert_eq!(engine.run_due(&Toy).await, Ok(2));
    assert_eq!(engine.clock_state().standing, ClockStanding::Sound);
}

#[tokio::test]
async fn an_operator_may_take_a_clock_behind_for_right() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.leap(10 * YEAR);
    accept(&engine).await.unwrap();
    kit.leap(-10 * YEAR);
    planned(&kit, &engine, START + YEAR).await;
    assert_eq!(accept(&engine).await.unwrap().standing, ClockStanding::Sound);
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    assert_eq!(left(&kit, &engine).await, [true, true]);
    drop(engine);
    let engine = kit.open().await;
    assert_eq!(engine.clock_state().newest.unwrap().millis(), START);
}

#[tokio::test]
async fn the_mark_is_stored_before_anything_is_destroyed() {
    let kit = Kit::new();
    let engine = kit.open().await;
    planned(&kit, &engine, START + 10).await;
    engine.run_due(&Toy).await.unwrap();
    kit.pass(10);
    kit.script.next(Point::Commit, Action::Refuse);
    assert!(engine.run_due(&Toy).await.is_err());
    assert_eq!(left(&kit, &engine).await, [true, false], "the one that destroys waits");
    assert_eq!(engine.run_due(&Toy).await, Ok(1));
    drop(engine);
    let engine = kit.open().await;
    assert_eq!(engine.clock_state().newest.unwrap().millis(), START + 10);
}

#[tokio::test]
async fn an_idle_server_stores_the_mark_once_a_minute() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let number = async || engine.state().await.unwrap().store_number;
    let before = number().await;
    for _ in 0..600 {
        engine.run_due(&Toy).await.unwrap();
        kit.pass(1_000);
    }
    assert_eq!(number().await - before, 10);
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_destroys_nothing() {
    for dropped in [false, true] {
        let kit = Kit::new();
        let engine = kit.open().await;
        planned(&kit, &engine, START + 10).await;
        engine.run_due(&Toy).await.unwrap();
        drop(engine);
        let mut batch = Batch::new();
        if dropped {
            batch.delete(MARK_ROW.to_vec());
        } else {
            batch.put(MARK_ROW.to_vec(), "not a row");
        }
        kit.store.commit(batch).await.unwrap();
        kit.pass(DAY);
        let engine = kit.open().await;
        assert_eq!(engine.clock_state().standing, ClockStanding::Unknown, "{dropped}");
        assert!(engine.run_due(&Toy).await.is_err());
        assert_eq!(left(&kit, &engine).await, [true, false], "{dropped}");
        let told = accept(&engine).await.unwrap_err();
        assert!(matches!(told, claviger_engine::CommandError::Fault(Fault::RowGroup(_))), "{told:?}");
    }
}

#[tokio::test]
async fn the_first_start_believes_the_clock() {
    let kit = Kit::new();
    kit.pass(10 * YEAR);
    let engine: Arc<Engine> = kit.open().await;
    assert_eq!(engine.clock_state().standing, ClockStanding::Sound);
    planned(&kit, &engine, START).await;
    assert_eq!(engine.run_due(&Toy).await, Ok(2));
}

#[tokio::test]
async fn time_is_forgotten_with_everything_else() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.pass(10 * YEAR);
    engine.run_due(&Toy).await.unwrap();
    // As a reset in `claviger dev` does it.
    kit.pass(-10 * YEAR);
    engine.danger_forget_everything().await.unwrap();
    assert_eq!(engine.clock_state().standing, ClockStanding::Sound);
    planned(&kit, &engine, START + DAY).await;
    assert_eq!(engine.run_due(&Toy).await, Ok(0));
    drop(engine);
    let engine = kit.open().await;
    assert_eq!(engine.clock_state().newest.unwrap().millis(), START);
}
