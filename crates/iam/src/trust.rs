//! Trust policies: who may take on a role.
//!
//! A text must pass twice when it is saved: [`trust_policy`] here, whose refusals are IAM's words, and the compiler of
//! `policy`, which is stricter in part and is what decides.

use std::collections::BTreeSet;
use std::fmt;

use claviger_engine::{Call, Fault};
use claviger_policy::PrincipalName;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::arn::{self, Kind};
use crate::find;
use crate::records::identity_key;
use crate::records::{Identity, RoleDetail};
use crate::{IamError, documents};

/// Characters of a trust policy at most, white space among them.
const SIZE_MAX: usize = 2_048;

/// The `AWS` principals of a trust policy, as it writes them.
pub(crate) fn trust_policy(text: &str) -> Result<Vec<String>, IamError> {
    let malformed = |text: &str| IamError::MalformedPolicyDocument(text.to_owned());
    let json = || malformed("This policy contains invalid Json");
    serde_json::from_str::<NoDuplicates>(text).map_err(|_| json())?;
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return Err(json()) };
    let mut principals = Vec::new();
    let mut stated = false;
    for (name, value) in &members {
        match (name.as_str(), value) {
            ("Version", Value::String(version)) if version == "2012-10-17" || version == "2008-10-17" => {}
            ("Version", _) => return Err(malformed("The policy must have a valid version string.")),
            ("Id", Value::String(_)) => {}
            ("Statement", Value::Array(list)) if !list.is_empty() => {
                stated = true;
                for one in list {
                    statement(one, &mut principals)?;
                }
            }
            ("Statement", one @ Value::Object(_)) => {
                stated = true;
                statement(one, &mut principals)?;
            }
            _ => return Err(malformed("Syntax errors in policy.")),
        }
    }
    if !stated {
        return Err(malformed("Syntax errors in policy."));
    }
    if text.chars().count() > SIZE_MAX {
        return Err(IamError::quota("ACLSizePerRole", SIZE_MAX));
    }
    Ok(principals)
}

fn statement(value: &Value, principals: &mut Vec<String>) -> Result<(), IamError> {
    let malformed = |text: &str| IamError::MalformedPolicyDocument(text.to_owned());
    let syntax = || malformed("Syntax errors in policy.");
    let Value::Object(members) = value else { return Err(syntax()) };
    let (mut effect, mut who, mut what) = (false, false, false);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Sid", Value::String(_)) | ("Condition", Value::Object(_)) => {}
            ("Effect", Value::String(word)) if word == "Allow" || word == "Deny" => effect = true,
            ("Effect", _) => return Err(malformed("Invalid effect.")),
            ("Principal", value) => {
                principals.extend(principal(value)?);
                who = true;
            }
            ("Action", value) => {
                actions(&texts(value).ok_or_else(syntax)?)?;
                what = true;
            }
            ("Resource" | "NotResource", _) => return Err(malformed(&format!("Has prohibited field {name}"))),
            ("NotAction" | "NotPrincipal", _) => {
                let text = format!("Policy contains a statement with an element that is not supported: {name}.");
                return Err(IamError::MalformedPolicyDocument(text));
            }
            _ => return Err(syntax()),
        }
    }
    match (who, what, effect) {
        (false, ..) => Err(malformed("Missing required field Principal")),
        (_, false, _) => Err(malformed("Missing required field Action")),
        (.., false) => Err(malformed("Missing required field Effect")),
        (true, true, true) => Ok(()),
    }
}

/// The `AWS` principals; those of other kinds are checked for form only.
fn principal(value: &Value) -> Result<Vec<String>, IamError> {
    let syntax = || IamError::MalformedPolicyDocument("Syntax errors in policy.".to_owned());
    let members = match value {
        Value::String(text) if text == "*" => return Ok(vec!["*".to_owned()]),
        Value::Object(members) if !members.is_empty() => members,
        _ => return Err(syntax()),
    };
    let mut names = Vec::new();
    for (kind, value) in members {
        for text in texts(value).ok_or_else(syntax)? {
            let sound = match kind.as_str() {
                "AWS" => PrincipalName::parse(&text).is_some(),
                "Federated" => arn_of_provider(&text),
                "Service" => {
                    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
                }
                _ => return Err(syntax()),
            };
            if !sound {
                return Err(invalid(kind, &text));
            }
            if kind == "AWS" {
                names.push(text);
            }
        }
    }
    Ok(names)
}

