//! Requests: their signature, and both protocols' bodies.

use claviger_api::{Operation, Refusal, Timestamp, kms};
use claviger_secret::SecretBytes;
use claviger_wire::sigv4::{Credentials, Scope, claim, presign, sign};
use claviger_wire::{DecodeError, decode, route};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::Seeds;

/// Reads `METHOD target`, header lines, an empty line and a body, as leniently as the HTTP library allows.
fn request(input: &[u8]) -> Option<(Parts, &[u8])> {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (head, rest) = input.split_at_checked(end)?;
    let body = rest.get(2..).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target) = (Method::from_bytes(words.next()?).ok()?, Uri::try_from(words.next()?).ok()?);
    let mut parts = http::Request::builder().method(method).uri(target).body(()).ok()?.into_parts().0;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = HeaderName::from_bytes(name).ok()?;
        parts
            .headers
            .append(name, HeaderValue::from_bytes(value.trim_ascii_start().strip_prefix(b":")?.trim_ascii()).ok()?);
    }
    Some((parts, body))
}

/// A request with a signature: an accepted claim covers body and target, and what it names is plain.
pub fn sigv4(input: &[u8]) {
    let Some((mut head, body)) = request(input) else { return };
    let Ok(first) = claim(&head, body) else { return };
    assert_eq!(claim(&head, body).as_ref(), Ok(&first), "reading twice differs");
    let start = format!(
        "AWS4-HMAC-SHA256\n{}\n{}/{}/{}/aws4_request\n",
        first.signed_at.to_amz_date(),
        first.date,
        first.region,
        first.service
    );
    assert!(first.string_to_sign.starts_with(start.as_bytes()));
    assert_eq!(first.string_to_sign.len(), start.len() + 64);
    assert!(first.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    assert!(first.access_key_id.bytes().all(|byte| byte.is_ascii_graphic()));

    let other_body = [body, b" "].concat();
    assert!(
        claim(&head, &other_body).is_ok_and(|other| other.string_to_sign != first.string_to_sign)
            || head.headers.contains_key("x-amz-content-sha256")
    );
    head.headers.insert("x-amz-target", HeaderValue::from_static("TrentService.ScheduleKeyDeletion."));
    assert!(
        claim(&head, body).is_ok_and(|other| other.string_to_sign != first.string_to_sign)
            || claim(&head, body) == Err(Refusal::InvalidSignature)
    );
}

/// An awsJson body after a line with the operation's name: what decodes was read to its end.
pub fn json(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (name, rest) = input.split_at(end);
    let body = rest.get(1..).unwrap_or_default();
    let Some(operation) = kms::Operation::ALL.iter().find(|operation| operation.name().as_bytes() == name) else {
        return;
    };
    let operation = Operation::Kms(*operation);
    match decode(operation, body) {
        Ok(request) => {
            assert_eq!(request.operation(), operation);
            let longer = [body, b"}"].concat();
            assert!(matches!(decode(operation, &longer), Err(DecodeError::Refusal(_))), "the rest was not read");
            // An empty body stands for an empty object; white space alone is no JSON.
            let padded = [b" ", body, b"\n"].concat();
            let fits = !body.is_empty() && padded.len() <= claviger_wire::limit::BODY_BYTES_MAX;
            assert!(decode(operation, &padded).is_ok() || !fits, "white space mattered");
        }
        Err(DecodeError::Invalid(violations)) => assert!(violations.message().contains("validation error")),
        Err(DecodeError::Refusal(refusal)) => {
            assert!(matches!(refusal, Refusal::Serialization | Refusal::BodyTooLarge), "{refusal:?}");
        }
    }
}

/// An awsQuery form: unknown parameters change nothing.
pub fn query(input: &[u8]) {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let Ok(request) = http::Request::builder().method(Method::POST).uri("/").header("content-type", form).body(())
    else {
        return;
    };
    let (head, ()) = request.into_parts();
    let Ok((_, operation)) = route(&head, input) else { return };
    let more = [input, b"&ClavigerUnknown=1"].concat();
    match (decode(operation, input), decode(operation, &more)) {
        (Ok(one), Ok(two)) => assert_eq!((one.operation(), two.operation()), (operation, operation)),
        (Err(DecodeError::Invalid(one)), Err(DecodeError::Invalid(two))) => assert_eq!(one.message(), two.message()),
        // The addition may reach a limit that the input did not.
        (_, Err(DecodeError::Refusal(_))) => {}
        (Err(_), Ok(_)) | (Ok(_), Err(_)) | (Err(_), Err(_)) => {
            assert!(operation.name().is_empty(), "an unknown parameter mattered")
        }
    }
}

fn text(head: &Parts, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{} {}", head.method, head.uri).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(b"\n");
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
    }
    text.extend_from_slice(b"\n\n");
    text.extend_from_slice(body);
    text
}

