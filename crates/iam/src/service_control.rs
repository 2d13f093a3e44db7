//! Service control policies as authorization asks for them: what an account's identities, its root among them, may be
//! allowed at most. A deployment without any pays nothing for that: that there are none is remembered.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use claviger_engine::{Call, Fault};
use claviger_policy::Document;

use crate::documents;
use crate::find;
use crate::organization::{EVERYTHING, Organization, Target, organization_key, policy_id, text_key};
use crate::records::PolicyText;

/// How often the policies are looked up when a change comes in between.
const TRIES_MAX: usize = 64;

/// The text of AWS's policy `FullAWSAccess`, which everything starts with.
pub(crate) const FULL_ACCESS: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

static FULL_ACCESS_COMPILED: LazyLock<Arc<Document>> =
    LazyLock::new(|| Arc::new(documents::compile(FULL_ACCESS).unwrap_or_else(|_| Document::unreadable(FULL_ACCESS))));

/// Policies on one level above an account, or on the account itself: every level must allow.
#[derive(Clone, Debug)]
pub struct ServiceControlLevel {
    /// The id of the root or a unit, or the account's digits.
    pub target: String,
    /// Where that is, names from the root on as in `Root/Production`; empty for an account.
    pub path: String,
    /// In the order in which they were attached.
    pub policies: Vec<ServiceControlPolicy>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct ServiceControlPolicy {
    /// `p-00000001`.
    pub id: String,
    /// What its operator calls it.
    pub name: String,
    /// What it says. One that this release cannot read denies everything.
    pub document: Arc<Document>,
}

/// Whether there may be an organization.
#[derive(Debug, Default)]
pub(crate) struct Uncontrolled(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// A look-up found none.
    none: bool,
    /// Somebody began to store one. Whether and when that is done need not be known (who asked for it may have hung
    /// up): from now on nothing is remembered, and the row, which is never deleted, is as cheap.
    begun: bool,
}

impl Uncontrolled {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before an organization is stored.
    pub(crate) fn end(&self) {
        *self.known() = Known { none: false, begun: true };
    }

    /// The organization, read without becoming a precondition of what the call writes.
    async fn organization(&self, call: &mut Call<'_>) -> Result<Option<Arc<Organization>>, Fault> {
        if self.known().none {
            return Ok(None);
        }
        let before = call.reads();
        let found = call.row::<Organization>(&organization_key()).await;
        call.forget_reads_since(before);
        if let Some(found) = found? {
            return Ok(Some(found.record));
        }
        let mut known = self.known();
        known.none = !known.begun;
        Ok(None)
    }

    /// The compiled policies that bind the caller's account; none, no limit.
    pub(crate) async fn levels(&self, call: &mut Call<'_>) -> Result<Vec<Vec<Arc<Document>>>, Fault> {
        for _ in 0..TRIES_MAX {
            let Some(organization) = self.organization(call).await? else { return Ok(Vec::new()) };
            let caller = Target::Account(call.caller().account().to_owned());
            match compiled(call, &organization, &caller).await {
                Err(Fault::RecordMissing(_)) => tokio::task::yield_now().await,
                done => return done,
            }
        }
        Err(Fault::Contention)
    }

    /// The same with their names, in the same order, for an explanation.
    pub(crate) async fn named(&self, call: &mut Call<'_>) -> Result<Vec<ServiceControlLevel>, Fault> {
        for _ in 0..TRIES_MAX {
            let Some(organization) = self.organization(call).await? else { return Ok(Vec::new()) };
            let caller = Target::Account(call.caller().account().to_owned());
            let compiled = match compiled(call, &organization, &caller).await {
                Err(Fault::RecordMissing(_)) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                done => done?,
            };
            let levels = limits(&organization, &caller).into_iter().zip(compiled);
            return Ok(levels
                .map(|((at, attached), documents)| named(&organization, &at, attached, documents))
                .collect());
        }
        Err(Fault::Contention)
    }
}

/// The levels that can limit anything: to allow everything is all that `FullAWSAccess` does.
fn limits<'o>(organization: &'o Organization, target: &Target) -> Vec<(Target, &'o [u32])> {
    let mut levels = organization.levels(target);
    levels.retain(|(_, attached)| *attached != [EVERYTHING]);
    levels
}

