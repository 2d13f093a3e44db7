//! One-time codes of RFC 6238: HMAC-SHA-1, six digits, thirty seconds.

use claviger_api::Timestamp;
use claviger_secret::SecretBytes;

const WINDOW_MILLIS: i64 = 30_000;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The window of thirty seconds that a time falls into.
pub(crate) const fn window(at: Timestamp) -> i64 {
    at.millis().div_euclid(WINDOW_MILLIS)
}

/// The code of a window.
fn code(seed: &SecretBytes, window: i64) -> u32 {
    let hash = claviger_crypto::hmac_sha1(seed.expose(), &window.to_be_bytes());
    let at = usize::from(hash.last().copied().unwrap_or_default() & 15);
    let four = hash.get(at..).unwrap_or_default().iter().take(4);
    let number = four.fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    (number & 0x7fff_ffff) % 1_000_000
}

/// Whether these six digits are the code of the window.
fn is_code(seed: &SecretBytes, window: i64, digits: &str) -> bool {
    let expected = format!("{:06}", code(seed, window));
    claviger_crypto::constant_time_eq(expected.as_bytes(), digits.as_bytes())
}

/// The window that a code is of, at most `around` windows off.
pub(crate) fn single(seed: &SecretBytes, now: i64, around: i64, digits: &str) -> Option<i64> {
    let mut near = now.saturating_sub(around)..=now.saturating_add(around);
    near.rfind(|window| is_code(seed, *window, digits))
}

/// The window of the second of two consecutive codes, of which the second is at most `around` windows off.
pub(crate) fn consecutive(seed: &SecretBytes, now: i64, around: i64, digits: [&str; 2]) -> Option<i64> {
    let [first, second] = digits;
    let mut near = now.saturating_sub(around)..=now.saturating_add(around);
    near.rfind(|window| is_code(seed, window.saturating_sub(1), first) & is_code(seed, *window, second))
}

/// The seed as people type it: base32 without padding, of a length that five divides.
pub(crate) fn base32(seed: &SecretBytes) -> SecretBytes {
    let mut text = Vec::with_capacity(seed.len().saturating_mul(8).div_ceil(5));
    for group in seed.expose().chunks(5) {
        let number = group.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        for shift in (0..8_u32).rev() {
            let index = usize::try_from((number >> (shift * 5)) & 31).unwrap_or_default();
            text.extend(ALPHABET.get(index));
        }
    }
    SecretBytes::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> SecretBytes {
        SecretBytes::from_slice(b"12345678901234567890")
    }

    #[test]
    fn codes_of_rfc_6238() {
        // Appendix B, the last six of the eight digits.
        for (seconds, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000_i64, "353130"),
        ] {
            let window = window(Timestamp::from_millis(seconds * 1000));
            assert!(is_code(&seed(), window, digits), "{seconds}");
            assert!(!is_code(&seed(), window + 1, digits), "{seconds}");
        }
    }

    #[test]
    fn two_codes_in_a_row_and_near() {
        let digits = |window: i64| format!("{:06}", code(&seed(), window));
        let (one, two, three) = (digits(1_000), digits(1_001), digits(1_002));
        assert_eq!(consecutive(&seed(), 1_001, 1, [&one, &two]), Some(1_001));
        assert_eq!(consecutive(&seed(), 1_002, 1, [&one, &two]), Some(1_001));
        assert_eq!(consecutive(&seed(), 1_003, 1, [&one, &two]), None, "too old");
        assert_eq!(consecutive(&seed(), 1_003, 20, [&one, &two]), Some(1_001));
        assert_eq!(consecutive(&seed(), 1_002, 1, [&two, &one]), None, "wrong order");
        assert_eq!(consecutive(&seed(), 1_002, 1, [&one, &three]), None, "one left out");
        assert_eq!(consecutive(&seed(), 1_002, 1, [&two, &two]), None);
    }

    #[test]
    fn base32_of_rfc_4648() {
        assert_eq!(base32(&SecretBytes::from_slice(b"fooba")).expose(), b"MZXW6YTB");
        assert_eq!(base32(&SecretBytes::from_slice(&[0; 40])).len(), 64);
    }
}
