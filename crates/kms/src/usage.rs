//! When keys were last used: noted in memory by the calls, stored now and then by one commit for many. The audit log
//! holds every use durably, so after a start those that were not stored yet are found there: next to the uses stands up
//! to which entry of the log all of them are stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_api::Timestamp;
use claviger_api::kms::KeyLastUsageTrackingOperation;
use claviger_crypto::DomainKeys;
use claviger_engine::{
    BadRecord, Call, Engine, Facts, Fault, Reader, Record, RecordedCall, RowKey, Seed, Writer, Writes,
};

use crate::find::is_key_id;
use crate::records::{Key, facts_key, of_key};

/// How long a use may stay in memory only, in milliseconds.
const STORED_AFTER_MILLIS: i64 = 60_000;
/// How many entries of the audit log a start may have to read. A server with more calls a minute stores more often.
const STORED_AFTER_ENTRIES: u64 = 50_000;
/// Uses stored by one commit: of each two rows are read and one is written, which leaves room for the sums.
const BATCH: usize = 18;
/// Parts of the memory with a lock each, so that calls with different keys seldom meet.
const SHARDS: usize = 16;
/// Keys in memory at most, in each part: 100,000 in all.
const SHARD_KEYS_MAX: usize = 6_250;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
const LAST_USE: &str = "kms last use";
const TRACKING: &str = "kms use tracking";
/// The condition key of the days without use.
const IDLE_DAYS: &str = "kms:TrailingDaysWithoutKeyUsage";

/// The last use of a key in one Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub(crate) operation: KeyLastUsageTrackingOperation,
    /// In whole seconds, as the audit record has it.
    pub(crate) at: Timestamp,
    pub(crate) event_id: String,
    pub(crate) request_id: String,
}

/// The row goes with the key: it is of the same group.
pub(crate) fn last_use_key(region: &str, id: &str) -> RowKey {
    RowKey::new("key", &of_key(region, id), "last-use")
}

impl Record for LastUse {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { operation, at, event_id, request_id } = self;
        let mut writer = Writer::record(LAST_USE, 1);
        writer.text(operation.as_str());
        writer.i64(at.millis());
        writer.text(event_id);
        writer.text(request_id);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, LAST_USE, 1)?;
        let operation = KeyLastUsageTrackingOperation::parse(reader.text()?).ok_or(BadRecord)?;
        let at = Timestamp::from_millis(reader.i64()?);
        let (event_id, request_id) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        reader.end()?;
        Ok(Self { operation, at, event_id, request_id })
    }
}

/// Since when uses are tracked here, and how far they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tracking {
    since: Timestamp,
    /// The uses that the audit log records up to this entry are stored.
    stored_through: u64,
}

fn tracking_key() -> RowKey {
    RowKey::new("key-uses", "kms", "")
}

impl Record for Tracking {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(TRACKING, 1);
        writer.i64(self.since.millis());
        writer.u64(self.stored_through);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, TRACKING, 1)?;
        let (since, stored_through) = (Timestamp::from_millis(reader.i64()?), reader.u64()?);
        reader.end()?;
        Ok(Self { since, stored_through })
    }
}

/// What an operation has to do with the last use of the key that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsksLastUse {
    /// Nothing.
    No,
    /// It answers it.
    Shows,
    /// Conditions may ask how long it is ago.
    InConditions,
}

/// What is known of the use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The later of when tracking began and when the key was made.
    pub(crate) tracked_since: Timestamp,
    pub(crate) last: Option<LastUse>,
    /// Whether there was certainly no later use: none that found no room in memory.
    pub(crate) is_whole: bool,
}

impl Usage {
    /// Whole days since the last use, or since there could have been one. No more than uses are tracked: the clock may
    /// have been behind at the use.
    fn idle_days(&self, now: Timestamp) -> i64 {
        let since = self.last.as_ref().map_or(self.tracked_since, |last| last.at.max(self.tracked_since));
        now.millis().saturating_sub(since.millis()).max(0) / DAY_MILLIS
    }
}

