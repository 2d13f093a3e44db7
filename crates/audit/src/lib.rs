//! The append-only, hash-chained record of every call, and its verifier.
//!
//! [`Log::open_call`] opens an obligation, [`Log::append`] meets it and gives the [`Recorded`] answer that alone can be
//! encoded. A timer calls [`Log::sync`], which signs the group and puts it on disk. [`verify()`] needs the directory and
//! nothing else of ours. docs/AUDIT.md gives every byte.
//!
//! Absent on purpose: a clock, a timer, a thread, and any knowledge of services.

mod disk;
mod event;
mod json;
mod line;
mod log;
mod pending;
mod read;
mod recover;
mod search;
mod state;
mod value;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

pub use disk::{PUBLIC_KEY_FILE, format_public_key, parse_public_key};
pub use event::{Call, Event, EventType, Failure, Prepared, RECORD_BYTES_MAX, Resource};
pub use line::Hash;
pub use log::{
    ANCHOR_BYTES_MAX, AppendError, BACKLOG_RECORDS_MAX, Head, Log, NODE_BYTES_MAX, SEGMENT_BYTES, Settings, SyncMode,
    Synced,
};
pub use pending::{Pending, Recorded};
pub use read::{Reading, read_records};
pub use recover::{OpenError, Recovery};
pub use search::{find_record, records_after};
pub use value::{Text, Time, Value};
pub use verify::{Fault, Report, verify};
pub use walk::{FaultKind, PublicKey};
