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
