//! What a record of the audit log says about a decision, in words and as requests to be asked again.

use claviger_api::Timestamp;
use claviger_server::Explain;
use serde_json::Value;

/// Members of `requestParameters` and the condition keys that such a request has.
const PARAMETERS: &[(&str, &str)] = &[
    ("encryptionAlgorithm", "kms:EncryptionAlgorithm"),
    ("signingAlgorithm", "kms:SigningAlgorithm"),
    ("messageType", "kms:MessageType"),
    ("macAlgorithm", "kms:MacAlgorithm"),
    ("keyAgreementAlgorithm", "kms:KeyAgreementAlgorithm"),
    ("keyPairSpec", "kms:DataKeyPairSpec"),
    ("wrappingAlgorithm", "kms:WrappingAlgorithm"),
    ("wrappingKeySpec", "kms:WrappingKeySpec"),
    ("expirationModel", "kms:ExpirationModel"),
    ("rotationPeriodInDays", "kms:RotationPeriodInDays"),
    ("pendingWindowInDays", "kms:ScheduleKeyDeletionPendingWindowInDays"),
    ("replicaRegion", "kms:ReplicaRegion"),
    ("primaryRegion", "kms:PrimaryRegion"),
    ("policyName", "kms:PolicyName"),
    ("bypassPolicyLockoutSafetyCheck", "kms:BypassPolicyLockoutSafetyCheck"),
    ("granteePrincipal", "kms:GranteePrincipal"),
    ("granteeServicePrincipal", "kms:GranteeServicePrincipal"),
    ("retiringPrincipal", "kms:RetiringPrincipal"),
    ("retiringServicePrincipal", "kms:RetiringServicePrincipal"),
    ("roleSessionName", "sts:RoleSessionName"),
    ("externalId", "sts:ExternalId"),
    ("sourceIdentity", "sts:SourceIdentity"),
    ("transitiveTagKeys", "sts:TransitiveTagKeys"),
    ("policyArn", "iam:PolicyARN"),
    ("permissionsBoundary", "iam:PermissionsBoundary"),
];
/// The same of CreateKey, whose key is not there before.
const OF_NEW_KEYS: &[(&str, &str)] = &[
    ("keySpec", "kms:KeySpec"),
    ("keyUsage", "kms:KeyUsage"),
    ("origin", "kms:KeyOrigin"),
    ("multiRegion", "kms:MultiRegion"),
];
/// What the record shows of the caller and the connection.
const OF_REQUEST: &[(&str, &str)] = &[
    ("/sourceIPAddress", "aws:SourceIp"),
    ("/userAgent", "aws:UserAgent"),
    ("/eventTime", "aws:CurrentTime"),
    ("/userIdentity/sessionContext/attributes/creationDate", "aws:TokenIssueTime"),
    ("/userIdentity/sessionContext/attributes/mfaAuthenticated", "aws:MultiFactorAuthPresent"),
    ("/userIdentity/sessionContext/sourceIdentity", "aws:SourceIdentity"),
    ("/userIdentity/sessionContext/webIdFederationData/federatedProvider", "aws:FederatedProvider"),
];

/// A member of the record, which may lie deeper.
pub(crate) fn text<'a>(record: &'a Value, path: &str) -> Option<&'a str> {
    record.pointer(path)?.as_str()
}

/// What the record says.
pub(crate) fn recorded(record: &Value) -> Vec<String> {
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
    let decisions = decisions(record);
    if decisions.is_empty() {
        lines.push(
            "It was not asked whether the caller may: the request failed before, or no policy governs it.".into(),
        );
    }
    for decision in decisions {
        let Decision { action, resource, shown } = decision;
        let (effect, reason) = (text(shown, "/effect").unwrap_or("?"), text(shown, "/reason").unwrap_or("?"));
        let action = action.map(|action| format!("{action} ")).unwrap_or_default();
        lines.push(format!("decision  {effect} {action}on {resource}: {reason}"));
        if let Some(grant) = text(shown, "/grant") {
            lines.push(format!("    by grant {grant}"));
        }
        for statement in shown.get("statements").and_then(Value::as_array).into_iter().flatten() {
            let count = |name| statement.get(name).and_then(Value::as_u64).unwrap_or_default().saturating_add(1);
            let source = text(statement, "/source").unwrap_or("?");
            lines.push(format!("    by {source} {}, statement {}", count("policy"), count("statement")));
        }
    }
    lines
}

/// One decision of a record.
struct Decision<'a> {
    /// None in records of releases that did not show it.
    action: Option<&'a str>,
    resource: &'a str,
    shown: &'a Value,
}

