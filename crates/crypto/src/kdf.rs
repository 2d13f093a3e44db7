//! Key derivation: NIST SP 800-108 in counter mode with HMAC-SHA-256.

use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};

use crate::CryptoError;
use crate::error::library_failed;

/// `out = SP800-108-CTR-HMAC-SHA-256(secret, label | 00 | context | [bits of out] as 32 bits)`, a 32-bit counter
/// before it, all numbers big-endian.
///
/// A label holds no zero byte, so label and context cannot run into each other.
///
/// # Errors
/// [`CryptoError::LibraryFailed`] if `secret` or `out` is empty, `label` holds a zero byte, or `out` is 512 MiB or
/// more.
pub fn kdf(secret: &[u8], label: &'static str, context: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
    let bits = out.len().checked_mul(8).and_then(|bits| u32::try_from(bits).ok()).ok_or(CryptoError::LibraryFailed)?;
    if label.as_bytes().contains(&0) {
        return Err(CryptoError::LibraryFailed);
    }
    let mut info = Vec::with_capacity(label.len() + context.len() + 5);
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    info.extend_from_slice(context);
    info.extend_from_slice(&bits.to_be_bytes());
    derive(secret, &info, out)
}

/// The function below the layout of the fixed information, as NIST's vectors test it.
fn derive(secret: &[u8], info: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(CryptoError::LibraryFailed)?;
    kbkdf_ctr_hmac(algorithm, secret, info, out).map_err(library_failed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{derive, kdf};
    use crate::hmac_sha256;

    /// Blocks of `NAME=value` lines, as in NIST's response files.
    fn cavs() -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let text = include_str!("../testdata/cavs/kdf_ctr_hmac_sha256_before_fixed_32.rsp");
        let mut cases = Vec::new();
        for block in text.split("COUNT=").skip(1) {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
                line.trim_start_matches([' ', '=']).to_owned()
            };
            let [key, fixed, out] = ["KI", "FixedInputData ", "KO"].map(|name| hex::decode(field(name)).unwrap());
            assert_eq!(out.len() * 8, field("L").parse::<usize>().unwrap());
            cases.push((key, fixed, out));
        }
        cases
    }

    #[test]
    fn nist_cavs_vectors() {
        let cases = cavs();
        assert_eq!(cases.len(), 40);
        for (secret, fixed, expected) in cases {
            let mut out = vec![0; expected.len()];
            derive(&secret, &fixed, &mut out).unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn the_fixed_information_is_label_zero_context_length() {
        let mut out = [0; 64];
        kdf(&[7; 32], "label", b"context", &mut out).unwrap();
        let expected = [1_u8, 2].map(|counter| {
            let message = [&[0, 0, 0, counter][..], b"label", &[0], b"context", &512_u32.to_be_bytes()].concat();
            hmac_sha256(&[7; 32], &message)
        });
        assert_eq!(out.as_slice(), expected.concat());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(kdf(&[], "label", b"", &mut [0; 32]).is_err());
        assert!(kdf(&[1], "label", b"", &mut []).is_err());
        assert!(kdf(&[1], "la\0bel", b"", &mut [0; 32]).is_err());
    }
}
