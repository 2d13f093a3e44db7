//! Where the unseal secret comes from.

use std::io::{BufRead, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use claviger_crypto::Zeroizing;
use claviger_crypto::{Random, SystemRandom, UnsealSecret};
use claviger_secret::SecretBytes;

use crate::Failure;

/// The bytes of a secret file that this program makes.
const SECRET_BYTES: usize = 32;
/// A longer file is not a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The secret in a file that only its owner may read.
pub(crate) fn from_file(file: &Path) -> Result<UnsealSecret, Failure> {
    let bad = |what: &str| format!("the unseal secret {}: {what}", file.display());
    UnsealSecret::file(bytes_of_file(file)?).map_err(|error| bad(&error.to_string()))
}

/// The bytes of such a file.
pub(crate) fn bytes_of_file(file: &Path) -> Result<SecretBytes, Failure> {
    let bad = |what: &str| format!("the unseal secret {}: {what}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| bad(&error.to_string()))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(bad("others than its owner may read it; chmod 600"));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(bad("is longer than 64 KiB"));
    }
    std::fs::read(file).map(SecretBytes::new).map_err(|error| bad(&error.to_string()))
}

/// A new secret in a new file that only its owner may read.
pub(crate) fn make_file(file: &Path) -> Result<(), Failure> {
    let bad = |what: &str| format!("the unseal secret {}: {what}", file.display());
    let secret = SystemRandom.secret(SECRET_BYTES).map_err(|error| bad(&error.to_string()))?;
    let mut options = std::fs::OpenOptions::new();
    let mut made =
        options.write(true).create_new(true).mode(0o600).open(file).map_err(|error| bad(&error.to_string()))?;
    let written = made.write_all(secret.expose()).and_then(|()| made.sync_all()).and_then(|()| {
        // Without this the file's name may be lost with the power, and with it every key.
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        std::fs::File::open(directory)?.sync_all()
    });
    written.map_err(|error| bad(&error.to_string()))
}

/// The passphrase on the first line of standard input.
pub(crate) fn from_standard_input() -> Result<UnsealSecret, Failure> {
    UnsealSecret::passphrase(line_of_standard_input()?).map_err(|error| format!("the passphrase: {error}"))
}

/// The first line of standard input.
pub(crate) fn line_of_standard_input() -> Result<SecretBytes, Failure> {
    let mut line = Zeroizing::new(String::with_capacity(4096));
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| format!("the passphrase could not be read from standard input: {error}"))?;
    Ok(SecretBytes::from_slice(line.trim_end_matches(['\r', '\n']).as_bytes()))
}
