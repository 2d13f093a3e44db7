//! The store that forgets: for development without a data directory, and for tests.
//!
//! A row keeps the versions that an open view can still see, so that views cost no copy of the table.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::changes::{Changes, Writes};
use crate::{Batch, BoxFuture, Check, CommitError, Range, Revision, Row, Store, StoreError, View, Watch, limit};

/// Rows in memory, gone with the process.
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    table: RwLock<Table>,
    /// How many views are open at each revision. Locked after `table`, never before it.
    views: Mutex<BTreeMap<Revision, usize>>,
    changes: Arc<Changes>,
}

#[derive(Default)]
struct Table {
    revision: Revision,
    /// INVARIANT (versions): never empty, rising by revision; the last is the current one.
    rows: BTreeMap<Bytes, Vec<Version>>,
    /// Rows with versions that nobody needs once every view is at this revision or later; rising by revision.
    garbage: VecDeque<(Revision, Bytes)>,
    closed: bool,
}

struct Version {
    revision: Revision,
    /// None: deleted by this revision.
    value: Option<Bytes>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                table: RwLock::default(),
                views: Mutex::default(),
                changes: Changes::new(Revision::ZERO),
            }),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Memory {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            let table = self.shared.read();
            if table.closed {
                return Err(StoreError::Closed);
            }
            let revision = table.revision;
            let mut views = self.shared.views.lock().unwrap_or_else(PoisonError::into_inner);
            let count = views.entry(revision).or_default();
            *count = count.saturating_add(1);
            Ok(Box::new(MemoryView { shared: Arc::clone(&self.shared), revision }) as Box<dyn View>)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        // Applied here and not in the future: the contract promises the order of the calls.
        let outcome = self.shared.commit(&batch);
        Box::pin(async move { outcome })
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            let table = self.shared.read();
            if table.closed {
                return Err(StoreError::Closed);
            }
            Ok(self.shared.changes.watch(prefix, after, table.revision))
        })
    }

    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.shared.changes.forget();
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.shared.write().closed = true;
        self.shared.changes.close();
        Box::pin(async { Ok(()) })
    }
}

impl Shared {
    // Nothing under these locks can panic half way through a change, so a poisoned lock holds a good table.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, batch: &Batch) -> Result<Revision, CommitError> {
        batch.within_limits()?;
        let mut table = self.write();
        if table.closed {
            return Err(CommitError::Unavailable);
        }
        if !batch.checks().all(|(key, check)| table.holds(key, check)) {
            return Err(CommitError::Conflict);
        }
        let writes = table.apply(batch);
        if !writes.is_empty() {
            self.sweep(&mut table);
            self.changes.publish(table.revision, writes);
        }
        Ok(table.revision)
    }

    /// Drops the versions that no view can see any more.
    fn sweep(&self, table: &mut Table) {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = views.keys().next().copied().unwrap_or(table.revision);
        drop(views);
        table.drop_versions_before(horizon);
    }

    fn view_closed(&self, revision: Revision) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let left = views.get(&revision).map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            views.insert(revision, left);
            return;
        }
        views.remove(&revision);
        drop(views);
        if !self.read().garbage.is_empty() {
            self.sweep(&mut self.write());
        }
    }
}

impl Table {
    fn current(&self, key: &[u8]) -> Option<Row> {
        self.at(key, self.revision)
    }

    fn at(&self, key: &[u8], revision: Revision) -> Option<Row> {
        visible(self.rows.get(key)?, revision)
    }

    fn holds(&self, key: &[u8], check: Check) -> bool {
        match check {
            Check::Absent => self.current(key).is_none(),
            Check::Revision(revision) => self.current(key).is_some_and(|row| row.revision == revision),
        }
    }

    /// Applies the writes and says what they changed; if that is nothing, no revision is taken.
    fn apply(&mut self, batch: &Batch) -> Writes {
        let revision = self.revision.next();
        let mut applied = Writes::new();
        for (key, value) in batch.writes() {
            if value.is_none() && self.current(key).is_none() {
                continue;
            }
            let versions = self.rows.entry(key.clone()).or_default();
            if value.is_none() || !versions.is_empty() {
                self.garbage.push_back((revision, key.clone()));
            }
            versions.push(Version { revision, value: value.cloned() });
            applied.push((key.clone(), value.map(|value| Row { value: value.clone(), revision })));
        }
        if !applied.is_empty() {
            self.revision = revision;
        }
        applied
    }

    fn drop_versions_before(&mut self, horizon: Revision) {
        while let Some((_, key)) = self.garbage.pop_front_if(|(revision, _)| *revision <= horizon) {
            let Some(versions) = self.rows.get_mut(&key) else { continue };
            let needed = versions.partition_point(|version| version.revision <= horizon).saturating_sub(1);
            versions.drain(..needed);
            let gone = |version: &Version| version.value.is_none() && version.revision <= horizon;
            if versions.first().is_some_and(gone) {
                versions.remove(0);
            }
            if versions.is_empty() {
                self.rows.remove(&key);
            }
        }
    }
}

/// The newest version that is not newer than `revision`.
fn visible(versions: &[Version], revision: Revision) -> Option<Row> {
    let version = versions.iter().rev().find(|version| version.revision <= revision)?;
    version.value.as_ref().map(|value| Row { value: value.clone(), revision: version.revision })
}

struct MemoryView {
    shared: Arc<Shared>,
    revision: Revision,
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        self.shared.view_closed(self.revision);
    }
}

impl View for MemoryView {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        Box::pin(async move { Ok(self.shared.read().at(key, self.revision)) })
    }

    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>> {
        Box::pin(async move {
            if count_max > limit::SCAN_ROWS_MAX {
                return Err(StoreError::TooLarge);
            }
            let start = match after {
                Some(after) if *after >= *range.start => Bound::Excluded(after),
                _ => Bound::Included(&*range.start),
            };
            let table = self.shared.read();
            let rows = table.rows.range::<[u8], _>((start, Bound::Unbounded));
            let inside = rows.take_while(|(key, _)| range.end.as_ref().is_none_or(|end| *key < end));
            let visible =
                inside.filter_map(|(key, versions)| visible(versions, self.revision).map(|row| (key.clone(), row)));
            Ok(visible.take(count_max).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn old_versions_go_when_the_last_view_that_sees_them_goes() {
        let store = Memory::new();
        let mut batch = Batch::new();
        batch.put("a", "1").put("b", "1");
        store.commit(batch).await.unwrap();
        let view = store.snapshot().await.unwrap();
        for _ in 0..5 {
            let mut batch = Batch::new();
            batch.put("a", "2").delete("b");
            store.commit(batch).await.unwrap();
        }
        assert_eq!(view.scan(Range::all(), None, 10).await.unwrap().len(), 2);
        assert!(store.shared.read().rows.values().any(|versions| versions.len() > 1));
        drop(view);
        let table = store.shared.read();
        assert_eq!(table.rows.len(), 1, "the deleted row is gone");
        assert!(table.rows.values().all(|versions| versions.len() == 1));
        assert!(table.garbage.is_empty());
        assert!(store.shared.views.lock().unwrap().is_empty());
    }
}
