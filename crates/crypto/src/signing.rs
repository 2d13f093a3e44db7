//! Ed25519, with which the audit log signs its checkpoints.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use claviger_secret::SecretArray;

use crate::{CryptoError, DomainKeys, random};

/// How many bytes a public key has.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// How many bytes a signature has.
pub const SIGNATURE_BYTES: usize = 64;

const PURPOSE: &str = "claviger signing key v1";

/// An Ed25519 key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; PUBLIC_KEY_BYTES],
    seed: SecretArray<32>,
}

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut seed = SecretArray::zeroed();
        random::fill(seed.expose_mut())?;
        Self::from_seed(seed)
    }

    /// The key of a seed (RFC 8032's private key).
    ///
    /// # Errors
    /// [`CryptoError::LibraryFailed`].
    pub fn from_seed(seed: SecretArray<32>) -> Result<Self, CryptoError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| CryptoError::LibraryFailed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| CryptoError::LibraryFailed)?;
        Ok(Self { pair, public, seed })
    }

    /// Wraps the seed for storing, bound to `associated`.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn wrap(&self, keys: &DomainKeys, associated: &[u8]) -> Result<Vec<u8>, CryptoError> {
        keys.seal(PURPOSE, associated, self.seed.expose())
    }

    /// Unwraps what [`SigningKey::wrap`] wrapped.
    ///
    /// # Errors
    /// As [`DomainKeys::open`].
    pub fn unwrap(keys: &DomainKeys, associated: &[u8], wrapped: &[u8]) -> Result<Self, CryptoError> {
        let seed = keys.open(PURPOSE, associated, wrapped)?;
        Self::from_seed(SecretArray::from_slice(seed.expose()).ok_or(CryptoError::Malformed)?)
    }

    /// Signs a message.
    ///
    /// # Errors
    /// [`CryptoError::LibraryFailed`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], CryptoError> {
        let signature = self.pair.try_sign(message).map_err(|_| CryptoError::LibraryFailed)?;
        signature.as_ref().try_into().map_err(|_| CryptoError::LibraryFailed)
    }

    /// The key that verifies.
    #[must_use]
    pub const fn public(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.public
    }
}

/// Whether `signature` is the Ed25519 signature of `message` under `public`. False for keys and signatures of any
/// other length too.
#[must_use]
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    public.len() == PUBLIC_KEY_BYTES && UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::fmt::Debug;

    use claviger_secret::SecretArray;
    use static_assertions::assert_not_impl_any;

    use super::{SigningKey, verify};
    use crate::DomainKeys;

    assert_not_impl_any!(SigningKey: Debug, Clone, PartialEq);

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn rfc_8032_vector() {
        let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = SigningKey::from_seed(SecretArray::from_slice(&seed).unwrap()).unwrap();
        assert_eq!(hex::encode(key.public()), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(hex::encode(key.sign(&[0x72]).unwrap()), expected);
    }

    #[test]
    fn only_the_signed_message_verifies() {
        let key = SigningKey::generate().unwrap();
        let (public, signature) = (key.public(), key.sign(b"message").unwrap());
        assert!(verify(&public, b"message", &signature));
        assert!(!verify(&public, b"massage", &signature));
        assert!(!verify(&SigningKey::generate().unwrap().public(), b"message", &signature));
        assert!(!verify(&public[..31], b"message", &signature));
        assert!(!verify(&public, b"message", &signature[..63]));
        assert!(!verify(&[], b"message", &[]));
        for at in 0..signature.len() {
            let mut altered = signature;
            altered[at] ^= 1;
            assert!(!verify(&public, b"message", &altered), "byte {at}");
        }
    }

    #[test]
    fn a_wrapped_key_is_the_same_key() {
        let keys = DomainKeys::generate().unwrap();
        let key = SigningKey::generate().unwrap();
        let wrapped = key.wrap(&keys, b"node 1").unwrap();
        assert_eq!(SigningKey::unwrap(&keys, b"node 1", &wrapped).unwrap().public(), key.public());
        assert!(SigningKey::unwrap(&keys, b"node 2", &wrapped).is_err());
    }
}
