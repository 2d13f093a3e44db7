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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn entry(number: u64) -> Entry {
        Entry { record: Arc::new(number), seen: Seen::At { revision: claviger_store::Revision(number), number } }
    }

    fn held(records: &Records, key: &RowKey) -> Option<u64> {
        records.get(key).map(|entry| *entry.record.downcast::<u64>().unwrap())
    }

    fn key() -> RowKey {
        RowKey::new("note", "a", "")
    }

    #[test]
    fn a_load_is_kept() {
        let records = Records::new();
        let ticket = records.ticket(&key());
        records.keep(&ticket, &key(), entry(1));
        assert_eq!(held(&records, &key()), Some(1));
    }

    #[test]
    fn a_load_that_began_before_a_commit_is_not_kept() {
        for committed in [Some(entry(2)), None] {
            let records = Records::new();
            let ticket = records.ticket(&key());
            let expected = committed.as_ref().map(|_| 2);
            records.replace(&key(), committed);
            records.keep(&ticket, &key(), entry(1));
            assert_eq!(held(&records, &key()), expected);
            let ticket = records.ticket(&key());
            records.keep(&ticket, &key(), entry(3));
            assert_eq!(held(&records, &key()), Some(3), "one that began after it is");
        }
    }

    #[test]
    fn a_load_that_began_before_everything_was_forgotten_is_not_kept() {
        let records = Records::new();
        records.replace(&key(), Some(entry(1)));
        let ticket = records.ticket(&key());
        records.clear();
        records.keep(&ticket, &key(), entry(1));
        assert_eq!(held(&records, &key()), None);
    }

    #[test]
    fn a_commit_of_a_row_of_another_stripe_does_not_matter() {
        let records = Records::new();
        let other =
            (0..).map(|at| RowKey::new("note", &format!("n{at}"), "")).find(|other| stripe(other) != stripe(&key()));
        let ticket = records.ticket(&key());
        records.replace(&other.unwrap(), Some(entry(9)));
        records.keep(&ticket, &key(), entry(1));
        assert_eq!(held(&records, &key()), Some(1));
    }
}
