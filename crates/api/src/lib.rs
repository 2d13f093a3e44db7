//! The AWS shapes, operations and errors, generated from the service model.
//!
//! `generated` is written by `cargo run -p claviger-xtask -- codegen`; everything else is by hand. A request
//! reaches the engine only as [`Valid`]: proof that the model's own constraints hold.

mod claim;
mod error;
mod generated;
mod path;
mod pattern;
mod refusal;
#[cfg(test)]
mod tests;
mod timestamp;
mod violation;

pub use claim::SignatureClaim;
pub use error::ServiceError;
pub use generated::{Operation, Request, Response, iam, kms, sts};
pub use path::Path;
pub use pattern::{Alternative, Atom, Pattern, Piece};
pub use refusal::{Protocol, Refusal};
pub use timestamp::{Timestamp, TimestampError};
pub use violation::{Echo, Valid, Validate, Violation, Violations, check};
