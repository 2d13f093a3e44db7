//! The `Authorization` header, and what it has in common with a presigned query.

use claviger_api::Refusal;

use super::{ALGORITHM, TERMINATOR, limit};

/// AWS's texts for an `Authorization` header that cannot be read. AWS appends what was sent (as a hash, or quoted);
/// a refusal holds nothing the client sent, so that part is left out.
const UNSUPPORTED_ALGORITHM: &str = "Unsupported AWS 'algorithm'.";
const NO_EQUAL_SIGN: &str = "Not a valid key=value pair (missing equal-sign) in Authorization header.";
const FIVE_ELEMENTS: &str =
    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.";

/// One parameter that is missing, in AWS's words.
macro_rules! requires {
    (credential) => { "Authorization header requires 'Credential' parameter." };
    (signature) => { "Authorization header requires 'Signature' parameter." };
    (signed_headers) => { "Authorization header requires 'SignedHeaders' parameter." };
    (date) => { "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header." };
    ($first:ident $(, $more:ident)+) => { concat!(requires!($first) $(, " ", requires!($more))+) };
}

/// The three parameters of the header, as sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parameters<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

/// All that a signature consists of, as sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Complete<'a> {
    pub(super) credential: &'a str,
    pub(super) signed_headers: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parameters<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=.., SignedHeaders=.., Signature=..`.
    pub(super) fn parse(header: &'a str) -> Result<Self, Refusal> {
        let header = header.trim();
        if !header.starts_with("AWS4-") {
            return Err(Refusal::MissingAuthenticationToken);
        }
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM));
        }
        let mut parameters = Self::default();
        let mut rest = rest;
        while !rest.is_empty() {
            let end = rest.bytes().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(rest.len());
            let (pair, after) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
            rest = after.get(1..).unwrap_or_default();
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').ok_or(Refusal::IncompleteSignature(NO_EQUAL_SIGN))?;
            let slot = match name {
                "Credential" => &mut parameters.credential,
                "SignedHeaders" => &mut parameters.signed_headers,
                "Signature" => &mut parameters.signature,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(Refusal::InvalidSignature);
            }
        }
        Ok(parameters)
    }

    /// The parameters, or which of them and of the date are missing.
    pub(super) fn complete(self, has_date: bool) -> Result<Complete<'a>, Refusal> {
        let filled = |value: Option<&'a str>| value.filter(|value| !value.is_empty());
        let found = (filled(self.credential), filled(self.signature), filled(self.signed_headers), has_date);
        Err(Refusal::IncompleteSignature(match found {
            (Some(credential), Some(signature), Some(signed_headers), true) => {
                return Ok(Complete { credential, signed_headers, signature });
            }
            (None, Some(_), Some(_), true) => requires!(credential),
            (Some(_), None, Some(_), true) => requires!(signature),
            (Some(_), Some(_), None, true) => requires!(signed_headers),
            (Some(_), Some(_), Some(_), false) => requires!(date),
            (None, None, Some(_), true) => requires!(credential, signature),
            (None, Some(_), None, true) => requires!(credential, signed_headers),
            (None, Some(_), Some(_), false) => requires!(credential, date),
            (Some(_), None, None, true) => requires!(signature, signed_headers),
            (Some(_), None, Some(_), false) => requires!(signature, date),
            (Some(_), Some(_), None, false) => requires!(signed_headers, date),
            (None, None, None, true) => requires!(credential, signature, signed_headers),
            (None, None, Some(_), false) => requires!(credential, signature, date),
            (None, Some(_), None, false) => requires!(credential, signed_headers, date),
            (Some(_), None, None, false) => requires!(signature, signed_headers, date),
            (None, None, None, false) => requires!(credential, signature, signed_headers, date),
        }))
    }
}

/// The parts of a credential: `keyid/date/region/service/aws4_request`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credential<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl<'a> Credential<'a> {
    /// Reads a credential whose scope must be of the day `day` (`yyyymmdd`).
    pub(super) fn parse(text: &'a str, day: &str) -> Result<Self, Refusal> {
        let mut elements = text.split('/');
        let mut element = || elements.next().ok_or(Refusal::IncompleteSignature(FIVE_ELEMENTS));
        let (access_key_id, date, region, service) = (element()?, element()?, element()?, element()?);
        let terminator = element()?;
        if elements.next().is_some() {
            return Err(Refusal::IncompleteSignature(FIVE_ELEMENTS));
        }
        // What gets past here becomes part of ARNs, row keys and records, so it is held to plain characters.
        if !is_name(region, limit::SCOPE_PART_MAX, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Err(Refusal::ScopeRegion);
        }
        let sound = terminator == TERMINATOR
            && date == day
            && is_name(service, limit::SCOPE_PART_MAX, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !sound {
            return Err(Refusal::InvalidSignature);
        }
        if !is_name(access_key_id, limit::ACCESS_KEY_ID_MAX, |byte| byte.is_ascii_graphic()) {
            return Err(Refusal::UnrecognizedClient);
        }
        Ok(Self { access_key_id, date, region, service })
    }
}

fn is_name(text: &str, length_max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=length_max).contains(&text.len()) && text.bytes().all(allowed)
}

/// 64 lower-case hexadecimal digits.
pub(super) fn signature(text: &str) -> Result<[u8; 32], Refusal> {
    let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| Refusal::InvalidSignature)?;
    let (pairs, _) = digits.as_chunks::<2>();
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Ok(bytes)
}

const fn nibble(digit: u8) -> Result<u8, Refusal> {
    match digit {
        b'0'..=b'9' => Ok(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(Refusal::InvalidSignature),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_missing_part_is_named() {
        let parts = ["Credential=c", "Signature=s", "SignedHeaders=h"];
        let texts = [requires!(credential), requires!(signature), requires!(signed_headers), requires!(date)];
        for chosen in 0..16_u8 {
            let has = |bit: usize| chosen & (1 << bit) != 0;
            let kept: Vec<&str> =
                parts.iter().enumerate().filter(|(bit, _)| has(*bit)).map(|(_, part)| *part).collect();
            let header = format!("AWS4-HMAC-SHA256 {}", kept.join(", "));
            let missing: Vec<&str> =
                texts.iter().enumerate().filter(|(bit, _)| !has(*bit)).map(|(_, text)| *text).collect();
            let missing = missing.join(" ");
            match Parameters::parse(&header).unwrap().complete(has(3)) {
                Ok(complete) => {
                    assert_eq!(missing, "");
                    assert_eq!((complete.credential, complete.signature, complete.signed_headers), ("c", "s", "h"));
                }
                Err(Refusal::IncompleteSignature(text)) => assert_eq!(text, missing),
                Err(other) => assert_eq!(other, Refusal::InternalFailure),
            }
        }
    }

    #[test]
    fn headers_that_cannot_be_read() {
        for (header, refusal) in [
            ("", Refusal::MissingAuthenticationToken),
            ("Basic Og==", Refusal::MissingAuthenticationToken),
            ("Bearer token", Refusal::MissingAuthenticationToken),
            ("AWS4-HMAC-SHA512 Credential=a", Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
            ("AWS4-ECDSA-P256-SHA256 Credential=a", Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
            ("AWS4-HMAC-SHA256Credential=a", Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
            ("AWS4-HMAC-SHA256 FooBar", Refusal::IncompleteSignature(NO_EQUAL_SIGN)),
            ("AWS4-HMAC-SHA256 Credential=a, Credential=b", Refusal::InvalidSignature),
        ] {
            assert_eq!(Parameters::parse(header).unwrap_err(), refusal, "{header}");
        }
    }

    #[test]
    fn credentials() {
        let five = Refusal::IncompleteSignature(FIVE_ELEMENTS);
        for (text, refusal) in [
            ("", five),
            ("AKID", five),
            ("AKID/20150830/us-east-1/kms", five),
            ("AKID/20150830/us-east-1/kms/aws4_request/x", five),
            ("AKID/20150830//kms/aws4_request", Refusal::ScopeRegion),
            ("AKID/20150830/us:east/kms/aws4_request", Refusal::ScopeRegion),
            ("AKID/20150830/us-east-1//aws4_request", Refusal::InvalidSignature),
            ("AKID/20150830/us-east-1/kms/aws5_request", Refusal::InvalidSignature),
            ("AKID/20150831/us-east-1/kms/aws4_request", Refusal::InvalidSignature),
            ("/20150830/us-east-1/kms/aws4_request", Refusal::UnrecognizedClient),
            ("AK\u{e9}D/20150830/us-east-1/kms/aws4_request", Refusal::UnrecognizedClient),
        ] {
            assert_eq!(Credential::parse(text, "20150830").unwrap_err(), refusal, "{text}");
        }
        let long = format!("{}/20150830/us-east-1/kms/aws4_request", "A".repeat(129));
        assert_eq!(Credential::parse(&long, "20150830").unwrap_err(), Refusal::UnrecognizedClient);
    }

    #[test]
    fn signatures() {
        assert_eq!(signature(&"0f".repeat(32)).unwrap(), [15; 32]);
        for text in [String::new(), "0f".repeat(31), "0f".repeat(33), "0F".repeat(32), "0g".repeat(32)] {
            assert_eq!(signature(&text).unwrap_err(), Refusal::InvalidSignature, "{text}");
        }
    }
}
