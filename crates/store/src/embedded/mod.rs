//! The default store: one SQLite file in a directory of its own.
//!
//! One thread writes; commits that wait for it share one transaction and so one sync. Views read through
//! connections of their own, inside the calling task: a read is a few microseconds from the page cache, less
//! than handing it to another thread.
//!
//! An acknowledgement is sent after SQLite's COMMIT returned, with `synchronous=FULL`: the commit's frames and
//! everything before them are synced in the write-ahead log. `tests/durability.rs` replays traced system calls
//! to show it.

mod open;
mod view;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

pub use open::OpenError;

use crate::changes::Changes;
use crate::{Batch, BoxFuture, CommitError, Revision, Store, StoreError, View, Watch, limit};
use view::EmbeddedView;
use writer::{Commit, Job, Writer};

/// Rows in a SQLite file. Dropping it closes it, and waits for that.
pub struct Embedded {
    shared: Arc<Shared>,
    /// None only while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle, the writer and the views share.
struct Shared {
    path: PathBuf,
    changes: Arc<Changes>,
    /// One permit a view.
    views: Arc<Semaphore>,
    /// Connections that no view uses at the moment.
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    queued_commits: AtomicUsize,
    queued_bytes: AtomicUsize,
    fault: Mutex<Option<Fault>>,
    /// Keeps other processes out until the writer has closed the file.
    lock: File,
}

/// The last thing that went wrong with the files, for whoever operates the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What was tried.
    pub during: &'static str,
    /// SQLite's extended result code.
    pub code: i32,
    /// Whether the store takes no more commits until it is opened again: the outcome of one is not known, and
    /// after a failed sync nothing that the operating system says about the file can be believed.
    pub ended_commits: bool,
}

impl Embedded {
    /// Opens the store in `directory`, which is created if need be. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]. A directory that belongs to someone else is left as it is.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::start(open::open(directory)?)
    }

    fn start(opened: open::Opened) -> Result<Self, OpenError> {
        let open::Opened { connection, lock, revision, path } = opened;
        let shared = Arc::new(Shared {
            path,
            changes: Changes::new(revision),
            views: Arc::new(Semaphore::new(limit::VIEWS_MAX)),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            queued_commits: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            fault: Mutex::default(),
            lock,
        });
        let (jobs, receiver) = mpsc::channel();
        let writer = Writer::new(connection, revision, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| OpenError::Unwritable(error.kind()))?;
        Ok(Self { shared, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The last thing that went wrong, if anything did.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a commit to the writer, in the order of the calls.
    fn hand_over(&self, batch: Batch) -> Result<oneshot::Receiver<Result<Revision, CommitError>>, CommitError> {
        batch.within_limits()?;
        let bytes = batch.size_bytes();
        let (answer, outcome) = oneshot::channel();
        if self.shared.closed.load(Ordering::SeqCst) || !self.shared.reserve(bytes) {
            return Err(CommitError::Unavailable);
        }
        match self.send(Job::Commit(Commit { batch, bytes, answer })) {
            Ok(()) => Ok(outcome),
            Err(StoreError::Closed | StoreError::Unavailable | StoreError::Corrupt | StoreError::TooLarge) => {
                self.shared.release(bytes);
                Err(CommitError::Unavailable)
            }
        }
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).map_err(|_| StoreError::Closed)
    }
}

impl Store for Embedded {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            let view = EmbeddedView::open(Arc::clone(&self.shared)).await?;
            Ok(Box::new(view) as Box<dyn View>)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let handed_over = self.hand_over(batch);
        // A writer that is gone without an answer may have committed.
        Box::pin(async { handed_over?.await.unwrap_or(Err(CommitError::Unknown)) })
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            // A view may show a commit a moment before it is published, so the file is asked what has happened.
            let known = EmbeddedView::open(Arc::clone(&self.shared)).await?.revision();
            Ok(self.shared.changes.watch(prefix, after, known))
        })
    }

    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let (answer, outcome) = oneshot::channel();
        let sent = self.send(Job::Erase(answer));
        Box::pin(async move {
            sent?;
            outcome.await.map_err(|_| StoreError::Closed)?
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.shared.closed.store(true, Ordering::SeqCst);
            self.shared.changes.close();
            let all = u32::try_from(limit::VIEWS_MAX).unwrap_or(u32::MAX);
            // With every permit in hand no view is open, and none can be. Another call that comes meanwhile waits
            // here, and then finds the writer gone.
            let _permits = self.shared.views.acquire_many(all).await.map_err(|_| StoreError::Closed)?;
            let (answer, outcome) = oneshot::channel();
            match self.send(Job::Close(answer)) {
                Ok(()) => outcome.await.map_err(|_| StoreError::Unavailable)?,
                Err(_) => Ok(()),
            }
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.changes.close();
        self.shared.views.close();
        // Without a sender the writer finishes what is queued and closes the file; waiting for it lets the
        // next `open` find the directory free. Its panic, if any, has been its callers' `Unknown` already.
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            let _: Result<(), _> = thread.join();
        }
    }
}

