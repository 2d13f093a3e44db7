//! Key material of every kind: how it is wrapped for storing, and its id.

use std::fmt;

use claviger_secret::{LogSafe, SecretArray, SecretBytes};

use crate::context::push_with_length;
use crate::key_id::{hexadecimal, write_hexadecimal};
use crate::{
    CryptoError, DomainKeys, KeyId, MacMaterial, MacSpec, MaterialSpec, PairMaterial, PairSpec, SymmetricMaterial, kdf,
};

const ID_LABEL: &str = "claviger material id v1";
const PURPOSE: &str = "claviger key material v1";
/// What the wrapped bytes are. A number is never used again for something else.
const KIND_SYMMETRIC: u8 = 1;
const KIND_MAC: u8 = 2;
const KIND_PAIR: u8 = 3;

/// One key material of one KMS key, of whichever kind. Its bytes leave only wrapped by the domain keys.
pub enum KeyMaterial {
    /// `SYMMETRIC_DEFAULT`.
    Symmetric(SymmetricMaterial),
    /// `HMAC_*`.
    Mac(MacMaterial),
    /// A private key and its public key.
    Pair(PairMaterial),
}

impl KeyMaterial {
    /// New random material for a key. RSA takes 30 to 1200 milliseconds, everything else less than one.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate(key_id: KeyId, spec: MaterialSpec) -> Result<Self, CryptoError> {
        Ok(match spec {
            MaterialSpec::Symmetric => Self::Symmetric(SymmetricMaterial::generate(key_id)?),
            MaterialSpec::Mac(spec) => Self::Mac(MacMaterial::generate(key_id, spec)?),
            MaterialSpec::Pair(spec) => Self::Pair(PairMaterial::generate(key_id, spec)?),
        })
    }

    /// What it is.
    #[must_use]
    pub const fn spec(&self) -> MaterialSpec {
        match self {
            Self::Symmetric(_) => MaterialSpec::Symmetric,
            Self::Mac(material) => MaterialSpec::Mac(material.spec()),
            Self::Pair(material) => MaterialSpec::Pair(material.spec()),
        }
    }

    /// The key that it belongs to.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        match self {
            Self::Symmetric(material) => material.key_id(),
            Self::Mac(material) => material.key_id(),
            Self::Pair(material) => material.key_id(),
        }
    }

    /// `SP800-108(material, "claviger material id v1", key id)`: says nothing about the material.
    #[must_use]
    pub const fn material_id(&self) -> MaterialId {
        match self {
            Self::Symmetric(material) => material.material_id(),
            Self::Mac(material) => material.material_id(),
            Self::Pair(material) => material.material_id(),
        }
    }

    /// The material of a symmetric key.
    #[must_use]
    pub const fn symmetric(&self) -> Option<&SymmetricMaterial> {
        match self {
            Self::Symmetric(material) => Some(material),
            Self::Mac(_) | Self::Pair(_) => None,
        }
    }

    /// The material of an HMAC key.
    #[must_use]
    pub const fn mac(&self) -> Option<&MacMaterial> {
        match self {
            Self::Mac(material) => Some(material),
            Self::Symmetric(_) | Self::Pair(_) => None,
        }
    }

    /// The material of a key pair.
    #[must_use]
    pub const fn pair(&self) -> Option<&PairMaterial> {
        match self {
            Self::Pair(material) => Some(material),
            Self::Symmetric(_) | Self::Mac(_) => None,
        }
    }

    /// Wraps the material for storing, bound to its key and to `associated`, such as the row.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn wrap(&self, keys: &DomainKeys, associated: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (head, secret): (&[u8], &[u8]) = match self {
            Self::Symmetric(material) => (&[KIND_SYMMETRIC], material.secret()),
            Self::Mac(material) => (&[KIND_MAC, material.spec().code()], material.secret()),
            Self::Pair(material) => (&[KIND_PAIR, material.spec().code()], material.secret()),
        };
        let mut plaintext = SecretBytes::zeroed(head.len() + secret.len());
        for (to, from) in plaintext.expose_mut().iter_mut().zip(head.iter().chain(secret)) {
            *to = *from;
        }
        keys.seal(PURPOSE, &bound(self.key_id(), associated), plaintext.expose())
    }

    /// Unwraps what [`KeyMaterial::wrap`] wrapped for the same key and `associated`.
    ///
    /// # Errors
    /// As [`DomainKeys::open`].
    pub fn unwrap(keys: &DomainKeys, key_id: KeyId, associated: &[u8], wrapped: &[u8]) -> Result<Self, CryptoError> {
        let plaintext = keys.open(PURPOSE, &bound(key_id, associated), wrapped)?;
        match plaintext.expose() {
            [KIND_SYMMETRIC, secret @ ..] => {
                let secret = SecretArray::from_slice(secret).ok_or(CryptoError::Malformed)?;
                Ok(Self::Symmetric(SymmetricMaterial::from_bytes(key_id, secret)?))
            }
            [KIND_MAC, spec, secret @ ..] => {
                let spec = MacSpec::from_code(*spec).ok_or(CryptoError::Malformed)?;
                Ok(Self::Mac(MacMaterial::from_bytes(key_id, spec, SecretBytes::from_slice(secret))?))
            }
            [KIND_PAIR, spec, secret @ ..] => {
                let spec = PairSpec::from_code(*spec).ok_or(CryptoError::Malformed)?;
                Ok(Self::Pair(PairMaterial::from_secret(key_id, spec, SecretBytes::from_slice(secret))?))
            }
            _ => Err(CryptoError::Malformed),
        }
    }
}

