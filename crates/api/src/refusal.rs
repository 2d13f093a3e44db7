//! Why a request was turned away before it became a call.

use std::fmt;

use claviger_secret::LogSafe;

use crate::Timestamp;

/// The protocol a request is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// awsJson 1.1 (KMS).
    Json,
    /// awsQuery (IAM and STS): form in, XML out.
    Query,
}

/// A request refused before a call exists.
///
/// Closed, and without anything the client sent except its own clock: a refusal can be counted, logged and
/// recorded as it is. Codes and texts per protocol are in `wire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is signed.
    MissingAuthenticationToken,
    /// The signature cannot be read; names the part that is missing or malformed.
    IncompleteSignature(&'static str),
    /// The access key is unknown or inactive, or the session token is not this key's.
    UnrecognizedClient,
    /// The session has expired.
    ExpiredToken,
    /// The signature is wrong.
    InvalidSignature,
    /// The request was signed too long ago.
    SignatureExpired {
        /// When the client says it signed (or, presigned, when the signature ran out).
        request: Timestamp,
        /// The earliest moment accepted.
        limit: Timestamp,
        /// This server's clock.
        now: Timestamp,
        /// The allowed difference in seconds.
        window_seconds: u32,
    },
    /// The request was signed in the future.
    SignatureNotYetCurrent {
        /// When the client says it signed.
        request: Timestamp,
        /// The latest moment accepted.
        limit: Timestamp,
        /// This server's clock.
        now: Timestamp,
        /// The allowed difference in seconds.
        window_seconds: u32,
    },
    /// The credential names another Region.
    ScopeRegion,
    /// The credential names another service than this one.
    ScopeService(&'static str),
    /// The credential names another Region and another service than this one.
    ScopeRegionAndService(&'static str),
    /// There is no such operation.
    UnknownOperation,
    /// The body cannot be read: bad JSON, a wrong JSON type, bad base64, a duplicate member.
    Serialization,
    /// The body is over the limit.
    BodyTooLarge,
    /// Neither POST nor, in the Query protocol, GET.
    MethodNotAllowed,
    /// Something failed here, or the record of the call could not be written.
    InternalFailure,
    /// The server cannot take the call now: sealed, overloaded or shutting down.
    ServiceUnavailable,
    /// Forbidden by a guard of this server that AWS does not have.
    Forbidden,
}

impl Refusal {
    /// A short name for counters, log lines and records.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::IncompleteSignature(_) => "IncompleteSignature",
            Self::UnrecognizedClient => "UnrecognizedClient",
            Self::ExpiredToken => "ExpiredToken",
            Self::InvalidSignature => "InvalidSignature",
            Self::SignatureExpired { .. } => "SignatureExpired",
            Self::SignatureNotYetCurrent { .. } => "SignatureNotYetCurrent",
            Self::ScopeRegion => "ScopeRegion",
            Self::ScopeService(_) => "ScopeService",
            Self::ScopeRegionAndService(_) => "ScopeRegionAndService",
            Self::UnknownOperation => "UnknownOperation",
            Self::Serialization => "Serialization",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::InternalFailure => "InternalFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Forbidden => "Forbidden",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl LogSafe for Refusal {}