/// Adds the days without use to what conditions may ask about. When they are not known, the key has two values, neither
/// of them a number: a Deny that asks for it then matches, and an Allow does not.
pub(crate) fn with_idle_days(facts: Facts, usage: Option<&Result<Usage, Fault>>, now: Timestamp) -> Facts {
    match usage {
        None => facts,
        Some(Ok(usage)) if usage.is_whole => facts.with(IDLE_DAYS, usage.idle_days(now).to_string()),
        Some(Ok(_) | Err(_)) => facts.with_all(IDLE_DAYS, ["unknown", "unreadable"]),
    }
}

/// A use that the audit log records.
#[derive(Clone, Copy, Debug)]
pub struct FoundUse<'a> {
    /// `resources[].ARN`: the key.
    pub key_arn: &'a str,
    /// `eventName`.
    pub operation: &'a str,
    /// `eventTime`.
    pub at: Timestamp,
    /// `eventID`.
    pub event_id: &'a str,
    /// `requestID`.
    pub request_id: &'a str,
}

/// Uses found in the audit log: the last of each key.
#[derive(Debug, Default)]
pub struct FoundUses(HashMap<(String, String), LastUse>);

impl FoundUses {
    /// Adds a use. Uses come in the order of the log, which is not that of their times when somebody set the clock. What
    /// is no use of a key is left out: other operations, and ARNs of other things.
    pub fn add(&mut self, found: FoundUse<'_>) {
        let FoundUse { key_arn, operation, at, event_id, request_id } = found;
        let Some(operation) = KeyLastUsageTrackingOperation::parse(operation) else { return };
        let mut parts = key_arn.splitn(6, ':').skip(2);
        let (Some("kms"), Some(region), Some(_), Some(name)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let Some(id) = name.strip_prefix("key/").filter(|id| is_key_id(id)) else { return };
        let (event_id, request_id) = (event_id.to_owned(), request_id.to_owned());
        let last = LastUse { operation, at: whole_seconds(at), event_id, request_id };
        self.0.insert((region.to_owned(), id.to_owned()), last);
    }

    /// How many keys they are of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_seconds(time.seconds())
}

/// A use that is not stored yet.
#[derive(Clone, Debug)]
struct Pending {
    region: String,
    /// Since when the key has a use that is not stored.
    since: Timestamp,
    last: LastUse,
}

/// Uses by key id. A multi-Region key has one in each Region, so each id has a short list.
type Shard = HashMap<String, Vec<Pending>>;

/// A use on its way to the store.
type Due = (String, String, LastUse);

/// How far the audit log is on disk and stored, in numbers of its entries.
#[derive(Debug, Default)]
struct Progress {
    /// On disk at the run before. Whoever had recorded a call then has noted it by now.
    settled: u64,
    stored_through: u64,
}

/// Uses that are not stored yet, and what is known of those that are.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    shards: [Mutex<Shard>; SHARDS],
    /// Since when uses are tracked; none before the log was read, when nobody can say what the last use of a key was.
    since: Mutex<Option<Timestamp>>,
    progress: Mutex<Progress>,
    /// Uses found no room and are in the audit log only, where the next start will find them.
    overflowed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find_mut<'a>(shard: &'a mut Shard, region: &str, id: &str) -> Option<&'a mut Pending> {
    shard.get_mut(id)?.iter_mut().find(|pending| pending.region == region)
}

