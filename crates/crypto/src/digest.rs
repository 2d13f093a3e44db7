//! SHA-256, HMAC-SHA-256, HMAC-SHA-1 for one-time codes, and comparison in constant time.

use aws_lc_rs::{constant_time, digest, hmac};
use claviger_secret::SecretArray;

/// `SHA-256(data)`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

/// `HMAC-SHA-256(key, data)`. A key that is used again is better kept as a [`MacKey`].
#[must_use]
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    array(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

/// `HMAC-SHA-1(key, data)`, for the one-time codes of RFC 6238, whose devices know no other.
#[must_use]
pub fn hmac_sha1(key: &[u8], data: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), data);
    out.copy_from_slice(tag.as_ref());
    out
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
#[must_use]
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// A key for HMAC-SHA-256, kept ready: half the cost of [`hmac_sha256`] for short messages.
///
/// The library wipes it when it is dropped.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// The key from its bytes.
    #[must_use]
    pub fn new(key: &SecretArray<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// `HMAC-SHA-256(key, data)`.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> [u8; 32] {
        array(hmac::sign(&self.0, data).as_ref())
    }

    /// Whether `tag` is the full HMAC of `data`, in constant time.
    #[must_use]
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, data, tag).is_ok()
    }
}

/// INVARIANT (digest length): the library's SHA-256 and HMAC-SHA-256 results are 32 bytes; tested below.
fn array(digest: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest);
    out
}

#[cfg(test)]
mod tests {
    use claviger_secret::SecretArray;
    use std::fmt::Debug;

    use super::{MacKey, constant_time_eq, hmac_sha1, hmac_sha256, sha256};

    #[test]
    fn sha256_known_answers() {
        assert_eq!(hex::encode(sha256(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex::encode(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn hmac_sha256_known_answers_of_rfc_4231() {
        assert_eq!(
            hex::encode(hmac_sha256(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn hmac_sha1_known_answers_of_rfc_2202() {
        assert_eq!(hex::encode(hmac_sha1(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(
            hex::encode(hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
    }

    #[test]
    fn a_kept_key_agrees_with_the_function_and_verifies() {
        static_assertions::assert_not_impl_any!(MacKey: Debug, Clone);
        let key = MacKey::new(&SecretArray::new([9; 32]));
        let tag = key.sign(b"data");
        assert_eq!(tag, hmac_sha256(&[9; 32], b"data"));
        assert!(key.verify(b"data", &tag));
        assert!(!key.verify(b"date", &tag));
        assert!(!key.verify(b"data", tag.split_at(16).0));
    }

    #[test]
    fn equality_is_of_content_and_length() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sane"));
        assert!(!constant_time_eq(b"same", b"same longer"));
    }
}
