//! The public test suite in `testdata/sigv4`: canonical request, string to sign and signature of every case, in the
//! header and in the query, by the canonical form itself, by [`super::sign`] and [`super::presign`], and read back by
//! [`super::claim`].
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use claviger_api::{Refusal, Timestamp};
use claviger_crypto::{hmac_sha256, sha256};
use claviger_secret::SecretBytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use serde_json::Value;

use super::canonical::{Covered, PathRule, push_encoded, string_to_sign};
use super::{Credentials, Scope, claim, derive_signing_key, presign, sign};

/// Cases without `context.json`: canonical path only, checked by `paths_encoded_twice`.
const PATH_ONLY: [&str; 2] = ["double-encode-path", "double-url-encode"];

/// A raw space in a request target is not HTTP; `http::Uri` refuses it, as does hyper.
const NOT_A_URI: [&str; 1] = ["get-space-unnormalized"];

/// The suite encodes the path once here, as only S3 does, yet normalizes it, as S3 does not.
const OTHER_PATH_RULE: [&str; 1] = ["get-space-normalized"];

struct Case {
    name: String,
    context: Value,
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/sigv4/v4")
}

fn file(case: &str, name: &str) -> String {
    fs::read_to_string(folder().join(case).join(name)).unwrap()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 40);
    names
}

fn cases() -> Vec<Case> {
    names().iter().filter(|name| !PATH_ONLY.contains(&name.as_str())).map(|name| case(name)).collect()
}

fn case(name: &str) -> Case {
    let (method, target, headers, body) = parse(&file(name, "request.txt"));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Case {
        name: name.to_owned(),
        context: serde_json::from_str(&file(name, "context.json")).unwrap(),
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    }
}

/// Method, target, headers (folded lines unfolded, as RFC 7230 tells a reader to) and body.
fn parse(text: &str) -> (String, String, HeaderMap, String) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let head = head.replace("\n ", " ");
    let (first, lines) = head.split_once('\n').unwrap_or((&head, ""));
    let (method, rest) = first.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    (method.to_owned(), target.to_owned(), headers, body.to_owned())
}

impl Case {
    fn text(&self, name: &str) -> &str {
        self.context[name].as_str().unwrap()
    }

    fn flag(&self, name: &str) -> bool {
        self.context[name].as_bool().unwrap_or(false)
    }

    fn token(&self) -> Option<String> {
        self.context["credentials"]["token"].as_str().map(str::to_owned)
    }

    fn at(&self) -> Timestamp {
        Timestamp::parse_iso8601(self.text("timestamp")).unwrap()
    }

