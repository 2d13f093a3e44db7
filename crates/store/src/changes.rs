//! The recent commits of a store that lives in this process, kept for its watches.
//!
//! All watches read one bounded list, each with a cursor of its own, so a slow watch costs nothing: when the
//! list has moved past its cursor it is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch::{Receiver, Sender};

use crate::{BoxFuture, Revision, Row, StoreError, Watch, WatchEvent, limit};

/// What a commit did to its rows, ordered by key.
pub(crate) type Writes = Vec<(Bytes, Option<Row>)>;

/// The list. One a store.
pub(crate) struct Changes {
    state: Mutex<State>,
    /// Wakes the watches; true once the store is closed.
    signal: Sender<bool>,
}

struct State {
    /// INVARIANT (no gaps): `commits` holds every commit after this revision, in order, the last one published
    /// included. Kept by `publish`, the only place that adds, and `trim` and `forget`, which remove from the
    /// front.
    floor: Revision,
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
}

struct Commit {
    revision: Revision,
    writes: Writes,
    bytes: usize,
}

impl Changes {
    /// An empty list of a store that is at `revision`.
    pub(crate) fn new(revision: Revision) -> Arc<Self> {
        let state = State { floor: revision, commits: VecDeque::new(), bytes: 0 };
        Arc::new(Self { state: Mutex::new(state), signal: Sender::new(false) })
    }

    /// Adds a commit. Called in the order of the revisions, after the commit has become durable and visible.
    pub(crate) fn publish(&self, revision: Revision, writes: Writes) {
        let bytes = writes
            .iter()
            .map(|(key, row)| key.len().saturating_add(row.as_ref().map_or(0, |row| row.value.len())))
            .fold(0, usize::saturating_add);
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(bytes);
        state.commits.push_back(Arc::new(Commit { revision, writes, bytes }));
        state.trim(limit::WATCH_COMMITS_MAX, limit::WATCH_BYTES_MAX);
        drop(state);
        self.signal.send_replace(false);
    }

    /// Drops every value that is held, at the price of losing the watches that lag behind.
    pub(crate) fn forget(&self) {
        self.state().trim(0, 0);
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.signal.send_replace(true);
    }

    /// Opens a watch. `known` is a revision that has certainly happened, as new as any the caller can have seen.
    pub(crate) fn watch(self: &Arc<Self>, prefix: &[u8], after: Revision, known: Revision) -> Box<dyn Watch> {
        Box::new(LocalWatch {
            changes: Arc::clone(self),
            signal: self.signal.subscribe(),
            prefix: Bytes::copy_from_slice(prefix),
            cursor: after,
            told: Revision::ZERO,
            progress_asked: true,
            lost: after > known,
        })
    }

    /// The first commit after a revision; none yet; or an error if it is no longer held.
    fn after(&self, cursor: Revision) -> Result<Option<Arc<Commit>>, LaggedBehind> {
        let state = self.state();
        if cursor < state.floor {
            return Err(LaggedBehind);
        }
        let index = state.commits.partition_point(|commit| commit.revision <= cursor);
        Ok(state.commits.get(index).map(Arc::clone))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way through a change, so a poisoned lock holds a good list.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trim(&mut self, commits_max: usize, bytes_max: usize) {
        while self.commits.len() > commits_max || self.bytes > bytes_max {
            let Some(oldest) = self.commits.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.floor = oldest.revision;
        }
    }
}

/// The cursor points before the list's first commit.
struct LaggedBehind;

struct LocalWatch {
    changes: Arc<Changes>,
    signal: Receiver<bool>,
    prefix: Bytes,
    /// Every commit up to here was looked at.
    cursor: Revision,
    /// The last revision that an event named.
    told: Revision,
    progress_asked: bool,
    lost: bool,
}

impl LocalWatch {
    /// What can be told without waiting.
    fn ready(&mut self) -> Option<WatchEvent> {
        while !self.lost {
            match self.changes.after(self.cursor) {
                Err(LaggedBehind) => self.lost = true,
                Ok(Some(commit)) => {
                    self.cursor = commit.revision;
                    let mine = |(key, _): &&(Bytes, Option<Row>)| key.starts_with(&self.prefix);
                    let writes: Writes = commit.writes.iter().filter(mine).cloned().collect();
                    if !writes.is_empty() {
                        self.told = self.cursor;
                        return Some(WatchEvent::Changes(self.cursor, writes));
                    }
                }
                Ok(None) if self.progress_asked || self.cursor > self.told => {
                    self.progress_asked = false;
                    self.told = self.cursor;
                    return Some(WatchEvent::Progress(self.cursor));
                }
                Ok(None) => return None,
            }
        }
        Some(WatchEvent::Lost)
    }
}

impl Watch for LocalWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async {
            loop {
                // Marked as seen before looking, so a commit published in between wakes the wait below.
                if *self.signal.borrow_and_update() {
                    return Err(StoreError::Closed);
                }
                if let Some(event) = self.ready() {
                    return Ok(event);
                }
                self.signal.changed().await.map_err(|_| StoreError::Closed)?;
            }
        })
    }

    fn request_progress(&mut self) {
        self.progress_asked = true;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn put(value_bytes: usize) -> Writes {
        vec![("k".into(), Some(Row { value: vec![0; value_bytes].into(), revision: Revision(1) }))]
    }

    #[tokio::test]
    async fn a_watch_is_lost_once_the_list_has_moved_past_it() {
        for (commits, value_bytes) in [(limit::WATCH_COMMITS_MAX, 0), (16, limit::WATCH_BYTES_MAX / 16)] {
            let changes = Changes::new(Revision::ZERO);
            let mut slow = changes.watch(b"", Revision::ZERO, Revision::ZERO);
            for number in 1..=commits as u64 + 1 {
                changes.publish(Revision(number), put(value_bytes));
            }
            assert!(matches!(slow.next().await, Ok(WatchEvent::Lost)));
            assert!(matches!(slow.next().await, Ok(WatchEvent::Lost)), "lost stays lost");
            let last = Revision(commits as u64);
            let mut quick = changes.watch(b"", last, last);
            assert!(matches!(quick.next().await, Ok(WatchEvent::Changes(revision, _)) if revision > last));
            assert!(changes.state().bytes <= limit::WATCH_BYTES_MAX);
        }
    }

    #[tokio::test]
    async fn forgetting_keeps_a_watch_that_is_up_to_date() {
        let changes = Changes::new(Revision(7));
        let mut watch = changes.watch(b"", Revision(7), Revision(7));
        changes.publish(Revision(8), put(1));
        assert!(matches!(watch.next().await.unwrap(), WatchEvent::Changes(Revision(8), _)));
        changes.forget();
        changes.publish(Revision(9), put(1));
        assert!(matches!(watch.next().await.unwrap(), WatchEvent::Changes(Revision(9), _)));
        let mut old = changes.watch(b"", Revision(7), Revision(9));
        assert!(matches!(old.next().await.unwrap(), WatchEvent::Lost));
    }
}
