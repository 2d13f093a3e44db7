//! Domain keys: the ring of versioned keys that seal stored records and key material.

use std::sync::Arc;

use claviger_secret::{SecretArray, SecretBytes};

use crate::context::push_with_length;
use crate::{CryptoError, MacKey, RootKey, envelope, kdf, random};

/// The most versions a ring holds: a rotation a day for more than ten years.
pub const DOMAIN_KEY_VERSIONS_MAX: u32 = 4096;

const KEY_LABEL: &str = "claviger domain key v1";
const RECORD_LABEL: &str = "claviger record v1";
const MAC_KEY_LABEL: &str = "claviger mac key v1";
const FORMAT: u8 = 1;
/// Format version and domain key version, in a wrapped key as in a record.
const PREFIX_BYTES: usize = 5;

/// Every version of the domain key, the newest last.
///
/// A new version seals from then on; the older ones are kept, since what they sealed must open. A ring does not
/// change: [`DomainKeys::with_new_version`] makes the next one, so that readers keep theirs without a lock.
pub struct DomainKeys {
    // INVARIANT (versions): version `n` is at index `n - 1`, and there is at least version 1. Established by
    // `generate` and `unwrap`, kept by `with_new_version`.
    first: Arc<SecretArray<32>>,
    later: Vec<Arc<SecretArray<32>>>,
}

impl DomainKeys {
    /// A ring with a new version 1.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`].
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self { first: new_key()?, later: Vec::new() })
    }

    /// The ring with one more version, which becomes the current one. Store it wrapped before it seals anything.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`], or [`CryptoError::TooManyDomainKeys`] at [`DOMAIN_KEY_VERSIONS_MAX`].
    pub fn with_new_version(&self) -> Result<Self, CryptoError> {
        if self.current() >= DOMAIN_KEY_VERSIONS_MAX {
            return Err(CryptoError::TooManyDomainKeys);
        }
        let mut later = self.later.clone();
        later.push(new_key()?);
        Ok(Self { first: Arc::clone(&self.first), later })
    }

    /// The version that seals; the versions run from 1 to it.
    #[must_use]
    pub fn current(&self) -> u32 {
        // At most `DOMAIN_KEY_VERSIONS_MAX`, so the conversion does not fail.
        u32::try_from(self.later.len()).unwrap_or(DOMAIN_KEY_VERSIONS_MAX).saturating_add(1)
    }

    /// One version wrapped under the root key, for storing. Rotating the root key wraps all versions anew.
    ///
    /// # Errors
    /// [`CryptoError::UnknownDomainKey`], or a failure of the library.
    pub fn wrap(&self, root: &RootKey, version: u32) -> Result<Vec<u8>, CryptoError> {
        let key = self.key(version)?;
        envelope::seal(root.secret(), KEY_LABEL, &prefix(version), &[], key.expose())
    }

    /// The ring from all its wrapped versions, in any order.
    ///
    /// # Errors
    /// [`CryptoError::IncompleteDomainKeys`] unless they are versions 1 to n, each once;
    /// [`CryptoError::TooManyDomainKeys`]; [`CryptoError::NotAuthentic`] under another root key.
    pub fn unwrap<'wrapped>(
        root: &RootKey,
        wrapped: impl IntoIterator<Item = &'wrapped [u8]>,
    ) -> Result<Self, CryptoError> {
        let mut keys = Vec::new();
        for (wrapped, _) in wrapped.into_iter().zip(0..=DOMAIN_KEY_VERSIONS_MAX) {
            let version = version_of(wrapped)?;
            let key = envelope::open(root.secret(), KEY_LABEL, PREFIX_BYTES, &[], wrapped)?;
            let key = SecretArray::from_slice(key.expose()).ok_or(CryptoError::Malformed)?;
            keys.push((version, Arc::new(key)));
        }
        keys.sort_unstable_by_key(|(version, _)| *version);
        if keys.iter().map(|(version, _)| *version).ne((1..).take(keys.len())) {
            return Err(CryptoError::IncompleteDomainKeys);
        }
        let mut keys = keys.into_iter().map(|(_, key)| key);
        let first = keys.next().ok_or(CryptoError::IncompleteDomainKeys)?;
        let ring = Self { first, later: keys.collect() };
        if ring.current() > DOMAIN_KEY_VERSIONS_MAX {
            return Err(CryptoError::TooManyDomainKeys);
        }
        Ok(ring)
    }

    /// Seals bytes for storing, with the current version, bound to what they are for and to where they belong.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn seal(&self, purpose: &'static str, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let version = self.current();
        let bound = bound(purpose, associated);
        envelope::seal(self.key(version)?.expose(), RECORD_LABEL, &prefix(version), &bound, plaintext)
    }

    /// Opens what [`DomainKeys::seal`] of this ring, or of an earlier state of it, sealed for the same purpose and
    /// place.
    ///
    /// # Errors
    /// [`CryptoError::NotAuthentic`] when altered, moved or sealed under other keys; [`CryptoError::UnknownDomainKey`],
    /// [`CryptoError::UnknownVersion`] and [`CryptoError::Malformed`] for what this ring never sealed.
    pub fn open(&self, purpose: &'static str, associated: &[u8], sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        let key = self.key(version_of(sealed)?)?;
        envelope::open(key.expose(), RECORD_LABEL, PREFIX_BYTES, &bound(purpose, associated), sealed)
    }

    /// A MAC key for one purpose, derived from version 1, so that it is the same for the ring's whole life.
    ///
    /// # Errors
    /// [`CryptoError::LibraryFailed`].
    pub fn mac_key(&self, purpose: &'static str) -> Result<MacKey, CryptoError> {
        let mut key = SecretArray::zeroed();
        kdf(self.first.expose(), MAC_KEY_LABEL, purpose.as_bytes(), key.expose_mut())?;
        Ok(MacKey::new(&key))
    }

    fn key(&self, version: u32) -> Result<&SecretArray<32>, CryptoError> {
        let unknown = CryptoError::UnknownDomainKey(version);
        let key = match version.checked_sub(2) {
            None if version == 1 => Some(&self.first),
            None => None,
            Some(index) => usize::try_from(index).ok().and_then(|index| self.later.get(index)),
        };
        key.map(Arc::as_ref).ok_or(unknown)
    }
}

