//! Who would miss a key: the server's side of `claviger key impact`.
//!
//! The whole audit log is read, one line at a time. What is kept of it is bounded: so many callers, and so many of each
//! thing that a caller may have many of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use claviger_engine::{Call, CommandError, CommandWork, Commanded, Value, Writes};
use claviger_kms::{GrantNow, KeyName, KeyNow};
use claviger_policy::AccountId;
use claviger_server::{CallerShown, GrantShown, KeyImpact, KeyImpactShown, KeyShown, LogRead, OperatorAnswer};
use serde::Deserialize;

/// Callers that are counted, and of these the ones that are shown.
const CALLERS_MAX: usize = 10_000;
const CALLERS_SHOWN_MAX: usize = 1_000;
/// Of each thing that a caller may have many of.
const THINGS_MAX: usize = 20;
/// Characters of a name that somebody chose.
const NAME_CHARACTERS_MAX: usize = 256;

/// What uses a key, as GetKeyLastUsage counts it.
const USES: [&str; 16] = [
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ReEncrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "VerifyMac",
];

/// What the record shows of the command.
pub(crate) fn facts(request: &KeyImpact) -> Value {
    let mut facts = Value::object([("keyId", Value::public_text(&request.key))]);
    for (name, text) in [("awsRegion", &request.region), ("accountId", &request.account), ("since", &request.since)] {
        if let Some(text) = text {
            facts = facts.with(name, Value::public_text(text));
        }
    }
    facts
}

/// Finds the key; what the log says of it comes after.
pub(crate) struct Reporting {
    pub(crate) request: KeyImpact,
    pub(crate) log: PathBuf,
}

impl CommandWork for Reporting {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        let KeyImpact { key, region, account, since } = &self.request;
        let account = match account.as_deref().map(AccountId::parse) {
            None => None,
            Some(Some(account)) => Some(account),
            Some(None) => return Err(CommandError::refused("InvalidAccount", "an account has 12 digits")),
        };
        let since = since.as_deref().map(instant).transpose()?;
        let region = region.as_deref().unwrap_or_else(|| call.regions().default_region()).to_owned();
        let KeyName { arn, now } = claviger_kms::key_now(call, key, &region, account).await?;
        // The log may be long.
        call.release_view();
        let (log, wanted) = (self.log.clone(), arn.clone());
        let read = tokio::task::spawn_blocking(move || read_log(&log, &wanted, since)).await;
        let lost = || CommandError::refused("SearchFailed", "the audit log could not be read");
        let mut report = read.unwrap_or_else(|_| Err(lost()))?;
        (report.arn, report.key) = (arn, now.map(shown));
        let response = OperatorAnswer::KeyImpact(Box::new(report));
        Ok(Commanded { response, writes: Writes::default(), shown: Value::Null })
    }
}

/// A day, or an instant, as records write it: so that their order is that of the texts.
fn instant(text: &str) -> Result<String, CommandError> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    match claviger_api::Timestamp::parse_iso8601(&whole) {
        Ok(time) => Ok(time.to_iso8601()),
        Err(_) => {
            let text = format!("{text:?} is neither a day, as 2026-01-31, nor an instant, as 2026-01-31T12:00:00Z");
            Err(CommandError::refused("InvalidDate", text))
        }
    }
}

fn shown(now: KeyNow) -> KeyShown {
    let grant = |grant: GrantNow| GrantShown {
        id: grant.id,
        name: grant.name,
        grantee: grant.grantee,
        operations: grant.operations.into_iter().map(str::to_owned).collect(),
    };
    KeyShown {
        state: now.state.to_owned(),
        deletion_date: now.deletion_date,
        spec: now.spec.to_owned(),
        usage: now.usage.to_owned(),
        origin: now.origin.to_owned(),
        created: now.created,
        materials: now.materials,
        multi_region: now.multi_region.map(str::to_owned),
        related_regions: now.related_regions,
        aliases: now.aliases,
        grants: now.grants.into_iter().map(grant).collect(),
        more_grants: now.more_grants,
        lost: now.lost,
    }
}

