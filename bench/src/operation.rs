//! What can be measured.

use std::fmt;

/// An operation of the interface, with the kind of key where more than one can do it. Shown as `sign-rsa-2048`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Encrypt,
    Decrypt,
    GenerateDataKey,
    /// One whose cost is nearly all the library's.
    Work(Work),
}

/// A key at work: what is measured against the bare library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) action: Action,
    pub(crate) key: Key,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Sign,
    Verify,
    Decrypt,
    GenerateMac,
    VerifyMac,
}

/// The kinds of keys, one of each family that behaves differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa2048,
    Rsa4096,
    P256,
    Ed25519,
    MlDsa65,
    Hmac256,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Decrypt => "decrypt",
            Self::GenerateMac => "generate-mac",
            Self::VerifyMac => "verify-mac",
        }
    }

    /// AWS's name of the operation.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Sign => "Sign",
            Self::Verify => "Verify",
            Self::Decrypt => "Decrypt",
            Self::GenerateMac => "GenerateMac",
            Self::VerifyMac => "VerifyMac",
        }
    }

    /// AWS's `KeyUsage` of a key that does it.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Sign | Self::Verify => "SIGN_VERIFY",
            Self::Decrypt => "ENCRYPT_DECRYPT",
            Self::GenerateMac | Self::VerifyMac => "GENERATE_VERIFY_MAC",
        }
    }
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
            Self::P256 => "p-256",
            Self::Ed25519 => "ed25519",
            Self::MlDsa65 => "ml-dsa-65",
            Self::Hmac256 => "hmac-256",
        }
    }

    /// AWS's `KeySpec`.
    pub(crate) fn spec(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa4096 => "RSA_4096",
            Self::P256 => "ECC_NIST_P256",
            Self::Ed25519 => "ECC_NIST_EDWARDS25519",
            Self::MlDsa65 => "ML_DSA_65",
            Self::Hmac256 => "HMAC_256",
        }
    }

    /// AWS's `SigningAlgorithm` or `MacAlgorithm` of what is measured.
    pub(crate) fn algorithm(self) -> &'static str {
        match self {
            Self::Rsa2048 | Self::Rsa4096 => "RSASSA_PSS_SHA_256",
            Self::P256 => "ECDSA_SHA_256",
            Self::Ed25519 => "ED25519_SHA_512",
            Self::MlDsa65 => "ML_DSA_SHAKE_256",
            Self::Hmac256 => "HMAC_SHA_256",
        }
    }

    fn actions(self) -> &'static [Action] {
        match self {
            Self::Rsa2048 | Self::Rsa4096 => &[Action::Sign, Action::Verify, Action::Decrypt],
            Self::P256 | Self::Ed25519 | Self::MlDsa65 => &[Action::Sign, Action::Verify],
            Self::Hmac256 => &[Action::GenerateMac, Action::VerifyMac],
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.action.name(), self.key.name())
    }
}

impl Work {
    /// All of them, in the order in which they are reported.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Key::Rsa2048, Key::Rsa4096, Key::P256, Key::Ed25519, Key::MlDsa65, Key::Hmac256]
            .into_iter()
            .flat_map(|key| key.actions().iter().map(move |action| Self { action: *action, key }))
    }

    /// Reads the name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::all().find(|work| work.to_string() == text).ok_or_else(|| unknown(Self::all(), text))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypt => formatter.write_str("encrypt"),
            Self::Decrypt => formatter.write_str("decrypt"),
            Self::GenerateDataKey => formatter.write_str("generate-data-key"),
            Self::Work(work) => work.fmt(formatter),
        }
    }
}

impl Operation {
    /// All of them, in the order in which they are reported.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Encrypt, Self::Decrypt, Self::GenerateDataKey].into_iter().chain(Work::all().map(Self::Work))
    }

    /// Reads the name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::all().find(|operation| operation.to_string() == text).ok_or_else(|| unknown(Self::all(), text))
    }

    /// AWS's name of the operation.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Work(work) => work.action.operation(),
        }
    }
}

fn unknown<T: fmt::Display>(known: impl Iterator<Item = T>, text: &str) -> String {
    let known: Vec<_> = known.map(|one| one.to_string()).collect();
    format!("`{text}` is none of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Operation, Work};

    #[test]
    fn names_are_read_back() {
        for operation in Operation::all() {
            assert_eq!(Operation::parse(&operation.to_string()), Ok(operation));
        }
        for work in Work::all() {
            assert_eq!(Operation::parse(&work.to_string()), Ok(Operation::Work(work)));
            assert_eq!(Work::parse(&work.to_string()), Ok(work));
        }
        assert!(Work::parse("encrypt").unwrap_err().contains("sign-rsa-2048, verify-rsa-2048, decrypt-rsa-2048"));
    }
}