fn new_key() -> Result<Arc<SecretArray<32>>, CryptoError> {
    let mut key = SecretArray::zeroed();
    random::fill(key.expose_mut())?;
    Ok(Arc::new(key))
}

fn prefix(version: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = version.to_be_bytes();
    [FORMAT, a, b, c, d]
}

fn version_of(sealed: &[u8]) -> Result<u32, CryptoError> {
    let (&format, rest) = sealed.split_first().ok_or(CryptoError::Malformed)?;
    if format != FORMAT {
        return Err(CryptoError::UnknownVersion(format));
    }
    let (version, _) = rest.split_first_chunk().ok_or(CryptoError::Malformed)?;
    Ok(u32::from_be_bytes(*version))
}

/// Purpose and associated data with their lengths, so that neither runs into the other.
fn bound(purpose: &'static str, associated: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(purpose.len() + associated.len() + 16);
    push_with_length(&mut bytes, purpose.as_bytes());
    push_with_length(&mut bytes, associated);
    bytes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::fmt::Debug;

    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::{DOMAIN_KEY_VERSIONS_MAX, DomainKeys, PREFIX_BYTES};
    use crate::envelope::OVERHEAD_BYTES;
    use crate::{CryptoError, RootKey};

    assert_not_impl_any!(DomainKeys: Debug, Clone, PartialEq);

    fn opened(keys: &DomainKeys, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        keys.open("test v1", associated, sealed).map(|plaintext| plaintext.expose().to_vec())
    }

    fn unwrapped(root: &RootKey, wrapped: &[Vec<u8>]) -> Result<DomainKeys, CryptoError> {
        DomainKeys::unwrap(root, wrapped.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_ring_survives_wrapping_in_any_order() {
        let root = RootKey::generate().unwrap();
        let one = DomainKeys::generate().unwrap();
        let three = one.with_new_version().unwrap().with_new_version().unwrap();
        assert_eq!((one.current(), three.current()), (1, 3));
        let sealed = three.seal("test v1", b"place", b"plaintext").unwrap();
        let mut wrapped: Vec<_> = (1..=3).map(|version| three.wrap(&root, version).unwrap()).collect();
        wrapped.rotate_left(1);
        let again = unwrapped(&root, &wrapped).unwrap();
        assert_eq!(again.current(), 3);
        assert_eq!(opened(&again, b"place", &sealed).unwrap(), b"plaintext");
        assert_eq!(opened(&again, b"place", &one.seal("test v1", b"place", b"old").unwrap()).unwrap(), b"old");
        let mac = |keys: &DomainKeys| keys.mac_key("mac v1").unwrap().sign(b"data");
        assert_eq!(mac(&one), mac(&again));
        assert_ne!(mac(&one), one.mac_key("mac v2").unwrap().sign(b"data"));
    }

    #[test]
    fn an_incomplete_or_foreign_ring_is_refused() {
        let root = RootKey::generate().unwrap();
        let keys = DomainKeys::generate().unwrap().with_new_version().unwrap().with_new_version().unwrap();
        let wrapped: Vec<_> = (1..=3).map(|version| keys.wrap(&root, version).unwrap()).collect();
        let refused = |wrapped: &[Vec<u8>]| unwrapped(&root, wrapped).err().unwrap();
        assert_eq!(refused(&[]), CryptoError::IncompleteDomainKeys);
        assert_eq!(refused(&wrapped[1..]), CryptoError::IncompleteDomainKeys);
        assert_eq!(refused(&[wrapped[0].clone(), wrapped[2].clone()]), CryptoError::IncompleteDomainKeys);
        assert_eq!(refused(&[wrapped[0].clone(), wrapped[0].clone()]), CryptoError::IncompleteDomainKeys);
        assert_eq!(unwrapped(&RootKey::generate().unwrap(), &wrapped).err(), Some(CryptoError::NotAuthentic));
        assert_eq!(keys.wrap(&root, 0).unwrap_err(), CryptoError::UnknownDomainKey(0));
        assert_eq!(keys.wrap(&root, 4).unwrap_err(), CryptoError::UnknownDomainKey(4));
        for at in 0..wrapped[0].len() {
            let mut altered = wrapped.clone();
            altered[0][at] ^= 1;
            assert!(unwrapped(&root, &altered).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_number_of_versions_is_bounded() {
        let root = RootKey::generate().unwrap();
        let mut keys = DomainKeys::generate().unwrap();
        while keys.current() < DOMAIN_KEY_VERSIONS_MAX {
            keys.later.push(std::sync::Arc::clone(&keys.first));
        }
        assert_eq!(keys.with_new_version().err(), Some(CryptoError::TooManyDomainKeys));
        let mut wrapped: Vec<_> = (1..=keys.current()).map(|version| keys.wrap(&root, version).unwrap()).collect();
        assert_eq!(unwrapped(&root, &wrapped).unwrap().current(), DOMAIN_KEY_VERSIONS_MAX);
        keys.later.push(std::sync::Arc::clone(&keys.first));
        wrapped.push(keys.wrap(&root, DOMAIN_KEY_VERSIONS_MAX + 1).unwrap());
        assert_eq!(unwrapped(&root, &wrapped).err(), Some(CryptoError::TooManyDomainKeys));
    }

    #[test]
    fn a_record_is_bound_to_every_byte_purpose_and_place() {
        let keys = DomainKeys::generate().unwrap().with_new_version().unwrap();
        let sealed = keys.seal("test v1", b"place", b"plaintext").unwrap();
        assert_eq!(sealed.len(), PREFIX_BYTES + 9 + OVERHEAD_BYTES);
        assert_eq!(sealed[..5], [1, 0, 0, 0, 2]);
        assert_eq!(opened(&keys, b"place", &sealed).unwrap(), b"plaintext");
        assert_eq!(opened(&keys, b"elsewhere", &sealed), Err(CryptoError::NotAuthentic));
        assert!(keys.open("test v2", b"place", &sealed).is_err());
        assert!(keys.open("test v", b"1place", &sealed).is_err());
        for at in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[at / 8] ^= 1 << (at % 8);
            assert!(opened(&keys, b"place", &altered).is_err(), "bit {at}");
        }
        let mut renamed = sealed.clone();
        renamed[4] = 3;
        assert_eq!(opened(&keys, b"place", &renamed), Err(CryptoError::UnknownDomainKey(3)));
        renamed[4] = 1;
        assert_eq!(opened(&keys, b"place", &renamed), Err(CryptoError::NotAuthentic));
        renamed[0] = 2;
        assert_eq!(opened(&keys, b"place", &renamed), Err(CryptoError::UnknownVersion(2)));
        for length in 0..sealed.len() {
            assert!(opened(&keys, b"place", &sealed[..length]).is_err(), "length {length}");
        }
    }

    proptest! {
        #[test]
        fn records_round_trip(
            associated in proptest::collection::vec(any::<u8>(), 0..40),
            plaintext in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let keys = DomainKeys::generate().unwrap();
            let sealed = keys.seal("test v1", &associated, &plaintext).unwrap();
            prop_assert_eq!(opened(&keys, &associated, &sealed).unwrap(), plaintext);
        }
    }
}
