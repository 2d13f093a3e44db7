//! The key id of a KMS key, as text and as the 17 bytes that a blob holds.

use std::fmt;

use claviger_secret::LogSafe;

/// How many bytes the binary form has: a kind and 16 bytes.
pub(crate) const KEY_ID_BYTES: usize = 17;

const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const MULTI_REGION_PREFIX: &str = "mrk-";

/// The id of a KMS key: a UUID (`1234abcd-12ab-34cd-56ef-1234567890ab`), or for a multi-Region key `mrk-` and 32
/// hexadecimal digits. Lower case only: one id has one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    kind: Kind,
    bytes: [u8; 16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    SingleRegion = 1,
    MultiRegion = 2,
}

/// The text has neither form of a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key id")]
pub struct BadKeyId;

impl KeyId {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`BadKeyId`] for everything else, upper case included.
    pub fn parse(text: &str) -> Result<Self, BadKeyId> {
        if let Some(digits) = text.strip_prefix(MULTI_REGION_PREFIX) {
            return Ok(Self { kind: Kind::MultiRegion, bytes: hexadecimal(digits.bytes())? });
        }
        let hyphen_at = |at: usize| text.as_bytes().get(at) == Some(&b'-');
        if text.len() != 36 || !HYPHENS.into_iter().all(hyphen_at) {
            return Err(BadKeyId);
        }
        Ok(Self { kind: Kind::SingleRegion, bytes: hexadecimal(text.bytes().filter(|byte| *byte != b'-'))? })
    }

    /// An id from 16 random bytes: a UUID of version 4, or a multi-Region id.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16], multi_region: bool) -> Self {
        if multi_region {
            return Self { kind: Kind::MultiRegion, bytes };
        }
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        Self { kind: Kind::SingleRegion, bytes }
    }

    /// Whether it is the id of a multi-Region key.
    #[must_use]
    pub const fn is_multi_region(&self) -> bool {
        matches!(self.kind, Kind::MultiRegion)
    }

    pub(crate) fn to_bytes(self) -> [u8; KEY_ID_BYTES] {
        let mut out = [0; KEY_ID_BYTES];
        let [kind, rest @ ..] = &mut out;
        *kind = self.kind as u8;
        *rest = self.bytes;
        out
    }

    pub(crate) const fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Result<Self, BadKeyId> {
        let [kind, bytes @ ..] = bytes;
        match kind {
            1 => Ok(Self { kind: Kind::SingleRegion, bytes }),
            2 => Ok(Self { kind: Kind::MultiRegion, bytes }),
            _ => Err(BadKeyId),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_multi_region() {
            formatter.write_str(MULTI_REGION_PREFIX)?;
            return write_hexadecimal(formatter, &self.bytes);
        }
        let (first, rest) = self.bytes.split_at(4);
        write_hexadecimal(formatter, first)?;
        let (pairs, last) = rest.split_at(6);
        for pair in pairs.chunks(2) {
            formatter.write_str("-")?;
            write_hexadecimal(formatter, pair)?;
        }
        formatter.write_str("-")?;
        write_hexadecimal(formatter, last)
    }
}

impl LogSafe for KeyId {}

/// Lower-case hexadecimal digits of at most 32 bytes at once: ids are shown in every call, and formatting each byte by
/// itself costs more than the cryptography that the call is about.
pub(crate) fn write_hexadecimal(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for part in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&[digit_of(byte >> 4), digit_of(byte & 15)]);
        }
        let digits = digits.get(..part.len().saturating_mul(2)).unwrap_or_default();
        formatter.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

const fn digit_of(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' - 10 + nibble,
    }
}

/// Exactly `N` bytes from exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn hexadecimal<const N: usize>(mut digits: impl Iterator<Item = u8>) -> Result<[u8; N], BadKeyId> {
    let mut out = [0; N];
    for byte in &mut out {
        *byte = (digit(digits.next())? << 4) | digit(digits.next())?;
    }
    if digits.next().is_some() { Err(BadKeyId) } else { Ok(out) }
}

fn digit(character: Option<u8>) -> Result<u8, BadKeyId> {
    match character {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        _ => Err(BadKeyId),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::KeyId;

    #[test]
    fn both_forms_and_nothing_else() {
        let single = KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap();
        let multi = KeyId::parse("mrk-1234abcd12ab34cd56ef1234567890ab").unwrap();
        assert!(!single.is_multi_region() && multi.is_multi_region());
        assert_eq!(single.bytes, multi.bytes);
        assert_ne!(single.to_bytes(), multi.to_bytes());
        for bad in [
            "",
            "mrk-",
            "mrk-1234abcd12ab34cd56ef1234567890a",
            "mrk-1234abcd12ab34cd56ef1234567890abc",
            "mrk-1234abcd-12ab-34cd-56ef-1234567890ab",
            "MRK-1234abcd12ab34cd56ef1234567890ab",
            "1234abcd12ab34cd56ef1234567890ab",
            "1234ABCD-12ab-34cd-56ef-1234567890ab",
            "1234abcd-12ab-34cd-56ef-1234567890a",
            "1234abcd-12ab-34cd-56ef-1234567890-b",
            "1234abcd-12ab-34cd-56ef-1234567890ag",
            "1234abc-d12ab-34cd-56ef-1234567890ab",
            "1234abcd_12ab-34cd-56ef-1234567890ab",
            "1234abcd-12ab-34cd-56ef-1234567890é",
            "-234abcd-12ab-34cd-56ef-1234567890abc",
        ] {
            assert!(KeyId::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_round_trip(bytes in any::<[u8; 16]>(), multi_region in any::<bool>()) {
            let id = KeyId::from_random(bytes, multi_region);
            prop_assert_eq!(id.is_multi_region(), multi_region);
            prop_assert_eq!(KeyId::parse(&id.to_string()), Ok(id));
            prop_assert_eq!(KeyId::from_bytes(id.to_bytes()), Ok(id));
            prop_assert!(multi_region || id.to_string().as_bytes().get(14) == Some(&b'4'));
        }

        #[test]
        fn whatever_parses_prints_the_same(text in "(mrk-)?[0-9a-f-]{30,37}") {
            if let Ok(id) = KeyId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn other_kinds_are_refused(bytes in any::<[u8; 17]>()) {
            let known = matches!(bytes.first(), Some(1 | 2));
            prop_assert_eq!(KeyId::from_bytes(bytes).is_ok(), known);
        }
    }
}
