//! Commands of operators, which any process of the server's user may send.

use claviger_server::OperatorRequest;
use serde_json::Value;

use crate::Seeds;

/// Which members an object has, with those inside them.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(members_of).sum(),
        Value::Array(values) => values.iter().map(members).sum(),
        _ => 0,
    }
}

/// A member of an object counts with what is in it.
fn members_of(value: &Value) -> usize {
    members(value).saturating_add(1)
}

/// A line with the command's name, then its body: what is taken is written as it was read, and nothing in it is left
/// out of account.
pub fn operator(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (name, rest) = input.split_at(end);
    let body = rest.get(1..).unwrap_or_default();
    let Some(read) = std::str::from_utf8(name).ok().and_then(|name| OperatorRequest::read(name, body)) else { return };
    let name = String::from_utf8_lossy(name);
    let Ok(request) = read else { return };
    let written = request.body();
    let again = OperatorRequest::read(&name, &written);
    assert!(again.is_some_and(|again| again.is_ok_and(|again| again.body() == written)), "written otherwise than read");
    let count = |body: &[u8]| serde_json::from_slice(body).map_or(0, |value| members(&value));
    assert!(count(body) <= count(&written), "a member was not looked at");
    let longer = [body, b"{"].concat();
    assert!(OperatorRequest::read(&name, &longer).is_some_and(|read| read.is_err()), "the rest was not read");
}

pub(crate) fn operator_seeds() -> Seeds {
    let seed = |text: &str| text.as_bytes().to_vec();
    vec![
        ("status", seed("status\n")),
        (
            "create",
            seed(
                r#"account/create
{"account":"111122223333","name":"Payments"}"#,
            ),
        ),
        (
            "close",
            seed(
                r#"account/close
{"account":"111122223333"}"#,
            ),
        ),
        (
            "root",
            seed(
                r#"account/root-credentials
{"account":"111122223333","replace":true,"kind":"file","unseal":"c2VjcmV0"}"#,
            ),
        ),
        (
            "explain",
            seed(
                r#"explain
{"caller":"arn:aws:iam::1:user/a","action":"kms:Decrypt","key":"alias/a","region":"r","context":[["a","b"]],"encryptionContext":[]}"#,
            ),
        ),
        (
            "impact",
            seed(
                r#"key/impact
{"key":"alias/a","region":null,"since":"2026-01-31"}"#,
            ),
        ),
        (
            "unknown-member",
            seed(
                r#"account/close
{"account":"111122223333","force":true}"#,
            ),
        ),
        (
            "twice",
            seed(
                r#"account/close
{"account":"111122223333","account":"444455556666"}"#,
            ),
        ),
        ("deep", format!("explain\n{{\"context\":{}{}}}", "[".repeat(500), "]".repeat(500)).into_bytes()),
    ]
}
