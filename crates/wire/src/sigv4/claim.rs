//! From a request to what it claims about its signature.

use std::borrow::Cow;

use claviger_api::{Operation, Refusal, SignatureClaim};
use claviger_crypto::sha256;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::authorization::{Complete, Credential, Parameters, signature};
use super::canonical::{Covered, PathRule, push_hex, string_to_sign};
use super::date::SignedDate;
use super::presigned::Presigned;

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(super) const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(super) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Reads the signature of a request, from its `Authorization` header or its query, and rebuilds the text signed.
///
/// `body` is hashed whatever the request says; `x-amz-content-sha256` may repeat the hash but not replace it. The
/// signed headers must hold `host`, the date header used, and `x-amz-target` and `x-amz-security-token` when sent; and
/// what gives a request its meaning must not be sent twice.
///
/// # Errors
/// `MissingAuthenticationToken` when nothing is signed; `IncompleteSignature`, with AWS's text, when a part is missing
/// or cannot be read; `ScopeRegion` and `UnrecognizedClient` for names that no Region and no access key can have;
/// `InvalidSignature` for whatever cannot have been signed well.
pub fn claim(head: &Parts, body: &[u8]) -> Result<SignatureClaim, Refusal> {
    let presigned = Presigned::find(head.uri.query().unwrap_or(""))?;
    match (single(&head.headers, &AUTHORIZATION)?, presigned) {
        (None, None) => Err(Refusal::MissingAuthenticationToken),
        (Some(_), Some(_)) => Err(Refusal::InvalidSignature),
        (Some(header), None) => from_header(head, body, header),
        (None, Some(presigned)) => from_query(head, body, &presigned),
    }
}

/// Checks that the signature was made for the service of this operation: one made for another service is no use here.
///
/// # Errors
/// `ScopeService`, naming the service expected.
pub fn check_scope(claim: &SignatureClaim, operation: Operation) -> Result<(), Refusal> {
    let service = operation.service();
    if claim.service == service { Ok(()) } else { Err(Refusal::ScopeService(service)) }
}

/// A signature in either place.
struct Signed<'a> {
    parameters: Complete<'a>,
    date: SignedDate,
    /// The header that holds the date, if a header does.
    date_header: Option<HeaderName>,
    session_token: Option<Cow<'a, str>>,
    expires_seconds: Option<u32>,
}

fn from_header(head: &Parts, body: &[u8], authorization: &HeaderValue) -> Result<SignatureClaim, Refusal> {
    // A header of other than visible ASCII names no scheme that AWS knows.
    let authorization = authorization.to_str().map_err(|_| Refusal::MissingAuthenticationToken)?;
    let parameters = Parameters::parse(authorization)?;
    let amz_date = text(&head.headers, &X_AMZ_DATE)?;
    let http_date = if amz_date.is_some() { None } else { text(&head.headers, &DATE)? };
    let parameters = parameters.complete(amz_date.or(http_date).is_some())?;
    let (date, date_header) = match (amz_date, http_date) {
        (Some(amz_date), _) => (SignedDate::parse(amz_date)?, X_AMZ_DATE),
        (None, http_date) => (SignedDate::parse_http(http_date.unwrap_or(""))?, DATE),
    };
    let session_token = text(&head.headers, &X_AMZ_SECURITY_TOKEN)?.map(Cow::Borrowed);
    let signed = Signed { parameters, date, date_header: Some(date_header), session_token, expires_seconds: None };
    checked(head, body, signed)
}

fn from_query(head: &Parts, body: &[u8], presigned: &Presigned<'_>) -> Result<SignatureClaim, Refusal> {
    let (parameters, date) = presigned.complete()?;
    let session_token = match (presigned.session_token.as_deref(), text(&head.headers, &X_AMZ_SECURITY_TOKEN)?) {
        (Some(_), Some(_)) => return Err(Refusal::InvalidSignature),
        (in_query, in_header) => in_query.or(in_header).map(Cow::Borrowed),
    };
    let expires_seconds = presigned.expires_seconds()?;
    checked(head, body, Signed { parameters, date, date_header: None, session_token, expires_seconds })
}

/// Everything that both places have in common.
fn checked(head: &Parts, body: &[u8], signed: Signed<'_>) -> Result<SignatureClaim, Refusal> {
    let Complete { credential, signed_headers, signature: digits } = signed.parameters;
    let credential = Credential::parse(credential, signed.date.day())?;
    let signature = signature(digits)?;
    check_coverage(&head.headers, signed_headers, signed.date_header.as_ref())?;
    let body_hash = sha256(body);
    check_content_hash(&head.headers, &body_hash)?;
    let canonical = Covered::of(head, body_hash)
        .canonical(signed_headers, PathRule::of(credential.service))
        .ok_or(Refusal::InvalidSignature)?;
    let scope = [credential.date, credential.region, credential.service];
    Ok(SignatureClaim {
        access_key_id: credential.access_key_id.to_owned(),
        date: credential.date.to_owned(),
        region: credential.region.to_owned(),
        service: credential.service.to_owned(),
        session_token: signed.session_token.map(Cow::into_owned),
        signed_at: signed.date.moment,
        expires_seconds: signed.expires_seconds,
        string_to_sign: string_to_sign(signed.date.text(), &scope, &sha256(&canonical)),
        signature,
    })
}

/// The list of signed headers is canonical and holds all that it must.
fn check_coverage(headers: &HeaderMap, signed: &str, date: Option<&HeaderName>) -> Result<(), Refusal> {
    let (mut host, mut dated, mut target, mut token) = (false, date.is_none(), false, false);
    let mut previous = "";
    for name in signed.split(';') {
        // Ascending without repeats also means that no name is empty. A colon or a line break in a name would let one
        // canonical text stand for two requests; `HeaderName` refuses both, and here upper case is refused too.
        let canonical = previous < name
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':');
        if !canonical {
            return Err(Refusal::InvalidSignature);
        }
        previous = name;
        host |= name == HOST.as_str();
        dated |= date.is_some_and(|date| name == date.as_str());
        target |= name == X_AMZ_TARGET.as_str();
        token |= name == X_AMZ_SECURITY_TOKEN.as_str();
    }
    single(headers, &HOST)?;
    single(headers, &CONTENT_TYPE)?;
    let covered = host
        && dated
        && (single(headers, &X_AMZ_TARGET)?.is_none() || target)
        && (token || !headers.contains_key(&X_AMZ_SECURITY_TOKEN));
    if covered { Ok(()) } else { Err(Refusal::InvalidSignature) }
}

/// `x-amz-content-sha256`, when sent, is the hash of the body: neither another hash nor `UNSIGNED-PAYLOAD`.
fn check_content_hash(headers: &HeaderMap, body_hash: &[u8; 32]) -> Result<(), Refusal> {
    let Some(sent) = single(headers, &X_AMZ_CONTENT_SHA256)? else {
        return Ok(());
    };
    let mut expected = Vec::with_capacity(64);
    push_hex(&mut expected, body_hash);
    if sent.as_bytes() == expected { Ok(()) } else { Err(Refusal::InvalidSignature) }
}

/// The one value of a header. Two values would let the reader of the first and the reader of the last differ.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(Refusal::InvalidSignature) } else { Ok(value) }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    single(headers, name)?.map(|value| value.to_str().map_err(|_| Refusal::InvalidSignature)).transpose()
}
