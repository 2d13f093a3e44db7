//! Names, paths, ARNs and unique ids.

use claviger_engine::{Call, Fault};

/// The three kinds of identity that policies are attached to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    /// As in an ARN, and in AWS's sentences.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// As at the beginning of a sentence, and in the names of quotas.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }

    /// How unique ids begin.
    pub(crate) const fn id_prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
        }
    }

    /// Most of them in an account.
    pub(crate) const fn most(self) -> u32 {
        match self {
            Self::User => 5_000,
            Self::Group => 300,
            Self::Role => 1_000,
        }
    }

    /// Most characters of all its inline policies together, white space left out.
    pub(crate) const fn inline_most(self) -> usize {
        match self {
            Self::User => 2_048,
            Self::Group => 5_120,
            Self::Role => 10_240,
        }
    }
}

/// The ARN of a user, group, role, policy (`word`) or MFA device (`mfa`). The path begins and ends with `/`.
pub(crate) fn arn(account: &str, word: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{word}{path}{name}")
}

/// Path and name in the ARN of something of this account: `/a/b/name` behind `arn:aws:iam::ACCOUNT:word`.
pub(crate) fn split<'a>(text: &'a str, account: &str, word: &str) -> Option<(&'a str, &'a str)> {
    let rest = text.strip_prefix("arn:aws:iam::")?.strip_prefix(account)?.strip_prefix(':')?.strip_prefix(word)?;
    let at = rest.starts_with('/').then(|| rest.rfind('/'))??;
    let (path, name) = rest.split_at_checked(at.checked_add(1)?)?;
    (!name.is_empty()).then_some((path, name))
}

/// Session and role of `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
pub(crate) fn session_role(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.rsplitn(3, '/');
    let (session, role) = (parts.next()?, parts.next()?);
    Some((session, role))
}

/// Names are told apart without regard to case.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The path of a new entity: `/` when the request has none.
pub(crate) fn path_of(path: Option<&String>) -> String {
    path.cloned().unwrap_or_else(|| "/".to_owned())
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Characters of the alphabet, picked without bias: the alphabets have 32 and 64 letters, which divide 256.
pub(crate) fn letters<const N: usize>(random: &[u8], alphabet: &[u8; N]) -> Vec<u8> {
    // Room for all at once: these may be a secret, and a vector that grows leaves its old bytes behind.
    let mut letters = Vec::with_capacity(random.len());
    letters.extend(random.iter().filter_map(|byte| alphabet.get(usize::from(*byte) % N)));
    letters
}

/// A fresh unique id: the prefix and 17 random characters.
pub(crate) fn unique_id(call: &Call<'_>, prefix: &str) -> Result<String, Fault> {
    let random = letters(&call.random::<17>()?, ALPHABET);
    Ok(format!("{prefix}{}", String::from_utf8_lossy(&random)))
}

/// A fresh access key id: `AKIA` and 16 random characters.
pub(crate) fn access_key_id(call: &Call<'_>) -> Result<String, Fault> {
    let random = letters(&call.random::<16>()?, ALPHABET);
    Ok(format!("AKIA{}", String::from_utf8_lossy(&random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_come_apart_only_in_their_own_account_and_kind() {
        let text = arn("111122223333", "policy", "/a/b/", "name");
        assert_eq!(text, "arn:aws:iam::111122223333:policy/a/b/name");
        assert_eq!(split(&text, "111122223333", "policy"), Some(("/a/b/", "name")));
        assert_eq!(split(&arn("111122223333", "policy", "/", "n"), "111122223333", "policy"), Some(("/", "n")));
        assert_eq!(split(&text, "111122223334", "policy"), None);
        assert_eq!(split(&text, "111122223333", "user"), None);
        for bad in ["arn:aws:iam::111122223333:policy", "arn:aws:iam::111122223333:policy/", "policy/x", ""] {
            assert_eq!(split(bad, "111122223333", "policy"), None, "{bad}");
        }
    }
}
