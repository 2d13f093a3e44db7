//! What webpki does not look at in an X.509 certificate (RFC 5280): the key usage, an end entity's path length, and
//! everything about the root.

use super::BadAttestation;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.15.
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
/// 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
/// Bit 0 of the key usage, counted from the top.
const DIGITAL_SIGNATURE: u8 = 0x80;
/// Bit 5.
const KEY_CERT_SIGN: u8 = 0x04;
const CIVIL_DAYS_TO_1970: u64 = 719_468;

/// A certificate's validity, in seconds since the Unix epoch, and its purpose.
pub(super) struct Certificate {
    not_before: u64,
    not_after: u64,
    /// Bits 0 to 7; none if the extension is absent.
    key_usage: u8,
    authority: bool,
    path_length: Option<u8>,
}

impl Certificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, BadAttestation> {
        Self::read(der).ok_or(BadAttestation::CertificateMalformed)
    }

    fn read(der: &[u8]) -> Option<Self> {
        let mut body = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
        body.expect(VERSION)?;
        body.expect(INTEGER)?; // serial number
        body.expect(SEQUENCE)?; // signature algorithm
        body.expect(SEQUENCE)?; // issuer
        let mut validity = Der(body.expect(SEQUENCE)?);
        let (not_before, not_after) = (validity.next().and_then(seconds)?, validity.next().and_then(seconds)?);
        let mut certificate = Self { not_before, not_after, key_usage: 0, authority: false, path_length: None };
        while let Some((tag, content)) = body.next() {
            if tag == EXTENSIONS {
                certificate.read_extensions(Der(Der(content).expect(SEQUENCE)?))?;
            }
        }
        Some(certificate)
    }

    fn read_extensions(&mut self, mut extensions: Der<'_>) -> Option<()> {
        while let Some((SEQUENCE, extension)) = extensions.next() {
            let mut extension = Der(extension);
            let identifier = extension.expect(OBJECT_IDENTIFIER)?;
            let value = match extension.next()? {
                (BOOLEAN, _) => extension.expect(OCTET_STRING)?,
                (OCTET_STRING, value) => value,
                _ => return None,
            };
            match identifier {
                // The first byte counts the unused bits at the end.
                KEY_USAGE => self.key_usage = *Der(value).expect(BIT_STRING)?.get(1).unwrap_or(&0),
                BASIC_CONSTRAINTS => self.read_basic_constraints(Der(Der(value).expect(SEQUENCE)?))?,
                _ => {}
            }
        }
        Some(())
    }

    fn read_basic_constraints(&mut self, mut constraints: Der<'_>) -> Option<()> {
        while let Some(constraint) = constraints.next() {
            match constraint {
                (BOOLEAN, [value]) => self.authority = *value != 0,
                (INTEGER, [length]) => self.path_length = Some(*length),
                _ => return None,
            }
        }
        Some(())
    }

    pub(super) const fn check_validity(&self, now: u64) -> Result<(), BadAttestation> {
        if now < self.not_before {
            Err(BadAttestation::CertificateNotYetValid)
        } else if now > self.not_after {
            Err(BadAttestation::CertificateExpired)
        } else {
            Ok(())
        }
    }

    /// It may sign the certificates of a chain with `intermediates` authorities below it.
    pub(super) fn check_authority(&self, intermediates: usize) -> Result<(), BadAttestation> {
        let long_enough = self.path_length.is_none_or(|length| intermediates <= usize::from(length));
        purpose(self.authority && self.key_usage & KEY_CERT_SIGN != 0 && long_enough)
    }

    /// It may sign a document. That it is no authority is webpki's to check.
    pub(super) fn check_signer(&self) -> Result<(), BadAttestation> {
        purpose(self.key_usage & DIGITAL_SIGNATURE != 0 && self.path_length.is_none())
    }
}

const fn purpose(fits: bool) -> Result<(), BadAttestation> {
    if fits { Ok(()) } else { Err(BadAttestation::CertificatePurpose) }
}

/// A reader of DER elements (ITU-T X.690) with lengths below 65536. Stops at what it cannot read.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let ([tag, length], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// The seconds since the Unix epoch of a time in UTC (RFC 5280, section 4.1.2.5).
fn seconds((tag, text): (u8, &[u8])) -> Option<u64> {
    let mut digits = Digits(text);
    let year = match tag {
        UTC_TIME => match digits.pair()? {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
        GENERALIZED_TIME => digits.pair()? * 100 + digits.pair()?,
        _ => return None,
    };
    let (month, day) = (digits.pair()?, digits.pair()?);
    let (hour, minute, second) = (digits.pair()?, digits.pair()?, digits.pair()?);
    if digits.0 != b"Z" {
        return None;
    }
    // Years begin in March here, so that leap days come last ("days_from_civil" of Howard Hinnant's date algorithms).
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(CIVIL_DAYS_TO_1970 + 1)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

struct Digits<'d>(&'d [u8]);

impl Digits<'_> {
    fn pair(&mut self) -> Option<u64> {
        let ([tens, units], rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        let digit = |byte: &u8| byte.checked_sub(b'0').filter(|digit| *digit < 10).map(u64::from);
        Some(digit(tens)? * 10 + digit(units)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERALIZED_TIME, UTC_TIME, seconds};

    #[test]
    fn times_are_seconds_since_the_epoch() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "191028132805Z", 1_572_269_285),
            (UTC_TIME, "491028142805Z", 2_519_044_085),
            (UTC_TIME, "991231235959Z", 946_684_799),
            (UTC_TIME, "240229120000Z", 1_709_208_000),
            (GENERALIZED_TIME, "20000301000000Z", 951_868_800),
            (GENERALIZED_TIME, "40960101000000Z", 67_090_118_400),
        ] {
            assert_eq!(seconds((tag, text.as_bytes())), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_times_are_refused() {
        for (tag, text) in [
            (UTC_TIME, ""),
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "700101000000Z0"),
            (UTC_TIME, "7001010000Z"),
            (UTC_TIME, "70010100000xZ"),
            (UTC_TIME, "691231235959Z"),
            (GENERALIZED_TIME, "700101000000Z"),
            (GENERALIZED_TIME, "00000101000000Z"),
            (0x04, "700101000000Z"),
        ] {
            assert_eq!(seconds((tag, text.as_bytes())), None, "{text}");
        }
    }
}
