//! Who a caller is in the records, and which policies speak about it: what authorization asks for.

use std::sync::Arc;

use claviger_engine::{Call, Fault};
use claviger_policy::{Document, Principal, PrincipalKind};

use crate::arn::{self, Kind};
use crate::find;
use crate::records::{
    AccessKey, Detail, Identity, Policy, PolicyText, access_key_key, identity_key, inline_key, policy_key, version_key,
};

/// What stands in the records about a caller.
#[derive(Debug)]
pub struct PoliciesOf {
    /// The unique id of the user or role, `AIDA...` or `AROA...`: a namesake made later has another.
    pub unique_id: String,
    /// The tags of the user or role.
    pub tags: Vec<(String, String)>,
    /// Its own inline policies, those attached to it, and those of its groups.
    pub policies: Vec<PolicyOf>,
    /// Its permissions boundary.
    pub boundary: Option<PolicyOf>,
}

/// One policy.
#[derive(Debug, Clone)]
pub struct PolicyOf {
    /// The ARN of a managed policy, or the name of an inline one.
    pub name: String,
    /// Whose inline policy it is: a user, group or role and its name. None for a managed policy.
    pub inline_of: Option<(&'static str, String)>,
    /// What it says.
    pub document: Arc<Document>,
}

/// The unique id of the user that an access key belongs to; none for an account's root.
///
/// # Errors
/// A store [`Fault`].
pub async fn user_of_key(call: &mut Call<'_>, access_key_id: &str) -> Result<Option<String>, Fault> {
    let key = call.row::<AccessKey>(&access_key_key(access_key_id)).await?;
    Ok(key.and_then(|key| key.record.user.clone()))
}

/// What stands in the records about a caller: the user itself, or the role or user behind a session. None for an
/// account's root, which has no policies, and for whoever is not there (any more).
///
/// # Errors
/// A store [`Fault`].
pub async fn policies_of(call: &mut Call<'_>, principal: &Principal) -> Result<Option<PoliciesOf>, Fault> {
    let text = match principal.kind() {
        PrincipalKind::Root => return Ok(None),
        PrincipalKind::User => principal.arn(),
        PrincipalKind::RoleSession | PrincipalKind::FederatedUser => principal.parent_arn().unwrap_or_default(),
    };
    let account = principal.account();
    for kind in [Kind::User, Kind::Role] {
        let Some((_, name)) = arn::split(text, account.as_str(), kind.word()) else { continue };
        let found = find::identity_in(call, account.as_str(), kind, name).await?;
        return match found.filter(|found| found.arn() == text) {
            Some(found) => policies_of_entity(call, &found).await.map(Some),
            None => Ok(None),
        };
    }
    Ok(None)
}

/// The same by unique id, for credentials that carry it: it is not fooled by a namesake.
///
/// # Errors
/// As [`policies_of`].
pub async fn policies_of_id(call: &mut Call<'_>, unique_id: &str) -> Result<Option<PoliciesOf>, Fault> {
    match call.row::<Identity>(&identity_key(unique_id)).await? {
        Some(found) => policies_of_entity(call, &found.record).await.map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn policies_of_entity(call: &mut Call<'_>, identity: &Identity) -> Result<PoliciesOf, Fault> {
    let mut policies = Vec::new();
    collect(call, identity, &mut policies).await?;
    if let Detail::User(user) = &identity.detail {
        for group in &user.groups {
            let group = find::demand::<Identity>(call, &identity_key(group)).await?;
            collect(call, &group, &mut policies).await?;
        }
    }
    let boundary = match &identity.boundary {
        None => None,
        Some(id) => Some(managed(call, id).await?),
    };
    Ok(PoliciesOf { unique_id: identity.id.clone(), tags: identity.tags.clone(), policies, boundary })
}

/// The policies on one user, group or role.
async fn collect(call: &mut Call<'_>, identity: &Identity, policies: &mut Vec<PolicyOf>) -> Result<(), Fault> {
    for inline in &identity.inline {
        let key = inline_key(&identity.id, &inline.name);
        let text = find::demand::<PolicyText>(call, &key).await?;
        let inline_of = Some((identity.kind().word(), identity.name.clone()));
        policies.push(PolicyOf { name: inline.name.clone(), inline_of, document: Arc::clone(&text.document) });
    }
    for id in &identity.attached {
        policies.push(managed(call, id).await?);
    }
    Ok(())
}

/// The version in force of a managed policy.
async fn managed(call: &mut Call<'_>, id: &str) -> Result<PolicyOf, Fault> {
    let policy = find::demand::<Policy>(call, &policy_key(id)).await?;
    let key = version_key(id, policy.default);
    let text = find::demand::<PolicyText>(call, &key).await?;
    Ok(PolicyOf { name: policy.arn(), inline_of: None, document: Arc::clone(&text.document) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_api::Timestamp;
    use claviger_audit::Log;
    use claviger_crypto::DomainKeys;
    use claviger_engine::{Authentication, Chance, Clock, Engine, Parts, Seed, Writes};
    use claviger_policy::{AccountId, Decision, Question, Reason, Source, Sources};
    use claviger_store::Memory;

    use super::*;
    use crate::records::InlineSize;

    struct Fixed;

    impl Clock for Fixed {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    impl Chance for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(7);
            Ok(())
        }
    }

    async fn engine() -> Engine {
        let parts = Parts {
            store: Arc::new(Memory::new()),
            keys: Arc::new(DomainKeys::generate().unwrap()),
            audit: Log::in_memory(10),
            clock: Arc::new(Fixed),
            chance: Arc::new(Fixed),
            authentication: Authentication::DangerAnyCredential { default_account: AccountId::NOBODY },
            principals_must_exist: true,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        Engine::open(parts).await.unwrap()
    }

    fn user(policies: usize) -> Identity {
        Identity {
            id: "AIDAX".to_owned(),
            account: AccountId::NOBODY.as_str().to_owned(),
            name: "alice".to_owned(),
            path: "/".to_owned(),
            created: Timestamp::from_millis(0),
            boundary: None,
            tags: Vec::new(),
            inline: (0..policies).map(|number| InlineSize { name: number.to_string(), size: 2 }).collect(),
            attached: Vec::new(),
            detail: Detail::Group(0),
        }
    }

    /// Stores the user with this text as each of its policies.
    async fn store(engine: &Engine, policies: usize, text: &str) {
        let mut seed = Seed::new(engine, "us-east-1", AccountId::NOBODY.as_str());
        seed.run::<Fault>(async |call| {
            let mut writes = Writes::default();
            let facts = identity_key("AIDAX");
            assert!(call.row::<Identity>(&facts).await?.is_none());
            writes.put(call, facts, user(policies))?;
            for number in 0..policies {
                let key = inline_key("AIDAX", &number.to_string());
                assert!(call.row::<PolicyText>(&key).await?.is_none());
                writes.put(call, key, PolicyText::new(text.to_owned()))?;
            }
            Ok(writes)
        })
        .await
        .unwrap();
    }

    /// Whether the user's policies let it encrypt.
    async fn decision(engine: &Engine, runs: u32) -> (Decision, std::time::Duration) {
        let question = Question {
            principal: &Principal::user(AccountId::NOBODY, "/", "alice"),
            action: "kms:Encrypt",
            resource_arn: "arn:aws:kms:eu-central-1:000000000000:key/k",
            resource_account: AccountId::NOBODY,
            cross_account_capable: true,
            context: &claviger_policy::NoContext,
        };
        let mut seen = None;
        Seed::new(engine, "us-east-1", AccountId::NOBODY.as_str())
            .run::<Fault>(async |call| {
                let start = std::time::Instant::now();
                for _ in 0..runs {
                    let found = policies_of_id(call, "AIDAX").await?.unwrap();
                    let documents: Vec<_> = found.policies.iter().map(|policy| &*policy.document).collect();
                    let sources = Sources { identity_policies: &documents, ..Sources::default() };
                    seen = Some((claviger_policy::decide(&question, &sources), start.elapsed() / runs));
                    call.forget_reads_since(0);
                }
                Ok(Writes::default())
            })
            .await
            .unwrap();
        seen.unwrap()
    }

    /// As a newer version may have left it behind: what is not understood here could be a Deny.
    #[tokio::test]
    async fn a_policy_that_is_not_understood_denies_everything() {
        let engine = engine().await;
        store(&engine, 1, ALLOW).await;
        assert!(decision(&engine, 1).await.0.is_allowed());
        let engine = self::engine().await;
        store(&engine, 1, &ALLOW.replace("Action", "Reaction")).await;
        assert_eq!(decision(&engine, 1).await.0.reason, Reason::ExplicitDeny(Source::IdentityPolicy));
    }

    const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#;

    #[tokio::test]
    #[ignore = "a measurement: run it with --release and --nocapture"]
    #[expect(clippy::print_stdout, reason = "a measurement")]
    async fn time_of_a_decision() {
        for policies in [1, 5, 20] {
            let engine = engine().await;
            store(&engine, policies, ALLOW).await;
            let (decision, time) = decision(&engine, 100_000).await;
            assert!(decision.is_allowed());
            println!("{policies} policies looked up and decided in {time:?}");
        }
    }
}
