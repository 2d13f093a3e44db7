//! The signature parameters of a presigned query.

use std::borrow::Cow;

use claviger_api::Refusal;
use percent_encoding::percent_decode_str;

use super::authorization::Complete;
use super::date::SignedDate;
use super::{ALGORITHM, limit};

/// AWS's texts for a presigned query that cannot be read.
const UNSUPPORTED_ALGORITHM: &str = "Unsupported AWS 'algorithm'.";
const EXPIRES_NOT_A_NUMBER: &str = "X-Amz-Expires should be a number";
const EXPIRES_TOO_LARGE: &str = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds";

/// One parameter that is missing, in AWS's words.
macro_rules! requires {
    ($($name:literal),+) => {
        concat!($("AWS query-string parameters must include '", $name, "'. ",)+ "Re-examine the query-string parameters.")
    };
}

/// The parameters that sign, decoded.
#[derive(Debug, Default)]
pub(super) struct Presigned<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    pub(super) session_token: Option<Cow<'a, str>>,
}

impl<'a> Presigned<'a> {
    /// The signature in a query, or `None` if it holds none: `X-Amz-Algorithm` is what marks one.
    pub(super) fn find(query: &'a str) -> Result<Option<Self>, Refusal> {
        let mut found = Self::default();
        let mut repeated = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match &*decoded(name) {
                "X-Amz-Algorithm" => &mut found.algorithm,
                "X-Amz-Credential" => &mut found.credential,
                "X-Amz-Date" => &mut found.date,
                "X-Amz-Expires" => &mut found.expires,
                "X-Amz-SignedHeaders" => &mut found.signed_headers,
                "X-Amz-Signature" => &mut found.signature,
                "X-Amz-Security-Token" => &mut found.session_token,
                _ => continue,
            };
            repeated |= slot.replace(decoded(value)).is_some();
        }
        match found.algorithm.as_deref() {
            None => Ok(None),
            Some(_) if repeated => Err(Refusal::InvalidSignature),
            Some(ALGORITHM) => Ok(Some(found)),
            Some(_) => Err(Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
        }
    }

    /// The parameters and the date, or which of them are missing.
    pub(super) fn complete(&self) -> Result<(Complete<'_>, SignedDate), Refusal> {
        fn filled<'b>(value: &'b Option<Cow<'_, str>>) -> Option<&'b str> {
            value.as_deref().filter(|value| !value.is_empty())
        }
        let found =
            (filled(&self.credential), filled(&self.signature), filled(&self.signed_headers), filled(&self.date));
        Err(Refusal::IncompleteSignature(match found {
            (Some(credential), Some(signature), Some(signed_headers), Some(date)) => {
                return Ok((Complete { credential, signed_headers, signature }, SignedDate::parse(date)?));
            }
            (None, Some(_), Some(_), Some(_)) => requires!("X-Amz-Credential"),
            (Some(_), None, Some(_), Some(_)) => requires!("X-Amz-Signature"),
            (Some(_), Some(_), None, Some(_)) => requires!("X-Amz-SignedHeaders"),
            (Some(_), Some(_), Some(_), None) => requires!("X-Amz-Date"),
            (None, None, Some(_), Some(_)) => requires!("X-Amz-Credential", "X-Amz-Signature"),
            (None, Some(_), None, Some(_)) => requires!("X-Amz-Credential", "X-Amz-SignedHeaders"),
            (None, Some(_), Some(_), None) => requires!("X-Amz-Credential", "X-Amz-Date"),
            (Some(_), None, None, Some(_)) => requires!("X-Amz-Signature", "X-Amz-SignedHeaders"),
            (Some(_), None, Some(_), None) => requires!("X-Amz-Signature", "X-Amz-Date"),
            (Some(_), Some(_), None, None) => requires!("X-Amz-SignedHeaders", "X-Amz-Date"),
            (None, None, None, Some(_)) => {
                requires!("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders")
            }
            (None, None, Some(_), None) => {
                requires!("X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date")
            }
            (None, Some(_), None, None) => {
                requires!("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Date")
            }
            (Some(_), None, None, None) => {
                requires!("X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
            }
            (None, None, None, None) => {
                requires!("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
            }
        }))
    }

    /// `X-Amz-Expires` in seconds. Without one the request is as short-lived as a signed header.
    pub(super) fn expires_seconds(&self) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.expires.as_deref() else {
            return Ok(None);
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::IncompleteSignature(EXPIRES_NOT_A_NUMBER));
        }
        match text.parse() {
            Ok(seconds) if seconds <= limit::EXPIRES_SECONDS_MAX => Ok(Some(seconds)),
            _ => Err(Refusal::IncompleteSignature(EXPIRES_TOO_LARGE)),
        }
    }
}

/// What a part of a query means; the canonical form holds two parts equal exactly if their meanings are.
fn decoded(part: &str) -> Cow<'_, str> {
    if part.contains('+') {
        Cow::Owned(percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned())
    } else {
        percent_decode_str(part).decode_utf8_lossy()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_missing_part_is_named() {
        let names = ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
        for chosen in 0..16_u8 {
            let mut query = String::from("X-Amz-Algorithm=AWS4-HMAC-SHA256");
            let mut missing = String::new();
            for (bit, name) in names.iter().enumerate() {
                if chosen & (1 << bit) == 0 {
                    missing.push_str(&format!("AWS query-string parameters must include '{name}'. "));
                } else {
                    query.push_str(&format!("&{name}=20150830T123600Z"));
                }
            }
            missing.push_str("Re-examine the query-string parameters.");
            match Presigned::find(&query).unwrap().unwrap().complete() {
                Ok((complete, date)) => {
                    assert_eq!((chosen, complete.signature, date.day()), (15, date.text(), "20150830"))
                }
                Err(refusal) => {
                    assert!(matches!(refusal, Refusal::IncompleteSignature(text) if text == missing), "{refusal:?}");
                }
            }
        }
    }

    #[test]
    fn unsigned_or_unreadable_queries() {
        for query in ["", "Action=ListKeys", "x-amz-algorithm=AWS4-HMAC-SHA256", "X-Amz-Signature=a&X-Amz-Signature=b"]
        {
            assert!(Presigned::find(query).unwrap().is_none(), "{query}");
        }
        for (query, refusal) in [
            ("X-Amz-Algorithm=AWS4-HMAC-SHA512", Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
            ("X-Amz-Algorithm", Refusal::IncompleteSignature(UNSUPPORTED_ALGORITHM)),
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=1&X%2DAmz-Date=2", Refusal::InvalidSignature),
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=AWS4-HMAC-SHA256", Refusal::InvalidSignature),
        ] {
            assert_eq!(Presigned::find(query).unwrap_err(), refusal, "{query}");
        }
    }

    #[test]
    fn lifetimes() {
        let expires = |text: &str| {
            let query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256{text}");
            Presigned::find(&query).unwrap().unwrap().expires_seconds()
        };
        assert_eq!(expires(""), Ok(None));
        assert_eq!(expires("&X-Amz-Expires=0"), Ok(Some(0)));
        assert_eq!(expires("&X-Amz-Expires=604800"), Ok(Some(604_800)));
        for text in ["604801", "4294967296", "99999999999999999999"] {
            let refusal = Refusal::IncompleteSignature(EXPIRES_TOO_LARGE);
            assert_eq!(expires(&format!("&X-Amz-Expires={text}")), Err(refusal), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "a"] {
            let refusal = Refusal::IncompleteSignature(EXPIRES_NOT_A_NUMBER);
            assert_eq!(expires(&format!("&X-Amz-Expires={text}")), Err(refusal), "{text}");
        }
    }
}