fn decisions(record: &Value) -> Vec<Decision<'_>> {
    let all = record.get("clavigerDecision").and_then(Value::as_array).into_iter().flatten();
    let one = |(number, shown)| Decision {
        action: text(shown, "/action"),
        resource: text(shown, "/resource").or_else(|| text(record, &format!("/resources/{number}/ARN"))).unwrap_or("*"),
        shown,
    };
    all.enumerate().map(one).collect()
}

/// The requests that the record's was, to be asked again: one for each decision.
pub(crate) fn supposed(record: &Value, issued: Option<&Value>) -> Vec<Explain> {
    let Some(caller) = text(record, "/userIdentity/arn") else { return Vec::new() };
    let context = context(record, issued);
    let ask = |decision: Decision<'_>| {
        let Decision { action, resource, .. } = decision;
        let action = action.map(str::to_owned).or_else(|| older(record, resource))?;
        let is_key = action.starts_with("kms:") && resource.contains(":key/");
        let about = Some(resource.to_owned()).filter(|resource| resource != "*");
        // A multi-Region key's other half is asked about in its own Region.
        let region = resource.split(':').nth(3).filter(|_| is_key).or_else(|| text(record, "/awsRegion"));
        let region = region.map(str::to_owned);
        let (key, resource) = if is_key { (about, None) } else { (None, about) };
        let session = |path| issued.and_then(|issued| text(issued, path)).map(str::to_owned);
        let arns = issued.and_then(|issued| issued.pointer("/requestParameters/policyArns")).and_then(Value::as_array);
        Some(Explain {
            caller: caller.to_owned(),
            encryption_context: pairs(record.get("requestParameters"), context_member(&action)),
            grant: text(record, "/requestParameters/grantId")
                .or_else(|| text(record, "/additionalEventData/grantId"))
                .filter(|_| action == "kms:RetireGrant")
                .map(str::to_owned),
            grant_operations: list(record.pointer("/requestParameters/operations")),
            action,
            key,
            resource,
            region,
            context: context.clone(),
            session_policy: session("/requestParameters/policy"),
            session_policy_arns: arns
                .into_iter()
                .flatten()
                .filter_map(|one| text(one, "/arn"))
                .map(str::to_owned)
                .collect(),
            made_by: text(record, "/userIdentity/sessionContext/sessionIssuer/arn")
                .filter(|_| text(record, "/userIdentity/type") == Some("FederatedUser"))
                .map(str::to_owned),
        })
    };
    decisions(record).into_iter().filter_map(ask).collect()
}

/// The action of a record that does not show it: its operation's own.
fn older(record: &Value, resource: &str) -> Option<String> {
    let service = text(record, "/eventSource")?.strip_suffix(".amazonaws.com")?;
    match (service, text(record, "/eventName")?) {
        ("kms", "ReEncrypt") => {
            let source = text(record, "/resources/0/ARN") == Some(resource);
            Some(if source { "kms:ReEncryptFrom" } else { "kms:ReEncryptTo" }.to_owned())
        }
        ("kms" | "iam" | "sts", name) => Some(format!("{service}:{name}")),
        _ => None,
    }
}

