//! Typed records by row key, bounded. A commit replaces entries before it is acknowledged; a load that began before
//! a commit of its row is not kept, so no entry is older than the last acknowledged write.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::record::{RowKey, Seen};

/// Entries kept at most.
pub(crate) const RECORDS_MAX: usize = 200_000;

const STRIPES: usize = 64;

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) record: Arc<dyn Any + Send + Sync>,
    pub(crate) seen: Seen,
}

pub(crate) struct Records {
    entries: Cache<Bytes, Entry>,
    /// How many commits touched the rows of a stripe.
    epochs: Vec<Mutex<u64>>,
}

/// When a load began; only good for keeping what that load brings.
pub(crate) struct Ticket {
    stripe: usize,
    epoch: u64,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self { entries: Cache::new(RECORDS_MAX), epochs: (0..STRIPES).map(|_| Mutex::new(0)).collect() }
    }

    pub(crate) fn get(&self, key: &RowKey) -> Option<Entry> {
        self.entries.get(key.as_bytes())
    }

    /// To be taken before the snapshot of a load is opened.
    pub(crate) fn ticket(&self, key: &RowKey) -> Ticket {
        let stripe = stripe(key);
        let epoch = self.epochs.get(stripe).map_or(0, |epoch| *epoch.lock().unwrap_or_else(PoisonError::into_inner));
        Ticket { stripe, epoch }
    }

    /// Keeps what a load brought, unless a commit came between.
    pub(crate) fn keep(&self, ticket: &Ticket, key: &RowKey, entry: Entry) {
        if let Some(epoch) = self.epochs.get(ticket.stripe) {
            let epoch = epoch.lock().unwrap_or_else(PoisonError::into_inner);
            if *epoch == ticket.epoch {
                self.entries.insert(key.bytes(), entry);
            }
        }
    }

    /// Puts what a commit wrote in place of what was there.
    pub(crate) fn replace(&self, key: &RowKey, entry: Option<Entry>) {
        if let Some(epoch) = self.epochs.get(stripe(key)) {
            let mut epoch = epoch.lock().unwrap_or_else(PoisonError::into_inner);
            *epoch = epoch.wrapping_add(1);
            match entry {
                Some(entry) => self.entries.insert(key.bytes(), entry),
                None => drop(self.entries.remove(key.as_bytes())),
            }
        }
    }

    /// Forgets everything, when it is no longer known what the store holds.
    pub(crate) fn clear(&self) {
        let mut held: Vec<_> = Vec::with_capacity(STRIPES);
        for epoch in &self.epochs {
            let mut epoch = epoch.lock().unwrap_or_else(PoisonError::into_inner);
            *epoch = epoch.wrapping_add(1);
            held.push(epoch);
        }
        self.entries.clear();
    }
}

fn stripe(key: &RowKey) -> usize {
    key.as_bytes().iter().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte))) % STRIPES
}
