//! Turns the writes of calls into store commits: numbers them, wraps the rows, keeps the group sums and the head true.
//!
//! Calls that commit at the same time are merged into one store commit, so they share its sync. Whoever holds the
//! turn commits for everybody that waits; there is no thread of its own.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claviger_crypto::{DomainKeys, MacKey};
use claviger_store::{Batch, CommitError, Revision, Store};
use tokio::sync::{Mutex as TurnMutex, oneshot};

use crate::Fault;
use crate::cache::{Entry, Records};
use crate::integrity::{self, Broken, GROUPS, Group, Head};
use crate::record::{Record, RowKey, Seen, wrap};

/// Operations in one store commit, the store's own limit (DESIGN.md section 5).
const OPERATIONS_MAX: usize = 100;
/// Value bytes in one store commit: below the store's limit of 1 MiB, leaving room for keys and sums.
const BYTES_MAX: usize = 900 * 1024;
/// Group rows and the head that a merged commit may add.
const INTEGRITY_OPERATIONS: usize = 20;

/// What becomes of one row.
pub(crate) enum Write {
    /// The row holds this record from now on.
    Put { record: Arc<dyn Any + Send + Sync>, plain: Vec<u8> },
    /// The row goes.
    Delete,
}

/// The writes of one call, with what it read.
#[derive(Default)]
pub(crate) struct Change {
    /// What must still be so.
    pub(crate) seen: BTreeMap<RowKey, Seen>,
    /// What becomes of which row. Each row written is among those seen.
    pub(crate) writes: BTreeMap<RowKey, Write>,
}

impl Change {
    pub(crate) fn put<R: Record>(&mut self, key: RowKey, record: Arc<R>, keys: &DomainKeys) -> Result<(), Fault> {
        let plain = record.encode(keys)?;
        self.writes.insert(key, Write::Put { record, plain });
        Ok(())
    }

    fn operations(&self) -> usize {
        self.seen.len() + self.writes.len()
    }

    fn bytes(&self) -> usize {
        self.writes
            .iter()
            .map(|(key, write)| {
                key.as_bytes().len() + 200 + if let Write::Put { plain, .. } = write { plain.len() } else { 0 }
            })
            .sum()
    }

    fn groups(&self) -> HashSet<usize> {
        self.writes.keys().map(integrity::group_of).collect()
    }
}

/// What a commit came to.
pub(crate) enum Committed {
    /// It is durable.
    Done,
    /// Something it read has changed.
    Conflict,
}

struct Waiting {
    change: Change,
    reply: oneshot::Sender<Result<Committed, Fault>>,
}

/// The live sums and numbers; what the head and group rows hold.
struct Live {
    head: Head,
    number: u64,
    head_seen: Option<Revision>,
    groups: Vec<Group>,
    lost: bool,
}

pub(crate) struct Committer {
    store: Arc<dyn Store>,
    keys: Arc<DomainKeys>,
    mac: MacKey,
    records: Arc<Records>,
    broken: Arc<Broken>,
    audit: claviger_audit::Log,
    queue: Mutex<Vec<Waiting>>,
    /// Entries of the audit log that are on disk.
    audit_synced: AtomicU64,
    live: TurnMutex<Live>,
}

/// What a check of all rows found.
pub struct Integrity {
    pub(crate) head: Head,
    pub(crate) number: u64,
    pub(crate) head_seen: Option<Revision>,
    pub(crate) groups: Vec<Group>,
    /// Groups whose rows do not add up.
    pub broken: HashSet<usize>,
    /// Rows of broken groups, and integrity rows that do not open: what the operator should look at.
    pub suspects: Vec<String>,
    /// Rows that were read.
    pub rows: u64,
}

