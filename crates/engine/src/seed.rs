//! Writes outside any call: what `claviger init` and a dev seed file put there.

use crate::committer::Committed;
use crate::engine::Engine;
use crate::operation::Writes;
use crate::{Call, CallMeta, Caller, Fault};

/// One such write. It runs as the account's root would, before the door is open to anybody.
pub struct Seed<'e> {
    engine: &'e Engine,
    caller: Box<Caller>,
    meta: Box<CallMeta>,
    seen: Vec<(crate::RowKey, crate::Seen)>,
}

impl<'e> Seed<'e> {
    /// Prepares a write in this Region and account.
    #[must_use]
    pub fn new(engine: &'e Engine, region: &str, account: &str) -> Self {
        let mut caller = Caller::system(region);
        caller.account = account.to_owned();
        Self { engine, caller: Box::new(caller), meta: Box::new(CallMeta::system()), seen: Vec::new() }
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
        self.seen = std::mem::take(&mut call.seen);
        if writes.is_empty() {
            return Ok(());
        }
        match self.engine.commit(std::mem::take(&mut self.seen), writes, None).await? {
            Committed::Done => Ok(()),
            Committed::Conflict => Err(Fault::Contention.into()),
        }
    }
}
