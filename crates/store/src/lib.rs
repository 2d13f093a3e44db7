//! Ordered bytes, snapshots, conditional batches, watch.
//!
//! The contract is small so that one process and a cluster can keep the same one: [`Store`], [`View`] and
//! [`Watch`]. The suite in [`conformance`] is its definition, and every backend runs it: [`Memory`] for
//! development and tests, [`Embedded`] (SQLite) as the default.
//!
//! Architecture invariant: this crate never learns what a row means, and holds no cryptography. Whoever uses
//! it must treat what it gives back as untrusted bytes.

mod batch;
mod changes;
pub mod conformance;
mod embedded;
mod faulty;
mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use batch::{Batch, Check};
pub use embedded::{Embedded, Fault, OpenError};
pub use faulty::{Action, Faulty, Gate, Plan, Point, Script};
pub use memory::Memory;

/// The largest of everything that a caller can make large.
pub mod limit {
    /// Checks, puts and deletes of one batch, counted together.
    pub const BATCH_OPERATIONS_MAX: usize = 100;
    /// Bytes of one batch: every key (those of checks too) and every value.
    pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
    /// Bytes of one key. The shortest key has one byte.
    pub const KEY_BYTES_MAX: usize = 1024;
    /// Rows that one call of `scan` may ask for.
    pub const SCAN_ROWS_MAX: usize = 10_000;
    /// Commits that a watch may lag behind before it is lost.
    pub const WATCH_COMMITS_MAX: usize = 4096;
    /// Bytes of keys and values that are kept for watches that lag behind.
    pub const WATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
    /// Commits that may wait for the writer of the embedded store; the next one is refused as unavailable.
    pub const QUEUE_COMMITS_MAX: usize = 4096;
    /// Bytes of the batches that may wait for the writer of the embedded store.
    pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Commits that share one sync of the embedded store.
    pub const GROUP_COMMITS_MAX: usize = 256;
    /// Bytes of batches after which a group takes no further commit.
    pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
    /// Views of the embedded store that may be open at a time; opening one more waits.
    pub const VIEWS_MAX: usize = 64;
}

/// What the store's methods return: a future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The number of a commit. Zero is the empty store; every commit that changes something takes the next one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a store that nothing was ever committed to.
    pub const ZERO: Self = Self(0);

    /// The revision that the next commit takes if nobody else commits before it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A value with the revision of the commit that wrote it. No `Debug`: what a row holds is not for logs.
#[derive(Clone, Eq, PartialEq)]
pub struct Row {
    /// The bytes, as they were put.
    pub value: Bytes,
    /// The commit that put them.
    pub revision: Revision,
}

/// The keys from `start` (included) to `end` (excluded; none: to the last key).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Range {
    /// The smallest key of the range.
    pub start: Bytes,
    /// The first key beyond the range.
    pub end: Option<Bytes>,
}

impl Range {
    /// Every key.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// The keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key beyond a prefix is the prefix with its last byte raised; a byte of 255 cannot be raised,
        // so it is cut off and the one before it raised. Nothing left to raise: the range has no end.
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if let Some(raised) = last.checked_add(1) {
                end.push(raised);
                return Self { start: Bytes::copy_from_slice(prefix), end: Some(end.into()) };
            }
        }
        Self { start: Bytes::copy_from_slice(prefix), end: None }
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| *key < **end)
    }
}

/// Rows, ordered by key (byte by byte), that change by atomic batches.
pub trait Store: Send + Sync {
    /// Opens a view of one revision. Linearizable: it contains every commit acknowledged before this call.
    ///
    /// A view costs the store something as long as it lives, so keep it for one request, and do not wait for a
    /// second one while holding the first.
    ///
    /// # Errors
    /// `Unavailable` or `Closed`.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>>;

    /// Applies the batch if every check holds, entirely or not at all. Once this answers with a revision, the
    /// batch survives the loss of power.
    ///
    /// The batch is handed over when this is called, not when the future is first polled: calls made one after
    /// the other are applied in that order. Dropping the future does not take the batch back.
    ///
    /// A batch that puts something, or deletes a row that exists, takes the next revision. Any other batch
    /// changes nothing, takes none, and answers with the revision at which its checks held.
    ///
    /// # Errors
    /// See [`CommitError`]; nothing was applied, except that `Unknown` leaves it open.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>>;

    /// Watches the rows whose key begins with `prefix`, from the first commit after the revision given.
    ///
    /// # Errors
    /// `Unavailable` or `Closed`. A revision that is too old, or has not happened, is no error here: the watch
    /// answers [`WatchEvent::Lost`].
    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>>;

    /// Takes what was deleted or overwritten by earlier commits out of the store's own files as well (logs,
    /// free pages), as far as a file system lets one. Called after key material was destroyed.
    ///
    /// # Errors
    /// `Unavailable` when it could not be done now, for example because an older view is open: call again.
    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    /// Finishes what was committed, waits until every view is dropped, and gives the store's files back. After
    /// this, every call answers `Closed` or `Unavailable`. Closing twice is harmless.
    ///
    /// # Errors
    /// `Unavailable` when the files could not be put in order; what was acknowledged is durable all the same.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The rows at one revision. Commits made after it was opened do not show.
pub trait View: Send + Sync {
    /// The revision that is seen.
    fn revision(&self) -> Revision;

    /// The row of a key, if there is one.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>>;

    /// The first `limit` rows of the range in the order of their keys, starting behind `after` if it is given.
    /// Fewer rows than `limit` means that the range has no more.
    ///
    /// # Errors
    /// `TooLarge` if `limit` is beyond [`limit::SCAN_ROWS_MAX`]; `Unavailable` or `Corrupt`.
    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>>;
}

/// A place in the sequence of commits.
pub trait Watch: Send {
    /// Waits for the next event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `Closed` once the store is closed.
    fn next(&mut self) -> BoxFuture<'_, Result<WatchEvent, StoreError>>;

    /// Asks for a progress mark even if nothing was committed: the next event is then at the latest a
    /// [`WatchEvent::Progress`]. The store has no clock of its own, so whoever needs a mark every second asks
    /// every second.
    fn request_progress(&mut self);
}

/// What a watch tells.
#[derive(Clone, Eq, PartialEq)]
pub enum WatchEvent {
    /// One commit: its revision and what became of each row of the prefix that it wrote, ordered by key; a
    /// deleted row is `None`.
    Changes(Revision, Vec<(Bytes, Option<Row>)>),
    /// Every change up to this revision has been told.
    Progress(Revision),
    /// Changes were missed: load the rows again and open a new watch. This one tells nothing more.
    Lost,
}

/// Why the store could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or its files cannot be read at the moment.
    #[error("the store is not available")]
    Unavailable,
    /// Its files are not what it wrote.
    #[error("the store is corrupt")]
    Corrupt,
    /// More rows were asked for than one call gives.
    #[error("a scan asks for too many rows")]
    TooLarge,
    /// It was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a batch was not acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommitError {
    /// A check did not hold. Nothing was applied.
    #[error("a row has changed")]
    Conflict,
    /// The batch is outside the limits: operations, bytes, or a key that is empty or too long. Nothing was
    /// applied, and trying again will not help.
    #[error("the batch is outside the limits of the store")]
    TooLarge,
    /// The store could not take it. Nothing was applied.
    #[error("the store is not available")]
    Unavailable,
    /// The store failed while it was applied: it is there entirely or not at all, and which is not known.
    #[error("the outcome of the commit is not known")]
    Unknown,
}
