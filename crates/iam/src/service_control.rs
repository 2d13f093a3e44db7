//! Service control policies: what an account's identities, its root among them, may be allowed at most. Few accounts have
//! any, and every call asks, so which have none is remembered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claviger_crypto::DomainKeys;
use claviger_engine::{
    BadRecord, Call, Command, CommandError, CommandWork, Commanded, Engine, Fault, Reader, Record, Recorded, RowKey,
    Value, Writer, Writes,
};
use claviger_policy::{AccountId, Document, policy_size};

use crate::documents;
use crate::records::{Account, PolicyText, account_key};

const CONTROLS: &str = "iam service control policies";
/// Levels of one account at most: AWS's organizations are no deeper (reference/iam-sts.md section 8).
const LEVELS_MAX: usize = 7;
/// Policies of one level at most.
const POLICIES_MAX: usize = 5;
/// Characters of a policy at most, white space left out.
const SIZE_MAX: usize = 5_120;

fn controls_key(account: &str) -> RowKey {
    RowKey::new("service-control", account, "")
}

/// The policies of an account, one list a level; every level must allow.
struct Controls(Vec<Vec<PolicyText>>);

impl Record for Controls {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(CONTROLS, 1);
        writer.list(self.0.iter(), |writer, level| {
            writer.list(level.iter(), |writer, policy| writer.text(&policy.text));
        });
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, CONTROLS, 1)?;
        let level = |reader: &mut Reader<'_>| reader.list(|reader| Ok(PolicyText::new(reader.text()?.to_owned())));
        let levels = reader.list(level)?;
        reader.end()?;
        Ok(Self(levels))
    }
}

/// Which accounts are known to have none.
#[derive(Debug, Default)]
pub(crate) struct Uncontrolled(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    accounts: HashSet<AccountId>,
    /// How often policies were set: a look-up that began before counts for nothing afterwards.
    changes: u64,
}

impl Uncontrolled {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The compiled policies of the caller's account; none, no limit.
    pub(crate) async fn levels(&self, call: &mut Call<'_>) -> Result<Vec<Vec<Arc<Document>>>, Fault> {
        let Some(account) = AccountId::parse(call.caller().account()) else {
            return Err(Fault::RecordMalformed("account id".to_owned()));
        };
        let changes = {
            let known = self.known();
            if known.accounts.contains(&account) {
                return Ok(Vec::new());
            }
            known.changes
        };
        let before = call.reads();
        let found = call.row::<Controls>(&controls_key(account.as_str())).await;
        call.forget_reads_since(before);
        if let Some(found) = found? {
            let documents = |level: &Vec<PolicyText>| level.iter().map(|policy| policy.document.clone()).collect();
            return Ok(found.record.0.iter().map(documents).collect());
        }
        let mut known = self.known();
        if known.changes == changes {
            known.accounts.insert(account);
        }
        Ok(Vec::new())
    }

    fn forget(&self, account: AccountId) {
        let mut known = self.known();
        known.changes = known.changes.wrapping_add(1);
        known.accounts.remove(&account);
    }

    /// Sets the policies of an account in place of those that it has; no levels take them away.
    pub(crate) async fn set(
        &self,
        engine: &Engine,
        command: &Command,
        account: AccountId,
        levels: Vec<Vec<String>>,
    ) -> Result<Recorded<Result<(), CommandError>>, Fault> {
        let done = engine.operate(command, &SetControls { account, levels }).await;
        // Also when it is not known what came of it.
        self.forget(account);
        done
    }
}

struct SetControls {
    account: AccountId,
    levels: Vec<Vec<String>>,
}

impl CommandWork for SetControls {
    type Response = ();

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<()>, CommandError> {
        let account = self.account.as_str();
        if call.row::<Account>(&account_key(account)).await?.is_none() {
            return Err(CommandError::refused("NoSuchAccount", format!("there is no account {account}")));
        }
        check(&self.levels)?;
        let key = controls_key(account);
        let known = call.row::<Controls>(&key).await?.is_some();
        let mut writes = Writes::default();
        if !self.levels.is_empty() {
            let level = |level: &Vec<String>| level.iter().cloned().map(PolicyText::new).collect();
            writes.put(call, key, Controls(self.levels.iter().map(level).collect()))?;
        } else if known {
            writes.delete(key);
        }
        Ok(Commanded { response: (), writes, shown: Value::Null })
    }
}

