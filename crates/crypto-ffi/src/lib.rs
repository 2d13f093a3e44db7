//! What AWS KMS offers and `aws-lc-rs` does not, called from AWS-LC directly: Ed25519ph, ML-DSA over an external mu, and
//! ML-KEM keys that come from their seed.
//!
//! This is the only crate with `unsafe` code, and all of it is in the module `library`, behind functions that are safe
//! for every argument. With the feature `fips` the same calls go to the FIPS module of AWS-LC (docs/FIPS.md).

pub mod ed25519ph;
mod library;
pub mod ml_dsa;
pub mod ml_kem;

pub use library::Failed;
