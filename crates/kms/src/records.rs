//! What KMS stores: a key's facts, its material, its aliases. Docs: docs/FORMATS.md, "KMS records".

use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_api::kms::{KeySpec, KeyUsageType, OriginType};
use claviger_crypto::{DomainKeys, KeyId, KeyMaterial, MaterialId};
use claviger_engine::{BadRecord, Fault, Reader, Record, RowKey, Writer};
use claviger_policy::{Document, PrincipalName, UniqueId};

use crate::conditions::KEY_POLICY_LIMITS;
use crate::life::{MaterialFacts, MultiRegion, Rotation, material_id};

/// The state that a key was put into. Enabled is only this one. AWS's Creating and Updating are not among them: here a
/// change of several Regions is one commit.
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
    /// Its material, or some of it, has to be imported before it can be used.
    PendingImport,
    /// It is a primary key that will be pending deletion once its last replica is gone.
    PendingReplicaDeletion {
        /// The waiting period in days that begins then.
        window_days: u32,
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
    /// INVARIANT (materials): in the order of their coming; at most the last one waits for its rotation, and
    /// [`Key::current`] is the last of the others. Empty only before the first import. Each has its row, unless it was
    /// imported and is no longer present.
    pub(crate) materials: Vec<MaterialFacts>,
    /// The names of its aliases in order, the same as its rows [`alias_of_key`]; `None` in a record that is older than
    /// this list. Read it through [`crate::find::NamedKey::aliases`].
    pub(crate) aliases: Option<Vec<String>>,
    /// Whether a grant was ever made on it: without one, nobody looks for any. Never unset.
    pub(crate) has_grants: bool,
    /// Where its material comes from; never changes.
    pub(crate) origin: OriginType,
    /// Automatic rotation; `None` while it is off.
    pub(crate) rotation: Option<Rotation>,
    /// Rotations on demand so far, which are limited for the life of the key.
    pub(crate) on_demand_rotations: u32,
    /// The Regions of a multi-Region key.
    pub(crate) multi_region: Option<MultiRegion>,
}

impl Key {
    /// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    #[must_use]
    pub(crate) fn arn(&self) -> String {
        key_arn(&self.region, &self.account, &self.id)
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

/// The common start of the rows of a key's materials.
#[must_use]
pub(crate) fn materials_of(region: &str, id: &str) -> RowKey {
    RowKey::new("key", &of_key(region, id), "material/")
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
            origin, rotation, on_demand_rotations, multi_region,
        } = self;
        let mut writer = Writer::record(KEY, 4);
        writer.text(id);
        writer.text(account);
        writer.text(region);
        writer.i64(created.millis());
        writer.text(description);
        write_state(&mut writer, state);
        writer.text(policy.text());
        writer.list(tags.iter(), |writer, (key, value)| {
            writer.text(key);
            writer.text(value);
        });
        writer.list(materials.iter(), |writer, material| material.write(writer));
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
        writer.text(origin.as_str());
        writer.option(rotation.as_ref(), |writer, rotation| rotation.write(writer));
        writer.u32(*on_demand_rotations);
        writer.option(multi_region.as_ref(), |writer, regions| regions.write(writer));
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, version) = Reader::record(bytes, KEY, 4)?;
        let (id, account, region) = (text(&mut reader)?, text(&mut reader)?, text(&mut reader)?);
        let created = Timestamp::from_millis(reader.i64()?);
        let description = text(&mut reader)?;
        let state = read_state(&mut reader)?;
        let policy = Document::parse_key_policy(reader.text()?, &KEY_POLICY_LIMITS).map_err(|_| BadRecord)?;
        let tags = reader.list(|reader| Ok((text(reader)?, text(reader)?)))?;
        let materials = match version {
            // Before materials were described, none was rotated and none was imported.
            1..=3 => reader.list(|reader| Ok(MaterialFacts::current(material_id(reader.bytes()?)?, created, None)))?,
            _ => reader.list(MaterialFacts::read)?,
        };
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
        let (origin, rotation, on_demand_rotations, multi_region) = match version {
            1..=3 => (OriginType::AwsKms, None, 0, None),
            _ => {
                let origin = OriginType::parse(reader.text()?).ok_or(BadRecord)?;
                (origin, reader.option(Rotation::read)?, reader.u32()?, reader.option(MultiRegion::read)?)
            }
        };
        reader.end()?;
        if materials.is_empty() && origin != OriginType::External {
            return Err(BadRecord);
        }
        let policy = Arc::new(policy.with_bindings(bindings));
        #[rustfmt::skip]
        let key = Self {
            id, account, region, spec, usage, created, description, state, policy, tags, materials, aliases, has_grants,
            origin, rotation, on_demand_rotations, multi_region,
        };
        Ok(key)
    }
}

