//! One line of the log: its bytes, its hash, its signature. Writer, recovery and verifier share this file, so that
//! there is one idea of what a line is.

use std::fmt;
use std::io::Write as _;

use claviger_crypto::sha256;
use claviger_secret::LogSafe;

use crate::event::RECORD_BYTES_MAX;

/// What an entry's hash covers, before its previous hash, its sequence number and its body.
const ENTRY_LABEL: &[u8] = b"claviger audit entry v1\0";
/// What a signature covers, before the entry's hash.
const SIGNATURE_LABEL: &[u8] = b"claviger audit signature v1\0";

/// The longest line that anybody reads; the largest record and its frame are far below it.
pub(crate) const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX.saturating_add(4096);

pub(crate) const SIGNATURE_BYTES: usize = 64;
/// `,"signature":"` and 128 digits and `"`.
const SIGNATURE_MEMBER_BYTES: usize = 14 + 2 * SIGNATURE_BYTES + 1;

/// The hash of an entry: SHA-256 over the label, the hash before, the sequence number and the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What comes before the first entry of a log.
    pub const ZERO: Self = Self([0; 32]);

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 lower-case hexadecimal digits, and from nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl LogSafe for Hash {}

/// Lower-case hexadecimal digits of bytes.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, self.0)
    }
}

/// Thirty-two bytes at a time: this runs for every record, and formatting each byte by itself would cost more than
/// hashing the record does.
fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for part in bytes.chunks(32) {
        let mut digits = [0; 64];
        let length = part.len().saturating_mul(2);
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        let digits = digits.get(..length).unwrap_or_default();
        formatter.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

const fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0'.wrapping_add(nibble),
        _ => b'a'.wrapping_sub(10).wrapping_add(nibble),
    }
}

/// Upper case is refused, so that no byte of a line can change without a fault.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N.checked_mul(2)? {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)?.checked_mul(16)?.checked_add(nibble(*low)?)?;
    }
    Some(out)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The hash of an entry. Injective: the label is fixed, two fields have fixed lengths, the body takes the rest.
pub(crate) fn chain(previous: &Hash, sequence: u64, body: &str) -> Hash {
    chain_in(&mut Vec::new(), previous, sequence, &[body])
}

/// The same of a body in pieces; `message` is only room, so that a writer need not ask for it at each record.
pub(crate) fn chain_in(message: &mut Vec<u8>, previous: &Hash, sequence: u64, body: &[&str]) -> Hash {
    message.clear();
    message.extend_from_slice(ENTRY_LABEL);
    message.extend_from_slice(&previous.0);
    message.extend_from_slice(&sequence.to_be_bytes());
    for piece in body {
        message.extend_from_slice(piece.as_bytes());
    }
    Hash(sha256(message))
}

/// What a checkpoint's signature is made over.
pub(crate) fn signed_message(hash: &Hash) -> Vec<u8> {
    [SIGNATURE_LABEL, &hash.0].concat()
}

/// Renders a line, its newline included; the body may come in pieces.
pub(crate) fn render(out: &mut Vec<u8>, hash: &Hash, sequence: u64, body: &[&str], signature: Option<&[u8]>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"hash\":\"{hash}\",\"sequence\":{sequence},");
    for piece in body {
        out.extend_from_slice(piece.as_bytes());
    }
    if let Some(signature) = signature {
        let _ = write!(out, ",\"signature\":\"{}\"", Hex(signature));
    }
    out.extend_from_slice(b"}\n");
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `"segment"`: the first of each file.
    Segment,
    /// `"record"`, after `"commit"` and its number if a commit carried it.
    Record { commit: Option<u64> },
    /// `"recovery"`: what was cut off at a start.
    Recovery,
    /// `"checkpoint"`: signs everything up to itself.
    Checkpoint { signature: [u8; SIGNATURE_BYTES] },
}

/// A line taken apart; nothing of it is checked yet but its form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) hash: Hash,
    pub(crate) sequence: u64,
    /// The members that the hash covers, without braces: `"record":{…}`.
    pub(crate) body: &'a str,
    pub(crate) kind: Kind,
}

