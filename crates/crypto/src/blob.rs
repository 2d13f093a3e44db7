//! The ciphertext blob of a symmetric KMS key, version 1.
//!
//! `version (1) | key id (17) | material id (32) | salt (16) | commitment (32) | nonce (12) | ciphertext | tag (16)`:
//! the envelope with version, key id and material id as its prefix, and the canonical encryption context as
//! associated data. The blob names the key, so Decrypt needs no KeyId.

use claviger_secret::{LogSafe, SecretBytes};

use crate::key_id::KEY_ID_BYTES;
use crate::{CryptoError, EncryptionContext, KeyId, MaterialId, SymmetricMaterial, envelope};

const LABEL: &str = "claviger blob v1";
const VERSION: u8 = 1;
const MATERIAL_ID_BYTES: usize = 32;
const PREFIX_BYTES: usize = 1 + KEY_ID_BYTES + MATERIAL_ID_BYTES;

/// Why a blob does not open. AWS answers all of them but the last alike, and so must we.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlob {
    /// Too short, or with a kind of key id that does not exist.
    #[error("not a ciphertext blob")]
    Malformed,
    /// A format version that this release does not know.
    #[error("the ciphertext blob has format version {0}, which this release does not read")]
    UnknownVersion(u8),
    /// The blob names another key or other key material.
    #[error("the ciphertext blob was made with other key material")]
    OtherMaterial,
    /// Altered, or sealed under another encryption context.
    #[error("the ciphertext blob was altered or has another encryption context")]
    NotAuthentic,
    /// The library refused an operation that cannot fail on these inputs.
    #[error("the cryptographic library failed")]
    LibraryFailed,
}

impl LogSafe for BadBlob {}

/// What a blob says of itself. It is only believed once the blob has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The key that sealed it.
    pub key_id: KeyId,
    /// Which material of that key.
    pub material_id: MaterialId,
}

impl Header {
    /// Reads the head of a blob whose length fits the format.
    ///
    /// # Errors
    /// [`BadBlob::Malformed`] or [`BadBlob::UnknownVersion`].
    pub fn parse(blob: &[u8]) -> Result<Self, BadBlob> {
        let (&version, rest) = blob.split_first().ok_or(BadBlob::Malformed)?;
        if version != VERSION {
            return Err(BadBlob::UnknownVersion(version));
        }
        let (key_id, rest) = rest.split_first_chunk().ok_or(BadBlob::Malformed)?;
        let (material_id, rest) = rest.split_first_chunk().ok_or(BadBlob::Malformed)?;
        if rest.len() < envelope::OVERHEAD_BYTES {
            return Err(BadBlob::Malformed);
        }
        let key_id = KeyId::from_bytes(*key_id).map_err(|_| BadBlob::Malformed)?;
        Ok(Self { key_id, material_id: MaterialId::from_bytes(*material_id) })
    }
}

pub(crate) fn seal(
    material: &SymmetricMaterial,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut prefix = [VERSION; PREFIX_BYTES];
    let [_, rest @ ..] = &mut prefix;
    let (key_id, material_id) = rest.split_at_mut(KEY_ID_BYTES);
    key_id.copy_from_slice(&material.key_id().to_bytes());
    material_id.copy_from_slice(material.material_id().as_bytes());
    envelope::seal(material.secret(), LABEL, &prefix, context.as_bytes(), plaintext)
}