/// Reads the log for the key with this ARN.
fn read_log(log: &Path, arn: &str, since: Option<String>) -> Result<KeyImpactShown, CommandError> {
    let mut tally = Tally { arn, since: since.as_deref(), ..Tally::default() };
    let reading = claviger_audit::read_records(log, &mut |record| tally.take(record))
        .map_err(|error| CommandError::refused("SearchFailed", format!("the audit log cannot be read: {error}")))?;
    let log = LogRead {
        records: reading.records,
        sound: reading.sound,
        unreadable: reading.malformed.saturating_add(tally.unreadable),
        first_fault: reading.first_fault.map(|fault| fault.to_string()),
        oldest: tally.oldest.take(),
        since: since.clone(),
    };
    Ok(tally.report(log))
}

/// What is counted.
#[derive(Default)]
struct Tally<'a> {
    arn: &'a str,
    since: Option<&'a str>,
    callers: HashMap<(String, String), CallerShown>,
    left_out: u64,
    unreadable: u64,
    oldest: Option<String>,
}

/// The members of a record that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    user_identity: Identity,
    event_time: String,
    event_source: String,
    event_name: String,
    event_type: String,
    #[serde(default, rename = "sourceIPAddress")]
    source_address: Option<String>,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    request_parameters: serde_json::Value,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    claviger_decision: Vec<Decision>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    principal_id: String,
    #[serde(default)]
    arn: String,
    #[serde(default)]
    session_context: Option<SessionContext>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionContext {
    #[serde(default)]
    session_issuer: Option<Issuer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issuer {
    #[serde(default)]
    principal_id: String,
    #[serde(default)]
    arn: String,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "ARN")]
    arn: String,
}

#[derive(Deserialize)]
struct Decision {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    grant: Option<String>,
}

impl Tally<'_> {
    fn take(&mut self, record: &str) {
        if self.oldest.is_none() {
            self.oldest = time_of(record).map(str::to_owned);
        }
        // Nearly every line is about another key; to look for a text costs a fraction of taking the line apart.
        if !record.contains(self.arn) {
            return;
        }
        match serde_json::from_str::<Record>(record) {
            Ok(record) => self.count(&record),
            Err(_) => self.unreadable = self.unreadable.saturating_add(1),
        }
    }

    fn count(&mut self, record: &Record) {
        let about = record.resources.iter().any(|resource| resource.arn == self.arn);
        let early = self.since.is_some_and(|since| record.event_time.as_str() < since);
        if !about || early || record.event_type != "AwsApiCall" || record.event_source != "kms.amazonaws.com" {
            return;
        }
        let (arn, id, session) = who(&record.user_identity);
        let full = self.callers.len() >= CALLERS_MAX;
        let identity = (arn, id);
        if full && !self.callers.contains_key(&identity) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let fresh = || CallerShown { arn: identity.0.clone(), id: identity.1.clone(), ..CallerShown::default() };
        let caller = self.callers.entry(identity.clone()).or_insert_with(fresh);
        caller.last_seen.clone_from(&record.event_time);
        if let Some(session) = session {
            caller.cut |= !keep(&mut caller.sessions, session);
        }
        if let Some(address) = &record.source_address {
            caller.cut |= !keep(&mut caller.addresses, address);
        }
        match record.error_code.as_deref() {
            Some("AccessDenied" | "AccessDeniedException") => caller.denied = caller.denied.saturating_add(1),
            Some(_) => caller.failed = caller.failed.saturating_add(1),
            None => succeeded(caller, record, self.arn),
        }
    }

    fn report(self, log: LogRead) -> KeyImpactShown {
        let mut callers: Vec<CallerShown> = self.callers.into_values().collect();
        callers.sort_by(|one, other| {
            let key = |caller: &CallerShown| (caller.last_use.clone(), caller.last_seen.clone(), caller.arn.clone());
            key(other).cmp(&key(one))
        });
        let beyond = callers.len().saturating_sub(CALLERS_SHOWN_MAX);
        callers.truncate(CALLERS_SHOWN_MAX);
        let callers_left_out = self.left_out.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX));
        KeyImpactShown { log, callers, callers_left_out, ..KeyImpactShown::default() }
    }
}