impl<'a> Line<'a> {
    /// Takes a line without its newline apart. Accepts exactly what [`render`] writes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (hash, rest) = text.strip_prefix("{\"hash\":\"")?.split_at_checked(64)?;
        let (sequence, rest) = rest.strip_prefix("\",\"sequence\":")?.split_once(',')?;
        let rest = rest.strip_suffix('}')?;
        let (kind, body) = if rest.starts_with("\"checkpoint\":{") {
            let (body, member) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_MEMBER_BYTES)?)?;
            let digits = member.strip_prefix(",\"signature\":\"")?.strip_suffix('"')?;
            (Kind::Checkpoint { signature: parse_hex(digits)? }, body)
        } else if rest.starts_with("\"record\":{") {
            (Kind::Record { commit: None }, rest)
        } else if let Some(after) = rest.strip_prefix("\"commit\":") {
            let (commit, after) = after.split_once(',')?;
            after.starts_with("\"record\":{").then_some(())?;
            (Kind::Record { commit: Some(number(commit)?) }, rest)
        } else if rest.starts_with("\"segment\":{") {
            (Kind::Segment, rest)
        } else if rest.starts_with("\"recovery\":{") {
            (Kind::Recovery, rest)
        } else {
            return None;
        };
        Some(Self { hash: Hash::parse(hash)?, sequence: number(sequence)?, body, kind })
    }

    /// The object after the entry's name, parsed.
    pub(crate) fn content(&self, name: &str) -> Option<serde_json::Value> {
        let object = self.body.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\":")?;
        serde_json::from_str(object).ok()
    }
}

/// A number in its only decimal form.
fn number(digits: &str) -> Option<u64> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_comes_back() {
        let signature = [7; SIGNATURE_BYTES];
        let cases = [
            ("\"record\":{\"a\":\"}\"}", Kind::Record { commit: None }),
            ("\"commit\":7,\"record\":{}", Kind::Record { commit: Some(7) }),
            ("\"segment\":{\"number\":1}", Kind::Segment),
            ("\"recovery\":{}", Kind::Recovery),
            ("\"checkpoint\":{\"anchors\":null}", Kind::Checkpoint { signature }),
        ];
        for (body, kind) in cases {
            let mut out = Vec::new();
            let hash = chain(&Hash::ZERO, 9, body);
            let signed = matches!(kind, Kind::Checkpoint { .. });
            render(&mut out, &hash, 9, &[body], signed.then_some(signature.as_slice()));
            let line = Line::parse(out.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((line.hash, line.sequence, line.body, line.kind), (hash, 9, body, kind));
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(json.get("sequence").unwrap(), 9);
        }
    }

    #[test]
    fn the_hash_of_an_entry_never_changes() {
        // Made by another implementation: python3 -c "import hashlib; print(hashlib.sha256(b'claviger audit entry v1\0'
        // + bytes(32) + (1).to_bytes(8,'big') + b'\"record\":{}').hexdigest())"
        assert_eq!(chain(&Hash::ZERO, 1, "\"record\":{}").to_string(), GOLDEN);
    }
    const GOLDEN: &str = "85f4635e58c897a5b926f7439fb9742c544563fdf1c347da2826cc6435715849";

    proptest! {
        #[test]
        fn digits_are_those_of_another_implementation(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Hex(&bytes).to_string(), hex::encode(&bytes));
        }

        #[test]
        fn only_the_written_form_is_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Line::parse(&bytes).is_none());
        }

        #[test]
        fn every_field_counts(a in 0_u64..3, b in 0_u64..3, x in "[ab]{0,3}", y in "[ab]{0,3}") {
            prop_assert_eq!(chain(&Hash::ZERO, a, &x) == chain(&Hash::ZERO, b, &y), (a, &x) == (b, &y));
            let other = Hash::from_bytes([1; 32]);
            prop_assert_ne!(chain(&Hash::ZERO, a, &x), chain(&other, a, &x));
        }
    }
}