fn write_state(writer: &mut Writer, state: &KeyState) {
    match state {
        KeyState::Enabled => writer.u8(1),
        KeyState::Disabled => writer.u8(2),
        KeyState::PendingDeletion { at } => {
            writer.u8(3);
            writer.i64(at.millis());
        }
        KeyState::PendingImport => writer.u8(4),
        KeyState::PendingReplicaDeletion { window_days } => {
            writer.u8(5);
            writer.u32(*window_days);
        }
    }
}

fn read_state(reader: &mut Reader<'_>) -> Result<KeyState, BadRecord> {
    Ok(match reader.u8()? {
        1 => KeyState::Enabled,
        2 => KeyState::Disabled,
        3 => KeyState::PendingDeletion { at: Timestamp::from_millis(reader.i64()?) },
        4 => KeyState::PendingImport,
        5 => KeyState::PendingReplicaDeletion { window_days: reader.u32()? },
        _ => return Err(BadRecord),
    })
}

/// A principal that the policy names, and the unique id that it had when the policy was saved.
fn binding(reader: &mut Reader<'_>) -> Result<(PrincipalName, UniqueId), BadRecord> {
    let name = PrincipalName::parse(reader.text()?).ok_or(BadRecord)?;
    Ok((name, UniqueId::parse(reader.text()?).ok_or(BadRecord)?))
}

pub(crate) fn text(reader: &mut Reader<'_>) -> Result<String, BadRecord> {
    reader.text().map(str::to_owned)
}

/// One material of a key, open in memory and wrapped in its row.
pub(crate) struct Material {
    /// The key itself, which acts and never shows itself.
    pub(crate) material: KeyMaterial,
    /// Which material of which key it is; bound into the wrapping.
    pub(crate) id: MaterialId,
}

impl Material {
    pub(crate) const fn of(material: KeyMaterial) -> Self {
        let id = material.material_id();
        Self { material, id }
    }

    /// The same again, for the row of a related key in another Region.
    ///
    /// # Errors
    /// A [`Fault`] when it does not open under the keys that just wrapped it.
    pub(crate) fn copied(&self, keys: &DomainKeys) -> Result<Self, Fault> {
        let wrapped = self.material.wrap(keys, self.id.as_bytes())?;
        Ok(Self::of(KeyMaterial::unwrap(keys, self.material.key_id(), self.id.as_bytes(), &wrapped)?))
    }
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
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use claviger_api::kms::RotationType;
    use claviger_crypto::{EncryptionContext, SymmetricMaterial, UnsealSecret};
    use claviger_engine::Deployment;
    use claviger_secret::{SecretArray, SecretBytes};
    use claviger_store::Store as _;
    use proptest::prelude::*;

    use super::*;
    use crate::life::Import;

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