/// A call that did what it was to do.
fn succeeded(caller: &mut CallerShown, record: &Record, arn: &str) {
    let is_use = USES.contains(&record.event_name.as_str());
    if is_use {
        caller.uses = caller.uses.saturating_add(1);
        caller.first_use.get_or_insert_with(|| record.event_time.clone());
        caller.last_use = Some(record.event_time.clone());
    } else {
        caller.other_calls = caller.other_calls.saturating_add(1);
    }
    let mut cut = false;
    for (action, grant) in of_key(record, arn) {
        cut |= !count(&mut caller.operations, &action);
        if let Some(grant) = grant {
            cut |= !count(&mut caller.grants, grant);
        }
        let side = match action.as_str() {
            "ReEncryptFrom" => ["/sourceKeyId", "/sourceEncryptionContext"],
            "ReEncryptTo" => ["/destinationKeyId", "/destinationEncryptionContext"],
            _ => ["/keyId", "/encryptionContext"],
        };
        let [name, context] = side.map(|path| record.request_parameters.pointer(path));
        if let Some(alias) = name.and_then(serde_json::Value::as_str).and_then(alias_in) {
            cut |= !count(&mut caller.aliases, alias);
        }
        for key in context.and_then(serde_json::Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
            cut |= !keep(&mut caller.context_keys, key);
        }
    }
    caller.cut |= cut;
}

/// The operations of the record that were about the key, with the grants that allowed them. Records of older releases do
/// not say what a decision was about: then the operation's name counts, and which side a key was on goes by its place.
fn of_key<'r>(record: &'r Record, arn: &str) -> Vec<(String, Option<&'r str>)> {
    let decided = record.claviger_decision.iter().filter(|decision| decision.resource.as_deref() == Some(arn));
    let mut found: Vec<_> = decided
        .filter_map(|decision| {
            let action = decision.action.as_deref()?.strip_prefix("kms:")?;
            Some((action.to_owned(), decision.grant.as_deref()))
        })
        .collect();
    found.dedup();
    if found.is_empty() {
        let sides = ["ReEncryptFrom", "ReEncryptTo"];
        let names = record.resources.iter().zip(sides).filter(|(resource, _)| resource.arn == arn);
        match record.event_name.as_str() {
            "ReEncrypt" => found.extend(names.map(|(_, name)| (name.to_owned(), None))),
            name => found.push((name.to_owned(), None)),
        }
    }
    found
}

/// The identity that counts as one caller, its unique id, and the name of its session.
fn who(identity: &Identity) -> (String, String, Option<&str>) {
    let issuer = identity.session_context.as_ref().and_then(|context| context.session_issuer.as_ref());
    match (identity.kind.as_str(), issuer) {
        ("AssumedRole", Some(role)) => {
            let session = identity.arn.rsplit('/').next();
            (role.arn.clone(), role.principal_id.clone(), session)
        }
        (kind, _) if identity.arn.is_empty() => (kind.to_owned(), identity.principal_id.clone(), None),
        _ => (identity.arn.clone(), identity.principal_id.clone(), None),
    }
}

/// `alias/NAME` of a name or an ARN.
fn alias_in(key: &str) -> Option<&str> {
    let at = key.find("alias/").filter(|at| *at == 0 || key.starts_with("arn:"))?;
    key.get(at..)
}

/// Whether there was room.
fn keep(set: &mut BTreeSet<String>, text: &str) -> bool {
    set.contains(text) || (set.len() < THINGS_MAX && set.insert(short(text)))
}

/// Whether there was room.
fn count(map: &mut BTreeMap<String, u64>, text: &str) -> bool {
    if let Some(count) = map.get_mut(text) {
        *count = count.saturating_add(1);
        return true;
    }
    let room = map.len() < THINGS_MAX.max(USES.len());
    if room {
        map.insert(short(text), 1);
    }
    room
}

fn short(text: &str) -> String {
    text.chars().take(NAME_CHARACTERS_MAX).collect()
}

