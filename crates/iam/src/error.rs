//! The errors of IAM and STS operations, and their one map to the wire.

use claviger_api::ServiceError;
use claviger_engine::{ApiError, CommonError, CommonNames, Fault};

/// Why an IAM or STS operation did not succeed (reference/iam-sts.md section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IamError {
    /// The named thing is not there.
    NoSuchEntity(String),
    /// The name is taken.
    EntityAlreadyExists(String),
    /// Something still hangs on what was to be deleted.
    DeleteConflict(String),
    /// A quota is reached.
    LimitExceeded(String),
    /// A policy document is none, or says what is not evaluated here.
    MalformedPolicyDocument(String),
    /// The request makes no sense although every member of it does.
    InvalidInput(String),
    /// One-time codes that are not the device's.
    InvalidAuthenticationCode,
    /// An error of STS.
    Sts(crate::StsError),
    /// An error that belongs to no service.
    Common(CommonError),
}

impl IamError {
    /// A check beyond the model's constraints failed.
    pub(crate) fn validation(text: impl Into<String>) -> Self {
        Self::Common(CommonError::Validation(text.into()))
    }

    /// A quota by AWS's name for it.
    pub(crate) fn quota(name: &str, most: impl std::fmt::Display) -> Self {
        Self::LimitExceeded(format!("Cannot exceed quota for {name}: {most}"))
    }
}

impl From<CommonError> for IamError {
    fn from(error: CommonError) -> Self {
        Self::Common(error)
    }
}

impl From<Fault> for IamError {
    fn from(fault: Fault) -> Self {
        Self::Common(CommonError::Internal(fault))
    }
}

const NAMES: CommonNames = CommonNames {
    access_denied: "AccessDenied",
    denied_status: 403,
    validation: "ValidationError",
    internal: "ServiceFailure",
    throttling: "Throttling",
    throttling_text: "Rate exceeded",
};

impl ApiError for IamError {
    fn service_error(&self) -> ServiceError {
        match self {
            Self::NoSuchEntity(text) => ServiceError::sender("NoSuchEntity", 404, text.clone()),
            Self::EntityAlreadyExists(text) => ServiceError::sender("EntityAlreadyExists", 409, text.clone()),
            Self::DeleteConflict(text) => ServiceError::sender("DeleteConflict", 409, text.clone()),
            Self::LimitExceeded(text) => ServiceError::sender("LimitExceeded", 409, text.clone()),
            Self::MalformedPolicyDocument(text) => ServiceError::sender("MalformedPolicyDocument", 400, text.clone()),
            Self::InvalidInput(text) => ServiceError::sender("InvalidInput", 400, text.clone()),
            Self::InvalidAuthenticationCode => ServiceError::sender(
                "InvalidAuthenticationCode",
                403,
                "Authentication code for device is not valid.".to_owned(),
            ),
            Self::Sts(error) => error.service_error(),
            Self::Common(error) => error.service_error(&NAMES),
        }
    }

    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Common(error) => error.fault(),
            _ => None,
        }
    }
}
