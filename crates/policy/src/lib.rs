//! The IAM policy language: parse, compile, evaluate, combine, explain.
//!
//! A pure library: documents and a question in, a [`Decision`] out that names the statements which mattered. It does
//! no I/O, reads no clock and knows no service; what is special about KMS comes in as data.
//!
//! Where to start: [`Document`] (what may be said, and how names are bound to unique ids), [`decide`] (how the sources
//! combine), [`explain()`] (the same with its reasons), then `tests/agreement/spec.rs` (the same, slowly and from the
//! text, as the tests' second opinion).

mod condition;
mod condition_parse;
mod context;
mod decide;
mod document;
mod explain;
mod glob;
mod json;
mod key;
mod limits;
mod lockout;
mod malformed;
mod message;
mod naming;
mod parse;
mod principal;
mod scalar;
mod shared_issuer;
mod span;
mod statement;
mod steps;
mod template;

pub use context::{Context, NoContext};
pub use decide::{
    Decision, Effect, GrantReference, Question, Reason, ResourcePolicy, Source, Sources, StatementReference, decide,
};
pub use document::{Document, default_key_policy};
pub use explain::{ConditionTrace, Explanation, GrantTrace, Outcome, StatementTrace, explain};
pub use key::{ConditionKey, KeyKind, is_same_key};
pub use limits::{
    GROUP_INLINE_SIZE_MAX, Limits, MANAGED_POLICY_SIZE_MAX, ROLE_INLINE_SIZE_MAX, TRUST_POLICY_SIZE_MAX,
    USER_INLINE_SIZE_MAX, policy_size,
};
pub use lockout::keeps_policy_writable;
pub use malformed::{Malformed, MalformedKind};
pub use message::{Subject, absent_resource_message};
pub use naming::Naming;
pub use principal::{AccountId, Principal, PrincipalKind, PrincipalName, UniqueId};
pub use shared_issuer::SharedIssuer;
pub use span::{Position, Span};