    fn scope(&self) -> Scope<'_> {
        Scope { region: self.text("region"), service: self.text("service") }
    }

    fn secret(&self) -> SecretBytes {
        SecretBytes::from_slice(self.context["credentials"]["secret_access_key"].as_str().unwrap().as_bytes())
    }

    /// Without the token where the case signs first and adds the token afterwards.
    fn credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.context["credentials"]["access_key_id"].as_str().unwrap().to_owned(),
            secret_access_key: self.secret(),
            session_token: self.token().filter(|_| !self.flag("omit_session_token")),
        }
    }

    fn rule(&self) -> PathRule {
        PathRule { normalize: self.flag("normalize"), encode_twice: false }
    }

    /// Whether services other than S3 read the path as this case does.
    fn follows_service_rule(&self) -> bool {
        let (mut ours, mut theirs) = (self.covered_path(self.rule()), self.covered_path(PathRule::of("kms")));
        ours.truncate(ours.find('\n').unwrap());
        theirs.truncate(theirs.find('\n').unwrap());
        ours == theirs
    }

    fn covered_path(&self, rule: PathRule) -> String {
        let covered = self.covered("", &self.headers);
        let text = String::from_utf8(covered.canonical("host", rule).unwrap()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    }

    fn covered<'a>(&'a self, query: &'a str, headers: &'a HeaderMap) -> Covered<'a> {
        let body_hash = sha256(self.body.as_bytes());
        Covered { method: &self.method, path: &self.path, query, headers, authority: None, body_hash }
    }

    fn parts(&self) -> Option<Parts> {
        let target = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        // `//` alone would read as the start of an authority.
        let uri = http::uri::PathAndQuery::try_from(target).ok().map(http::Uri::from)?;
        let mut head = http::Request::builder().method(self.method.as_str()).uri(uri).body(()).unwrap().into_parts().0;
        head.headers = self.headers.clone();
        Some(head)
    }

    fn header_mode_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let mut add =
            |name, value: &str| headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        add("x-amz-date", &self.at().to_amz_date());
        if let Some(token) = self.credentials().session_token {
            add("x-amz-security-token", &token);
        }
        if self.flag("sign_body") {
            add("x-amz-content-sha256", &hex::encode(sha256(self.body.as_bytes())));
        }
        headers
    }

    fn query_mode_query(&self) -> String {
        let mut query = if self.query.is_empty() { String::new() } else { format!("{}&", self.query) };
        let at = self.at().to_amz_date();
        let scope = self.scope();
        let credentials = self.credentials();
        let credential =
            format!("{}/{}/{}/{}/aws4_request", credentials.access_key_id, &at[..8], scope.region, scope.service);
        let expires = self.context["expiration_in_seconds"].to_string();
        let signed = signed_line(&file(&self.name, "query-canonical-request.txt"));
        let mut add = |name: &str, value: &str| {
            let mut encoded = Vec::new();
            value.bytes().for_each(|byte| push_encoded(&mut encoded, byte));
            query.push_str(&format!("{name}={}&", String::from_utf8(encoded).unwrap()));
        };
        add("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        add("X-Amz-Credential", &credential);
        add("X-Amz-Date", &at);
        add("X-Amz-Expires", &expires);
        add("X-Amz-SignedHeaders", &signed);
        if let Some(token) = &credentials.session_token {
            add("X-Amz-Security-Token", token);
        }
        query
    }

    /// Canonical request, string to sign and signature of one mode against its files.
    fn check(&self, mode: &str, canonical: &[u8]) {
        let file = |name: &str| file(&self.name, &format!("{mode}-{name}.txt"));
        let canonical_text = String::from_utf8(canonical.to_vec()).unwrap();
        assert_eq!(canonical_text, file("canonical-request"), "{}", self.name);
        let at = self.at().to_amz_date();
        let scope = self.scope();
        let text = string_to_sign(&at, &[&at[..8], scope.region, scope.service], &sha256(canonical));
        assert_eq!(String::from_utf8(text.clone()).unwrap(), file("string-to-sign"), "{}", self.name);
        let key = derive_signing_key(&self.secret(), &at[..8], scope);
        assert_eq!(hex::encode(hmac_sha256(key.expose(), &text)), file("signature"), "{}", self.name);
    }
}

/// The line of a canonical request that lists the signed headers: the last but one.
fn signed_line(canonical: &str) -> String {
    canonical.lines().rev().nth(1).unwrap().to_owned()
}

#[test]
fn canonical_form_in_the_header() {
    for case in cases() {
        let headers = case.header_mode_headers();
        let signed = signed_line(&file(&case.name, "header-canonical-request.txt"));
        let canonical = case.covered(&case.query, &headers).canonical(&signed, case.rule()).unwrap();
        case.check("header", &canonical);
    }
}

#[test]
fn canonical_form_in_the_query() {
    for case in cases() {
        let query = case.query_mode_query();
        let signed = signed_line(&file(&case.name, "query-canonical-request.txt"));
        let canonical = case.covered(&query, &case.headers).canonical(&signed, case.rule()).unwrap();
        case.check("query", &canonical);
    }
}

#[test]
fn paths_encoded_twice() {
    for name in PATH_ONLY {
        let (method, path, headers, _) = parse(&file(name, "request.txt"));
        let body_hash = sha256(b"");
        let covered =
            Covered { method: &method, path: &path, query: "", headers: &headers, authority: None, body_hash };
        let canonical = String::from_utf8(covered.canonical("host", PathRule::of("execute-api")).unwrap()).unwrap();
        let expected = file(name, "header-canonical-request.txt");
        assert_eq!(canonical.lines().nth(1), expected.lines().nth(1), "{name}");
    }
}