impl Committer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keys: Arc<DomainKeys>,
        records: Arc<Records>,
        broken: Arc<Broken>,
        audit: claviger_audit::Log,
        found: Integrity,
    ) -> Result<Self, Fault> {
        let mac = integrity_key(&keys)?;
        let live = Live {
            head: found.head,
            number: found.number,
            head_seen: found.head_seen,
            groups: found.groups,
            lost: false,
        };
        Ok(Self {
            store,
            keys,
            mac,
            records,
            broken,
            audit,
            queue: Mutex::default(),
            audit_synced: AtomicU64::new(0),
            live: TurnMutex::new(live),
        })
    }

    pub(crate) fn audit_synced(&self, sequence: u64) {
        self.audit_synced.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Commits the change, or says that what it read is no longer so.
    pub(crate) async fn commit(&self, change: Change) -> Result<Committed, Fault> {
        if change.operations() > OPERATIONS_MAX - INTEGRITY_OPERATIONS || change.bytes() > BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let (reply, mut done) = oneshot::channel();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(Waiting { change, reply });
        let mut live = self.live.lock().await;
        loop {
            // Whoever held the turn before may have committed this change already.
            match done.try_recv() {
                Ok(result) => return result,
                Err(oneshot::error::TryRecvError::Closed) => return Err(Fault::Commit),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let waiting = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
            self.commit_all(&mut live, waiting).await;
        }
    }

    async fn commit_all(&self, live: &mut Live, mut waiting: Vec<Waiting>) {
        while !waiting.is_empty() {
            let rest = split_off_later(&mut waiting);
            match self.commit_merged(live, &waiting).await {
                Ok(Committed::Done) => waiting.drain(..).for_each(|one| answer(one, Ok(Committed::Done))),
                Ok(Committed::Conflict) if waiting.len() > 1 => self.commit_singly(live, &mut waiting).await,
                Ok(Committed::Conflict) => waiting.drain(..).for_each(|one| answer(one, Ok(Committed::Conflict))),
                Err(fault) => waiting.drain(..).for_each(|one| answer(one, Err(fault.clone()))),
            }
            waiting = rest;
        }
    }

    async fn commit_singly(&self, live: &mut Live, waiting: &mut Vec<Waiting>) {
        for one in waiting.drain(..) {
            let result = self.commit_merged(live, std::slice::from_ref(&one)).await;
            answer(one, result);
        }
    }

    async fn commit_merged(&self, live: &mut Live, waiting: &[Waiting]) -> Result<Committed, Fault> {
        if live.lost {
            self.reload(live).await?;
        }
        let number = live.number + 1;
        let (batch, head, groups) = self.batch(live, waiting, number)?;
        match self.store.commit(batch).await {
            Ok(revision) => {
                live.head = head;
                live.groups = groups;
                live.number = number;
                live.head_seen = Some(revision);
                self.publish(waiting, revision, number);
                Ok(Committed::Done)
            }
            Err(CommitError::Conflict) => {
                // The head is among the checks: if somebody else moved it, our sums are old.
                let head = self.store.snapshot().await?.get(integrity::head_key().as_bytes()).await?;
                live.lost = head.map(|row| row.revision) != live.head_seen;
                Ok(Committed::Conflict)
            }
            Err(error) => {
                live.lost = true;
                self.records.clear();
                Err(error.into())
            }
        }
    }

    fn batch(&self, live: &Live, waiting: &[Waiting], number: u64) -> Result<(Batch, Head, Vec<Group>), Fault> {
        let mut batch = Batch::default();
        let mut head = live.head.clone();
        head.audit_sequence = head.audit_sequence.max(self.audit_synced.load(Ordering::Acquire));
        let mut groups = live.groups.clone();
        let mut touched = HashSet::new();
        for Waiting { change, .. } in waiting {
            for (key, seen) in &change.seen {
                match seen {
                    Seen::Absent => batch.check_absent(key.bytes()),
                    Seen::At { revision, .. } => batch.check_revision(key.bytes(), *revision),
                };
            }
            for (key, write) in &change.writes {
                let at = integrity::group_of(key);
                let group = groups.get_mut(at).ok_or(Fault::Commit)?;
                touched.insert(at);
                if let Some(Seen::At { number: old, .. }) = change.seen.get(key) {
                    group.remove(&integrity::element(&self.mac, key, *old));
                }
                match write {
                    Write::Put { plain, .. } => {
                        group.add(&integrity::element(&self.mac, key, number));
                        batch.put(key.bytes(), wrap(&self.keys, key, number, plain)?);
                    }
                    Write::Delete => {
                        batch.delete(key.bytes());
                    }
                }
            }
        }
        for at in touched {
            let group = groups.get(at).ok_or(Fault::Commit)?;
            let key = integrity::group_key(at);
            let kept = if group.is_empty() { 0 } else { number };
            if let Some(slot) = head.group_numbers.get_mut(at) {
                *slot = kept;
            }
            if group.is_empty() {
                batch.delete(key.bytes());
            } else {
                batch.put(key.bytes(), wrap(&self.keys, &key, number, &group.encode())?);
            }
        }
        let key = integrity::head_key();
        match live.head_seen {
            Some(revision) => batch.check_revision(key.bytes(), revision),
            None => batch.check_absent(key.bytes()),
        };
        batch.put(key.bytes(), wrap(&self.keys, &key, number, &head.encode())?);
        Ok((batch, head, groups))
    }

    fn publish(&self, waiting: &[Waiting], revision: Revision, number: u64) {
        for Waiting { change, .. } in waiting {
            for (key, write) in &change.writes {
                let entry = match write {
                    Write::Put { record, .. } => {
                        Some(Entry { record: Arc::clone(record), seen: Seen::At { revision, number } })
                    }
                    Write::Delete => None,
                };
                self.records.replace(key, entry);
            }
        }
        crate::engine::anchor(&self.audit, number);
    }

    pub(crate) fn synced(&self) -> u64 {
        self.audit_synced.load(Ordering::Acquire)
    }

    /// The number of the last commit.
    pub(crate) async fn number(&self) -> u64 {
        self.live.lock().await.number
    }

    /// Refuses a store that is older than a commit that was acknowledged: all of it was put back. From then on no row
    /// is believed.
    pub(crate) fn demand_not_older(&self, found: &Integrity, acknowledged: u64) -> Result<(), Fault> {
        if found.number >= acknowledged {
            return Ok(());
        }
        self.broken.add(&(0..GROUPS).collect());
        Err(Fault::RowGroup(integrity::head_key().printable()))
    }

    async fn reload(&self, live: &mut Live) -> Result<(), Fault> {
        let found = check_all(&*self.store, &self.keys, &self.mac, Depth::Numbers).await?;
        self.records.clear();
        crate::engine::report_broken(&found, &self.broken);
        self.demand_not_older(&found, live.number)?;
        live.head = found.head;
        live.number = found.number;
        live.head_seen = found.head_seen;
        live.groups = found.groups;
        live.lost = false;
        Ok(())
    }
}

fn answer(waiting: Waiting, result: Result<Committed, Fault>) {
    // A caller that went away has nobody to tell.
    let _ = waiting.reply.send(result);
}

/// Keeps in `waiting` what fits one commit and does not touch the same rows; gives back the rest.
fn split_off_later(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let (mut operations, mut bytes, mut written, mut groups) = (0, 0, HashSet::new(), HashSet::new());
    let fits = waiting.iter().take_while(|one| {
        let change = &one.change;
        operations += change.operations();
        bytes += change.bytes();
        groups.extend(change.groups());
        let apart = change.seen.keys().chain(change.writes.keys()).all(|key| !written.contains(key));
        written.extend(change.writes.keys().cloned());
        apart && operations + groups.len() + 2 <= OPERATIONS_MAX && bytes <= BYTES_MAX
    });
    let count = fits.count().max(1);
    waiting.split_off(count)
}

pub(crate) fn integrity_key(keys: &DomainKeys) -> Result<MacKey, Fault> {
    Ok(keys.mac_key("claviger live rows v1")?)
}

/// Rows read from the store at a time while checking.
const PAGE: usize = 1_000;

/// How closely the rows are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Their numbers must add up; an edited value is met when it is read. A start does this.
    Numbers,
    /// Each must open as well. A scrub does this.
    Opened,
}