/// Where the encryption context stands that counts for the action.
fn context_member(action: &str) -> &'static [&'static str] {
    match action {
        "kms:ReEncryptFrom" => &["/sourceEncryptionContext"],
        "kms:ReEncryptTo" => &["/destinationEncryptionContext"],
        "kms:CreateGrant" => &["/constraints/encryptionContextSubset", "/constraints/encryptionContextEquals"],
        _ => &["/encryptionContext"],
    }
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

/// What conditions may ask of the request, as far as the record shows it.
fn context(record: &Value, issued: Option<&Value>) -> Vec<(String, String)> {
    let service = text(record, "/userIdentity/invokedBy");
    let mut context = match service {
        Some(service) => through(service, text(record, "/awsRegion").unwrap_or_default()).to_vec(),
        None => vec![("aws:SecureTransport".to_owned(), record.get("tlsDetails").is_some().to_string())],
    };
    // The address in the record of a call by a service is the service's name.
    for (path, key) in OF_REQUEST.iter().filter(|(_, key)| service.is_none() || *key != "aws:SourceIp") {
        context.extend(text(record, path).map(|value| ((*key).to_owned(), value.to_owned())));
    }
    let time = text(record, "/eventTime").and_then(|time| Timestamp::parse_iso8601(time).ok());
    context.extend(time.map(|time| ("aws:EpochTime".to_owned(), time.seconds().to_string())));
    let parameters = record.get("requestParameters");
    let member = |name: &str| parameters.and_then(|parameters| parameters.get(name));
    let of_new = OF_NEW_KEYS.iter().filter(|_| text(record, "/eventName") == Some("CreateKey"));
    for (name, key) in PARAMETERS.iter().chain(of_new) {
        context.extend(values(member(name)).into_iter().map(|value| ((*key).to_owned(), value)));
    }
    if let Some(alias) =
        text(record, "/requestParameters/keyId").and_then(|key| key.find("alias/").map(|at| key.split_at(at).1))
    {
        context.push(("kms:RequestAlias".to_owned(), alias.to_owned()));
    }
    if record.pointer("/requestParameters/constraints/encryptionContextEquals").is_some() {
        context.push(("kms:GrantConstraintType".to_owned(), "EncryptionContextEquals".to_owned()));
    }
    for (name, value) in tags(parameters) {
        context.push(("aws:TagKeys".to_owned(), name.clone()));
        context.push((format!("aws:RequestTag/{name}"), value));
    }
    for name in list(member("tagKeys")) {
        context.push(("aws:TagKeys".to_owned(), name));
    }
    let of_session = tags(issued.and_then(|issued| issued.get("requestParameters")));
    context.extend(of_session.into_iter().map(|(name, value)| (format!("aws:PrincipalTag/{name}"), value)));
    context
}

/// The tags that a request sets: a map, or a list of keys and values.
fn tags(parameters: Option<&Value>) -> Vec<(String, String)> {
    let listed = parameters.and_then(|parameters| parameters.get("tags")).and_then(Value::as_array);
    let one = |tag: &Value| Some((text(tag, "/tagKey")?.to_owned(), text(tag, "/tagValue")?.to_owned()));
    let mut tags: Vec<_> = listed.into_iter().flatten().filter_map(one).collect();
    tags.extend(pairs(parameters, &["/tags", "/principalTags"]));
    tags
}

/// The text members of objects.
fn pairs(parameters: Option<&Value>, paths: &[&str]) -> Vec<(String, String)> {
    let objects = paths.iter().filter_map(|path| parameters?.pointer(path)?.as_object());
    let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    objects.flatten().filter_map(pair).collect()
}

fn list(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A member as a condition sees it: one text, or several.
fn values(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(value @ (Value::Bool(_) | Value::Number(_))) => vec![value.to_string()],
        other => list(other),
    }
}

/// What is not known any more and may have counted.
pub(crate) fn unknown(record: &Value, issued: Option<&Value>) -> Vec<String> {
    let mut lines = vec![
        "what the record does not show counts as absent: aws:Referer, the age of a second factor, the measurements of an \
         attestation document"
            .to_owned(),
    ];
    let Some(_) = record.pointer("/userIdentity/sessionContext") else { return lines };
    match issued {
        None => lines.push(
            "not known any more: the session's own policies and tags; the log has no record of how its credentials were \
             made. Below it is as if it had none, which may be wrong"
                .to_owned(),
        ),
        Some(issued) => {
            let name = text(issued, "/eventName").unwrap_or("the request");
            let time = text(issued, "/eventTime").unwrap_or("?");
            let id = text(issued, "/requestID").unwrap_or("?");
            lines.push(format!("the session was made by {name} at {time} (request {id}): its policies and tags are from there"));
            if issued.pointer("/userIdentity/sessionContext").is_some() {
                lines.push("not known any more: tags that it took over from the session that made it".to_owned());
            }
            if name == "AssumeRoleWithWebIdentity" {
                lines.push("not known any more: the claims of the token that it was made by".to_owned());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn decided(action: &str, resource: &str) -> Value {
        json!({"effect": "Deny", "action": action, "resource": resource, "reason": "NoAllow(IdentityPolicy)", "statements": []})
    }

    #[test]
    fn each_decision_is_asked_again_with_the_context_that_counts_for_it() {
        let (from, to) = ("arn:aws:kms:r:1:key/a", "arn:aws:kms:r:1:key/b");
        let record = json!({
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/u"},
            "eventSource": "kms.amazonaws.com", "eventName": "ReEncrypt", "awsRegion": "r",
            "eventTime": "2026-01-02T03:04:05Z",
            "requestParameters": {"sourceEncryptionContext": {"a": "1"}, "destinationEncryptionContext": {"b": "2"}},
            "clavigerDecision": [decided("kms:ReEncryptFrom", from), decided("kms:ReEncryptTo", to)],
        });
        let asked = supposed(&record, None);
        let shown: Vec<_> =
            asked.iter().map(|one| (one.action.as_str(), one.key.as_deref(), one.encryption_context.clone())).collect();
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(
            shown,
            [("kms:ReEncryptFrom", Some(from), pair("a", "1")), ("kms:ReEncryptTo", Some(to), pair("b", "2"))]
        );
        let context = &asked[0].context;
        assert!(context.contains(&("aws:EpochTime".to_owned(), "1767323045".to_owned())), "{context:?}");
        assert!(context.contains(&("aws:SecureTransport".to_owned(), "false".to_owned())), "{context:?}");
    }

    #[test]
    fn what_an_older_release_recorded_is_asked_again_too() {
        let record = json!({
            "userIdentity": {"arn": "arn:aws:iam::1:user/u"},
            "eventSource": "kms.amazonaws.com", "eventName": "ReEncrypt",
            "resources": [{"ARN": "k:key/a"}, {"ARN": "k:key/b"}],
            "clavigerDecision": [{"effect": "Allow"}, {"effect": "Deny"}],
        });
        let asked = supposed(&record, None);
        let actions: Vec<_> = asked.iter().map(|one| (one.action.as_str(), one.key.as_deref())).collect();
        assert_eq!(actions, [("kms:ReEncryptFrom", Some("k:key/a")), ("kms:ReEncryptTo", Some("k:key/b"))]);
    }

    #[test]
    fn what_a_session_carried_comes_from_the_record_of_its_making() {
        let record = json!({
            "userIdentity": {"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/f",
                "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:user/u"}}},
            "eventSource": "iam.amazonaws.com", "eventName": "GetUser",
            "clavigerDecision": [decided("iam:GetUser", "arn:aws:iam::1:user/u")],
        });
        let issued = json!({
            "eventName": "GetFederationToken",
            "requestParameters": {"policy": "{}", "policyArns": [{"arn": "p"}], "tags": {"Team": "blue"}},
        });
        let asked = &supposed(&record, Some(&issued))[0];
        assert_eq!((asked.key.as_deref(), asked.resource.as_deref()), (None, Some("arn:aws:iam::1:user/u")));
        assert_eq!(
            (asked.session_policy.as_deref(), asked.session_policy_arns.as_slice()),
            (Some("{}"), &["p".to_owned()][..])
        );
        assert_eq!(asked.made_by.as_deref(), Some("arn:aws:iam::1:user/u"));
        assert!(asked.context.contains(&("aws:PrincipalTag/Team".to_owned(), "blue".to_owned())));
        assert!(unknown(&record, None).iter().any(|line| line.contains("the session's own policies")));
        assert!(!unknown(&record, Some(&issued)).iter().any(|line| line.contains("the session's own policies")));
    }

    #[test]
    fn tags_are_read_in_both_forms() {
        let parameters = json!({"tags": [{"tagKey": "a", "tagValue": "1"}], "principalTags": {"b": "2"}});
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(tags(Some(&parameters)), [pair("a", "1"), pair("b", "2")]);
    }

    fn context_of(identity: &str, address: &str) -> Vec<(String, String)> {
        let record = format!(
            r#"{{"eventSource":"kms.amazonaws.com","eventName":"Encrypt","awsRegion":"eu-central-1","userAgent":"agent",
            "userIdentity":{{"arn":"arn:aws:iam::111122223333:root"{identity}}},"sourceIPAddress":"{address}",
            "clavigerDecision":[{{"effect":"Allow","action":"kms:Encrypt","resource":"*"}}]}}"#
        );
        supposed(&serde_json::from_str(&record).unwrap(), None)[0].context.clone()
    }

    /// The address in the record of a call by a service is none, and no TLS is told of it.
    #[test]
    fn a_call_by_a_service_is_asked_about_as_one() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let agent = pair("aws:UserAgent", "agent");
        let direct = [agent.clone(), pair("aws:SecureTransport", "false"), pair("aws:SourceIp", "192.0.2.1")];
        let of_direct = context_of("", "192.0.2.1");
        assert!(direct.iter().all(|pair| of_direct.contains(pair)), "{of_direct:?}");
        let through = [
            agent,
            pair("kms:ViaService", "ssm.eu-central-1.amazonaws.com"),
            pair("kms:GrantIsForAWSResource", "true"),
            pair("aws:ViaAWSService", "true"),
            pair("aws:CalledViaLast", "ssm.amazonaws.com"),
        ];
        let of_service = context_of(r#","invokedBy":"ssm.amazonaws.com""#, "ssm.amazonaws.com");
        assert!(through.iter().all(|pair| of_service.contains(pair)), "{of_service:?}");
        let of_connection = |(key, _): &(String, String)| key == "aws:SourceIp" || key == "aws:SecureTransport";
        assert!(!of_service.iter().any(of_connection), "{of_service:?}");
    }
}