pub(crate) fn open(
    material: &SymmetricMaterial,
    blob: &[u8],
    context: &EncryptionContext,
) -> Result<SecretBytes, BadBlob> {
    let header = Header::parse(blob)?;
    if header != (Header { key_id: material.key_id(), material_id: material.material_id() }) {
        return Err(BadBlob::OtherMaterial);
    }
    let opened = envelope::open(material.secret(), LABEL, PREFIX_BYTES, context.as_bytes(), blob);
    opened.map_err(|error| match error {
        CryptoError::Malformed => BadBlob::Malformed,
        CryptoError::NotAuthentic => BadBlob::NotAuthentic,
        CryptoError::UnknownVersion(version) => BadBlob::UnknownVersion(version),
        CryptoError::RandomFailed
        | CryptoError::LibraryFailed
        | CryptoError::UnknownDomainKey(_)
        | CryptoError::IncompleteDomainKeys
        | CryptoError::TooManyDomainKeys
        | CryptoError::WeakUnsealSecret
        | CryptoError::OtherUnsealKind => BadBlob::LibraryFailed,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use claviger_secret::SecretArray;
    use proptest::prelude::*;

    use super::{BadBlob, Header, PREFIX_BYTES};
    use crate::envelope::OVERHEAD_BYTES;
    use crate::{EncryptionContext, KeyId, SymmetricMaterial};

    fn material() -> SymmetricMaterial {
        let key_id = KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap();
        SymmetricMaterial::from_bytes(key_id, SecretArray::new([3; 32])).unwrap()
    }

    fn opened(material: &SymmetricMaterial, blob: &[u8], context: &EncryptionContext) -> Result<Vec<u8>, BadBlob> {
        material.open(blob, context).map(|plaintext| plaintext.expose().to_vec())
    }

    #[test]
    fn a_blob_names_its_key_and_material() {
        for key_id in ["1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"] {
            let material = SymmetricMaterial::generate(KeyId::parse(key_id).unwrap()).unwrap();
            let context = EncryptionContext::canonical([("purpose", "test")]);
            let blob = material.seal(&context, b"plaintext").unwrap();
            assert_eq!(blob.len(), PREFIX_BYTES + 9 + OVERHEAD_BYTES);
            let header = Header::parse(&blob).unwrap();
            assert_eq!(header.key_id.to_string(), key_id);
            assert_eq!(header.material_id, material.material_id());
            assert_eq!(opened(&material, &blob, &context).unwrap(), b"plaintext");
        }
    }

    #[test]
    fn another_context_does_not_open_it() {
        let material = material();
        let blob = material.seal(&EncryptionContext::canonical([("a", "bc")]), b"plaintext").unwrap();
        for pairs in [&[][..], &[("ab", "c")], &[("a", "bd")], &[("A", "bc")], &[("a", "bc"), ("b", "")]] {
            let context = EncryptionContext::canonical(pairs.iter().copied());
            assert_eq!(opened(&material, &blob, &context), Err(BadBlob::NotAuthentic), "{pairs:?}");
        }
    }

    #[test]
    fn other_material_does_not_open_it() {
        let (one, context) = (material(), EncryptionContext::canonical([]));
        let blob = one.seal(&context, b"plaintext").unwrap();
        let rotated = SymmetricMaterial::generate(one.key_id()).unwrap();
        assert_eq!(opened(&rotated, &blob, &context), Err(BadBlob::OtherMaterial));
        let other_key =
            SymmetricMaterial::from_bytes(KeyId::from_random([1; 16], true), SecretArray::new([3; 32])).unwrap();
        assert_eq!(opened(&other_key, &blob, &context), Err(BadBlob::OtherMaterial));
        // A blob relabelled for the other material reaches the commitment and stops there.
        let mut relabelled = blob;
        relabelled[18..50].copy_from_slice(rotated.material_id().as_bytes());
        assert_eq!(opened(&rotated, &relabelled, &context), Err(BadBlob::NotAuthentic));
    }

    #[test]
    fn every_bit_of_a_blob_matters() {
        let (material, context) = (material(), EncryptionContext::canonical([("purpose", "test")]));
        let blob = material.seal(&context, b"plaintext").unwrap();
        for at in 0..blob.len() * 8 {
            let mut altered = blob.clone();
            altered[at / 8] ^= 1 << (at % 8);
            let expected = match at / 8 {
                0 => BadBlob::UnknownVersion(altered[0]),
                1 if !matches!(altered[1], 1 | 2) => BadBlob::Malformed,
                1..50 => BadBlob::OtherMaterial,
                _ => BadBlob::NotAuthentic,
            };
            assert_eq!(opened(&material, &altered, &context), Err(expected), "bit {at}");
        }
        for length in 0..blob.len() {
            assert!(opened(&material, &blob[..length], &context).is_err(), "length {length}");
        }
        assert_eq!(opened(&material, &[&blob[..], &[0]].concat(), &context), Err(BadBlob::NotAuthentic));
    }

    #[test]
    fn the_empty_plaintext_is_the_shortest_blob() {
        let (material, context) = (material(), EncryptionContext::canonical([]));
        let blob = material.seal(&context, b"").unwrap();
        assert_eq!(blob.len(), PREFIX_BYTES + OVERHEAD_BYTES);
        assert_eq!(opened(&material, &blob, &context).unwrap(), b"");
        assert_eq!(Header::parse(&blob[..blob.len() - 1]), Err(BadBlob::Malformed));
    }

    proptest! {
        #[test]
        fn blobs_round_trip(
            plaintext in proptest::collection::vec(any::<u8>(), 0..4097),
            pairs in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        ) {
            let material = material();
            let context = EncryptionContext::canonical(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            let blob = material.seal(&context, &plaintext).unwrap();
            prop_assert_eq!(opened(&material, &blob, &context).unwrap(), plaintext);
        }

        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
            if fix && let [version, kind, ..] = bytes.as_mut_slice() {
                (*version, *kind) = (1, 1);
            }
            let _ = Header::parse(&bytes);
            prop_assert!(material().open(&bytes, &EncryptionContext::canonical([])).is_err());
        }
    }
}
