//! Requests of both protocols, good and bad, golden and random.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;

use claviger_api::{iam, kms, sts};
use proptest::prelude::*;

use super::*;

fn kms_request(operation: kms::Operation, body: &str) -> kms::Request {
    match decode(operation.into(), body.as_bytes()) {
        Ok(Request::Kms(request)) => request,
        Ok(_) => panic!("another service"),
        Err(error) => panic!("{error:?}"),
    }
}

#[track_caller]
fn invalid(operation: impl Into<Operation>, input: &str, message: &str) {
    match decode(operation.into(), input.as_bytes()) {
        Err(DecodeError::Invalid(violations)) => assert_eq!(violations.message(), message),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[track_caller]
fn malformed(operation: impl Into<Operation>, input: &str) {
    let error = decode(operation.into(), input.as_bytes()).err();
    assert_eq!(error, Some(DecodeError::Refusal(Refusal::Serialization)), "{input}");
}

#[test]
fn a_request_with_everything() {
    let body = r#"{"KeyId":"alias/a","Plaintext":"aGVsbG8=","EncryptionContext":{"b":"2","a":"\u00e9\n"},
        "GrantTokens":["t"],"EncryptionAlgorithm":"RSAES_OAEP_SHA_256","DryRun":true,"Unknown":[{"x":null}]}"#;
    let kms::Request::Encrypt(request) = kms_request(kms::Operation::Encrypt, body) else {
        panic!("another operation")
    };
    assert_eq!(request.key_id, "alias/a");
    assert_eq!(request.plaintext.expose(), b"hello");
    let context = BTreeMap::from([("a".to_owned(), "é\n".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!(request.encryption_context, Some(context));
    assert_eq!(request.grant_tokens, Some(vec!["t".to_owned()]));
    assert_eq!(request.encryption_algorithm, Some(kms::EncryptionAlgorithmSpec::RsaesOaepSha256));
    assert_eq!(request.dry_run, Some(true));
}

#[test]
fn structures_in_lists_and_enumerations_in_lists() {
    let body = r#"{"Tags":[{"TagKey":"a","TagValue":""},{"TagKey":"b","TagValue":"c"}],"KeySpec":"ECC_NIST_P256","MultiRegion":null}"#;
    let kms::Request::CreateKey(request) = kms_request(kms::Operation::CreateKey, body) else { panic!() };
    let tags = request.tags.as_deref().unwrap();
    assert_eq!(tags.iter().map(|tag| tag.tag_key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((request.key_spec, request.multi_region), (Some(kms::KeySpec::EccNistP256), None));
    let body = r#"{"KeyId":"k","GranteePrincipal":"p","Operations":["Decrypt","ReEncryptFrom"],"Constraints":{"EncryptionContextEquals":{}}}"#;
    let kms::Request::CreateGrant(request) = kms_request(kms::Operation::CreateGrant, body) else { panic!() };
    assert_eq!(request.operations, [kms::GrantOperation::Decrypt, kms::GrantOperation::ReEncryptFrom]);
    assert_eq!(request.constraints.as_ref().unwrap().encryption_context_equals, Some(BTreeMap::new()));
}

#[test]
fn moments_are_seconds() {
    for (text, expected) in [
        ("1767323045", 1_767_323_045_000),
        ("1767323045.678", 1_767_323_045_678),
        ("1.7673e9", 1_767_300_000_000),
        ("-1", -1000),
    ] {
        let body = format!(r#"{{"KeyId":"k","ImportToken":"AA==","EncryptedKeyMaterial":"AA==","ValidTo":{text}}}"#);
        let kms::Request::ImportKeyMaterial(request) = kms_request(kms::Operation::ImportKeyMaterial, &body) else {
            panic!()
        };
        assert_eq!(request.valid_to, Some(Timestamp::from_millis(expected)));
    }
    for text in ["1e300", "9223372036854775807", "\"2026-01-02T03:04:05Z\"", "true"] {
        let body = format!(r#"{{"KeyId":"k","ImportToken":"AA==","EncryptedKeyMaterial":"AA==","ValidTo":{text}}}"#);
        malformed(kms::Operation::ImportKeyMaterial, &body);
    }
}

#[test]
fn an_empty_body_is_an_empty_structure() {
    assert!(matches!(kms_request(kms::Operation::ListKeys, ""), kms::Request::ListKeys(_)));
    assert!(matches!(kms_request(kms::Operation::ListKeys, " {} "), kms::Request::ListKeys(_)));
}

#[test]
fn texts_of_violations() {
    use kms::Operation as Op;
    let one = "1 validation error detected: ";
    invalid(
        Op::DescribeKey,
        "{}",
        &format!("{one}Value null at 'keyId' failed to satisfy constraint: Member must not be null"),
    );
    invalid(
        Op::DescribeKey,
        r#"{"KeyId":null}"#,
        &format!("{one}Value null at 'keyId' failed to satisfy constraint: Member must not be null"),
    );
    invalid(
        Op::DeriveSharedSecret,
        r#"{"KeyId":"k","KeyAgreementAlgorithm":"INVALID","PublicKey":"AA=="}"#,
        &format!(
            "{one}Value 'INVALID' at 'keyAgreementAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [ECDH]"
        ),
    );
    invalid(
        Op::GenerateRandom,
        r#"{"NumberOfBytes":1025}"#,
        &format!(
            "{one}Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"
        ),
    );
    invalid(
        Op::CreateAlias,
        r#"{"AliasName":"alias/a b","TargetKeyId":"k"}"#,
        &format!(
            "{one}Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
        ),
    );
    invalid(
        Op::TagResource,
        r#"{"KeyId":"k","Tags":[{"TagKey":"a","TagValue":"b"},{"TagKey":"","TagValue":null},null]}"#,
        "3 validation errors detected: \
         Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1; \
         Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null; \
         Value null at 'tags.3.member' failed to satisfy constraint: Member must not be null",
    );
    invalid(
        Op::Encrypt,
        r#"{"KeyId":"","Plaintext":"","EncryptionContext":{"a":null}}"#,
        "3 validation errors detected: \
         Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1; \
         Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1; \
         Value null at 'encryptionContext.a.member' failed to satisfy constraint: Member must not be null",
    );
    invalid(
        Op::Decrypt,
        r#"{"DryRunModifiers":["IGNORE_CIPHERTEXT","X"]}"#,
        &format!(
            "{one}Value '[IGNORE_CIPHERTEXT, X]' at 'dryRunModifiers' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [IGNORE_CIPHERTEXT]]"
        ),
    );
}

#[test]
fn a_secret_is_never_shown() {
    let body = r#"{"CustomKeyStoreName":"n","KeyStorePassword":"hunter2-hunter2-hunter2-hunter2-hunter2",
        "XksProxyAuthenticationCredential":{"AccessKeyId":"hunter2","RawSecretAccessKey":"hunter2!"}}"#;
    let Err(DecodeError::Invalid(violations)) = decode(kms::Operation::CreateCustomKeyStore.into(), body.as_bytes())
    else {
        panic!()
    };
    let message = violations.message();
    assert!(message.contains("at 'xksProxyAuthenticationCredential.rawSecretAccessKey'"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn what_cannot_be_read() {
    use kms::Operation as Op;
    for body in [
        "{",
        "[]",
        "1",
        "\"\"",
        "null",
        "{} {}",
        "{\"KeyId\":1}",
        "{\"KeyId\":{}}",
        "{\"KeyId\":[]}",
        "{\"KeyId\":true}",
        r#"{"KeyId":"a","KeyId":"a"}"#,
        r#"{"KeyId":"a","X":1,"\u0058":2}"#,
        "{\"KeyId\":\"\u{1}\"}",
        r#"{"KeyId":"\ud800"}"#,
        r#"{"KeyId":"k","GrantTokens":"t"}"#,
        r#"{"KeyId":"k","GrantTokens":{"a":"b"}}"#,
        r#"{"KeyId":"k","GrantTokens":[1]}"#,
    ] {
        malformed(Op::DescribeKey, body);
    }
    for blob in ["a", "a===", "aGVsbG8", "aGVsbG8=\\n", "-_==", "aGVsbG9="] {
        malformed(Op::Encrypt, &format!(r#"{{"KeyId":"k","Plaintext":"{blob}"}}"#));
    }
    for number in ["1.0", "\"1\"", "2147483648", "1e2", "true", "99999999999999999999"] {
        malformed(Op::GenerateRandom, &format!(r#"{{"NumberOfBytes":{number}}}"#));
    }
    malformed(Op::Encrypt, r#"{"KeyId":"k","Plaintext":"AA==","DryRun":"true"}"#);
    malformed(Op::Encrypt, r#"{"KeyId":"k","Plaintext":"AA==","EncryptionContext":{"a":1}}"#);
}

#[test]
fn limits_hold() {
    let deep = format!(r#"{{"X":{}{}}}"#, "[".repeat(20), "]".repeat(20));
    malformed(kms::Operation::ListKeys, &deep);
    let many = format!(r#"{{"X":[{}1]}}"#, "1,".repeat(crate::limit::VALUES_MAX));
    malformed(kms::Operation::ListKeys, &many);
    let long = vec![b' '; crate::limit::BODY_BYTES_MAX + 1];
    let error = decode(kms::Operation::ListKeys.into(), &long).err();
    assert_eq!(error, Some(DecodeError::Refusal(Refusal::BodyTooLarge)));
    malformed(iam::Operation::ListAccessKeys, &"a=b&".repeat(crate::limit::PARAMETERS_MAX + 1));
    malformed(iam::Operation::ListAccessKeys, &format!("{}a=b", "a.".repeat(20)));
}

#[test]
fn forms() {
    let body = b"UserName=a%2Bb%40c&MaxItems=%2B10&MaxItems=11&Unknown.member.1.X=y&UserName.x=z";
    let Ok(Request::Iam(iam::Request::ListAccessKeys(request))) = decode(iam::Operation::ListAccessKeys.into(), body)
    else {
        panic!()
    };
    assert_eq!((request.user_name.as_deref(), request.max_items), (Some("a+b@c"), Some(10)));
    let long = "u".repeat(129);
    invalid(
        iam::Operation::DeleteAccessKey,
        &format!("UserName={long}"),
        &format!(
            "2 validation errors detected: Value '{long}' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 128; \
             Value null at 'accessKeyId' failed to satisfy constraint: Member must not be null"
        ),
    );
    // A bare plus is a space, and no integer begins with one.
    malformed(iam::Operation::ListAccessKeys, "MaxItems=+10");
    malformed(iam::Operation::ListAccessKeys, "MaxItems=ten");
    malformed(iam::Operation::ListAccessKeys, "UserName=%ff");
    malformed(iam::Operation::ListAccessKeys, "UserName.member.1=x");
    assert!(decode(sts::Operation::GetCallerIdentity.into(), b"").is_ok());
}

#[test]
fn lists_in_forms() {
    let texts = |form: &[u8]| {
        let node = form::parse(form).unwrap();
        let members = Decoder::structure(&node).unwrap();
        let mut decoder = Decoder { protocol: Protocol::Query, violations: Violations::new() };
        decoder.optional(members, "L", &Path::ROOT, Decoder::text_list)
    };
    let owned = |texts: &[&str]| Ok(Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()));
    assert_eq!(texts(b"L.member.2=b&L.member.10=c&L.member.1=a"), owned(&["a", "b", "c"]));
    assert_eq!(texts(b"L="), owned(&[]));
    assert_eq!(texts(b""), Ok(None));
    assert_eq!(texts(b"L=a"), Err(Malformed));
    assert_eq!(texts(b"L.1=a"), Err(Malformed));
    assert_eq!(texts(b"L.member.x=a"), Err(Malformed));
}

/// What every operation says to a request with nothing in it: the required members of the whole model.
#[test]
fn required_members_of_every_operation() {
    let mut table = String::new();
    for operation in kms::Operation::ALL {
        let paths = match decode((*operation).into(), b"{}") {
            Ok(_) => String::new(),
            Err(DecodeError::Invalid(violations)) => {
                violations.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => panic!("{error:?}"),
        };
        writeln!(table, "{}: {paths}", operation.name()).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/required.txt");
    if std::env::var_os("UPDATE_TESTDATA").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(path).unwrap(), "run with UPDATE_TESTDATA=1 and review");
}

/// One request of every operation with every member, as botocore 1.44.5 writes it.
const BOTOCORE: &str = include_str!("../../testdata/botocore-requests.txt");

fn botocore_requests() -> Vec<(Operation, &'static str)> {
    let all = operations();
    let request = |line: &'static str| {
        let mut parts = line.splitn(3, ' ');
        let (service, name, body) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        (*all.iter().find(|operation| operation.service() == service && operation.name() == name).unwrap(), body)
    };
    BOTOCORE.lines().map(request).collect()
}

#[test]
fn what_botocore_writes_is_read() {
    let requests = botocore_requests();
    assert_eq!(requests.len(), Operation::all().count());
    for (operation, body) in requests {
        match decode(operation, body.as_bytes()) {
            Ok(request) => assert_eq!(request.operation(), operation),
            Err(error) => panic!("{operation}: {error:?}"),
        }
    }
}

/// A wrong type anywhere is noticed, so no member of any request is overlooked.
#[test]
fn every_member_is_looked_at() {
    let mut members = 0;
    for (operation, body) in botocore_requests() {
        if operation.protocol() != Protocol::Json {
            continue;
        }
        let whole: serde_json::Value = serde_json::from_str(body).unwrap();
        for place in places(&whole, "") {
            let mut changed = whole.clone();
            *changed.pointer_mut(&place).unwrap() = serde_json::json!([[{ "wrong": [] }]]);
            malformed(operation, &changed.to_string());
            members += 1;
        }
    }
    assert!(members > 250, "{members}");
}

/// JSON pointers to everything inside a value.
fn places(value: &serde_json::Value, at: &str) -> Vec<String> {
    let inside: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(members) => {
            members.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect()
        }
        serde_json::Value::Array(elements) => {
            elements.iter().enumerate().map(|(number, value)| (format!("{at}/{number}"), value)).collect()
        }
        _ => Vec::new(),
    };
    inside.iter().flat_map(|(place, value)| std::iter::once(place.clone()).chain(places(value, place))).collect()
}

fn operations() -> Vec<Operation> {
    Operation::all().collect()
}

/// JSON with the models' member names and values of every type, so that it comes far into the decoders.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (-1.0e20_f64..1.0e20).prop_map(|value| format!("{value:e}")),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
        prop::sample::select(vec!["\"AA==\"", "\"Decrypt\"", "\"RSA_2048\"", "\"ECDH\"", "\"alias/a\"", "1"])
            .prop_map(str::to_owned),
    ];
    let name = prop::sample::select(vec![
        "KeyId",
        "Plaintext",
        "EncryptionContext",
        "GrantTokens",
        "Tags",
        "TagKey",
        "TagValue",
        "Operations",
        "Constraints",
        "EncryptionContextSubset",
        "DryRun",
        "Limit",
        "NumberOfBytes",
        "ValidTo",
        "Recipient",
        "AttestationDocument",
        "XksProxyAuthenticationCredential",
        "AccessKeyId",
        "RawSecretAccessKey",
        "KeyStorePassword",
        "AliasName",
        "Policy",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::btree_map(name.clone(), inner, 0..8).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), operation in prop::sample::select(operations())) {
        let _ = decode(operation, &bytes);
    }

    #[test]
    fn no_json_makes_a_decoder_panic(body in value(), operation in prop::sample::select(operations())) {
        let _ = decode(operation, body.as_bytes());
    }

    #[test]
    fn no_form_makes_a_decoder_panic(form in "[A-Za-z0-9.%&=+]{0,128}", operation in prop::sample::select(operations())) {
        let _ = decode(operation, form.as_bytes());
    }

    #[test]
    fn what_is_encoded_is_decoded(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..3000), millis in -4_000_000_000_000_i64..4_000_000_000_000) {
        use crate::encode::{Encoder as _, JsonEncoder};
        let mut encoder = JsonEncoder::new();
        encoder.structure(|encoder| {
            encoder.member("T", |encoder| encoder.text(&text));
            encoder.member("B", |encoder| encoder.blob(&bytes));
            encoder.member("M", |encoder| encoder.timestamp(Timestamp::from_millis(millis)));
        });
        let body = encoder.into_bytes();
        let node = json::parse(&body).unwrap();
        let members = Decoder::structure(&node).unwrap();
        let mut decoder = Decoder { protocol: Protocol::Json, violations: Violations::new() };
        prop_assert_eq!(decoder.optional(members, "T", &Path::ROOT, Decoder::text), Ok(Some(text)));
        prop_assert_eq!(decoder.optional(members, "B", &Path::ROOT, Decoder::blob), Ok(Some(bytes)));
        prop_assert_eq!(decoder.optional(members, "M", &Path::ROOT, Decoder::timestamp), Ok(Some(Timestamp::from_millis(millis))));
    }
}
