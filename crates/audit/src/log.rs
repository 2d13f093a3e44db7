//! The log: appends under one short lock, signs and syncs under another.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_crypto::SigningKey;

use crate::disk;
use crate::event::{Call, Event, Prepared};
use crate::line::Hash;
use crate::pending::{Pending, Recorded};
use crate::recover::{self, OpenError, Recovery};
use crate::state::{Disk, Place, State};
use crate::value::Value;
use crate::walk::PublicKey;

/// The longest name of a node, in bytes.
pub const NODE_BYTES_MAX: usize = 256;
/// The longest anchor, in bytes of JSON.
pub const ANCHOR_BYTES_MAX: usize = 64 * 1024;
/// How many records of committed calls wait in memory while the log cannot be written. Those beyond it wait in the
/// outbox alone, until the next start.
pub const BACKLOG_RECORDS_MAX: usize = 1024;
/// When a segment is closed: at the first sync that finds it this long, in bytes.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// When a record is put on disk; it is with the operating system before any answer in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// When the owner's timer calls [`Log::sync`].
    #[default]
    Interval,
    /// Before [`Log::append`] returns. Appends that meet share a sync.
    EveryRecord,
}

/// How a log on disk behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When records are put on disk.
    pub sync: SyncMode,
    /// When a segment is closed, in bytes.
    pub segment_bytes: u64,
    /// A head that the store remembers of a sync; opening fails if the log lost it.
    pub expected_head: Option<Hash>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sync: SyncMode::Interval, segment_bytes: SEGMENT_BYTES, expected_head: None }
    }
}

/// Why a record is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Longer than [`crate::RECORD_BYTES_MAX`], or an anchor longer than [`ANCHOR_BYTES_MAX`].
    #[error("the audit record is too large")]
    TooLarge,
    /// An outbox row that is not one JSON object on one line.
    #[error("the outbox row holds no audit record")]
    NotARecord,
    /// The operating system refused the write, for example because the disk is full. Nothing was left of it, and the
    /// next append is tried again.
    #[error("the audit log cannot be written")]
    Unwritable,
    /// What the disk holds is unknown (a sync failed, or a half-written line could not be taken back). The log takes
    /// nothing more until it is opened again.
    #[error("the audit log failed and must be opened again")]
    Broken,
}

/// An entry of the chain: its number and its hash, which covers everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The entry's number; 0 before the first.
    pub sequence: u64,
    /// The entry's hash.
    pub hash: Hash,
}

/// What a sync made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The signed checkpoint. The store may remember its hash as an expected head.
    pub head: Head,
    /// The numbers of commits whose records became durable since the last call. Their outbox rows can go.
    pub commits: Vec<u64>,
}

/// The log of one node. Clones share it.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// Held to hash one entry and hand it to the operating system.
    state: Mutex<State>,
    /// Held across a disk sync, so that there is one at a time; holds the last one's checkpoint. Taken before `state`.
    syncing: Mutex<Head>,
    key: Option<SigningKey>,
    settings: Settings,
    recovery: Option<Recovery>,
    /// Unfinished calls whose record could not be written.
    unrecorded: AtomicU64,
    /// Keeps the directory's lock.
    _lock: Option<File>,
}

impl Log {
    /// Opens the log in a directory, and makes it if there is none.
    ///
    /// Reads the newest two segments and checks them. A torn end is put aside, cut off and recorded; see
    /// [`Log::recovery`].
    ///
    /// # Errors
    /// As [`OpenError`] says. [`OpenError::Damaged`] changes nothing on disk.
    pub fn open(directory: &Path, key: SigningKey, node: &str, settings: Settings) -> Result<Self, OpenError> {
        if node.is_empty() || node.len() > NODE_BYTES_MAX {
            return Err(OpenError::BadNode);
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = disk::lock(directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Io(error),
        })?;
        let public_key = key.public();
        match disk::read_public_key(directory)? {
            Some(known) if known != public_key => return Err(OpenError::OtherKey),
            Some(_) => {}
            None => disk::write_public_key(directory, &public_key)?,
        }
        let found = recover::find(directory, public_key, settings.expected_head)?;
        if let Some(other) = found.walker.node().filter(|known| *known != node) {
            return Err(OpenError::OtherNode(other.to_owned()));
        }
        if !found.head_found {
            return Err(OpenError::HeadMissing);
        }
        let recovery = found.recovery.clone();
        let state = State::resume(directory, node, found)?;
        let head = state.head();
        let log = Self::new(state, head, Some(key), settings, recovery, Some(lock));
        log.write_recovery()?;
        Ok(log)
    }

