//! The bytes of stored records: versioned, length-prefixed, wholly consumed.
//!
//! Integers are big-endian; text and bytes carry a 32-bit length; an option is a byte 0 or 1. A record starts
//! with its kind's name and a version byte, so that a dump can be read without knowing where a row came from.

use claviger_crypto::Zeroizing;
use claviger_secret::SecretBytes;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a record of the kind and versions that are known here")]
pub struct BadRecord;

/// What most records fit into, in bytes.
const ROOM: usize = 256;

/// Builds the bytes of one record. Records may hold secrets: buffers that were outgrown, and one that is dropped, are
/// wiped.
#[derive(Default)]
pub struct Writer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Writer {
    /// Starts a record of this kind and version.
    #[must_use]
    pub fn record(kind: &'static str, version: u8) -> Self {
        let mut writer = Self::default();
        writer.text(kind);
        writer.u8(version);
        writer
    }

    /// Every byte comes through here: a vector that grows by itself leaves its old buffer unwiped.
    fn push(&mut self, more: &[u8]) {
        let length = self.bytes.len().saturating_add(more.len());
        if length > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(length.max(self.bytes.capacity().saturating_mul(2)).max(ROOM));
            larger.extend_from_slice(&self.bytes);
            self.bytes = Zeroizing::new(larger);
        }
        self.bytes.extend_from_slice(more);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.push(&[value]);
    }

    /// 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.push(&value.to_be_bytes());
    }

    /// 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.push(&value.to_be_bytes());
    }

    /// 64 bits with a sign.
    pub fn i64(&mut self, value: i64) {
        self.push(&value.to_be_bytes());
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.push(value);
    }

    /// Length-prefixed UTF-8.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// An optional value, written by `write` when it is there.
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }

    /// A list with its length in 32 bits.
    pub fn list<T>(&mut self, values: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for value in values {
            write(self, value);
        }
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The bytes written, with secrets among them.
    #[must_use]
    pub fn finish_secret(self) -> SecretBytes {
        SecretBytes::new(self.finish())
    }
}

