//! Row keys, and the wrapping that makes a row's value unreadable, unalterable and immovable.
//!
//! A stored value is `1 | number (64 bits) | sealed bytes`: the sealed bytes are bound to the row's key and to the
//! number, which is the engine's own count of commits and so is never used twice, not even by a row that was
//! deleted and made again. Which numbers are live is kept by [`crate::integrity`].

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use claviger_crypto::DomainKeys;
use claviger_store::Revision;

use crate::Fault;
use crate::codec::{BadRecord, Reader, Writer};

const ROW_FORMAT: u8 = 1;
const ROW_PURPOSE: &str = "claviger record v1";

/// The name of a row: `kind/entity/rest`. Kind and entity hold no slash; the rest may be anything.
///
/// Rows of one entity are guarded together (see [`crate::integrity`]), so a key's rows name the key as entity.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RowKey(Bytes);

impl RowKey {
    /// The row `kind/entity/rest`.
    #[must_use]
    pub fn new(kind: &'static str, entity: &str, rest: &str) -> Self {
        let mut bytes = Vec::with_capacity(kind.len() + entity.len() + rest.len() + 2);
        bytes.extend_from_slice(kind.as_bytes());
        bytes.push(b'/');
        bytes.extend(entity.bytes().filter(|byte| *byte != b'/'));
        bytes.push(b'/');
        bytes.extend_from_slice(rest.as_bytes());
        Self(bytes.into())
    }

    /// A key as the store gave it.
    #[must_use]
    pub const fn from_store(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes that the store orders by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// What stands behind `kind/entity/`; empty when the key has no such form.
    #[must_use]
    pub fn rest(&self) -> &str {
        let mut parts = self.0.splitn(3, |byte| *byte == b'/');
        parts.nth(2).and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default()
    }

    /// `kind/entity`: rows that share it are guarded together.
    pub(crate) fn entity(&self) -> &[u8] {
        let second = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(1).map(|(at, _)| at);
        second.and_then(|at| self.0.get(..at)).unwrap_or(&self.0)
    }

    /// The key as text for the log; row keys are identifiers and names, never secrets.
    #[must_use]
    pub fn printable(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// Which version of a row was read: absent, or the store's revision and the engine's number of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// There was no such row.
    Absent,
    /// The row as of this revision.
    At {
        /// The store's revision that wrote it.
        revision: Revision,
        /// The engine's number inside the wrapping.
        number: u64,
    },
}

/// A kind of stored record. Formats are kept readable for ever: a decoder meets every older version.
pub trait Record: Any + Send + Sync + Sized {
    /// The bytes, which the engine wraps. Key material inside is wrapped by `keys` first.
    ///
    /// # Errors
    /// A [`Fault`] when wrapping fails.
    fn encode(&self, keys: &DomainKeys) -> Result<Vec<u8>, Fault>;

    /// The record from its bytes.
    ///
    /// # Errors
    /// [`BadRecord`] for anything that `encode` of this or an older version does not write.
    fn decode(bytes: &[u8], keys: &DomainKeys) -> Result<Self, BadRecord>;
}

/// One record as it was read.
pub struct Row<R> {
    /// The record.
    pub record: Arc<R>,
    /// Which version of it.
    pub seen: Seen,
}

impl<R> Clone for Row<R> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), seen: self.seen }
    }
}

fn associated(key: &RowKey, number: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(key.as_bytes());
    writer.u64(number);
    writer.finish()
}

pub(crate) fn wrap(keys: &DomainKeys, key: &RowKey, number: u64, plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let sealed = keys.seal(ROW_PURPOSE, &associated(key, number), plain)?;
    let mut value = Vec::with_capacity(sealed.len() + 9);
    value.push(ROW_FORMAT);
    value.extend_from_slice(&number.to_be_bytes());
    value.extend_from_slice(&sealed);
    Ok(value)
}

/// The number in a wrapped value's clear head. It is only believed once the value opened under it.
pub(crate) fn claimed_number(value: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(value);
    (reader.u8().ok()? == ROW_FORMAT).then_some(())?;
    reader.u64().ok()
}

pub(crate) fn unwrap(
    keys: &DomainKeys,
    key: &RowKey,
    value: &[u8],
) -> Result<(u64, claviger_secret::SecretBytes), Fault> {
    let altered = || Fault::RowAltered(key.printable());
    let number = claimed_number(value).ok_or_else(altered)?;
    let sealed = value.get(9..).ok_or_else(altered)?;
    let plain = keys.open(ROW_PURPOSE, &associated(key, number), sealed).map_err(|_| altered())?;
    Ok((number, plain))
}

pub(crate) fn decode<R: Record>(keys: &DomainKeys, key: &RowKey, value: &[u8]) -> Result<(u64, R), Fault> {
    let (number, plain) = unwrap(keys, key, value)?;
    let record = R::decode(plain.expose(), keys).map_err(|_| Fault::RecordMalformed(key.printable()))?;
    Ok((number, record))
}

