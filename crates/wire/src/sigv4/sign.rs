//! The client's half: signing a request in a header or in its query.

use claviger_api::Timestamp;
use claviger_crypto::{hmac_sha256, sha256};
use claviger_secret::{SecretArray, SecretBytes};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};

use super::canonical::{Covered, PathRule, push_encoded, push_hex, string_to_sign};
use super::claim::{X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use super::{ALGORITHM, TERMINATOR, limit};

/// Headers that a proxy may change, or that hold the signature itself.
const NEVER_SIGNED: [&str; 9] = [
    "authorization",
    "connection",
    "expect",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// What a client signs with.
pub struct Credentials {
    /// `AKIA...`, or `ASIA...` with a session token.
    pub access_key_id: String,
    /// The secret of that key.
    pub secret_access_key: SecretBytes,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

/// For which Region and service a signature is good.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// For instance `eu-central-1`.
    pub region: &'a str,
    /// For instance `kms`.
    pub service: &'a str,
}

/// Why a request could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Neither a `Host` header nor an authority in the URI.
    #[error("the request names no host")]
    NoHost,
    /// The access key id, session token, Region or service holds bytes that a header cannot.
    #[error("the credentials or the scope do not fit into a header")]
    BadCredentials,
    /// More than [`limit::EXPIRES_SECONDS_MAX`].
    #[error("a presigned request lives at most seven days")]
    ExpiresTooLarge,
    /// The URI does not take the signature.
    #[error("the signed URI is not valid")]
    BadUri,
}

/// `HMAC-SHA256` chained over the date (`yyyymmdd`), Region, service and `aws4_request`, from `"AWS4" + secret`.
#[must_use]
pub fn derive_signing_key(secret_access_key: &SecretBytes, date: &str, scope: Scope<'_>) -> SecretArray<32> {
    let secret = secret_access_key.expose();
    let mut start = Vec::with_capacity(secret.len().saturating_add(4));
    start.extend_from_slice(b"AWS4");
    start.extend_from_slice(secret);
    let start = SecretBytes::new(start);
    let mut key = SecretArray::new(hmac_sha256(start.expose(), date.as_bytes()));
    for part in [scope.region, scope.service, TERMINATOR] {
        key = SecretArray::new(hmac_sha256(key.expose(), part.as_bytes()));
    }
    key
}

/// Signs all headers but those that proxies change, and adds `host` (from the URI) if it is missing, `x-amz-date`,
/// `x-amz-security-token` if the credentials have a token, and `authorization`.
///
/// # Errors
/// [`SignError::NoHost`], [`SignError::BadCredentials`].
pub fn sign(
    head: &mut Parts,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    at: Timestamp,
) -> Result<(), SignError> {
    let amz_date = at.to_amz_date();
    add_host(head)?;
    head.headers.insert(X_AMZ_DATE, header(&amz_date)?);
    head.headers.remove(X_AMZ_SECURITY_TOKEN);
    if let Some(token) = &credentials.session_token {
        let mut value = header(token)?;
        value.set_sensitive(true);
        head.headers.insert(X_AMZ_SECURITY_TOKEN, value);
    }
    let signed = signed_headers(&head.headers);
    let signature = signature(head, body, credentials, scope, &amz_date, &signed)?;
    let credential = credential(credentials, scope, &amz_date);
    let value = format!("{ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={signature}");
    head.headers.insert(AUTHORIZATION, header(&value)?);
    Ok(())
}

/// Signs in the query: the headers present (and `host`) are covered and must be sent as they are.
///
/// # Errors
/// Any [`SignError`].
pub fn presign(
    head: &mut Parts,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    at: Timestamp,
    expires_seconds: u32,
) -> Result<(), SignError> {
    if expires_seconds > limit::EXPIRES_SECONDS_MAX {
        return Err(SignError::ExpiresTooLarge);
    }
    let amz_date = at.to_amz_date();
    add_host(head)?;
    let signed = signed_headers(&head.headers);
    let mut parameters = vec![
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", credential(credentials, scope, &amz_date)),
        ("X-Amz-Date", amz_date.clone()),
        ("X-Amz-SignedHeaders", signed.clone()),
        ("X-Amz-Expires", expires_seconds.to_string()),
    ];
    parameters.extend(credentials.session_token.iter().map(|token| ("X-Amz-Security-Token", token.clone())));
    for (name, value) in &parameters {
        add_to_query(&mut head.uri, name, value)?;
    }
    let signature = signature(head, body, credentials, scope, &amz_date, &signed)?;
    add_to_query(&mut head.uri, "X-Amz-Signature", &signature)
}

fn add_host(head: &mut Parts) -> Result<(), SignError> {
    if !head.headers.contains_key(HOST) {
        let authority = head.uri.authority().ok_or(SignError::NoHost)?;
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| SignError::NoHost)?;
        head.headers.insert(HOST, value);
    }
    Ok(())
}

fn header(text: &str) -> Result<HeaderValue, SignError> {
    HeaderValue::from_str(text).map_err(|_| SignError::BadCredentials)
}

fn signed_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> =
        headers.keys().map(http::HeaderName::as_str).filter(|name| !NEVER_SIGNED.contains(name)).collect();
    names.sort_unstable();
    names.join(";")
}

fn credential(credentials: &Credentials, scope: Scope<'_>, amz_date: &str) -> String {
    format!("{}/{}/{}/{}/{TERMINATOR}", credentials.access_key_id, day(amz_date), scope.region, scope.service)
}

fn day(amz_date: &str) -> &str {
    amz_date.get(..8).unwrap_or(amz_date)
}

fn signature(
    head: &Parts,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    amz_date: &str,
    signed: &str,
) -> Result<String, SignError> {
    let canonical =
        Covered::of(head, sha256(body)).canonical(signed, PathRule::of(scope.service)).ok_or(SignError::NoHost)?;
    let date = day(amz_date);
    let text = string_to_sign(amz_date, &[date, scope.region, scope.service], &sha256(&canonical));
    let key = derive_signing_key(&credentials.secret_access_key, date, scope);
    let mut digits = Vec::with_capacity(64);
    push_hex(&mut digits, &hmac_sha256(key.expose(), &text));
    Ok(String::from_utf8_lossy(&digits).into_owned())
}

fn add_to_query(uri: &mut Uri, name: &str, value: &str) -> Result<(), SignError> {
    let mut text = uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes().to_vec();
    text.push(if uri.query().is_some() { b'&' } else { b'?' });
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
    for byte in value.bytes() {
        push_encoded(&mut text, byte);
    }
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| SignError::BadUri)?);
    *uri = Uri::from_parts(parts).map_err(|_| SignError::BadUri)?;
    Ok(())
}
