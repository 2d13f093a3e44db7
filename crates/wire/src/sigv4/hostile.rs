//! Requests that lie: each must be refused, or lead to another text than the one that was signed.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_api::{Operation, Refusal, SignatureClaim, Timestamp, kms, sts};
use claviger_crypto::hmac_sha256;
use claviger_secret::SecretBytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};
use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::{Credentials, Scope, check_scope, claim, derive_signing_key, presign, sign};

const BODY: &[u8] = br#"{"KeyId":"alias/app","Plaintext":"c2VjcmV0"}"#;
const SCOPE: Scope<'_> = Scope { region: "eu-central-1", service: "kms" };
const SIGNED_AT: Timestamp = Timestamp::from_seconds(1_767_323_045);

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SecretBytes::from_slice(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: Some("token//+==".to_owned()),
    }
}

fn unsigned() -> Parts {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("host", "kms.eu-central-1.example:8080")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "TrentService.Encrypt")
        .header("user-agent", "sdk/1");
    request.body(()).unwrap().into_parts().0
}

fn in_header() -> Parts {
    let mut head = unsigned();
    sign(&mut head, BODY, &credentials(), SCOPE, SIGNED_AT).unwrap();
    head
}

fn in_query() -> Parts {
    let mut head = unsigned();
    presign(&mut head, BODY, &credentials(), SCOPE, SIGNED_AT, 60).unwrap();
    head
}

fn matches(claim: &SignatureClaim) -> bool {
    let scope = Scope { region: &claim.region, service: &claim.service };
    let key = derive_signing_key(&credentials().secret_access_key, &claim.date, scope);
    hmac_sha256(key.expose(), &claim.string_to_sign) == claim.signature
}

/// Applies `change` to a signed request and tells what becomes of it.
#[track_caller]
fn check(mut head: Parts, change: impl FnOnce(&mut Parts), expected: Result<bool, Refusal>) {
    change(&mut head);
    assert_eq!(claim(&head, BODY).map(|claim| matches(&claim)), expected);
}

fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut Parts) {
    move |head| {
        head.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn add(name: &'static str, value: &'static str) -> impl FnOnce(&mut Parts) {
    move |head| {
        head.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn remove(name: &'static str) -> impl FnOnce(&mut Parts) {
    move |head| {
        head.headers.remove(name);
    }
}

fn rewrite(from: &'static str, to: &'static str) -> impl FnOnce(&mut Parts) {
    move |head| {
        let text = head.headers.get(AUTHORIZATION).unwrap().to_str().unwrap();
        assert!(text.contains(from), "{text}");
        let value = HeaderValue::from_str(&text.replace(from, to)).unwrap();
        head.headers.insert(AUTHORIZATION, value);
    }
}

fn rewrite_uri(from: &'static str, to: &'static str) -> impl FnOnce(&mut Parts) {
    move |head| {
        let text = head.uri.to_string();
        assert!(text.contains(from), "{text}");
        head.uri = text.replace(from, to).parse::<Uri>().unwrap();
    }
}

#[test]
fn untouched_requests_match() {
    check(in_header(), |_| {}, Ok(true));
    check(in_query(), |_| {}, Ok(true));
    check(in_header(), set("user-agent", "a proxy"), Ok(true));
    check(in_header(), add("x-forwarded-for", "192.0.2.1"), Ok(true));
    check(in_header(), set("content-type", "  application/x-amz-json-1.1 "), Ok(true));
}

#[test]
fn nothing_signed() {
    check(unsigned(), |_| {}, Err(Refusal::MissingAuthenticationToken));
    check(unsigned(), set("authorization", "Bearer token"), Err(Refusal::MissingAuthenticationToken));
    check(unsigned(), set("authorization", "AWS AKID:signature"), Err(Refusal::MissingAuthenticationToken));
    check(unsigned(), rewrite_uri("/", "/?X-Amz-Signature=00"), Err(Refusal::MissingAuthenticationToken));
}

#[test]
fn changed_on_the_way() {
    for head in [in_header, in_query] {
        check(head(), set("x-amz-target", "TrentService.Decrypt"), Ok(false));
        check(head(), set("host", "kms.us-east-1.example"), Ok(false));
        check(head(), set("content-type", "text/plain"), Ok(false));
        check(head(), |head| head.method = Method::GET, Ok(false));
        check(head(), remove("content-type"), Err(Refusal::InvalidSignature));
        check(head(), remove("x-amz-target"), Err(Refusal::InvalidSignature));
        check(head(), remove("host"), Err(Refusal::InvalidSignature));
        let other = claim(&head(), b"{}").unwrap();
        assert!(!matches(&other));
    }
    check(in_header(), rewrite_uri("/", "/?Action=Decrypt"), Ok(false));
    check(in_header(), rewrite_uri("/", "/path"), Ok(false));
    check(in_header(), set("x-amz-security-token", "other"), Ok(false));
    check(in_header(), remove("x-amz-security-token"), Err(Refusal::InvalidSignature));
    check(in_header(), set("x-amz-date", "20260102T030406Z"), Ok(false));
    check(in_header(), rewrite("eu-central-1/kms", "us-east-1/kms"), Ok(false));
    check(in_header(), rewrite("eu-central-1/kms", "eu-central-1/sts"), Ok(false));
    check(in_query(), rewrite_uri("Expires=60", "Expires=61"), Ok(false));
    check(in_query(), rewrite_uri("token%2F%2F%2B%3D%3D", "token%2F%2F+%3D%3D"), Ok(false));
    check(in_query(), rewrite_uri("X-Amz-Signature", "Action=Decrypt&X-Amz-Signature"), Ok(false));
}

#[test]
fn added_after_signing() {
    let sign_without = |name: &'static str| {
        let mut head = unsigned();
        head.headers.remove(name);
        let credentials = Credentials { session_token: None, ..credentials() };
        sign(&mut head, BODY, &credentials, SCOPE, SIGNED_AT).unwrap();
        head
    };
    check(sign_without("x-amz-target"), set("x-amz-target", "TrentService.Decrypt"), Err(Refusal::InvalidSignature));
    check(sign_without("x-none"), set("x-amz-security-token", "other"), Err(Refusal::InvalidSignature));
    check(in_query(), set("x-amz-security-token", "other"), Err(Refusal::InvalidSignature));
}

#[test]
fn sent_twice() {
    let twice = ["host", "x-amz-date", "x-amz-target", "x-amz-security-token", "content-type", "authorization"];
    for name in twice {
        check(in_header(), add(name, "20260102T030405Z"), Err(Refusal::InvalidSignature));
    }
    for name in ["host", "x-amz-target", "content-type"] {
        check(in_query(), add(name, "other"), Err(Refusal::InvalidSignature));
    }
    check(
        in_query(),
        rewrite_uri("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60"),
        Err(Refusal::InvalidSignature),
    );
    let both = |head: &mut Parts| {
        head.headers.insert(AUTHORIZATION, in_header().headers.remove(AUTHORIZATION).unwrap());
    };
    check(in_query(), both, Err(Refusal::InvalidSignature));
}

#[test]
fn signed_headers_that_leave_out_or_lie() {
    let list = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    for other in [
        "content-type;x-amz-date;x-amz-security-token;x-amz-target",
        "content-type;host;x-amz-security-token;x-amz-target",
        "content-type;host;x-amz-date;x-amz-target",
        "content-type;host;x-amz-date;x-amz-security-token",
        "host;content-type;x-amz-date;x-amz-security-token;x-amz-target",
        "content-type;host;host;x-amz-date;x-amz-security-token;x-amz-target",
        "Content-Type;host;x-amz-date;x-amz-security-token;x-amz-target",
        ";host;x-amz-date;x-amz-security-token;x-amz-target",
        "host;x-amz-date;x-amz-security-token;x-amz-target;",
        "host;x-amz-date;x-amz-security-token;x-amz-target;x-not-sent",
        "content-type:a;host;x-amz-date;x-amz-security-token;x-amz-target",
    ] {
        check(in_header(), rewrite(list, other), Err(Refusal::InvalidSignature));
    }
    check(in_header(), rewrite(list, "host;x-amz-date;x-amz-security-token;x-amz-target"), Ok(false));
}

#[test]
fn a_signature_is_for_one_service() {
    let claim = claim(&in_header(), BODY).unwrap();
    let encrypt = Operation::Kms(kms::Operation::Encrypt);
    let identity = Operation::Sts(sts::Operation::GetCallerIdentity);
    assert_eq!(check_scope(&claim, encrypt), Ok(()));
    assert_eq!(check_scope(&claim, identity), Err(Refusal::ScopeService("sts")));
}

#[test]
fn malformed_authorization() {
    let incomplete = |text| Err(Refusal::IncompleteSignature(text));
    check(
        in_header(),
        set("authorization", "AWS4-HMAC-SHA256 "),
        incomplete(
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
             parameter. Authorization header requires 'SignedHeaders' parameter.",
        ),
    );
    check(
        in_header(),
        remove("x-amz-date"),
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."),
    );
    check(
        in_header(),
        rewrite("/aws4_request", ""),
        incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."),
    );
    check(
        in_header(),
        rewrite("Signature=", ""),
        incomplete("Not a valid key=value pair (missing equal-sign) in Authorization header."),
    );
    let malformed_date = "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601";
    check(in_header(), set("x-amz-date", "2026-01-02T03:04:05Z"), incomplete(malformed_date));
    check(in_header(), rewrite("20260102/", "20260103/"), Err(Refusal::InvalidSignature));
    check(in_header(), rewrite("Signature=", "Signature=0"), Err(Refusal::InvalidSignature));
    check(in_header(), rewrite(", Signed", ",Signed"), Ok(true));
}

#[test]
fn content_hash() {
    let hash = "8e1ad7a8a1b6e0d0b1a7a4c6a0b6a9ec0f1ad7a8a1b6e0d0b1a7a4c6a0b6a9ec";
    for value in [hash, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""] {
        check(in_header(), set("x-amz-content-sha256", value), Err(Refusal::InvalidSignature));
    }
    let mut head = unsigned();
    let digits = hex::encode(claviger_crypto::sha256(BODY));
    head.headers.insert("x-amz-content-sha256", HeaderValue::from_str(&digits).unwrap());
    sign(&mut head, BODY, &credentials(), SCOPE, SIGNED_AT).unwrap();
    check(head, |_| {}, Ok(true));
}

#[test]
fn a_presigned_request_says_when_it_ends() {
    let claim = claim(&in_query(), BODY).unwrap();
    assert_eq!((claim.signed_at, claim.expires_seconds), (SIGNED_AT, Some(60)));
    assert_eq!(claim.session_token.as_deref(), Some("token//+=="));
    let too_large = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds";
    check(in_query(), rewrite_uri("Expires=60", "Expires=604801"), Err(Refusal::IncompleteSignature(too_large)));
    check(
        in_query(),
        rewrite_uri("X-Amz-Date=", "X-Amz-Day="),
        Err(Refusal::IncompleteSignature(
            "AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.",
        )),
    );
}

#[test]
fn the_date_header_serves_where_there_is_no_other() {
    let mut head = unsigned();
    head.headers.insert("date", HeaderValue::from_static("Fri, 02 Jan 2026 03:04:05 GMT"));
    let credentials = Credentials { session_token: None, ..credentials() };
    sign(&mut head, BODY, &credentials, SCOPE, SIGNED_AT).unwrap();
    let without = |head: &mut Parts| {
        head.headers.remove("x-amz-date");
        rewrite("x-amz-date;", "")(head);
    };
    let mut dated = head.clone();
    without(&mut dated);
    let claimed = claim(&dated, BODY).unwrap();
    assert_eq!(claimed.signed_at, SIGNED_AT);
    assert!(
        claimed
            .string_to_sign
            .starts_with(b"AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/eu-central-1/kms/aws4_request\n")
    );
    check(dated, rewrite("date;", ""), Err(Refusal::InvalidSignature));
}

#[test]
fn http2_has_an_authority_for_a_host() {
    let mut head = in_header();
    head.headers.remove("host");
    head.uri = "http://kms.eu-central-1.example:8080/".parse().unwrap();
    check(head, |_| {}, Ok(true));
}

#[test]
fn clients_get_errors() {
    let mut head = unsigned();
    head.headers.remove("host");
    assert_eq!(sign(&mut head, BODY, &credentials(), SCOPE, SIGNED_AT), Err(super::SignError::NoHost));
    let broken = Credentials { access_key_id: "AK\nID".to_owned(), ..credentials() };
    assert_eq!(sign(&mut unsigned(), BODY, &broken, SCOPE, SIGNED_AT), Err(super::SignError::BadCredentials));
    let refused = presign(&mut unsigned(), BODY, &credentials(), SCOPE, SIGNED_AT, 604_801);
    assert_eq!(refused, Err(super::SignError::ExpiresTooLarge));
}

proptest! {
    #[test]
    fn any_authorization_is_survived(value in any::<Vec<u8>>(), query in "[ -~]{0,80}", body in any::<Vec<u8>>()) {
        let mut head = unsigned();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            head.headers.insert(AUTHORIZATION, value);
        }
        if let Ok(uri) = format!("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}").parse::<Uri>() {
            head.uri = uri;
        }
        prop_assert!(claim(&head, &body).is_err());
    }

    /// Whatever the query and the body, what the client signs is what the server reads.
    #[test]
    fn both_halves_agree(query in "[a-c+%=&;/ 0-9~-]{0,40}", path in "(/[a-c.%20]{0,4}){0,4}", body in any::<Vec<u8>>()) {
        let target = format!("/{path}?{}", query.replace(' ', "%20"));
        if let Ok(target) = http::uri::PathAndQuery::try_from(target) {
            for in_header in [true, false] {
                let mut head = unsigned();
                head.uri = Uri::from(target.clone());
                if in_header {
                    sign(&mut head, &body, &credentials(), SCOPE, SIGNED_AT).unwrap();
                } else {
                    presign(&mut head, &body, &credentials(), SCOPE, SIGNED_AT, 1).unwrap();
                }
                prop_assert_eq!(claim(&head, &body).map(|claim| matches(&claim)), Ok(true));
            }
        }
    }
}
