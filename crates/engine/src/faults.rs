//! Errors that a user of `claviger dev` asks for, to test how a program takes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fault::InjectedError;

/// Rules kept at most.
pub const RULES_MAX: usize = 100;

/// One rule: which operation fails how, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectedFault {
    /// The operation's name; `*` for every one.
    pub operation: String,
    /// The error it answers, after the delay; without one the call only waits.
    pub error: Option<InjectedError>,
    /// How long the call waits, in milliseconds.
    pub delay_milliseconds: u64,
    /// How many calls are struck; `None` for all until reset.
    pub count: Option<u32>,
    /// How many of 2^32 matching calls are struck, on average; all of them at `u32::MAX`.
    pub odds: u32,
}

/// What strikes one call.
pub(crate) struct Strike {
    pub(crate) error: Option<InjectedError>,
    pub(crate) delay: std::time::Duration,
}

/// The rules in force.
#[derive(Default)]
pub struct InjectedFaults {
    armed: AtomicBool,
    rules: Mutex<Vec<InjectedFault>>,
}

impl InjectedFaults {
    /// Replaces the rules.
    pub fn set(&self, rules: Vec<InjectedFault>) {
        let mut held = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        *held = rules.into_iter().take(RULES_MAX).collect();
        self.armed.store(!held.is_empty(), Ordering::Release);
    }

    /// The first rule that meets this operation; `chance` draws 32 random bits for each rule looked at.
    pub(crate) fn strike(&self, operation: &str, mut chance: impl FnMut() -> u32) -> Option<Strike> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules.iter_mut().filter(|rule| rule.operation == "*" || rule.operation == operation) {
            if rule.count == Some(0) || (rule.odds != u32::MAX && chance() >= rule.odds) {
                continue;
            }
            rule.count = rule.count.map(|count| count - 1);
            return Some(Strike {
                error: rule.error,
                delay: std::time::Duration::from_millis(rule.delay_milliseconds),
            });
        }
        None
    }
}
