//! Key material and bytes into bytes; the only crate that names a cryptographic library.
//!
//! The hierarchy, from top to bottom: an [`UnsealSecret`] wraps the [`RootKey`]; the root key wraps the
//! [`DomainKeys`]; a domain key seals stored records and [`KeyMaterial`]; key material seals ciphertext blobs. Every
//! step is the same construction, a fresh key for each message and a commitment to it (`envelope`), under its own
//! label. `docs/FORMATS.md` gives each format byte by byte; `testdata/golden` pins them with vectors that a second
//! implementation made.
//!
//! Keys act instead of showing themselves: no function returns the bytes of a root key, a domain key or key material.

mod blob;
mod context;
mod digest;
mod domain;
mod envelope;
mod error;
#[cfg(test)]
mod golden;
mod kdf;
mod key_id;
mod material;
mod random;
mod root;
mod signing;

pub use blob::{BadBlob, Header};
pub use context::EncryptionContext;
pub use digest::{MacKey, constant_time_eq, hmac_sha256, sha256};
pub use domain::{DOMAIN_KEY_VERSIONS_MAX, DomainKeys};
pub use envelope::OVERHEAD_BYTES as ENVELOPE_OVERHEAD_BYTES;
pub use error::CryptoError;
pub use kdf::kdf;
pub use key_id::{BadKeyId, KeyId};
pub use material::{BadMaterialId, KeyMaterial, MATERIAL_BYTES, MaterialId};
pub use random::{Random, SystemRandom};
pub use root::{
    FILE_SECRET_BYTES_MIN, PASSPHRASE_BYTES_MIN, PASSPHRASE_ITERATIONS, PASSPHRASE_ITERATIONS_MAX, RootKey,
    UnsealSecret, unwrap_root, wrap_root,
};
pub use signing::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify};
pub use zeroize::Zeroizing;
