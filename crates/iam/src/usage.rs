//! When access keys were last used: kept in memory by the calls, stored now and then by one commit for many.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_api::Timestamp;
use claviger_engine::{Call, Caller, Engine, Fault, Seed, Writes};

use crate::records::{AccessKey, LastUse, access_key_key, last_use_key};

/// How long a use may stay in memory only. A crash forgets that much.
const STORED_AFTER_MILLIS: i64 = 60_000;
/// Uses stored by one commit.
const BATCH: usize = 50;
/// Uses in memory at most; further subjects wait until some were stored.
const SUBJECTS_MAX: usize = 10_000;

/// Uses that are not stored yet, by access key id.
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
        let subject = caller.access_key_id();
        let mut pending = self.pending();
        if subject.is_empty() || (pending.len() >= SUBJECTS_MAX && !pending.contains_key(subject)) {
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
                // A key that is gone has no last use, nor have the invented ones of a server that takes any.
                if call.row::<AccessKey>(&access_key_key(subject)).await?.is_some() {
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
