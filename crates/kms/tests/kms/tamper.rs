//! Somebody writes to the database while the server is down: every change is noticed, names its row in the log, is
//! answered with KMSInternalException, and leaves other keys alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use claviger_api::kms::{
    GetKeyPolicyRequest, ListAliasesRequest, ListKeysRequest, ListResourceTagsRequest, Response, Tag,
    TagResourceRequest,
};
use claviger_engine::Fault;
use claviger_engine::Regions;
use claviger_store::{Batch, Memory, Store as _};

use crate::capture::Lines;
use crate::{Base, DAY, START, Told, World, request};

type Rows = Vec<(Bytes, Bytes)>;
/// What each question was answered with.
type Answers = BTreeMap<String, String>;

const INTERNAL: &str = "KMSInternalException";

async fn store_of(rows: &Rows) -> Arc<Memory> {
    let store = Memory::new();
    for page in rows.chunks(90) {
        let mut batch = Batch::new();
        for (key, value) in page {
            batch.put(key.clone(), value.clone());
        }
        store.commit(batch).await.unwrap();
    }
    Arc::new(store)
}

fn outcome(told: Told) -> String {
    match told {
        Err(error) => error.code.to_owned(),
        Ok(Response::DescribeKey(response)) => format!("{:?}", response.key_metadata),
        Ok(Response::GetKeyPolicy(response)) => format!("{:?}", response.policy),
        Ok(Response::ListKeys(response)) => format!("{:?}", response.keys),
        Ok(Response::ListAliases(response)) => format!("{:?}", response.aliases),
        Ok(Response::ListResourceTags(response)) => format!("{:?}", response.tags),
        Ok(_) => "done".to_owned(),
    }
}

/// Two keys in use and one that is to be deleted; with them their blobs, and an older state of the rows.
struct Stage {
    base: Base,
    used: Vec<(String, Vec<u8>)>,
    doomed: String,
    old: Rows,
    good: Rows,
    answers: Answers,
    log: Lines,
}

impl Stage {
    async fn new() -> Self {
        let (base, world) = World::new().await;
        let mut used = Vec::new();
        for name in ["alias/one", "alias/two"] {
            let key = world.create().await;
            world.alias(name, &key).await.unwrap();
            let blob = world.encrypt(&key, name.as_bytes()).await.unwrap();
            used.push((key, blob));
        }
        let doomed = world.create().await;
        let old = crate::rows(&*base.store).await;
        for (key_id, _) in &used {
            let tags = vec![Tag { tag_key: "a".to_owned(), tag_value: "b".to_owned() }];
            world.call(request!(TagResource, TagResourceRequest { key_id: key_id.clone(), tags })).await.unwrap();
        }
        world.schedule(&doomed).await.unwrap();
        world.alias("alias/three", &used[1].0).await.unwrap();
        drop(world);
        let good = crate::rows(&*base.store).await;
        let log = Lines::default();
        let mut stage = Self { base, used, doomed, old, good, answers: Answers::new(), log };
        let found = stage.look(&stage.good).await.unwrap();
        assert!(found.broken == 0 && !found.answers.values().any(|answer| answer == INTERNAL));
        stage.answers = found.answers;
        stage
    }

    fn at(&self, store: Arc<Memory>) -> Base {
        self.base.clock.now.store(START, Ordering::SeqCst);
        let (keys, clock) = (Arc::clone(&self.base.keys), Arc::clone(&self.base.clock));
        Base { store, keys, clock, dice: Arc::clone(&self.base.dice), disk: None, regions: Regions::EVERY }
    }

    /// Opens an engine over these rows and asks everything.
    async fn look(&self, rows: &Rows) -> Result<Look, Fault> {
        let base = self.at(store_of(rows).await);
        let _collecting = self.log.collect();
        self.log.take();
        let world = base.open().await?;
        let mut answers = Answers::new();
        let mut note = |name: String, answer: String| drop(answers.insert(name, answer));
        for (key, blob) in &self.used {
            let plain = world.decrypt(blob).await.map_or_else(|error| error.code.to_owned(), hex::encode);
            note(format!("{key} decrypt"), plain);
            let sealed = world.encrypt(key, b"x").await.map_or_else(|error| error.code, |_| "done");
            note(format!("{key} encrypt"), sealed.to_owned());
            let tags = ListResourceTagsRequest { key_id: key.clone(), ..ListResourceTagsRequest::default() };
            note(format!("{key} tags"), outcome(world.call(request!(ListResourceTags, tags)).await));
        }
        for key in self.used.iter().map(|(key, _)| key).chain([&self.doomed]) {
            let described =
                world.describe(key).await.map_or_else(|error| error.code.to_owned(), |data| format!("{data:?}"));
            note(format!("{key} describe"), described);
            let policy = GetKeyPolicyRequest { key_id: key.clone(), ..GetKeyPolicyRequest::default() };
            note(format!("{key} policy"), outcome(world.call(request!(GetKeyPolicy, policy)).await));
            let named = ListAliasesRequest { key_id: Some(key.clone()), ..ListAliasesRequest::default() };
            note(format!("{key} aliases"), outcome(world.call(request!(ListAliases, named)).await));
        }
        note("all aliases".to_owned(), outcome(world.call(request!(ListAliases, ListAliasesRequest::default())).await));
        note("all keys".to_owned(), outcome(world.call(request!(ListKeys, ListKeysRequest::default())).await));
        let broken = world.engine.scrub().await.map_or(1, |found| found.broken.len());
        base.advance(8 * DAY);
        let due = world.engine.run_due(&world.kms).await;
        // Whoever runs due work logs its fault.
        let log = self.log.take() + &due.as_ref().err().map(ToString::to_string).unwrap_or_default();
        note("due work".to_owned(), due.map_or_else(|_| INTERNAL.to_owned(), |done| done.to_string()));
        Ok(Look { answers, broken, log })
    }

