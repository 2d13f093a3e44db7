//! Making grants and taking them away: all rows of one in one commit.

use claviger_engine::{Call, Fault, RowKey, Writes};

use super::GRANTS_MAX;
use super::record::{Count, Grant, Name};
use super::rows::{count_key, grant_key, index_keys, name_key};
use crate::KmsError;
use crate::find::NamedKey;
use crate::records::{Listed, facts_key};

/// Operations that a commit has room for, with what else a job reads and the engine adds.
const SWEEP_OPERATIONS: usize = 60;
/// Grants looked at by one commit of a sweep.
const SWEEP: usize = 8;

/// The id of the grant that the same name and parameters stand for already.
pub(crate) async fn known(call: &mut Call<'_>, key: &NamedKey, grant: &Grant) -> Result<Option<String>, Fault> {
    let Some(row) = name_key(&key.key().region, &key.key().id, grant) else { return Ok(None) };
    Ok(call.row::<Name>(&row).await?.map(|row| row.record.grant.clone()))
}

/// The rows of a new grant.
///
/// # Errors
/// [`KmsError::LimitExceeded`] when the key has as many as it may.
pub(crate) async fn place(call: &mut Call<'_>, named: &NamedKey, grant: Grant) -> Result<Writes, KmsError> {
    let key = named.key();
    let (region, id) = (key.region.as_str(), key.id.as_str());
    let mut writes = Writes::default();
    let count_row = count_key(region, id);
    let count = call.row::<Count>(&count_row).await?.map_or(0, |row| row.record.0);
    if count >= GRANTS_MAX {
        return Err(KmsError::LimitExceeded(format!("The key {} already has {GRANTS_MAX} grants", named.arn)));
    }
    writes.put(call, count_row, Count(count.saturating_add(1)))?;
    if !key.has_grants {
        let mut changed = named.to_changed();
        changed.has_grants = true;
        writes.put(call, facts_key(region, id), changed)?;
    }
    if let Some(row) = name_key(region, id, &grant) {
        call.row::<Name>(&row).await?;
        writes.put(call, row, Name { grant: grant.id.clone() })?;
    }
    for row in index_keys(region, id, &grant) {
        call.row::<Listed>(&row).await?;
        writes.put(call, row, Listed)?;
    }
    let row = grant_key(region, id, &grant.id);
    call.row::<Grant>(&row).await?;
    writes.put(call, row, grant)?;
    Ok(writes)
}

/// The rows of a grant go, and the key has one less.
pub(crate) async fn remove(call: &mut Call<'_>, named: &NamedKey, grant: &Grant) -> Result<Writes, Fault> {
    let key = named.key();
    let mut writes = Writes::default();
    delete_rows(call, &mut writes, &key.region, &key.id, grant).await?;
    let row = count_key(&key.region, &key.id);
    if let Some(count) = call.row::<Count>(&row).await? {
        writes.put(call, row, Count(count.record.0.saturating_sub(1)))?;
    }
    Ok(writes)
}

/// Takes away grants of a key that is gone, as many as one commit holds; whether some are left.
pub(crate) async fn sweep(call: &mut Call<'_>, writes: &mut Writes, region: &str, key: &str) -> Result<bool, Fault> {
    let before = call.reads();
    let found = call.rows::<Grant>(&grant_key(region, key, ""), None, SWEEP).await?;
    // Those that are deleted are read again one by one, and so checked.
    call.forget_reads_since(before);
    let mut operations = 0_usize;
    for (_, grant) in &found {
        operations += 2 * (index_keys(region, key, &grant.record).len() + 2);
        if operations > SWEEP_OPERATIONS {
            return Ok(true);
        }
        delete_rows(call, writes, region, key, &grant.record).await?;
    }
    if found.len() == SWEEP {
        return Ok(true);
    }
    let row = count_key(region, key);
    let there = call.row::<Count>(&row).await?.is_some();
    delete(writes, row, there);
    Ok(false)
}

async fn delete_rows(
    call: &mut Call<'_>,
    writes: &mut Writes,
    region: &str,
    key: &str,
    grant: &Grant,
) -> Result<(), Fault> {
    for row in index_keys(region, key, grant) {
        let there = call.row::<Listed>(&row).await?.is_some();
        delete(writes, row, there);
    }
    if let Some(row) = name_key(region, key, grant) {
        let there = call.row::<Name>(&row).await?.is_some();
        delete(writes, row, there);
    }
    let row = grant_key(region, key, &grant.id);
    let there = call.row::<Grant>(&row).await?.is_some();
    delete(writes, row, there);
    Ok(())
}

fn delete(writes: &mut Writes, row: RowKey, there: bool) {
    if there {
        writes.delete(row);
    }
}
