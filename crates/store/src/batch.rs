//! What one commit asks for.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{CommitError, Revision, limit};

/// Checks, and the writes that are applied if all of them hold. See [`Store::commit`](crate::Store::commit).
///
/// A batch holds at most one write for each key: the last one given. No `Debug`: values are not for logs.
#[derive(Clone, Default)]
pub struct Batch {
    checks: Vec<(Bytes, Check)>,
    writes: BTreeMap<Bytes, Option<Bytes>>,
}

/// What must be true of a row when the batch is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Check {
    /// There is no such row.
    Absent,
    /// The row exists and was last written by this commit.
    Revision(Revision),
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the batch fail if the row exists.
    pub fn check_absent(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.checks.push((key.into(), Check::Absent));
        self
    }

    /// Lets the batch fail unless the row exists and was last written by `revision`.
    pub fn check_revision(&mut self, key: impl Into<Bytes>, revision: Revision) -> &mut Self {
        self.checks.push((key.into(), Check::Revision(revision)));
        self
    }

    /// Writes a row.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    /// Deletes a row. Nothing happens if there is none.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.writes.insert(key.into(), None);
        self
    }

    /// The checks in the order given.
    pub fn checks(&self) -> impl ExactSizeIterator<Item = (&Bytes, Check)> {
        self.checks.iter().map(|(key, check)| (key, *check))
    }

    /// The writes in the order of their keys: a value to put, or none to delete.
    pub fn writes(&self) -> impl ExactSizeIterator<Item = (&Bytes, Option<&Bytes>)> {
        self.writes.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// Checks, puts and deletes, counted together.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.checks.len().saturating_add(self.writes.len())
    }

    /// Whether the batch asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.writes.is_empty()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let checks = self.checks.iter().map(|(key, _)| key.len());
        let writes =
            self.writes.iter().map(|(key, value)| key.len().saturating_add(value.as_ref().map_or(0, Bytes::len)));
        checks.chain(writes).fold(0, usize::saturating_add)
    }

    /// Whether the batch is within the limits.
    ///
    /// # Errors
    /// `TooLarge` if it is not.
    pub fn within_limits(&self) -> Result<(), CommitError> {
        let mut keys = self.checks.iter().map(|(key, _)| key).chain(self.writes.keys());
        let fits = keys.all(|key| (1..=limit::KEY_BYTES_MAX).contains(&key.len()))
            && self.operations() <= limit::BATCH_OPERATIONS_MAX
            && self.size_bytes() <= limit::BATCH_BYTES_MAX;
        if fits { Ok(()) } else { Err(CommitError::TooLarge) }
    }

    /// The same checks with only the first `count` writes: what a store that tears would have applied.
    pub(crate) fn torn(&self, count: usize) -> Self {
        Self {
            checks: self.checks.clone(),
            writes: self.writes.iter().take(count).map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_key_counts() {
        let mut batch = Batch::new();
        batch.put("a", "1").delete("a").put("b", "2").put("b", "3");
        let writes: Vec<_> = batch.writes().map(|(key, value)| (key.clone(), value.cloned())).collect();
        assert_eq!(writes, [("a".into(), None), ("b".into(), Some("3".into()))]);
        assert_eq!(batch.operations(), 2);
        assert_eq!(batch.size_bytes(), 3);
    }

    #[test]
    fn every_limit_holds_at_its_edge() {
        let edge = |key: usize, value: usize| {
            let mut batch = Batch::new();
            batch.put(vec![1; key], vec![2; value]);
            batch.within_limits()
        };
        assert_eq!(edge(0, 1), Err(CommitError::TooLarge));
        assert_eq!(edge(1, 0), Ok(()));
        assert_eq!(edge(limit::KEY_BYTES_MAX, 1), Ok(()));
        assert_eq!(edge(limit::KEY_BYTES_MAX + 1, 1), Err(CommitError::TooLarge));
        assert_eq!(edge(1, limit::BATCH_BYTES_MAX - 1), Ok(()));
        assert_eq!(edge(1, limit::BATCH_BYTES_MAX), Err(CommitError::TooLarge));

        let mut batch = Batch::new();
        for number in 0..50_u8 {
            batch.check_absent(vec![number]).put(vec![number], "value");
        }
        assert_eq!(batch.within_limits(), Ok(()));
        batch.delete("one more");
        assert_eq!(batch.within_limits(), Err(CommitError::TooLarge));
    }
}
