//! The errors that only STS has, and their one map to the wire.

use claviger_api::ServiceError;

/// Why STS gave no credentials (reference/iam-sts.md sections 4 and 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsError {
    /// Members of the request contradict each other.
    InvalidParameterValue(String),
    /// Session policies and tags together are too large; what of them, and how many percent of the room they take.
    PackedPolicyTooLarge(Packed, u32),
    /// Credentials that may not call this operation.
    InvalidClientTokenId,
    /// An encoded message that this deployment did not make.
    InvalidAuthorizationMessage,
    /// A web identity token that is none, or is not believed.
    InvalidIdentityToken(String),
    /// A web identity token that has expired.
    ExpiredIdentityToken(String),
    /// The identity provider did not answer.
    IdpCommunication,
}

/// What is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// The session policies, with the tags.
    Policy,
    /// The session tags alone.
    Tags,
}

impl StsError {
    pub(crate) fn service_error(&self) -> ServiceError {
        let (code, status, text) = match self {
            Self::InvalidParameterValue(text) => ("InvalidParameterValue", 400, text.clone()),
            Self::PackedPolicyTooLarge(Packed::Policy, percent) => (
                "PackedPolicyTooLarge",
                400,
                format!("Packed policy consumes {percent}% of allotted space, please use smaller policy."),
            ),
            Self::PackedPolicyTooLarge(Packed::Tags, percent) => (
                "PackedPolicyTooLarge",
                400,
                format!("Packed size of session tags consumes {percent}% of allotted space."),
            ),
            Self::InvalidClientTokenId => {
                ("InvalidClientTokenId", 403, "The security token included in the request is invalid.".to_owned())
            }
            Self::InvalidAuthorizationMessage => (
                "InvalidAuthorizationMessageException",
                400,
                "Message is not a valid encoded authorization message.".to_owned(),
            ),
            Self::InvalidIdentityToken(text) => ("InvalidIdentityToken", 400, text.clone()),
            Self::ExpiredIdentityToken(text) => ("ExpiredTokenException", 400, text.clone()),
            Self::IdpCommunication => (
                "IDPCommunicationError",
                400,
                "The identity provider could not be reached to verify the incoming identity token.".to_owned(),
            ),
        };
        ServiceError::sender(code, status, text)
    }
}
