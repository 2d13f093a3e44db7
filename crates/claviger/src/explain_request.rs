//! Why a request was answered as it was: from its record in the audit log.

use std::path::PathBuf;

use claviger_engine::{Call, CommandError, CommandWork, Commanded};
use claviger_server::{Explain, ExplainRequest, OperatorAnswer};
use serde_json::Value;

use crate::explain;

/// What became of the search for a record.
pub(crate) struct ExplainingRequest(pub(crate) Result<Value, CommandError>);

/// Finds the record of a request. The log may be long, so the search has a thread of its own.
pub(crate) async fn find(log: PathBuf, request: ExplainRequest) -> ExplainingRequest {
    let found = tokio::task::spawn_blocking(move || search(&log, &request.request_id)).await;
    let lost = || CommandError::refused("SearchFailed", "the audit log could not be searched");
    ExplainingRequest(found.unwrap_or_else(|_| Err(lost())))
}

fn search(log: &std::path::Path, request_id: &str) -> Result<Value, CommandError> {
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if request_id.len() != 36 || !request_id.bytes().all(plain) {
        return Err(CommandError::refused("InvalidRequestId", "a request id is a UUID"));
    }
    let text = format!("\"requestID\":\"{}\"", request_id.to_ascii_lowercase());
    let found = claviger_audit::find_record(log, &text)
        .map_err(|error| CommandError::refused("SearchFailed", format!("the audit log cannot be read: {error}")))?;
    let missing = || CommandError::refused("NoSuchRequest", "the audit log has no record of this request");
    let line: Value = serde_json::from_str(&found.ok_or_else(missing)?).map_err(|_| missing())?;
    line.get("record").cloned().ok_or_else(missing)
}

impl CommandWork for ExplainingRequest {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        let record = self.0.as_ref().map_err(Clone::clone)?;
        let mut lines = recorded(record);
        for request in supposed(record) {
            lines.push(String::new());
            lines.push("As the policies and grants are now, leaving out a session's own policy:".to_owned());
            match explain::lines(call, &request).await {
                Ok(explained) => lines.extend(explained),
                Err(CommandError::Refused { message, .. }) => lines.push(message),
                Err(fault @ CommandError::Fault(_)) => return Err(fault),
            }
        }
        Ok(explain::answer(lines))
    }
}

/// A member of the record, which may lie deeper.
fn text<'a>(record: &'a Value, path: &str) -> Option<&'a str> {
    record.pointer(path)?.as_str()
}

/// What the record says.
fn recorded(record: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (label, path) in [
        ("request", "/requestID"),
        ("time", "/eventTime"),
        ("service", "/eventSource"),
        ("operation", "/eventName"),
        ("region", "/awsRegion"),
        ("caller", "/userIdentity/arn"),
        ("from", "/sourceIPAddress"),
        ("error", "/errorCode"),
        ("message", "/errorMessage"),
    ] {
        if let Some(found) = text(record, path) {
            lines.push(format!("{label:<10}{found}"));
        }
    }
    let decisions = record.get("clavigerDecision").and_then(Value::as_array);
    if decisions.is_none() {
        lines.push(
            "It was not asked whether the caller may: the request failed before, or no policy governs it.".into(),
        );
    }
    for (number, decision) in decisions.into_iter().flatten().enumerate() {
        let resource = text(record, &format!("/resources/{number}/ARN")).unwrap_or("*");
        let (effect, reason) = (text(decision, "/effect").unwrap_or("?"), text(decision, "/reason").unwrap_or("?"));
        lines.push(format!("decision  {effect} on {resource}: {reason}"));
        for statement in decision.get("statements").and_then(Value::as_array).into_iter().flatten() {
            let count = |name| statement.get(name).and_then(Value::as_u64).unwrap_or_default().saturating_add(1);
            let source = text(statement, "/source").unwrap_or("?");
            lines.push(format!("    by {source} {}, statement {}", count("policy"), count("statement")));
        }
    }
    lines
}

/// What conditions see of a call by a service, as far as its record says it.
fn through(service: &str, region: &str) -> [(String, String); 4] {
    let name = service.split('.').next().unwrap_or_default();
    [
        ("kms:ViaService", format!("{name}.{region}.amazonaws.com")),
        ("kms:GrantIsForAWSResource", "true".to_owned()),
        ("aws:ViaAWSService", "true".to_owned()),
        ("aws:CalledViaLast", service.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// The uses of keys that the request was, to be asked about again.
fn supposed(record: &Value) -> Vec<Explain> {
    let (Some("kms.amazonaws.com"), Some(name)) = (text(record, "/eventSource"), text(record, "/eventName")) else {
        return Vec::new();
    };
    let actions = match name {
        "ReEncrypt" => vec!["kms:ReEncryptFrom".to_owned(), "kms:ReEncryptTo".to_owned()],
        _ => vec![format!("kms:{name}")],
    };
    let known = |name: &str, path: &str| Some((name.to_owned(), text(record, path)?.to_owned()));
    let mut context: Vec<_> = known("aws:UserAgent", "/userAgent").into_iter().collect();
    if let Some(service) = text(record, "/userIdentity/invokedBy") {
        context.extend(through(service, text(record, "/awsRegion").unwrap_or_default()));
    } else {
        context.push(("aws:SecureTransport".to_owned(), record.get("tlsDetails").is_some().to_string()));
        context.extend(known("aws:SourceIp", "/sourceIPAddress"));
    }
    let pairs = record.pointer("/requestParameters/encryptionContext").and_then(Value::as_object);
    let pairs = pairs.into_iter().flatten();
    let encryption_context: Vec<(String, String)> =
        pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let ask = |(number, action)| Explain {
        caller: text(record, "/userIdentity/arn").unwrap_or_default().to_owned(),
        action,
        key: text(record, &format!("/resources/{number}/ARN")).map(str::to_owned),
        region: text(record, "/awsRegion").map(str::to_owned),
        context: context.clone(),
        encryption_context: encryption_context.clone(),
    };
    actions.into_iter().enumerate().map(ask).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn context(identity: &str, address: &str) -> Vec<(String, String)> {
        let record = format!(
            r#"{{"eventSource":"kms.amazonaws.com","eventName":"Encrypt","awsRegion":"eu-central-1","userAgent":"agent",
            "userIdentity":{{"arn":"arn:aws:iam::111122223333:root"{identity}}},"sourceIPAddress":"{address}"}}"#
        );
        supposed(&serde_json::from_str(&record).unwrap())[0].context.clone()
    }

    /// The address in the record of a call by a service is none, and no TLS is told of it.
    #[test]
    fn a_call_by_a_service_is_asked_about_as_one() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let agent = pair("aws:UserAgent", "agent");
        let direct = [agent.clone(), pair("aws:SecureTransport", "false"), pair("aws:SourceIp", "192.0.2.1")];
        assert_eq!(context("", "192.0.2.1"), direct);
        let through = [
            agent,
            pair("kms:ViaService", "ssm.eu-central-1.amazonaws.com"),
            pair("kms:GrantIsForAWSResource", "true"),
            pair("aws:ViaAWSService", "true"),
            pair("aws:CalledViaLast", "ssm.amazonaws.com"),
        ];
        assert_eq!(context(r#","invokedBy":"ssm.amazonaws.com""#, "ssm.amazonaws.com"), through);
    }
}
