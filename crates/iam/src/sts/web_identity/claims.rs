//! What a token's claims say about the session, and what conditions may ask about them.

use claviger_api::Valid;
use claviger_api::sts::Tag;
use serde_json::{Map, Value};

use super::jwt::Claims;
use crate::sts::StsError;

const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";
/// Claims that are conditions of the session's later requests too.
const REMAINING: [&str; 4] = ["aud", "sub", "amr", "oaud"];
const TAGS_MAX: usize = 50;

/// What the claims set on the session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OfSession {
    pub(crate) tags: Vec<Tag>,
    pub(crate) transitive: Vec<String>,
    pub(crate) source_identity: Option<String>,
}

/// Reads session tags and source identity.
pub(crate) fn of_session(claims: &Map<String, Value>) -> Result<OfSession, StsError> {
    let mut found = OfSession::default();
    if let Some(value) = claims.get(TAGS) {
        let refused = || StsError::InvalidIdentityToken(format!("The claim {TAGS} is not valid"));
        tags(value, &mut found).ok_or_else(refused)?;
    }
    if let Some(value) = claims.get(SOURCE_IDENTITY) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        let sound = |text: &&str| (2..=64).contains(&text.len()) && text.bytes().all(plain);
        let refused = || StsError::InvalidIdentityToken(format!("The claim {SOURCE_IDENTITY} is not valid"));
        found.source_identity = Some(value.as_str().filter(sound).ok_or_else(refused)?.to_owned());
    }
    Ok(found)
}

fn tags(value: &Value, found: &mut OfSession) -> Option<()> {
    let members = value.as_object()?;
    if let Some(tags) = members.get("principal_tags") {
        for (key, values) in tags.as_object()? {
            let [one] = values.as_array()?.as_slice() else { return None };
            let tag = Tag { key: key.clone(), value: one.as_str()?.to_owned() };
            Valid::new(tag.clone()).ok()?;
            found.tags.push(tag);
        }
    }
    if let Some(keys) = members.get("transitive_tag_keys") {
        found.transitive = keys.as_array()?.iter().map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    }
    (found.tags.len() <= TAGS_MAX && found.transitive.len() <= TAGS_MAX).then_some(())
}

/// The condition keys of a token: `HOST/PATH:sub` and the like, one for each claim that is a text, a number, a truth value
/// or a list of those.
pub(crate) fn condition_keys(provider: &str, claims: &Claims) -> Vec<(String, Vec<String>)> {
    // An issuer called `kms` would speak for a service. No policy can ask for the claims of a host without a dot.
    if !provider.split('/').next().is_some_and(|host| host.contains('.')) {
        return Vec::new();
    }
    let mut keys = Vec::new();
    for (name, value) in &claims.all {
        let name = match name.as_str() {
            // Where an authorized party is named it counts as the audience, and the claim goes by another name.
            "aud" => "oaud",
            "oaud" => continue,
            name => name,
        };
        if let Some(values) = texts(value) {
            keys.push((format!("{provider}:{name}"), values));
        }
    }
    keys.push((format!("{provider}:aud"), vec![claims.audience.clone()]));
    keys
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(list) => list.iter().map(scalar).collect(),
        value => Some(vec![scalar(value)?]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Those that stay with the session.
pub(crate) fn remaining(provider: &str, claims: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let stays = |key: &str| {
        let name = key.strip_prefix(provider).and_then(|rest| rest.strip_prefix(':'));
        name.is_some_and(|name| REMAINING.contains(&name))
    };
    claims.iter().filter(|(key, _)| stays(key)).cloned().collect()
}
