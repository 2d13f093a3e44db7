//! The errors of KMS operations, and their one map to the wire.

use claviger_api::ServiceError;
use claviger_engine::{ApiError, CommonError, CommonNames, Fault};

/// Why a KMS operation did not succeed. Texts are AWS's (reference/errors.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KmsError {
    /// There is no such key, alias or policy.
    NotFound(String),
    /// The key, whose ARN this is, is disabled.
    Disabled(String),
    /// The key's state does not permit the operation.
    InvalidState(String),
    /// An ARN or identifier of a form that the operation does not take.
    InvalidArn(String),
    /// The key's usage or specification does not fit the operation.
    InvalidKeyUsage(String),
    /// The ciphertext, or its context, is not one that the key opens. Never says which.
    InvalidCiphertext,
    /// The signature is not one that the key made of this message.
    InvalidSignature,
    /// The MAC is not the one that the key makes of this message.
    InvalidMac,
    /// The ciphertext belongs to another key than the one named.
    IncorrectKey,
    /// The paging marker is not one of ours.
    InvalidMarker,
    /// The alias is taken.
    AlreadyExists(String),
    /// The caller may not touch this alias: the names under `alias/aws/` are reserved.
    NotAuthorized,
    /// A tag is refused.
    Tag(&'static str),
    /// A key policy is refused, with the reason.
    MalformedPolicy(String),
    /// A quota or size limit is reached.
    LimitExceeded(String),
    /// Something else that is under way, or about to be, stands against it.
    Conflict(String),
    /// The operation, or this use of it, is not offered.
    Unsupported(Option<String>),
    /// The call would have succeeded, and was asked not to do anything.
    DryRun,
    /// A grant token is not one of ours.
    InvalidGrantToken,
    /// A grant id is not of the form that ours have.
    InvalidGrantId,
    /// The key material is not the one that the request says, or not of the kind that the key needs.
    IncorrectKeyMaterial(String),
    /// The time of an import token is over.
    ExpiredImportToken,
    /// An import token is not one of ours for this key.
    InvalidImportToken,
    /// An error that belongs to no service.
    Common(CommonError),
}

impl From<CommonError> for KmsError {
    fn from(error: CommonError) -> Self {
        Self::Common(error)
    }
}

impl From<Fault> for KmsError {
    fn from(fault: Fault) -> Self {
        Self::Common(CommonError::Internal(fault))
    }
}

impl KmsError {
    /// A check beyond the model's constraints failed.
    pub(crate) fn validation(text: impl Into<String>) -> Self {
        Self::Common(CommonError::Validation(text.into()))
    }

    /// The exception's name on the wire.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFoundException",
            Self::Disabled(_) => "DisabledException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::InvalidKeyUsage(_) => "InvalidKeyUsageException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidSignature => "KMSInvalidSignatureException",
            Self::InvalidMac => "KMSInvalidMacException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::NotAuthorized => "NotAuthorizedException",
            Self::Tag(_) => "TagException",
            Self::MalformedPolicy(_) => "MalformedPolicyDocumentException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::Conflict(_) => "ConflictException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::DryRun => "DryRunOperationException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::InvalidGrantId => "InvalidGrantIdException",
            Self::IncorrectKeyMaterial(_) => "IncorrectKeyMaterialException",
            Self::ExpiredImportToken => "ExpiredImportTokenException",
            Self::InvalidImportToken => "InvalidImportTokenException",
            Self::Common(CommonError::AccessDenied(_)) => "AccessDeniedException",
            Self::Common(CommonError::Validation(_)) => "ValidationException",
            Self::Common(CommonError::Throttled) => "ThrottlingException",
            Self::Common(CommonError::Injected(error)) => error.code(),
            Self::Common(CommonError::Internal(_)) => "KMSInternalException",
        }
    }

    fn message(&self) -> Option<String> {
        match self {
            Self::NotFound(text)
            | Self::InvalidState(text)
            | Self::InvalidArn(text)
            | Self::InvalidKeyUsage(text)
            | Self::AlreadyExists(text)
            | Self::MalformedPolicy(text)
            | Self::Conflict(text)
            | Self::LimitExceeded(text)
            | Self::IncorrectKeyMaterial(text) => Some(text.clone()),
            Self::Disabled(arn) => Some(format!("{arn} is disabled.")),
            Self::IncorrectKey => {
                Some("The key ID in the request does not identify a CMK that can perform this operation.".to_owned())
            }
            Self::Tag(text) => Some((*text).to_owned()),
            Self::Unsupported(text) => text.clone(),
            Self::DryRun => Some("The request would have succeeded, but the DryRun option is set.".to_owned()),
            Self::InvalidCiphertext
            | Self::InvalidSignature
            | Self::InvalidMac
            | Self::InvalidMarker
            | Self::NotAuthorized
            | Self::InvalidGrantToken
            | Self::InvalidGrantId
            | Self::ExpiredImportToken
            | Self::InvalidImportToken => None,
            Self::Common(_) => None,
        }
    }
}

const NAMES: CommonNames = CommonNames {
    access_denied: "AccessDeniedException",
    denied_status: 400,
    validation: "ValidationException",
    internal: "KMSInternalException",
    throttling: "ThrottlingException",
    throttling_text: claviger_engine::THROTTLED,
};

impl ApiError for KmsError {
    fn service_error(&self) -> ServiceError {
        match self {
            Self::Common(error) => error.service_error(&NAMES),
            _ => ServiceError { code: self.code(), status: 400, message: self.message(), sender_fault: true },
        }
    }

    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Common(error) => error.fault(),
            _ => None,
        }
    }
}
