//! What IAM stores. Rows of one entity share its name or unique id, so that they are guarded together.

mod device;
#[cfg(test)]
pub(crate) mod golden;
mod identity;
mod policy;
mod provider;

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_secret::SecretBytes;

use crate::arn::{Kind, folded};
pub(crate) use device::{Assigned, Device, device_key};
pub(crate) use identity::{Detail, Identity, InlineSize, RoleDetail, UserDetail, identity_key, inline_key, member_key};
pub(crate) use policy::{Policy, PolicyText, Version, policy_key, use_key, version_key};
pub(crate) use provider::{Provider, provider_key};

/// Binds a wrapped secret access key to what it is.
const SECRET_PURPOSE: &str = "claviger secret access key v1";
const ACCOUNT: &str = "iam account";
const FENCE: &str = "iam fence";
const ACCESS_KEY: &str = "iam access key";
const LAST_USE: &str = "iam last use";
const TALLY: &str = "iam account tally";
const NAME: &str = "iam name";

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

/// An access key: of an account's root, or of a user.
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) account: String,
    /// The user's unique id; none for the root.
    pub(crate) user: Option<String>,
    pub(crate) active: bool,
    pub(crate) created: Timestamp,
    pub(crate) secret: SecretBytes,
}

impl Record for AccessKey {
    fn encode(&self, keys: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { id, account, user, active, created, secret } = self;
        let mut writer = Writer::record(ACCESS_KEY, 2);
        writer.text(id);
        writer.text(account);
        writer.i64(created.millis());
        writer.bytes(&keys.seal(SECRET_PURPOSE, id.as_bytes(), secret.expose())?);
        writer.option(user.as_ref(), |writer, user| writer.text(user));
        writer.bool(*active);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], keys: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, version) = Reader::record(bytes, ACCESS_KEY, 2)?;
        let (id, account) = (reader.text()?.to_owned(), reader.text()?.to_owned());
        let created = Timestamp::from_millis(reader.i64()?);
        let secret = keys.open(SECRET_PURPOSE, id.as_bytes(), reader.bytes()?).map_err(|_| BadRecord)?;
        // Version 1 knew the keys of roots only, and no state.
        let (user, active) = if version == 1 { (None, true) } else { (reader.option(text)?, reader.bool()?) };
        reader.end()?;
        Ok(Self { id, account, user, active, created, secret })
    }
}

/// When something that signs was last used, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub(crate) at: Timestamp,
    pub(crate) service: String,
    pub(crate) region: String,
}

/// The row of an access key's (or, by its unique id, a role's) last use.
pub(crate) fn last_use_key(subject: &str) -> RowKey {
    RowKey::new("last-use", subject, "")
}

impl Record for LastUse {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { at, service, region } = self;
        let mut writer = Writer::record(LAST_USE, 1);
        writer.i64(at.millis());
        writer.text(service);
        writer.text(region);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, LAST_USE, 1)?;
        let at = Timestamp::from_millis(reader.i64()?);
        let (service, region) = (text(&mut reader)?, text(&mut reader)?);
        reader.end()?;
        Ok(Self { at, service, region })
    }
}

/// What an account has, counted, and its alias. Whatever makes or deletes an entity writes this row, so that two at
/// once meet and quotas hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) users: u32,
    pub(crate) groups: u32,
    pub(crate) roles: u32,
    pub(crate) policies: u32,
    pub(crate) versions: u32,
    pub(crate) providers: u32,
    pub(crate) devices: u32,
    pub(crate) devices_in_use: u32,
    pub(crate) alias: Option<String>,
}

impl Tally {
    /// How many of a kind there are.
    pub(crate) const fn of(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
            Kind::Role => &mut self.roles,
        }
    }
}

/// The row of an account's [`Tally`].
pub(crate) fn tally_key(account: &str) -> RowKey {
    RowKey::new("account-tally", account, "")
}

impl Record for Tally {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { users, groups, roles, policies, versions, providers, devices, devices_in_use, alias } = self;
        let mut writer = Writer::record(TALLY, 1);
        for count in [users, groups, roles, policies, versions, providers, devices, devices_in_use] {
            writer.u32(*count);
        }
        writer.option(alias.as_ref(), |writer, alias| writer.text(alias));
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, TALLY, 1)?;
        let read = Self {
            users: reader.u32()?,
            groups: reader.u32()?,
            roles: reader.u32()?,
            policies: reader.u32()?,
            versions: reader.u32()?,
            providers: reader.u32()?,
            devices: reader.u32()?,
            devices_in_use: reader.u32()?,
            alias: reader.option(text)?,
        };
        reader.end()?;
        Ok(read)
    }
}

/// The row that keeps an account alias for one account.
pub(crate) fn alias_key(alias: &str) -> RowKey {
    RowKey::new("account-alias", alias, "")
}

