//! What a request says about its own signature, before anybody has believed it.

use crate::Timestamp;

/// A parsed but unverified SigV4 signature.
///
/// `wire` reads it from the head of a request, the engine looks up the secret and compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureClaim {
    /// The access key id of the credential.
    pub access_key_id: String,
    /// The date of the credential scope, `yyyymmdd`.
    pub date: String,
    /// The Region of the credential scope.
    pub region: String,
    /// The service of the credential scope.
    pub service: String,
    /// `X-Amz-Security-Token`, when sent.
    pub session_token: Option<String>,
    /// The moment the client says it signed at.
    pub signed_at: Timestamp,
    /// `X-Amz-Expires` of a presigned request, in seconds.
    pub expires_seconds: Option<u32>,
    /// The exact text the signature covers.
    pub string_to_sign: Vec<u8>,
    /// The signature sent.
    pub signature: [u8; 32],
}
