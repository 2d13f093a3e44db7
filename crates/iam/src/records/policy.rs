//! Managed policies and the text of every policy.

use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_policy::Document;
use claviger_secret::event;

use super::{Tags, pair, text, write_pairs};
use crate::arn::arn;

const POLICY: &str = "iam policy";
const POLICY_TEXT: &str = "iam policy text";

/// The row of a managed policy, by its unique id.
pub(crate) fn policy_key(id: &str) -> RowKey {
    RowKey::new("policy", id, "facts")
}

/// The row of a version's text.
pub(crate) fn version_key(id: &str, number: u32) -> RowKey {
    RowKey::new("policy", id, &format!("version/{number}"))
}

/// The row that lists a use of the policy; `""` gives the common start of all.
pub(crate) fn use_key(id: &str, used: &str) -> RowKey {
    RowKey::new("policy", id, &format!("used/{used}"))
}

/// A managed policy without the text of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The unique id.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// The number of the version in force.
    pub(crate) default: u32,
    /// The next version's number: none is used twice.
    pub(crate) next: u32,
    pub(crate) versions: Vec<Version>,
    /// How many users, groups and roles it is attached to.
    pub(crate) attachments: u32,
    /// How many users and roles it bounds.
    pub(crate) boundaries: u32,
    pub(crate) tags: Tags,
}

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) created: Timestamp,
}

impl Policy {
    pub(crate) fn arn(&self) -> String {
        arn(&self.account, "policy", &self.path, &self.name)
    }
}

impl Record for Policy {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { id, account, name, path, description, created, updated, .. } = self;
        let Self { default, next, versions, attachments, boundaries, tags, .. } = self;
        let mut writer = Writer::record(POLICY, 1);
        for part in [id, account, name, path] {
            writer.text(part);
        }
        writer.option(description.as_ref(), |writer, description| writer.text(description));
        writer.i64(created.millis());
        writer.i64(updated.millis());
        writer.u32(*default);
        writer.u32(*next);
        writer.list(versions.iter(), |writer, version| {
            writer.u32(version.number);
            writer.i64(version.created.millis());
        });
        writer.u32(*attachments);
        writer.u32(*boundaries);
        write_pairs(&mut writer, tags);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, POLICY, 1)?;
        let read = Self {
            id: text(&mut reader)?,
            account: text(&mut reader)?,
            name: text(&mut reader)?,
            path: text(&mut reader)?,
            description: reader.option(text)?,
            created: Timestamp::from_millis(reader.i64()?),
            updated: Timestamp::from_millis(reader.i64()?),
            default: reader.u32()?,
            next: reader.u32()?,
            versions: reader
                .list(|reader| Ok(Version { number: reader.u32()?, created: Timestamp::from_millis(reader.i64()?) }))?,
            attachments: reader.u32()?,
            boundaries: reader.u32()?,
            tags: reader.list(pair)?,
        };
        reader.end()?;
        Ok(read)
    }
}

/// The text of a policy, and the same compiled.
pub(crate) struct PolicyText {
    pub(crate) text: String,
    /// A text that this version does not evaluate denies everything: it may have held a Deny.
    pub(crate) document: Arc<Document>,
}

impl PolicyText {
    pub(crate) fn new(text: String) -> Self {
        let document = crate::documents::compile(&text).unwrap_or_else(|_| {
            event!(error, "a stored identity policy is not understood by this version: it denies everything");
            Document::unreadable(&text)
        });
        Self { text, document: Arc::new(document) }
    }
}

impl Record for PolicyText {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(POLICY_TEXT, 1);
        writer.text(&self.text);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, POLICY_TEXT, 1)?;
        let text = text(&mut reader)?;
        reader.end()?;
        Ok(Self::new(text))
    }
}
