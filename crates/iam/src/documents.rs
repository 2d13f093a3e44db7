//! Identity policies: checked when saved, counted against quotas, and percent-encoded when shown.

use claviger_policy::{Document, Limits, Malformed};

use crate::{IamError, condition_keys};

/// What an identity policy may be and may ask for. The one place: what is saved by it is read again by it.
const LIMITS: Limits =
    Limits { condition_keys: condition_keys::TABLES, own_services: &["kms", "iam", "sts"], ..Limits::IDENTITY_POLICY };

/// The text compiled.
pub(crate) fn compile(text: &str) -> Result<Document, Malformed> {
    Document::parse_identity_policy(text, &LIMITS)
}

/// The text of a key policy compiled, for simulation.
pub(crate) fn compile_key_policy(text: &str) -> Result<Document, Malformed> {
    Document::parse_key_policy(text, &Limits { condition_keys: condition_keys::TABLES, ..Limits::KEY_POLICY })
}

/// Refuses a text that is not an identity policy.
pub(crate) fn check(text: &str) -> Result<(), IamError> {
    compile(text).map(drop).map_err(|malformed| IamError::MalformedPolicyDocument(malformed.message().to_owned()))
}

/// A document as IAM's answers show it: percent-encoded as RFC 3986 says, a space as `%20`.
pub(crate) fn encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len().saturating_mul(2));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
            continue;
        }
        encoded.push('%');
        for half in [byte >> 4, byte & 15] {
            encoded.extend(DIGITS.get(usize::from(half)).map(|digit| char::from(*digit)));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_percent_encoded() {
        assert_eq!(encoded("{\"a\": \"b+c%20~ÿ\"}"), "%7B%22a%22%3A%20%22b%2Bc%2520~%C3%BF%22%7D");
    }

    #[test]
    fn what_is_not_evaluated_is_not_saved() {
        let policy = |rest: &str| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"kms:*","Resource":"*"{rest}}}]}}"#
            )
        };
        assert!(check(&policy("")).is_ok());
        assert!(check(&policy(r#","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#)).is_ok());
        assert!(check(&policy(r#","Condition":{"StringEquals":{"kms:NoSuchKey":"x"}}"#)).is_err());
        assert!(check(&policy(r#","Principal":"*""#)).is_err());
        assert!(check("{").is_err());
    }
}