/// Reads the bytes of one record.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads bytes that carry no record head.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Opens a record of this kind; gives its version, which is at most `newest`.
    ///
    /// # Errors
    /// [`BadRecord`] for another kind or a newer version.
    pub fn record(bytes: &'a [u8], kind: &'static str, newest: u8) -> Result<(Self, u8), BadRecord> {
        let mut reader = Self::new(bytes);
        if reader.text()? != kind {
            return Err(BadRecord);
        }
        let version = reader.u8()?;
        if version == 0 || version > newest { Err(BadRecord) } else { Ok((reader, version)) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BadRecord> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or(BadRecord)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        self.take(N)?.try_into().map_err(|_| BadRecord)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`BadRecord`] when the bytes end early; so for every reader below.
    pub fn u8(&mut self) -> Result<u8, BadRecord> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// 32 bits.
    ///
    /// # Errors
    /// As [`Reader::u8`].
    pub fn u32(&mut self) -> Result<u32, BadRecord> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// 64 bits.
    ///
    /// # Errors
    /// As [`Reader::u8`].
    pub fn u64(&mut self) -> Result<u64, BadRecord> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// 64 bits with a sign.
    ///
    /// # Errors
    /// As [`Reader::u8`].
    pub fn i64(&mut self) -> Result<i64, BadRecord> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A truth value; only 0 and 1 are.
    ///
    /// # Errors
    /// As [`Reader::u8`], and for any other byte.
    pub fn bool(&mut self) -> Result<bool, BadRecord> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadRecord),
        }
    }

    /// Length-prefixed bytes.
    ///
    /// # Errors
    /// As [`Reader::u8`].
    pub fn bytes(&mut self) -> Result<&'a [u8], BadRecord> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| BadRecord)?)
    }

    /// Length-prefixed UTF-8.
    ///
    /// # Errors
    /// As [`Reader::u8`], and for bytes that are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, BadRecord> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadRecord)
    }

    /// An optional value.
    ///
    /// # Errors
    /// As [`Reader::bool`], and what `read` gives.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, BadRecord>) -> Result<Option<T>, BadRecord> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list; its items are read one by one, so a false length cannot make it allocate.
    ///
    /// # Errors
    /// As [`Reader::u8`], and what `read` gives.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, BadRecord>) -> Result<Vec<T>, BadRecord> {
        let length = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Demands that every byte was read.
    ///
    /// # Errors
    /// [`BadRecord`] when bytes are left.
    pub const fn end(&self) -> Result<(), BadRecord> {
        if self.rest.is_empty() { Ok(()) } else { Err(BadRecord) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    type Fields = (u8, u32, u64, i64, bool, Vec<u8>, String, Option<String>, Vec<u64>);

    fn write(fields: &Fields) -> Vec<u8> {
        let mut writer = Writer::record("kind", 2);
        writer.u8(fields.0);
        writer.u32(fields.1);
        writer.u64(fields.2);
        writer.i64(fields.3);
        writer.bool(fields.4);
        writer.bytes(&fields.5);
        writer.text(&fields.6);
        writer.option(fields.7.as_ref(), |writer, text| writer.text(text));
        writer.list(fields.8.iter(), |writer, number| writer.u64(*number));
        writer.finish()
    }

    fn read(bytes: &[u8]) -> Result<Fields, BadRecord> {
        let (mut reader, version) = Reader::record(bytes, "kind", 3)?;
        assert!((1..=3).contains(&version));
        let fields = (
            reader.u8()?,
            reader.u32()?,
            reader.u64()?,
            reader.i64()?,
            reader.bool()?,
            reader.bytes()?.to_vec(),
            reader.text()?.to_owned(),
            reader.option(|reader| reader.text().map(str::to_owned))?,
            reader.list(Reader::u64)?,
        );
        reader.end()?;
        Ok(fields)
    }

    #[test]
    fn the_bytes_are_these() {
        let fields = (1, 2, 3, -1, true, vec![9], "é".to_owned(), Some("x".to_owned()), vec![4]);
        let expected = "000000046b696e64020100000002\
                        0000000000000003ffffffffffffffff01\
                        000000010900000002c3a9010000000178000000010000000000000004";
        assert_eq!(hex::encode(write(&fields)), expected);
    }

    #[test]
    fn a_writer_keeps_what_it_holds_when_it_grows() {
        for length in [0, 1, ROOM - 5, ROOM - 4, ROOM - 3, ROOM, 10 * ROOM] {
            let (mut writer, value) = (Writer::default(), vec![7; length]);
            writer.bytes(&value);
            writer.u8(9);
            assert!(writer.bytes.capacity() >= ROOM);
            let secret = writer.finish_secret();
            let mut reader = Reader::new(secret.expose());
            assert_eq!((reader.bytes(), reader.u8(), reader.end()), (Ok(&value[..]), Ok(9), Ok(())), "{length}");
        }
    }

    #[test]
    fn another_kind_or_a_newer_version_is_refused() {
        let bytes = Writer::record("kind", 2).finish();
        assert_eq!(Reader::record(&bytes, "kind", 2).map(|(_, version)| version), Ok(2));
        assert_eq!(Reader::record(&bytes, "kind", 1).map(drop), Err(BadRecord));
        assert_eq!(Reader::record(&bytes, "kin", 2).map(drop), Err(BadRecord));
        assert_eq!(Reader::record(&Writer::record("kind", 0).finish(), "kind", 2).map(drop), Err(BadRecord));
    }

    #[test]
    fn a_false_length_allocates_nothing() {
        let mut writer = Writer::default();
        writer.u32(u32::MAX);
        let bytes = writer.finish();
        assert_eq!(Reader::new(&bytes).list(Reader::u64), Err(BadRecord));
        assert_eq!(Reader::new(&bytes).bytes(), Err(BadRecord));
    }

    #[test]
    fn only_0_and_1_are_truth_values() {
        assert_eq!(Reader::new(&[2]).bool(), Err(BadRecord));
        assert_eq!(Reader::new(&[2, 0]).option(Reader::u8), Err(BadRecord));
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff]).text(), Err(BadRecord));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields: Fields) {
            let bytes = write(&fields);
            prop_assert_eq!(read(&bytes), Ok(fields));
        }

        #[test]
        fn different_fields_have_different_bytes(one: Fields, other: Fields) {
            prop_assert_eq!(write(&one) == write(&other), one == other);
        }

        #[test]
        fn a_cut_or_longer_record_is_refused(fields: Fields, cut: proptest::sample::Index, more in 1_usize..5) {
            let bytes = write(&fields);
            prop_assert_eq!(read(bytes.get(..cut.index(bytes.len())).unwrap()), Err(BadRecord));
            prop_assert_eq!(read(&[bytes, vec![0; more]].concat()), Err(BadRecord));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            let mut record = Writer::record("kind", 1).finish();
            record.append(&mut bytes);
            if let Ok(fields) = read(&record) {
                let again = write(&fields);
                prop_assert_eq!(again.get(9..), record.get(9..), "one encoding for each value");
            }
        }
    }
}
