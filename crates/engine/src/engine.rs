//! The one door: every call goes through [`Engine::call`], in the same order, and leaves a record.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use claviger_api::{Refusal, ServiceError, Timestamp};
use claviger_audit::{Log, Prepared, Recorded, Value};
use claviger_crypto::DomainKeys;
use claviger_secret::{LogText, event};
use claviger_store::Store;

use crate::authenticate::{Authentication, SigningKeys};
use crate::authorize::{Answered, CallerPolicies, decide, is_open_to_grants};
use crate::cache::Records;
use crate::call::Call;
use crate::committer::{Change, Committed, Committer, Depth, Integrity, check_all, integrity_key};
use crate::faults::InjectedFaults;
use crate::heavy::Heavy;
use crate::high_water::{ClockRule, HighWater};
use crate::integrity::Broken;
use crate::operation::{Answer, Audited, Authorized, Operation, Outcome, Question, RecordElsewhere, Writes};
use crate::outbox::{OutboxRow, outbox_key};
use crate::quota::{QuotaRule, Quotas};
use crate::record::{RowKey, Seen};
use crate::regions::Regions;
use crate::service::Registered;
use crate::{ApiError, CallMeta, Caller, Chance, Clock, CommonError, Fault, trail};

/// How often a call is run again when what it read was changed by another.
pub const COMMIT_RETRIES_MAX: u32 = 64;

/// What the engine is built from; nothing in it can be left out.
pub struct Parts {
    /// Where rows live.
    pub store: Arc<dyn Store>,
    /// The deployment's domain keys, unsealed.
    pub keys: Arc<DomainKeys>,
    /// The audit log.
    pub audit: Log,
    /// The two clocks.
    pub clock: Arc<dyn Clock>,
    /// Randomness for identifiers.
    pub chance: Arc<dyn Chance>,
    /// How callers prove who they are.
    pub authentication: Authentication,
    /// Whether policies must name principals that exist.
    pub principals_must_exist: bool,
    /// The name of this node in outbox rows and audit records.
    pub node: String,
    /// How far the clock is believed.
    pub clock_rule: ClockRule,
    /// The Regions that are served.
    pub regions: Regions,
}

/// See the module.
pub struct Engine {
    parts: Parts,
    records: Arc<Records>,
    signing_keys: SigningKeys,
    committer: Committer,
    broken: Arc<Broken>,
    outbox_next: AtomicU64,
    /// Outbox rows that the log has on disk and whose removal has not succeeded yet.
    logged: Mutex<Vec<u64>>,
    injected: InjectedFaults,
    heavy: Heavy,
    pub(crate) contended: tokio::sync::Mutex<()>,
    /// Destroyed material may still be in the store's files. True at start, since a crash may have come between.
    pub(crate) erasure_wanted: AtomicBool,
    refusals: Mutex<(i64, u32)>,
    accounts: RwLock<Option<BTreeSet<String>>>,
    quotas: OnceLock<Quotas>,
    high_water: HighWater,
    registered: Registered,
}

