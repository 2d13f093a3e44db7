//! Which operation a request asks for, and in which protocol.

use claviger_api::{Operation, Protocol, Refusal};
use http::request::Parts;
use http::{HeaderName, Method, header};

use crate::{form, generated};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// The protocol a request is to be answered in, also when nothing else about it can be understood.
pub fn protocol(head: &Parts) -> Protocol {
    if head.headers.contains_key(&TARGET) || media_type(head).starts_with("application/x-amz-json-") {
        Protocol::Json
    } else {
        Protocol::Query
    }
}

/// The operation: of `X-Amz-Target` in awsJson, of `Action` and `Version` in awsQuery.
///
/// # Errors
/// `MethodNotAllowed`, `UnknownOperation` (also for a wrong content type), `Serialization` for a form that
/// cannot be read.
pub fn route(head: &Parts, body: &[u8]) -> Result<(Protocol, Operation), Refusal> {
    let protocol = protocol(head);
    let operation = match protocol {
        Protocol::Json => json_operation(head)?,
        Protocol::Query => query_operation(head, body)?,
    };
    Ok((protocol, operation))
}

/// What [`crate::decode`] reads: the body, or the query string of a Query request by GET.
pub fn input<'a>(head: &'a Parts, body: &'a [u8]) -> &'a [u8] {
    if protocol(head) == Protocol::Query && head.method == Method::GET {
        head.uri.query().unwrap_or_default().as_bytes()
    } else {
        body
    }
}

fn json_operation(head: &Parts) -> Result<Operation, Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    // Only a content type no HTML form can send: what a browser was tricked into sending is no call.
    if !matches!(media_type(head), "application/x-amz-json-1.0" | "application/x-amz-json-1.1") {
        return Err(Refusal::UnknownOperation);
    }
    let mut targets = head.headers.get_all(&TARGET).iter();
    let (Some(target), None) = (targets.next(), targets.next()) else {
        return Err(Refusal::UnknownOperation);
    };
    target
        .to_str()
        .ok()
        .and_then(|target| target.split_once('.'))
        .and_then(|(prefix, operation)| generated::operation_of_target(prefix, operation))
        .ok_or(Refusal::UnknownOperation)
}

fn query_operation(head: &Parts, body: &[u8]) -> Result<Operation, Refusal> {
    if head.method == Method::POST {
        if media_type(head) != "application/x-www-form-urlencoded" {
            return Err(Refusal::UnknownOperation);
        }
    } else if head.method != Method::GET {
        return Err(Refusal::MethodNotAllowed);
    }
    let form = input(head, body);
    let parameter = |name| form::parameter(form, name).map_err(|_| Refusal::Serialization);
    let (Some(action), Some(version)) = (parameter("Action")?, parameter("Version")?) else {
        return Err(Refusal::UnknownOperation);
    };
    generated::operation_of_action(&version, &action).ok_or(Refusal::UnknownOperation)
}

/// Characters of an unknown Action or Version that its refusal repeats.
const ECHOED_MAX: usize = 128;

/// What AWS says of an Action and Version that it does not know; `None` when the request names no Action.
pub(crate) fn unknown_action(head: &Parts, body: &[u8]) -> Option<String> {
    let form = input(head, body);
    let parameter = |name| form::parameter(form, name).ok().flatten();
    let cut = |text: &str| text.chars().take(ECHOED_MAX).collect::<String>();
    let action = cut(&parameter("Action")?);
    let version = parameter("Version").map_or_else(|| "NO_VERSION_SPECIFIED".to_owned(), |version| cut(&version));
    Some(format!("Could not find operation {action} for version {version}"))
}

/// The content type without its parameters; empty if there is none.
fn media_type(head: &Parts) -> &str {
    let value = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use claviger_api::{iam, kms, sts};

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn every_operation_has_a_route() {
        for operation in kms::Operation::ALL {
            let target = format!("TrentService.{}", operation.name());
            let found = route(&head("POST", "/", &[JSON, ("x-amz-target", &target)]), b"{}");
            assert_eq!(found, Ok((Protocol::Json, Operation::Kms(*operation))));
        }
        for operation in iam::Operation::ALL {
            let body = format!("Version=2010-05-08&Action={}", operation.name());
            let found = route(&head("POST", "/", &[FORM]), body.as_bytes());
            assert_eq!(found, Ok((Protocol::Query, Operation::Iam(*operation))));
        }
    }

    #[test]
    fn a_query_may_come_by_get() {
        let head = head("GET", "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=00", &[]);
        let expected = Operation::Sts(sts::Operation::GetCallerIdentity);
        assert_eq!(route(&head, b""), Ok((Protocol::Query, expected)));
        assert!(crate::decode(expected, input(&head, b"")).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        let target = ("x-amz-target", "TrentService.Encrypt");
        for (head, expected) in [
            (head("POST", "/", &[JSON, ("x-amz-target", "TrentService.Melt")]), Refusal::UnknownOperation),
            (head("POST", "/", &[JSON, ("x-amz-target", "Other.Encrypt")]), Refusal::UnknownOperation),
            (head("POST", "/", &[JSON, ("x-amz-target", "Encrypt")]), Refusal::UnknownOperation),
            (head("POST", "/", &[JSON, target, target]), Refusal::UnknownOperation),
            (head("POST", "/", &[JSON]), Refusal::UnknownOperation),
            (head("POST", "/", &[("content-type", "text/plain"), target]), Refusal::UnknownOperation),
            (head("POST", "/", &[target]), Refusal::UnknownOperation),
            (head("GET", "/", &[JSON, target]), Refusal::MethodNotAllowed),
            (head("DELETE", "/", &[FORM]), Refusal::MethodNotAllowed),
            (head("POST", "/", &[FORM]), Refusal::UnknownOperation),
            (head("GET", "/?Action=GetCallerIdentity", &[]), Refusal::UnknownOperation),
            (head("GET", "/?Action=GetCallerIdentity&Version=2010-05-08", &[]), Refusal::UnknownOperation),
            (head("GET", "/?Action=%ff", &[]), Refusal::Serialization),
        ] {
            assert_eq!(route(&head, b""), Err(expected), "{head:?}");
        }
    }
}
