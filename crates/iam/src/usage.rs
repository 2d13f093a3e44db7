//! When access keys were last used: kept in memory by the calls, stored now and then by one commit for many.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_api::Timestamp;
use claviger_engine::{Call, Caller, Engine, Fault, Seed, Writes};
use claviger_policy::{PrincipalKind, UniqueId};

use crate::records::{AccessKey, Identity, LastUse, access_key_key, identity_key, last_use_key};

/// How long a use may stay in memory only. A crash forgets that much.
const STORED_AFTER_MILLIS: i64 = 60_000;
/// Uses stored by one commit, which may read and write 80 rows (DESIGN.md section 5): up to three reads and a write each.
const BATCH: usize = 18;
/// Uses in memory at most; further subjects wait until some were stored.
const SUBJECTS_MAX: usize = 10_000;

/// What a use is noted under: of a role's session the role, by its unique id; of others the long-term access key.
fn subject(caller: &Caller) -> Option<&str> {
    let principal = caller.principal();
    match principal.kind() {
        PrincipalKind::RoleSession => principal.unique_id().map(UniqueId::as_str),
        _ => Some(caller.access_key_id()).filter(|key| !key.is_empty() && caller.traits().session.is_none()),
    }
}

/// Uses that are not stored yet, by access key id or role.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<String, Pending>>);

#[derive(Clone, Debug)]
struct Pending {
    since: Timestamp,
    last: LastUse,
}

impl Uses {
    fn pending(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, caller: &Caller, service: &str, at: Timestamp) {
        let Some(subject) = subject(caller) else { return };
        let mut pending = self.pending();
        if pending.len() >= SUBJECTS_MAX && !pending.contains_key(subject) {
            return;
        }
        let last = LastUse { at, service: service.to_owned(), region: caller.region().to_owned() };
        pending
            .entry(subject.to_owned())
            .and_modify(|pending| pending.last = last.clone())
            .or_insert(Pending { since: at, last });
    }

    /// The newest use known: from memory, or else as stored.
    pub(crate) async fn last(&self, call: &mut Call<'_>, subject: &str) -> Result<Option<LastUse>, Fault> {
        let pending = self.pending().get(subject).map(|pending| pending.last.clone());
        match pending {
            Some(last) => Ok(Some(last)),
            None => {
                let stored = call.row::<LastUse>(&last_use_key(subject)).await?;
                Ok(stored.map(|row| LastUse::clone(&row.record)))
            }
        }
    }

    /// Stores uses that have been in memory for long enough. What cannot be stored stays.
    pub(crate) async fn store(&self, engine: &Engine) -> Result<(), Fault> {
        let old = engine.clock().now().millis().saturating_sub(STORED_AFTER_MILLIS);
        let due: Vec<(String, LastUse)> = {
            let pending = self.pending();
            let due = pending.iter().filter(|(_, pending)| pending.since.millis() <= old);
            due.take(BATCH).map(|(subject, pending)| (subject.clone(), pending.last.clone())).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        let mut seed = Seed::new(engine, "us-east-1", "");
        seed.run::<Fault>(async |call| {
            let mut writes = Writes::default();
            for (subject, last) in &due {
                let key = last_use_key(subject);
                call.row::<LastUse>(&key).await?;
                // What is gone has no last use, nor have the invented keys of a server that takes any.
                let is_key = call.row::<AccessKey>(&access_key_key(subject)).await?.is_some();
                if is_key || call.row::<Identity>(&identity_key(subject)).await?.is_some() {
                    writes.put(call, key, last.clone())?;
                }
            }
            Ok(writes)
        })
        .await?;
        let mut pending = self.pending();
        for (subject, stored) in due {
            if pending.get(&subject).is_some_and(|pending| pending.last == stored) {
                pending.remove(&subject);
            } else if let Some(pending) = pending.get_mut(&subject) {
                pending.since = stored.at;
            }
        }
        Ok(())
    }
}
