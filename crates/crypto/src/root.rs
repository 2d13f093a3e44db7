//! The root key, and the secrets from outside that unseal it.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use claviger_secret::{SecretArray, SecretBytes};

use crate::{CryptoError, envelope, kdf, random};

/// The least length of an unseal file. Its content must be random, so a short one is a mistake.
pub const FILE_SECRET_BYTES_MIN: usize = 32;
/// The least length of a passphrase: 112 bits, below which FIPS does not approve an HMAC key.
pub const PASSPHRASE_BYTES_MIN: usize = 14;
/// PBKDF2 iterations for a newly wrapped root key. The number is stored, so a later release can raise it.
pub const PASSPHRASE_ITERATIONS: u32 = 600_000;
/// The most iterations that a stored number may ask for, so that an altered one cannot hold the start up for hours.
pub const PASSPHRASE_ITERATIONS_MAX: u32 = 10_000_000;

const LABEL: &str = "claviger root key v1";
const FILE_LABEL: &str = "claviger unseal file v1";
const VERSION: u8 = 1;
const KIND_FILE: u8 = 1;
const KIND_PASSPHRASE: u8 = 2;
const PASSPHRASE_SALT_BYTES: usize = 16;
/// Version and kind.
const FILE_PREFIX_BYTES: usize = 2;
/// Version, kind, iterations, salt.
const PASSPHRASE_PREFIX_BYTES: usize = 2 + 4 + PASSPHRASE_SALT_BYTES;

/// The key at the top: it wraps the domain keys and nothing else.
pub struct RootKey(SecretArray<32>);

