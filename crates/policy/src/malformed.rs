//! Why a text is not a policy here, in AWS's words where they are known.

use std::fmt;

use crate::principal::PrincipalName;

/// What sort of refusal it is; services map it to their errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedKind {
    /// Longer than [`crate::Limits::bytes_max`].
    TooLong,
    /// Not JSON, or not the grammar of a policy.
    Syntax,
    /// A principal that cannot be one.
    InvalidPrincipal,
    /// Part of the policy language, but not evaluated by this server.
    Unsupported,
}

/// Why a text is not a policy here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    kind: MalformedKind,
    message: String,
}

impl Malformed {
    /// The sort of refusal.
    #[must_use]
    pub const fn kind(&self) -> MalformedKind {
        self.kind
    }

    /// The text for the caller, in the manner of MalformedPolicyDocumentException.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The refusal of a principal that does not exist, for those who know which exist.
    #[must_use]
    pub fn invalid_principal() -> Self {
        let message = "Policy contains a statement with one or more invalid principals.".to_owned();
        Self { kind: MalformedKind::InvalidPrincipal, message }
    }

    /// The refusal of a principal of a trust policy that does not exist, for those who know which exist; Terraform
    /// waits for exactly this text to go away.
    #[must_use]
    pub fn invalid_trust_principal(name: &PrincipalName) -> Self {
        let kind = match name {
            PrincipalName::Service(_) => "SERVICE",
            PrincipalName::Federated(..) => "FEDERATED",
            _ => "AWS",
        };
        Self::trust_principal(kind, &name.to_string())
    }

    pub(crate) fn trust_principal(kind: &str, text: &str) -> Self {
        let message = format!("Invalid principal in policy: \"{kind}\":\"{text}\"");
        Self { kind: MalformedKind::InvalidPrincipal, message }
    }

    pub(crate) fn too_long(bytes_max: usize) -> Self {
        let message = format!("The policy is longer than {bytes_max} bytes.");
        Self { kind: MalformedKind::TooLong, message }
    }

    /// The refusal of a key policy that would lock its author out.
    #[must_use]
    pub fn lockout() -> Self {
        let message = "The new key policy will not allow you to update the key policy in the future.".to_owned();
        Self { kind: MalformedKind::Syntax, message }
    }

    /// The refusal of what does not fit the grammar.
    pub(crate) fn grammar() -> Self {
        Self::syntax("Syntax errors in policy.")
    }

    pub(crate) fn overly_permissive() -> Self {
        Self::syntax(
            "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches \
             requests without the specified [encryption context or tag] or with an unspecified [encryption context or \
             tag]. To fix, remove ForAllValues.",
        )
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self { kind: MalformedKind::Syntax, message: message.into() }
    }

    pub(crate) fn unsupported(element: &str) -> Self {
        let message = format!("Policy contains a statement with an element that is not supported: {element}.");
        Self { kind: MalformedKind::Unsupported, message }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}
