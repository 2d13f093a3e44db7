//! What an enclave sends: attestation documents.

use claviger_crypto::{Attestation, AttestationRoots, Platform};

use crate::Seeds;

/// Made by `tests/support/attestation.py` under a root of its own, for [`AT`]; `nitrotpm` and `stale` beside it are
/// of the same root and key.
const GOOD: &[u8] = include_bytes!("../corpus/attestation/good");
/// SHA-256 of that root certificate.
const ROOT: [u8; 32] = [
    0xa8, 0x7f, 0xee, 0x0e, 0x63, 0x4d, 0x9d, 0xee, 0xdf, 0xa7, 0x31, 0xba, 0x73, 0x31, 0x63, 0xe7, 0x3f, 0x2e, 0xb7,
    0x2a, 0xa5, 0xc4, 0xc4, 0x8a, 0x9b, 0x08, 0x52, 0xe3, 0xb5, 0xc3, 0x8a, 0x1d,
];
/// SHA-256 of the public key in them.
const KEY: [u8; 32] = [
    0x2b, 0x24, 0x4b, 0x1a, 0xe7, 0xb3, 0x57, 0x84, 0xf1, 0xa0, 0x98, 0xb4, 0x63, 0x89, 0x36, 0xab, 0xa6, 0x6c, 0xe1,
    0xfe, 0xae, 0x91, 0x9e, 0x32, 0x9e, 0x08, 0x8b, 0x0e, 0x0f, 0x1c, 0xd3, 0x0c,
];
/// 15 June 2026, 12:00 UTC.
const AT: u64 = 1_781_524_800;

/// An attestation document: what is believed is what was signed, and nothing is believed under AWS's root.
pub fn attestation(input: &[u8]) {
    assert!(Attestation::verify(input, &AttestationRoots::aws_nitro(), AT).is_err(), "AWS signed no such document");
    let believed = Attestation::verify(input, &AttestationRoots::from_fingerprints([ROOT]), AT);
    assert!(believed.is_ok() || input != GOOD, "the good document is refused");
    let Ok(attestation) = believed else { return };
    assert_eq!(attestation.module_id(), "i-1234567890abcdef0-enc9876543210abcde");
    assert!(matches!(attestation.platform(), Platform::NitroEnclave | Platform::NitroTpm));
    assert!(attestation.pcrs().map(|(index, _)| index).eq([0, 3, 8]));
    assert!(attestation.pcrs().all(|(index, value)| index == 0 || value == [index; 48]));
    assert_eq!(*attestation.recipient().subject_key_identifier(), KEY);
    assert!(attestation.recipient().seal(b"fuzz").is_ok());
}

pub(crate) fn attestation_seeds() -> Seeds {
    let (half, _) = GOOD.split_at(GOOD.len() / 2);
    let header = b"\x84\x44\xa1\x01\x38\x22\xa0";
    vec![
        ("good", GOOD.to_vec()),
        ("truncated", half.to_vec()),
        ("header-only", header.to_vec()),
        ("extended", [GOOD, b"\x00"].concat()),
        ("deep", vec![0x81; 2000]),
        ("huge-map", [header.as_slice(), b"\x49\xbb\xff\xff\xff\xff\xff\xff\xff\xff", b"\x58\x60", &[1; 96]].concat()),
    ]
}
