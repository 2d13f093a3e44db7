//! The one way out: what a service may fetch from elsewhere.

use claviger_secret::LogSafe;
use claviger_store::BoxFuture;

/// Fetches documents from other hosts. Whoever implements it decides which hosts may be asked, and bounds time and size.
pub trait Egress: Send + Sync {
    /// The document at an `https://` URL.
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>>;
}

/// A document that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub body: Vec<u8>,
    /// For how many seconds it may be kept, where its host said so.
    pub fresh_seconds: Option<u64>,
}

/// Why a document was not fetched. Says nothing that the host sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The URL is none, or its host may not be asked.
    #[error("the host may not be asked")]
    Refused,
    /// There is no such host, or it does not answer as HTTP.
    #[error("the host cannot be reached")]
    Unreachable,
    /// It took too long.
    #[error("the host took too long")]
    TimedOut,
    /// Its certificate is not one for the host by an authority that is trusted.
    #[error("the host's certificate is not trusted")]
    Certificate,
    /// Another status than 200, or a document that is too large.
    #[error("the host's answer is not usable")]
    Unusable,
}

impl LogSafe for EgressError {}
