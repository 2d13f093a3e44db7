//! HTTP bytes into shapes and back: awsJson, awsQuery, the error envelope, SigV4.
//!
//! In: [`route`] names the operation, [`decode`] makes a request whose constraints hold. Out: [`encode_reply`],
//! which takes only what the audit log has recorded. `generated` is written by
//! `cargo run -p claviger-xtask -- codegen`.

mod decode;
mod encode;
mod form;
mod generated;
mod json;
pub mod limit;
mod node;
mod refusal;
mod reply;
mod route;
pub mod sigv4;

pub use claviger_api::Protocol;
pub use decode::{DecodeError, decode};
pub use refusal::{encode_refusal, encode_unknown_operation, refusal_error};
pub use reply::{encode_reply, validation_error};
pub use route::{input, protocol, route};
