//! What a policy may be made of, and how long policies may be.

use crate::key::ConditionKey;
use crate::shared_issuer::SharedIssuer;

/// What a document may cost and ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes of UTF-8.
    pub bytes_max: usize,
    /// Tables of the condition keys whose values the caller supplies completely in [`crate::Context`]. A policy that
    /// asks for any other is refused, since a key that is never there makes a Deny fail open. Empty: no conditions and
    /// no variables at all.
    pub condition_keys: &'static [&'static [ConditionKey]],
    /// The families of keys, by their common beginning, with which `ForAllValues` is refused as overly permissive.
    pub for_all_values_refused: &'static [&'static str],
    /// The prefixes of the services that are here, e.g. `kms`. In an identity policy, a statement with an `Action`
    /// element none of whose patterns can match theirs decides nothing here, so it may ask for any condition key.
    /// Empty: every statement is held to the tables.
    pub own_services: &'static [&'static str],
    /// Whether the claims of providers' tokens may be asked for: `HOST/PATH:sub` and the like, which the caller
    /// supplies for sessions that began with one. Any issuer counts: a token of another never was here, which is a
    /// fact.
    pub provider_keys: bool,
    /// The issuers that a trust policy may name only with a condition on one of these claims.
    pub shared_issuers: &'static [SharedIssuer],
}

impl Limits {
    /// The limit of a key policy, 32768 bytes, before the service adds its condition keys.
    pub const KEY_POLICY: Self = Self {
        bytes_max: 32_768,
        condition_keys: &[],
        for_all_values_refused: &[],
        own_services: &[],
        provider_keys: false,
        shared_issuers: &[],
    };
    /// The limit of a document parameter of IAM and STS, 131072 characters (U+00FF takes two bytes), before the
    /// services add their condition keys and prefixes. How much may be attached is a matter of [`policy_size`].
    pub const IDENTITY_POLICY: Self = Self { bytes_max: 262_144, provider_keys: true, ..Self::KEY_POLICY };
    /// The same limit for a role's trust policy.
    pub const TRUST_POLICY: Self = Self::IDENTITY_POLICY;
}

impl Default for Limits {
    fn default() -> Self {
        Self::KEY_POLICY
    }
}

/// How much of IAM's quotas a policy takes: its characters that are not white space (IAM quotas, "IAM doesn't count
/// white space").
#[must_use]
pub fn policy_size(text: &str) -> usize {
    text.chars().filter(|character| !matches!(character, ' ' | '\t' | '\n' | '\r')).count()
}

/// The most that all inline policies of a user may come to, by [`policy_size`].
pub const USER_INLINE_SIZE_MAX: usize = 2_048;
/// The most that all inline policies of a group may come to.
pub const GROUP_INLINE_SIZE_MAX: usize = 5_120;
/// The most that all inline policies of a role may come to.
pub const ROLE_INLINE_SIZE_MAX: usize = 10_240;
/// The most that one version of a managed policy may come to.
pub const MANAGED_POLICY_SIZE_MAX: usize = 6_144;
/// The most that a trust policy may come to; the default of an adjustable quota. Whether AWS counts its white space is
/// not known.
pub const TRUST_POLICY_SIZE_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::policy_size;

    #[test]
    fn white_space_is_not_counted() {
        assert_eq!(policy_size(" {\t\"a b\" :\r\n\"\u{e9}\u{a0}\" } "), 11);
    }
}