impl RootKey {
    /// A new random root key.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`].
    pub fn generate() -> Result<Self, CryptoError> {
        let mut key = SecretArray::zeroed();
        random::fill(key.expose_mut())?;
        Ok(Self(key))
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// What the operator holds outside the store, and without which nothing in it opens.
pub struct UnsealSecret(Kind);

enum Kind {
    File(SecretBytes),
    Passphrase { secret: SecretBytes, iterations: u32 },
}

impl UnsealSecret {
    /// The content of a file of random bytes.
    ///
    /// # Errors
    /// [`CryptoError::WeakUnsealSecret`] below [`FILE_SECRET_BYTES_MIN`].
    pub fn file(secret: SecretBytes) -> Result<Self, CryptoError> {
        if secret.len() < FILE_SECRET_BYTES_MIN {
            return Err(CryptoError::WeakUnsealSecret);
        }
        Ok(Self(Kind::File(secret)))
    }

    /// What somebody typed. Wrapping and unwrapping take [`PASSPHRASE_ITERATIONS`] of PBKDF2, some 0.2 seconds.
    ///
    /// # Errors
    /// [`CryptoError::WeakUnsealSecret`] below [`PASSPHRASE_BYTES_MIN`].
    pub fn passphrase(secret: SecretBytes) -> Result<Self, CryptoError> {
        if secret.len() < PASSPHRASE_BYTES_MIN {
            return Err(CryptoError::WeakUnsealSecret);
        }
        Ok(Self(Kind::Passphrase { secret, iterations: PASSPHRASE_ITERATIONS }))
    }

    /// A passphrase with fewer iterations, so that this crate's tests are fast.
    #[cfg(test)]
    pub(crate) fn passphrase_with_iterations(secret: SecretBytes, iterations: u32) -> Self {
        Self(Kind::Passphrase { secret, iterations })
    }
}

/// Wraps the root key under an unseal secret, for keeping beside the store.
///
/// # Errors
/// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
pub fn wrap_root(root: &RootKey, unseal: &UnsealSecret) -> Result<Vec<u8>, CryptoError> {
    let mut prefix = Vec::with_capacity(PASSPHRASE_PREFIX_BYTES);
    prefix.push(VERSION);
    let key = match &unseal.0 {
        Kind::File(secret) => {
            prefix.push(KIND_FILE);
            file_key(secret)?
        }
        Kind::Passphrase { secret, iterations } => {
            let mut salt = [0; PASSPHRASE_SALT_BYTES];
            random::fill(&mut salt)?;
            prefix.push(KIND_PASSPHRASE);
            prefix.extend_from_slice(&iterations.to_be_bytes());
            prefix.extend_from_slice(&salt);
            passphrase_key(secret, *iterations, &salt)?
        }
    };
    envelope::seal(key.expose(), LABEL, &prefix, &[], root.secret())
}

/// Unwraps a root key.
///
/// # Errors
/// [`CryptoError::NotAuthentic`] for a wrong secret or altered bytes; [`CryptoError::OtherUnsealKind`] when the other
/// kind of secret is asked for; [`CryptoError::UnknownVersion`] and [`CryptoError::Malformed`] for what this release
/// never wrote.
pub fn unwrap_root(wrapped: &[u8], unseal: &UnsealSecret) -> Result<RootKey, CryptoError> {
    let (&version, rest) = wrapped.split_first().ok_or(CryptoError::Malformed)?;
    if version != VERSION {
        return Err(CryptoError::UnknownVersion(version));
    }
    let (&kind, rest) = rest.split_first().ok_or(CryptoError::Malformed)?;
    let (key, prefix_bytes) = match (kind, &unseal.0) {
        (KIND_FILE, Kind::File(secret)) => (file_key(secret)?, FILE_PREFIX_BYTES),
        (KIND_PASSPHRASE, Kind::Passphrase { secret, .. }) => {
            let (iterations, rest) = rest.split_first_chunk::<4>().ok_or(CryptoError::Malformed)?;
            let (salt, _) = rest.split_first_chunk().ok_or(CryptoError::Malformed)?;
            (passphrase_key(secret, u32::from_be_bytes(*iterations), salt)?, PASSPHRASE_PREFIX_BYTES)
        }
        (KIND_FILE | KIND_PASSPHRASE, _) => return Err(CryptoError::OtherUnsealKind),
        _ => return Err(CryptoError::Malformed),
    };
    let plaintext = envelope::open(key.expose(), LABEL, prefix_bytes, &[], wrapped)?;
    SecretArray::from_slice(plaintext.expose()).map(RootKey).ok_or(CryptoError::Malformed)
}

/// 32 bytes from a file of any length: the content is random already, so one derivation is enough.
fn file_key(secret: &SecretBytes) -> Result<SecretArray<32>, CryptoError> {
    let mut key = SecretArray::zeroed();
    kdf(secret.expose(), FILE_LABEL, &[], key.expose_mut())?;
    Ok(key)
}

fn passphrase_key(
    secret: &SecretBytes,
    iterations: u32,
    salt: &[u8; PASSPHRASE_SALT_BYTES],
) -> Result<SecretArray<32>, CryptoError> {
    let iterations = NonZeroU32::new(iterations).ok_or(CryptoError::Malformed)?;
    if iterations.get() > PASSPHRASE_ITERATIONS_MAX {
        return Err(CryptoError::Malformed);
    }
    let mut key = SecretArray::zeroed();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret.expose(), key.expose_mut());
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::fmt::Debug;

    use claviger_secret::SecretBytes;
    use static_assertions::assert_not_impl_any;

    use super::{PASSPHRASE_ITERATIONS, RootKey, UnsealSecret, unwrap_root, wrap_root};
    use crate::CryptoError;

    assert_not_impl_any!(RootKey: Debug, Clone, PartialEq);
    assert_not_impl_any!(UnsealSecret: Debug, Clone, PartialEq);

    fn file(byte: u8) -> UnsealSecret {
        UnsealSecret::file(SecretBytes::new(vec![byte; 40])).unwrap()
    }

    fn passphrase(text: &str) -> UnsealSecret {
        UnsealSecret::passphrase_with_iterations(SecretBytes::from_slice(text.as_bytes()), 10)
    }

    fn unwrapped(wrapped: &[u8], unseal: &UnsealSecret) -> Result<[u8; 32], CryptoError> {
        unwrap_root(wrapped, unseal).map(|root| *root.secret())
    }

    #[test]
    fn either_kind_wraps_and_unwraps() {
        let root = RootKey::generate().unwrap();
        for unseal in [file(1), passphrase("a long passphrase")] {
            let wrapped = wrap_root(&root, &unseal).unwrap();
            assert_eq!(unwrapped(&wrapped, &unseal).unwrap(), *root.secret());
        }
    }

    #[test]
    fn another_secret_or_kind_does_not_unwrap() {
        let root = RootKey::generate().unwrap();
        let wrapped = wrap_root(&root, &file(1)).unwrap();
        assert_eq!(unwrapped(&wrapped, &file(2)), Err(CryptoError::NotAuthentic));
        assert_eq!(unwrapped(&wrapped, &passphrase("a long passphrase")), Err(CryptoError::OtherUnsealKind));
        let wrapped = wrap_root(&root, &passphrase("a long passphrase")).unwrap();
        assert_eq!(unwrapped(&wrapped, &passphrase("another passphrase")), Err(CryptoError::NotAuthentic));
        assert_eq!(unwrapped(&wrapped, &file(1)), Err(CryptoError::OtherUnsealKind));
    }

    #[test]
    fn every_byte_of_the_wrapped_form_matters() {
        for unseal in [file(1), passphrase("a long passphrase")] {
            let wrapped = wrap_root(&RootKey::generate().unwrap(), &unseal).unwrap();
            for at in 0..wrapped.len() {
                // One low bit: in the iterations it makes a number that is still quick, or one that is refused.
                let mut altered = wrapped.clone();
                altered[at] ^= 1;
                assert!(unwrapped(&altered, &unseal).is_err(), "byte {at}");
            }
            for length in 0..wrapped.len() {
                assert!(unwrapped(&wrapped[..length], &unseal).is_err(), "length {length}");
            }
        }
    }

    #[test]
    fn stored_iterations_are_used_and_bounded() {
        let unseal = passphrase("a long passphrase");
        let root = RootKey::generate().unwrap();
        let mut wrapped = wrap_root(&root, &unseal).unwrap();
        assert_eq!(wrapped[2..6], 10_u32.to_be_bytes());
        // The caller's own number of iterations does not matter when unwrapping.
        let same = UnsealSecret::passphrase_with_iterations(SecretBytes::from_slice(b"a long passphrase"), 99);
        assert_eq!(unwrapped(&wrapped, &same).unwrap(), *root.secret());
        wrapped[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(unwrapped(&wrapped, &unseal), Err(CryptoError::Malformed));
        wrapped[2..6].copy_from_slice(&[0; 4]);
        assert_eq!(unwrapped(&wrapped, &unseal), Err(CryptoError::Malformed));
    }

    #[test]
    fn a_passphrase_is_stretched_and_a_weak_secret_refused() {
        let unseal = UnsealSecret::passphrase(SecretBytes::from_slice(b"fourteen bytes")).unwrap();
        let wrapped = wrap_root(&RootKey::generate().unwrap(), &unseal).unwrap();
        assert_eq!(wrapped[2..6], PASSPHRASE_ITERATIONS.to_be_bytes());
        assert!(unwrap_root(&wrapped, &unseal).is_ok());
        assert!(UnsealSecret::passphrase(SecretBytes::from_slice(b"thirteen byte")).is_err());
        assert!(UnsealSecret::file(SecretBytes::zeroed(31)).is_err());
        assert!(UnsealSecret::file(SecretBytes::zeroed(32)).is_ok());
    }
}