impl Shared {
    /// Makes room in the queue, or says that there is none.
    fn reserve(&self, bytes: usize) -> bool {
        let commits = self.queued_commits.fetch_add(1, Ordering::SeqCst);
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::SeqCst);
        let fits = commits < limit::QUEUE_COMMITS_MAX && queued < limit::QUEUE_BYTES_MAX;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.queued_commits.fetch_sub(1, Ordering::SeqCst);
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    fn report(&self, during: &'static str, error: &rusqlite::Error, ended_commits: bool) {
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fault { during, code, ended_commits });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn start(directory: &Path, sql: &str) -> Embedded {
        let opened = open::open(directory).unwrap();
        opened.connection.execute_batch(sql).unwrap();
        Embedded::start(opened).unwrap()
    }

    fn put(key: &'static str, bytes: usize) -> Batch {
        let mut batch = Batch::new();
        batch.put(key, vec![7; bytes]);
        batch
    }

    #[tokio::test]
    async fn a_full_file_refuses_and_recovers() {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path(), "PRAGMA max_page_count = 50");
        assert_eq!(store.commit(put("a", 1000)).await, Ok(Revision(1)));
        assert_eq!(store.commit(put("b", 500_000)).await, Err(CommitError::Unavailable));
        let fault = store.fault().unwrap();
        assert_eq!((fault.code, fault.ended_commits), (rusqlite::ffi::SQLITE_FULL, false));
        assert_eq!(store.commit(put("c", 1000)).await, Ok(Revision(2)));
        assert!(store.snapshot().await.unwrap().get(b"b").await.unwrap().is_none());
    }

    /// A deferred constraint makes COMMIT itself fail, as a failing sync would.
    const COMMIT_FAILS_FOR_B: &str = "
        PRAGMA foreign_keys = ON;
        CREATE TEMP TRIGGER fail AFTER INSERT ON main.rows WHEN new.key = x'62'
        BEGIN INSERT INTO child VALUES (1); END;";

    #[tokio::test]
    async fn after_an_unknown_outcome_nothing_is_written_until_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
            CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);";
        let store = start(directory.path(), &format!("{tables}{COMMIT_FAILS_FOR_B}"));
        assert_eq!(store.commit(put("a", 1)).await, Ok(Revision(1)));
        assert_eq!(store.commit(put("b", 1)).await, Err(CommitError::Unknown));
        assert!(store.fault().unwrap().ended_commits);
        assert_eq!(store.commit(put("c", 1)).await, Err(CommitError::Unavailable));
        assert_eq!(store.snapshot().await.unwrap().revision(), Revision(1), "what was acknowledged is read");
        drop(store);
        let store = Embedded::open(directory.path()).unwrap();
        assert_eq!(store.commit(put("c", 1)).await, Ok(Revision(2)));
    }
}
