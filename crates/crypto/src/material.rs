//! The key material of a symmetric KMS key, and its id.

use std::fmt;

use claviger_secret::{LogSafe, SecretArray, SecretBytes};

use crate::blob::{self, BadBlob};
use crate::context::push_with_length;
use crate::key_id::hexadecimal;
use crate::{CryptoError, DomainKeys, EncryptionContext, KeyId, kdf, random};

/// How many bytes symmetric key material has.
pub const MATERIAL_BYTES: usize = 32;

const ID_LABEL: &str = "claviger material id v1";
const PURPOSE: &str = "claviger key material v1";
/// What the wrapped bytes are: a symmetric key of 256 bits. Other kinds of material get other numbers.
const KIND_SYMMETRIC: u8 = 1;

/// One key material of one KMS key. It seals and opens; its bytes leave only wrapped by the domain keys.
pub struct KeyMaterial {
    key_id: KeyId,
    material_id: MaterialId,
    secret: SecretArray<MATERIAL_BYTES>,
}

impl KeyMaterial {
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
        let mut id = [0; 32];
        kdf(secret.expose(), ID_LABEL, &key_id.to_bytes(), &mut id)?;
        Ok(Self { key_id, material_id: MaterialId(id), secret })
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

    /// Wraps the material for storing, bound to its key and to `associated`, such as the row.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn wrap(&self, keys: &DomainKeys, associated: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut plaintext = SecretArray::<{ MATERIAL_BYTES + 1 }>::zeroed();
        let [kind, secret @ ..] = plaintext.expose_mut();
        *kind = KIND_SYMMETRIC;
        secret.copy_from_slice(self.secret.expose());
        keys.seal(PURPOSE, &bound(self.key_id, associated), plaintext.expose())
    }

    /// Unwraps what [`KeyMaterial::wrap`] wrapped for the same key and `associated`.
    ///
    /// # Errors
    /// As [`DomainKeys::open`].
    pub fn unwrap(keys: &DomainKeys, key_id: KeyId, associated: &[u8], wrapped: &[u8]) -> Result<Self, CryptoError> {
        let plaintext = keys.open(PURPOSE, &bound(key_id, associated), wrapped)?;
        match plaintext.expose().split_first() {
            Some((&KIND_SYMMETRIC, secret)) => {
                Self::from_bytes(key_id, SecretArray::from_slice(secret).ok_or(CryptoError::Malformed)?)
            }
            Some(_) | None => Err(CryptoError::Malformed),
        }
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

fn bound(key_id: KeyId, associated: &[u8]) -> Vec<u8> {
    let mut bytes = key_id.to_bytes().to_vec();
    push_with_length(&mut bytes, associated);
    bytes
}

/// The id of key material: 32 bytes, shown as AWS's `KeyMaterialId` of 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaterialId([u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key material id")]
pub struct BadMaterialId;

impl MaterialId {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`BadMaterialId`] for everything else, upper case included.
    pub fn parse(text: &str) -> Result<Self, BadMaterialId> {
        hexadecimal(text.bytes()).map(Self).map_err(|_| BadMaterialId)
    }

    /// An id from its bytes, as a record or blob holds them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for MaterialId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl LogSafe for MaterialId {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fmt::Debug;

    use claviger_secret::SecretArray;
    use static_assertions::assert_not_impl_any;

    use super::{KeyMaterial, MaterialId};
    use crate::{CryptoError, DomainKeys, KeyId};

    assert_not_impl_any!(KeyMaterial: Debug, Clone, PartialEq);

    fn key_id(last: u8) -> KeyId {
        KeyId::from_random([last; 16], false)
    }

    #[test]
    fn the_material_id_depends_on_material_and_key() {
        let id = |key: u8, secret: u8| {
            KeyMaterial::from_bytes(key_id(key), SecretArray::new([secret; 32])).unwrap().material_id()
        };
        assert_eq!(id(1, 1), id(1, 1));
        assert_ne!(id(1, 1), id(2, 1));
        assert_ne!(id(1, 1), id(1, 2));
        let one = KeyMaterial::generate(key_id(1)).unwrap().material_id();
        assert_ne!(one, KeyMaterial::generate(key_id(1)).unwrap().material_id());
        assert_eq!(MaterialId::parse(&one.to_string()), Ok(one));
        assert_eq!(MaterialId::from_bytes(*one.as_bytes()), one);
        for bad in ["", &one.to_string()[1..], &format!("{one}0"), &"A".repeat(64), &"é".repeat(32)] {
            assert!(MaterialId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrapped_material_comes_back_only_for_its_key_and_place() {
        let keys = DomainKeys::generate().unwrap();
        let material = KeyMaterial::generate(key_id(1)).unwrap();
        let wrapped = material.wrap(&keys, b"row 1").unwrap();
        let again = KeyMaterial::unwrap(&keys, key_id(1), b"row 1", &wrapped).unwrap();
        assert_eq!(again.secret(), material.secret());
        assert_eq!((again.material_id(), again.key_id()), (material.material_id(), key_id(1)));
        let refused = |keys: &DomainKeys, id, associated: &[u8]| {
            KeyMaterial::unwrap(keys, id, associated, &wrapped).err().unwrap()
        };
        assert_eq!(refused(&keys, key_id(2), b"row 1"), CryptoError::NotAuthentic);
        assert_eq!(refused(&keys, key_id(1), b"row 2"), CryptoError::NotAuthentic);
        assert_eq!(refused(&DomainKeys::generate().unwrap(), key_id(1), b"row 1"), CryptoError::NotAuthentic);
    }

    #[test]
    fn what_is_not_symmetric_material_is_refused() {
        let keys = DomainKeys::generate().unwrap();
        for plaintext in [&[][..], &[1], &[2; 33], &[1; 32], &[1; 34]] {
            let wrapped = keys.seal(super::PURPOSE, &super::bound(key_id(1), b""), plaintext).unwrap();
            assert_eq!(KeyMaterial::unwrap(&keys, key_id(1), b"", &wrapped).err(), Some(CryptoError::Malformed));
        }
    }
}
