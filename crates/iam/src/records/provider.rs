//! OpenID Connect providers.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};

use super::{Tags, pair, text, write_pairs, write_texts};

const PROVIDER: &str = "iam oidc provider";

/// The row of a provider, by its URL without `https://`; `""` gives the common start of an account's.
pub(crate) fn provider_key(account: &str, url: &str) -> RowKey {
    RowKey::new("oidc-provider", account, url)
}

/// A provider whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) account: String,
    /// Without `https://`.
    pub(crate) url: String,
    pub(crate) clients: Vec<String>,
    pub(crate) thumbprints: Vec<String>,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
}

impl Provider {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::{}:oidc-provider/{}", self.account, self.url)
    }
}

impl Record for Provider {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { account, url, clients, thumbprints, created, tags } = self;
        let mut writer = Writer::record(PROVIDER, 1);
        writer.text(account);
        writer.text(url);
        write_texts(&mut writer, clients);
        write_texts(&mut writer, thumbprints);
        writer.i64(created.millis());
        write_pairs(&mut writer, tags);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, PROVIDER, 1)?;
        let read = Self {
            account: text(&mut reader)?,
            url: text(&mut reader)?,
            clients: reader.list(text)?,
            thumbprints: reader.list(text)?,
            created: Timestamp::from_millis(reader.i64()?),
            tags: reader.list(pair)?,
        };
        reader.end()?;
        Ok(read)
    }
}
