//! The moment a request says it was signed at.

use claviger_api::{Refusal, Timestamp};

/// AWS's text, without the value sent.
const MALFORMED: &str = "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601";

/// A moment and its text in the string to sign, `20260102T030405Z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedDate {
    pub(super) moment: Timestamp,
    text: [u8; 16],
}

impl SignedDate {
    /// Reads `X-Amz-Date`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let moment = Timestamp::parse_amz_date(text).map_err(|_| Refusal::IncompleteSignature(MALFORMED))?;
        let text = text.as_bytes().try_into().map_err(|_| Refusal::IncompleteSignature(MALFORMED))?;
        Ok(Self { moment, text })
    }

    /// Reads `Date`, which may also be an HTTP date (`Fri, 02 Jan 2026 03:04:05 GMT`).
    pub(super) fn parse_http(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).or_else(|refusal| {
            let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).map_err(|_| refusal)?;
            Self::parse(&Timestamp::from_millis(moment.as_millisecond()).to_amz_date())
        })
    }

    /// `20260102T030405Z`.
    pub(super) fn text(&self) -> &str {
        // Only ASCII digits and letters pass `parse`.
        str::from_utf8(&self.text).unwrap_or("")
    }

    /// `20260102`, as in the credential scope.
    pub(super) fn day(&self) -> &str {
        self.text().get(..8).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn both_forms_give_one_text() {
        for text in ["20150830T123600Z", "Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000"] {
            let date = SignedDate::parse_http(text).unwrap();
            assert_eq!((date.text(), date.day()), ("20150830T123600Z", "20150830"));
            assert_eq!(date.moment.seconds(), 1_440_938_160);
        }
    }

    #[test]
    fn others_are_refused() {
        for text in ["", "2015-08-30T12:36:00Z", "20150830", "20150830T123600+", "20151330T123600Z", "yesterday"] {
            assert_eq!(SignedDate::parse_http(text).unwrap_err(), Refusal::IncompleteSignature(MALFORMED), "{text}");
        }
        assert!(SignedDate::parse("Sun, 30 Aug 2015 12:36:00 GMT").is_err());
    }
}
