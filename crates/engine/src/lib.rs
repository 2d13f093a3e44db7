//! The one door: authenticate, call, authorize, commit, record.
//!
//! A service gives its operations as types ([`Operation`]); [`Engine::call`] runs them all in the same order, and an
//! answer exists only together with its audit record. Start at `engine.rs`, then `operation.rs`, then `committer.rs`.

mod authenticate;
mod cache;
mod call;
mod caller;
mod codec;
mod committer;
mod due;
mod engine;
mod fault;
mod faults;
mod integrity;
mod open;
mod operation;
mod outbox;
mod record;
mod seed;
mod trail;

pub use authenticate::{Authentication, CLOCK_SKEW_MILLIS, Identities};
pub use call::Call;
pub use caller::{CallMeta, Caller, Chance, Clock, Credential, TlsFacts};
pub use claviger_audit::{Recorded, Value};
pub use claviger_store::BoxFuture;
pub use codec::{BadRecord, Reader, Writer};
pub use committer::Integrity;
pub use due::Due;
pub use engine::{COMMIT_RETRIES_MAX, Engine, Parts};
pub use fault::{ApiError, CommonError, CommonNames, Fault, InjectedError};
pub use faults::{InjectedFault, InjectedFaults, RULES_MAX};
pub use open::{Deployment, DeploymentError};
pub use operation::{
    Answer, Audited, Authorized, DueJob, JobOutcome, Jobs, Named, Operation, OperationRow, Outcome, Question, Writes,
};
pub use record::{Record, Row, RowKey, Seen};
pub use seed::Seed;
