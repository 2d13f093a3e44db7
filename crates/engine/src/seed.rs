//! Writes outside any call: what `claviger init` and a dev seed file put there, and a dev reset takes away.

use crate::committer::Committed;
use crate::engine::Engine;
use crate::operation::Writes;
use crate::record::claimed_number;
use crate::{Call, CallMeta, Caller, Fault};

/// One such write. It runs as the account's root would, before the door is open to anybody.
pub struct Seed<'e> {
    engine: &'e Engine,
    caller: Box<Caller>,
    meta: Box<CallMeta>,
}

impl<'e> Seed<'e> {
    /// Prepares a write in this Region and account.
    #[must_use]
    pub fn new(engine: &'e Engine, region: &str, account: &str) -> Self {
        let mut caller = Caller::system(region);
        caller.account = account.to_owned();
        Self { engine, caller: Box::new(caller), meta: Box::new(CallMeta::system()) }
    }

    /// Reads and builds records with `work`, then commits what it wrote.
    ///
    /// # Errors
    /// What `work` gives, or a [`Fault`].
    pub async fn run<E: From<Fault>>(
        &mut self,
        work: impl AsyncFnOnce(&mut Call<'_>) -> Result<Writes, E>,
    ) -> Result<(), E> {
        let mut call = Call::new(self.engine, &self.caller, &self.meta);
        let writes = work(&mut call).await?;
        let seen = call.into_seen();
        if writes.is_empty() {
            return Ok(());
        }
        match self.engine.commit(seen, writes, &[]).await? {
            Committed::Done => Ok(()),
            Committed::Conflict => Err(Fault::Contention.into()),
        }
    }
}

/// Rows looked at, and rows deleted, by one step of forgetting.
const FORGET_PAGE: (usize, usize) = (1_000, 30);

impl Engine {
    /// Deletes every record, for a reset in `claviger dev`. The deployment's keys and the audit log stay. It goes
    /// through the same commits as everything else, so the sums stay right; a crash leaves some of the records.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer.
    pub async fn danger_forget_everything(&self) -> Result<(), Fault> {
        self.sync_audit().await?;
        loop {
            let view = self.store().snapshot().await?;
            let rows = view.scan(claviger_store::Range::all(), None, FORGET_PAGE.0).await?;
            drop(view);
            let (mut seen, mut writes) = (Vec::new(), Writes::default());
            let ours = rows
                .into_iter()
                .filter(|(key, _)| !key.starts_with(crate::open::UNSUMMED) && !key.starts_with(b"integrity/"));
            for (key, row) in ours.take(FORGET_PAGE.1) {
                let key = crate::RowKey::from_store(key);
                let number = claimed_number(&row.value).unwrap_or_default();
                seen.push((key.clone(), crate::Seen::At { revision: row.revision, number }));
                writes.delete(key);
            }
            if writes.is_empty() {
                // Time begins anew as well, with the clock as it now is.
                self.high_water().restart(self.clock());
                return self.store().erase().await.or(Ok(()));
            }
            // A conflict means that a call came between: the rows are read again.
            self.commit(seen, writes, &[]).await?;
        }
    }
}
