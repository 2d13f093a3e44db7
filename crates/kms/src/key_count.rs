//! How many keys an account has in a Region, counted so that keys made at once do not wait for each other.
//!
//! The number is the sum of 16 rows, each with a sixteenth of the quota. A key counts in the row of its id's first digit,
//! or in the next that has room. Whoever makes or destroys a key changes one of the rows in the same commit; the first
//! to touch a row counts the keys of its digit that are older than this count. So the sum is exact, and so is the quota,
//! unless it is set below what is there: then each row must first fall below its own share.

use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Call, Fault, Reader, Record, RowKey, Writer, Writes};

use crate::KmsError;
use crate::records::{Listed, listed_key, of_key};

/// Keys of an account in a Region, unless it is configured otherwise (reference/lifecycle.md section 11).
pub(crate) const KEYS_MAX: u64 = 100_000;

const PARTS: u64 = 16;
/// Rows read at once when keys are counted that are older than the count.
const PAGE: usize = 1_000;
const KEY_COUNT: &str = "kms key count";

/// One part of the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyCount(u64);

impl Record for KeyCount {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(KEY_COUNT, 1);
        writer.u64(self.0);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, KEY_COUNT, 1)?;
        let count = reader.u64()?;
        reader.end()?;
        Ok(Self(count))
    }
}

fn count_key(region: &str, account: &str, part: u64) -> RowKey {
    RowKey::new("key-count", &of_key(region, account), &format!("{part:x}"))
}

/// The part in which a key counts while there is room.
fn part_of(id: &str) -> u64 {
    let digit = id.strip_prefix("mrk-").unwrap_or(id).chars().next().and_then(|digit| digit.to_digit(16));
    digit.map_or(0, u64::from)
}

/// A changed part of the number, to be written with the key that it counts.
pub(crate) struct Counted {
    row: RowKey,
    count: KeyCount,
}

impl Counted {
    /// Adds the number to what the call writes.
    ///
    /// # Errors
    /// A [`Fault`] when the record cannot be encoded.
    pub(crate) fn put(self, call: &Call<'_>, writes: &mut Writes) -> Result<(), Fault> {
        writes.put(call, self.row, self.count)
    }
}

/// The number with this key more.
///
/// # Errors
/// [`KmsError::LimitExceeded`] when the account has as many keys in the Region as it may.
pub(crate) async fn one_more(
    call: &mut Call<'_>,
    region: &str,
    account: &str,
    id: &str,
    most: u64,
) -> Result<Counted, KmsError> {
    for step in 0..PARTS {
        let part = (part_of(id) + step) % PARTS;
        let share = most / PARTS + u64::from(part < most % PARTS);
        let before = call.reads();
        let count = counted(call, region, account, part).await?;
        if count < share {
            return Ok(Counted { row: count_key(region, account, part), count: KeyCount(count.saturating_add(1)) });
        }
        call.forget_reads_since(before);
    }
    let text = format!("You have reached the limit of {most} KMS keys for account {account} in Region {region}.");
    Err(KmsError::LimitExceeded(text))
}

/// The number without this key, which is still listed.
///
/// # Errors
/// A [`Fault`] when the store does not answer.
pub(crate) async fn one_less(
    call: &mut Call<'_>,
    region: &str,
    account: &str,
    id: &str,
) -> Result<Option<Counted>, Fault> {
    for step in 0..PARTS {
        let part = (part_of(id) + step) % PARTS;
        let before = call.reads();
        let count = counted(call, region, account, part).await?;
        if count > 0 {
            return Ok(Some(Counted { row: count_key(region, account, part), count: KeyCount(count - 1) }));
        }
        call.forget_reads_since(before);
    }
    Ok(None)
}

async fn counted(call: &mut Call<'_>, region: &str, account: &str, part: u64) -> Result<u64, Fault> {
    if let Some(row) = call.row::<KeyCount>(&count_key(region, account, part)).await? {
        return Ok(row.record.0);
    }
    // The absent row is what the commit checks: nobody adds to these keys or takes from them without writing it.
    let before = call.reads();
    let mut keys = 0_u64;
    for start in [format!("{part:x}"), format!("mrk-{part:x}")] {
        let mut after = None;
        loop {
            let page = call.rows::<Listed>(&listed_key(region, account, &start), after.as_ref(), PAGE).await?;
            keys = keys.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
            call.forget_reads_since(before);
            match page.into_iter().nth(PAGE - 1) {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::records::tests::{file, keys, path};

    #[tokio::test]
    async fn golden_bytes() {
        let (keys, stored) = (keys().await, file("key-count"));
        assert_eq!(KeyCount::decode(&stored, &keys).unwrap(), KeyCount(6_250));
        assert_eq!(KeyCount(6_250).encode(&keys).unwrap(), stored);
        for at in 0..stored.len() {
            assert!(KeyCount::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let bytes = KeyCount(6_250).encode(&*keys().await).unwrap();
        if !std::path::Path::new(&path("key-count")).exists() {
            std::fs::write(path("key-count"), hex::encode(bytes) + "\n").unwrap();
        }
    }

    #[test]
    fn every_id_has_a_part() {
        assert_eq!(part_of("1234abcd-12ab-34cd-56ef-1234567890ab"), 1);
        assert_eq!(part_of("f234abcd-12ab-34cd-56ef-1234567890ab"), 15);
        assert_eq!(part_of("mrk-c234abcd12ab34cd56ef1234567890ab"), 12);
    }
}
