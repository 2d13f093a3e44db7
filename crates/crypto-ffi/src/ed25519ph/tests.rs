#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::{sign, verify};

fn bytes<const N: usize>(hexadecimal: &str) -> [u8; N] {
    hex::decode(hexadecimal).unwrap().try_into().unwrap()
}

/// RFC 8032 section 7.3.
const SEED: &str = "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42";
const PUBLIC: &str = "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf";
const SIGNATURE: &str = "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
                         31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406";

/// The order of the group (RFC 8032 section 5.1), in little-endian order.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn the_signature_of_the_rfc_is_reproduced() {
    assert_eq!(sign(&bytes(SEED), b"abc").unwrap(), bytes(SIGNATURE));
    assert!(verify(&bytes(PUBLIC), b"abc", &bytes::<64>(SIGNATURE)));
}

#[test]
fn a_second_implementation_signs_alike() {
    let mut run = 0;
    for line in include_str!("../../testdata/ed25519ph.txt").lines() {
        let cells: Vec<_> = line.split(' ').collect();
        let [seed, public, message, signature] = cells[..] else { unreachable!("{line}") };
        let message = hex::decode(message).unwrap();
        assert_eq!(sign(&bytes(seed), &message).unwrap(), bytes(signature), "{} bytes", message.len());
        assert!(verify(&bytes(public), &message, &bytes::<64>(signature)), "{} bytes", message.len());
        run += 1;
    }
    assert_eq!(run, 13);
}

#[test]
fn every_bit_matters() {
    let (public, signature) = (bytes::<32>(PUBLIC), bytes::<64>(SIGNATURE));
    for bit in 0..signature.len() * 8 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&public, b"abc", &changed), "bit {bit} of the signature");
    }
    for bit in 0..public.len() * 8 {
        let mut changed = public;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&changed, b"abc", &signature), "bit {bit} of the public key");
    }
    for message in [&b""[..], b"ab", b"abd", b"abcd"] {
        assert!(!verify(&public, message, &signature), "{message:?}");
    }
}

#[test]
fn a_signature_has_64_bytes() {
    let (public, signature) = (bytes::<32>(PUBLIC), bytes::<64>(SIGNATURE));
    for length in 0..64 {
        assert!(!verify(&public, b"abc", &signature[..length]), "{length}");
    }
    assert!(!verify(&public, b"abc", &[&signature[..], &[0]].concat()));
    assert!(!verify(&public, b"abc", &[signature, signature].concat()));
}

/// S + L is the same number modulo the order L, and a second signature of the message unless it is refused.
#[test]
fn the_second_half_must_be_below_the_order() {
    let (mut signature, order) = (bytes::<64>(SIGNATURE), bytes::<32>(ORDER));
    let mut carry = 0;
    for (byte, addend) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(addend) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(!verify(&bytes(PUBLIC), b"abc", &signature));
}

#[test]
fn a_public_key_that_is_no_point_verifies_nothing() {
    assert!(!verify(&[0xff; 32], b"abc", &bytes::<64>(SIGNATURE)));
}
