//! The few DER structures that differ between keys of one kind in their last bytes only.
//!
//! A SubjectPublicKeyInfo of every kind but RSA has one canonical form of one length: a fixed head, then the raw key.
//! Comparing the head instead of parsing leaves no second form: no explicit curve parameters, no compressed point,
//! no point at infinity, no bytes after the end.

use claviger_secret::SecretBytes;

use crate::PairSpec;

/// A fixed head and how many bytes follow it.
pub(super) struct Shape {
    head: &'static [u8],
    rest: usize,
}

impl Shape {
    /// The raw key of an encoding that has exactly this shape.
    pub(super) fn strip<'der>(&self, der: &'der [u8]) -> Option<&'der [u8]> {
        der.strip_prefix(self.head).filter(|raw| raw.len() == self.rest)
    }

    /// The encoding of a raw public key.
    pub(super) fn encode(&self, raw: &[u8]) -> Vec<u8> {
        [self.head, raw].concat()
    }

    /// The encoding of a seed.
    pub(super) fn encode_secret(&self, seed: &[u8]) -> SecretBytes {
        SecretBytes::new([self.head, seed].concat())
    }
}

const fn shape(head: &'static [u8], rest: usize) -> Option<Shape> {
    Some(Shape { head, rest })
}

/// SubjectPublicKeyInfo with an uncompressed point (RFC 5480) or a raw key (RFC 8410, RFC 9881, RFC 9935). RSA has
/// none, as its integers vary in length.
pub(super) const fn public_key(spec: PairSpec) -> Option<Shape> {
    match spec {
        PairSpec::Rsa2048 | PairSpec::Rsa3072 | PairSpec::Rsa4096 => None,
        PairSpec::P256 => shape(
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
              \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0\x04",
            64,
        ),
        PairSpec::P384 => {
            shape(b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x22\x03\x62\0\x04", 96)
        }
        PairSpec::P521 => shape(
            b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x23\x03\x81\x86\0\x04",
            132,
        ),
        PairSpec::Secp256k1 => {
            shape(b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x0a\x03\x42\0\x04", 64)
        }
        PairSpec::Ed25519 => shape(b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0", 32),
        PairSpec::MlDsa44 => {
            shape(b"\x30\x82\x05\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x03\x82\x05\x21\0", 1312)
        }
        PairSpec::MlDsa65 => {
            shape(b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x03\x82\x07\xa1\0", 1952)
        }
        PairSpec::MlDsa87 => {
            shape(b"\x30\x82\x0a\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13\x03\x82\x0a\x21\0", 2592)
        }
        PairSpec::MlKem512 => {
            shape(b"\x30\x82\x03\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x01\x03\x82\x03\x21\0", 800)
        }
        PairSpec::MlKem768 => {
            shape(b"\x30\x82\x04\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02\x03\x82\x04\xa1\0", 1184)
        }
        PairSpec::MlKem1024 => {
            shape(b"\x30\x82\x06\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03\x03\x82\x06\x21\0", 1568)
        }
    }
}

/// PKCS#8 version 1 of a key that is its seed (RFC 8410; RFC 9881 and RFC 9935 with the seed alone).
///
/// By hand for ML-KEM: the library's FIPS module neither reads nor writes that form.
pub(super) const fn seed(spec: PairSpec) -> Option<Shape> {
    match spec {
        PairSpec::Ed25519 => shape(b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 32),
        PairSpec::MlDsa44 => {
            shape(b"\x30\x34\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x04\x22\x80\x20", 32)
        }
        PairSpec::MlDsa65 => {
            shape(b"\x30\x34\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x04\x22\x80\x20", 32)
        }
        PairSpec::MlDsa87 => {
            shape(b"\x30\x34\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13\x04\x22\x80\x20", 32)
        }
        PairSpec::MlKem512 => {
            shape(b"\x30\x54\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x01\x04\x42\x80\x40", 64)
        }
        PairSpec::MlKem768 => {
            shape(b"\x30\x54\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02\x04\x42\x80\x40", 64)
        }
        PairSpec::MlKem1024 => {
            shape(b"\x30\x54\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03\x04\x42\x80\x40", 64)
        }
        PairSpec::Rsa2048
        | PairSpec::Rsa3072
        | PairSpec::Rsa4096
        | PairSpec::P256
        | PairSpec::P384
        | PairSpec::P521
        | PairSpec::Secp256k1 => None,
    }
}

/// Whether the bytes are one DER SEQUENCE to their end. The library's parsers stop at the end of the sequence and
/// say nothing of what follows.
pub(super) fn is_one_sequence(der: &[u8]) -> bool {
    let (length, rest) = match der {
        [0x30, 0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0x30, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x30, length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        _ => return false,
    };
    length == rest.len()
}
