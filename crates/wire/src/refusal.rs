//! Refusals on the wire: what a request gets that never became a call.

use bytes::Bytes;
use claviger_api::{Protocol, Refusal, ServiceError, Timestamp};

use crate::reply;

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// Encodes a refusal: data-free, so it needs no proof of a record.
pub fn encode_refusal(protocol: Protocol, request_id: &str, refusal: Refusal) -> http::Response<Bytes> {
    reply::encode_fault(protocol, request_id, &refusal_error(protocol, refusal))
}

/// Encodes the refusal of an operation that does not exist: in the Query protocol it repeats what was asked for.
pub fn encode_unknown_operation(
    protocol: Protocol,
    request_id: &str,
    head: &http::request::Parts,
    body: &[u8],
) -> http::Response<Bytes> {
    let mut error = refusal_error(protocol, Refusal::UnknownOperation);
    if protocol == Protocol::Query {
        error.message = crate::route::unknown_action(head, body);
    }
    reply::encode_fault(protocol, request_id, &error)
}

/// The code, status and text of a refusal in each protocol: one row a refusal, the JSON name before the Query name.
pub fn refusal_error(protocol: Protocol, refusal: Refusal) -> ServiceError {
    use Refusal as R;
    let error = |json: (&'static str, u16), query: (&'static str, u16), message: Option<String>| {
        let (code, status) = match protocol {
            Protocol::Json => json,
            Protocol::Query => query,
        };
        ServiceError { code, status, message, sender_fault: status < 500 }
    };
    let said = |text: &str| Some(text.to_owned());
    let wrong_signature =
        |message: String| error(("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403), Some(message));
    match refusal {
        R::MissingAuthenticationToken => error(
            ("MissingAuthenticationTokenException", 400),
            ("MissingAuthenticationToken", 403),
            said("Request is missing Authentication Token"),
        ),
        R::IncompleteSignature(text) => {
            error(("IncompleteSignatureException", 400), ("IncompleteSignature", 400), said(text))
        }
        R::UnrecognizedClient => error(
            ("UnrecognizedClientException", 400),
            ("InvalidClientTokenId", 403),
            said("The security token included in the request is invalid."),
        ),
        R::ExpiredToken => error(
            ("ExpiredTokenException", 400),
            ("ExpiredToken", 403),
            said("The security token included in the request is expired"),
        ),
        R::InvalidSignature => wrong_signature(WRONG_SIGNATURE.to_owned()),
        R::SignatureExpired { request, limit, now, window_seconds } => {
            wrong_signature(skew("Signature expired", "now earlier than", [request, limit, now], '-', window_seconds))
        }
        R::SignatureNotYetCurrent { request, limit, now, window_seconds } => wrong_signature(skew(
            "Signature not yet current",
            "still later than",
            [request, limit, now],
            '+',
            window_seconds,
        )),
        R::ScopeRegion => wrong_signature(scope(protocol, true, None)),
        R::ScopeService(service) => wrong_signature(scope(protocol, false, Some(service))),
        R::ScopeRegionAndService(service) => wrong_signature(scope(protocol, true, Some(service))),
        R::UnknownOperation => error(("UnknownOperationException", 400), ("InvalidAction", 400), None),
        R::Serialization => error(("SerializationException", 400), ("MalformedInput", 400), None),
        R::BodyTooLarge => error(("RequestEntityTooLargeException", 413), ("RequestEntityTooLarge", 413), None),
        R::MethodNotAllowed => error(("UnknownOperationException", 405), ("InvalidAction", 405), None),
        R::InternalFailure => error(("InternalFailure", 500), ("InternalFailure", 500), None),
        R::ServiceUnavailable => error(("ServiceUnavailableException", 503), ("ServiceUnavailable", 503), None),
        R::Forbidden => error(("AccessDeniedException", 403), ("AccessDenied", 403), None),
    }
}

/// `<what>: <request> is <relation> <limit> (<now> - 5 min.)`.
fn skew(what: &str, relation: &str, [request, limit, now]: [Timestamp; 3], sign: char, window_seconds: u32) -> String {
    let minutes = window_seconds / 60;
    let [request, limit, now] = [request, limit, now].map(Timestamp::to_amz_date);
    format!("{what}: {request} is {relation} {limit} ({now} {sign} {minutes} min.)")
}

/// The Query protocol keeps the space after each sentence, as AWS does.
fn scope(protocol: Protocol, region: bool, service: Option<&'static str>) -> String {
    let region = region.then(|| "Credential should be scoped to a valid region.".to_owned());
    let service = service.map(|service| format!("Credential should be scoped to correct service: '{service}'."));
    let sentences: Vec<String> = region.into_iter().chain(service).collect();
    match protocol {
        Protocol::Json => sentences.join(" "),
        Protocol::Query => sentences.iter().map(|sentence| format!("{sentence} ")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(refusal: Refusal, json: &str, query: &str) {
        for (protocol, expected) in [(Protocol::Json, json), (Protocol::Query, query)] {
            let error = refusal_error(protocol, refusal);
            let message = error.message.unwrap_or_default();
            assert_eq!(format!("{} {} {message}", error.status, error.code), expected);
            assert_eq!(error.sender_fault, error.status < 500);
        }
    }

    #[test]
    fn texts_of_signatures() {
        let now = Timestamp::from_seconds(1_767_323_045);
        let (request, window_seconds) = (now.plus_seconds(-301), 300);
        check(
            Refusal::SignatureExpired { request, limit: now.plus_seconds(-300), now, window_seconds },
            "400 InvalidSignatureException Signature expired: 20260102T025904Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)",
            "403 SignatureDoesNotMatch Signature expired: 20260102T025904Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)",
        );
        let request = now.plus_seconds(301);
        check(
            Refusal::SignatureNotYetCurrent { request, limit: now.plus_seconds(300), now, window_seconds },
            "400 InvalidSignatureException Signature not yet current: 20260102T030906Z is still later than 20260102T030905Z (20260102T030405Z + 5 min.)",
            "403 SignatureDoesNotMatch Signature not yet current: 20260102T030906Z is still later than 20260102T030905Z (20260102T030405Z + 5 min.)",
        );
        check(
            Refusal::ScopeRegionAndService("sts"),
            "400 InvalidSignatureException Credential should be scoped to a valid region. Credential should be scoped to correct service: 'sts'.",
            "403 SignatureDoesNotMatch Credential should be scoped to a valid region. Credential should be scoped to correct service: 'sts'. ",
        );
    }

    #[test]
    fn names_differ_by_protocol() {
        check(
            Refusal::UnrecognizedClient,
            "400 UnrecognizedClientException The security token included in the request is invalid.",
            "403 InvalidClientTokenId The security token included in the request is invalid.",
        );
        check(Refusal::IncompleteSignature("x"), "400 IncompleteSignatureException x", "400 IncompleteSignature x");
        check(Refusal::UnknownOperation, "400 UnknownOperationException ", "400 InvalidAction ");
        check(Refusal::InternalFailure, "500 InternalFailure ", "500 InternalFailure ");
    }
}
