//! When keys were last used: what counts, what survives a crash, what a deletion takes along, what conditions may ask.

use std::sync::Arc;

use claviger_api::kms::{
    CreateKeyRequest, EncryptRequest, GetKeyLastUsageRequest, GetKeyLastUsageResponse, KeyLastUsageData,
    KeyLastUsageTrackingOperation, PutKeyPolicyRequest, ReplicateKeyRequest, Response,
};
use claviger_api::{ServiceError, Timestamp};
use claviger_engine::CallMeta;
use claviger_kms::{FoundUse, FoundUses};
use claviger_store::{Action, Batch, Faulty, Memory, Point};

use crate::states::{ask, stage};
use crate::{Base, DAY, OTHER, OWNER, REGION, START, World, arn, encrypt, request};

const MINUTE: i64 = 60_000;

async fn asked(world: &World, key: &str) -> Result<GetKeyLastUsageResponse, ServiceError> {
    match world.call(request!(GetKeyLastUsage, GetKeyLastUsageRequest { key_id: key.to_owned() })).await? {
        Response::GetKeyLastUsage(response) => Ok(response),
        _ => panic!("another response"),
    }
}

async fn last(world: &World, key: &str) -> Option<KeyLastUsageData> {
    let data = asked(world, key).await.unwrap().key_last_usage.unwrap();
    (data != KeyLastUsageData::default()).then_some(data)
}

async fn last_operation(world: &World, key: &str) -> Option<KeyLastUsageTrackingOperation> {
    last(world, key).await.and_then(|last| last.operation)
}

