//! Writing: one thread that takes the commits that wait, puts them into one transaction, syncs, and answers.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::Shared;
use super::open::{from_column, to_column};
use crate::changes::Writes;
use crate::{Batch, Check, CommitError, Revision, Row, StoreError, limit};

/// A batch that waits, and where its answer goes.
pub(super) struct Commit {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

pub(super) enum Job {
    Commit(Commit),
    Erase(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

pub(super) struct Writer {
    connection: Connection,
    revision: Revision,
    /// Set when the outcome of a commit is not known: nothing may be written on top of it.
    ended: bool,
    shared: Arc<Shared>,
}

/// What a batch did inside the transaction: its revision and, if it changed something, the writes.
type Applied = Result<(Revision, Option<Writes>), Conflict>;

/// A check did not hold.
struct Conflict;

/// How a group failed.
enum Failure {
    /// Nothing of it is in the file.
    NotApplied(rusqlite::Error),
    /// It may be in the file.
    Unknown(rusqlite::Error),
}

impl Writer {
    pub(super) fn new(connection: Connection, revision: Revision, shared: Arc<Shared>) -> Self {
        // Enough for every statement below, so that none is parsed twice.
        connection.set_prepared_statement_cache_capacity(16);
        Self { connection, revision, ended: false, shared }
    }

    /// Works until the store is closed or dropped.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut next = jobs.recv().ok();
        let mut closing = None;
        while let Some(job) = next {
            next = match job {
                Job::Commit(first) => {
                    let (group, behind) = gather(first, jobs);
                    self.commit_group(group);
                    behind
                }
                Job::Erase(answer) => {
                    self.shared.changes.forget();
                    let _: Result<(), _> = answer.send(self.truncate_log("an erasure"));
                    None
                }
                Job::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            };
            next = next.or_else(|| jobs.recv().ok());
        }
        let closed = self.close();
        if let Some(answer) = closing {
            let _: Result<(), _> = answer.send(closed);
        }
    }

    fn commit_group(&mut self, group: Vec<Commit>) {
        let outcome = if self.ended { None } else { Some(self.apply_group(&group)) };
        match outcome {
            Some(Ok(applied)) => {
                for (commit, applied) in group.into_iter().zip(applied) {
                    let answer = applied.map(|(revision, writes)| {
                        if let Some(writes) = writes {
                            self.revision = revision;
                            self.shared.changes.publish(revision, writes);
                        }
                        revision
                    });
                    self.answer(commit, answer.map_err(|Conflict| CommitError::Conflict));
                }
            }
            Some(Err(Failure::NotApplied(error))) => {
                self.shared.report("a commit", &error, false);
                self.refuse(group, CommitError::Unavailable);
            }
            Some(Err(Failure::Unknown(error))) => {
                self.ended = true;
                self.shared.report("a commit", &error, true);
                self.refuse(group, CommitError::Unknown);
            }
            None => self.refuse(group, CommitError::Unavailable),
        }
    }

    fn refuse(&self, group: Vec<Commit>, error: CommitError) {
        for commit in group {
            self.answer(commit, Err(error));
        }
    }

    fn answer(&self, commit: Commit, answer: Result<Revision, CommitError>) {
        self.shared.release(commit.bytes);
        // Nobody waits any more: the commit counts all the same.
        let _: Result<(), _> = commit.answer.send(answer);
    }

    /// One transaction, one sync. Answers only follow when this has returned.
    fn apply_group(&mut self, group: &[Commit]) -> Result<Vec<Applied>, Failure> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Failure::NotApplied)?;
        let mut revision = self.revision;
        let mut applied = Vec::with_capacity(group.len());
        for commit in group {
            let outcome = apply(&transaction, &commit.batch, revision).map_err(Failure::NotApplied)?;
            if let Ok((taken, _)) = &outcome {
                revision = *taken;
            }
            applied.push(outcome);
        }
        if revision != self.revision {
            set_revision(&transaction, revision).map_err(Failure::NotApplied)?;
        }
        // A full disk is found while the frames are written, before the one that commits them is there. After
        // any other error the log may hold the whole commit, and a restart would find it.
        transaction.commit().map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Failure::NotApplied(error),
            _ => Failure::Unknown(error),
        })?;
        Ok(applied)
    }

    /// Moves the log into the file and cuts it to nothing, so that no older version of a row is left in it.
    fn truncate_log(&self, during: &'static str) -> Result<(), StoreError> {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match moved {
            Ok(0) => Ok(()),
            // An open view still reads from the log.
            Ok(_) => Err(StoreError::Unavailable),
            Err(error) => {
                self.shared.report(during, &error, false);
                Err(StoreError::Unavailable)
            }
        }
    }

    fn close(self) -> Result<(), StoreError> {
        // Connections of views end first: SQLite removes the log with the last connection.
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // After an unknown outcome SQLite's own closing is left to decide what it can still trust.
        let truncated = if self.ended { Err(StoreError::Unavailable) } else { self.truncate_log("closing") };
        let closed = self.connection.close().map_err(|(_connection, error)| {
            self.shared.report("closing", &error, false);
            StoreError::Unavailable
        });
        let unlocked = self.shared.lock.unlock().map_err(|_| StoreError::Unavailable);
        truncated.and(closed).and(unlocked)
    }
}

/// The commits that wait already, up to the limits of a group, and the other job that stopped the gathering.
fn gather(first: Commit, jobs: &Receiver<Job>) -> (Vec<Commit>, Option<Job>) {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while group.len() < limit::GROUP_COMMITS_MAX && bytes < limit::GROUP_BYTES_MAX {
        match jobs.try_recv() {
            Ok(Job::Commit(commit)) => {
                bytes = bytes.saturating_add(commit.bytes);
                group.push(commit);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// Checks and writes one batch on top of `head`.
fn apply(transaction: &Transaction<'_>, batch: &Batch, head: Revision) -> rusqlite::Result<Applied> {
    for (key, check) in batch.checks() {
        let found = transaction
            .prepare_cached("SELECT revision FROM rows WHERE key = ?1")?
            .query_row([&**key], |row| from_column(row, 0))
            .optional()?;
        let holds = match check {
            Check::Absent => found.is_none(),
            Check::Revision(revision) => found == Some(revision),
        };
        if !holds {
            return Ok(Err(Conflict));
        }
    }
    let revision = head.next();
    let column = to_column(revision)?;
    let mut writes = Writes::new();
    for (key, value) in batch.writes() {
        let changed = match value {
            Some(value) => transaction
                .prepare_cached("INSERT OR REPLACE INTO rows (key, revision, value) VALUES (?1, ?2, ?3)")?
                .execute((&**key, column, &**value))?,
            None => transaction.prepare_cached("DELETE FROM rows WHERE key = ?1")?.execute([&**key])?,
        };
        if changed > 0 {
            writes.push((key.clone(), value.map(|value| Row { value: value.clone(), revision })));
        }
    }
    Ok(Ok(if writes.is_empty() { (head, None) } else { (revision, Some(writes)) }))
}

fn set_revision(transaction: &Transaction<'_>, revision: Revision) -> rusqlite::Result<()> {
    let changed =
        transaction.prepare_cached("UPDATE head SET revision = ?1 WHERE only = 1")?.execute([to_column(revision)?])?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}