/// Rows that were stored once, and must open for ever. `testdata/golden` holds them as hexadecimal digits.
#[cfg(test)]
pub(crate) mod golden {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use claviger_crypto::{DomainKeys, UnsealSecret, unwrap_root};
    use claviger_secret::SecretBytes;

    use crate::codec::Reader;

    fn path(name: &str) -> String {
        format!("{}/testdata/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"))
    }

    pub(crate) fn file(name: &str) -> Vec<u8> {
        hex::decode(std::fs::read_to_string(path(name)).unwrap().trim()).unwrap()
    }

    pub(crate) fn secret() -> UnsealSecret {
        UnsealSecret::file(SecretBytes::from_slice(b"golden unseal secret, 32 bytes..")).unwrap()
    }

    /// The domain keys in `deployment.hex`.
    pub(crate) fn keys() -> Arc<DomainKeys> {
        let row = file("deployment");
        let (mut reader, _) = Reader::record(&row, "deployment", 1).unwrap();
        let root = unwrap_root(reader.bytes().unwrap(), &secret()).unwrap();
        Arc::new(DomainKeys::unwrap(&root, reader.list(Reader::bytes).unwrap()).unwrap())
    }

    /// Makes the files that are not there. Never run in CI: a file that is gone must fail the tests.
    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        use claviger_store::Store as _;
        std::fs::create_dir_all(format!("{}/testdata/golden", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let keep = |name: &str, bytes: &[u8]| {
            if !std::path::Path::new(&path(name)).exists() {
                std::fs::write(path(name), hex::encode(bytes) + "\n").unwrap();
            }
        };
        let store = claviger_store::Memory::new();
        crate::Deployment::initialise(&store, &secret()).await.unwrap();
        let row = store.snapshot().await.unwrap().get(b"deployment/keys").await.unwrap().unwrap();
        keep("deployment", &row.value);
        let key = crate::RowKey::new("key", "eu-central-1.id", "facts");
        keep("row", &super::wrap(&keys(), &key, 7, b"what the row holds").unwrap());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn key() -> RowKey {
        RowKey::new("key", "eu-central-1.id", "facts")
    }

    #[test]
    fn a_stored_row_opens_for_ever() {
        let (number, plain) = unwrap(&golden::keys(), &key(), &golden::file("row")).unwrap();
        assert_eq!((number, plain.expose()), (7, &b"what the row holds"[..]));
    }

    #[test]
    fn every_byte_of_a_row_is_guarded() {
        let (keys, row) = (golden::keys(), golden::file("row"));
        for at in 0..row.len() {
            for bit in [0x01, 0x80] {
                let mut changed = row.clone();
                *changed.get_mut(at).unwrap() ^= bit;
                let refused = unwrap(&keys, &key(), &changed).map(drop);
                assert_eq!(refused, Err(Fault::RowAltered("key/eu-central-1.id/facts".to_owned())), "byte {at}");
            }
            assert!(unwrap(&keys, &key(), row.get(..at).unwrap()).is_err(), "cut at {at}");
        }
        assert!(unwrap(&keys, &key(), &[&row[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_row_opens_under_its_own_key_and_number_only() {
        let (keys, row) = (golden::keys(), golden::file("row"));
        for other in [RowKey::new("key", "eu-central-1.id", "fact"), RowKey::new("key", "eu-central-1.i", "facts")] {
            assert!(unwrap(&keys, &other, &row).is_err());
        }
        let other = DomainKeys::generate().unwrap();
        assert!(unwrap(&other, &key(), &row).is_err(), "another deployment's keys");
    }

    #[test]
    fn parts_of_a_key() {
        let key = RowKey::new("alias", "eu-central-1.111122223333", "alias/a/b");
        assert_eq!(key.rest(), "alias/a/b");
        assert_eq!(key.entity(), b"alias/eu-central-1.111122223333");
        assert_eq!(RowKey::new("a", "b/c", "d"), RowKey::new("a", "bc", "d"), "an entity holds no slash");
        assert_eq!(RowKey::from_store(Bytes::from_static(b"no slash")).rest(), "");
        assert_eq!(RowKey::from_store(Bytes::from_static(b"no slash")).entity(), b"no slash");
        assert_eq!(RowKey::from_store(Bytes::from_static(b"a/b/\xff")).rest(), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn rows_come_back(entity in "[a-z0-9.-]{0,20}", rest in ".{0,20}", number: u64, plain: Vec<u8>) {
            let (keys, key) = (golden::keys(), RowKey::new("kind", &entity, &rest));
            let (found, opened) = unwrap(&keys, &key, &wrap(&keys, &key, number, &plain).unwrap()).unwrap();
            prop_assert_eq!(found, number);
            prop_assert_eq!(opened.expose(), &plain[..]);
            prop_assert_eq!(key.rest(), &rest);
        }

        #[test]
        fn any_bytes_are_refused_quietly(bytes: Vec<u8>) {
            prop_assert!(unwrap(&golden::keys(), &key(), &bytes).is_err());
        }
    }
}
