//! Records that travel in the commit they describe, until the log has them on disk.

use claviger_audit::Prepared;
use claviger_crypto::DomainKeys;
use claviger_secret::event;
use claviger_store::Range;

use crate::codec::{BadRecord, Reader, Writer};
use crate::committer::Committed;
use crate::engine::{COMMIT_RETRIES_MAX, Engine};
use crate::operation::Writes;
use crate::record::{Record, RowKey, decode};
use crate::{Call, CallMeta, Caller, Fault};

const KIND: &str = "outbox";
/// Outbox rows read or deleted at a time.
const PAGE: usize = 30;

/// An audit record, in the same commit as what it records.
pub(crate) struct OutboxRow(pub(crate) Prepared);

impl Record for OutboxRow {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(KIND, 1);
        writer.bytes(self.0.as_bytes());
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, KIND, 1)?;
        let prepared = Prepared::from_bytes(reader.bytes()?).map_err(|_| BadRecord)?;
        reader.end()?;
        Ok(Self(prepared))
    }
}

pub(crate) fn outbox_key(node: &str, number: u64) -> RowKey {
    RowKey::new(KIND, node, &format!("{number:020}"))
}

fn tampered(fault: &Fault) -> bool {
    matches!(fault, Fault::RowAltered(_) | Fault::RowGroup(_) | Fault::RecordMalformed(_))
}

fn unreplayed(fault: &Fault) {
    event!(error, "records of committed calls could not be brought into the log", fault = *fault);
}

impl Engine {
    /// Brings into the log what was committed before a crash and not logged.
    ///
    /// A row that was tampered with is named and left: what it recorded cannot be known, but the others are sound.
    pub(crate) async fn replay_outbox(&self) -> Result<(), Fault> {
        let prefix = RowKey::new(KIND, self.node(), "");
        let mut after: Option<RowKey> = None;
        loop {
            let view = self.store().snapshot().await?;
            let range = Range::prefix(prefix.as_bytes());
            let rows = view.scan(range, after.as_ref().map(RowKey::as_bytes), PAGE).await?;
            // A view is not kept while others are opened.
            drop(view);
            let mut logged = Vec::new();
            for (key, row) in &rows {
                let key = RowKey::from_store(key.clone());
                match self.replay_row(&key, &row.value) {
                    Ok(()) => logged.push(key),
                    Err(fault) if tampered(&fault) => unreplayed(&fault),
                    Err(fault) => return Err(fault),
                }
            }
            // The records must be on disk in the log before their rows leave the store.
            self.audit().sync().map_err(|_| Fault::Audit)?;
            match self.remove_logged(logged).await {
                Err(fault) if tampered(&fault) => unreplayed(&fault),
                removed => removed?,
            }
            match rows.last() {
                Some((key, _)) if rows.len() == PAGE => after = Some(RowKey::from_store(key.clone())),
                _ => return Ok(()),
            }
        }
    }

    fn replay_row(&self, key: &RowKey, value: &[u8]) -> Result<(), Fault> {
        let number = key.rest().parse().map_err(|_| Fault::RecordMalformed(key.printable()))?;
        let (_, row) = decode::<OutboxRow>(self.keys(), key, value)?;
        self.outbox_above(number);
        self.audit().replay(number, &row.0).map(drop).map_err(|_| Fault::Audit)
    }

    /// Puts the log on disk and removes the outbox rows that it now holds. Called by a timer.
    ///
    /// # Errors
    /// [`Fault::Audit`] when the log could not be written; what is in the outbox stays there.
    pub async fn sync_audit(&self) -> Result<(), Fault> {
        let audit = self.audit().clone();
        // The disk may be slow; calls must not wait for it.
        let synced = tokio::task::spawn_blocking(move || audit.sync()).await.map_err(|_| Fault::Audit)?;
        let synced = synced.map_err(|_| Fault::Audit)?;
        self.audit_synced(synced.head.sequence);
        let mut logged = std::mem::take(&mut *self.logged());
        logged.extend(synced.commits);
        while !logged.is_empty() {
            let page: Vec<u64> = logged.iter().copied().take(PAGE).collect();
            let keys = page.iter().map(|number| outbox_key(self.node(), *number)).collect();
            let removed = self.remove_logged(keys).await;
            match removed {
                Ok(()) => {}
                // Tampered rows cannot be removed, and trying again would not help. Their records are in the log.
                Err(fault) if tampered(&fault) => event!(error, "outbox rows could not be removed", fault = fault),
                Err(fault) => {
                    // The log names each commit only once: what is not removed now is removed by a later call.
                    self.logged().extend(logged);
                    return Err(fault);
                }
            }
            logged.drain(..page.len());
        }
        Ok(())
    }

    /// Removes rows whose records are on disk in the log.
    async fn remove_logged(&self, keys: Vec<RowKey>) -> Result<(), Fault> {
        let (caller, meta) = (Caller::system(""), CallMeta::system());
        for _ in 0..COMMIT_RETRIES_MAX {
            let mut call = Call::new(self, &caller, &meta);
            let mut writes = Writes::default();
            for key in &keys {
                if call.row::<OutboxRow>(key).await?.is_some() {
                    writes.delete(key.clone());
                }
            }
            if writes.is_empty() {
                return Ok(());
            }
            let seen = call.into_seen();
            match self.commit(seen, writes, &[]).await? {
                Committed::Done => return Ok(()),
                Committed::Conflict => {}
            }
        }
        Err(Fault::Contention)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::golden;

    #[test]
    fn golden_bytes() {
        let row = OutboxRow(Prepared::from_bytes(br#"{"eventName":"CreateKey"}"#).unwrap());
        assert_eq!(row.encode(&golden::keys()).unwrap(), golden::file("outbox"));
        let read = OutboxRow::decode(&golden::file("outbox"), &golden::keys()).unwrap();
        assert_eq!(read.0.as_bytes(), row.0.as_bytes());
    }
}
