//! Key material and bytes into bytes; the only crate that names a cryptographic library.
//!
//! The hierarchy, from top to bottom: an [`UnsealSecret`] wraps the [`RootKey`]; the root key wraps the
//! [`DomainKeys`]; a domain key seals stored records and [`KeyMaterial`]; symmetric key material seals ciphertext
//! blobs. Every step is the same construction, a fresh key for each message and a commitment to it (`envelope`), under
//! its own label. Key material of the other kinds does what AWS defines: it signs, decrypts, agrees and authenticates.
//! `docs/FORMATS.md` gives each format byte by byte; `testdata/golden` pins them with vectors that a second
//! implementation made.
//!
//! Keys act instead of showing themselves: no function returns the bytes of a root key, a domain key or key material.
//! A [`DataKeyPair`] is the exception by purpose: it is made to be handed out and belongs to no KMS key.

mod attestation;
mod blob;
mod cms;
mod context;
mod data_key_pair;
mod digest;
mod domain;
mod envelope;
mod error;
#[cfg(test)]
mod golden;
mod import;
mod kdf;
mod key_id;
mod mac;
mod material;
mod pair;
mod random;
mod root;
mod signing;
mod spec;
mod symmetric;
mod token_key;

pub use attestation::{Attestation, AttestationRoots, BadAttestation, Platform, RecipientKey};
pub use blob::{BadBlob, Header};
pub use context::EncryptionContext;
pub use data_key_pair::DataKeyPair;
pub use digest::{MacKey, constant_time_eq, hmac_sha1, hmac_sha256, sha256};
pub use domain::{DOMAIN_KEY_VERSIONS_MAX, DomainKeys};
pub use envelope::OVERHEAD_BYTES as ENVELOPE_OVERHEAD_BYTES;
pub use error::CryptoError;
pub use import::{ImportError, ImportWrapping};
pub use kdf::kdf;
pub use key_id::{BadKeyId, KeyId};
pub use mac::MacMaterial;
pub use material::{BadMaterialId, KeyMaterial, MaterialId};
pub use pair::{KeyUseError, Message, OaepHash, PairMaterial, PublicKey, ShaLength, SignatureScheme};
pub use random::{Random, SystemRandom};
pub use root::{
    FILE_SECRET_BYTES_MIN, PASSPHRASE_BYTES_MIN, PASSPHRASE_ITERATIONS, PASSPHRASE_ITERATIONS_MAX, RootKey,
    UnsealSecret, unwrap_root, wrap_root,
};
pub use signing::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify};
pub use spec::{MacSpec, MaterialSpec, PairSpec};
pub use symmetric::{MATERIAL_BYTES, SymmetricMaterial};
pub use token_key::{TokenAlgorithm, TokenCurve, TokenKey};
pub use zeroize::Zeroizing;