/// What a name stands for: an index by account and kind, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameOf {
    /// The unique id.
    pub(crate) id: String,
    /// Here too, so that a list by path reads no more than its page.
    pub(crate) path: String,
}

/// The index row of a name; `""` gives the common start of a kind's.
pub(crate) fn name_key(account: &str, word: &str, name: &str) -> RowKey {
    RowKey::new("name", &format!("{account}.{word}"), &folded(name))
}

impl Record for NameOf {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { id, path } = self;
        let mut writer = Writer::record(NAME, 1);
        writer.text(id);
        writer.text(path);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, NAME, 1)?;
        let (id, path) = (text(&mut reader)?, text(&mut reader)?);
        reader.end()?;
        Ok(Self { id, path })
    }
}

/// Keys and values, in the order of the keys.
pub(crate) type Tags = Vec<(String, String)>;

pub(crate) fn text(reader: &mut Reader<'_>) -> Result<String, BadRecord> {
    reader.text().map(str::to_owned)
}

pub(crate) fn pair(reader: &mut Reader<'_>) -> Result<(String, String), BadRecord> {
    Ok((text(reader)?, text(reader)?))
}

pub(crate) fn write_pairs(writer: &mut Writer, pairs: &[(String, String)]) {
    writer.list(pairs.iter(), |writer, (left, right)| {
        writer.text(left);
        writer.text(right);
    });
}

