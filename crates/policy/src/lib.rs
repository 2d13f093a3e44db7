//! The IAM policy language: parse, compile, evaluate, combine, explain.
//!
//! A pure library: documents and a question in, a [`Decision`] out that names the statements which mattered. It does
//! no I/O, reads no clock and knows no service; what is special about KMS comes in as data.
//!
//! Where to start: [`Document`] (what may be said), [`decide`] (how the sources combine), then `tests/agreement/spec.rs`
//! (the same, slowly and from the text, as the tests' second opinion).

mod condition;
mod condition_parse;
mod context;
mod decide;
mod document;
mod glob;
mod json;
mod lockout;
mod message;
mod parse;
mod principal;
mod scalar;
mod statement;
mod template;

pub use context::{Context, NoContext};
pub use decide::{
    Decision, Effect, GrantReference, Question, Reason, ResourcePolicy, Source, Sources, StatementReference, decide,
};
pub use document::{Document, default_key_policy};
pub use lockout::keeps_policy_writable;
pub use message::{Subject, absent_resource_message};
pub use parse::{Limits, Malformed, MalformedKind};
pub use principal::{AccountId, Principal, PrincipalKind, PrincipalName};
