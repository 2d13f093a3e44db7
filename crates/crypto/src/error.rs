//! What can go wrong, for the operator: clients see only what the service makes of it.

use claviger_secret::LogSafe;

/// Why a cryptographic step failed. Never holds input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The library's random source gave nothing.
    #[error("the random source failed")]
    RandomFailed,
    /// The library refused an operation that cannot fail on these inputs.
    #[error("the cryptographic library failed")]
    LibraryFailed,
    /// The bytes are too short, or have no such form.
    #[error("the sealed bytes are malformed")]
    Malformed,
    /// A format version that this release does not know; a newer one may have written it.
    #[error("the sealed bytes have format version {0}, which this release does not read")]
    UnknownVersion(u8),
    /// The bytes were altered, or sealed under another key or for another purpose or place.
    #[error("the sealed bytes do not open: altered, moved, or under another key")]
    NotAuthentic,
    /// The sealed bytes name a domain key that the ring does not hold.
    #[error("there is no domain key of version {0}")]
    UnknownDomainKey(u32),
    /// The wrapped domain keys are not versions 1 to n, each once.
    #[error("the domain keys are not complete: versions must run from 1 without a gap or a repeat")]
    IncompleteDomainKeys,
    /// The ring holds as many versions as it may.
    #[error("there are too many domain keys")]
    TooManyDomainKeys,
    /// The unseal secret is shorter than its kind demands.
    #[error("the unseal secret is too short: a file needs 32 bytes, a passphrase 14")]
    WeakUnsealSecret,
    /// The root key was wrapped under a secret of the other kind.
    #[error("the root key was wrapped by another kind of unseal secret")]
    OtherUnsealKind,
}

impl LogSafe for CryptoError {}

/// The library's only error type says nothing.
pub(crate) const fn library_failed(_: aws_lc_rs::error::Unspecified) -> CryptoError {
    CryptoError::LibraryFailed
}
