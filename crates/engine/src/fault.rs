//! Errors that every service shares, and the faults that only the operator sees in full.

use claviger_api::ServiceError;
use claviger_crypto::CryptoError;
use claviger_secret::LogSafe;
use claviger_store::{CommitError, StoreError};

/// Something of ours is wrong. The caller learns only that; the log says what.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The store did not answer.
    #[error("the store did not answer")]
    Store,
    /// A commit failed, or its outcome is unknown.
    #[error("a commit could not be completed")]
    Commit,
    /// A row does not open under our keys: it was edited, moved, or belongs to another deployment.
    #[error("the row {0} does not open: it was altered, moved or replaced")]
    RowAltered(String),
    /// A row belongs to a group whose live rows do not add up: one was dropped or replayed.
    #[error("the row {0} is in a group whose rows do not add up: a row was dropped or replayed")]
    RowGroup(String),
    /// A record opened but does not decode.
    #[error("the record {0} does not decode")]
    RecordMalformed(String),
    /// A record that another one names is not there.
    #[error("the record {0} is missing")]
    RecordMissing(String),
    /// The random source gave nothing.
    #[error("the random source gave nothing")]
    Randomness,
    /// A cryptographic call failed.
    #[error("a cryptographic call failed")]
    Cryptography,
    /// Too many commits in a row met a conflicting one.
    #[error("too many conflicting commits")]
    Contention,
    /// The audit log could not take the record.
    #[error("the audit log could not take the record")]
    Audit,
    /// The audit log is shorter than the store remembers.
    #[error("the audit log is shorter than the store remembers: entries were dropped or the log was replaced")]
    AuditCut,
    /// What the caller asked for does not fit one commit.
    #[error("the change does not fit one commit")]
    TooLarge,
    /// Heavy work panicked, or the engine ended before its turn came ([`crate::Call::heavy`]).
    #[error("heavy work ended without a result")]
    WorkLost,
    /// The operating system gave no threads for heavy work.
    #[error("the threads for heavy work could not be started")]
    Threads,
}

impl LogSafe for Fault {}

impl From<StoreError> for Fault {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

impl From<CommitError> for Fault {
    fn from(_: CommitError) -> Self {
        Self::Commit
    }
}

impl From<CryptoError> for Fault {
    fn from(_: CryptoError) -> Self {
        Self::Cryptography
    }
}

/// Errors that belong to no service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommonError {
    /// Authorization said no; the text is AWS's sentence.
    AccessDenied(String),
    /// A check beyond the model's constraints failed.
    Validation(String),
    /// The account asks for more at once, or more often, than it may.
    Throttled,
    /// A fault injected by the user of `claviger dev`.
    Injected(InjectedError),
    /// Ours; the caller learns nothing more.
    Internal(Fault),
}

impl From<Fault> for CommonError {
    fn from(fault: Fault) -> Self {
        Self::Internal(fault)
    }
}

/// The errors that `POST /_claviger/faults` can inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedError {
    /// `ThrottlingException`.
    Throttling,
    /// `KMSInternalException`.
    Internal,
    /// `DependencyTimeoutException`.
    DependencyTimeout,
    /// `KeyUnavailableException`.
    KeyUnavailable,
}

impl InjectedError {
    /// The exception's name on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Throttling => "ThrottlingException",
            Self::Internal => "KMSInternalException",
            Self::DependencyTimeout => "DependencyTimeoutException",
            Self::KeyUnavailable => "KeyUnavailableException",
        }
    }

    /// The injectable error with this name on the wire.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Throttling, Self::Internal, Self::DependencyTimeout, Self::KeyUnavailable]
            .into_iter()
            .find(|error| error.code() == code)
    }

    const fn status(self) -> u16 {
        match self {
            Self::Throttling => 400,
            Self::Internal | Self::KeyUnavailable => 500,
            Self::DependencyTimeout => 503,
        }
    }
}

/// The throttling text of the KMS guide (reference/errors.md).
pub const THROTTLED: &str = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";

/// What an error of a service must be able to say about itself.
pub trait ApiError: From<CommonError> + Send + 'static {
    /// The error as it goes over the wire.
    fn service_error(&self) -> ServiceError;
    /// The fault behind an internal error, for the operator's log.
    fn fault(&self) -> Option<&Fault>;
}

impl CommonError {
    /// The error as it goes over the wire. `internal` is the service's name for an internal error.
    #[must_use]
    pub fn service_error(&self, names: &CommonNames) -> ServiceError {
        let (code, status, message) = match self {
            Self::AccessDenied(text) => (names.access_denied, names.denied_status, Some(text.clone())),
            // Some refusals of AWS come without a text.
            Self::Validation(text) => (names.validation, 400, (!text.is_empty()).then(|| text.clone())),
            Self::Throttled => (names.throttling, 400, Some(names.throttling_text.to_owned())),
            Self::Injected(error) => {
                let text = matches!(error, InjectedError::Throttling).then(|| THROTTLED.to_owned());
                (error.code(), error.status(), text)
            }
            Self::Internal(_) => (names.internal, 500, None),
        };
        ServiceError { code, status, message, sender_fault: status < 500 }
    }

    /// The fault behind an internal error.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Internal(fault) => Some(fault),
            _ => None,
        }
    }
}

/// How one service spells the common errors.
pub struct CommonNames {
    /// `AccessDeniedException` or `AccessDenied`.
    pub access_denied: &'static str,
    /// 400 for awsJson services, 403 for awsQuery ones.
    pub denied_status: u16,
    /// `ValidationException` or `ValidationError`.
    pub validation: &'static str,
    /// `KMSInternalException` or `ServiceFailure`.
    pub internal: &'static str,
    /// `ThrottlingException` or `Throttling`.
    pub throttling: &'static str,
    /// What the service says then, for example [`THROTTLED`].
    pub throttling_text: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_reads_as_the_service_spells_it() {
        let names = CommonNames {
            access_denied: "",
            denied_status: 403,
            validation: "",
            internal: "",
            throttling: "Throttling",
            throttling_text: "Rate exceeded",
        };
        let error = CommonError::Throttled.service_error(&names);
        assert_eq!((error.code, error.status, error.sender_fault), ("Throttling", 400, true));
        assert_eq!(error.message.as_deref(), Some("Rate exceeded"));
        assert_eq!(CommonError::Throttled.fault(), None);
    }
}