/// Signs each case with the client's half, then reads it with the server's.
#[test]
fn signed_and_claimed() {
    let mut seen = 0;
    for case in cases() {
        let Some(mut head) = case.parts() else {
            assert!(NOT_A_URI.contains(&case.name.as_str()), "{}", case.name);
            continue;
        };
        if !case.follows_service_rule() {
            assert!(
                case.name.ends_with("-unnormalized") || OTHER_PATH_RULE.contains(&case.name.as_str()),
                "{}",
                case.name
            );
            continue;
        }
        let mut presigned = head.clone();
        let body = case.body.as_bytes();
        if case.flag("sign_body") {
            let hash = HeaderValue::from_str(&hex::encode(sha256(body))).unwrap();
            head.headers.insert("x-amz-content-sha256", hash);
        }
        sign(&mut head, body, &case.credentials(), case.scope(), case.at()).unwrap();
        let (_, _, expected, _) = parse(&file(&case.name, "header-signed-request.txt"));
        assert_eq!(head.headers.get(AUTHORIZATION), expected.get(AUTHORIZATION), "{}", case.name);
        check_claim(&case, "header", &head, None);

        let expires = u32::try_from(case.context["expiration_in_seconds"].as_u64().unwrap()).unwrap();
        presign(&mut presigned, body, &case.credentials(), case.scope(), case.at(), expires).unwrap();
        let signature = file(&case.name, "query-signature.txt");
        assert!(presigned.uri.to_string().ends_with(&format!("&X-Amz-Signature={signature}")), "{}", case.name);
        check_claim(&case, "query", &presigned, Some(expires));
        seen += 1;
    }
    assert_eq!(seen, 30);
}

fn check_claim(case: &Case, mode: &str, head: &Parts, expires_seconds: Option<u32>) {
    let claim = claim(head, case.body.as_bytes()).unwrap();
    let credentials = case.credentials();
    let scope = case.scope();
    assert_eq!(claim.access_key_id, credentials.access_key_id);
    assert_eq!((claim.region.as_str(), claim.service.as_str()), (scope.region, scope.service));
    assert_eq!(claim.date, "20150830");
    assert_eq!(claim.session_token, credentials.session_token);
    assert_eq!(claim.signed_at, case.at());
    assert_eq!(claim.expires_seconds, expires_seconds);
    let text = |name: &str| file(&case.name, &format!("{mode}-{name}.txt"));
    assert_eq!(String::from_utf8(claim.string_to_sign).unwrap(), text("string-to-sign"), "{}", case.name);
    assert_eq!(hex::encode(claim.signature), text("signature"), "{}", case.name);
}

/// The suite's own signed requests, byte for byte. One of them adds its token after signing: refused here.
#[test]
fn signed_requests_of_the_suite() {
    for case in cases().iter().filter(|case| case.parts().is_some() && case.follows_service_rule()) {
        for mode in ["header", "query"] {
            let (method, target, headers, body) = parse(&file(&case.name, &format!("{mode}-signed-request.txt")));
            let uri = http::Uri::from(http::uri::PathAndQuery::try_from(target).unwrap());
            let mut head = http::Request::builder().method(method.as_str()).uri(uri).body(()).unwrap().into_parts().0;
            head.headers = headers;
            let claimed = claim(&head, body.as_bytes());
            if case.flag("omit_session_token") && mode == "header" {
                assert_eq!(claimed.unwrap_err(), Refusal::InvalidSignature, "{}", case.name);
                continue;
            }
            let text = String::from_utf8(claimed.unwrap().string_to_sign).unwrap();
            let expected = file(&case.name, &format!("{mode}-string-to-sign.txt"));
            // In the query the late token is part of what we take as signed, so the signature will not match.
            assert_eq!(text == expected, !case.flag("omit_session_token"), "{} {mode}", case.name);
        }
    }
}
