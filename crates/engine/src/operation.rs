//! What the engine asks of a service: its operations, one type each.

use std::future::Future;
use std::sync::Arc;

use claviger_api::{ServiceError, Timestamp};
use claviger_audit::Value;
use claviger_policy::{Decision, Document, ResourcePolicy};

use crate::authorize::Grant;
use crate::call::Call;
use crate::committer::{Change, Write};
use crate::conditions::Facts;
use crate::quota::Charge;
use crate::record::{Record, RowKey};
use crate::{ApiError, Fault};

/// The facts of an operation that do not depend on a request; a service's table is made of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationRow {
    /// The operation's name on the wire.
    pub name: &'static str,
    /// `kms.amazonaws.com` and the like.
    pub event_source: &'static str,
    /// CloudTrail's `readOnly`.
    pub read_only: bool,
}

/// One question to authorization: may the caller do this to that?
#[derive(Clone)]
pub struct Question {
    /// The IAM action, for example `kms:Encrypt`.
    pub action: &'static str,
    /// The resource's ARN, or `*`.
    pub resource: String,
    /// The account that owns the resource; the caller's for `*`.
    pub resource_account: claviger_policy::AccountId,
    /// The resource's own policy, where it has one.
    pub resource_policy: ResourceRule,
    /// Whether the operation may be used on another account's resource at all.
    pub cross_account: bool,
    /// How the resource is named in a refusal.
    pub named: Named,
}

/// The resource's own policy, and what the kind of the resource demands of it.
#[derive(Clone, Debug, Default)]
pub enum ResourceRule {
    /// The resource has none: identity policies of its own account alone decide.
    #[default]
    NoPolicy,
    /// A key's: it must agree, whatever identity policies say.
    KeyPolicy(Arc<Document>),
    /// A role's: who may take the role.
    TrustPolicy(Arc<Document>),
    /// Policies open nothing by themselves: only the question's grants do.
    GrantsOnly,
}

impl ResourceRule {
    pub(crate) fn of_policy(&self) -> ResourcePolicy<'_> {
        match self {
            Self::NoPolicy => ResourcePolicy::None,
            Self::KeyPolicy(document) => ResourcePolicy::MustAgree(document),
            Self::TrustPolicy(document) => ResourcePolicy::Trust(document),
            Self::GrantsOnly => ResourcePolicy::GrantsOnly,
        }
    }
}

/// How a refusal names the resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// By its ARN.
    ByArn,
    /// The caller only sent a ciphertext: the key behind it is not told.
    ByCiphertext,
    /// A role that is to be taken: the refusal gives no reason.
    Role,
    /// By this text: IAM says `user alice`. Nothing is kept back, so only for what the caller named itself.
    As(String),
}

/// Proof that authorization allowed the operation on these resources. Only the engine makes one, it is used up by
/// `perform`, and it ends with the call it was made for.
pub struct Authorized<O: Operation> {
    resources: O::Resources,
    decisions: Vec<Decision>,
}

impl<O: Operation> Authorized<O> {
    pub(crate) const fn new(resources: O::Resources, decisions: Vec<Decision>) -> Self {
        Self { resources, decisions }
    }

    /// What the caller may use.
    #[must_use]
    pub const fn resources(&self) -> &O::Resources {
        &self.resources
    }

    /// Which statements allowed it, one decision a question.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
}

/// What an operation came to: a response, and the writes that must be durable before anybody sees it.
pub struct Outcome<T> {
    pub(crate) response: T,
    pub(crate) writes: Writes,
}

impl<T> Outcome<T> {
    /// An outcome that changes nothing.
    #[must_use]
    pub fn read_only(response: T) -> Self {
        Self { response, writes: Writes::default() }
    }

    /// An outcome that holds once these writes are durable.
    #[must_use]
    pub const fn with_writes(response: T, writes: Writes) -> Self {
        Self { response, writes }
    }
}

/// Rows to be written. Every row must have been read by the same call, so that the commit can check it.
#[derive(Default)]
pub struct Writes {
    pub(crate) change: Change,
}

impl Writes {
    /// Stores the record under the key.
    ///
    /// # Errors
    /// A [`Fault`] when the record cannot be encoded.
    pub fn put<R: Record>(&mut self, call: &Call<'_>, key: RowKey, record: R) -> Result<(), Fault> {
        self.change.put(key, std::sync::Arc::new(record), call.keys())
    }

    /// Removes the row.
    pub fn delete(&mut self, key: RowKey) {
        self.change.writes.insert(key, Write::Delete);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.change.writes.is_empty()
    }
}

/// What an operation adds to its audit record. Everything in it is safe to log (reference/events.md).
#[derive(Default)]
pub struct Audited {
    /// `requestParameters`.
    pub request_parameters: Value,
    /// `responseElements`.
    pub response_elements: Value,
    /// `additionalEventData`.
    pub additional: Value,
    /// ARNs of resources with the account that owns each; those that authorization was asked about come by themselves.
    pub resources: Vec<(String, String)>,
}