impl From<SymmetricMaterial> for KeyMaterial {
    fn from(material: SymmetricMaterial) -> Self {
        Self::Symmetric(material)
    }
}

impl From<MacMaterial> for KeyMaterial {
    fn from(material: MacMaterial) -> Self {
        Self::Mac(material)
    }
}

impl From<PairMaterial> for KeyMaterial {
    fn from(material: PairMaterial) -> Self {
        Self::Pair(material)
    }
}

fn bound(key_id: KeyId, associated: &[u8]) -> Vec<u8> {
    let mut bytes = key_id.to_bytes().to_vec();
    push_with_length(&mut bytes, associated);
    bytes
}

/// The id of material by its secret bytes, whatever its kind.
pub(crate) fn material_id(key_id: KeyId, secret: &[u8]) -> Result<MaterialId, CryptoError> {
    let mut id = [0; 32];
    kdf(secret, ID_LABEL, &key_id.to_bytes(), &mut id)?;
    Ok(MaterialId(id))
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
        write_hexadecimal(formatter, &self.0)
    }
}

impl LogSafe for MaterialId {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::fmt::Debug;

    use claviger_secret::SecretArray;
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    use super::{KeyMaterial, MaterialId};
    use crate::{
        CryptoError, DomainKeys, EncryptionContext, KeyId, MacMaterial, MacSpec, MaterialSpec, PairMaterial, PairSpec,
        SymmetricMaterial,
    };

    assert_not_impl_any!(KeyMaterial: Debug, Clone, PartialEq);
    assert_not_impl_any!(SymmetricMaterial: Debug, Clone, PartialEq);
    assert_not_impl_any!(MacMaterial: Debug, Clone, PartialEq);
    assert_not_impl_any!(PairMaterial: Debug, Clone, PartialEq);
    assert_impl_all!(KeyMaterial: Send, Sync);

    fn key_id(last: u8) -> KeyId {
        KeyId::from_random([last; 16], false)
    }

    #[test]
    fn the_material_id_depends_on_material_and_key() {
        let id = |key: u8, secret: u8| {
            SymmetricMaterial::from_bytes(key_id(key), SecretArray::new([secret; 32])).unwrap().material_id()
        };
        assert_eq!(id(1, 1), id(1, 1));
        assert_ne!(id(1, 1), id(2, 1));
        assert_ne!(id(1, 1), id(1, 2));
        let one = SymmetricMaterial::generate(key_id(1)).unwrap().material_id();
        assert_ne!(one, SymmetricMaterial::generate(key_id(1)).unwrap().material_id());
        assert_eq!(MaterialId::parse(&one.to_string()), Ok(one));
        assert_eq!(MaterialId::from_bytes(*one.as_bytes()), one);
        for bad in ["", &one.to_string()[1..], &format!("{one}0"), &"A".repeat(64), &"é".repeat(32)] {
            assert!(MaterialId::parse(bad).is_err(), "{bad}");
        }
    }

