//! What KMS stores: a key's facts, its material, its aliases. Docs: docs/FORMATS.md, "KMS records".

use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_api::kms::{KeySpec, KeyUsageType};
use claviger_crypto::{DomainKeys, KeyId, KeyMaterial, MaterialId};
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_policy::{Document, PrincipalName, UniqueId};

use crate::conditions::KEY_POLICY_LIMITS;

/// The state that a key was put into. Enabled is only this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// It may be used.
    Enabled,
    /// It may not be used until it is enabled.
    Disabled,
    /// It will be destroyed at this time.
    PendingDeletion {
        /// When its material goes.
        at: Timestamp,
    },
}

/// The facts of a KMS key that describe and restrict it. One row, and the cache's unit.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The UUID.
    pub(crate) id: String,
    /// The account that owns it.
    pub(crate) account: String,
    /// Its Region.
    pub(crate) region: String,
    /// What kind of key it is; never changes.
    pub(crate) spec: KeySpec,
    /// What it was made for; never changes.
    pub(crate) usage: KeyUsageType,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// What its owner says of it.
    pub(crate) description: String,
    /// Its state.
    pub(crate) state: KeyState,
    /// Its policy, compiled.
    pub(crate) policy: Arc<Document>,
    /// Its tags, by key.
    pub(crate) tags: Vec<(String, String)>,
    /// INVARIANT (current material): never empty; the last element is what Encrypt uses, and each has its row.
    pub(crate) materials: Vec<MaterialId>,
    /// The names of its aliases in order, the same as its rows [`alias_of_key`]; `None` in a record that is older than
    /// this list. Read it through [`crate::find::NamedKey::aliases`].
    pub(crate) aliases: Option<Vec<String>>,
    /// Whether a grant was ever made on it: without one, nobody looks for any. Never unset.
    pub(crate) has_grants: bool,
}

impl Key {
    /// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    #[must_use]
    pub(crate) fn arn(&self) -> String {
        key_arn(&self.region, &self.account, &self.id)
    }

    /// The material that Encrypt uses.
    ///
    /// # Errors
    /// A [`Fault`] when the record has none.
    pub(crate) fn current(&self) -> Result<&MaterialId, Fault> {
        self.materials.last().ok_or_else(|| Fault::RecordMalformed(facts_key(&self.region, &self.id).printable()))
    }
}

/// The ARN of a key.
#[must_use]
pub(crate) fn key_arn(region: &str, account: &str, id: &str) -> String {
    ["arn:aws:kms:", region, ":", account, ":key/", id].concat()
}

/// The ARN of an alias; the name starts with `alias/`.
#[must_use]
pub(crate) fn alias_arn(region: &str, account: &str, name: &str) -> String {
    ["arn:aws:kms:", region, ":", account, ":", name].concat()
}

pub(crate) fn of_key(region: &str, id: &str) -> String {
    [region, ".", id].concat()
}

/// The row of a key's facts.
#[must_use]
pub(crate) fn facts_key(region: &str, id: &str) -> RowKey {
    RowKey::new("key", &of_key(region, id), "facts")
}

/// The row of one material of a key.
#[must_use]
pub(crate) fn material_key(region: &str, id: &str, material: &MaterialId) -> RowKey {
    RowKey::new("key", &of_key(region, id), &format!("material/{material}"))
}

/// The row that lists a key under its account; `""` gives the common start of all.
#[must_use]
pub(crate) fn listed_key(region: &str, account: &str, id: &str) -> RowKey {
    RowKey::new("keys", &of_key(region, account), id)
}

/// The row of an alias; `""` gives the common start of all of the account.
#[must_use]
pub(crate) fn alias_key(region: &str, account: &str, name: &str) -> RowKey {
    RowKey::new("alias", &of_key(region, account), name)
}

/// The row that lists an alias under its key; `""` gives the common start of all.
#[must_use]
pub(crate) fn alias_of_key(region: &str, id: &str, name: &str) -> RowKey {
    RowKey::new("key", &of_key(region, id), &format!("named/{name}"))
}

const KEY: &str = "kms key";
const MATERIAL: &str = "kms material";
const ALIAS: &str = "kms alias";
const LISTED: &str = "kms listed";

