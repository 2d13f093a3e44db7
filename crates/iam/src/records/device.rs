//! Virtual MFA devices.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_secret::SecretBytes;

use super::{Tags, pair, text, write_pairs};
use crate::arn::{arn, folded};

const DEVICE: &str = "iam mfa device";
/// Binds a wrapped seed to what it is.
const SEED_PURPOSE: &str = "claviger mfa seed v1";

/// The row of a device, by its name without regard to case; `""` gives the common start of an account's.
pub(crate) fn device_key(account: &str, name: &str) -> RowKey {
    RowKey::new("mfa-device", account, &folded(name))
}

/// A virtual MFA device.
pub(crate) struct Device {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) seed: SecretBytes,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) assigned: Option<Assigned>,
}

/// Whose device it is, and how far its codes have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// The user's unique id.
    pub(crate) user: String,
    pub(crate) enabled: Timestamp,
    /// The newest window of time whose code was used: it and older ones are used up.
    pub(crate) window: i64,
    /// How many windows the device's clock is ahead of ours.
    pub(crate) ahead: i64,
}

impl Device {
    /// The ARN, which is the serial number.
    pub(crate) fn serial(&self) -> String {
        arn(&self.account, "mfa", &self.path, &self.name)
    }

    /// The same device with other facts; the seed is copied.
    pub(crate) fn with(&self, tags: Tags, assigned: Option<Assigned>) -> Self {
        Self {
            account: self.account.clone(),
            name: self.name.clone(),
            path: self.path.clone(),
            seed: SecretBytes::from_slice(self.seed.expose()),
            created: self.created,
            tags,
            assigned,
        }
    }

    fn bound_to(account: &str, name: &str) -> Vec<u8> {
        format!("{account}/{name}").into_bytes()
    }
}

impl Record for Device {
    fn encode(&self, keys: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { account, name, path, seed, created, tags, assigned } = self;
        let mut writer = Writer::record(DEVICE, 1);
        for part in [account, name, path] {
            writer.text(part);
        }
        writer.bytes(&keys.seal(SEED_PURPOSE, &Self::bound_to(account, name), seed.expose())?);
        writer.i64(created.millis());
        write_pairs(&mut writer, tags);
        writer.option(assigned.as_ref(), |writer, Assigned { user, enabled, window, ahead }| {
            writer.text(user);
            for number in [enabled.millis(), *window, *ahead] {
                writer.i64(number);
            }
        });
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], keys: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, DEVICE, 1)?;
        let (account, name, path) = (text(&mut reader)?, text(&mut reader)?, text(&mut reader)?);
        let sealed = reader.bytes()?;
        let seed = keys.open(SEED_PURPOSE, &Self::bound_to(&account, &name), sealed).map_err(|_| BadRecord)?;
        let created = Timestamp::from_millis(reader.i64()?);
        let tags = reader.list(pair)?;
        let assigned = reader.option(|reader| {
            Ok(Assigned {
                user: text(reader)?,
                enabled: Timestamp::from_millis(reader.i64()?),
                window: reader.i64()?,
                ahead: reader.i64()?,
            })
        })?;
        reader.end()?;
        Ok(Self { account, name, path, seed, created, tags, assigned })
    }
}