    const SPECS: [MaterialSpec; 7] = [
        MaterialSpec::Symmetric,
        MaterialSpec::Mac(MacSpec::Hmac224),
        MaterialSpec::Mac(MacSpec::Hmac256),
        MaterialSpec::Mac(MacSpec::Hmac384),
        MaterialSpec::Mac(MacSpec::Hmac512),
        MaterialSpec::Pair(PairSpec::P256),
        MaterialSpec::Pair(PairSpec::MlKem768),
    ];

    #[test]
    fn wrapped_material_comes_back_only_for_its_key_and_place() {
        let keys = DomainKeys::generate().unwrap();
        for spec in SPECS {
            let material = KeyMaterial::generate(key_id(1), spec).unwrap();
            let wrapped = material.wrap(&keys, b"row 1").unwrap();
            let again = KeyMaterial::unwrap(&keys, key_id(1), b"row 1", &wrapped).unwrap();
            assert_eq!((again.material_id(), again.key_id()), (material.material_id(), key_id(1)));
            assert_eq!((again.spec(), material.spec()), (spec, spec));
            let kinds = (again.symmetric().is_some(), again.mac().is_some(), again.pair().is_some());
            assert_eq!(kinds.0, spec == MaterialSpec::Symmetric);
            assert_eq!(kinds.1, matches!(spec, MaterialSpec::Mac(_)));
            assert_eq!(kinds.2, matches!(spec, MaterialSpec::Pair(_)));
            let refused = |keys: &DomainKeys, id, associated: &[u8]| {
                KeyMaterial::unwrap(keys, id, associated, &wrapped).err().unwrap()
            };
            assert_eq!(refused(&keys, key_id(2), b"row 1"), CryptoError::NotAuthentic);
            assert_eq!(refused(&keys, key_id(1), b"row 2"), CryptoError::NotAuthentic);
            assert_eq!(refused(&DomainKeys::generate().unwrap(), key_id(1), b"row 1"), CryptoError::NotAuthentic);
            for at in 0..wrapped.len() {
                let mut altered = wrapped.clone();
                altered[at] ^= 1;
                assert!(KeyMaterial::unwrap(&keys, key_id(1), b"row 1", &altered).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn unwrapped_material_does_what_the_wrapped_did() {
        let keys = DomainKeys::generate().unwrap();
        let again = |material: &KeyMaterial| {
            KeyMaterial::unwrap(&keys, key_id(1), b"", &material.wrap(&keys, b"").unwrap()).unwrap()
        };
        let (context, symmetric) =
            (EncryptionContext::canonical([]), KeyMaterial::generate(key_id(1), MaterialSpec::Symmetric).unwrap());
        let blob = symmetric.symmetric().unwrap().seal(&context, b"plaintext").unwrap();
        assert_eq!(again(&symmetric).symmetric().unwrap().open(&blob, &context).unwrap().expose(), b"plaintext");
        let mac = KeyMaterial::generate(key_id(1), MaterialSpec::Mac(MacSpec::Hmac384)).unwrap();
        let tag = mac.mac().unwrap().mac(b"message");
        assert!(again(&mac).mac().unwrap().verify(b"message", &tag));
    }

    #[test]
    fn what_no_material_has_is_refused() {
        let keys = DomainKeys::generate().unwrap();
        let plaintexts: [&[u8]; 16] = [
            &[],
            &[1],
            &[0; 33],
            &[4; 33],
            &[1; 32],
            &[1; 34],
            &[2],
            &[2, 1],
            &[2; 33],
            &[2; 35],
            &[2, 0, 3, 4],
            &[2, 5, 3, 4],
            &[3],
            &[3, 8],
            &[3, 0, 5],
            &[3, 15, 5],
        ];
        for plaintext in plaintexts {
            let wrapped = keys.seal(super::PURPOSE, &super::bound(key_id(1), b""), plaintext).unwrap();
            let refused = KeyMaterial::unwrap(&keys, key_id(1), b"", &wrapped);
            assert_eq!(refused.err(), Some(CryptoError::Malformed), "{plaintext:?}");
        }
    }
}