    /// The change is noticed, and nothing is answered but what was true, or an internal error.
    async fn demand_noticed(&self, rows: &Rows, touched: &[&Bytes], what: &str) {
        let names: Vec<String> = touched.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        let what = format!("{what} {names:?}");
        let look = match self.look(rows).await {
            Err(fault) => {
                let told = fault.to_string();
                let rows = ["integrity/", "outbox/"].iter().any(|kind| told.contains(kind));
                assert!(rows || names.iter().any(|name| told.contains(name)), "{what}: {told}");
                return;
            }
            Ok(look) => look,
        };
        let internal = look.answers.values().any(|answer| answer == INTERNAL);
        let unreplayed = look.log.contains("could not be brought into the log");
        // Nothing that is asked reads the count of keys: an edited one is told by the scrub alone.
        let scrubbed = names.iter().any(|name| name.starts_with("key-count/") && look.log.contains(name.as_str()));
        assert!(internal || look.broken > 0 || unreplayed || scrubbed, "{what}: not noticed");
        for (question, answer) in &look.answers {
            let right = answer == INTERNAL || Some(answer) == self.answers.get(question);
            assert!(right, "{what}: {question} is answered with {answer}");
        }
        let named = names.iter().any(|name| look.log.contains(name.as_str()));
        // An integrity row is named itself or by the rows that it sums.
        assert!(named || names.iter().any(|name| name.starts_with("integrity/")), "{what}: the log says {}", look.log);
        // A change of one key's rows leaves the other keys alone.
        for (key, _) in &self.used {
            let of_another = names.iter().all(|name| name.starts_with("key/") && !name.contains(key.as_str()));
            for (question, answer) in look.answers.iter().filter(|(question, _)| question.starts_with(key.as_str())) {
                assert!(!of_another || Some(answer) == self.answers.get(question), "{what}: {question}: {answer}");
            }
        }
    }
}

struct Look {
    answers: Answers,
    broken: usize,
    log: String,
}

/// The bytes to edit: the head and the end of a row, and a sample between; a unit test of the engine edits each byte.
fn positions(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |at| *at < 12 || at + 3 > length || at % 3 == 0)
}

#[tokio::test]
async fn an_edited_row() {
    let stage = Stage::new().await;
    for (row, (key, value)) in stage.good.iter().enumerate() {
        for at in positions(value.len().min(600)) {
            let mut changed = value.to_vec();
            changed[at] ^= 0x10;
            let mut rows = stage.good.clone();
            rows[row].1 = changed.into();
            stage.demand_noticed(&rows, &[key], &format!("byte {at}")).await;
        }
        for other in [Bytes::new(), value.slice(..value.len() - 1), [value.as_ref(), &[0]].concat().into()] {
            let mut rows = stage.good.clone();
            rows[row].1 = other;
            stage.demand_noticed(&rows, &[key], "length").await;
        }
    }
}

#[tokio::test]
async fn swapped_rows() {
    let stage = Stage::new().await;
    for one in 0..stage.good.len() {
        for other in one + 1..stage.good.len() {
            let mut rows = stage.good.clone();
            (rows[one].1, rows[other].1) = (stage.good[other].1.clone(), stage.good[one].1.clone());
            stage.demand_noticed(&rows, &[&stage.good[one].0, &stage.good[other].0], "swapped").await;
        }
    }
}

#[tokio::test]
async fn a_renamed_row() {
    let stage = Stage::new().await;
    for (row, (key, _)) in stage.good.iter().enumerate() {
        for name in [[key.as_ref(), b"x"].concat(), [b"x", key.as_ref()].concat()] {
            let mut rows = stage.good.clone();
            rows[row].0 = name.into();
            stage.demand_noticed(&rows, &[key, &rows[row].0.clone()], "renamed").await;
        }
    }
}

/// A dropped row is named through the rows that are left of its group, or by the group's own row.
#[tokio::test]
async fn a_dropped_row() {
    let stage = Stage::new().await;
    for (row, (key, _)) in stage.good.iter().enumerate() {
        let mut rows = stage.good.clone();
        rows.remove(row);
        match stage.look(&rows).await {
            Err(fault) => {
                let told = fault.to_string();
                assert!(told.contains("integrity/") || told.contains("outbox/"), "{key:?}: {told}");
            }
            Ok(look) => {
                assert!(look.broken > 0, "{key:?}");
                assert!(look.log.contains("integrity/group/"), "{key:?}: {}", look.log);
                for (question, answer) in &look.answers {
                    let right = answer == INTERNAL || Some(answer) == stage.answers.get(question);
                    assert!(right, "{key:?}: {question} is answered with {answer}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_row_put_back_from_an_older_copy() {
    let stage = Stage::new().await;
    let mut tried = 0;
    for (row, (key, value)) in stage.good.iter().enumerate() {
        let Some((_, old)) = stage.old.iter().find(|(name, _)| name == key) else { continue };
        if old != value {
            let mut rows = stage.good.clone();
            rows[row].1 = old.clone();
            stage.demand_noticed(&rows, &[key], "older").await;
            tried += 1;
        }
    }
    assert!(tried >= 5, "{tried}");
    // And a row that was deleted since.
    for (key, value) in stage.old.iter().filter(|(key, _)| !stage.good.iter().any(|(name, _)| name == key)) {
        let mut rows = stage.good.clone();
        rows.push((key.clone(), value.clone()));
        stage.demand_noticed(&rows, &[key], "deleted since").await;
    }
}
