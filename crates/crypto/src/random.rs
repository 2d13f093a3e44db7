//! Randomness for what callers choose: identifiers, data keys, credentials.
//!
//! Keys, salts and nonces made in this crate do not come through here: they use the library's own generator, so that
//! nobody can inject a predictable one.

use claviger_secret::SecretBytes;

use crate::CryptoError;

/// A source of random bytes, injected so that tests can fix it.
pub trait Random: Send + Sync {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] when the source gives nothing; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError>;

    /// `length` random bytes that are secret, such as a data key.
    ///
    /// # Errors
    /// As [`Random::fill`].
    fn secret(&self, length: usize) -> Result<SecretBytes, CryptoError> {
        let mut secret = SecretBytes::zeroed(length);
        self.fill(secret.expose_mut())?;
        Ok(secret)
    }
}

/// The library's generator, seeded by the operating system. Its first use in a process takes some 40 milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        fill(out)
    }
}

pub(crate) fn fill(out: &mut [u8]) -> Result<(), CryptoError> {
    aws_lc_rs::rand::fill(out).map_err(|_| CryptoError::RandomFailed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Random, SystemRandom};

    #[test]
    fn the_system_source_fills_every_length() {
        for length in [0, 1, 32, 1024] {
            let secret = SystemRandom.secret(length).unwrap();
            assert_eq!(secret.len(), length);
            assert!(length < 32 || secret.expose().iter().any(|byte| *byte != 0));
        }
        assert_ne!(SystemRandom.secret(32).unwrap().expose(), SystemRandom.secret(32).unwrap().expose());
    }
}
