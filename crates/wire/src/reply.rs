//! Replies: the only way from a result to bytes, and it takes nothing that has not been recorded.

use bytes::Bytes;
use claviger_api::{Operation, Protocol, Response, ServiceError, Violations};
use claviger_audit::Recorded;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::encode::{Encoder as _, JsonEncoder, XmlEncoder};
use crate::generated;

/// The namespace of errors that belong to no service's API version.
const FAULT_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Encodes what an operation answered.
pub fn encode_reply(
    protocol: Protocol,
    operation: Operation,
    request_id: &str,
    reply: Recorded<Result<Response, ServiceError>>,
) -> http::Response<Bytes> {
    reply_of(protocol, operation, request_id, &reply.into_inner())
}

/// The error for a request whose members do not hold the model's constraints: `ValidationException`, in the
/// Query protocol `ValidationError`, in IAM without the values.
pub fn validation_error(operation: Operation, violations: Violations) -> ServiceError {
    match operation {
        Operation::Kms(_) => ServiceError::sender("ValidationException", 400, violations.message()),
        Operation::Sts(_) => ServiceError::sender("ValidationError", 400, violations.message()),
        Operation::Iam(_) => ServiceError::sender("ValidationError", 400, violations.without_values().message()),
    }
}

/// Encodes an error that belongs to no call.
pub(crate) fn encode_fault(protocol: Protocol, request_id: &str, error: &ServiceError) -> http::Response<Bytes> {
    error_of(protocol, FAULT_NAMESPACE, request_id, error)
}

fn reply_of(
    protocol: Protocol,
    operation: Operation,
    request_id: &str,
    reply: &Result<Response, ServiceError>,
) -> http::Response<Bytes> {
    match (reply, protocol) {
        (Ok(response), Protocol::Json) => {
            let mut encoder = JsonEncoder::new();
            generated::encode(&mut encoder, response);
            respond(protocol, request_id, 200, encoder.into_bytes())
        }
        (Ok(response), Protocol::Query) => {
            let mut encoder = XmlEncoder::new();
            encoder.document(&format!("{}Response", operation.name()), generated::namespace(operation), |encoder| {
                generated::encode(encoder, response);
                encoder.element("ResponseMetadata", |encoder| {
                    encoder.element("RequestId", |encoder| encoder.text(request_id));
                });
            });
            respond(protocol, request_id, 200, encoder.into_bytes())
        }
        (Err(error), protocol) => error_of(protocol, generated::namespace(operation), request_id, error),
    }
}

fn error_of(protocol: Protocol, namespace: &str, request_id: &str, error: &ServiceError) -> http::Response<Bytes> {
    let body = match protocol {
        Protocol::Json => json_error(error),
        Protocol::Query => xml_error(namespace, request_id, error),
    };
    respond(protocol, request_id, error.status, body)
}

fn json_error(error: &ServiceError) -> Bytes {
    let mut encoder = JsonEncoder::new();
    encoder.structure(|encoder| {
        encoder.member("__type", |encoder| encoder.text(error.code));
        if let Some(message) = &error.message {
            encoder.member("message", |encoder| encoder.text(message));
        }
    });
    encoder.into_bytes()
}

fn xml_error(namespace: &str, request_id: &str, error: &ServiceError) -> Bytes {
    let mut encoder = XmlEncoder::new();
    encoder.document("ErrorResponse", namespace, |encoder| {
        encoder.element("Error", |encoder| {
            encoder.element("Type", |encoder| encoder.text(if error.sender_fault { "Sender" } else { "Receiver" }));
            encoder.element("Code", |encoder| encoder.text(error.code));
            if let Some(message) = &error.message {
                encoder.element("Message", |encoder| encoder.text(message));
            }
        });
        encoder.element("RequestId", |encoder| encoder.text(request_id));
    });
    encoder.into_bytes()
}