/// `arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH`.
fn arn_of_provider(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let head = [parts.next(), parts.next(), parts.next(), parts.next()];
    head == [Some("arn"), Some("aws"), Some("iam"), Some("")]
        && parts.next().is_some_and(|account| claviger_policy::AccountId::parse(account).is_some())
        && parts.next().and_then(|rest| rest.strip_prefix("oidc-provider/")).is_some_and(|url| {
            !url.is_empty() && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?".contains(&byte))
        })
}

fn invalid(kind: &str, text: &str) -> IamError {
    IamError::MalformedPolicyDocument(format!("Invalid principal in policy: \"{kind}\":\"{text}\""))
}

/// Only the actions by which a role is taken on.
fn actions(names: &[String]) -> Result<(), IamError> {
    const KNOWN: &[&str] = &[
        "sts:assumerole",
        "sts:assumerolewithsaml",
        "sts:assumerolewithwebidentity",
        "sts:setsourceidentity",
        "sts:tagsession",
    ];
    let fits = |name: &String| {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix('*') {
            Some(start) => start.starts_with("sts:") && KNOWN.iter().any(|known| known.starts_with(start)),
            None => KNOWN.contains(&name.as_str()),
        }
    };
    if !names.is_empty() && names.iter().all(fits) {
        return Ok(());
    }
    let text = "AssumeRole policy may only specify STS AssumeRole actions.";
    Err(IamError::MalformedPolicyDocument(text.to_owned()))
}

/// One text or a list of at least one.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    }
}

/// Checks a trust policy and finds whom it names: each user and role with the unique id that it has now.
pub(crate) async fn bind(call: &mut Call<'_>, text: &str) -> Result<Vec<(String, String)>, IamError> {
    let mut bound = Vec::new();
    let names = trust_policy(text)?;
    let evaluated = crate::sts::trust::compile(text);
    evaluated.map_err(|malformed| IamError::MalformedPolicyDocument(malformed.message().to_owned()))?;
    for name in names {
        let Some(parsed) = PrincipalName::parse(&name) else { return Err(invalid("AWS", &name)) };
        let (account, kind, identity) = match &parsed {
            PrincipalName::Everyone | PrincipalName::Service(_) | PrincipalName::Federated(..) => continue,
            PrincipalName::Account(account) => (account, Kind::User, None),
            PrincipalName::User(account, _) => (account, Kind::User, arn::split(&name, account.as_str(), "user")),
            PrincipalName::Role(account, _) => (account, Kind::Role, arn::split(&name, account.as_str(), "role")),
            PrincipalName::RoleSession(account, _) => (account, Kind::Role, arn::session_role(&name)),
            PrincipalName::FederatedUser(account, _) => (account, Kind::User, None),
        };
        if call.principals_must_exist() && !call.account_exists(account.as_str()) {
            return Err(invalid("AWS", &name));
        }
        let Some((_, short)) = identity else { continue };
        let found = find::identity_in(call, account.as_str(), kind, short).await?;
        let same =
            |found: &&std::sync::Arc<Identity>| matches!(parsed, PrincipalName::RoleSession(..)) || found.arn() == name;
        match found.as_ref().filter(same) {
            Some(found) => bound.push((name, found.id.clone())),
            None if call.principals_must_exist() => return Err(invalid("AWS", &name)),
            None => {}
        }
    }
    Ok(bound)
}

