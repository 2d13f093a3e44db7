//! What every operation that gives temporary credentials does: checks what is to limit and describe the session, and
//! seals it.

use claviger_api::sts::{Credentials, PolicyDescriptorType, Tag};
use claviger_engine::{Call, Fault, Value};
use claviger_policy::{AccountId, is_same_key};

use super::error::{Packed, StsError};
use super::token::{self, Issued};
use crate::arn;
use crate::operations::access_keys;
use crate::records::{NameOf, Policy, Tags, name_key, policy_key};
use crate::{IamError, documents, find};

/// Managed policies of one session at most.
const POLICIES_MAX: usize = 10;
/// Characters of all session policies and ARNs together.
const POLICY_CHARACTERS_MAX: usize = 2_048;
/// Bytes of all session policies, ARNs and tags together; what AWS packs them into is not known.
const PACKED_BYTES_MAX: usize = 4_096;

/// The session policies of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// The one passed as text.
    pub(crate) policy: Option<String>,
    /// The unique ids of the managed ones.
    pub(crate) policies: Vec<String>,
    bytes: usize,
}

/// Checks the session policies of a request. The managed ones are this account's.
pub(crate) async fn passed(
    call: &mut Call<'_>,
    account: AccountId,
    policy: Option<&String>,
    arns: Option<&Vec<PolicyDescriptorType>>,
) -> Result<Passed, IamError> {
    let mut passed = Passed { policy: policy.cloned(), ..Passed::default() };
    let mut characters = 0;
    if let Some(text) = policy {
        documents::check(text)?;
        (passed.bytes, characters) = (text.len(), text.chars().count());
    }
    let arns: Vec<&str> = arns.into_iter().flatten().filter_map(|one| one.arn.as_deref()).collect();
    if arns.len() > POLICIES_MAX {
        let text = format!("Cannot exceed quota for session policy ARNs: {POLICIES_MAX}");
        return Err(IamError::validation(text));
    }
    for text in arns {
        (passed.bytes, characters) = (passed.bytes.saturating_add(text.len()), characters.saturating_add(text.len()));
        let missing =
            || IamError::MalformedPolicyDocument(format!("Policy {text} does not exist or is not attachable."));
        let id = managed(call, account, text).await?.ok_or_else(missing)?;
        passed.policies.push(id);
    }
    if characters > POLICY_CHARACTERS_MAX {
        return Err(too_large(Packed::Policy, characters, POLICY_CHARACTERS_MAX));
    }
    Ok(passed)
}

/// The unique id of a managed policy of this account.
async fn managed(call: &mut Call<'_>, account: AccountId, text: &str) -> Result<Option<String>, Fault> {
    let account = account.as_str();
    let Some((_, name)) = arn::split(text, account, "policy").filter(|(_, name)| name.len() <= 128) else {
        return Ok(None);
    };
    let Some(named) = call.row::<NameOf>(&name_key(account, "policy", name)).await? else { return Ok(None) };
    let found = find::demand::<Policy>(call, &policy_key(&named.record.id)).await?;
    Ok((found.arn() == text).then(|| named.record.id.clone()))
}

/// How many percent of their room session policies and tags take; none without either. The claims of a web identity
/// that stay with the session must find room there too, or its token would be longer than those that are taken.
pub(crate) fn packed(
    passed: &Passed,
    tags: &[(String, String)],
    claims: &[(String, Vec<String>)],
) -> Result<Option<i32>, IamError> {
    let of_tags = tags.iter().fold(0_usize, |sum, (key, value)| sum.saturating_add(key.len() + value.len() + 2));
    if of_tags > PACKED_BYTES_MAX {
        return Err(too_large(Packed::Tags, of_tags, PACKED_BYTES_MAX));
    }
    let bytes = of_tags.saturating_add(passed.bytes);
    let of_claims = claims.iter().flat_map(|(key, values)| std::iter::once(key).chain(values));
    let all = of_claims.fold(bytes, |sum, text| sum.saturating_add(text.len()).saturating_add(4));
    if all > PACKED_BYTES_MAX {
        return Err(too_large(Packed::Policy, all, PACKED_BYTES_MAX));
    }
    Ok((bytes > 0).then(|| percent(bytes, PACKED_BYTES_MAX)).and_then(|percent| i32::try_from(percent).ok()))
}

fn percent(part: usize, whole: usize) -> u32 {
    u32::try_from(part.saturating_mul(100).div_ceil(whole)).unwrap_or(u32::MAX)
}

fn too_large(what: Packed, part: usize, whole: usize) -> IamError {
    IamError::Sts(StsError::PackedPolicyTooLarge(what, percent(part, whole)))
}

