//! Ed25519ph with an empty context (RFC 8032 section 5.1): Ed25519 over the SHA-512 of a message.

use crate::Failed;
use crate::library;

/// Signs the SHA-512 of `message`, which this function computes, with the key that `seed` (the private key of RFC 8032)
/// makes. The same input always gives the same signature. Fails only if the library does.
pub fn sign(seed: &[u8; 32], message: &[u8]) -> Result<[u8; 64], Failed> {
    library::ed25519ph_sign(seed, message)
}

/// Whether `signature` is the Ed25519ph signature of `message` by the owner of `public`. A signature that is not 64
/// bytes long is not one.
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    signature.try_into().is_ok_and(|signature| library::ed25519ph_verify(public, message, signature))
}

#[cfg(test)]
mod tests;