/// The trust policy as it is shown: a principal that was renamed has its new ARN, one that is gone its unique id.
pub(crate) async fn shown(call: &mut Call<'_>, role: &RoleDetail) -> Result<String, Fault> {
    let mut text = role.trust.clone();
    for (name, id) in &role.bound {
        let now = call.row::<Identity>(&identity_key(id)).await?.map(|row| row.record.arn());
        let now = match now {
            Some(_) if name.contains(":assumed-role/") => continue,
            Some(arn) if arn == *name => continue,
            Some(arn) => arn,
            None => id.clone(),
        };
        text = text.replace(&format!("\"{name}\""), &format!("\"{now}\""));
    }
    Ok(documents::encoded(&text))
}

/// JSON in which no object has a member twice: two readers could understand it differently.
pub(crate) struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = NoDuplicates;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NoDuplicates, A::Error> {
        while items.next_element::<NoDuplicates>()?.is_some() {}
        Ok(NoDuplicates)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<NoDuplicates, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((name, NoDuplicates)) = members.next_entry::<String, NoDuplicates>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("a duplicate member"));
            }
        }
        Ok(NoDuplicates)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn policy(rest: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow"{rest}}}]}}"#)
    }

    #[test]
    fn what_a_trust_policy_may_say() {
        let user = "arn:aws:iam::111122223333:user/a/b";
        for (rest, principals) in [
            (format!(r#","Principal":{{"AWS":"{user}"}},"Action":"sts:AssumeRole""#), vec![user]),
            (r#","Principal":{"AWS":["111122223333","*"]},"Action":["sts:AssumeRole","sts:TagSession"]"#.to_owned(), vec!["111122223333", "*"]),
            (r#","Principal":"*","Action":"sts:*","Condition":{"Bool":{"a":"b"}},"Sid":"x""#.to_owned(), vec!["*"]),
            (r#","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole""#.to_owned(), vec![]),
            (
                r#","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/a.example/b"},"Action":"sts:AssumeRoleWithWebIdentity""#
                    .to_owned(),
                vec![],
            ),
        ] {
            assert_eq!(trust_policy(&policy(&rest)).unwrap(), principals, "{rest}");
        }
    }

    #[test]
    fn what_it_may_not_say() {
        let rest = r#","Principal":"*","Action":"sts:AssumeRole""#;
        for (text, message) in [
            ("{".to_owned(), "This policy contains invalid Json"),
            (
                policy(r#","Principal":"*","Principal":"*","Action":"sts:AssumeRole""#),
                "This policy contains invalid Json",
            ),
            (policy(&format!(r#"{rest},"Resource":"*""#)), "Has prohibited field Resource"),
            (policy(r#","Action":"sts:AssumeRole""#), "Missing required field Principal"),
            (
                policy(r#","Principal":"*","Action":"kms:Decrypt""#),
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
            (policy(r#","Principal":"*","Action":"*""#), "AssumeRole policy may only specify STS AssumeRole actions."),
            (
                policy(r#","Principal":{"AWS":"AIDAX"},"Action":"sts:AssumeRole""#),
                "Invalid principal in policy: \"AWS\":\"AIDAX\"",
            ),
            (
                policy(r#","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"sts:AssumeRole""#),
                "Invalid principal in policy: \"AWS\":\"arn:aws:iam::111122223333:user/*\"",
            ),
            (
                policy(r#","Principal":{"Federated":"x"},"Action":"sts:AssumeRole""#),
                "Invalid principal in policy: \"Federated\":\"x\"",
            ),
            (policy(r#","Principal":{},"Action":"sts:AssumeRole""#), "Syntax errors in policy."),
            (r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(), "Syntax errors in policy."),
            (policy(rest).replace("2012", "2013"), "The policy must have a valid version string."),
        ] {
            assert_eq!(trust_policy(&text), Err(IamError::MalformedPolicyDocument(message.to_owned())), "{text}");
        }
        let long = policy(&format!(r#"{rest},"Sid":"{}""#, "a".repeat(SIZE_MAX)));
        assert_eq!(trust_policy(&long), Err(IamError::quota("ACLSizePerRole", 2_048)));
    }
}
