//! A key whose time has come is really gone, with its aliases and its material.

use std::sync::Arc;

use claviger_api::kms::{CancelKeyDeletionRequest, EnableKeyRotationRequest};
use claviger_store::{Action, Faulty, Gate, Memory, Point};

use crate::{Base, DAY, World, request};

#[tokio::test]
async fn a_key_is_destroyed_when_its_clock_passes() {
    let (base, world) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    for number in 0..40 {
        world.alias(&format!("alias/n{number}"), &key).await.unwrap();
    }
    world.alias("alias/other", &other).await.unwrap();
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    world.schedule(&key).await.unwrap();
    base.advance(7 * DAY - 1);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    world.describe(&key).await.unwrap();
    base.advance(1_000);
    assert!(world.engine.run_due(&world.kms).await.unwrap() >= 2, "the deletion, and its aliases after it");
    assert_eq!(world.describe(&key).await.unwrap_err().code, "NotFoundException");
    assert_eq!(world.decrypt(&blob).await.unwrap_err().code, "AccessDeniedException");
    world.engine.sync_audit().await.unwrap();
    let left = crate::rows(&*base.store).await;
    let named = left.iter().filter(|(row, _)| String::from_utf8_lossy(row).contains(&key));
    assert_eq!(named.count(), 0, "no row of the key is left");
    assert!(!left.iter().any(|(row, _)| row.windows(8).any(|part| part == b"alias/n1")));
    world.encrypt("alias/other", b"x").await.unwrap();
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
    assert!(world.engine.audit().lines().iter().any(|line| line.contains("DeleteKey")));
}

#[tokio::test]
async fn a_cancelled_deletion_does_not_happen() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.schedule(&key).await.unwrap();
    world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: key.clone() })).await.unwrap();
    base.advance(40 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    world.describe(&key).await.unwrap();
    world.schedule(&key).await.unwrap();
    base.advance(8 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!(world.describe(&key).await.unwrap_err().code, "NotFoundException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_made_at_once_are_all_there() {
    let (base, world) = World::new().await;
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..24)
        .map(|task| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let key = world.create().await;
                world.alias(&format!("alias/n{task}"), &key).await.unwrap();
                let blob = world.encrypt(&key, key.as_bytes()).await.unwrap();
                (key, blob)
            })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
    drop(world);
    let world = base.open().await.unwrap();
    for (task, (key, blob)) in made.iter().enumerate() {
        assert_eq!(world.decrypt(blob).await.unwrap(), key.as_bytes());
        assert_eq!(world.describe(&format!("alias/n{task}")).await.unwrap().key_id, *key);
    }
}

/// Alias quota and alias names hold when many ask at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_gets_the_name_and_no_key_gets_too_many() {
    let (_, world) = World::new().await;
    let world = Arc::new(world);
    let key = world.create().await;
    let ask = |names: Vec<String>| {
        let tasks: Vec<_> = names
            .into_iter()
            .map(|name| {
                let (world, key) = (Arc::clone(&world), key.clone());
                tokio::spawn(async move { world.alias(&name, &key).await.map(drop).map_err(|error| error.code) })
            })
            .collect();
        async {
            let mut told = Vec::new();
            for task in tasks {
                told.push(task.await.unwrap());
            }
            told
        }
    };
    let told = ask(vec!["alias/same".to_owned(); 8]).await;
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1);
    assert!(told.iter().all(|told| matches!(told, Ok(()) | Err("AlreadyExistsException"))), "{told:?}");
    let told = ask((0..60).map(|number| format!("alias/n{number}")).collect()).await;
    let made = told.iter().filter(|told| told.is_ok()).count();
    assert_eq!(made, 49, "{told:?}");
    assert!(told.iter().all(|told| matches!(told, Ok(()) | Err("LimitExceededException"))), "{told:?}");
}

/// A key that goes while a call uses it is a key that is gone, not a fault.
#[tokio::test]
async fn a_use_that_meets_the_end_of_its_key() {
    let store = Faulty::scripted(Memory::new());
    let script = store.script();
    let base = Base::over(Arc::new(store), 1);
    let world = base.open().await.unwrap();
    let key = world.create().await;
    drop(world);
    let world = Arc::new(base.open().await.unwrap());
    // The facts are in memory from here on; the material is not, so that the next use looks into the store for it.
    world.describe(&key).await.unwrap();
    let gate = Gate::new();
    script.next(Point::Snapshot, Action::Hold(gate.clone()));
    let use_of_it = tokio::spawn({
        let (world, key) = (Arc::clone(&world), key.clone());
        async move { world.encrypt(&key, b"x").await.unwrap_err() }
    });
    // On this one thread, the use has come to the gate when this goes on.
    tokio::task::yield_now().await;
    world.schedule(&key).await.unwrap();
    base.advance(8 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    gate.open();
    let error = use_of_it.await.unwrap();
    assert_eq!(error.code, "NotFoundException");
    assert_eq!(error.message, Some(format!("Key '{}' does not exist", crate::arn(&key))));
}

#[tokio::test]
async fn a_waiting_period_is_whole_whatever_the_clock_does() {
    for leap in [-3_650 * DAY, 3_650 * DAY] {
        let (base, world) = World::new().await;
        world.engine.run_due(&world.kms).await.unwrap();
        let early = world.create().await;
        world.schedule(&early).await.unwrap();
        base.leap(leap);
        world.engine.run_due(&world.kms).await.unwrap();
        let late = world.create().await;
        world.schedule(&late).await.unwrap();
        for _ in 0..6 {
            base.advance(DAY);
            world.engine.run_due(&world.kms).await.unwrap();
        }
        for key in [&early, &late] {
            world.describe(key).await.unwrap();
        }
        // The clock is set right.
        base.leap(-leap);
        world.engine.run_due(&world.kms).await.unwrap();
        for key in [&early, &late] {
            world.describe(key).await.unwrap();
        }
        base.advance(DAY);
        world.engine.run_due(&world.kms).await.unwrap();
        assert_eq!(world.describe(&early).await.unwrap_err().code, "NotFoundException", "{leap}");
        let cancelled =
            world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: late.clone() })).await;
        // It was to go seven days after the newest time then seen: now, or years from now.
        assert_eq!(cancelled.is_ok(), leap > 0, "{leap}");
    }
}

#[tokio::test]
async fn a_deletion_and_a_rotation_that_fall_due_while_the_store_is_down() {
    let (base, world) = World::new().await;
    let (key, rotated) = (world.create().await, world.create().await);
    world.schedule(&key).await.unwrap();
    let on = EnableKeyRotationRequest { key_id: rotated.clone(), rotation_period_in_days: Some(90) };
    world.call(request!(EnableKeyRotation, on)).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    let before = world.describe(&rotated).await.unwrap().current_key_material_id;
    drop(world);
    // Off for longer than is plausible: the rotation is done, the deletion waits.
    base.advance(100 * DAY);
    let world = base.open().await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    world.describe(&key).await.unwrap();
    assert_ne!(world.describe(&rotated).await.unwrap().current_key_material_id, before);
    assert_eq!(world.engine.clock_state().jobs_waiting, 1);
    // While it waits, it can still be taken back.
    world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: key.clone() })).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(world.engine.clock_state().jobs_waiting, 0);
}