pub(crate) fn sigv4_seeds() -> Seeds {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SecretBytes::from_slice(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: Some("token//+==".to_owned()),
    };
    let scope = Scope { region: "eu-central-1", service: "kms" };
    let at = Timestamp::from_seconds(1_767_323_045);
    let body = br#"{"KeyId":"alias/app","Plaintext":"c2VjcmV0"}"#;
    let request = http::Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("host", "localhost:8080")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "TrentService.Encrypt");
    let Ok(request) = request.body(()) else { return Vec::new() };
    let (mut in_header, ()) = request.into_parts();
    let mut in_query = in_header.clone();
    let mut dated = in_header.clone();
    dated.headers.insert("date", HeaderValue::from_static("Fri, 02 Jan 2026 03:04:05 GMT"));
    let signed = [
        sign(&mut in_header, body, &credentials, scope, at).is_ok(),
        sign(&mut dated, body, &credentials, scope, at).is_ok(),
        presign(&mut in_query, body, &credentials, scope, at, 60).is_ok(),
    ];
    assert_eq!(signed, [true; 3]);
    dated.headers.remove("x-amz-date");
    vec![
        ("signed-in-header", text(&in_header, body)),
        ("signed-in-query", text(&in_query, body)),
        ("signed-with-date", String::from_utf8_lossy(&text(&dated, body)).replace("x-amz-date;", "").into_bytes()),
        ("other-scheme", b"POST /\nhost: a\nauthorization: Bearer a.b.c\n\n".to_vec()),
        (
            "nothing-in-it",
            b"POST /\nhost: a\nauthorization: AWS4-HMAC-SHA256 \nx-amz-date: 20260102T030405Z\n\n".to_vec(),
        ),
        (
            "half-a-query",
            b"GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%2F%2F%2F%2F&X-Amz-Date=%zz+\n\n".to_vec(),
        ),
    ]
}

pub(crate) fn json_seeds() -> Seeds {
    let seed = |text: &str| text.as_bytes().to_vec();
    let deep = format!("CreateKey\n{{\"Policy\":{}{}}}", "[".repeat(500), "]".repeat(500));
    vec![
        (
            "encrypt",
            seed(
                "Encrypt\n{\"KeyId\":\"alias/app\",\"Plaintext\":\"c2VjcmV0\",\"EncryptionContext\":{\"a\":\"b\"},\"GrantTokens\":[\"t\"]}",
            ),
        ),
        (
            "create-key",
            seed(
                "CreateKey\n{\"Policy\":\"{}\",\"Description\":\"d\",\"KeySpec\":\"SYMMETRIC_DEFAULT\",\"Tags\":[{\"TagKey\":\"k\",\"TagValue\":\"v\"}],\"MultiRegion\":false}",
            ),
        ),
        (
            "import",
            seed(
                "ImportKeyMaterial\n{\"KeyId\":\"1234abcd-12ab-34cd-56ef-1234567890ab\",\"ImportToken\":\"AA==\",\"EncryptedKeyMaterial\":\"AA==\",\"ValidTo\":1.767323045678E9,\"ExpirationModel\":\"KEY_MATERIAL_EXPIRES\"}",
            ),
        ),
        (
            "create-grant",
            seed(
                "CreateGrant\n{\"KeyId\":\"k\",\"GranteePrincipal\":\"p\",\"Operations\":[\"Decrypt\",\"X\"],\"Constraints\":{\"EncryptionContextSubset\":{\"a\":\"b\"}}}",
            ),
        ),
        ("nulls", seed("Encrypt\n{\"KeyId\":null,\"Plaintext\":null}")),
        ("duplicate-member", seed("Encrypt\n{\"KeyId\":\"a\",\"KeyId\":\"b\",\"Plaintext\":\"AA==\"}")),
        ("bad-base64", seed("Encrypt\n{\"KeyId\":\"a\",\"Plaintext\":\"A-_=\"}")),
        ("wrong-types", seed("GenerateRandom\n{\"NumberOfBytes\":\"8\",\"CustomKeyStoreId\":[1e999,-0,{}]}")),
        ("surrogates", seed("Encrypt\n{\"KeyId\":\"\\ud800\\u0000\",\"Plaintext\":\"AA==\"}")),
        ("not-utf8", b"Encrypt\n{\"KeyId\":\"\xff\xfe\",\"Plaintext\":\"AA==\"}".to_vec()),
        ("empty", seed("ListKeys\n")),
        ("deep", deep.into_bytes()),
    ]
}

pub(crate) fn query_seeds() -> Seeds {
    let seed = |text: &str| text.as_bytes().to_vec();
    vec![
        ("caller-identity", seed("Action=GetCallerIdentity&Version=2011-06-15")),
        ("create", seed("Action=CreateAccessKey&Version=2010-05-08&UserName=a%40b+c")),
        ("list", seed("Action=ListAccessKeys&Version=2010-05-08&MaxItems=%2B0900&Marker=m")),
        ("delete", seed("Version=2010-05-08&Action=DeleteAccessKey&AccessKeyId=AKIAIOSFODNN7EXAMPLE&AccessKeyId=2")),
        ("not-an-integer", seed("Action=ListAccessKeys&Version=2010-05-08&MaxItems=many")),
        ("paths", seed("Action=ListAccessKeys&Version=2010-05-08&A.member.1.B.2.C=1&A.member.1=2&.=&..&A.=&.A")),
        ("bad-escapes", seed("Action=GetCallerIdentity&Version=2011-06-15&%zz=%f&%=%ff&&==&=")),
    ]
}