impl Engine {
    /// Checks that the rows add up, writes to the log what committed but was not logged yet, and opens the door.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer, its head row is missing, altered, or older than the audit log, or
    /// the threads for heavy work cannot be started.
    pub async fn open(parts: Parts) -> Result<Self, Fault> {
        let mac = integrity_key(&parts.keys)?;
        let found = check_all(&*parts.store, &parts.keys, &mac, Depth::Numbers).await?;
        if anchored_number(&parts.audit)?.is_some_and(|anchored| found.number < anchored) {
            return Err(Fault::RowGroup("integrity/head/ (the whole store is older than the audit log)".to_owned()));
        }
        if parts.audit.head().sequence < found.head.audit_sequence {
            return Err(Fault::AuditCut);
        }
        let broken = Arc::new(Broken::default());
        report_broken(&found, &broken);
        let records = Arc::new(Records::new());
        let number = found.number;
        let committer = Committer::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.keys),
            Arc::clone(&records),
            Arc::clone(&broken),
            parts.audit.clone(),
            found,
        )?;
        let engine = Self {
            records,
            signing_keys: SigningKeys::new(),
            committer,
            broken,
            outbox_next: AtomicU64::new(number + 1),
            logged: Mutex::default(),
            injected: InjectedFaults::default(),
            heavy: Heavy::start(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))?,
            contended: tokio::sync::Mutex::default(),
            erasure_wanted: AtomicBool::new(true),
            refusals: Mutex::default(),
            accounts: RwLock::default(),
            quotas: OnceLock::new(),
            high_water: HighWater::new(parts.clock_rule),
            registered: Registered::default(),
            parts,
        };
        // Numbers run ahead of commits (several calls share one), so the log is asked which were used.
        if let Some(last) = engine.parts.audit.commit_numbers_after(0).last() {
            engine.outbox_above(*last);
        }
        engine.replay_outbox().await?;
        engine.read_time().await;
        Ok(engine)
    }

    /// One call: resolve, authorize, perform, commit, record. The answer exists only with its record.
    ///
    /// # Errors
    /// [`Refusal::InternalFailure`] when the record could not be written.
    pub async fn call<O: Operation>(
        &self,
        service: &O::Service,
        caller: &Caller,
        meta: &CallMeta,
        request: &O::Request,
    ) -> Result<Recorded<Answer<O::Response>>, Refusal> {
        let pending = self.parts.audit.open_call(trail::head(self, caller, meta, &O::ROW));
        let mut turn = None;
        let mut inner = Vec::new();
        for run in 0..COMMIT_RETRIES_MAX {
            let mut call = Call::new(self, caller, meta);
            // Whoever has a turn already would wait for itself.
            let in_turn = call.in_turn;
            call.in_turn |= turn.is_some();
            let mut trace = Trace { is_again: run > 0, ..Trace::default() };
            let result = self.attempt::<O>(&mut call, service, request, &mut trace).await;
            inner.append(&mut call.inner);
            let seen = call.into_seen();
            let (response, writes) = match result {
                Ok(Outcome { response, writes }) => (Ok(response), writes),
                Err(error) => (Err(self.explain(&error)), Writes::default()),
            };
            let resources = trace.authorized.as_ref().map(Authorized::resources);
            O::audited(request, resources, response.as_ref().ok(), &mut trace.audited);
            trail::name_inner(&mut trace.audited, &inner);
            let event = trail::event(&O::ROW, trace.audited, response.as_ref().err(), &trace.decisions);
            let named = trail::RecordName::of(&pending);
            let succeeded = resources.filter(|_| response.is_ok());
            let tell = || succeeded.map(|resources| named.tell::<O>(service, resources, meta));
            if writes.is_empty() {
                let recorded = self.parts.audit.append(pending, &event, response).map_err(|_| self.unrecorded())?;
                tell();
                return Ok(recorded);
            }
            let prepared = pending.prepare(&event).map_err(|_| self.unrecorded())?;
            let said = succeeded.zip(response.as_ref().ok());
            let elsewhere = said.and_then(|(resources, response)| O::elsewhere(request, resources, response));
            let elsewhere = elsewhere.map(|record| self.elsewhere(caller, meta, &O::ROW, record)).transpose()?;
            // The later number: a replay at a start, too, makes the call's own record the newest of its request id.
            let (row, number) = self.outbox_row();
            let mut outbox = vec![(&row, &prepared)];
            outbox.extend(elsewhere.iter().map(|second| (&second.row, &second.prepared)));
            match self.commit(seen, writes, &outbox).await {
                // Calls that meet each other on the same rows take turns, so that each gets through.
                Ok(Committed::Conflict) if turn.is_none() && !in_turn => turn = Some(self.contended.lock().await),
                Ok(Committed::Conflict) => {}
                Ok(Committed::Done) => {
                    // First, so that the call's own record is the newest of its request id.
                    elsewhere.into_iter().for_each(|second| self.append_elsewhere(second));
                    let recorded = self.parts.audit.append_committed(pending, prepared, number, response);
                    tell();
                    return Ok(recorded);
                }
                Err(fault) => {
                    let error = self.explain(&O::Error::from(fault.into()));
                    let mut audited = Audited::default();
                    O::audited(request, None, None, &mut audited);
                    trail::name_inner(&mut audited, &inner);
                    let event = trail::event(&O::ROW, audited, Some(&error), &trace.decisions);
                    return self.parts.audit.append(pending, &event, Err(error)).map_err(|_| self.unrecorded());
                }
            }
        }
        let error = self.explain(&O::Error::from(Fault::Contention.into()));
        let mut audited = Audited::default();
        trail::name_inner(&mut audited, &inner);
        let event = trail::event(&O::ROW, audited, Some(&error), &[]);
        self.parts.audit.append(pending, &event, Err(error)).map_err(|_| self.unrecorded())
    }

    async fn attempt<O: Operation>(
        &self,
        call: &mut Call<'_>,
        service: &O::Service,
        request: &O::Request,
        trace: &mut Trace<O>,
    ) -> Result<Outcome<O::Response>, O::Error> {
        let drawn = || call.random().map(u32::from_be_bytes).unwrap_or_default();
        if let Some(strike) = self.injected.strike(O::ROW.name, drawn) {
            if !strike.delay.is_zero() {
                tokio::time::sleep(strike.delay).await;
            }
            if let Some(error) = strike.error {
                return Err(CommonError::Injected(error).into());
            }
        }
        let resources = self.resolve_charged::<O>(call, service, request, trace.is_again).await?;
        let questions = O::questions(call, &resources, request);
        if questions.is_empty() && !O::UNGOVERNED {
            return Err(CommonError::AccessDenied(String::new()).into());
        }
        let policies = self.caller_policies(call).await.map_err(CommonError::from)?;
        for question in &questions {
            let Answered { decision, refusal, grant } =
                self.answer::<O>(call, &policies, &resources, request, question).await?;
            let resource = question.resource.clone();
            trace.decisions.push(trail::Decided { decision, action: question.action, resource, grant });
            if question.resource != "*" {
                let owner = question.resource_account.as_str().to_owned();
                trace.audited.resources.push((question.resource.clone(), owner));
            }
            if let Some(text) = refusal {
                return Err(CommonError::AccessDenied(text).into());
            }
        }
        let decisions = trace.decisions.iter().map(|decided| decided.decision).collect();
        let authorized = trace.authorized.insert(Authorized::new(resources, decisions));
        O::perform(call, service, authorized, request).await
    }

    /// Names to records, with the call charged to the caller's account: before anything is looked up where the operation
    /// alone says to which quota, otherwise as soon as the resources are known. What is refused later counts too.
    async fn resolve_charged<O: Operation>(
        &self,
        call: &mut Call<'_>,
        service: &O::Service,
        request: &O::Request,
        is_again: bool,
    ) -> Result<O::Resources, O::Error> {
        let quotas = self.quotas.get().filter(|_| !is_again);
        let Some((quotas, rule)) = quotas.and_then(|quotas| Some((quotas, quotas.rule(&O::ROW)?))) else {
            return O::resolve(call, service, request).await;
        };
        match rule {
            QuotaRule::Always(group) => {
                quotas.charge(call, &[quotas.one(&O::ROW, group)])?;
                O::resolve(call, service, request).await
            }
            QuotaRule::ByResource(otherwise) => {
                let resources = O::resolve(call, service, request).await;
                let charges = resources.as_ref().map(|resources| O::charges(resources, request)).unwrap_or_default();
                let charges = if charges.is_empty() { vec![quotas.one(&O::ROW, otherwise)] } else { charges };
                quotas.charge(call, &charges)?;
                resources
            }
        }
    }

    /// Limits how often accounts may call, from now on; without it nobody is limited. Only the first quotas count.
    pub fn set_quotas(&self, quotas: Quotas) {
        drop(self.quotas.set(quotas));
    }

    /// What the caller's own side allows.
    async fn caller_policies(&self, call: &mut Call<'_>) -> Result<CallerPolicies, Fault> {
        match self.authentication() {
            Authentication::Verify(identities) => identities.policies(call).await,
            Authentication::DangerAnyCredential { .. } => Ok(CallerPolicies::default()),
        }
    }

    /// Whether the resource is another account's that is closed. The caller's own is known to be open.
    async fn is_closed(&self, call: &mut Call<'_>, owner: claviger_policy::AccountId) -> Result<bool, Fault> {
        match self.authentication() {
            Authentication::Verify(identities) if owner != call.caller().principal().account() => {
                Ok(!identities.is_account_open(call, owner.as_str()).await?)
            }
            _ => Ok(false),
        }
    }

    /// Answers a question by the policies; the grants are looked up only when these leave it open.
    async fn answer<O: Operation>(
        &self,
        call: &mut Call<'_>,
        policies: &CallerPolicies,
        resources: &O::Resources,
        request: &O::Request,
        question: &Question,
    ) -> Result<Answered, O::Error> {
        if self.is_closed(call, question.resource_account).await.map_err(CommonError::from)? {
            // Nobody's policies and grants help then: it is as if no other account had ever been let in.
            let shut = Question { cross_account: false, ..question.clone() };
            return Ok(decide(call, &shut, policies, &[], &|| O::facts(call, resources, request, question)));
        }
        let first = decide(call, question, policies, &[], &|| O::facts(call, resources, request, question));
        if first.refusal.is_none() || !is_open_to_grants(&first.decision) {
            return Ok(first);
        }
        let grants = O::grants(call, resources, request, question).await?;
        if grants.is_empty() {
            return Ok(first);
        }
        Ok(decide(call, question, policies, &grants, &|| O::facts(call, resources, request, question)))
    }

    /// The record of a start: what the process was configured with, and what it was told to risk.
    ///
    /// # Errors
    /// [`Fault::Audit`] when the log cannot be written.
    pub fn note_start(&self, facts: Value) -> Result<(), Fault> {
        let row = crate::OperationRow { name: "Start", event_source: "claviger", read_only: false };
        let mut head = trail::head(self, &Caller::system(""), &CallMeta::system(), &row);
        head.event_type = claviger_audit::EventType::Operator;
        let mut event = claviger_audit::Event::new(false);
        event.request_parameters = facts;
        let pending = self.parts.audit.open_call(head);
        self.parts.audit.append(pending, &event, ()).map(drop).map_err(|_| Fault::Audit)
    }

    /// The answer to a request whose members break the model's constraints: it is recorded like any call.
    ///
    /// # Errors
    /// [`Refusal::InternalFailure`] when the record could not be written.
    pub fn invalid<T>(
        &self,
        caller: &Caller,
        meta: &CallMeta,
        row: &crate::OperationRow,
        error: ServiceError,
    ) -> Result<Recorded<Answer<T>>, Refusal> {
        let pending = self.parts.audit.open_call(trail::head(self, caller, meta, row));
        let event = trail::event(row, Audited::default(), Some(&error), &[]);
        self.parts.audit.append(pending, &event, Err(error)).map_err(|_| self.unrecorded())
    }

    /// The same for an operation that nobody signs. Only so many are recorded in a second: the rest are turned away, so
    /// that nobody fills the log from outside.
    ///
    /// # Errors
    /// [`Refusal::InternalFailure`] when the record could not be written, [`Refusal::ServiceUnavailable`] for the rest.
    pub fn invalid_unsigned<T>(
        &self,
        meta: &CallMeta,
        row: &crate::OperationRow,
        error: ServiceError,
    ) -> Result<Recorded<Answer<T>>, Refusal> {
        if !self.may_record_refusal() {
            return Err(Refusal::ServiceUnavailable);
        }
        self.invalid(&self.anonymous("us-east-1"), meta, row, error)
    }

    fn elsewhere(
        &self,
        caller: &Caller,
        meta: &CallMeta,
        row: &crate::OperationRow,
        elsewhere: RecordElsewhere,
    ) -> Result<Elsewhere, Refusal> {
        let head = trail::head_elsewhere(self, caller, meta, row, &elsewhere);
        let event = trail::event(row, elsewhere.audited, None, &[]);
        let prepared = Prepared::new(&head, &event).map_err(|_| self.unrecorded())?;
        let (row, number) = self.outbox_row();
        Ok(Elsewhere { head, prepared, row, number })
    }

    fn append_elsewhere(&self, Elsewhere { head, prepared, number, .. }: Elsewhere) {
        let pending = self.parts.audit.open_call(head);
        drop(self.parts.audit.append_committed(pending, prepared, number, ()));
    }

    /// Commits what was written under what was seen, with the outbox row of each record.
    pub(crate) async fn commit(
        &self,
        seen: Vec<(RowKey, Seen)>,
        writes: Writes,
        outbox: &[(&RowKey, &Prepared)],
    ) -> Result<Committed, Fault> {
        let mut change = Change { seen: BTreeMap::new(), writes: writes.change.writes };
        for (key, seen) in seen {
            change.seen.entry(key).or_insert(seen);
        }
        if let Some(key) = change.writes.keys().find(|key| !change.seen.contains_key(*key)) {
            // A row that was not read has no known version to be replaced.
            return Err(Fault::RecordMissing(key.printable()));
        }
        for (key, prepared) in outbox {
            change.seen.insert((*key).clone(), Seen::Absent);
            change.put((*key).clone(), Arc::new(OutboxRow((*prepared).clone())), &self.parts.keys)?;
        }
        self.committer.commit(change).await
    }

    pub(crate) fn outbox_row(&self) -> (RowKey, u64) {
        let number = self.outbox_next.fetch_add(1, Ordering::Relaxed);
        (outbox_key(&self.parts.node, number), number)
    }

    pub(crate) fn audit_synced(&self, sequence: u64) {
        self.committer.audit_synced(sequence);
    }

    /// Entries of the audit log that are signed and on disk, as far as a sync of this process told.
    pub fn audit_on_disk(&self) -> u64 {
        self.committer.synced()
    }

    /// The number of the last commit.
    pub(crate) async fn commit_number(&self) -> u64 {
        self.committer.number().await
    }

    /// How many groups of rows do not add up.
    pub(crate) fn groups_refused(&self) -> usize {
        self.broken.count()
    }

    /// The counter above every outbox number seen at start.
    pub(crate) fn outbox_above(&self, number: u64) {
        self.outbox_next.fetch_max(number + 1, Ordering::Relaxed);
    }

    pub(crate) fn logged(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain<E: ApiError>(&self, error: &E) -> ServiceError {
        if let Some(fault) = error.fault() {
            event!(error, "a call met a fault", fault = *fault);
        }
        error.service_error()
    }

    pub(crate) fn internal(&self, fault: &Fault) -> Refusal {
        event!(error, "a request met a fault before it was a call", fault = *fault);
        Refusal::InternalFailure
    }

    fn unrecorded(&self) -> Refusal {
        self.internal(&Fault::Audit)
    }

    /// Refuses rows of groups that do not add up.
    pub(crate) fn demand_sound(&self, key: &RowKey) -> Result<(), Fault> {
        self.broken.demand_sound(key)
    }

    /// Reads and opens every row again and refuses, from now on, those of groups that do not add up.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer or the head row is altered.
    pub async fn scrub(&self) -> Result<Integrity, Fault> {
        let mac = integrity_key(&self.parts.keys)?;
        let acknowledged = self.committer.number().await;
        let found = check_all(&*self.parts.store, &self.parts.keys, &mac, Depth::Opened).await?;
        report_broken(&found, &self.broken);
        let older = self.committer.demand_not_older(&found, acknowledged);
        if older.is_err() || !found.broken.is_empty() {
            self.records.clear();
        }
        older.map(|()| found)
    }

    /// How many failed authentications may be recorded in a second; more are only counted.
    const REFUSALS_RECORDED_A_SECOND: u32 = 10;

    pub(crate) fn may_record_refusal(&self) -> bool {
        let second = self.parts.clock.wall().millis() / 1000;
        let mut window = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 = window.1.saturating_add(1);
        window.1 <= Self::REFUSALS_RECORDED_A_SECOND
    }

    /// Faults that the user of `claviger dev` injects.
    #[must_use]
    pub const fn injected(&self) -> &InjectedFaults {
        &self.injected
    }

    /// The clocks.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// The time of calls: the movable clock's, but never behind the newest time seen.
    pub(crate) fn now(&self) -> Timestamp {
        self.high_water.held(self.parts.clock.now())
    }

    pub(crate) const fn high_water(&self) -> &HighWater {
        &self.high_water
    }

    /// The Regions that are served.
    #[must_use]
    pub const fn regions(&self) -> &Regions {
        &self.parts.regions
    }

    /// The audit log.
    #[must_use]
    pub const fn audit(&self) -> &Log {
        &self.parts.audit
    }

    pub(crate) const fn registered(&self) -> &Registered {
        &self.registered
    }

    pub(crate) const fn heavy(&self) -> &Heavy {
        &self.heavy
    }

    pub(crate) fn chance(&self) -> &dyn Chance {
        &*self.parts.chance
    }

    pub(crate) fn keys(&self) -> &DomainKeys {
        &self.parts.keys
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) const fn authentication(&self) -> &Authentication {
        &self.parts.authentication
    }

    pub(crate) const fn signing_keys(&self) -> &SigningKeys {
        &self.signing_keys
    }

    pub(crate) fn node(&self) -> &str {
        &self.parts.node
    }

    pub(crate) const fn principals_must_exist(&self) -> bool {
        self.parts.principals_must_exist
    }

    pub(crate) fn account_exists(&self, account: &str) -> bool {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.as_ref().is_none_or(|accounts| accounts.contains(account))
    }

    /// An account more, where they are named. Call it after the account's rows are durable.
    pub fn account_made(&self, account: &str) {
        if let Some(accounts) = &mut *self.accounts.write().unwrap_or_else(PoisonError::into_inner) {
            accounts.insert(account.to_owned());
        }
    }

    /// Names the accounts of the deployment; before this is called, every account exists (dev).
    pub fn set_accounts(&self, accounts: BTreeSet<String>) {
        *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = Some(accounts);
    }
}

