//! ML-KEM (FIPS 203) with private keys in the form of their seed, which is how AWS KMS hands them out.

use zeroize::Zeroizing;

use crate::Failed;
use crate::library::{self, Key};

/// Bytes of a shared secret, for every parameter set.
pub const SHARED_SECRET_BYTES: usize = 32;

/// FIPS 203 section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterSet {
    /// Security category 1.
    MlKem512,
    /// Security category 3.
    MlKem768,
    /// Security category 5.
    MlKem1024,
}

impl ParameterSet {
    /// Every parameter set.
    pub const ALL: [Self; 3] = [Self::MlKem512, Self::MlKem768, Self::MlKem1024];

    /// Bytes of an encapsulation key.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 800,
            Self::MlKem768 => 1184,
            Self::MlKem1024 => 1568,
        }
    }

    /// Bytes of a ciphertext.
    #[must_use]
    pub const fn ciphertext_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }

    const fn number(self) -> library::AlgorithmNumber {
        match self {
            Self::MlKem512 => library::ML_KEM_512,
            Self::MlKem768 => library::ML_KEM_768,
            Self::MlKem1024 => library::ML_KEM_1024,
        }
    }
}

/// A decapsulation key with its encapsulation key, expanded from the seed; made once and used often.
pub struct PrivateKey {
    set: ParameterSet,
    key: Key,
    public: Vec<u8>,
}

impl PrivateKey {
    /// The key that `seed` (d || z of FIPS 203 algorithm 16) makes. Fails only if the library does.
    pub fn from_seed(set: ParameterSet, seed: &[u8; 64]) -> Result<Self, Failed> {
        let key = Key::ml_kem_from_seed(set.number(), seed)?;
        let public = key.public_bytes(set.public_key_bytes())?;
        Ok(Self { set, key, public })
    }

    /// The encapsulation key of FIPS 203.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// The shared secret in `ciphertext`. Fails if the ciphertext does not have the length of the parameter set. One of
    /// that length which was not made for this key gives a secret that nobody else has (FIPS 203, implicit rejection).
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; SHARED_SECRET_BYTES]>, Failed> {
        if ciphertext.len() != self.set.ciphertext_bytes() {
            return Err(Failed);
        }
        self.key.decapsulate(ciphertext)
    }
}

/// An encapsulation key.
pub struct PublicKey {
    set: ParameterSet,
    key: Key,
}

impl PublicKey {
    /// From the encapsulation key of FIPS 203: the tail of its SubjectPublicKeyInfo. Fails if the length is not that of
    /// the parameter set. A coefficient beyond the modulus is found by [`Self::encapsulate`].
    pub fn from_raw(set: ParameterSet, bytes: &[u8]) -> Result<Self, Failed> {
        if bytes.len() != set.public_key_bytes() {
            return Err(Failed);
        }
        Ok(Self { set, key: Key::ml_kem_public(set.number(), bytes)? })
    }

    /// A fresh shared secret and the ciphertext that carries it. Fails if the key is not canonical (FIPS 203 section
    /// 7.2, the check of the modulus).
    pub fn encapsulate(&self) -> Result<(Vec<u8>, Zeroizing<[u8; SHARED_SECRET_BYTES]>), Failed> {
        self.key.encapsulate(self.set.ciphertext_bytes())
    }
}

#[cfg(test)]
mod tests;
