//! The AWS face: route, claim, authenticate, decode, call, encode.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use claviger_api::{Operation, Protocol, Refusal, Request, ServiceError, SignatureClaim, Violations};
use claviger_audit::Recorded;
use claviger_engine::{BoxFuture, CallMeta, Caller, Chance, TlsFacts};
use claviger_secret::{LogText, event};
use claviger_wire::DecodeError;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::body::{BodyFault, ReadBody};
use crate::dev::Dev;
use crate::handler::{CallFault, Connection, Handler};
use crate::identifier::Identifiers;
use crate::metrics::{Metrics, reason};

/// The answer to a call, with the proof that it was recorded.
pub type Reply = Recorded<Result<claviger_api::Response, ServiceError>>;

/// The services behind the AWS face. The binary wires them to the engine.
pub trait Api: Send + Sync + 'static {
    /// The caller behind a claim.
    fn authenticate<'a>(&'a self, claim: SignatureClaim, meta: &'a CallMeta) -> BoxFuture<'a, Result<Caller, Refusal>>;

    /// Whether requests to the service may be signed for the Region.
    fn takes(&self, service: &str, region: &str) -> bool {
        let _ = (service, region);
        true
    }

    /// Makes the call.
    fn call(&self, caller: Caller, meta: CallMeta, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>>;

    /// Makes a call that no signature protects.
    fn call_unsigned(&self, meta: CallMeta, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>>;

    /// Answers (and records) a call whose request breaks constraints of the model; without a caller one that nobody
    /// signed.
    fn invalid(
        &self,
        caller: Option<Caller>,
        meta: CallMeta,
        operation: Operation,
        violations: Violations,
    ) -> BoxFuture<'_, Result<Reply, Refusal>>;
}

/// The [`Handler`] of the AWS face.
pub struct Gateway {
    api: Arc<dyn Api>,
    identifiers: Identifiers,
    metrics: Arc<Metrics>,
    dev: Option<Dev>,
}

/// Bytes of a body that nobody signed at most; the token in it has up to 20,000 characters.
const UNSIGNED_BYTES_MAX: usize = 64 * 1024;

/// Whether the operation takes requests without a signature (`authtype: none` in the model): what it is given proves
/// itself.
const fn is_unsigned(operation: Operation) -> bool {
    matches!(operation, Operation::Sts(claviger_api::sts::Operation::AssumeRoleWithWebIdentity))
}

/// A refusal and the protocol to put it in.
type Refused = (Protocol, Refusal);

impl Gateway {
    /// The AWS face alone, for production.
    #[must_use]
    pub fn new(api: Arc<dyn Api>, chance: Arc<dyn Chance>, metrics: Arc<Metrics>) -> Self {
        Self { api, identifiers: Identifiers::new(chance), metrics, dev: None }
    }

    /// With what only `claviger dev` has: the guard, `/_claviger/...` and the observer face.
    #[must_use]
    pub fn with_dev(self, dev: Dev) -> Self {
        Self { dev: Some(dev), ..self }
    }

    async fn aws(&self, head: &Parts, body: ReadBody, meta: CallMeta) -> Response<Bytes> {
        let request_id = meta.request_id.clone();
        match self.call(head, body, meta, &request_id).await {
            Ok(response) => response,
            Err(refused) => self.refused(&request_id, refused),
        }
    }

    async fn call(
        &self,
        head: &Parts,
        body: ReadBody,
        meta: CallMeta,
        request_id: &str,
    ) -> Result<Response<Bytes>, Refused> {
        let began = Instant::now();
        let (protocol, operation) = match claviger_wire::route(head, body.bytes()) {
            Ok(routed) => routed,
            Err(refusal @ Refusal::UnknownOperation) => {
                self.metrics.refused(&refusal);
                let protocol = claviger_wire::protocol(head);
                return Ok(claviger_wire::encode_unknown_operation(protocol, &meta.request_id, head, body.bytes()));
            }
            Err(refusal) => return Err((claviger_wire::protocol(head), refusal)),
        };
        let refused = |refusal| (protocol, refusal);
        let caller = if is_unsigned(operation) {
            if body.bytes().len() > UNSIGNED_BYTES_MAX {
                return Err(refused(Refusal::BodyTooLarge));
            }
            None
        } else {
            let claim = claviger_wire::sigv4::claim(head, body.bytes()).map_err(refused)?;
            claviger_wire::sigv4::check_scope(&claim, operation)
                .map_err(|refusal| refused(self.scope(refusal, &claim.region)))?;
            Some(self.api.authenticate(claim, &meta).await.map_err(refused)?)
        };
        let decoded = claviger_wire::decode(operation, claviger_wire::input(head, body.bytes()));
        // Decoded values live on in the request; the body is not needed while the call runs.
        drop(body);
        let answered = match decoded {
            Ok(request) => match caller {
                Some(caller) => self.api.call(caller, meta, request).await,
                None => self.api.call_unsigned(meta, request).await,
            },
            Err(DecodeError::Invalid(violations)) => self.api.invalid(caller, meta, operation, violations).await,
            Err(DecodeError::Refusal(refusal)) => Err(refusal),
        };
        let reply = answered.map_err(refused)?;
        let response = claviger_wire::encode_reply(protocol, operation, request_id, reply);
        let (status, took) = (response.status().as_u16(), began.elapsed());
        self.metrics.called(operation, status, took);
        event!(
            debug,
            "call",
            request_id = LogText::new(request_id),
            operation = operation.name(),
            status = status,
            microseconds = took.as_micros()
        );
        Ok(response)
    }

    /// A wrong service in the scope, and a wrong Region beside it.
    fn scope(&self, refusal: Refusal, region: &str) -> Refusal {
        match refusal {
            Refusal::ScopeService(service) if !self.api.takes(service, region) => {
                Refusal::ScopeRegionAndService(service)
            }
            other => other,
        }
    }

    fn refused(&self, request_id: &str, (protocol, refusal): Refused) -> Response<Bytes> {
        self.metrics.refused(&refusal);
        event!(debug, "refused", request_id = LogText::new(request_id), reason = reason(&refusal));
        claviger_wire::encode_refusal(protocol, request_id, refusal)
    }
}

impl Handler for Gateway {
    async fn answer(&self, head: Parts, body: ReadBody, connection: Connection<'_>) -> Response<Bytes> {
        let request_id = self.identifiers.next();
        let Some(dev) = &self.dev else {
            return self.aws(&head, body, meta(&head, connection, request_id)).await;
        };
        let Ok(passed) = dev.guard(&head) else {
            return self.refused(&request_id, (claviger_wire::protocol(&head), Refusal::Forbidden));
        };
        let mut response = match dev.answer(&head, body.bytes()).await {
            Some(response) => response,
            None => self.aws(&head, body, meta(&head, connection, request_id)).await,
        };
        passed.mark(response.headers_mut());
        response
    }

    fn refuse(&self, head: &Parts, fault: BodyFault) -> Response<Bytes> {
        let request_id = self.identifiers.next();
        let refusal = match fault {
            BodyFault::TooLarge => Refusal::BodyTooLarge,
            BodyFault::Crowded => Refusal::ServiceUnavailable,
            // AWS has no error for a body that does not come: HTTP's own says it.
            BodyFault::TimedOut | BodyFault::Broken => return request_timeout(&request_id),
        };
        event!(debug, "refused", request_id = LogText::new(&request_id), reason = reason(&refusal));
        claviger_wire::encode_refusal(claviger_wire::protocol(head), &request_id, refusal)
    }

    fn failed(&self, fault: CallFault) -> Response<Bytes> {
        let request_id = self.identifiers.next();
        let (refusal, how) = match fault {
            CallFault::Panicked => (Refusal::InternalFailure, "panicked"),
            CallFault::TimedOut => (Refusal::ServiceUnavailable, "took too long"),
        };
        event!(error, "a call failed", request_id = LogText::new(&request_id), how = how);
        // The head is gone with the call; nearly all calls are KMS's.
        claviger_wire::encode_refusal(Protocol::Json, &request_id, refusal)
    }
}

fn request_timeout(request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = http::StatusCode::REQUEST_TIMEOUT;
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    response
}

fn meta(head: &Parts, connection: Connection<'_>, request_id: String) -> CallMeta {
    let tls = connection
        .tls
        .map(|facts| TlsFacts { host: LogText::new(text(&head.headers, &header::HOST)), ..facts.clone() });
    CallMeta {
        request_id,
        source_address: connection.peer,
        user_agent: LogText::new(text(&head.headers, &header::USER_AGENT)),
        referer: LogText::new(text(&head.headers, &header::REFERER)),
        tls,
    }
}

/// A header as text; empty when it is absent or not text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}
