//! Users, groups and roles.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};

use super::{Tags, pair, text, write_pairs, write_texts};
use crate::arn::{Kind, arn};

const IDENTITY: &str = "iam identity";

/// The row of a user, group or role, by its unique id.
pub(crate) fn identity_key(id: &str) -> RowKey {
    RowKey::new("identity", id, "facts")
}

/// The row of an inline policy.
pub(crate) fn inline_key(id: &str, policy: &str) -> RowKey {
    RowKey::new("identity", id, &format!("inline/{policy}"))
}

/// The row that lists a user under a group; `""` gives the common start of all.
pub(crate) fn member_key(group: &str, user: &str) -> RowKey {
    RowKey::new("identity", group, &format!("member/{user}"))
}

/// A user, group or role, with all that hangs on it except the text of inline policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The unique id: a namesake made later has another.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) created: Timestamp,
    /// The unique id of the managed policy that is the permissions boundary.
    pub(crate) boundary: Option<String>,
    pub(crate) tags: Tags,
    pub(crate) inline: Vec<InlineSize>,
    /// Unique ids of managed policies.
    pub(crate) attached: Vec<String>,
    pub(crate) detail: Detail,
}

/// An inline policy's name and what it counts against the quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InlineSize {
    pub(crate) name: String,
    pub(crate) size: u32,
}

/// What only one kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    User(UserDetail),
    /// How many members the group has.
    Group(u32),
    Role(RoleDetail),
}

/// What only users have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserDetail {
    /// Unique ids.
    pub(crate) groups: Vec<String>,
    pub(crate) access_keys: Vec<String>,
    /// Folded names of MFA devices.
    pub(crate) devices: Vec<String>,
}

/// What only roles have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleDetail {
    pub(crate) trust: String,
    /// The principals in the trust policy with the unique ids that they had when it was saved.
    pub(crate) bound: Vec<(String, String)>,
    pub(crate) description: Option<String>,
    pub(crate) max_session_seconds: u32,
}

impl Identity {
    pub(crate) const fn kind(&self) -> Kind {
        match self.detail {
            Detail::User(_) => Kind::User,
            Detail::Group(_) => Kind::Group,
            Detail::Role(_) => Kind::Role,
        }
    }

    pub(crate) fn arn(&self) -> String {
        arn(&self.account, self.kind().word(), &self.path, &self.name)
    }
}

impl Record for Identity {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { id, account, name, path, created, boundary, tags, inline, attached, detail } = self;
        let mut writer = Writer::record(IDENTITY, 1);
        for part in [id, account, name, path] {
            writer.text(part);
        }
        writer.i64(created.millis());
        writer.option(boundary.as_ref(), |writer, policy| writer.text(policy));
        write_pairs(&mut writer, tags);
        writer.list(inline.iter(), |writer, policy| {
            writer.text(&policy.name);
            writer.u32(policy.size);
        });
        write_texts(&mut writer, attached);
        write_detail(&mut writer, detail);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, IDENTITY, 1)?;
        let read = Self {
            id: text(&mut reader)?,
            account: text(&mut reader)?,
            name: text(&mut reader)?,
            path: text(&mut reader)?,
            created: Timestamp::from_millis(reader.i64()?),
            boundary: reader.option(text)?,
            tags: reader.list(pair)?,
            inline: reader.list(|reader| Ok(InlineSize { name: text(reader)?, size: reader.u32()? }))?,
            attached: reader.list(text)?,
            detail: read_detail(&mut reader)?,
        };
        reader.end()?;
        Ok(read)
    }
}

fn write_detail(writer: &mut Writer, detail: &Detail) {
    match detail {
        Detail::User(UserDetail { groups, access_keys, devices }) => {
            writer.u8(0);
            for list in [groups, access_keys, devices] {
                write_texts(writer, list);
            }
        }
        Detail::Group(members) => {
            writer.u8(1);
            writer.u32(*members);
        }
        Detail::Role(RoleDetail { trust, bound, description, max_session_seconds }) => {
            writer.u8(2);
            writer.text(trust);
            write_pairs(writer, bound);
            writer.option(description.as_ref(), |writer, description| writer.text(description));
            writer.u32(*max_session_seconds);
        }
    }
}

fn read_detail(reader: &mut Reader<'_>) -> Result<Detail, BadRecord> {
    Ok(match reader.u8()? {
        0 => Detail::User(UserDetail {
            groups: reader.list(text)?,
            access_keys: reader.list(text)?,
            devices: reader.list(text)?,
        }),
        1 => Detail::Group(reader.u32()?),
        2 => Detail::Role(RoleDetail {
            trust: text(reader)?,
            bound: reader.list(pair)?,
            description: reader.option(text)?,
            max_session_seconds: reader.u32()?,
        }),
        _ => return Err(BadRecord),
    })
}