/// A member of the newest record that has this text.
fn recorded(world: &World, having: &str, member: &str) -> String {
    let line = world.engine.audit().lines().into_iter().rfind(|line| line.contains(having)).unwrap();
    let (_, rest) = line.split_once(&format!("\"{member}\":\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// A deployment whose audit log outlives its engines.
async fn on_disk() -> (Base, World) {
    let base = Base { disk: Some(tempfile::tempdir().unwrap()), ..Base::over(Arc::new(Memory::new()), 1) };
    let world = base.open().await.unwrap();
    (base, world)
}

/// What a start finds in the log behind this entry.
fn found(base: &Base, after: u64) -> FoundUses {
    let mut found = FoundUses::default();
    let directory = base.disk.as_ref().unwrap().path().join("audit");
    let mut add = |record: &str| {
        let member =
            |name: &str| record.split_once(&format!("\"{name}\":\"")).map(|(_, rest)| rest.split('"').next().unwrap());
        let (Some(operation), Some(at)) = (member("eventName"), member("eventTime")) else { return };
        let (Some(event_id), Some(request_id)) = (member("eventID"), member("requestID")) else { return };
        let at = Timestamp::parse_iso8601(at).unwrap();
        if let Some(key_arn) = member("ARN").filter(|_| !record.contains("\"errorCode\"")) {
            found.add(FoundUse { key_arn, operation, at, event_id, request_id });
        }
    };
    claviger_audit::records_after(&directory, after, &mut add).unwrap();
    found
}

#[tokio::test]
async fn every_operation_that_counts_counts() {
    for operation in KeyLastUsageTrackingOperation::ALL {
        let (base, world) = World::new().await;
        world.track().await;
        let names: &[&str] = match operation {
            KeyLastUsageTrackingOperation::ReEncrypt => &["ReEncrypt/source", "ReEncrypt/destination"],
            other => &[other.as_str()],
        };
        for name in names {
            let stage = stage(&world, name, 0).await;
            base.advance(5_500);
            world.call(ask(name, &stage)).await.unwrap();
            let used = last(&world, &stage.key).await.unwrap();
            assert_eq!(used.operation, Some(*operation), "{name}");
            assert_eq!(used.timestamp.unwrap().millis(), (START + 5_500) / 1_000 * 1_000, "{name}");
            assert_eq!(used.cloud_trail_event_id.unwrap(), recorded(&world, operation.as_str(), "eventID"), "{name}");
            if *operation == KeyLastUsageTrackingOperation::ReEncrypt {
                assert_eq!(last(&world, &stage.other).await.unwrap().operation, Some(*operation), "both keys");
                break;
            }
        }
    }
}

#[tokio::test]
async fn calls_that_use_nothing_do_not_count() {
    let (base, world) = World::new().await;
    world.track().await;
    let key = world.create().await;
    world.describe(&key).await.unwrap();
    world.alias("alias/a", &key).await.unwrap();
    let dry = EncryptRequest { dry_run: Some(true), ..encrypt(&key, b"x") };
    assert_eq!(world.call(request!(Encrypt, dry)).await.map(drop).unwrap_err().code, "DryRunOperationException");
    assert_eq!(world.encrypt_as(OTHER, &arn(&key), b"x").await.unwrap_err().code, "AccessDeniedException");
    world.disable(&key).await.unwrap();
    assert_eq!(world.encrypt(&key, b"x").await.unwrap_err().code, "DisabledException");
    base.advance(DAY);
    world.kms.store_uses(&world.engine).await.unwrap();
    assert_eq!(last(&world, &key).await, None);
    assert!(!has_row(&base, &key).await);
}

async fn has_row(base: &Base, key: &str) -> bool {
    let row = format!("key/{REGION}.{key}/last-use");
    crate::rows(&*base.store).await.iter().any(|(name, _)| name == row.as_bytes())
}

#[tokio::test]
async fn the_answer() {
    let (base, world) = World::new().await;
    base.advance(123);
    let old = world.create().await;
    base.advance(DAY);
    world.track().await;
    let (tracked, key) = (base.clock.now.load(std::sync::atomic::Ordering::SeqCst), {
        base.advance(1_234);
        world.create().await
    });
    let answer = asked(&world, &arn(&key)).await.unwrap();
    assert_eq!(answer.key_id, Some(key.clone()));
    assert_eq!(answer.key_last_usage, Some(KeyLastUsageData::default()));
    assert_eq!(answer.tracking_start_date, answer.key_creation_date, "it was made later than that");
    let older = asked(&world, &old).await.unwrap();
    assert_eq!(older.key_creation_date.unwrap().millis(), START + 123);
    assert_eq!(older.tracking_start_date.unwrap().millis(), tracked);
    // With the id that its caller was told.
    let caller = world.caller(OWNER, REGION).await;
    let request_id = "0f0e0d0c-0b0a-4908-8706-050403020100".to_owned();
    let meta = CallMeta { request_id: request_id.clone(), ..CallMeta::system() };
    let request = request!(Encrypt, encrypt(&key, b"x"));
    let told = claviger_kms::dispatch(&world.engine, &world.kms, &caller, &meta, &request).await;
    assert!(told.unwrap().into_inner().is_ok());
    let used = last(&world, &key).await.unwrap();
    assert_eq!(used.kms_request_id, Some(request_id.clone()));
    assert_eq!(used.cloud_trail_event_id.unwrap(), recorded(&world, &request_id, "eventID"));
    // Only for the account's own keys, by id or ARN.
    world.alias("alias/a", &key).await.unwrap();
    assert_eq!(asked(&world, "alias/a").await.unwrap_err().code, "InvalidArnException");
    let foreign = request!(GetKeyLastUsage, GetKeyLastUsageRequest { key_id: arn(&key) });
    assert_eq!(world.call_as(OTHER, foreign).await.map(drop).unwrap_err().code, "AccessDeniedException");
}

#[tokio::test]
async fn a_use_is_stored_after_a_minute_and_stays() {
    let (base, world) = on_disk().await;
    world.track().await;
    let keys = {
        let mut keys = Vec::new();
        for _ in 0..45 {
            keys.push(world.create().await);
        }
        keys
    };
    for key in &keys {
        world.encrypt(key, b"x").await.unwrap();
    }
    world.kms.store_uses(&world.engine).await.unwrap();
    assert!(!has_row(&base, &keys[0]).await, "one commit for many, not one for each");
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    let before = last(&world, &keys[44]).await.unwrap();
    drop(world);
    let world = base.open().await.unwrap();
    world.track().await;
    for key in &keys {
        assert_eq!(last_operation(&world, key).await, Some(KeyLastUsageTrackingOperation::Encrypt));
    }
    assert_eq!(last(&world, &keys[44]).await.unwrap(), before);
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn a_crash_loses_no_use() {
    let (base, world) = on_disk().await;
    world.track().await;
    let (key, other) = (world.create().await, world.create().await);
    let blob = world.encrypt(&key, b"x").await.unwrap();
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    base.advance(MINUTE / 2);
    world.decrypt(&blob).await.unwrap();
    world.encrypt(&other, b"x").await.unwrap();
    let used = last(&world, &key).await.unwrap();
    // Unlike a stop in good order, a crash brings nothing to disk but what the operating system has.
    drop(world);
    let world = base.open().await.unwrap();
    // Before the log was read nobody can say.
    assert_eq!(asked(&world, &key).await.unwrap_err().code, "KMSInternalException");
    let begun = world.kms.begin_uses(&world.engine).await.unwrap();
    assert_eq!(begun.0.millis(), START, "tracking began once");
    let log = found(&base, begun.1);
    assert_eq!(log.len(), 2);
    world.kms.resume_uses(&world.engine, begun, log);
    assert_eq!(last(&world, &key).await.unwrap(), used);
    assert_eq!(last_operation(&world, &other).await, Some(KeyLastUsageTrackingOperation::Encrypt));
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    assert!(has_row(&base, &other).await);
}

/// What is stored moves the place from which a start reads the log: to where the log was on disk at the run before.
#[tokio::test]
async fn the_log_is_read_from_where_all_is_stored() {
    let (base, world) = World::new().await;
    world.track().await;
    let (_, first) = world.kms.begin_uses(&world.engine).await.unwrap();
    let key = world.create().await;
    world.encrypt(&key, b"x").await.unwrap();
    world.engine.sync_audit().await.unwrap();
    let on_disk = world.engine.audit_on_disk();
    world.kms.store_uses(&world.engine).await.unwrap();
    assert_eq!(world.kms.begin_uses(&world.engine).await.unwrap().1, first, "nothing was stored");
    world.decrypt(&world.encrypt(&key, b"x").await.unwrap()).await.unwrap();
    world.engine.sync_audit().await.unwrap();
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    let (_, then) = world.kms.begin_uses(&world.engine).await.unwrap();
    assert_eq!(then, on_disk, "not what came since, whose callers may not have noted it yet");
    assert!(then > first);
}

/// A fault leaves the uses in memory, and the log to be read from where it was.
#[tokio::test]
async fn what_cannot_be_stored_stays() {
    let store = Faulty::scripted(Memory::new());
    let script = store.script();
    let base = Base::over(Arc::new(store), 1);
    let world = base.open().await.unwrap();
    world.track().await;
    let key = world.create().await;
    world.encrypt(&key, b"x").await.unwrap();
    world.engine.sync_audit().await.unwrap();
    world.kms.store_uses(&world.engine).await.unwrap();
    let before = world.kms.begin_uses(&world.engine).await.unwrap().1;
    base.advance(MINUTE);
    for _ in 0..2 {
        script.next(Point::Commit, Action::Refuse);
    }
    assert!(world.kms.store_uses(&world.engine).await.is_err());
    assert_eq!(world.kms.begin_uses(&world.engine).await.unwrap().1, before);
    assert!(last(&world, &key).await.is_some());
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    assert!(has_row(&base, &key).await);
    assert!(world.kms.begin_uses(&world.engine).await.unwrap().1 > before);
}

/// The order is the log's: what it has behind the place up to which all is stored is newer than what is stored,
/// whatever the clock said, and older than what was noted since the start.
#[tokio::test]
async fn the_end_of_the_log_is_newer_than_what_is_stored() {
    let (base, world) = World::new().await;
    world.track().await;
    let key = world.create().await;
    base.advance(10 * MINUTE);
    world.encrypt(&key, b"x").await.unwrap();
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    let behind = || {
        let mut uses = FoundUses::default();
        let arn = arn(&key);
        for (at, event_id) in [(START + 20 * MINUTE, "first"), (START + MINUTE, "second")] {
            let at = Timestamp::from_millis(at);
            uses.add(FoundUse { key_arn: &arn, operation: "Decrypt", at, event_id, request_id: "request" });
        }
        uses
    };
    let begun = world.kms.begin_uses(&world.engine).await.unwrap();
    world.kms.resume_uses(&world.engine, begun, behind());
    for stored in [false, true] {
        let used = last(&world, &key).await.unwrap();
        assert_eq!(used.cloud_trail_event_id.as_deref(), Some("second"), "stored: {stored}");
        base.advance(MINUTE);
        world.kms.store_uses(&world.engine).await.unwrap();
    }
    world.encrypt(&key, b"x").await.unwrap();
    let noted = last(&world, &key).await.unwrap();
    world.kms.resume_uses(&world.engine, begun, behind());
    assert_eq!(last(&world, &key).await.unwrap(), noted);
}

/// One use while the clock had leapt hides none of those that follow: not in memory, nor in the store, nor in the log.
#[tokio::test]
async fn a_leap_of_the_clock_hides_no_later_use() {
    use KeyLastUsageTrackingOperation::{Decrypt, Encrypt};
    for (stored_before, stored_after) in [(false, false), (true, false), (false, true), (true, true)] {
        let when = format!("stored before: {stored_before}, after: {stored_after}");
        let (base, world) = on_disk().await;
        world.track().await;
        let key = world.create().await;
        let store = async || {
            base.advance(MINUTE);
            world.kms.store_uses(&world.engine).await.unwrap();
        };
        base.leap(5 * 365 * DAY);
        let blob = world.encrypt(&key, b"x").await.unwrap();
        assert_eq!(last_operation(&world, &key).await, Some(Encrypt), "{when}");
        if stored_before {
            store().await;
        }
        base.leap(-5 * 365 * DAY);
        world.decrypt(&blob).await.unwrap();
        assert_eq!(last_operation(&world, &key).await, Some(Decrypt), "{when}");
        if stored_after {
            store().await;
            assert_eq!(last_operation(&world, &key).await, Some(Decrypt), "{when}");
        }
        drop(world);
        let world = base.open().await.unwrap();
        let begun = world.kms.begin_uses(&world.engine).await.unwrap();
        world.kms.resume_uses(&world.engine, begun, found(&base, begun.1));
        assert_eq!(last_operation(&world, &key).await, Some(Decrypt), "after a crash, {when}");
    }
}

/// While the clock is behind the newest time that was believed, a key is used before it was made, by the dates.
#[tokio::test]
async fn a_clock_that_is_behind_hides_no_use() {
    let (base, world) = World::new().await;
    world.track().await;
    world.engine.run_due(&world.kms).await.unwrap();
    base.leap(-120 * MINUTE);
    let key = world.create().await;
    world.encrypt(&key, b"x").await.unwrap();
    let answer = asked(&world, &key).await.unwrap();
    let used = answer.key_last_usage.unwrap();
    assert!(used.timestamp.unwrap() < answer.key_creation_date.unwrap(), "the clock is behind");
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    assert!(has_row(&base, &key).await);
    assert_eq!(last(&world, &key).await.unwrap(), used);
}

/// When a use found no room in memory, the one that is known may not be the last: conditions get no number.
#[tokio::test]
async fn a_use_without_room_opens_nothing() {
    let (base, world) = World::new().await;
    world.track().await;
    let (denied, allowed) = (world.create().await, world.create().await);
    put(&world, &denied, policy("Deny", "NumericLessThan", 3)).await;
    put(&world, &allowed, policy("Allow", "NumericGreaterThanEquals", 3)).await;
    for key in [&denied, &allowed] {
        world.encrypt(key, b"x").await.unwrap();
    }
    base.advance(30 * DAY);
    world.kms.store_uses(&world.engine).await.unwrap();
    let stored = last(&world, &denied).await.unwrap();
    let mut others = FoundUses::default();
    for number in 0..150_000_u32 {
        let id = format!("{number:08x}-0000-4000-8000-{:012x}", u64::from(number) * 0x9e37_79b9 % 0xffff_ffff);
        let at = Timestamp::from_millis(START);
        let key_arn = &arn(&id);
        others.add(FoundUse { key_arn, operation: "Encrypt", at, event_id: "event", request_id: "request" });
    }
    let begun = world.kms.begin_uses(&world.engine).await.unwrap();
    world.kms.resume_uses(&world.engine, begun, others);
    assert!(may(&world, &denied).await, "memory is full, but nothing was left out");
    assert!(may(&world, &allowed).await);
    world.encrypt(&denied, b"x").await.unwrap();
    assert!(!may(&world, &denied).await, "it was just used");
    assert!(!may(&world, &allowed).await, "nobody can say which keys were used");
    assert_eq!(last(&world, &denied).await.unwrap(), stored, "as stored");
}

#[tokio::test]
async fn a_deletion_takes_the_row_and_no_use_brings_it_back() {
    let (base, world) = on_disk().await;
    world.track().await;
    let key = world.create().await;
    world.encrypt(&key, b"x").await.unwrap();
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    assert!(has_row(&base, &key).await);
    // One more, which is in memory only.
    world.encrypt(&key, b"x").await.unwrap();
    let log = found(&base, 0);
    assert_eq!(log.len(), 1);
    world.schedule(&key).await.unwrap();
    base.advance(7 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    let none = async || {
        let rows = crate::rows(&*base.store).await;
        assert!(
            !rows.iter().any(|(name, _)| String::from_utf8_lossy(name).contains(&key) && !name.starts_with(b"outbox"))
        );
    };
    none().await;
    world.kms.store_uses(&world.engine).await.unwrap();
    none().await;
    let begun = world.kms.begin_uses(&world.engine).await.unwrap();
    world.kms.resume_uses(&world.engine, begun, log);
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    none().await;
}

#[tokio::test]
async fn each_region_of_a_key_has_its_own() {
    let (base, world) = World::new().await;
    world.track().await;
    let made = CreateKeyRequest { multi_region: Some(true), ..CreateKeyRequest::default() };
    let key = world.create_from(made).await.unwrap().key_id;
    let replica = ReplicateKeyRequest {
        key_id: key.clone(),
        replica_region: "us-east-1".to_owned(),
        ..ReplicateKeyRequest::default()
    };
    world.call(request!(ReplicateKey, replica)).await.unwrap();
    world.call_in("us-east-1", OWNER, request!(Encrypt, encrypt(&key, b"x"))).await.unwrap();
    for stored in [false, true] {
        assert_eq!(last(&world, &key).await, None, "stored: {stored}");
        let there = request!(GetKeyLastUsage, GetKeyLastUsageRequest { key_id: key.clone() });
        let Response::GetKeyLastUsage(there) = world.call_in("us-east-1", OWNER, there).await.unwrap() else {
            panic!()
        };
        assert!(there.key_last_usage.unwrap().operation.is_some(), "stored: {stored}");
        base.advance(MINUTE);
        world.kms.store_uses(&world.engine).await.unwrap();
    }
}

fn policy(effect: &str, operator: &str, days: i64) -> String {
    let principal = format!(r#""Principal":{{"AWS":"arn:aws:iam::{OWNER}:root"}},"Resource":"*""#);
    let actions = r#"["kms:DisableKey","kms:ScheduleKeyDeletion"]"#;
    let rest = if effect == "Allow" { format!(r#""NotAction":{actions}"#) } else { r#""Action":"kms:*""#.to_owned() };
    format!(
        r#"{{"Statement":[{{"Effect":"Allow",{rest},{principal}}},{{"Effect":"{effect}","Action":{actions},{principal},
        "Condition":{{"{operator}":{{"kms:TrailingDaysWithoutKeyUsage":"{days}"}}}}}}]}}"#
    )
}

async fn put(world: &World, key: &str, policy: String) {
    let bypass_policy_lockout_safety_check = Some(true);
    let put =
        PutKeyPolicyRequest { key_id: key.to_owned(), policy, policy_name: None, bypass_policy_lockout_safety_check };
    world.call(request!(PutKeyPolicy, put)).await.unwrap();
}

/// Whether the key may be disabled, and whether its deletion may be scheduled, which is then taken back.
async fn may(world: &World, key: &str) -> bool {
    let scheduled = world.schedule(key).await.map(drop).map_err(|error| error.code);
    if scheduled.is_ok() {
        let cancel = claviger_api::kms::CancelKeyDeletionRequest { key_id: key.to_owned() };
        world.call(request!(CancelKeyDeletion, cancel)).await.unwrap();
        let enable = claviger_api::kms::EnableKeyRequest { key_id: key.to_owned() };
        world.call(request!(EnableKey, enable)).await.unwrap();
    }
    let disabled = world.disable(key).await.map(drop).map_err(|error| error.code);
    if disabled.is_ok() {
        let enable = claviger_api::kms::EnableKeyRequest { key_id: key.to_owned() };
        world.call(request!(EnableKey, enable)).await.unwrap();
    }
    assert_eq!(scheduled, disabled);
    assert!(scheduled.is_ok() || scheduled == Err("AccessDeniedException"), "{scheduled:?}");
    scheduled.is_ok()
}

#[tokio::test]
async fn conditions_ask_for_the_days_without_use() {
    let (base, world) = World::new().await;
    world.track().await;
    let denied = world.create().await;
    let allowed = world.create().await;
    put(&world, &denied, policy("Deny", "NumericLessThan", 3)).await;
    put(&world, &allowed, policy("Allow", "NumericGreaterThanEquals", 3)).await;
    let both = async |expected: bool, when: &str| {
        assert_eq!(may(&world, &denied).await, expected, "{when}");
        assert_eq!(may(&world, &allowed).await, expected, "{when}");
    };
    base.advance(3 * DAY - 1);
    both(false, "never used, and made less than three days ago").await;
    base.advance(1);
    both(true, "never used in three days").await;
    for key in [&denied, &allowed] {
        world.encrypt(key, b"x").await.unwrap();
    }
    both(false, "just used, as memory says").await;
    base.advance(MINUTE);
    world.kms.store_uses(&world.engine).await.unwrap();
    both(false, "just used, as the row says").await;
    base.advance(3 * DAY - MINUTE - 1_000);
    both(false, "used two days and a bit ago").await;
    base.advance(1_000);
    both(true, "used three days ago").await;
}

/// A key that is older than the tracking of uses may have been used the day before.
#[tokio::test]
async fn older_keys_count_from_when_tracking_began() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    put(&world, &key, policy("Deny", "NumericLessThan", 3)).await;
    base.advance(100 * DAY);
    world.track().await;
    assert!(!may(&world, &key).await);
    base.advance(3 * DAY);
    assert!(may(&world, &key).await);
}

/// When nobody can say, neither an Allow nor the absence of a Deny lets anybody in.
#[tokio::test]
async fn what_is_not_known_allows_nothing() {
    let (base, world) = on_disk().await;
    let (denied, allowed, other) = (world.create().await, world.create().await, world.create().await);
    put(&world, &denied, policy("Deny", "NumericLessThan", 3)).await;
    put(&world, &allowed, policy("Allow", "NumericGreaterThanEquals", 3)).await;
    base.advance(30 * DAY);
    assert!(!may(&world, &denied).await, "the log was not read yet");
    assert!(!may(&world, &allowed).await);
    assert!(may(&world, &other).await, "nobody asks");
    world.track().await;
    base.advance(30 * DAY);
    assert!(may(&world, &denied).await);
    for key in [&denied, &allowed, &other] {
        world.encrypt(key, b"x").await.unwrap();
    }
    base.advance(30 * DAY);
    world.kms.store_uses(&world.engine).await.unwrap();
    drop(world);
    // Somebody spoils the rows while the server is down.
    let mut batch = Batch::new();
    for (name, mut value) in crate::rows(&*base.store).await.into_iter().map(|(name, value)| (name, value.to_vec())) {
        if name.ends_with(b"/last-use") {
            *value.last_mut().unwrap() ^= 1;
            batch.put(name, value);
        }
    }
    base.store.commit(batch).await.unwrap();
    let world = base.open().await.unwrap();
    world.track().await;
    assert!(!may(&world, &denied).await, "the row does not open");
    assert!(!may(&world, &allowed).await);
    assert!(may(&world, &other).await, "nobody asks");
    assert_eq!(asked(&world, &other).await.unwrap_err().code, "KMSInternalException");
}

/// Uses and deletions meet: whatever comes first, no row is left of a key that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storing_meets_deleting() {
    for _ in 0..10 {
        let (base, world) = World::new().await;
        let world = Arc::new(world);
        world.track().await;
        let key = world.create().await;
        world.encrypt(&key, b"x").await.unwrap();
        world.schedule(&key).await.unwrap();
        base.advance(7 * DAY);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let storing = tokio::spawn(async move { drop(one.kms.store_uses(&one.engine).await) });
        let deleting = tokio::spawn(async move { drop(two.engine.run_due(&two.kms).await) });
        storing.await.unwrap();
        deleting.await.unwrap();
        world.engine.run_due(&world.kms).await.unwrap();
        assert!(!has_row(&base, &key).await);
        world.kms.store_uses(&world.engine).await.unwrap();
        assert!(!has_row(&base, &key).await);
    }
}