fn check(levels: &[Vec<String>]) -> Result<(), CommandError> {
    let refused = |text: String| Err(CommandError::refused("InvalidPolicy", text));
    if levels.len() > LEVELS_MAX || levels.iter().any(|level| level.is_empty() || level.len() > POLICIES_MAX) {
        return refused(format!("at most {LEVELS_MAX} levels, each of 1 to {POLICIES_MAX} policies"));
    }
    for text in levels.iter().flatten() {
        if let Err(malformed) = documents::compile(text) {
            return refused(malformed.message().to_owned());
        }
        if policy_size(text) > SIZE_MAX {
            return refused(format!("a service control policy has at most {SIZE_MAX} characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_audit::Log;
    use claviger_engine::{Authentication, Chance, Clock, Operator, Parts, Seed};
    use claviger_store::Memory;

    use super::*;
    use crate::records::golden::{file, keep, keys};

    const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#;

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

    fn account() -> AccountId {
        AccountId::parse("111122223333").unwrap()
    }

    async fn set(engine: &Engine, controls: &Uncontrolled, levels: &[&[&str]]) -> Result<(), CommandError> {
        let command = Command {
            name: "SetServiceControlPolicies",
            read_only: false,
            operator: Operator { uid: 0, process: None },
            request_id: String::new(),
            account: Some(account()),
            facts: Value::Null,
        };
        let levels = levels.iter().map(|level| level.iter().map(|text| (*text).to_owned()).collect()).collect();
        controls.set(engine, &command, account(), levels).await.unwrap().into_inner()
    }

    async fn levels(engine: &Engine, controls: &Uncontrolled) -> Vec<usize> {
        let mut found = Vec::new();
        Seed::new(engine, "us-east-1", account().as_str())
            .run::<Fault>(async |call| {
                found = controls.levels(call).await?.iter().map(Vec::len).collect();
                Ok(Writes::default())
            })
            .await
            .unwrap();
        found
    }

    #[tokio::test]
    async fn what_is_set_holds_at_once_although_there_was_nothing_before() {
        let (engine, controls) = (engine().await, Uncontrolled::default());
        assert!(matches!(set(&engine, &controls, &[&[ALLOW]]).await, Err(CommandError::Refused { .. })), "no account");
        crate::create_account(&engine, account(), None).await.unwrap();
        assert_eq!(levels(&engine, &controls).await, [0_usize; 0]);
        set(&engine, &controls, &[&[ALLOW], &[ALLOW, ALLOW]]).await.unwrap();
        assert_eq!(levels(&engine, &controls).await, [1, 2]);
        set(&engine, &controls, &[]).await.unwrap();
        assert_eq!(levels(&engine, &controls).await, [0_usize; 0]);
        assert_eq!(levels(&engine, &controls).await, [0_usize; 0]);
    }

    #[tokio::test]
    async fn what_is_no_policy_is_refused() {
        let (engine, controls) = (engine().await, Uncontrolled::default());
        crate::create_account(&engine, account(), None).await.unwrap();
        let bad: [&[&[&str]]; 4] = [&[&["{}"]], &[&[]], &[&[ALLOW][..]; 8], &[&[ALLOW; 6]]];
        for bad in bad {
            assert!(matches!(set(&engine, &controls, bad).await, Err(CommandError::Refused { .. })));
        }
        assert_eq!(levels(&engine, &controls).await, [0_usize; 0]);
    }

    fn golden() -> Controls {
        Controls(vec![vec![PolicyText::new(ALLOW.to_owned())], vec![PolicyText::new(ALLOW.to_owned())]])
    }

    #[tokio::test]
    async fn the_stored_form_stays_readable() {
        let keys = keys().await;
        let read = Controls::decode(&file("service-control"), &keys).unwrap();
        let texts: Vec<Vec<&str>> =
            read.0.iter().map(|level| level.iter().map(|policy| policy.text.as_str()).collect()).collect();
        assert_eq!(texts, [[ALLOW], [ALLOW]]);
        assert_eq!(golden().encode(&keys).unwrap(), file("service-control"));
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        keep("service-control", golden().encode(&*keys().await).unwrap());
    }
}
