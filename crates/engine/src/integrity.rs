//! Which rows are live, so that a dropped or replayed row is noticed although each row is wrapped on its own.
//!
//! Rows fall into 256 groups by their entity. A group's row holds the sum, modulo 2^256, of a keyed hash of every
//! live (row key, number) pair in it, and their count. The head row holds the numbers of all group rows, and its own
//! number is the last commit's, which the audit log's checkpoints repeat. So a row put back or left out shows in
//! its group's sum, a group row put back shows in the head, and a whole store put back shows in the audit log.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use claviger_crypto::MacKey;

use crate::Fault;

use crate::codec::{BadRecord, Reader, Writer};
use crate::record::RowKey;

/// How many groups the rows fall into. Stored formats depend on it.
pub(crate) const GROUPS: usize = 256;

/// The kind of the rows that hold the sums; they are not summed themselves.
pub(crate) const KIND: &str = "integrity";

/// The sum over one group's live rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Group {
    sum: [u8; 32],
    count: u64,
}

impl Group {
    pub(crate) fn add(&mut self, hash: &[u8; 32]) {
        let mut carry = 0_u16;
        for (sum, byte) in self.sum.iter_mut().zip(hash) {
            let total = u16::from(*sum) + u16::from(*byte) + carry;
            let [high, low] = total.to_be_bytes();
            *sum = low;
            carry = u16::from(high);
        }
        self.count = self.count.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, hash: &[u8; 32]) {
        let mut borrow = 0_i16;
        for (sum, byte) in self.sum.iter_mut().zip(hash) {
            let difference = i16::from(*sum) - i16::from(*byte) - borrow;
            borrow = i16::from(difference < 0);
            *sum = u8::try_from(difference.rem_euclid(256)).unwrap_or_default();
        }
        self.count = self.count.wrapping_sub(1);
    }

    /// A group that these rows can never add up to.
    pub(crate) fn never(mut self) -> Self {
        self.add(&[0xff; 32]);
        self
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::record("group", 1);
        writer.bytes(&self.sum);
        writer.u64(self.count);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, "group", 1)?;
        let sum = reader.bytes()?.try_into().map_err(|_| BadRecord)?;
        let count = reader.u64()?;
        reader.end()?;
        Ok(Self { sum, count })
    }
}

/// The groups found not to add up. Their rows are refused from then on.
#[derive(Default)]
pub(crate) struct Broken {
    any: AtomicBool,
    groups: RwLock<HashSet<usize>>,
}

impl Broken {
    pub(crate) fn add(&self, groups: &HashSet<usize>) {
        if !groups.is_empty() {
            self.groups.write().unwrap_or_else(PoisonError::into_inner).extend(groups);
            self.any.store(true, Ordering::Release);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Refuses a row of such a group.
    pub(crate) fn demand_sound(&self, key: &RowKey) -> Result<(), Fault> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        if groups.contains(&group_of(key)) { Err(Fault::RowGroup(key.printable())) } else { Ok(()) }
    }
}

/// The head: the numbers of all group rows (0 for a group without one), and how far the audit log had come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) group_numbers: Vec<u64>,
    /// Entries of the audit log that were on disk: a log with fewer was cut off or put away.
    pub(crate) audit_sequence: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self { group_numbers: vec![0; GROUPS], audit_sequence: 0 }
    }
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::record("head", 1);
        writer.list(self.group_numbers.iter(), |writer, number| writer.u64(*number));
        writer.u64(self.audit_sequence);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, "head", 1)?;
        let group_numbers = reader.list(Reader::u64)?;
        let audit_sequence = reader.u64()?;
        reader.end()?;
        if group_numbers.len() == GROUPS { Ok(Self { group_numbers, audit_sequence }) } else { Err(BadRecord) }
    }
}

/// The group that a row belongs to.
pub(crate) fn group_of(key: &RowKey) -> usize {
    usize::from(*claviger_crypto::sha256(key.entity()).first().unwrap_or(&0))
}

/// The keyed hash of one live (row key, number) pair.
pub(crate) fn element(mac: &MacKey, key: &RowKey, number: u64) -> [u8; 32] {
    let mut writer = Writer::default();
    writer.bytes(key.as_bytes());
    writer.u64(number);
    mac.sign(&writer.finish())
}

pub(crate) fn group_key(group: usize) -> RowKey {
    RowKey::new(KIND, "group", &format!("{group:03}"))
}

pub(crate) fn head_key() -> RowKey {
    RowKey::new(KIND, "head", "")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::record::golden;

    #[test]
    fn golden_bytes() {
        let mut group = Group::default();
        group.add(&[0xfe; 32]);
        group.add(&[0x03; 32]);
        assert_eq!(group.encode(), golden::file("group"));
        assert_eq!(Group::decode(&golden::file("group")), Ok(group));
        let mut head = Head::default();
        *head.group_numbers.get_mut(1).unwrap() = 7;
        *head.group_numbers.last_mut().unwrap() = u64::MAX;
        head.audit_sequence = 9;
        assert_eq!(head.encode(), golden::file("head"));
        assert_eq!(Head::decode(&golden::file("head")), Ok(head));
    }

    #[test]
    fn a_row_stays_in_its_group_for_ever() {
        for (kind, entity, group) in
            [("key", "eu-central-1.a", 121), ("alias", "eu-central-1.1", 64), ("due", "kms", 146)]
        {
            let found = [RowKey::new(kind, entity, "x"), RowKey::new(kind, entity, "y/z")].map(|key| group_of(&key));
            assert_eq!(found, [group; 2], "{kind}/{entity}: rows of one entity are guarded together");
        }
    }

    #[test]
    fn elements_differ_by_key_and_number() {
        let mac = golden::keys().mac_key("test").unwrap();
        let key = RowKey::new("a", "b", "c");
        let elements = [element(&mac, &key, 1), element(&mac, &key, 2), element(&mac, &RowKey::new("a", "b", "d"), 1)];
        assert!(elements.iter().enumerate().all(|(at, one)| !elements.iter().skip(at + 1).any(|other| other == one)));
    }

    #[test]
    fn a_head_of_another_length_is_refused() {
        let head = Head { group_numbers: vec![0; GROUPS - 1], audit_sequence: 0 };
        assert_eq!(Head::decode(&head.encode()), Err(BadRecord));
    }

    #[test]
    fn what_never_fits_does_not_fit() {
        let group = Group::default();
        assert!(group.never() != group && !group.never().is_empty());
    }

    proptest! {
        #[test]
        fn adding_and_removing_in_any_order_is_a_sum(hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..20), cut in 0_usize..20) {
            let mut forward = Group::default();
            hashes.iter().for_each(|hash| forward.add(hash));
            let mut backward = Group::default();
            hashes.iter().rev().for_each(|hash| backward.add(hash));
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(Group::decode(&forward.encode()), Ok(forward));
            let cut = cut.min(hashes.len());
            let mut kept = Group::default();
            hashes.iter().skip(cut).for_each(|hash| kept.add(hash));
            hashes.iter().take(cut).for_each(|hash| forward.remove(hash));
            prop_assert_eq!(forward, kept);
        }

        #[test]
        fn a_sum_tells_sets_apart(hashes in proptest::collection::vec(any::<[u8; 32]>(), 1..10), at in 0_usize..10) {
            let mut whole = Group::default();
            hashes.iter().for_each(|hash| whole.add(hash));
            let mut without = whole;
            if let Some(hash) = hashes.get(at % hashes.len()) {
                without.remove(hash);
            }
            prop_assert_ne!(whole, without);
        }
    }
}