/// Reads every row and compares the sums with the group rows and the head.
pub(crate) async fn check_all(
    store: &dyn Store,
    keys: &DomainKeys,
    mac: &MacKey,
    depth: Depth,
) -> Result<Integrity, Fault> {
    let view = store.snapshot().await?;
    let mut summed = vec![Group::default(); GROUPS];
    let mut names: Vec<Vec<String>> = vec![Vec::new(); GROUPS];
    let (mut after, mut rows, mut altered) = (None::<bytes::Bytes>, 0_u64, Vec::new());
    loop {
        let page = view.scan(claviger_store::Range::all(), after.as_deref(), PAGE).await?;
        for (key, row) in &page {
            let key = RowKey::from_store(key.clone());
            rows += 1;
            if key.as_bytes().starts_with(crate::open::UNSUMMED) || key.as_bytes().starts_with(b"integrity/") {
                continue;
            }
            let at = integrity::group_of(&key);
            let number = crate::record::claimed_number(&row.value).unwrap_or_default();
            if depth == Depth::Opened && crate::record::unwrap(keys, &key, &row.value).is_err() {
                altered.push(key.printable());
            }
            if let (Some(group), Some(names)) = (summed.get_mut(at), names.get_mut(at)) {
                group.add(&integrity::element(mac, &key, number));
                if names.len() < 20 {
                    names.push(key.printable());
                }
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            _ => break,
        }
    }
    let mut found = compare(&*view, keys, summed, names, rows).await?;
    found.suspects.extend(altered);
    Ok(found)
}

async fn compare(
    view: &dyn claviger_store::View,
    keys: &DomainKeys,
    summed: Vec<Group>,
    names: Vec<Vec<String>>,
    rows: u64,
) -> Result<Integrity, Fault> {
    let key = integrity::head_key();
    let (head, number, head_seen) = match view.get(key.as_bytes()).await? {
        None if rows == 0 || summed.iter().all(Group::is_empty) => (Head::default(), 0, None),
        None => return Err(Fault::RecordMissing(key.printable())),
        Some(row) => {
            let (number, plain) = crate::record::unwrap(keys, &key, &row.value)?;
            let head = Head::decode(plain.expose()).map_err(|_| Fault::RecordMalformed(key.printable()))?;
            (head, number, Some(row.revision))
        }
    };
    let (mut broken, mut suspects, mut groups) = (HashSet::new(), Vec::new(), Vec::with_capacity(GROUPS));
    for (at, (sum, names)) in summed.into_iter().zip(names).enumerate() {
        let expected = head.group_numbers.get(at).copied().unwrap_or_default();
        let stored = stored_group(view, keys, at, expected).await?;
        if stored != Some(sum) {
            broken.insert(at);
            suspects.extend(names);
            suspects.push(integrity::group_key(at).printable());
        }
        // Later commits go on from what the group should hold, so that none of them makes a broken group fit.
        groups.push(stored.unwrap_or_else(|| sum.never()));
    }
    Ok(Integrity { head, number, head_seen, groups, broken, suspects, rows })
}

/// What the group should hold; `None` when its row is missing, does not open or is not the one that the head names.
async fn stored_group(
    view: &dyn claviger_store::View,
    keys: &DomainKeys,
    at: usize,
    expected: u64,
) -> Result<Option<Group>, Fault> {
    let key = integrity::group_key(at);
    let Some(row) = view.get(key.as_bytes()).await? else { return Ok((expected == 0).then(Group::default)) };
    let Ok((number, plain)) = crate::record::unwrap(keys, &key, &row.value) else { return Ok(None) };
    let stored = Group::decode(plain.expose()).ok();
    Ok(stored.filter(|_| number == expected))
}