impl Record for Key {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        // Destructured without `..`, so that a new field cannot be forgotten here.
        #[rustfmt::skip]
        let Self {
            id, account, region, spec, usage, created, description, state, policy, tags, materials, aliases, has_grants,
        } = self;
        let mut writer = Writer::record(KEY, 3);
        writer.text(id);
        writer.text(account);
        writer.text(region);
        writer.i64(created.millis());
        writer.text(description);
        match state {
            KeyState::Enabled => writer.u8(1),
            KeyState::Disabled => writer.u8(2),
            KeyState::PendingDeletion { at } => {
                writer.u8(3);
                writer.i64(at.millis());
            }
        }
        writer.text(policy.text());
        writer.list(tags.iter(), |writer, (key, value)| {
            writer.text(key);
            writer.text(value);
        });
        writer.list(materials.iter(), |writer, id| writer.bytes(id.as_bytes()));
        writer.text(spec.as_str());
        writer.text(usage.as_str());
        writer.option(aliases.as_ref(), |writer, names| {
            writer.list(names.iter(), |writer, name| writer.text(name));
        });
        writer.list(policy.bindings().iter(), |writer, (name, id)| {
            writer.text(&name.to_string());
            writer.text(id.as_str());
        });
        writer.bool(*has_grants);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, version) = Reader::record(bytes, KEY, 3)?;
        let (id, account, region) = (text(&mut reader)?, text(&mut reader)?, text(&mut reader)?);
        let created = Timestamp::from_millis(reader.i64()?);
        let description = text(&mut reader)?;
        let state = match reader.u8()? {
            1 => KeyState::Enabled,
            2 => KeyState::Disabled,
            3 => KeyState::PendingDeletion { at: Timestamp::from_millis(reader.i64()?) },
            _ => return Err(BadRecord),
        };
        let policy = Document::parse_key_policy(reader.text()?, &KEY_POLICY_LIMITS).map_err(|_| BadRecord)?;
        let tags = reader.list(|reader| Ok((text(reader)?, text(reader)?)))?;
        let materials = reader.list(|reader| material_id(reader.bytes()?))?;
        let (spec, usage, aliases) = match version {
            // Before specs were stored, every key was symmetric.
            1 => (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt, None),
            _ => {
                let spec = KeySpec::parse(reader.text()?).ok_or(BadRecord)?;
                let usage = KeyUsageType::parse(reader.text()?).ok_or(BadRecord)?;
                (spec, usage, reader.option(|reader| reader.list(text))?)
            }
        };
        let (bindings, has_grants) = match version {
            1 | 2 => (Vec::new(), false),
            _ => (reader.list(binding)?, reader.bool()?),
        };
        reader.end()?;
        if materials.is_empty() {
            return Err(BadRecord);
        }
        let policy = Arc::new(policy.with_bindings(bindings));
        #[rustfmt::skip]
        let key = Self {
            id, account, region, spec, usage, created, description, state, policy, tags, materials, aliases, has_grants,
        };
        Ok(key)
    }
}

/// A principal that the policy names, and the unique id that it had when the policy was saved.
fn binding(reader: &mut Reader<'_>) -> Result<(PrincipalName, UniqueId), BadRecord> {
    let name = PrincipalName::parse(reader.text()?).ok_or(BadRecord)?;
    Ok((name, UniqueId::parse(reader.text()?).ok_or(BadRecord)?))
}

pub(crate) fn text(reader: &mut Reader<'_>) -> Result<String, BadRecord> {
    reader.text().map(str::to_owned)
}

fn material_id(bytes: &[u8]) -> Result<MaterialId, BadRecord> {
    <[u8; 32]>::try_from(bytes).map(MaterialId::from_bytes).map_err(|_| BadRecord)
}

/// One material of a key, open in memory and wrapped in its row.
pub(crate) struct Material {
    /// The key itself, which acts and never shows itself.
    pub(crate) material: KeyMaterial,
    /// Which material of which key it is; bound into the wrapping.
    pub(crate) id: MaterialId,
}

impl Record for Material {
    fn encode(&self, keys: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(MATERIAL, 1);
        writer.text(&self.material.key_id().to_string());
        writer.bytes(self.id.as_bytes());
        writer.bytes(&self.material.wrap(keys, self.id.as_bytes())?);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], keys: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, MATERIAL, 1)?;
        let key_id = KeyId::parse(reader.text()?).map_err(|_| BadRecord)?;
        let id = material_id(reader.bytes()?)?;
        let material = KeyMaterial::unwrap(keys, key_id, id.as_bytes(), reader.bytes()?).map_err(|_| BadRecord)?;
        reader.end()?;
        if material.material_id() != id {
            return Err(BadRecord);
        }
        Ok(Self { material, id })
    }
}

