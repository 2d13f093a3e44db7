//! Services that call other services for a user: what AWS calls a forward access session.
//!
//! The user stays the principal, with its own policies and session; the inner call has its own decision and record.
//! What tells it from the user's own call is kept in the [`Caller`], where nothing that comes over the wire gets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use claviger_api::{Refusal, Request, Response};
use claviger_audit::Recorded;
use claviger_policy::PrincipalName;
use claviger_secret::LogText;
use claviger_store::BoxFuture;

use crate::call::Call;
use crate::engine::Engine;
use crate::operation::Answer;
use crate::{CallMeta, Caller, CommonError, Fault};

/// How many services may stand between a user and a call. A ring of services that call each other ends here.
const CHAIN_MAX: usize = 4;

/// The services that others may call, each through its requests and responses. The binary implements it.
pub trait Services: Send + Sync {
    /// Runs the request as one call of the engine, as `caller` and no other.
    fn call<'a>(
        &'a self,
        engine: &'a Engine,
        caller: &'a Caller,
        meta: &'a CallMeta,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Recorded<Answer<Response>>, Refusal>>;
}

/// Who a service is when it calls others. It cannot be copied, and only [`Engine::register`] makes one: nothing in a
/// request can stand for it.
pub struct ServiceIdentity {
    principal: Box<str>,
    services: Arc<dyn Services>,
}

/// Why a service could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Not `NAME.amazonaws.com` with a single label before it.
    #[error("{0} is not the name of a service, NAME.amazonaws.com")]
    Name(String),
    /// Another holds the identity of this name already.
    #[error("{0} is registered already")]
    Taken(String),
}

/// The names that are registered.
#[derive(Default)]
pub(crate) struct Registered(Mutex<BTreeSet<Box<str>>>);

impl Engine {
    /// Hands out the identity of the service with this principal name, for example `ssm.amazonaws.com`; once for each
    /// name. Its calls go to `services`.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&self, principal: &str, services: Arc<dyn Services>) -> Result<ServiceIdentity, RegisterError> {
        let label = principal.strip_suffix(SUFFIX).filter(|label| !label.contains('.'));
        if label.is_none() || PrincipalName::parse_service(principal).is_none() {
            return Err(RegisterError::Name(principal.to_owned()));
        }
        let principal: Box<str> = principal.into();
        let mut taken = self.registered().0.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.insert(principal.clone()) {
            return Err(RegisterError::Taken(principal.into()));
        }
        Ok(ServiceIdentity { principal, services })
    }
}

const SUFFIX: &str = ".amazonaws.com";

/// The services through which a call comes.
#[derive(Debug)]
pub(crate) struct Via {
    /// Their principal names, in the order in which they were called; never empty.
    pub(crate) chain: Vec<Box<str>>,
    /// For which of its resources the last of them calls.
    pub(crate) source_arn: Option<String>,
    /// Whether a call further out has the turn of contended calls, and so the inner one too.
    pub(crate) in_turn: bool,
}

impl Caller {
    pub(crate) fn chain(&self) -> &[Box<str>] {
        self.via.as_ref().map_or(&[], |via| &via.chain)
    }

    /// The principal name of the service that calls for the caller, for example `ssm.amazonaws.com`; none when the
    /// caller calls itself.
    #[must_use]
    pub fn calling_service(&self) -> Option<&str> {
        self.chain().last().map(AsRef::as_ref)
    }

    /// `kms:ViaService`: the same service as `NAME.REGION.amazonaws.com`.
    #[must_use]
    pub fn via_service(&self) -> Option<String> {
        let name = self.calling_service()?.strip_suffix(SUFFIX)?;
        Some(format!("{name}.{}{SUFFIX}", self.region()))
    }

    /// The ARN of the resource for which a service calls; none when the caller calls itself, or the service names none.
    #[must_use]
    pub fn source_arn(&self) -> Option<&str> {
        self.via.as_ref()?.source_arn.as_deref()
    }
}

impl Call<'_> {
    /// Calls another service for this call's caller. The inner call is authorized, charged to the caller's account and
    /// recorded by itself, under a request id of its own, which this call's record names in `innerRequestIDs`. What it
    /// writes is durable when it answers, whatever becomes of this call, and it sees no write of this call.
    ///
    /// A call that loses a race for its rows is run again, and makes its inner calls again: they must bear it (a grant
    /// that has a Name does).
    ///
    /// `source_arn` is the resource for which the service calls; grants may demand it.
    ///
    /// # Errors
    /// [`CommonError::AccessDenied`] when nobody signed this call, as with background work, or too many services stand
    /// before it; [`Fault::Audit`] when the inner call could not be recorded. The inner answer may be an error too.
    pub async fn call_as(
        &mut self,
        service: &ServiceIdentity,
        source_arn: Option<&str>,
        request: &Request,
    ) -> Result<Answer<Response>, CommonError> {
        let caller = self.caller();
        let chain = caller.chain();
        // Work that nobody signed runs as a root user of no account, which must not become one of a real account.
        if caller.access_key_id().is_empty() || chain.len() >= CHAIN_MAX {
            return Err(CommonError::AccessDenied("There is no caller for whom this can be done.".to_owned()));
        }
        let via = Via {
            chain: chain.iter().chain([&service.principal]).cloned().collect(),
            source_arn: source_arn.map(str::to_owned),
            in_turn: self.in_turn,
        };
        let inner = Caller { via: Some(Arc::new(via)), ..caller.clone() };
        let meta = CallMeta {
            request_id: self.uuid()?,
            user_agent: LogText::new(&service.principal),
            referer: LogText::new(""),
            ..self.meta().clone()
        };
        // As with heavy work: the inner call needs a view of its own.
        self.release_view();
        let answer = service.services.call(self.engine(), &inner, &meta, request).await;
        let answer = answer.map_err(|_| Fault::Audit)?;
        self.inner.push(meta.request_id);
        Ok(answer.into_inner())
    }
}
