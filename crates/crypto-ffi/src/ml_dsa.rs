//! ML-DSA (FIPS 204) over an external mu: the caller has computed mu = SHAKE256(SHAKE256(public key, 64) || 0 || 0 ||
//! message, 64), so that the message itself need not be sent. Signatures are those of plain ML-DSA without a context.

use crate::Failed;
use crate::library::{self, Key};

/// FIPS 204 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterSet {
    /// Security category 2.
    MlDsa44,
    /// Security category 3.
    MlDsa65,
    /// Security category 5.
    MlDsa87,
}

impl ParameterSet {
    /// Every parameter set.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// Bytes of an encoded public key.
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Bytes of a signature.
    #[must_use]
    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => 4627,
        }
    }

    const fn number(self) -> library::AlgorithmNumber {
        match self {
            Self::MlDsa44 => library::ML_DSA_44,
            Self::MlDsa65 => library::ML_DSA_65,
            Self::MlDsa87 => library::ML_DSA_87,
        }
    }
}

/// A private key, expanded from its seed; made once and used often.
pub struct PrivateKey {
    set: ParameterSet,
    key: Key,
}

impl PrivateKey {
    /// The key that `seed` (FIPS 204 calls it xi) makes. Fails only if the library does.
    pub fn from_seed(set: ParameterSet, seed: &[u8; 32]) -> Result<Self, Failed> {
        Ok(Self { set, key: Key::ml_dsa_from_seed(set.number(), seed)? })
    }

    /// The encoded public key (FIPS 204 algorithm 22). Fails only if the library does.
    pub fn public_key(&self) -> Result<Vec<u8>, Failed> {
        self.key.public_bytes(self.set.public_key_bytes())
    }

    /// Signs `mu` with fresh randomness: two signatures of the same input differ. Fails only if the library does.
    pub fn sign_mu(&self, mu: &[u8; 64]) -> Result<Vec<u8>, Failed> {
        self.key.sign(mu, self.set.signature_bytes())
    }
}

/// A public key.
pub struct PublicKey(Key);

impl PublicKey {
    /// From the encoded public key of FIPS 204: the tail of its SubjectPublicKeyInfo. Fails if the length is not that of
    /// the parameter set.
    pub fn from_raw(set: ParameterSet, bytes: &[u8]) -> Result<Self, Failed> {
        if bytes.len() != set.public_key_bytes() {
            return Err(Failed);
        }
        Key::ml_dsa_public(set.number(), bytes).map(Self)
    }

    /// Whether `signature` is one of `mu` by the owner of this key.
    #[must_use]
    pub fn verify_mu(&self, mu: &[u8; 64], signature: &[u8]) -> bool {
        self.0.verify(mu, signature)
    }
}

#[cfg(test)]
mod tests;