    /// A log that keeps its newest `capacity` lines in memory, unsigned: for tests, and for `dev` without a directory.
    pub fn in_memory(capacity: usize) -> Self {
        let state = State::in_memory(capacity);
        let head = state.head();
        Self::new(state, head, None, Settings::default(), None, None)
    }

    pub(crate) fn new(
        state: State,
        head: Head,
        key: Option<SigningKey>,
        settings: Settings,
        recovery: Option<Recovery>,
        lock: Option<File>,
    ) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            syncing: Mutex::new(head),
            key,
            settings,
            recovery,
            unrecorded: AtomicU64::new(0),
            _lock: lock,
        }))
    }

    /// Starts a call. Whatever happens to it, a record follows.
    pub fn open_call(&self, call: Call) -> Pending {
        Pending::new(self.clone(), call)
    }

    /// Records a call that wrote nothing to the store, and gives the answer that may now be sent.
    ///
    /// # Errors
    /// The record is not in the log, `value` is gone, and an `InternalFailure` record was tried in its place.
    pub fn append<T>(&self, pending: Pending, event: &Event, value: T) -> Result<Recorded<T>, AppendError> {
        let prepared = pending.prepare(event)?;
        self.write_record(None, &prepared)?;
        pending.finished();
        Ok(Recorded::new(value))
    }

    /// Records a call whose commit carried the same record in an outbox row under the number `commit`.
    ///
    /// Only for commits that succeeded: then the record is durable already, so this cannot fail. If the log cannot be
    /// written, the record waits for the next [`Log::sync`], and in its outbox row for the next start.
    pub fn append_committed<T>(&self, pending: Pending, prepared: Prepared, commit: u64, value: T) -> Recorded<T> {
        if self.write_record(Some(commit), &prepared).is_err() {
            self.state().wait(commit, prepared);
        }
        pending.finished();
        Recorded::new(value)
    }

    /// Brings the record of an outbox row into the log at a start, unless it is there. Says whether it was not.
    ///
    /// Either way the next [`Log::sync`] names the commit, and its outbox row can go. A row that stays although its
    /// record is in the log would be replayed again once the record is out of the newest two segments.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn replay(&self, commit: u64, prepared: &Prepared) -> Result<bool, AppendError> {
        if !self.state().begin_replay(commit) {
            return Ok(false);
        }
        self.write_record(Some(commit), prepared)?;
        self.state().commits_replayed.insert(commit);
        Ok(true)
    }

    /// Which commits above `after` had their record in the log's newest two segments when it was opened.
    pub fn commit_numbers_after(&self, after: u64) -> BTreeSet<u64> {
        match after.checked_add(1) {
            Some(first) => self.state().commits_found.range(first..).copied().collect(),
            None => BTreeSet::new(),
        }
    }

    /// Signs everything appended so far and puts it on disk. Blocks; does nothing if there is nothing new.
    ///
    /// # Errors
    /// [`AppendError::Unwritable`] if the checkpoint could not be written; the next call tries again.
    /// [`AppendError::Broken`] if the disk did not confirm: what it holds is unknown.
    pub fn sync(&self) -> Result<Synced, AppendError> {
        let head = self.sync_through(u64::MAX)?;
        let commits = std::mem::take(&mut self.state().commits_durable);
        Ok(Synced { head, commits })
    }

    /// Puts data into every following checkpoint, until other data takes its place: what the signature vouches for
    /// besides the log, such as the store's head and digest.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`].
    pub fn anchor(&self, data: &Value) -> Result<(), AppendError> {
        let json = data.to_json();
        if json.len() > ANCHOR_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        self.state().set_anchor(json);
        Ok(())
    }

    /// The data that the next checkpoint vouches for, as JSON text; after opening, the last checkpoint's.
    pub fn anchored(&self) -> Option<String> {
        self.state().anchor().map(str::to_owned)
    }

    /// The newest entry. It may be unsigned and not on disk yet; what a sync returns is.
    pub fn head(&self) -> Head {
        self.state().head()
    }

    /// What opening cut off, if it did.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.0.recovery.as_ref()
    }

    /// The public key that verifies this log; none in memory.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.0.key.as_ref().map(SigningKey::public)
    }

    /// How many calls ended without any record because the log could not be written. None of them was answered with
    /// more than an error.
    pub fn unrecorded(&self) -> u64 {
        self.0.unrecorded.load(Ordering::Relaxed)
    }

    /// The lines that a log in memory holds, oldest first; a log on disk gives none.
    pub fn lines(&self) -> Vec<String> {
        self.state().lines()
    }

    /// The record of a call that nobody finished.
    pub(crate) fn append_unfinished(&self, call: &Call) {
        let written =
            Prepared::new(call, &Event::internal_failure()).and_then(|prepared| self.write_record(None, &prepared));
        if written.is_err() {
            self.0.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_record(&self, commit: Option<u64>, prepared: &Prepared) -> Result<(), AppendError> {
        let sequence = self.state().write_record(commit, prepared)?;
        match self.0.settings.sync {
            SyncMode::Interval => Ok(()),
            SyncMode::EveryRecord => self.sync_through(sequence).map(|_| ()),
        }
    }

    /// The entry about a torn end goes to disk before anything else does.
    fn write_recovery(&self) -> Result<(), OpenError> {
        let refused = |error: AppendError| OpenError::Io(std::io::Error::other(error));
        if let Some(recovery) = &self.0.recovery {
            self.state().write_recovery(recovery).map_err(refused)?;
            self.sync_through(u64::MAX).map_err(refused)?;
        }
        Ok(())
    }

    /// Returns when the entry with this number, or every entry so far, is signed and on disk.
    fn sync_through(&self, sequence: u64) -> Result<Head, AppendError> {
        let mut last = self.0.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if last.sequence >= sequence {
            return Ok(*last);
        }
        let Some(group) = self.state().close_group(self.0.key.as_ref(), self.0.settings.segment_bytes)? else {
            return Ok(*last);
        };
        // The state is free during the wait: others append meanwhile, for the next group.
        if let Some(media) = &group.media
            && media.sync().is_err()
        {
            // After a failed sync the kernel may drop the pages and call the next sync a success.
            self.state().fail();
            return Err(AppendError::Broken);
        }
        self.state().commits_durable.extend(group.commits);
        *last = group.head;
        Ok(group.head)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            // Somebody panicked half-way through an append. What the file holds is unknown.
            state.fail();
            state
        })
    }
}

impl State {
    /// Goes on where recovery ended.
    fn resume(directory: &Path, node: &str, found: recover::Found) -> Result<Self, OpenError> {
        let walker = &found.walker;
        // Between two segments the last is closed, or the next is there and empty.
        let number =
            if walker.closed && !walker.is_fresh() { walker.segment.saturating_add(1) } else { walker.segment };
        let media = disk::open_segment(directory, number)?;
        // What a killed process left may still be in memory only. The rule by which recovery tells a power loss from
        // tampering needs it on disk before the next checkpoint is written.
        media.sync_all()?;
        disk::sync_directory(directory)?;
        let length = if number == walker.segment { found.length } else { 0 };
        let place = Place::Disk(Disk::new(directory, node, number, Arc::new(media), length));
        let head = Head { sequence: walker.sequence, hash: walker.head };
        let mut state = Self::new(place, head, walker.signed, walker.anchors.clone());
        state.commits_found = found.commits;
        if length == 0 {
            state.write_opening().map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
        }
        Ok(state)
    }
}
