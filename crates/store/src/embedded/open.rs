//! Opening the file: whose directory it is, which release wrote it, and how SQLite is set.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::Revision;

const FILE_NAME: &str = "store.sqlite";
const LOCK_NAME: &str = "store.lock";
/// Marks the file as ours ("Clav"), so that another program's database is not taken for a store.
const APPLICATION_ID: i32 = 0x436c_6176;
/// The version of the tables below. A release that changes them raises it, and reads the older ones.
const SCHEMA_VERSION: i32 = 1;
/// What waits for a reader to end (only `erase` and `close` do) holds every commit up, so not for long.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// How much of the log is rewritten at a time.
const REWRITE_BYTES: usize = 1024 * 1024;

const SCHEMA: &str = "
    CREATE TABLE rows (
        key BLOB PRIMARY KEY NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO head (only, revision) VALUES (1, 0);
";

/// Why a store could not be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle in this one, has it open.
    #[error("the store is in use by another process")]
    Locked,
    /// A newer release wrote it.
    #[error("the store was written by a newer release (its format is {found}, this release knows {known})")]
    Newer {
        /// The version in the file.
        found: i32,
        /// The newest version that this release reads.
        known: i32,
    },
    /// The file in its place is not a store.
    #[error("the file store.sqlite in the store's directory is not a store")]
    Foreign,
    /// The file is a store, damaged.
    #[error("the store is corrupt")]
    Corrupt,
    /// The directory or a file in it cannot be created or written.
    #[error("the store's directory cannot be written: {0}")]
    Unwritable(io::ErrorKind),
    /// SQLite failed otherwise; its extended result code.
    #[error("the store cannot be opened (SQLite error {0})")]
    Failed(i32),
}

/// A store that is open, and locked.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) lock: File,
    pub(super) revision: Revision,
    pub(super) path: PathBuf,
}

/// Opens or creates. Until the file is known to be ours and of a known version, nothing in it is changed.
pub(super) fn open(directory: &Path) -> Result<Opened, OpenError> {
    let unwritable = |error: io::Error| OpenError::Unwritable(error.kind());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unwritable)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(directory.join(LOCK_NAME)).map_err(unwritable)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Locked,
        TryLockError::Error(error) => OpenError::Unwritable(error.kind()),
    })?;
    // Made here, because SQLite would give it, and the log beside it, the permissions of any file.
    let path = directory.join(FILE_NAME);
    options.open(&path).map_err(unwritable)?;

    let connection = connect(&path, false).map_err(|error| open_error(&error))?;
    // A connection that is closed empties the log into the file; not into one that may not be ours.
    let keep_log = |keep| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    keep_log(true).map_err(|error| open_error(&error))?;
    let fresh = is_fresh(&connection)?;
    rewrite_log(&path).map_err(unwritable)?;
    prepare(&connection, fresh).map_err(|error| open_error(&error))?;
    keep_log(false).map_err(|error| open_error(&error))?;
    // Always, because an earlier process may have made the names and died before this.
    sync_directories(directory).map_err(unwritable)?;
    let revision = read_revision(&connection).map_err(|error| open_error(&error))?;
    Ok(Opened { connection, lock, revision, path })
}

/// One more connection to an open store: the writer's, or a view's.
pub(super) fn connect(path: &Path, read_only: bool) -> rusqlite::Result<Connection> {
    let access = if read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// The revision that a connection sees.
pub(super) fn read_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT revision FROM head WHERE only = 1")?;
    statement.query_row([], |row| from_column(row, 0))
}

/// SQLite's integers have a sign; a revision has none.
pub(super) fn to_column(revision: Revision) -> rusqlite::Result<i64> {
    i64::try_from(revision.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The way back. What is negative was not written here.
pub(super) fn from_column(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Revision).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Whether there is nothing in the file yet. Refuses a file that is not ours or too new.
fn is_fresh(connection: &Connection) -> Result<bool, OpenError> {
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let read = |sql: &str| read(sql).map_err(|error| open_error(&error));
    if connection.is_readonly("main").map_err(|error| open_error(&error))? {
        return Err(OpenError::Unwritable(io::ErrorKind::PermissionDenied));
    }
    let application = read("PRAGMA application_id")?;
    let version = read("PRAGMA user_version")?;
    let tables = read("SELECT count(*) FROM sqlite_schema")?;
    match (application, version, tables) {
        (0, 0, 0) => Ok(true),
        (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(false),
        (APPLICATION_ID, found, _) if found > SCHEMA_VERSION => Err(OpenError::Newer { found, known: SCHEMA_VERSION }),
        (APPLICATION_ID, _, _) => Err(OpenError::Corrupt),
        _ => Err(OpenError::Foreign),
    }
}

/// Sets what the writer's connection needs, and makes the tables of a fresh file.
fn prepare(connection: &Connection, fresh: bool) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // Some file systems cannot share the log's index; then nothing below would be true.
        let cannot_open = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        return Err(rusqlite::Error::SqliteFailure(cannot_open, None));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    if fresh {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    }
    // Moves what an earlier process left in the log into the file, synced: nothing is shown that could be lost.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Writes the log that an earlier process left over itself, and syncs it.
///
/// That process may have died without a sync, or after one that failed; then the operating system can hold pages
/// that it shows, counts as written, and has not written. Commits built on them would be lost with them.
fn rewrite_log(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = match OpenOptions::new().read(true).write(true).open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut piece = vec![0; REWRITE_BYTES];
    let mut offset = 0_u64;
    loop {
        let length = log.read_at(&mut piece, offset)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        log.write_all_at(read, offset)?;
        offset = offset.saturating_add(length as u64);
    }
    log.sync_all()
}

/// Makes the names of the files and of the directory survive the loss of power.
fn sync_directories(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    File::open(&directory)?.sync_all()?;
    match directory.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn open_error(error: &rusqlite::Error) -> OpenError {
    let Some(cause) = error.sqlite_error() else { return OpenError::Corrupt };
    match cause.code {
        ErrorCode::NotADatabase => OpenError::Foreign,
        ErrorCode::DatabaseCorrupt => OpenError::Corrupt,
        ErrorCode::DiskFull => OpenError::Unwritable(io::ErrorKind::StorageFull),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            OpenError::Unwritable(io::ErrorKind::PermissionDenied)
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => OpenError::Locked,
        _ => OpenError::Failed(cause.extended_code),
    }
}
