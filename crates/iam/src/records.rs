//! What IAM stores: accounts and access keys.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_secret::SecretBytes;

/// Binds a wrapped secret access key to what it is.
const SECRET_PURPOSE: &str = "claviger secret access key v1";
const ACCOUNT: &str = "iam account";
const FENCE: &str = "iam fence";
const ACCESS_KEY: &str = "iam access key";

/// The row of an account; `""` gives the common start of all.
pub(crate) fn account_key(account: &str) -> RowKey {
    RowKey::new("account", "all", account)
}

/// The row of an access key.
pub(crate) fn access_key_key(id: &str) -> RowKey {
    RowKey::new("access-key", id, "")
}

/// The row that lists an access key under its account; `""` gives the common start of all.
pub(crate) fn own_access_key(account: &str, id: &str) -> RowKey {
    RowKey::new("access-keys", account, id)
}

/// The row that every new access key of an account writes, so that two made at once meet and the quota holds.
pub(crate) fn access_key_quota(account: &str) -> RowKey {
    RowKey::new("access-key-quota", account, "")
}

/// A row that says no more than that it was written.
pub(crate) struct Fence;

impl Record for Fence {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        Ok(Writer::record(FENCE, 1).finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        Reader::record(bytes, FENCE, 1)?.0.end().map(|()| Self)
    }
}

/// An account of the deployment.
pub(crate) struct Account {
    pub(crate) created: Timestamp,
}

impl Record for Account {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(ACCOUNT, 1);
        writer.i64(self.created.millis());
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, ACCOUNT, 1)?;
        let created = Timestamp::from_millis(reader.i64()?);
        reader.end()?;
        Ok(Self { created })
    }
}

/// An access key of an account's root.
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) created: Timestamp,
    pub(crate) secret: SecretBytes,
}

impl Record for AccessKey {
    fn encode(&self, keys: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { id, account, created, secret } = self;
        let mut writer = Writer::record(ACCESS_KEY, 1);
        writer.text(id);
        writer.text(account);
        writer.i64(created.millis());
        writer.bytes(&keys.seal(SECRET_PURPOSE, id.as_bytes(), secret.expose())?);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], keys: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, ACCESS_KEY, 1)?;
        let (id, account) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        let created = Timestamp::from_millis(reader.i64()?);
        let secret = keys.open(SECRET_PURPOSE, id.as_bytes(), reader.bytes()?).map_err(|_| BadRecord)?;
        reader.end()?;
        Ok(Self { id, account, created, secret })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_crypto::UnsealSecret;
    use claviger_engine::Deployment;
    use claviger_store::Store as _;

    use super::*;

    fn path(name: &str) -> String {
        format!("{}/testdata/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"))
    }

    fn file(name: &str) -> Vec<u8> {
        hex::decode(std::fs::read_to_string(path(name)).unwrap().trim()).unwrap()
    }

    /// The domain keys of the golden deployment.
    async fn keys() -> std::sync::Arc<DomainKeys> {
        let store = claviger_store::Memory::new();
        let mut batch = claviger_store::Batch::new();
        batch.put("deployment/keys", file("../../../engine/testdata/golden/deployment"));
        store.commit(batch).await.unwrap();
        let secret = SecretBytes::from_slice(b"golden unseal secret, 32 bytes..");
        Deployment::unseal(&store, &UnsealSecret::file(secret).unwrap()).await.unwrap().keys
    }

    fn access_key() -> AccessKey {
        AccessKey {
            id: "AKIAABCDEFGHIJKLMNOP".to_owned(),
            account: "111122223333".to_owned(),
            created: Timestamp::from_millis(1_790_000_000_123),
            secret: SecretBytes::from_slice(b"the secret access key of 40 characters.."),
        }
    }

    #[tokio::test]
    async fn accounts_stay_readable() {
        let account = Account { created: Timestamp::from_millis(1_790_000_000_123) };
        assert_eq!(account.encode(&*keys().await).unwrap(), file("account"));
        assert_eq!(Account::decode(&file("account"), &*keys().await).unwrap().created, account.created);
    }

    #[tokio::test]
    async fn fences_stay_readable() {
        assert_eq!(Fence.encode(&*keys().await).unwrap(), file("fence"));
        assert!(Fence::decode(&file("fence"), &*keys().await).is_ok());
    }

    #[tokio::test]
    async fn access_keys_stay_readable_and_hide_their_secret() {
        let (keys, stored) = (keys().await, file("access-key"));
        let read = AccessKey::decode(&stored, &keys).unwrap();
        let made = access_key();
        assert_eq!((&read.id, &read.account, read.created), (&made.id, &made.account, made.created));
        assert_eq!(read.secret.expose(), made.secret.expose());
        assert!(!stored.windows(10).any(|part| part == b"the secret"));
        for at in 0..stored.len() {
            assert!(AccessKey::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        if !std::path::Path::new(&path("access-key")).exists() {
            let bytes = access_key().encode(&*keys().await).unwrap();
            std::fs::write(path("access-key"), hex::encode(bytes) + "\n").unwrap();
        }
    }
}