impl Uses {
    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        let mixed = id.bytes().fold(0_usize, |mixed, byte| mixed.rotate_left(3) ^ usize::from(byte));
        let [first, ..] = &self.shards;
        locked(self.shards.get((mixed ^ (mixed >> 4)) % SHARDS).unwrap_or(first))
    }

    /// Notes the use of a key by this operation, if it is one that counts. A known key takes no new memory.
    pub(crate) fn note(&self, operation: &str, key: &Key, call: &RecordedCall<'_>) {
        let Some(operation) = KeyLastUsageTrackingOperation::parse(operation) else { return };
        let at = whole_seconds(call.at);
        let mut shard = self.shard(&key.id);
        if let Some(pending) = find_mut(&mut shard, &key.region, &key.id) {
            let last = &mut pending.last;
            // Whatever its time: somebody may have set the clock back.
            (last.operation, last.at) = (operation, at);
            last.event_id.clear();
            last.event_id.push_str(call.event_id);
            last.request_id.clear();
            last.request_id.push_str(call.request_id);
        } else if shard.len() < SHARD_KEYS_MAX {
            let (event_id, request_id) = (call.event_id.to_owned(), call.request_id.to_owned());
            let last = LastUse { operation, at, event_id, request_id };
            let pending = Pending { region: key.region.clone(), since: call.at, last };
            shard.entry(key.id.clone()).or_default().push(pending);
        } else {
            self.overflowed.store(true, Ordering::Release);
        }
    }

    /// The use of a key: what is in memory, or else as stored.
    pub(crate) async fn of(&self, call: &mut Call<'_>, key: &Key) -> Result<Usage, Fault> {
        let unknown = || Fault::RecordMissing(tracking_key().printable());
        let since = locked(&self.since).ok_or_else(unknown)?;
        let (noted, overflowed) = {
            let mut shard = self.shard(&key.id);
            let noted = find_mut(&mut shard, &key.region, &key.id).map(|pending| pending.last.clone());
            (noted, self.overflowed.load(Ordering::Acquire))
        };
        let is_whole = noted.is_some() || !overflowed;
        // Also when a noted one counts: a row that does not open has to show.
        let stored = call.row::<LastUse>(&last_use_key(&key.region, &key.id)).await?;
        // What is in memory came after what is stored, whatever their times.
        let last = noted.or_else(|| stored.map(|row| LastUse::clone(&row.record)));
        Ok(Usage { tracked_since: since.max(key.created), last, is_whole })
    }

    /// Whether the log was read since the start, so that last uses can be told.
    pub(crate) fn are_known(&self) -> bool {
        locked(&self.since).is_some()
    }

    /// Up to which entry of the audit log all uses are stored. The first time, tracking begins: what the log records
    /// before that does not count.
    pub(crate) async fn begin(&self, engine: &Engine) -> Result<(Timestamp, u64), Fault> {
        engine.sync_audit().await?;
        let (now, on_disk) = (engine.clock().now(), engine.audit_on_disk());
        let mut found = Tracking { since: now, stored_through: on_disk };
        Seed::new(engine, "us-east-1", "")
            .run::<Fault>(async |call| {
                let mut writes = Writes::default();
                match call.row::<Tracking>(&tracking_key()).await? {
                    Some(row) => found = *row.record,
                    None => writes.put(call, tracking_key(), found)?,
                }
                Ok(writes)
            })
            .await?;
        Ok((found.since, found.stored_through))
    }

    /// Takes the uses that the log records behind the entry that [`Uses::begin`] gave; from now on last uses are known.
    pub(crate) fn resume(&self, since: Timestamp, stored_through: u64, found: FoundUses, now: Timestamp) {
        for ((region, id), last) in found.0 {
            let mut shard = self.shard(&id);
            match find_mut(&mut shard, &region, &id) {
                // What was noted since the start is newer than what the log had then, whatever the time.
                Some(_) => {}
                None => shard.entry(id).or_default().push(Pending { region, since: now, last }),
            }
        }
        *locked(&self.progress) = Progress { settled: stored_through, stored_through };
        *locked(&self.since) = Some(since);
    }

    /// Forgets everything, for a reset in `claviger dev`.
    pub(crate) fn forget(&self) {
        *locked(&self.since) = None;
        self.shards.iter().for_each(|shard| locked(shard).clear());
        self.overflowed.store(false, Ordering::Release);
    }

    /// Stores the uses once one of them has been in memory for long enough, or the log has grown by enough. What cannot
    /// be stored stays.
    pub(crate) async fn store(&self, engine: &Engine) -> Result<(), Fault> {
        if !self.are_known() {
            return Ok(());
        }
        let (settled, stored_through) = {
            let mut progress = locked(&self.progress);
            let settled = std::mem::replace(&mut progress.settled, engine.audit_on_disk());
            (settled.max(progress.stored_through), progress.stored_through)
        };
        let now = engine.clock().now();
        let whole = !self.overflowed.load(Ordering::Acquire);
        if !self.is_due(now) && (!whole || settled.saturating_sub(stored_through) < STORED_AFTER_ENTRIES) {
            return Ok(());
        }
        let due = self.all();
        let mut fault = None;
        for batch in due.chunks(BATCH) {
            if let Err(failed) = self.store_batch(engine, batch, now).await {
                fault = Some(failed);
            }
        }
        match fault {
            // The log has to be read again from where it was.
            Some(fault) => Err(fault),
            None if !whole => Ok(()),
            None => {
                mark(engine, settled).await?;
                locked(&self.progress).stored_through = settled;
                Ok(())
            }
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let waited = |pending: &Pending| {
            let millis = now.millis().saturating_sub(pending.since.millis());
            // The clock of `claviger dev` may have gone back.
            !(0..STORED_AFTER_MILLIS).contains(&millis)
        };
        self.shards.iter().any(|shard| locked(shard).values().flatten().any(waited))
    }

    fn all(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for shard in &self.shards {
            for (id, regions) in &*locked(shard) {
                due.extend(regions.iter().map(|noted| (noted.region.clone(), id.clone(), noted.last.clone())));
            }
        }
        due
    }

    /// Stores uses by one commit, or, when that cannot be, each by one of its own: a key whose rows are damaged holds
    /// up no other.
    async fn store_batch(&self, engine: &Engine, batch: &[Due], now: Timestamp) -> Result<(), Fault> {
        if let Ok(done) = self.commit(engine, batch).await {
            done.iter().for_each(|stored| self.stored(stored, now));
            return Ok(());
        }
        let mut fault = None;
        for due in batch {
            match self.commit(engine, std::slice::from_ref(due)).await {
                Ok(done) => done.iter().for_each(|stored| self.stored(stored, now)),
                Err(failed) => {
                    fault = Some(failed);
                    let (region, id, _) = due;
                    if let Some(pending) = find_mut(&mut self.shard(id), region, id) {
                        pending.since = now;
                    }
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// Stores the uses of these keys that are in memory by now, and gives them. The row is read before memory: when
    /// another run stored a later use meanwhile, this commit fails and is tried again; an earlier use never replaces
    /// a later one. Keys that are gone have no last use.
    async fn commit(&self, engine: &Engine, uses: &[Due]) -> Result<Vec<Due>, Fault> {
        let mut done = Vec::new();
        let mut seed = Seed::new(engine, "us-east-1", "");
        seed.run::<Fault>(async |call| {
            done.clear();
            let mut writes = Writes::default();
            for (region, id, _) in uses {
                let key = call.row::<Key>(&facts_key(region, id)).await?;
                let row = last_use_key(region, id);
                call.row::<LastUse>(&row).await?;
                let noted = find_mut(&mut self.shard(id), region, id).map(|pending| pending.last.clone());
                let Some(last) = noted else { continue };
                if key.is_some() {
                    writes.put(call, row, last.clone())?;
                }
                done.push((region.clone(), id.clone(), last));
            }
            Ok(writes)
        })
        .await?;
        Ok(done)
    }

    /// Forgets a use that is stored, unless there was another meanwhile.
    fn stored(&self, (region, id, last): &Due, now: Timestamp) {
        let mut shard = self.shard(id);
        let Some(regions) = shard.get_mut(id) else { return };
        for pending in regions.iter_mut().filter(|pending| pending.region == *region) {
            pending.since = now;
        }
        regions.retain(|pending| pending.region != *region || pending.last != *last);
        if regions.is_empty() {
            shard.remove(id);
        }
    }
}

/// Notes that everything up to this entry of the audit log is stored.
async fn mark(engine: &Engine, through: u64) -> Result<(), Fault> {
    let mut seed = Seed::new(engine, "us-east-1", "");
    seed.run::<Fault>(async |call| {
        let mut writes = Writes::default();
        if let Some(row) = call.row::<Tracking>(&tracking_key()).await?
            && row.record.stored_through < through
        {
            writes.put(call, tracking_key(), Tracking { stored_through: through, ..*row.record })?;
        }
        Ok(writes)
    })
    .await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::records::tests::{file, keys, path};

    const EVENT: &str = "11111111-1111-4111-8111-111111111111";
    const REQUEST: &str = "22222222-2222-4222-8222-222222222222";

    fn last_use() -> LastUse {
        LastUse {
            operation: KeyLastUsageTrackingOperation::GenerateDataKey,
            at: Timestamp::from_seconds(1_790_000_000),
            event_id: EVENT.to_owned(),
            request_id: REQUEST.to_owned(),
        }
    }

    fn tracking() -> Tracking {
        Tracking { since: Timestamp::from_millis(1_790_000_000_123), stored_through: 70_000 }
    }

    #[tokio::test]
    async fn golden_bytes() {
        let keys = keys().await;
        let (stored, tracked) = (file("last-use"), file("use-tracking"));
        assert_eq!(last_use().encode(&keys).unwrap(), stored);
        assert_eq!(LastUse::decode(&stored, &keys).unwrap(), last_use());
        assert_eq!(tracking().encode(&keys).unwrap(), tracked);
        assert_eq!(Tracking::decode(&tracked, &keys).unwrap(), tracking());
        for at in 0..stored.len() {
            assert!(LastUse::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
        for at in 0..tracked.len() {
            assert!(Tracking::decode(tracked.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let keys = keys().await;
        let records =
            [("last-use", last_use().encode(&keys).unwrap()), ("use-tracking", tracking().encode(&keys).unwrap())];
        for (name, bytes) in records {
            if !std::path::Path::new(&path(name)).exists() {
                std::fs::write(path(name), hex::encode(bytes) + "\n").unwrap();
            }
        }
    }

    #[test]
    fn whole_days() {
        let used = |at| Usage {
            tracked_since: Timestamp::from_seconds(0),
            last: Some(LastUse { at: Timestamp::from_millis(at), ..last_use() }),
            is_whole: true,
        };
        let days = |at| used(at).idle_days(Timestamp::from_millis(10 * DAY_MILLIS));
        assert_eq!([days(0), days(1), days(10 * DAY_MILLIS), days(11 * DAY_MILLIS)], [10, 9, 0, 0]);
        let never = Usage { tracked_since: Timestamp::from_millis(3 * DAY_MILLIS + 1), last: None, is_whole: true };
        assert_eq!(never.idle_days(Timestamp::from_millis(10 * DAY_MILLIS)), 6);
        let at = Timestamp::from_millis(5);
        let behind = Usage { last: Some(LastUse { at, ..last_use() }), ..never };
        assert_eq!(behind.idle_days(Timestamp::from_millis(10 * DAY_MILLIS)), 6, "not before it was made");
    }

    /// Memory is bounded, and what finds no room is said to be in the log only.
    #[tokio::test]
    async fn there_is_room_for_so_many_keys() {
        let (uses, mut key) = (Uses::default(), a_key().await);
        let call = RecordedCall { at: Timestamp::from_seconds(5), event_id: EVENT, request_id: REQUEST };
        for number in 0..150_000_u32 {
            key.id = format!("{number:08x}-0000-4000-8000-{:012x}", u64::from(number) * 0x9e37_79b9 % 0xffff_ffff);
            uses.note("Encrypt", &key, &call);
        }
        assert!(uses.overflowed.load(Ordering::Acquire));
        let held: Vec<usize> = uses.shards.iter().map(|shard| locked(shard).len()).collect();
        assert_eq!(held, [SHARD_KEYS_MAX; SHARDS]);
    }

    async fn a_key() -> Key {
        let keys = keys().await;
        Key::decode(&file("facts-enabled"), &keys).unwrap()
    }

    /// `cargo test --release -p claviger-kms what_a_note_costs -- --ignored --nocapture`
    #[tokio::test]
    #[ignore = "measures"]
    #[expect(clippy::print_stdout, reason = "it tells what it measured")]
    async fn what_a_note_costs() {
        let (uses, key) = (Uses::default(), a_key().await);
        let call = RecordedCall { at: Timestamp::from_seconds(5), event_id: EVENT, request_id: REQUEST };
        uses.note("GenerateDataKey", &key, &call);
        let begun = std::time::Instant::now();
        for _ in 0..1_000_000 {
            uses.note("GenerateDataKey", std::hint::black_box(&key), std::hint::black_box(&call));
        }
        let spent = begun.elapsed();
        assert!(spent < std::time::Duration::from_secs(1), "a microsecond each: {spent:?} for a million");
        println!("{spent:?} for a million notes");
    }
}
