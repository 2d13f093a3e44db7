//! Key pairs that are handed out: GenerateDataKeyPair.

use claviger_secret::SecretBytes;

use crate::{CryptoError, PairSpec, pair};

/// A new key pair whose private key leaves, in plaintext or encrypted under a KMS key. It is not the material of any
/// KMS key.
pub struct DataKeyPair {
    /// The public key: DER SubjectPublicKeyInfo (RFC 5280).
    pub public_key: Vec<u8>,
    /// The private key: DER PrivateKeyInfo (PKCS#8, RFC 5208 version 1); ML-KEM and ML-DSA in the form that holds the
    /// seed alone (RFC 9935, RFC 9881).
    pub private_key: SecretBytes,
}

impl DataKeyPair {
    /// A new random pair. RSA takes 30 to 1200 milliseconds, everything else less than one.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate(spec: PairSpec) -> Result<Self, CryptoError> {
        let (public_key, private_key) = pair::generate_for_caller(spec)?;
        Ok(Self { public_key, private_key })
    }
}
