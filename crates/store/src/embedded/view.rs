//! Reading: a connection with an open read transaction, which SQLite holds at one revision.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params_from_iter};
use tokio::sync::OwnedSemaphorePermit;

use super::{Shared, open};
use crate::{BoxFuture, Range, Revision, Row, StoreError, View, limit};

/// Connections kept for the views to come; what a peak opened beyond them is closed.
const IDLE_CONNECTIONS_MAX: usize = 8;

pub(super) struct EmbeddedView {
    revision: Revision,
    /// None only while it is dropped.
    connection: Mutex<Option<Connection>>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl EmbeddedView {
    pub(super) async fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let permit = Arc::clone(&shared.views).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        // Asked with the permit in hand: whoever closes sets this first and then collects the permits.
        if shared.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let begun = match idle {
            Some(connection) => Ok(connection),
            None => open::connect(&shared.path, true),
        }
        .and_then(begin);
        let (connection, revision) = begun.map_err(|error| read_error(&shared, &error))?;
        Ok(Self { revision, connection: Mutex::new(Some(connection)), shared, _permit: permit })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let guard = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = guard.as_ref().ok_or(StoreError::Closed)?;
        query(connection).map_err(|error| read_error(&self.shared, &error))
    }
}

/// SQLite fixes what a transaction sees at its first read, which is the revision's.
fn begin(connection: Connection) -> rusqlite::Result<(Connection, Revision)> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let revision = open::read_revision(&connection)?;
    Ok((connection, revision))
}

fn read_error(shared: &Shared, error: &rusqlite::Error) -> StoreError {
    shared.report("a read", error, false);
    match error.sqlite_error_code() {
        // What is no error of SQLite is a column of the wrong type.
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt,
        Some(_) => StoreError::Unavailable,
    }
}

impl Drop for EmbeddedView {
    fn drop(&mut self) {
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(connection) = connection else { return };
        let ended = connection.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let open = !self.shared.closed.load(Ordering::SeqCst);
        let wanted = ended.is_ok() && open && idle.len() < IDLE_CONNECTIONS_MAX;
        if wanted {
            idle.push(connection);
        }
    }
}

impl View for EmbeddedView {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        Box::pin(async move {
            self.read(|connection| {
                connection
                    .prepare_cached("SELECT revision, value FROM rows WHERE key = ?1")?
                    .query_row([key], |row| Ok(Row { revision: open::from_column(row, 0)?, value: bytes(row, 1)? }))
                    .optional()
            })
        })
    }

    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>> {
        Box::pin(async move {
            let count = i64::try_from(count_max).map_err(|_| StoreError::TooLarge)?;
            if count_max > limit::SCAN_ROWS_MAX {
                return Err(StoreError::TooLarge);
            }
            let (start, beyond_start) = match after {
                Some(after) if *after >= *range.start => (after, true),
                _ => (&*range.start, false),
            };
            let sql = match (beyond_start, range.end.is_some()) {
                (false, false) => "SELECT key, revision, value FROM rows WHERE key >= ?1 ORDER BY key LIMIT ?2",
                (true, false) => "SELECT key, revision, value FROM rows WHERE key > ?1 ORDER BY key LIMIT ?2",
                (false, true) => {
                    "SELECT key, revision, value FROM rows WHERE key >= ?1 AND key < ?3 ORDER BY key LIMIT ?2"
                }
                (true, true) => {
                    "SELECT key, revision, value FROM rows WHERE key > ?1 AND key < ?3 ORDER BY key LIMIT ?2"
                }
            };
            let end = range.end.as_ref().map(|end| Value::Blob(end.to_vec()));
            let parameters = [Value::Blob(start.to_vec()), Value::Integer(count)].into_iter().chain(end);
            self.read(|connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map(params_from_iter(parameters), |row| {
                    let key = bytes(row, 0)?;
                    Ok((key, Row { revision: open::from_column(row, 1)?, value: bytes(row, 2)? }))
                })?;
                rows.collect()
            })
        })
    }
}

fn bytes(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}
