//! The one door: authenticate, call, authorize, commit, record.
//!
//! A service gives its operations as types ([`Operation`]); [`Engine::call`] runs them all in the same order, and an
//! answer exists only together with its audit record. Start at `engine.rs`, then `operation.rs`, then `committer.rs`.

mod authenticate;
mod authorize;
mod cache;
mod call;
mod caller;
mod codec;
mod committer;
mod conditions;
mod due;
mod egress;
mod engine;
mod explain;
mod fault;
mod faults;
mod heavy;
mod high_water;
mod integrity;
mod open;
mod operation;
mod operator;
mod outbox;
mod quota;
mod record;
mod regions;
mod seed;
mod service;
mod trail;

pub use authenticate::{Authentication, CLOCK_SKEW_MILLIS, Identities, Presented, Standing};
pub use authorize::{CallerPolicies, Grant};
pub use call::Call;
pub use caller::{CallMeta, Caller, Chance, Clock, Credential, PrincipalTraits, Session, TlsFacts, TokenBearer};
pub use claviger_audit::{Recorded, Text, Value};
pub use claviger_store::BoxFuture;
pub use codec::{BadRecord, Reader, Writer};
pub use committer::Integrity;
pub use conditions::{CONDITION_KEYS, Conditions, Facts};
pub use due::Due;
pub use egress::{Egress, EgressError, Fetched};
pub use engine::{COMMIT_RETRIES_MAX, Engine, Parts};
pub use fault::{ApiError, CommonError, CommonNames, Fault, InjectedError, THROTTLED};
pub use faults::{InjectedFault, InjectedFaults, RULES_MAX};
pub use high_water::{ClockRule, ClockStanding, ClockState, DOWNTIME_MAX_MILLIS, LEAP_MAX_MILLIS};
pub use open::{Deployment, DeploymentError};
pub use operation::{
    Answer, Audited, Authorized, DueJob, JobOutcome, Jobs, Named, Operation, OperationRow, Outcome, Question,
    RecordElsewhere, RecordedCall, ResourceRule, Writes,
};
pub use operator::{Command, CommandError, CommandWork, Commanded, EngineState, Operator};
pub use quota::{Charge, NoQuotaGroup, QuotaGroup, QuotaRule, Quotas, ServiceQuotas};
pub use record::{Record, Row, RowKey, Seen};
pub use regions::{NoRegions, Regions};
pub use seed::Seed;
pub use service::{RegisterError, ServiceIdentity, Services};
