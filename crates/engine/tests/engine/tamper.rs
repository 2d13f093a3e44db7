//! Somebody edits the database while the engine is shut or runs.

use bytes::Bytes;
use claviger_engine::Fault;
use claviger_store::{Batch, Memory, Range, Store};

use crate::toy::{Ask, note_key};
use crate::{Kit, demand_whole};

type Rows = Vec<(Bytes, Bytes)>;

async fn rows(store: &dyn Store) -> Rows {
    let view = store.snapshot().await.unwrap();
    let rows = view.scan(Range::all(), None, 1_000).await.unwrap();
    rows.into_iter().map(|(key, row)| (key, row.value)).collect()
}

pub(crate) async fn restored(rows: &[(Bytes, Bytes)]) -> Memory {
    let store = Memory::new();
    for page in rows.chunks(90) {
        let mut batch = Batch::new();
        for (key, value) in page {
            batch.put(key.clone(), value.clone());
        }
        store.commit(batch).await.unwrap();
    }
    store
}

async fn put(kit: &Kit, key: &[u8], value: Option<Bytes>) {
    let mut batch = Batch::new();
    match value {
        Some(value) => batch.put(key.to_vec(), value),
        None => batch.delete(key.to_vec()),
    };
    kit.store.commit(batch).await.unwrap();
}

fn value_of(rows: &Rows, key: &[u8]) -> Bytes {
    rows.iter().find(|(name, _)| name == key).unwrap().1.clone()
}

async fn broken(kit: &Kit, engine: &claviger_engine::Engine, name: &str) {
    let (_, result) = kit.ask(engine, Ask::Get(name.to_owned())).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure", "reading {name}");
    let (_, result) = kit.ask(engine, Ask::Set(vec![(name.to_owned(), "new".to_owned())])).await;
    assert_eq!(result.unwrap_err().code, "ToyFailure", "writing {name}");
}

#[tokio::test]
async fn a_scrub_notices_what_was_put_back_or_dropped_while_running() {
    for replay in [true, false] {
        let kit = Kit::new();
        let engine = kit.open().await;
        kit.set(&engine, "other", "fine").await;
        kit.set(&engine, "a", "1").await;
        let old = rows(&*kit.store).await;
        kit.set(&engine, "a", "2").await;
        let key = note_key("a");
        put(&kit, key.as_bytes(), replay.then(|| value_of(&old, key.as_bytes()))).await;
        let found = engine.scrub().await.unwrap();
        assert!(found.suspects.iter().any(|row| row.starts_with("note/a/") || row.starts_with("integrity/group")));
        broken(&kit, &engine, "a").await;
        assert_eq!(kit.get(&engine, "other").await.as_deref(), Some("fine"));
        // Later commits do not whitewash it, nor does a start.
        kit.set(&engine, "other", "still").await;
        drop(engine);
        let engine = kit.open().await;
        broken(&kit, &engine, "a").await;
        kit.set(&engine, "other", "again").await;
        drop(engine);
        broken(&kit, &*kit.open().await, "a").await;
    }
}

/// After a lost answer the sums are loaded anew: not a moment to believe the rows.
#[tokio::test]
async fn a_reload_does_not_adopt_a_replayed_row() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    let old = rows(&*kit.store).await;
    kit.set(&engine, "a", "2").await;
    let key = note_key("a");
    put(&kit, key.as_bytes(), Some(value_of(&old, key.as_bytes()))).await;
    kit.script.next(claviger_store::Point::Commit, claviger_store::Action::LoseCommit);
    assert!(kit.ask(&engine, Ask::Set(vec![("b".to_owned(), "1".to_owned())])).await.1.is_err());
    kit.set(&engine, "b", "2").await;
    broken(&kit, &engine, "a").await;
    drop(engine);
    broken(&kit, &*kit.open().await, "a").await;
}

/// An outbox row that was dropped takes an audit record with it. Later commits write to its group, and must not
/// make the sums fit.
#[tokio::test]
async fn a_dropped_outbox_row_stays_noticed() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    let all = rows(&*kit.store).await;
    let outbox = all.iter().find(|(key, _)| key.starts_with(b"outbox/")).unwrap().0.clone();
    put(&kit, &outbox, None).await;
    kit.script.next(claviger_store::Point::Commit, claviger_store::Action::LoseCommit);
    assert!(kit.ask(&engine, Ask::Set(vec![("b".to_owned(), "1".to_owned())])).await.1.is_err());
    drop(kit.ask(&engine, Ask::Set(vec![("b".to_owned(), "2".to_owned())])).await);
    let found = engine.scrub().await.unwrap();
    assert!(!found.broken.is_empty());
    drop(engine);
    // The keys themselves are good, so the door opens; the scrub and the log go on saying that records are missing.
    let engine = kit.open().await;
    assert!(!engine.scrub().await.unwrap().broken.is_empty());
    kit.set(&engine, "b", "3").await;
}

