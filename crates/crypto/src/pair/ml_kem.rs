//! ML-KEM.

use claviger_crypto_ffi::ml_kem::{self, ParameterSet};
use claviger_secret::SecretBytes;

use super::{KeyUseError, der};
use crate::PairSpec;

pub(super) struct Private {
    set: ParameterSet,
    key: ml_kem::PrivateKey,
}

impl Private {
    /// The key and its SubjectPublicKeyInfo.
    pub(super) fn load(set: ParameterSet, seed: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        let seed = seed.try_into().map_err(|_| KeyUseError::InvalidPrivateKey)?;
        let key = ml_kem::PrivateKey::from_seed(set, seed).map_err(|_| KeyUseError::Library)?;
        let spki = der::public_key(spec(set)).ok_or(KeyUseError::Library)?.encode(&key.public_key());
        Ok((Self { set, key }, spki))
    }

    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<SecretBytes, KeyUseError> {
        if ciphertext.len() != self.set.ciphertext_bytes() {
            return Err(KeyUseError::InvalidCiphertext);
        }
        let secret = self.key.decapsulate(ciphertext).map_err(|_| KeyUseError::Library)?;
        Ok(SecretBytes::from_slice(secret.as_slice()))
    }
}

pub(super) struct Public(ml_kem::PublicKey);

impl Public {
    pub(super) fn parse(set: ParameterSet, spki: &[u8]) -> Result<Self, KeyUseError> {
        let raw = der::public_key(spec(set)).and_then(|shape| shape.strip(spki));
        let raw = raw.filter(|raw| is_reduced(raw)).ok_or(KeyUseError::InvalidPublicKey)?;
        ml_kem::PublicKey::from_raw(set, raw).map(Self).map_err(|_| KeyUseError::InvalidPublicKey)
    }

    pub(super) fn encapsulate(&self) -> Result<(Vec<u8>, SecretBytes), KeyUseError> {
        let (ciphertext, secret) = self.0.encapsulate().map_err(|_| KeyUseError::Library)?;
        Ok((ciphertext, SecretBytes::from_slice(secret.as_slice())))
    }
}

/// Whether every coefficient is below the modulus (FIPS 203, section 7.2). They are pairs of 12 bits in 3 bytes; the
/// last 32 bytes of the key are a seed, which any bytes may be.
fn is_reduced(raw: &[u8]) -> bool {
    const MODULUS: u16 = 3329;
    const SEED_BYTES: usize = 32;
    let (vector, _) = raw.split_at(raw.len().saturating_sub(SEED_BYTES));
    let (triples, _) = vector.as_chunks::<3>();
    triples.iter().all(|&[low, middle, high]| {
        let first = u16::from_le_bytes([low, middle & 0x0f]);
        let second = u16::from(middle >> 4) | (u16::from(high) << 4);
        first < MODULUS && second < MODULUS
    })
}

const fn spec(set: ParameterSet) -> PairSpec {
    match set {
        ParameterSet::MlKem512 => PairSpec::MlKem512,
        ParameterSet::MlKem768 => PairSpec::MlKem768,
        ParameterSet::MlKem1024 => PairSpec::MlKem1024,
    }
}
