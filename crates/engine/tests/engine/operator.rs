//! Commands of an operator: durable with their record, or refused with one.

use std::sync::Arc;

use claviger_engine::{Call, Command, CommandError, CommandWork, Commanded, Engine, Fault, Operator, Value, Writes};
use claviger_store::{Action, Point};

use crate::toy::{Note, note_key};
use crate::{Kit, demand_whole};

/// Counts a note up, and tells what it is then.
struct Add;

impl CommandWork for Add {
    type Response = u64;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<u64>, CommandError> {
        let key = note_key("counter");
        let before = call.row::<Note>(&key).await?.map_or(0, |note| note.record.0.parse().unwrap());
        let mut writes = Writes::default();
        writes.put(call, key, Note((before + 1).to_string()))?;
        Ok(Commanded { response: before + 1, writes, shown: Value::Null })
    }
}

fn command(request_id: &str) -> Command {
    Command {
        name: "Add",
        read_only: false,
        operator: Operator { uid: 1, process: None },
        request_id: request_id.to_owned(),
        account: None,
        facts: Value::Null,
    }
}

async fn add(engine: &Engine, request_id: &str) -> Result<u64, CommandError> {
    engine.operate(&command(request_id), &Add).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_meet_are_all_obeyed_and_recorded_once() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for round in 0..10 {
                    add(&engine, &format!("add-{task}-{round}.")).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(kit.get(&engine, "counter").await.as_deref(), Some("40"));
    engine.sync_audit().await.unwrap();
    for (task, round) in (0..4).flat_map(|task| (0..10).map(move |round| (task, round))) {
        assert_eq!(kit.recorded(&format!("add-{task}-{round}.")), 1);
    }
    demand_whole(&engine).await;
}

#[tokio::test]
async fn the_record_of_a_command_is_in_its_commit() {
    let kit = Kit::new();
    let engine = kit.open().await;
    add(&engine, "in-the-commit").await.unwrap();
    assert_eq!(kit.outbox().await, 1);
    engine.sync_audit().await.unwrap();
    assert_eq!(kit.outbox().await, 0);
}

#[tokio::test]
async fn a_command_whose_commit_fails_is_recorded_as_failed() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.script.next(Point::Commit, Action::Refuse);
    assert_eq!(add(&engine, "unlucky").await, Err(CommandError::Fault(Fault::Commit)));
    let lines = kit.lines();
    let about: Vec<_> = lines.iter().filter(|line| line.contains("unlucky")).collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(about.iter().all(|line| line.contains("\"errorCode\":\"InternalFailure\"")), "{about:?}");
    assert_eq!(add(&engine, "again").await, Ok(1));
    demand_whole(&engine).await;
}
