//! The last uses of keys that a stopped server had not stored yet: from the end of its audit log.

use std::path::{Path, PathBuf};

use claviger_api::Timestamp;
use claviger_kms::{FoundUse, FoundUses};
use serde_json::Value;

/// The uses that the log records behind this entry; none where the log is in memory. The file system may be slow, so
/// the search has a thread of its own.
///
/// A server stores uses every minute, or every 50,000 entries. So this reads no more than was written in the last
/// minute or two before it stopped, unless the store is a backup's.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub(crate) async fn found(log: Option<PathBuf>, after: u64) -> std::io::Result<FoundUses> {
    let Some(log) = log else { return Ok(FoundUses::default()) };
    tokio::task::spawn_blocking(move || search(&log, after)).await.map_err(std::io::Error::other)?
}

fn search(log: &Path, after: u64) -> std::io::Result<FoundUses> {
    let mut found = FoundUses::default();
    claviger_audit::records_after(log, after, &mut |record| add(&mut found, record))?;
    Ok(found)
}

/// Adds what a record tells: nothing unless a call of KMS succeeded.
fn add(found: &mut FoundUses, record: &str) {
    // Most records of a busy server are uses, but those that are none need not be taken apart.
    if !record.contains("\"eventSource\":\"kms.amazonaws.com\"") {
        return;
    }
    let Ok(record) = serde_json::from_str::<Value>(record) else { return };
    let text = |name| record.get(name).and_then(Value::as_str);
    let is_call = text("eventType") == Some("AwsApiCall") && text("eventSource") == Some("kms.amazonaws.com");
    if !is_call || record.get("errorCode").is_some() {
        return;
    }
    let (Some(operation), Some(at), Some(event_id), Some(request_id)) =
        (text("eventName"), text("eventTime"), text("eventID"), text("requestID"))
    else {
        return;
    };
    let Ok(at) = Timestamp::parse_iso8601(at) else { return };
    // The resources are the keys that were asked about: of ReEncrypt both.
    for resource in record.get("resources").and_then(Value::as_array).into_iter().flatten() {
        if let Some(key_arn) = resource.get("ARN").and_then(Value::as_str) {
            found.add(FoundUse { key_arn, operation, at, event_id, request_id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn record(change: impl FnOnce(&mut Value)) -> String {
        let mut record = serde_json::json!({
            "eventSource": "kms.amazonaws.com",
            "eventName": "Encrypt",
            "eventTime": "2026-10-01T12:00:00Z",
            "eventType": "AwsApiCall",
            "eventID": "11111111-1111-4111-8111-111111111111",
            "requestID": "22222222-2222-4222-8222-222222222222",
            "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        });
        change(&mut record);
        record.to_string()
    }

    fn keys(record: &str) -> usize {
        let mut found = FoundUses::default();
        add(&mut found, record);
        found.len()
    }

    fn with(name: &'static str, value: Value) -> usize {
        keys(&record(|record| {
            if let Some(record) = record.as_object_mut() {
                record.insert(name.to_owned(), value);
            }
        }))
    }

    #[test]
    fn a_record_of_a_use() {
        assert_eq!(keys(&record(|_| ())), 1);
        let other = KEY.replace("eu-central-1", "us-east-1");
        let both = serde_json::json!([{"ARN": KEY}, {"ARN": other}]);
        assert_eq!(with("resources", both), 2, "both keys of a ReEncrypt");
    }

    #[test]
    fn records_of_no_use() {
        assert_eq!(with("errorCode", "AccessDenied".into()), 0);
        assert_eq!(with("eventName", "DescribeKey".into()), 0);
        assert_eq!(with("eventSource", "iam.amazonaws.com".into()), 0);
        assert_eq!(with("eventType", "AwsServiceEvent".into()), 0);
        assert_eq!(with("eventTime", "yesterday".into()), 0);
        assert_eq!(with("resources", serde_json::json!([])), 0);
        assert_eq!(with("resources", serde_json::json!([{"ARN": KEY.replace("key/", "alias/")}])), 0);
        assert_eq!(with("resources", serde_json::json!([{"ARN": KEY.replace(":kms:", ":iam:")}])), 0);
        assert_eq!(keys("\"eventSource\":\"kms.amazonaws.com\""), 0);
    }
}
