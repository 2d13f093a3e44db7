//! The material of a symmetric KMS key.

use claviger_secret::{SecretArray, SecretBytes};

use crate::blob::{self, BadBlob};
use crate::material::material_id;
use crate::{CryptoError, EncryptionContext, KeyId, MaterialId, random};

/// How many bytes symmetric key material has.
pub const MATERIAL_BYTES: usize = 32;

/// One symmetric key material of one KMS key. It seals and opens; its bytes leave only wrapped by the domain keys
/// ([`crate::KeyMaterial::wrap`]).
pub struct SymmetricMaterial {
    key_id: KeyId,
    material_id: MaterialId,
    secret: SecretArray<MATERIAL_BYTES>,
}

impl SymmetricMaterial {
    /// New random material for a key.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate(key_id: KeyId) -> Result<Self, CryptoError> {
        let mut secret = SecretArray::zeroed();
        random::fill(secret.expose_mut())?;
        Self::from_bytes(key_id, secret)
    }

    /// Material from outside: a seed file, or imported. The same bytes under the same key have the same id.
    ///
    /// # Errors
    /// [`CryptoError::LibraryFailed`].
    pub fn from_bytes(key_id: KeyId, secret: SecretArray<MATERIAL_BYTES>) -> Result<Self, CryptoError> {
        let material_id = material_id(key_id, secret.expose())?;
        Ok(Self { key_id, material_id, secret })
    }

    /// The key that it belongs to.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// `SP800-108(material, "claviger material id v1", key id)`: says nothing about the material.
    #[must_use]
    pub const fn material_id(&self) -> MaterialId {
        self.material_id
    }

    /// Seals a plaintext into a ciphertext blob that names this key and this material.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn seal(&self, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        blob::seal(self, context, plaintext)
    }

    /// Opens a ciphertext blob that this material sealed under the same encryption context.
    ///
    /// # Errors
    /// [`BadBlob`]; AWS answers every one of them but [`BadBlob::LibraryFailed`] with InvalidCiphertextException.
    pub fn open(&self, blob: &[u8], context: &EncryptionContext) -> Result<SecretBytes, BadBlob> {
        blob::open(self, blob, context)
    }

    pub(crate) fn secret(&self) -> &[u8; MATERIAL_BYTES] {
        self.secret.expose()
    }
}