/// The time of a record, without taking it apart.
fn time_of(record: &str) -> Option<&str> {
    record.split_once("\"eventTime\":\"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use serde_json::json;

    use super::*;

    const KEY: &str = "arn:aws:kms:r:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const OTHER: &str = "arn:aws:kms:r:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab";

    fn record(name: &str, time: &str) -> serde_json::Value {
        json!({
            "userIdentity": {"type": "IAMUser", "principalId": "AIDA1", "arn": "arn:aws:iam::111122223333:user/u"},
            "eventTime": time, "eventSource": "kms.amazonaws.com", "eventName": name, "eventType": "AwsApiCall",
            "sourceIPAddress": "192.0.2.1", "requestParameters": {"keyId": KEY}, "resources": [{"ARN": KEY}],
            "clavigerDecision": [{"effect": "Allow", "action": format!("kms:{name}"), "resource": KEY}],
        })
    }

    fn tally(since: Option<&str>, records: &[serde_json::Value]) -> KeyImpactShown {
        let mut tally = Tally { arn: KEY, since, ..Tally::default() };
        records.iter().for_each(|record| tally.take(&record.to_string()));
        tally.report(LogRead::default())
    }

    #[test]
    fn uses_and_other_calls_are_told_apart() {
        let mut denied = record("Decrypt", "2026-01-04T00:00:00Z");
        denied["errorCode"] = json!("AccessDenied");
        let mut failed = record("Decrypt", "2026-01-05T00:00:00Z");
        failed["errorCode"] = json!("KMSInvalidStateException");
        let records = [
            record("DescribeKey", "2026-01-01T00:00:00Z"),
            record("Encrypt", "2026-01-02T00:00:00Z"),
            record("Encrypt", "2026-01-03T00:00:00Z"),
            denied,
            failed,
        ];
        let report = tally(None, &records);
        let caller = &report.callers[0];
        assert_eq!((caller.uses, caller.other_calls, caller.denied, caller.failed), (2, 1, 1, 1));
        assert_eq!(caller.first_use.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(caller.last_use.as_deref(), Some("2026-01-03T00:00:00Z"));
        assert_eq!(caller.last_seen, "2026-01-05T00:00:00Z");
        let counts = [("DescribeKey".to_owned(), 1), ("Encrypt".to_owned(), 2)];
        assert_eq!(caller.operations, BTreeMap::from(counts));
        assert_eq!(tally(Some("2026-01-03T00:00:00Z"), &records).callers[0].uses, 1);
    }

    #[test]
    fn what_only_mentions_the_key_does_not_count() {
        let mut elsewhere = record("Encrypt", "2026-01-01T00:00:00Z");
        elsewhere["resources"] = json!([{"ARN": OTHER}]);
        let mut service = record("RotateKey", "2026-01-01T00:00:00Z");
        service["eventType"] = json!("AwsServiceEvent");
        let mut tally = Tally { arn: KEY, ..Tally::default() };
        tally.take(&elsewhere.to_string());
        tally.take(&service.to_string());
        tally.take(&format!("{{\"half\":\"{KEY}"));
        assert!(tally.callers.is_empty());
        assert_eq!(tally.unreadable, 1);
    }

    #[test]
    fn each_side_of_a_re_encryption_has_its_own_name_and_context() {
        let mut both = record("ReEncrypt", "2026-01-01T00:00:00Z");
        both["resources"] = json!([{"ARN": OTHER}, {"ARN": KEY}]);
        both["requestParameters"] = json!({
            "sourceKeyId": "alias/old", "sourceEncryptionContext": {"Old": "1"},
            "destinationKeyId": "alias/new", "destinationEncryptionContext": {"New": "secret"},
        });
        both["clavigerDecision"] = json!([
            {"action": "kms:ReEncryptFrom", "resource": OTHER},
            {"action": "kms:ReEncryptTo", "resource": KEY, "grant": "g1"},
        ]);
        let mut older = both.clone();
        older["clavigerDecision"] = json!([{"effect": "Allow"}, {"effect": "Allow"}]);
        let report = tally(None, &[both, older]);
        let caller = &report.callers[0];
        assert_eq!(caller.operations, BTreeMap::from([("ReEncryptTo".to_owned(), 2)]));
        assert_eq!(caller.aliases, BTreeMap::from([("alias/new".to_owned(), 2)]));
        assert_eq!(caller.grants, BTreeMap::from([("g1".to_owned(), 1)]));
        assert_eq!(caller.context_keys, BTreeSet::from(["New".to_owned()]));
        assert!(!serde_json::to_string(&report).unwrap().contains("secret"), "values are not shown");
    }

    #[test]
    fn sessions_of_a_role_are_one_caller_and_namesakes_are_two() {
        let session = |name: &str, id: &str| {
            let mut record = record("Sign", "2026-01-01T00:00:00Z");
            record["userIdentity"] = json!({
                "type": "AssumedRole", "principalId": format!("{id}:{name}"),
                "arn": format!("arn:aws:sts::111122223333:assumed-role/worker/{name}"),
                "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/worker", "principalId": id}},
            });
            record
        };
        let report = tally(None, &[session("a1", "AROA1"), session("b1", "AROA1"), session("a1", "AROA2")]);
        let mut found: Vec<_> =
            report.callers.iter().map(|one| (one.id.as_str(), one.uses, one.sessions.len())).collect();
        found.sort_unstable();
        assert_eq!(found, [("AROA1", 2, 2), ("AROA2", 1, 1)]);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let many = |number: usize| {
            let mut record = record("Encrypt", "2026-01-01T00:00:00Z");
            record["sourceIPAddress"] = json!(format!("192.0.2.{number}"));
            record["requestParameters"] = json!({"encryptionContext": {format!("k{number}"): "v"}});
            record
        };
        let records: Vec<_> = (0..THINGS_MAX + 5).map(many).collect();
        let report = tally(None, &records);
        let caller = &report.callers[0];
        assert_eq!((caller.addresses.len(), caller.context_keys.len(), caller.cut), (THINGS_MAX, THINGS_MAX, true));
        let mut tally = Tally { arn: KEY, ..Tally::default() };
        let mut one = record("Encrypt", "2026-01-01T00:00:00Z");
        for number in 0..CALLERS_MAX + 3 {
            one["userIdentity"]["principalId"] = json!(format!("AIDA{number}"));
            tally.take(&one.to_string());
        }
        assert_eq!((tally.callers.len(), tally.left_out), (CALLERS_MAX, 3));
    }

    #[test]
    fn days_and_instants() {
        assert_eq!(instant("2026-01-31").unwrap(), "2026-01-31T00:00:00Z");
        assert_eq!(instant("2026-01-31T12:00:00Z").unwrap(), "2026-01-31T12:00:00Z");
        for text in ["", "yesterday", "2026-13-01", "2026-01-31T"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    /// A record as large as those of a server are.
    fn append(log: &claviger_audit::Log, number: i64, arn: &str) {
        use claviger_audit::{Call, Event, EventType, Resource, Text, Time, Value};
        let user = format!("arn:aws:iam::111122223333:user/u{}", number % 50);
        let head = Call {
            event_type: EventType::ApiCall,
            time: Time::from_millis(1_790_000_000_000 + number),
            source: "kms.amazonaws.com".into(),
            name: "Encrypt".into(),
            region: "r".into(),
            identity: Value::object([
                ("type", Value::from("IAMUser")),
                ("principalId", Value::from("AIDAABCDEFGHIJKLMNOPQ")),
                ("arn", Value::public_text(&user)),
                ("accountId", Value::from("111122223333")),
            ]),
            source_address: "192.0.2.1".into(),
            user_agent: Some("Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11".into()),
            request_id: Some("0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e11".into()),
            event_id: "0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e11".into(),
            recipient_account: "111122223333".into(),
            tls_details: None,
        };
        let mut event = Event::new(true);
        event.request_parameters = Value::object([("keyId", Value::public_text(arn))])
            .with("encryptionContext", Value::object([("App", "x")]));
        event.resources = Some(vec![Resource {
            account: "111122223333".into(),
            kind: "AWS::KMS::Key".into(),
            arn: Text::public(arn),
        }]);
        let decision = Value::object([("effect", "Allow"), ("action", "kms:Encrypt")]);
        event.decision = Some(Value::list([decision.with("resource", Value::public_text(arn))]));
        drop(log.append(log.open_call(head), &event, ()).unwrap());
    }

    #[test]
    #[ignore = "a measurement: run it with --release and --nocapture"]
    #[expect(clippy::print_stdout, reason = "a measurement")]
    fn time_of_a_report() {
        // One of a hundred records is about the key, then every one.
        for share in [100, 1] {
            let directory = tempfile::tempdir().unwrap();
            let seed = claviger_secret::SecretArray::new([7; 32]);
            let key = claviger_crypto::SigningKey::from_seed(seed).unwrap();
            let settings = claviger_audit::Settings::default();
            let log = claviger_audit::Log::open(directory.path(), key, "node-1", settings).unwrap();
            for number in 0..1_000_000 {
                append(&log, number, if number % share == 0 { KEY } else { OTHER });
                if number % 1_000 == 0 {
                    log.sync().unwrap();
                }
            }
            log.sync().unwrap();
            let files = std::fs::read_dir(directory.path()).unwrap();
            let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
            let start = std::time::Instant::now();
            let report = read_log(directory.path(), KEY, None).unwrap();
            let time = start.elapsed();
            println!("10^6 records, {bytes} bytes, one of {share} about the key: {time:?}");
            let uses: u64 = report.callers.iter().map(|caller| caller.uses).sum();
            let expected = u64::try_from(1_000_000 / share).unwrap();
            assert_eq!((report.log.sound, uses), (1_000_000, expected));
        }
    }
}
