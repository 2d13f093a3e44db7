//! Grants: who was given which use of a key, beside its policy (reference/authorization.md section 6).
//!
//! A decision never walks the grants of a key: [`find`] goes to the index rows ([`rows`]) of the caller's own names, of
//! the operation asked for, and of the constraints that the request can meet.

mod change;
mod find;
mod record;
mod rows;
pub(crate) mod token;

pub(crate) use change::{known, place, remove, sweep};
pub(crate) use find::{Use, others, reaching};
pub(crate) use record::{Constraint, Grant, Holder, action};
pub(crate) use rows::{grant_key, holders_list_key, is_grant_id, retirable_key};

/// Grants on one key at most (reference/lifecycle.md section 11).
pub(crate) const GRANTS_MAX: u64 = 50_000;
