//! The directory of a log: its file names, and the few file operations that the log makes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::walk::PublicKey;

/// The file in the log's directory that holds the public key, in base64.
pub const PUBLIC_KEY_FILE: &str = "key.pub";

/// Records name who used which key for what; other users of the machine need not read them.
const FILE_MODE: u32 = 0o600;

/// An open segment. A trait, so that tests can let the disk be full.
pub(crate) trait Media: Send + Sync {
    /// Writes all bytes at this offset, to the operating system.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Returns when everything written before is on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl Media for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The file name of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("segment-{number:010}.log")
}

/// The numbers of the segments in a directory, in order. Other files do not matter.
pub(crate) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("segment-")?.strip_suffix(".log"));
        if let Some(number) = digits.and_then(|digits| digits.parse().ok())
            && name.to_str() == Some(segment_name(number).as_str())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens a segment for writing, and makes it if it is absent.
pub(crate) fn open_segment(directory: &Path, number: u64) -> io::Result<File> {
    let path = directory.join(segment_name(number));
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Takes the directory for this process; the lock goes with the file.
pub(crate) fn lock(directory: &Path) -> io::Result<File> {
    let path = directory.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The public key that the directory names; `None` if there is no such file.
pub(crate) fn read_public_key(directory: &Path) -> io::Result<Option<PublicKey>> {
    match std::fs::read_to_string(directory.join(PUBLIC_KEY_FILE)) {
        Ok(text) => parse_public_key(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the public key, durably.
pub(crate) fn write_public_key(directory: &Path, key: &PublicKey) -> io::Result<()> {
    let text = format!("{}\n", format_public_key(key));
    // Whole or not at all: half a key would make the log unreadable for good.
    let temporary = directory.join("key.pub.new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, directory.join(PUBLIC_KEY_FILE))?;
    sync_directory(directory)
}

/// Base64 of the 32 bytes, as in `key.pub`.
pub fn format_public_key(key: &PublicKey) -> String {
    STANDARD.encode(key)
}

/// Reads what [`format_public_key`] writes; surrounding white space does not matter.
pub fn parse_public_key(text: &str) -> Option<PublicKey> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Puts bytes aside under a name that no file has yet, durably, and returns the name.
pub(crate) fn keep_torn(directory: &Path, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<String> {
    let mut attempt = 0_u32;
    loop {
        let name = format!("torn-{segment:010}-{offset}-{attempt}.bin");
        let path: PathBuf = directory.join(&name);
        match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
            Ok(mut file) => {
                file.write_all(bytes)?;
                file.sync_all()?;
                sync_directory(directory)?;
                return Ok(name);
            }
            // A start that failed half-way left its copy; it stays.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {
                attempt = attempt.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
}
