//! Everything that answers calls: the engine and the services, behind the server's `Api`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use claviger_api::{Operation, Refusal, Request, Response, ServiceError, SignatureClaim, Violations};
use claviger_crypto::AttestationRoots;
use claviger_engine::{Answer, BoxFuture, CallMeta, Caller, Chance, Engine, Fault, Jobs, OperationRow, Recorded};
use claviger_iam::Iam;
use claviger_kms::Kms;
use claviger_secret::{LogText, event};
use claviger_server::{Api, Reply};

use crate::uses;

/// The library's randomness.
pub(crate) struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        use claviger_crypto::{Random, SystemRandom};
        SystemRandom.fill(buffer).map_err(|_| Fault::Randomness)
    }
}

/// One engine with its services.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) kms: Kms,
    pub(crate) iam: Arc<Iam>,
    /// Where the audit log is; none when it is in memory.
    audit: Option<PathBuf>,
}

impl World {
    /// The world of an engine. The identities are those that it authenticates with, where it does.
    pub(crate) fn new(engine: Engine, iam: Arc<Iam>, attestation_roots: AttestationRoots) -> Self {
        Self { engine, kms: Kms::new(attestation_roots), iam, audit: None }
    }

    /// Says where the audit log is.
    pub(crate) fn with_audit(self, directory: &Path) -> Self {
        Self { audit: Some(directory.to_owned()), ..self }
    }

    /// Lets an account have this many keys in a Region.
    pub(crate) fn with_keys_max(self, most: u64) -> Self {
        Self { kms: self.kms.with_keys_max(most), ..self }
    }

    /// Does what is due; a fault is logged and the work stays due.
    pub(crate) async fn run_due(&self) {
        let jobs: [&dyn Jobs; 1] = [&self.kms];
        for service in jobs {
            if let Err(fault) = self.engine.run_due(service).await {
                event!(error, "due work could not be done", fault = fault);
            }
        }
        self.follow_uses().await;
        if let Err(fault) = self.kms.store_uses(&self.engine).await {
            event!(error, "the last uses of keys could not be stored", fault = fault);
        }
        if let Err(fault) = self.iam.store_uses(&self.engine).await {
            event!(error, "the last uses of access keys could not be stored", fault = fault);
        }
    }

    /// Finds out, once, when keys were last used. While that fails, those who ask are refused and it is tried again.
    pub(crate) async fn follow_uses(&self) {
        if self.kms.are_uses_known() {
            return;
        }
        let begun = match self.kms.begin_uses(&self.engine).await {
            Ok(begun) => begun,
            Err(fault) => return event!(error, "the last uses of keys could not be read", fault = fault),
        };
        match uses::found(self.audit.clone(), begun.1).await {
            Ok(found) => self.kms.resume_uses(&self.engine, begun, found),
            Err(error) => {
                let cause = LogText::new(&error.to_string());
                event!(error, "the last uses of keys could not be read from the audit log", cause = cause);
            }
        }
    }

    /// Forgets the last uses of keys, with all else.
    pub(crate) fn forget_uses(&self) {
        self.kms.forget_uses();
    }

    /// Brings the audit log to disk.
    pub(crate) async fn sync_audit(&self) {
        if let Err(fault) = self.engine.sync_audit().await {
            event!(error, "the audit log could not be brought to disk", fault = fault);
        }
    }

    /// Reads every row again.
    pub(crate) async fn scrub(&self) {
        if let Err(fault) = self.engine.scrub().await {
            event!(error, "the scrub met a fault", fault = fault);
        }
    }

    async fn dispatch(&self, caller: &Caller, meta: &CallMeta, request: &Request) -> Result<Reply, Refusal> {
        fn wrap<T>(answer: Recorded<Answer<T>>, wrap: impl FnOnce(T) -> Response) -> Reply {
            answer.map(|answer| answer.map(wrap))
        }
        let engine = &self.engine;
        self.iam.note_use(caller, request.operation().service(), engine.clock().now());
        match request {
            Request::Kms(request) => {
                let answer = claviger_kms::dispatch(engine, &self.kms, caller, meta, request).await?;
                Ok(wrap(answer, Response::Kms))
            }
            Request::Iam(request) => {
                let answer = claviger_iam::dispatch_iam(engine, &self.iam, caller, meta, request).await?;
                Ok(wrap(answer, Response::Iam))
            }
            Request::Sts(request) => {
                let answer = claviger_iam::dispatch_sts(engine, &self.iam, caller, meta, request).await?;
                Ok(wrap(answer, Response::Sts))
            }
        }
    }
}

/// The world in force; `claviger dev` can put a new one in its place.
pub(crate) struct Face(RwLock<Arc<World>>);

impl Face {
    pub(crate) fn new(world: World) -> Self {
        Self(RwLock::new(Arc::new(world)))
    }

    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, world: World) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(world);
    }
}

impl Api for Face {
    fn authenticate<'a>(&'a self, claim: SignatureClaim, meta: &'a CallMeta) -> BoxFuture<'a, Result<Caller, Refusal>> {
        let world = self.world();
        Box::pin(async move { world.engine.authenticate(&claim, meta).await })
    }

    fn takes(&self, service: &str, region: &str) -> bool {
        self.world().engine.regions().take(service, region)
    }

    fn call(&self, caller: Caller, meta: CallMeta, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let world = self.world();
        Box::pin(async move { world.dispatch(&caller, &meta, &request).await })
    }

    fn call_unsigned(&self, meta: CallMeta, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let world = self.world();
        Box::pin(async move {
            let Request::Sts(request) = request else { return Err(Refusal::MissingAuthenticationToken) };
            let answer = claviger_iam::dispatch_unsigned(&world.engine, &world.iam, &meta, request).await?;
            Ok(answer.map(|answer| answer.map(Response::Sts)))
        })
    }

    fn invalid(
        &self,
        caller: Option<Caller>,
        meta: CallMeta,
        operation: Operation,
        violations: Violations,
    ) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let world = self.world();
        let (code, event_source) = match operation {
            Operation::Kms(_) => ("ValidationException", "kms.amazonaws.com"),
            Operation::Iam(_) => ("ValidationError", "iam.amazonaws.com"),
            Operation::Sts(_) => ("ValidationError", "sts.amazonaws.com"),
        };
        // IAM has texts of its own (reference/iam-sts.md section 4).
        let iam = matches!(operation, Operation::Iam(_));
        let message = if iam { violations.iam_message() } else { violations.message() };
        let row = OperationRow { name: operation.name(), event_source, read_only: false };
        let error = ServiceError::sender(code, 400, message);
        Box::pin(async move {
            match caller {
                Some(caller) => world.engine.invalid(&caller, &meta, &row, error),
                None => world.engine.invalid_unsigned(&meta, &row, error),
            }
        })
    }
}