/// One operation of a service.
pub trait Operation: Send + Sync + Sized + 'static {
    /// The service's own state: its settings.
    type Service: Send + Sync;
    /// The decoded request, its bounds proven.
    type Request: Send + Sync;
    /// The response.
    type Response: Send;
    /// The service's errors.
    type Error: ApiError;
    /// The records that the request names.
    type Resources: Send + Sync;

    /// The operation's row in its service's table.
    const ROW: OperationRow;

    /// Names to records.
    fn resolve(
        call: &mut Call<'_>,
        service: &Self::Service,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Self::Resources, Self::Error>> + Send;

    /// What the request takes from the request quotas, for an operation whose quota depends on what it names
    /// ([`crate::QuotaRule::ByResource`]). Nothing means one request of the group that the rule has.
    fn charges(resources: &Self::Resources, request: &Self::Request) -> Vec<Charge> {
        let _ = (resources, request);
        Vec::new()
    }

    /// What must be allowed; all of it.
    fn questions(call: &Call<'_>, resources: &Self::Resources, request: &Self::Request) -> Vec<Question>;

    /// What conditions may ask about the request for this question, besides what the engine knows itself
    /// ([`crate::CONDITION_KEYS`]). Asked for only when a statement that would decide has a condition.
    fn facts(call: &Call<'_>, resources: &Self::Resources, request: &Self::Request, question: &Question) -> Facts {
        let _ = (call, resources, request, question);
        Facts::default()
    }

    /// The grants of the question's resource whose constraints this request meets and that may reach the caller. Asked
    /// for only when no policy allows and none denies.
    fn grants(
        call: &mut Call<'_>,
        resources: &Self::Resources,
        request: &Self::Request,
        question: &Question,
    ) -> impl Future<Output = Result<Vec<Grant>, Self::Error>> + Send {
        let _ = (call, resources, request, question);
        async { Ok(Vec::new()) }
    }

    /// Whether `questions` may be empty: only for an operation that no policy can govern.
    const UNGOVERNED: bool = false;

    /// The work: a function of what was read, the request, now and chance.
    fn perform(
        call: &mut Call<'_>,
        service: &Self::Service,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Outcome<Self::Response>, Self::Error>> + Send;

    /// A record that the call leaves in another Region besides its own, once it has succeeded and written something.
    fn elsewhere(
        request: &Self::Request,
        resources: &Self::Resources,
        response: &Self::Response,
    ) -> Option<RecordElsewhere> {
        let _ = (request, resources, response);
        None
    }

    /// Told once the call has succeeded and its record is in the audit log. It is for notes in memory: it must be quick,
    /// and cannot fail.
    fn recorded(service: &Self::Service, resources: &Self::Resources, call: &RecordedCall<'_>) {
        let _ = (service, resources, call);
    }

    /// What the audit record shows of it: from the request and, where it came so far, the records and the response.
    fn audited(
        request: &Self::Request,
        resources: Option<&Self::Resources>,
        response: Option<&Self::Response>,
        audited: &mut Audited,
    );
}

/// What a call does in another Region than that in which it was made, as the service's own doing for the caller.
pub struct RecordElsewhere {
    /// `eventName`.
    pub name: &'static str,
    /// The Region.
    pub region: String,
    /// What the record shows.
    pub audited: Audited,
}

/// A call that succeeded, as its audit record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedCall<'a> {
    /// When it came, by the movable clock.
    pub at: Timestamp,
    /// `eventID` of its record.
    pub event_id: &'a str,
    /// `requestID` of its record.
    pub request_id: &'a str,
}

/// A piece of background work that has fallen due, as its service stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueJob {
    /// The service that planned it.
    pub service: String,
    /// When it fell due, by the movable clock.
    pub due: Timestamp,
    /// What to do, in the service's words.
    pub job: String,
    /// The index row itself, to be deleted by the commit that does the work.
    pub row: RowKey,
}

/// What a job came to: writes and the service event that records them.
pub struct JobOutcome {
    /// The rows to write; the due row's deletion is added by the engine.
    pub writes: Writes,
    /// The service event: its name and what it shows. `None` for mere sweeping.
    pub event: Option<(&'static str, Audited)>,
    /// The account in whose log the event belongs.
    pub account: String,
    /// The Region in which it happened.
    pub region: String,
}

/// Background work of a service.
pub trait Jobs: Send + Sync {
    /// Does one due job. It may be called twice for the same job: the second time must be harmless.
    ///
    /// # Errors
    /// A [`Fault`]; the job stays due.
    fn run<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        job: &'a DueJob,
    ) -> claviger_store::BoxFuture<'a, Result<JobOutcome, Fault>>;
    /// Whether the job takes away for good what a wrong clock must not take. Such a job waits while the clock is not
    /// believed; so must any that is not known to be harmless.
    fn destroys(&self, job: &str) -> bool;
    /// The name under which the service's jobs are stored.
    fn service(&self) -> &'static str;
    /// `kms.amazonaws.com` and the like.
    fn event_source(&self) -> &'static str;
}

/// The result of an operation as the recorder and the encoder see it.
pub type Answer<T> = Result<T, ServiceError>;
