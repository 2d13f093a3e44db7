//! One call's view of the world: who calls, when, and the rows as of now.

use std::future::Future;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_secret::SecretBytes;
use claviger_store::{Range, View};

use crate::authenticate::Authentication;
use crate::cache::Entry;
use crate::engine::Engine;
use crate::record::{Record, Row, RowKey, Seen, decode};
use crate::{CallMeta, Caller, Clock, CommonError, Fault, Regions};

/// What an operation works with. Everything read through it becomes a precondition of what it writes.
pub struct Call<'e> {
    engine: &'e Engine,
    caller: &'e Caller,
    meta: &'e CallMeta,
    now: Timestamp,
    view: Option<Box<dyn View>>,
    seen: Vec<(RowKey, Seen)>,
    /// The request ids of the calls that this one made ([`Call::call_as`]).
    pub(crate) inner: Vec<String>,
    /// Whether the call has the turn of contended calls, or one that it was made by.
    pub(crate) in_turn: bool,
}

impl<'e> Call<'e> {
    pub(crate) fn new(engine: &'e Engine, caller: &'e Caller, meta: &'e CallMeta) -> Self {
        Self {
            engine,
            caller,
            meta,
            now: engine.now(),
            view: None,
            seen: Vec::with_capacity(4),
            inner: Vec::new(),
            in_turn: caller.via.as_ref().is_some_and(|via| via.in_turn),
        }
    }

    /// Who calls.
    #[must_use]
    pub const fn caller(&self) -> &'e Caller {
        self.caller
    }

    /// From where and how.
    #[must_use]
    pub const fn meta(&self) -> &'e CallMeta {
        self.meta
    }

    /// The time of the call by the movable clock, or the newest time seen if the clock is behind that: one instant for
    /// the whole call.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The movable clock as it is, even behind the newest time seen: for one-time codes, whose other side goes by it,
    /// and for last uses, which are noted by it.
    #[must_use]
    pub fn unheld_now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// The time by the wall clock, which judges attestation documents and tokens.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.engine.clock().wall()
    }

    /// Gives work that keeps a processor busy (RSA, post-quantum signatures, key generation) to the pool made for it, in
    /// the share of the caller's account. It waits for its turn from now on, not from the first poll; when the future is
    /// dropped before that turn comes, the work is not done.
    ///
    /// # Errors
    /// The future gives [`CommonError::Throttled`] when too much of the account's work waits already, and
    /// [`Fault::WorkLost`] when the work panicked or the engine ended.
    pub fn heavy<T, W>(&mut self, work: W) -> impl Future<Output = Result<T, CommonError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.release_view();
        self.engine.heavy().submit(self.caller.account(), work)
    }

    pub(crate) const fn engine(&self) -> &'e Engine {
        self.engine
    }

    pub(crate) fn clock(&self) -> &'e dyn Clock {
        self.engine.clock()
    }

    /// The domain keys, for wrapping what a record holds.
    #[must_use]
    pub fn keys(&self) -> &DomainKeys {
        self.engine.keys()
    }

    /// The Regions that are served.
    #[must_use]
    pub const fn regions(&self) -> &'e Regions {
        self.engine.regions()
    }

    /// Whether policies must name principals that exist (not in `claviger dev` without `--enforce`).
    #[must_use]
    pub fn principals_must_exist(&self) -> bool {
        self.engine.principals_must_exist()
    }

    /// Whether this account is one of the deployment's.
    #[must_use]
    pub fn account_exists(&self, account: &str) -> bool {
        self.engine.account_exists(account)
    }

    pub(crate) const fn authentication(&self) -> &'e Authentication {
        self.engine.authentication()
    }

    /// Random bytes for identifiers.
    ///
    /// # Errors
    /// [`Fault::Randomness`].
    pub fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        let mut bytes = [0_u8; N];
        self.engine.chance().fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Random bytes that become a secret.
    ///
    /// # Errors
    /// [`Fault::Randomness`].
    pub fn random_secret(&self, length: usize) -> Result<SecretBytes, Fault> {
        let mut secret = SecretBytes::zeroed(length);
        self.engine.chance().fill(secret.expose_mut())?;
        Ok(secret)
    }

    /// A fresh version 4 UUID in text form.
    ///
    /// # Errors
    /// [`Fault::Randomness`].
    pub fn uuid(&self) -> Result<String, Fault> {
        Ok(uuid::Builder::from_random_bytes(self.random()?).into_uuid().to_string())
    }

    async fn view(&mut self) -> Result<&dyn View, Fault> {
        if self.view.is_none() {
            self.view = Some(self.engine.store().snapshot().await?);
        }
        self.view.as_deref().ok_or(Fault::Store)
    }

    /// The record under the key, from the cache or the store.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer, or the row does not open, decode or add up.
    pub async fn row<R: Record>(&mut self, key: &RowKey) -> Result<Option<Row<R>>, Fault> {
        self.engine.demand_sound(key)?;
        if let Some(entry) = self.engine.records().get(key) {
            self.seen.push((key.clone(), entry.seen));
            let record = entry.record.downcast::<R>().map_err(|_| Fault::RecordMalformed(key.printable()))?;
            return Ok(Some(Row { record, seen: entry.seen }));
        }
        let ticket = self.engine.records().ticket(key);
        // The view may be older than the ticket; then what it shows is kept for this call only.
        let fresh = self.view.is_none();
        let Some(row) = self.view().await?.get(key.as_bytes()).await? else {
            self.seen.push((key.clone(), Seen::Absent));
            return Ok(None);
        };
        let (number, record) = decode::<R>(self.engine.keys(), key, &row.value)?;
        let (record, seen) = (Arc::new(record), Seen::At { revision: row.revision, number });
        if fresh {
            let entry = Entry { record: Arc::<R>::clone(&record), seen };
            self.engine.records().keep(&ticket, key, entry);
        }
        self.seen.push((key.clone(), seen));
        Ok(Some(Row { record, seen }))
    }

    /// Up to `limit` records whose keys start with `prefix`, in order, behind `after`.
    ///
    /// # Errors
    /// As [`Call::row`].
    pub async fn rows<R: Record>(
        &mut self,
        prefix: &RowKey,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Row<R>)>, Fault> {
        self.engine.demand_sound(prefix)?;
        let range = Range::prefix(prefix.as_bytes());
        let found = self.view().await?.scan(range, after.map(RowKey::as_bytes), limit).await?;
        let mut rows = Vec::with_capacity(found.len());
        for (key, row) in found {
            let key = RowKey::from_store(key);
            let (number, record) = decode::<R>(self.engine.keys(), &key, &row.value)?;
            let seen = Seen::At { revision: row.revision, number };
            self.seen.push((key.clone(), seen));
            rows.push((key, Row { record: Arc::new(record), seen }));
        }
        Ok(rows)
    }

    /// Gives the view back before a wait: views are few, and whoever waits must not keep one from whoever could go on.
    /// What was read stays a precondition; what is read afterwards comes from a newer view.
    pub fn release_view(&mut self) {
        self.view = None;
    }

    /// What was read, for the commit. The call ends with it, so that it holds no view of the store while it waits for
    /// others that need one.
    pub(crate) fn into_seen(self) -> Vec<(RowKey, Seen)> {
        self.seen
    }

    /// How many rows were read so far; see [`Call::forget_reads_since`].
    #[must_use]
    pub const fn reads(&self) -> usize {
        self.seen.len()
    }

    /// What was read after this point need not still be so when the call commits.
    pub fn forget_reads_since(&mut self, reads: usize) {
        self.seen.truncate(reads);
    }
}