/// Every row put back as it was, under the running server: the next commit and the scrub find a store that is older
/// than what was acknowledged, and from then on no row is believed.
#[tokio::test]
async fn a_store_put_back_whole_while_running_is_refused() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    let old = rows(&*kit.store).await;
    kit.set(&engine, "a", "2").await;
    kit.set(&engine, "b", "2").await;
    for (key, _) in rows(&*kit.store).await {
        let value = old.iter().find(|(old, _)| *old == key).map(|(_, value)| value.clone());
        put(&kit, &key, value).await;
    }
    assert!(kit.ask(&engine, Ask::Set(vec![("c".to_owned(), "1".to_owned())])).await.1.is_err());
    assert!(kit.ask(&engine, Ask::Set(vec![("c".to_owned(), "1".to_owned())])).await.1.is_err());
    assert!(matches!(engine.scrub().await, Err(Fault::RowGroup(_))));
    broken(&kit, &engine, "a").await;
}

#[tokio::test]
async fn integrity_rows_are_guarded_themselves() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    let old = rows(&*kit.store).await;
    kit.set(&engine, "a", "2").await;
    engine.sync_audit().await.unwrap();
    drop(engine);
    let good = rows(&*kit.store).await;
    for (key, _) in good.iter().filter(|(key, _)| key.starts_with(b"integrity/")) {
        for change in ["drop", "old", "edit"] {
            let mut changed = good.clone();
            let at = changed.iter().position(|(name, _)| name == key).unwrap();
            match change {
                "drop" => drop(changed.remove(at)),
                "old" => match old.iter().find(|(name, _)| name == key) {
                    Some((_, value)) => changed.get_mut(at).unwrap().1 = value.clone(),
                    None => continue,
                },
                _ => {
                    let mut value = changed.get(at).unwrap().1.to_vec();
                    *value.last_mut().unwrap() ^= 1;
                    changed.get_mut(at).unwrap().1 = value.into();
                }
            }
            if changed == good {
                continue;
            }
            let opened = kit.open_over(std::sync::Arc::new(restored(&changed).await)).await;
            let name = String::from_utf8_lossy(key);
            if let Ok(engine) = opened {
                assert!(!engine.scrub().await.unwrap().broken.is_empty(), "{name}: {change}");
            }
        }
    }
    demand_whole(&*kit.open().await).await;
}

#[tokio::test]
async fn a_store_older_than_the_audit_log_is_refused() {
    let kit = Kit::new();
    let engine = kit.open().await;
    kit.set(&engine, "a", "1").await;
    let old = rows(&*kit.store).await;
    kit.set(&engine, "a", "2").await;
    engine.sync_audit().await.unwrap();
    drop(engine);
    let refused = kit.open_over(std::sync::Arc::new(restored(&old).await)).await;
    assert!(matches!(refused, Err(Fault::RowGroup(text)) if text.contains("older than the audit log")));
    let empty = kit.open_over(std::sync::Arc::new(Memory::new())).await;
    assert!(matches!(empty, Err(Fault::RowGroup(_))), "an empty store is older too");
    demand_whole(&*kit.open().await).await;
}

#[tokio::test]
async fn every_byte_of_the_deployment_row_is_guarded() {
    use claviger_crypto::UnsealSecret;
    use claviger_engine::{Deployment, DeploymentError};
    use claviger_secret::SecretBytes;
    let secret = |byte| UnsealSecret::file(SecretBytes::new(vec![byte; 32])).unwrap();
    let store = Memory::new();
    assert_eq!(Deployment::unseal(&store, &secret(1)).await.err(), Some(DeploymentError::Absent));
    Deployment::initialise(&store, &secret(1)).await.unwrap();
    assert_eq!(Deployment::initialise(&store, &secret(1)).await.err(), Some(DeploymentError::Exists));
    assert_eq!(Deployment::unseal(&store, &secret(2)).await.err(), Some(DeploymentError::Sealed));
    let good = rows(&store).await;
    let (key, value) = good.first().unwrap().clone();
    for at in 0..value.len() {
        for bit in [0x01, 0x80] {
            let mut changed = value.to_vec();
            *changed.get_mut(at).unwrap() ^= bit;
            let store = restored(&[(key.clone(), changed.into())]).await;
            assert_eq!(Deployment::unseal(&store, &secret(1)).await.err(), Some(DeploymentError::Sealed), "byte {at}");
        }
    }
    Deployment::unseal(&restored(&good).await, &secret(1)).await.unwrap();
}
