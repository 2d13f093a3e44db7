//! How many keys an account may have in a Region.

use std::sync::Arc;

use claviger_api::kms::CreateKeyRequest;
use claviger_crypto::{AttestationRoots, DomainKeys};
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Seed, Writer, Writes};
use claviger_kms::Kms;
use claviger_store::Memory;

use crate::{Base, DAY, OTHER, OWNER, REGION, World, request};

/// A part of the number, as it is stored.
struct Part(u64);

impl Record for Part {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record("kms key count", 1);
        writer.u64(self.0);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        Ok(Self(Reader::record(bytes, "kms key count", 1)?.0.u64()?))
    }
}

fn parts() -> [RowKey; 16] {
    std::array::from_fn(|part| RowKey::new("key-count", &format!("{REGION}.{OWNER}"), &format!("{part:x}")))
}

/// The sum of the stored parts, from the store itself.
async fn counted(base: &Base) -> u64 {
    let (world, mut sum) = (base.open().await.unwrap(), 0);
    let add = async |call: &mut claviger_engine::Call<'_>| {
        for part in parts() {
            sum += call.row::<Part>(&part).await?.map_or(0, |row| row.record.0);
        }
        Ok::<_, Fault>(Writes::default())
    };
    Seed::new(&world.engine, REGION, OWNER).run(add).await.unwrap();
    sum
}

/// Takes the number away: the store is as one that is older than it.
async fn forget(base: &Base) {
    let world = base.open().await.unwrap();
    let all = async |call: &mut claviger_engine::Call<'_>| {
        let mut writes = Writes::default();
        for part in parts() {
            if call.row::<Part>(&part).await?.is_some() {
                writes.delete(part);
            }
        }
        Ok::<_, Fault>(writes)
    };
    Seed::new(&world.engine, REGION, OWNER).run(all).await.unwrap();
}

async fn limited(base: &Base, most: u64) -> World {
    let kms = Kms::new(AttestationRoots::aws_nitro()).with_keys_max(most);
    World { kms, ..base.open().await.unwrap() }
}

fn base() -> Base {
    Base::over(Arc::new(Memory::new()), 5)
}

async fn made(world: &World) -> Result<String, &'static str> {
    let made = world.create_from(CreateKeyRequest::default()).await;
    made.map(|key| key.key_id).map_err(|error| error.code)
}

const FULL: Result<String, &str> = Err("LimitExceededException");

#[tokio::test]
async fn the_quota_is_exact_and_a_destroyed_key_makes_room() {
    let base = base();
    let world = limited(&base, 21).await;
    let mut keys = Vec::new();
    for _ in 0..21 {
        keys.push(made(&world).await.unwrap());
    }
    assert_eq!(made(&world).await, FULL);
    let error = world.create_from(CreateKeyRequest::default()).await.unwrap_err();
    assert!(error.message.is_some_and(|text| text.contains("21") && text.contains(OWNER) && text.contains(REGION)));
    let key = request!(CreateKey, CreateKeyRequest::default());
    assert!(world.call_as(OTHER, key).await.is_ok(), "another account has its own");
    let key = request!(CreateKey, CreateKeyRequest::default());
    assert!(world.call_in("us-east-1", OWNER, key).await.is_ok(), "and so has another Region");
    for key in &keys {
        world.schedule(key).await.unwrap();
    }
    assert_eq!(made(&world).await, FULL, "a key that waits for its end still counts");
    base.advance(8 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(counted(&base).await, 0);
    for _ in 0..21 {
        made(&world).await.unwrap();
    }
    assert_eq!(made(&world).await, FULL);
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn keys_older_than_the_count_are_counted() {
    let base = base();
    let world = limited(&base, 1_000).await;
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(made(&world).await.unwrap());
    }
    drop(world);
    forget(&base).await;
    assert_eq!(counted(&base).await, 0);
    let world = limited(&base, 48).await;
    // A key of the older ones goes before anything is counted, another after.
    world.schedule(&keys[0]).await.unwrap();
    base.advance(8 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    for _ in 0..39 {
        made(&world).await.unwrap();
    }
    assert_eq!(made(&world).await, FULL);
    assert_eq!(counted(&base).await, 48);
    world.schedule(&keys[1]).await.unwrap();
    base.advance(8 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    made(&world).await.unwrap();
    assert_eq!(made(&world).await, FULL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_holds_when_many_ask_at_once() {
    let base = base();
    let world = Arc::new(limited(&base, 40).await);
    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { made(&world).await })
        })
        .collect();
    let (mut keys, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => keys += 1,
            other => {
                assert_eq!(other, FULL);
                refused += 1;
            }
        }
    }
    assert_eq!((keys, refused), (40, 20));
    assert_eq!(counted(&base).await, 40);
}

#[tokio::test]
async fn a_refused_key_leaves_nothing() {
    let base = base();
    let world = limited(&base, 0).await;
    let before = crate::rows(&*base.store).await.len();
    assert_eq!(made(&world).await, FULL);
    assert_eq!(crate::rows(&*base.store).await.len(), before);
}