/// The documents of those levels. [`Fault::RecordMissing`] when the organization was changed meanwhile, more than once:
/// texts are never changed, so that those of one state of the organization are found, or none.
async fn compiled(
    call: &mut Call<'_>,
    organization: &Organization,
    target: &Target,
) -> Result<Vec<Vec<Arc<Document>>>, Fault> {
    let mut levels = Vec::new();
    for (_, attached) in limits(organization, target) {
        let mut level = Vec::with_capacity(attached.len());
        for policy in attached {
            level.push(document(call, organization, *policy).await?);
        }
        levels.push(level);
    }
    Ok(levels)
}

async fn document(call: &mut Call<'_>, organization: &Organization, policy: u32) -> Result<Arc<Document>, Fault> {
    if policy == EVERYTHING {
        return Ok(Arc::clone(&FULL_ACCESS_COMPILED));
    }
    let text = organization.text_of(policy).ok_or_else(|| Fault::RecordMalformed(policy_id(policy)))?;
    let before = call.reads();
    let found = find::demand::<PolicyText>(call, &text_key(text)).await;
    call.forget_reads_since(before);
    Ok(Arc::clone(&found?.document))
}

fn named(
    organization: &Organization,
    target: &Target,
    attached: &[u32],
    documents: Vec<Arc<Document>>,
) -> ServiceControlLevel {
    let policies = attached.iter().zip(documents).map(|(policy, document)| ServiceControlPolicy {
        id: policy_id(*policy),
        name: organization.policy_name(*policy).to_owned(),
        document,
    });
    let path = organization.path_of(target);
    ServiceControlLevel { target: target.to_string(), path, policies: policies.collect() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use claviger_audit::Log;
    use claviger_crypto::DomainKeys;
    use claviger_engine::{Authentication, Chance, Clock, Engine, Parts, Seed, Writes};
    use claviger_policy::{AccountId, NoContext, Principal, Question, Reason, Source, Sources};
    use claviger_store::Memory;

    use super::*;
    use crate::organization::ROOT;

    struct Fixed;

    impl Clock for Fixed {
        fn wall(&self) -> claviger_api::Timestamp {
            claviger_api::Timestamp::from_millis(0)
        }

        fn now(&self) -> claviger_api::Timestamp {
            self.wall()
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

    /// What binds an account when the root has a policy with this text, or one whose text is gone.
    async fn bound(text: Option<&str>) -> Result<Vec<Vec<Arc<Document>>>, Fault> {
        let (engine, mut found) = (engine().await, Ok(Vec::new()));
        let mut seed = Seed::new(&engine, "us-east-1", AccountId::NOBODY.as_str());
        let stored = seed.run::<Fault>(async |call| {
            let (mut organization, mut writes) = (Organization::default(), Writes::default());
            let (policy, row) = organization.create_policy("newer").unwrap();
            organization.attach(policy, &Target::Unit(ROOT)).unwrap();
            assert!(call.row::<Organization>(&organization_key()).await?.is_none());
            writes.put(call, organization_key(), organization)?;
            if let Some(text) = text {
                assert!(call.row::<PolicyText>(&text_key(row)).await?.is_none());
                writes.put(call, text_key(row), PolicyText::new(text.to_owned()))?;
            }
            Ok(writes)
        });
        stored.await.unwrap();
        let mut seed = Seed::new(&engine, "us-east-1", AccountId::NOBODY.as_str());
        let looked = seed.run::<Fault>(async |call| {
            found = Uncontrolled::default().levels(call).await;
            Ok(Writes::default())
        });
        looked.await.unwrap();
        found
    }

    /// As a newer version may have left it behind: what is not understood here could be a Deny.
    #[tokio::test]
    async fn a_policy_that_is_not_understood_denies_everything() {
        let question = Question {
            principal: &Principal::root(AccountId::NOBODY),
            action: "kms:Encrypt",
            resource_arn: "arn:aws:kms:eu-central-1:000000000000:key/k",
            resource_account: AccountId::NOBODY,
            cross_account_capable: true,
            context: &NoContext,
        };
        for (text, denied) in [(FULL_ACCESS.to_owned(), false), (FULL_ACCESS.replace("Action", "Reaction"), true)] {
            let levels = bound(Some(&text)).await.unwrap();
            let level: Vec<&Document> = levels[0].iter().map(AsRef::as_ref).collect();
            let sources = Sources { service_control_policies: &[&level], ..Sources::default() };
            let reason = claviger_policy::decide(&question, &sources).reason;
            assert_eq!(reason == Reason::ExplicitDeny(Source::ServiceControlPolicy), denied, "{text}");
        }
    }

    #[tokio::test]
    async fn a_policy_that_is_gone_refuses() {
        assert_eq!(bound(None).await.map(drop), Err(Fault::Contention));
    }
}