    fn made(byte: u8, since: i64) -> MaterialFacts {
        MaterialFacts::current(MaterialId::from_bytes([byte; 32]), Timestamp::from_millis(since), None)
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
            materials: [7, 8].map(|byte| made(byte, 1_790_000_000_123)).into(),
            aliases: None,
            has_grants: false,
            origin: OriginType::AwsKms,
            rotation: None,
            on_demand_rotations: 0,
            multi_region: None,
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
        // Version 3, whose keys had one Region and no rotation, and whose material was made here.
        let read = Key::decode(&stored, &keys).unwrap();
        assert_eq!((read.has_grants, read.policy.bindings()), (true, granting().policy.bindings()));
        assert_eq!(read.policy.bindings().len(), 1);
        assert_eq!(read.encode(&keys).unwrap(), granting().encode(&keys).unwrap());
        for at in 0..stored.len() {
            assert!(Key::decode(stored.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
        }
    }

    /// A key that rotates, in three Regions.
    fn rotating() -> Key {
        let (since, next) = (Timestamp::from_millis(1_790_000_000_500), Timestamp::from_millis(1_797_776_000_500));
        let rotated = MaterialFacts { rotation: Some(RotationType::Automatic), ..made(8, 1_790_000_000_500) };
        Key {
            id: "mrk-1234abcd12ab34cd56ef1234567890ab".to_owned(),
            materials: vec![made(7, 1_790_000_000_123), rotated],
            rotation: Some(Rotation { period_days: 90, since, next }),
            on_demand_rotations: 3,
            multi_region: Some(MultiRegion {
                primary: "eu-central-1".to_owned(),
                replicas: vec!["eu-west-1".to_owned(), "us-east-1".to_owned()],
            }),
            ..key(KeyState::PendingReplicaDeletion { window_days: 7 })
        }
    }

    /// A key with an imported material that is gone, one that will expire, and one that waits.
    fn imported() -> Key {
        let import = |present, expires, description: Option<&str>| Import {
            at: Timestamp::from_millis(1_790_000_000_700),
            expires,
            present,
            description: description.map(str::to_owned),
        };
        let expires = Some(Timestamp::from_millis(1_800_000_000_000));
        let rotation = Some(RotationType::OnDemand);
        Key {
            origin: OriginType::External,
            on_demand_rotations: 1,
            materials: vec![
                MaterialFacts { import: Some(import(false, None, None)), ..made(7, 1_790_000_000_200) },
                MaterialFacts { rotation, import: Some(import(true, expires, Some("two"))), ..made(8, 1) },
                MaterialFacts { since: None, import: Some(import(true, None, Some(""))), ..made(9, 0) },
            ],
            ..key(KeyState::PendingImport)
        }
    }

    #[tokio::test]
    async fn facts_of_a_life_stay_readable() {
        let keys = keys().await;
        let empty = Key { materials: Vec::new(), ..imported() };
        for (name, key) in
            [("facts-4-rotating", rotating()), ("facts-4-imported", imported()), ("facts-4-empty", empty)]
        {
            let stored = file(name);
            assert_eq!(key.encode(&keys).unwrap(), stored, "{name}");
            let read = Key::decode(&stored, &keys).unwrap();
            assert_eq!(
                (read.state, read.origin, read.on_demand_rotations),
                (key.state, key.origin, key.on_demand_rotations)
            );
            assert_eq!((read.rotation, &read.multi_region), (key.rotation, &key.multi_region));
            assert_eq!(read.materials, key.materials);
            assert_eq!(read.encode(&keys).unwrap(), stored);
            for at in 0..stored.len() {
                assert!(Key::decode(stored.get(..at).unwrap(), &keys).is_err(), "{name} cut at {at}");
            }
        }
    }

    #[test]
    fn which_material_is_used() {
        let key = imported();
        let id = |byte| MaterialId::from_bytes([byte; 32]);
        let (early, late) = (Timestamp::from_millis(1_799_999_999_999), Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(key.current(), Ok(&id(8)), "the one that waits is not current");
        let usable = |now| [7, 8, 9, 10].map(|byte| key.is_usable(&id(byte), now));
        assert_eq!(usable(early), [false, true, false, false]);
        assert_eq!(usable(late), [false; 4], "expired");
        assert!(key.lacks_material(early), "the first one is gone");
        let whole = Key { materials: key.materials[1..].to_vec(), ..key.clone() };
        assert_eq!((whole.lacks_material(early), whole.lacks_material(late)), (false, true));
        let waiting = Key { materials: key.materials[2..].to_vec(), ..key };
        assert!(waiting.lacks_material(early) && waiting.current().is_err());
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
        let empty = Key { materials: Vec::new(), ..imported() };
        let records = [
            ("material", material.encode(&keys).unwrap()),
            ("facts-4-rotating", rotating().encode(&keys).unwrap()),
            ("facts-4-imported", imported().encode(&keys).unwrap()),
            ("facts-4-empty", empty.encode(&keys).unwrap()),
        ];
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
            let made = |id| MaterialFacts::current(MaterialId::from_bytes(id), created, None);
            let materials = materials.into_iter().map(made).collect();
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