/// The tags of the new session and which of them go on: those that the caller's session passes on, then the request's.
pub(crate) fn tags(
    asked: Option<&Vec<Tag>>,
    transitive: Option<&Vec<String>>,
    inherited: &[(String, String)],
) -> Result<(Tags, Vec<String>), IamError> {
    let refused = |text: &str| Err(IamError::Sts(StsError::InvalidParameterValue(text.to_owned())));
    let asked = asked.map_or(&[][..], Vec::as_slice);
    for (position, tag) in asked.iter().enumerate() {
        if tag.key.to_lowercase().starts_with("aws:") {
            return refused("aws: prefixed tag key names are not allowed for external use.");
        }
        if asked.iter().take(position).any(|other| is_same_key(&other.key, &tag.key)) {
            return refused("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
        }
        if inherited.iter().any(|(key, _)| is_same_key(key, &tag.key)) {
            return refused(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from \
                 the calling session.",
            );
        }
    }
    let transitive = transitive.map_or(&[][..], Vec::as_slice);
    if !transitive.iter().all(|key| asked.iter().any(|tag| is_same_key(&tag.key, key))) {
        return refused("The specified transitive tag key must be included in the requested tags.");
    }
    let mut tags = inherited.to_vec();
    tags.extend(asked.iter().map(|tag| (tag.key.clone(), tag.value.clone())));
    let mut keys: Vec<String> = inherited.iter().map(|(key, _)| key.clone()).collect();
    for key in transitive {
        // Each once, however often the request says it: the token must not grow beyond what is taken.
        if !keys.iter().any(|known| is_same_key(known, key)) {
            keys.push(key.clone());
        }
    }
    Ok((tags, keys))
}

/// Credentials for a session.
pub(crate) fn credentials(call: &Call<'_>, issued: &Issued) -> Result<Credentials, Fault> {
    // A unique id has 21 characters, an access key id 20.
    let mut access_key_id = arn::unique_id(call, "ASIA")?;
    access_key_id.truncate(20);
    let secret_access_key = access_keys::fresh_secret(call)?;
    let session_token = token::seal(call.keys(), &access_key_id, &secret_access_key, issued)?;
    Ok(Credentials { access_key_id, secret_access_key, session_token, expiration: issued.until })
}

/// What the audit record shows of credentials.
pub(crate) fn shown(credentials: Option<&Credentials>) -> Value {
    credentials.map_or(Value::Null, |credentials| {
        Value::object([
            ("accessKeyId", Value::public_text(&credentials.access_key_id)),
            ("expiration", Value::public_text(&credentials.expiration.to_iso8601())),
        ])
    })
}

/// What the audit record shows of session policies.
pub(crate) fn shown_policies(arns: Option<&Vec<PolicyDescriptorType>>) -> Value {
    let arns = arns.into_iter().flatten().filter_map(|one| one.arn.as_deref());
    Value::list(arns.map(|arn| Value::object([("arn", Value::public_text(arn))])))
}

/// What the audit record shows of session tags.
pub(crate) fn shown_tags(tags: Option<&Vec<Tag>>) -> Value {
    Value::public_map(tags.into_iter().flatten().map(|tag| (tag.key.as_str(), tag.value.as_str())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_api::Timestamp;

    use super::*;
    use crate::records::golden::keys;
    use crate::sts::token::Subject;

    fn claims(value: usize) -> Vec<(String, Vec<String>)> {
        vec![("a.example:aud".to_owned(), vec!["x".repeat(value)])]
    }

    #[test]
    fn claims_must_find_room_but_are_not_told() {
        let tags = vec![("k".repeat(128), "v".repeat(256)); 10];
        let room = PACKED_BYTES_MAX - 10 * (128 + 256 + 2) - 13 - 8;
        let told = packed(&Passed::default(), &tags, &[]).unwrap();
        assert_eq!(told, Some(95));
        assert_eq!(packed(&Passed::default(), &tags, &claims(room)).unwrap(), told);
        assert!(packed(&Passed::default(), &tags, &claims(room + 1)).is_err());
        assert_eq!(packed(&Passed::default(), &[], &claims(1)).unwrap(), None);
        let empty = vec![("a.example:amr".to_owned(), vec![String::new(); 2_000])];
        assert!(packed(&Passed::default(), &[], &empty).is_err(), "however little there is in each");
    }

    #[test]
    fn transitive_keys_count_once() {
        let asked = vec![Tag { key: "Team".to_owned(), value: "blue".to_owned() }];
        let transitive = vec!["Team".to_owned(); 50];
        let (_, keys) = tags(Some(&asked), Some(&transitive), &[]).unwrap();
        assert_eq!(keys, ["Team"]);
    }

    /// The longest token that can be issued is taken again.
    #[tokio::test]
    async fn no_token_is_too_long() {
        let keys = keys().await;
        let tags: Tags = (0..50).map(|number| (format!("{number:079}"), String::new())).collect();
        let passed = Passed::default();
        assert!(packed(&passed, &tags, &[]).is_ok());
        let issued = Issued {
            account: "111122223333".to_owned(),
            subject: Subject::Role { id: "AROAABCDEFGHIJKLMNOPQ".to_owned(), name: "x".repeat(64) },
            at: Timestamp::from_seconds(0),
            until: Timestamp::from_seconds(3_600),
            policy: None,
            policies: vec!["ANPAABCDEFGHIJKLMNOPQ".to_owned(); POLICIES_MAX],
            transitive: tags.iter().map(|(key, _)| key.clone()).collect(),
            tags,
            source_identity: Some("x".repeat(64)),
            second_factor_at: Some(Timestamp::from_seconds(0)),
            provider: Some("x".repeat(300)),
            claims: Vec::new(),
            root_key: None,
        };
        let secret = claviger_secret::SecretBytes::zeroed(40);
        let token = token::seal(&keys, "ASIAABCDEFGHIJKLMNOP", &secret, &issued).unwrap();
        assert!(token::open(&keys, "ASIAABCDEFGHIJKLMNOP", &token).is_some(), "{}", token.len());
    }
}