/// The record of a call in another Region, with the outbox row that its commit carries.
struct Elsewhere {
    head: claviger_audit::Call,
    prepared: Prepared,
    row: RowKey,
    number: u64,
}

/// What one run of a call leaves for its record.
struct Trace<O: Operation> {
    decisions: Vec<trail::Decided>,
    audited: Audited,
    authorized: Option<Authorized<O>>,
    /// Whether the call was run before, and so charged to its quota.
    is_again: bool,
}

impl<O: Operation> Default for Trace<O> {
    fn default() -> Self {
        Self { decisions: Vec::new(), audited: Audited::default(), authorized: None, is_again: false }
    }
}

/// Names the rows of groups that do not add up, and refuses them from now on.
pub(crate) fn report_broken(found: &Integrity, broken: &Broken) {
    for suspect in &found.suspects {
        event!(error, "a row was dropped, altered or replayed in the group of this row", row = LogText::new(suspect));
    }
    broken.add(&found.broken);
}

/// The number of the store's last commit that the log's last checkpoint vouches for.
fn anchored_number(audit: &Log) -> Result<Option<u64>, Fault> {
    let Some(text) = audit.anchored() else { return Ok(None) };
    let number = text.strip_prefix(ANCHOR_HEAD).and_then(|rest| rest.strip_suffix("\"}")?.parse().ok());
    number.map(Some).ok_or_else(|| Fault::RecordMalformed("the anchor of the audit log".to_owned()))
}

const ANCHOR_HEAD: &str = "{\"storeNumber\":\"";

/// What the log's checkpoints vouch for besides the log: the number of the store's last commit.
pub(crate) fn anchor(audit: &Log, number: u64) {
    let value = Value::object([("storeNumber", Value::public_text(&number.to_string()))]);
    // It is far below the size limit, which is the only reason for a refusal.
    let _ = audit.anchor(&value);
}
