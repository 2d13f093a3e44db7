//! The material of an HMAC KMS key.

use aws_lc_rs::hmac;
use claviger_secret::SecretBytes;

use crate::material::material_id;
use crate::{CryptoError, KeyId, MacSpec, MaterialId, random};

/// One HMAC key material of one KMS key: GenerateMac and VerifyMac.
///
/// Its bytes leave only wrapped by the domain keys ([`crate::KeyMaterial::wrap`]).
pub struct MacMaterial {
    key_id: KeyId,
    material_id: MaterialId,
    spec: MacSpec,
    secret: SecretBytes,
    /// The same key made ready, which saves half of the cost of a short message. The library wipes it.
    key: Box<hmac::Key>,
}

impl MacMaterial {
    /// New random material for a key.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate(key_id: KeyId, spec: MacSpec) -> Result<Self, CryptoError> {
        let mut secret = SecretBytes::zeroed(spec.bytes());
        random::fill(secret.expose_mut())?;
        Self::from_bytes(key_id, spec, secret)
    }

    /// Material from outside: a seed file, or imported. The same bytes under the same key have the same id.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] unless the key has exactly [`MacSpec::bytes`] bytes; [`CryptoError::LibraryFailed`].
    pub fn from_bytes(key_id: KeyId, spec: MacSpec, secret: SecretBytes) -> Result<Self, CryptoError> {
        if secret.len() != spec.bytes() {
            return Err(CryptoError::Malformed);
        }
        let bytes = secret.expose();
        let material_id = material_id(key_id, bytes)?;
        let key = Box::new(hmac::Key::new(algorithm(spec), bytes));
        Ok(Self { key_id, material_id, spec, secret, key })
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

    /// The hash function and the length.
    #[must_use]
    pub const fn spec(&self) -> MacSpec {
        self.spec
    }

    /// The HMAC of a message, of [`MacSpec::bytes`] bytes (FIPS 198-1).
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, message).as_ref().to_vec()
    }

    /// Whether `mac` is the full HMAC of the message. The comparison takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key, message, mac).is_ok()
    }

    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.expose()
    }
}

const fn algorithm(spec: MacSpec) -> hmac::Algorithm {
    match spec {
        MacSpec::Hmac224 => hmac::HMAC_SHA224,
        MacSpec::Hmac256 => hmac::HMAC_SHA256,
        MacSpec::Hmac384 => hmac::HMAC_SHA384,
        MacSpec::Hmac512 => hmac::HMAC_SHA512,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use claviger_secret::SecretBytes;

    use super::MacMaterial;
    use crate::{CryptoError, KeyId, MacSpec};

    fn material(spec: MacSpec, bytes: &[u8]) -> Result<MacMaterial, CryptoError> {
        MacMaterial::from_bytes(KeyId::from_random([7; 16], false), spec, SecretBytes::from_slice(bytes))
    }

    /// RFC 4231, test case 1 with its key of 20 bytes filled up with zeroes, which HMAC does too.
    #[test]
    fn rfc_4231_vectors() {
        let tags = [
            (MacSpec::Hmac224, "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22"),
            (MacSpec::Hmac256, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                MacSpec::Hmac384,
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
            ),
            (
                MacSpec::Hmac512,
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4\
                 be9d914eeb61f1702e696c203a126854",
            ),
        ];
        for (spec, tag) in tags {
            let mut key = vec![0x0b; 20];
            key.resize(spec.bytes(), 0);
            let key = material(spec, &key).unwrap();
            assert_eq!(hex::encode(key.mac(b"Hi There")), tag);
            assert_eq!(key.spec(), spec);
        }
    }

    #[test]
    fn only_the_full_mac_of_the_message_verifies() {
        for spec in MacSpec::ALL {
            let key = MacMaterial::generate(KeyId::from_random([7; 16], false), *spec).unwrap();
            let mac = key.mac(b"message");
            assert_eq!(mac.len(), spec.bytes());
            assert!(key.verify(b"message", &mac));
            assert!(!key.verify(b"massage", &mac));
            assert!(!MacMaterial::generate(key.key_id(), *spec).unwrap().verify(b"message", &mac));
            for bad in [&mac[1..], &mac[..mac.len() - 1], &[&mac[..], &[0]].concat(), &[]] {
                assert!(!key.verify(b"message", bad));
            }
            for at in 0..mac.len() {
                let mut altered = mac.clone();
                altered[at] ^= 1;
                assert!(!key.verify(b"message", &altered), "byte {at}");
            }
        }
    }

    #[test]
    fn a_key_has_the_length_of_its_hash() {
        for spec in MacSpec::ALL {
            for length in [0, 16, 27, 28, 29, 32, 33, 48, 49, 64, 65, 128] {
                let key = material(*spec, &vec![1; length]);
                assert_eq!(key.err(), (length != spec.bytes()).then_some(CryptoError::Malformed), "{spec} {length}");
            }
        }
    }
}