fn respond(protocol: Protocol, request_id: &str, status: u16, body: Bytes) -> http::Response<Bytes> {
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = match protocol {
        Protocol::Json => "application/x-amz-json-1.1",
        Protocol::Query => "text/xml",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A request id is made here, of hexadecimal digits; one that fits no header is left out.
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use claviger_api::{Timestamp, iam, kms, sts};
    use claviger_secret::SecretBytes;

    #[track_caller]
    fn check(reply: Result<Response, ServiceError>, operation: impl Into<Operation>, status: u16, body: &str) {
        let operation = operation.into();
        let response = reply_of(operation.protocol(), operation, "id-1", &reply);
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
        let expected = if operation.protocol() == Protocol::Json { "application/x-amz-json-1.1" } else { "text/xml" };
        assert_eq!(response.headers()["content-type"], expected);
        assert_eq!(std::str::from_utf8(response.body()).unwrap(), body);
    }

    #[test]
    fn json_values() {
        let decrypted = kms::DecryptResponse {
            key_id: Some("arn".to_owned()),
            plaintext: Some(SecretBytes::from_slice(b"hello")),
            encryption_algorithm: Some(kms::EncryptionAlgorithmSpec::SymmetricDefault),
            ..Default::default()
        };
        check(
            Ok(kms::Response::Decrypt(decrypted).into()),
            kms::Operation::Decrypt,
            200,
            r#"{"KeyId":"arn","Plaintext":"aGVsbG8=","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
        );
        let metadata = kms::KeyMetadata {
            aws_account_id: Some("111122223333".to_owned()),
            key_id: "k".to_owned(),
            creation_date: Some(Timestamp::from_millis(1_767_323_045_678)),
            deletion_date: Some(Timestamp::from_seconds(1_767_323_045)),
            enabled: Some(true),
            description: Some("a\"\\\n\u{1}é".to_owned()),
            pending_deletion_window_in_days: Some(7),
            signing_algorithms: Some(vec![
                kms::SigningAlgorithmSpec::RsassaPssSha256,
                kms::SigningAlgorithmSpec::EcdsaSha256,
            ]),
            ..Default::default()
        };
        check(
            Ok(kms::Response::DescribeKey(kms::DescribeKeyResponse { key_metadata: Some(metadata) }).into()),
            kms::Operation::DescribeKey,
            200,
            concat!(
                r#"{"KeyMetadata":{"AWSAccountId":"111122223333","KeyId":"k","CreationDate":1767323045.678,"Enabled":true,"#,
                r#""Description":"a\"\\\n\u0001é","DeletionDate":1767323045,"#,
                r#""SigningAlgorithms":["RSASSA_PSS_SHA_256","ECDSA_SHA_256"],"PendingDeletionWindowInDays":7}}"#
            ),
        );
    }

    #[test]
    fn json_lists_of_structures_and_maps() {
        let constraints = kms::GrantConstraints {
            encryption_context_subset: Some(
                [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into(),
            ),
            ..Default::default()
        };
        let grant =
            |constraints| kms::GrantListEntry { grant_id: Some("g".to_owned()), constraints, ..Default::default() };
        let response = kms::ListGrantsResponse {
            grants: Some(vec![grant(Some(constraints)), grant(None)]),
            truncated: Some(false),
            ..Default::default()
        };
        check(
            Ok(kms::Response::ListGrants(response).into()),
            kms::Operation::ListGrants,
            200,
            r#"{"Grants":[{"GrantId":"g","Constraints":{"EncryptionContextSubset":{"a":"1","b":"2"}}},{"GrantId":"g"}],"Truncated":false}"#,
        );
    }

    #[test]
    fn json_without_output_and_with_an_empty_one() {
        check(Ok(kms::Response::EnableKey.into()), kms::Operation::EnableKey, 200, "");
        let empty = kms::Response::ConnectCustomKeyStore(kms::ConnectCustomKeyStoreResponse {});
        check(Ok(empty.into()), kms::Operation::ConnectCustomKeyStore, 200, "{}");
    }

    #[test]
    fn json_errors() {
        check(
            Err(kms::ErrorCode::NotFoundException.with_message("Invalid keyId 'x'")),
            kms::Operation::Encrypt,
            400,
            r#"{"__type":"NotFoundException","message":"Invalid keyId 'x'"}"#,
        );
        check(
            Err(kms::ErrorCode::InvalidCiphertextException.silent()),
            kms::Operation::Decrypt,
            400,
            r#"{"__type":"InvalidCiphertextException"}"#,
        );
    }

    #[test]
    fn xml_values() {
        let identity = sts::GetCallerIdentityResponse {
            arn: Some("arn:aws:iam::1:user/a".to_owned()),
            user_id: Some("AIDA".to_owned()),
            account: Some("1".to_owned()),
        };
        check(
            Ok(sts::Response::GetCallerIdentity(identity).into()),
            sts::Operation::GetCallerIdentity,
            200,
            concat!(
                r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>"#,
                "<Arn>arn:aws:iam::1:user/a</Arn><UserId>AIDA</UserId><Account>1</Account></GetCallerIdentityResult>",
                "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
            ),
        );
        let key = iam::AccessKey {
            user_name: "a<&>\"'\u{1}".to_owned(),
            access_key_id: "AKIA".to_owned(),
            status: iam::StatusType::Active,
            secret_access_key: SecretBytes::from_slice(b"s+/"),
            create_date: Some(Timestamp::from_seconds(1_767_323_045)),
        };
        check(
            Ok(iam::Response::CreateAccessKey(iam::CreateAccessKeyResponse { access_key: key }).into()),
            iam::Operation::CreateAccessKey,
            200,
            concat!(
                r#"<CreateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateAccessKeyResult><AccessKey>"#,
                "<UserName>a&lt;&amp;&gt;&quot;&apos;\u{fffd}</UserName><AccessKeyId>AKIA</AccessKeyId><Status>Active</Status>",
                "<SecretAccessKey>s+/</SecretAccessKey><CreateDate>2026-01-02T03:04:05Z</CreateDate></AccessKey></CreateAccessKeyResult>",
                "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></CreateAccessKeyResponse>"
            ),
        );
    }

    #[test]
    fn xml_lists_and_no_output() {
        let entry = |id: &str| iam::AccessKeyMetadata { access_key_id: Some(id.to_owned()), ..Default::default() };
        let list = iam::ListAccessKeysResponse {
            access_key_metadata: vec![entry("A"), entry("B")],
            is_truncated: Some(false),
            marker: None,
        };
        check(
            Ok(iam::Response::ListAccessKeys(list).into()),
            iam::Operation::ListAccessKeys,
            200,
            concat!(
                r#"<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccessKeysResult><AccessKeyMetadata>"#,
                "<member><AccessKeyId>A</AccessKeyId></member><member><AccessKeyId>B</AccessKeyId></member></AccessKeyMetadata>",
                "<IsTruncated>false</IsTruncated></ListAccessKeysResult>",
                "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></ListAccessKeysResponse>"
            ),
        );
        check(
            Ok(iam::Response::DeleteAccessKey.into()),
            iam::Operation::DeleteAccessKey,
            200,
            concat!(
                r#"<DeleteAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">"#,
                "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DeleteAccessKeyResponse>"
            ),
        );
    }

    #[test]
    fn xml_errors() {
        check(
            Err(iam::ErrorCode::NoSuchEntity.with_message("The user with name <x> cannot be found.")),
            iam::Operation::DeleteAccessKey,
            404,
            concat!(
                r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code>"#,
                "<Message>The user with name &lt;x&gt; cannot be found.</Message></Error><RequestId>id-1</RequestId></ErrorResponse>"
            ),
        );
        let error = ServiceError::receiver("InternalFailure", 500, None);
        let response = encode_fault(Protocol::Query, "id-1", &error);
        assert_eq!(
            response.body().as_ref(),
            concat!(
                r#"<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Receiver</Type>"#,
                "<Code>InternalFailure</Code></Error><RequestId>id-1</RequestId></ErrorResponse>"
            )
            .as_bytes()
        );
    }
}
