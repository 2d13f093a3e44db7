//! The obligation to record a call, and the proof that it was met.

use crate::event::{Call, Event, Prepared};
use crate::{AppendError, Log};

/// A value whose call is in the audit log. Only [`Log::append`] and [`Log::append_committed`] make one, and an answer
/// can be encoded from nothing else.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the call is recorded, but nobody is answered"]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value; gives up the proof.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// Another value made from this one only: it was recorded as much as this one was.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Recorded<U> {
        Recorded(change(self.0))
    }
}

impl<T> AsRef<T> for Recorded<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

/// A call that has started and must be recorded. Dropped unrecorded (a panic, a cancelled task, an early return), it
/// appends an `InternalFailure` record by itself.
#[must_use = "dropping it records the call as an InternalFailure"]
pub struct Pending {
    log: Log,
    call: Box<Call>,
    /// Set when the record is in the log, or in an outbox that the log will get it from.
    recorded: bool,
}

impl Pending {
    pub(crate) fn new(log: Log, call: Call) -> Self {
        Self { log, call: Box::new(call), recorded: false }
    }

    /// What is known of the call.
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The record that this call would get with this outcome: what a commit puts into its outbox row.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`].
    pub fn prepare(&self, event: &Event) -> Result<Prepared, AppendError> {
        Prepared::new(&self.call, event)
    }

    pub(crate) fn finished(mut self) {
        self.recorded = true;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.recorded {
            self.log.append_unfinished(&self.call);
        }
    }
}
