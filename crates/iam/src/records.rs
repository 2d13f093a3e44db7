//! What IAM stores: accounts and access keys.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_secret::SecretBytes;

/// Binds a wrapped secret access key to what it is.
const SECRET_PURPOSE: &str = "claviger secret access key v1";
const ACCOUNT: &str = "iam account";
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