pub(crate) fn write_texts(writer: &mut Writer, texts: &[String]) {
    writer.list(texts.iter(), |writer, text| writer.text(text));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::golden::{file, keep, keys};
    use super::*;

    fn access_key() -> AccessKey {
        AccessKey {
            id: "AKIAABCDEFGHIJKLMNOP".to_owned(),
            account: "111122223333".to_owned(),
            user: Some("AIDAABCDEFGHIJKLMNOPQ".to_owned()),
            active: false,
            created: at(),
            secret: SecretBytes::from_slice(b"the secret access key of 40 characters.."),
        }
    }

    fn at() -> Timestamp {
        Timestamp::from_millis(1_790_000_000_123)
    }

    fn tags() -> Tags {
        vec![("Team".to_owned(), "blue".to_owned()), ("b".to_owned(), String::new())]
    }

    fn identity(detail: Detail) -> Identity {
        Identity {
            id: "AIDAABCDEFGHIJKLMNOPQ".to_owned(),
            account: "111122223333".to_owned(),
            name: "Alice".to_owned(),
            path: "/people/".to_owned(),
            created: at(),
            boundary: Some("ANPABOUNDARYBOUNDARYB".to_owned()),
            tags: tags(),
            inline: vec![InlineSize { name: "mine".to_owned(), size: 77 }],
            attached: vec!["ANPAABCDEFGHIJKLMNOPQ".to_owned()],
            detail,
        }
    }

    fn user() -> Identity {
        identity(Detail::User(UserDetail {
            groups: vec!["AGPAABCDEFGHIJKLMNOPQ".to_owned()],
            access_keys: vec!["AKIAABCDEFGHIJKLMNOP".to_owned()],
            devices: vec!["phone".to_owned()],
        }))
    }

    fn role() -> Identity {
        identity(Detail::Role(RoleDetail {
            trust: "{}".to_owned(),
            bound: vec![("arn:aws:iam::111122223333:user/a".to_owned(), "AIDAX".to_owned())],
            description: Some("does it".to_owned()),
            max_session_seconds: 7_200,
        }))
    }

    fn policy() -> Policy {
        Policy {
            id: "ANPAABCDEFGHIJKLMNOPQ".to_owned(),
            account: "111122223333".to_owned(),
            name: "Read".to_owned(),
            path: "/".to_owned(),
            description: None,
            created: at(),
            updated: Timestamp::from_millis(1_790_000_001_000),
            default: 2,
            next: 4,
            versions: vec![Version { number: 2, created: at() }, Version { number: 3, created: at() }],
            attachments: 5,
            boundaries: 6,
            tags: tags(),
        }
    }

    fn provider() -> Provider {
        Provider {
            account: "111122223333".to_owned(),
            url: "issuer.example/id".to_owned(),
            clients: vec!["sts.amazonaws.com".to_owned()],
            thumbprints: vec!["a".repeat(40)],
            created: at(),
            tags: tags(),
        }
    }

    fn device() -> Device {
        Device {
            account: "111122223333".to_owned(),
            name: "Phone".to_owned(),
            path: "/".to_owned(),
            seed: SecretBytes::from_slice(b"the seed of a device, 40 bytes of it...."),
            created: at(),
            tags: tags(),
            assigned: Some(Assigned { user: "AIDAX".to_owned(), enabled: at(), window: 59_666_666, ahead: -1 }),
        }
    }

    fn last_use() -> LastUse {
        LastUse { at: at(), service: "kms".to_owned(), region: "eu-central-1".to_owned() }
    }

    fn tally() -> Tally {
        Tally {
            users: 1,
            groups: 2,
            roles: 3,
            policies: 4,
            versions: 5,
            providers: 6,
            devices: 7,
            devices_in_use: 8,
            alias: Some("acme".to_owned()),
        }
    }

    fn name_of() -> NameOf {
        NameOf { id: "AIDAABCDEFGHIJKLMNOPQ".to_owned(), path: "/people/".to_owned() }
    }

    const POLICY_TEXT_GOLDEN: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#;

    /// The stored record reads as this one, is written the same way, and cut short it is none.
    #[track_caller]
    fn golden<R: Record + std::fmt::Debug + PartialEq>(record: &R, name: &str, keys: &DomainKeys) {
        let stored = file(name);
        assert_eq!(R::decode(&stored, keys).unwrap(), *record, "{name}");
        assert_eq!(record.encode(keys).unwrap(), stored, "{name}");
        for at in 0..stored.len() {
            assert!(R::decode(stored.get(..at).unwrap(), keys).is_err(), "{name} cut at {at}");
        }
    }

    #[tokio::test]
    async fn accounts_stay_readable() {
        let account = Account { created: at() };
        assert_eq!(account.encode(&*keys().await).unwrap(), file("account"));
        assert_eq!(Account::decode(&file("account"), &*keys().await).unwrap().created, account.created);
    }

    #[tokio::test]
    async fn fences_stay_readable() {
        assert_eq!(Fence.encode(&*keys().await).unwrap(), file("fence"));
        assert!(Fence::decode(&file("fence"), &*keys().await).is_ok());
    }

    #[tokio::test]
    async fn records_without_secrets_stay_readable() {
        let keys = keys().await;
        golden(&user(), "user", &keys);
        golden(&identity(Detail::Group(9)), "group", &keys);
        golden(&role(), "role", &keys);
        golden(&policy(), "policy", &keys);
        golden(&provider(), "provider", &keys);
        golden(&last_use(), "last-use", &keys);
        golden(&tally(), "tally", &keys);
        golden(&name_of(), "name", &keys);
    }

    #[tokio::test]
    async fn policies_stay_readable() {
        let keys = keys().await;
        let read = PolicyText::decode(&file("policy-text"), &keys).unwrap();
        assert_eq!((read.text.as_str(), read.document.text()), (POLICY_TEXT_GOLDEN, POLICY_TEXT_GOLDEN));
        assert_eq!(read.encode(&keys).unwrap(), file("policy-text"));
    }

    #[tokio::test]
    async fn access_keys_of_both_versions_stay_readable_and_hide_their_secret() {
        let keys = keys().await;
        for (name, user, active) in [("access-key", None, true), ("access-key-2", access_key().user, false)] {
            let (made, stored) = (access_key(), file(name));
            let read = AccessKey::decode(&stored, &keys).unwrap();
            assert_eq!((&read.id, &read.account, read.created), (&made.id, &made.account, made.created));
            assert_eq!((read.user, read.active), (user, active), "{name}");
            assert_eq!(read.secret.expose(), made.secret.expose());
            assert!(!stored.windows(10).any(|part| part == b"the secret"));
            for at in 0..stored.len() {
                assert!(AccessKey::decode(stored.get(..at).unwrap(), &keys).is_err(), "{name} cut at {at}");
            }
        }
    }

    #[tokio::test]
    async fn devices_stay_readable_and_hide_their_seed() {
        let (keys, made, stored) = (keys().await, device(), file("mfa-device"));
        let read = Device::decode(&stored, &keys).unwrap();
        assert_eq!((&read.account, &read.name, &read.path), (&made.account, &made.name, &made.path));
        assert_eq!((read.created, &read.tags, &read.assigned), (made.created, &made.tags, &made.assigned));
        assert_eq!(read.seed.expose(), made.seed.expose());
        assert!(!stored.windows(8).any(|part| part == b"the seed"));
        for at in 0..stored.len() {
            assert!(Device::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let keys = keys().await;
        keep("access-key-2", access_key().encode(&keys).unwrap());
        keep("user", user().encode(&keys).unwrap());
        keep("group", identity(Detail::Group(9)).encode(&keys).unwrap());
        keep("role", role().encode(&keys).unwrap());
        keep("policy", policy().encode(&keys).unwrap());
        keep("policy-text", PolicyText::new(POLICY_TEXT_GOLDEN.to_owned()).encode(&keys).unwrap());
        keep("provider", provider().encode(&keys).unwrap());
        keep("mfa-device", device().encode(&keys).unwrap());
        keep("last-use", last_use().encode(&keys).unwrap());
        keep("tally", tally().encode(&keys).unwrap());
        keep("name", name_of().encode(&keys).unwrap());
    }
}
