//! The errors of IAM and STS operations, and their one map to the wire.

use claviger_api::ServiceError;
use claviger_engine::{ApiError, CommonError, CommonNames, Fault};

/// Why an IAM or STS operation did not succeed (reference/iam-sts.md section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IamError {
    /// The named thing is not there.
    NoSuchEntity(String),
    /// A quota is reached.
    LimitExceeded(&'static str),
    /// An error that belongs to no service.
    Common(CommonError),
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
};

impl ApiError for IamError {
    fn service_error(&self) -> ServiceError {
        match self {
            Self::NoSuchEntity(text) => ServiceError::sender("NoSuchEntity", 404, text.clone()),
            Self::LimitExceeded(text) => ServiceError::sender("LimitExceeded", 409, *text),
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
