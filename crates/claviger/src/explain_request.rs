//! Why a request was answered as it was: from its record in the audit log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_engine::{Call, CommandError, CommandWork, Commanded};
use claviger_server::{Explain, ExplainRequest, OperatorAnswer};
use serde_json::Value;

use crate::explain;
use crate::explain_record::{self, text};
use crate::world::World;

/// What the log knows of a request.
pub(crate) struct Found {
    /// Its record.
    record: Value,
    /// The record of the request that made the session by which it was signed.
    issued: Option<Value>,
}

/// What became of the search for a record.
pub(crate) struct ExplainingRequest {
    world: Arc<World>,
    found: Result<Found, CommandError>,
}

/// Finds the record of a request. The log may be long, so the search has a thread of its own.
pub(crate) async fn find(world: Arc<World>, log: PathBuf, request: ExplainRequest) -> ExplainingRequest {
    let found = tokio::task::spawn_blocking(move || search(&log, &request.request_id)).await;
    let lost = || CommandError::refused("SearchFailed", "the audit log could not be searched");
    ExplainingRequest { world, found: found.unwrap_or_else(|_| Err(lost())) }
}

fn search(log: &Path, request_id: &str) -> Result<Found, CommandError> {
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if request_id.len() != 36 || !request_id.bytes().all(plain) {
        return Err(CommandError::refused("InvalidRequestId", "a request id is a UUID"));
    }
    let missing = || CommandError::refused("NoSuchRequest", "the audit log has no record of this request");
    let wanted = format!("\"requestID\":\"{}\"", request_id.to_ascii_lowercase());
    let record = record_with(log, &wanted)?.ok_or_else(missing)?;
    let issued = match text(&record, "/userIdentity/accessKeyId") {
        Some(key) if key.starts_with("ASIA") && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            record_with(log, &format!("\"credentials\":{{\"accessKeyId\":\"{key}\""))?
        }
        _ => None,
    };
    Ok(Found { record, issued })
}

/// The newest record that holds this text, which stands in one only.
fn record_with(log: &Path, wanted: &str) -> Result<Option<Value>, CommandError> {
    let failed = |text: String| CommandError::refused("SearchFailed", text);
    let found = claviger_audit::find_record(log, wanted)
        .map_err(|error| failed(format!("the audit log cannot be read: {error}")))?;
    let Some(line) = found else { return Ok(None) };
    let line: Value =
        serde_json::from_str(&line).map_err(|_| failed("the audit log's record is not understood".to_owned()))?;
    Ok(line.get("record").cloned())
}

impl CommandWork for ExplainingRequest {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        let Found { record, issued } = self.found.as_ref().map_err(Clone::clone)?;
        let mut lines = explain_record::recorded(record);
        let asked = explain_record::supposed(record, issued.as_ref());
        if asked.is_empty() && record.get("clavigerDecision").is_some() {
            let why = "Who called has no ARN (the bearer of a provider's token), so it cannot be asked again.";
            lines.push(why.to_owned());
        }
        if !asked.is_empty() {
            lines.push(String::new());
            lines.push("As the policies, grants and tags are now, to what the record shows of the request:".to_owned());
            lines.extend(explain_record::unknown(record, issued.as_ref()));
        }
        for request in asked {
            lines.push(String::new());
            let known_id = text(record, "/userIdentity/principalId").filter(|_| has_id(record));
            match explain::lines(call, &self.world, &request, known_id).await {
                Ok(explained) => lines.extend(explained),
                // A session policy of then may name what is no more; without it the rest can still be said.
                Err(CommandError::Refused { message, .. }) if request.session_policy_arns.is_empty() => {
                    lines.push(message);
                }
                Err(CommandError::Refused { message, .. }) => {
                    lines.push(format!("{message}; so without the session's managed policies, which may deny:"));
                    let request = Explain { session_policy_arns: Vec::new(), ..request };
                    lines.extend(again(call, &self.world, &request, known_id).await?);
                }
                Err(fault @ CommandError::Fault(_)) => return Err(fault),
            }
        }
        Ok(explain::answer(lines))
    }
}

async fn again(
    call: &Call<'_>,
    world: &World,
    request: &Explain,
    known_id: Option<&str>,
) -> Result<Vec<String>, CommandError> {
    match explain::lines(call, world, request, known_id).await {
        Err(CommandError::Refused { message, .. }) => Ok(vec![message]),
        other => other,
    }
}

/// Whether the record's `principalId` is one that only this user, or this session of this role, has.
fn has_id(record: &Value) -> bool {
    matches!(text(record, "/userIdentity/type"), Some("IAMUser" | "AssumedRole"))
}