/// An alias: which key it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// The key's id.
    pub(crate) target: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// When it was last pointed somewhere.
    pub(crate) updated: Timestamp,
}

impl Record for Alias {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { target, created, updated } = self;
        let mut writer = Writer::record(ALIAS, 1);
        writer.text(target);
        writer.i64(created.millis());
        writer.i64(updated.millis());
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, ALIAS, 1)?;
        let target = text(&mut reader)?;
        let (created, updated) = (Timestamp::from_millis(reader.i64()?), Timestamp::from_millis(reader.i64()?));
        reader.end()?;
        Ok(Self { target, created, updated })
    }
}

/// A row that says no more than its key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed;

impl Record for Listed {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        Ok(Writer::record(LISTED, 1).finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        Reader::record(bytes, LISTED, 1)?.0.end().map(|()| Self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_crypto::{EncryptionContext, SymmetricMaterial, UnsealSecret};
    use claviger_engine::Deployment;
    use claviger_secret::{SecretArray, SecretBytes};
    use claviger_store::Store as _;
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;

    pub(crate) fn path(name: &str) -> String {
        format!("{}/testdata/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"))
    }

    pub(crate) fn file(name: &str) -> Vec<u8> {
        hex::decode(std::fs::read_to_string(path(name)).unwrap().trim()).unwrap()
    }

    /// The domain keys of the golden deployment.
    pub(crate) async fn keys() -> Arc<DomainKeys> {
        let store = claviger_store::Memory::new();
        let mut batch = claviger_store::Batch::new();
        batch.put("deployment/keys", file("../../../engine/testdata/golden/deployment"));
        store.commit(batch).await.unwrap();
        let secret = SecretBytes::from_slice(b"golden unseal secret, 32 bytes..");
        Deployment::unseal(&store, &UnsealSecret::file(secret).unwrap()).await.unwrap().keys
    }

    fn key(state: KeyState) -> Key {
        Key {
            id: ID.to_owned(),
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsageType::EncryptDecrypt,
            created: Timestamp::from_millis(1_790_000_000_123),
            description: "for péople".to_owned(),
            state,
            policy: Arc::new(Document::parse_key_policy(POLICY, &KEY_POLICY_LIMITS).unwrap()),
            tags: vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())],
            materials: vec![MaterialId::from_bytes([7; 32]), MaterialId::from_bytes([8; 32])],
            aliases: None,
            has_grants: false,
        }
    }

    fn material() -> SymmetricMaterial {
        SymmetricMaterial::from_bytes(KeyId::parse(ID).unwrap(), SecretArray::new([9; 32])).unwrap()
    }

    fn signing(state: KeyState) -> Key {
        let aliases = Some(vec!["alias/a".to_owned(), "alias/b".to_owned()]);
        Key { spec: KeySpec::EccNistEdwards25519, usage: KeyUsageType::SignVerify, aliases, ..key(state) }
    }

    #[tokio::test]
    async fn facts_stay_readable() {
        let keys = keys().await;
        let at = Timestamp::from_millis(1_790_604_800_123);
        let states = [
            ("facts-enabled", KeyState::Enabled),
            ("facts-disabled", KeyState::Disabled),
            ("facts-pending", KeyState::PendingDeletion { at }),
        ];
        for (name, state) in states {
            // Version 1, which had symmetric keys only.
            let read = Key::decode(&file(name), &keys).unwrap();
            assert_eq!((read.state, read.created, read.policy.text()), (state, key(state).created, POLICY));
            assert_eq!((read.spec, read.usage), (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt));
            assert_eq!(read.aliases, None);
            assert_eq!(read.encode(&keys).unwrap(), key(state).encode(&keys).unwrap());
        }
    }

    #[tokio::test]
    async fn facts_with_a_spec_stay_readable() {
        let (keys, stored) = (keys().await, file("facts-2-signing"));
        // Version 2, which had no grants and whose policies named accounts only.
        let read = Key::decode(&stored, &keys).unwrap();
        assert_eq!((read.spec, read.usage), (KeySpec::EccNistEdwards25519, KeyUsageType::SignVerify));
        assert_eq!(read.aliases, signing(KeyState::Disabled).aliases);
        assert_eq!((read.has_grants, read.policy.bindings()), (false, &[][..]));
        assert_eq!(read.encode(&keys).unwrap(), signing(KeyState::Disabled).encode(&keys).unwrap());
        for at in 0..stored.len() {
            assert!(Key::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    /// A key with grants, whose policy names a role that had an id.
    fn granting() -> Key {
        let text = POLICY.replace(":root", ":role/team/app");
        let policy = Document::parse_key_policy(&text, &KEY_POLICY_LIMITS).unwrap();
        let policy = Arc::new(policy.bind(|_| UniqueId::parse("AROAEXAMPLE234567890")));
        Key { policy, has_grants: true, ..signing(KeyState::Disabled) }
    }

    #[tokio::test]
    async fn facts_with_bindings_stay_readable() {
        let (keys, stored) = (keys().await, file("facts-3-grants"));
        assert_eq!(granting().encode(&keys).unwrap(), stored);
        let read = Key::decode(&stored, &keys).unwrap();
        assert_eq!((read.has_grants, read.policy.bindings()), (true, granting().policy.bindings()));
        assert_eq!(read.policy.bindings().len(), 1);
        assert_eq!(read.encode(&keys).unwrap(), stored);
        for at in 0..stored.len() {
            assert!(Key::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    async fn alias_and_listed_stay_readable() {
        let keys = keys().await;
        let (created, updated) = (Timestamp::from_millis(1), Timestamp::from_millis(-2));
        let alias = Alias { target: ID.to_owned(), created, updated };
        assert_eq!(alias.encode(&keys).unwrap(), file("alias"));
        assert_eq!(Alias::decode(&file("alias"), &keys), Ok(alias));
        assert_eq!(Listed.encode(&keys).unwrap(), file("listed"));
        assert_eq!(Listed::decode(&file("listed"), &keys), Ok(Listed));
    }

    #[tokio::test]
    async fn material_stays_readable_and_every_byte_is_guarded() {
        let (keys, stored) = (keys().await, file("material"));
        let read = Material::decode(&stored, &keys).unwrap();
        let blob = material().seal(&EncryptionContext::canonical([]), b"plain").unwrap();
        let opened =
            read.material.symmetric().unwrap().open(&blob, &EncryptionContext::canonical([])).map_err(drop).unwrap();
        assert_eq!(opened.expose(), b"plain");
        assert_eq!(read.id, material().material_id());
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            assert!(Material::decode(&changed, &keys).is_err(), "byte {at}");
        }
        let text = |bytes: &[u8]| bytes.windows(8).any(|part| part == [9; 8]);
        assert!(!text(&stored), "material is wrapped inside the record");
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let keys = keys().await;
        let material = Material { id: material().material_id(), material: KeyMaterial::Symmetric(material()) };
        let records =
            [("material", material.encode(&keys).unwrap()), ("facts-3-grants", granting().encode(&keys).unwrap())];
        for (name, bytes) in records {
            if !std::path::Path::new(&path(name)).exists() {
                std::fs::write(path(name), hex::encode(bytes) + "\n").unwrap();
            }
        }
    }

    #[tokio::test]
    async fn cut_facts_are_refused() {
        let (keys, stored) = (keys().await, file("facts-pending"));
        for at in 0..stored.len() {
            assert!(Key::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
        assert!(Key::decode(&[&stored[..], &[0]].concat(), &keys).is_err());
        let empty = Key { materials: Vec::new(), ..key(KeyState::Enabled) };
        assert!(Key::decode(&empty.encode(&keys).unwrap(), &keys).is_err(), "a key without material");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn facts_come_back(
            description in ".{0,40}",
            tags in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..5),
            created: i64,
            state in 0..3,
            at: i64,
            materials in proptest::collection::vec(any::<[u8; 32]>(), 1..4),
            aliases in proptest::option::of(proptest::collection::vec(".{0,9}", 0..4)),
            has_grants: bool,
        ) {
            let keys = DomainKeys::generate().unwrap();
            let state = match state {
                0 => KeyState::Enabled,
                1 => KeyState::Disabled,
                _ => KeyState::PendingDeletion { at: Timestamp::from_millis(at) },
            };
            let created = Timestamp::from_millis(created);
            let materials = materials.into_iter().map(MaterialId::from_bytes).collect();
            let written = Key { description, tags, created, materials, aliases, has_grants, ..key(state) };
            let bytes = written.encode(&keys).unwrap();
            let read = Key::decode(&bytes, &keys).unwrap();
            prop_assert_eq!(read.encode(&keys).unwrap(), bytes);
            prop_assert_eq!((read.description, read.tags, read.created), (written.description, written.tags, created));
            prop_assert!(read.state == state && read.materials == written.materials);
            prop_assert_eq!((read.aliases, read.has_grants), (written.aliases, written.has_grants));
        }
    }
}
