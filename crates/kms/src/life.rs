//! What a key's record holds of its life: its materials, its rotation, its Regions. Docs: docs/FORMATS.md, "KMS
//! records".

use claviger_api::Timestamp;
use claviger_api::kms::{OriginType, RotationType};
use claviger_crypto::MaterialId;
use claviger_engine::{BadRecord, Fault, Reader, Writer};

use crate::records::{Key, KeyState, facts_key, text};

/// What is known of one material of a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaterialFacts {
    /// Which one it is.
    pub(crate) id: MaterialId,
    /// When it became the current one; `None` while it waits for RotateKeyOnDemand.
    pub(crate) since: Option<Timestamp>,
    /// By which rotation it became current; `None` for the first one and for one that waits.
    pub(crate) rotation: Option<RotationType>,
    /// How it came from outside; `None` for material that was made here.
    pub(crate) import: Option<Import>,
}

/// The import of a material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// When it was last imported.
    pub(crate) at: Timestamp,
    /// When it goes by itself; `None` for one that does not expire.
    pub(crate) expires: Option<Timestamp>,
    /// Whether its row is there; not after it was deleted or expired.
    pub(crate) present: bool,
    /// What its owner says of it.
    pub(crate) description: Option<String>,
}

impl MaterialFacts {
    /// Material that is current from now on.
    pub(crate) const fn current(id: MaterialId, since: Timestamp, rotation: Option<RotationType>) -> Self {
        Self { id, since: Some(since), rotation, import: None }
    }

    /// Whether it waits for a rotation.
    pub(crate) const fn is_pending(&self) -> bool {
        self.since.is_none()
    }

    /// Whether its row is there and it has not expired.
    pub(crate) fn is_present(&self, now: Timestamp) -> bool {
        self.import.as_ref().is_none_or(|import| import.present && import.expires.is_none_or(|expires| now < expires))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self { id, since, rotation, import } = self;
        writer.bytes(id.as_bytes());
        write_time(writer, *since);
        writer.option(rotation.as_ref(), |writer, rotation| writer.text(rotation.as_str()));
        writer.option(import.as_ref(), |writer, Import { at, expires, present, description }| {
            writer.i64(at.millis());
            write_time(writer, *expires);
            writer.bool(*present);
            writer.option(description.as_ref(), |writer, description| writer.text(description));
        });
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, BadRecord> {
        let id = material_id(reader.bytes()?)?;
        let since = read_time(reader)?;
        let rotation = reader.option(|reader| RotationType::parse(reader.text()?).ok_or(BadRecord))?;
        let import = reader.option(|reader| {
            let (at, expires) = (Timestamp::from_millis(reader.i64()?), read_time(reader)?);
            Ok(Import { at, expires, present: reader.bool()?, description: reader.option(text)? })
        })?;
        Ok(Self { id, since, rotation, import })
    }
}

pub(crate) fn material_id(bytes: &[u8]) -> Result<MaterialId, BadRecord> {
    <[u8; 32]>::try_from(bytes).map(MaterialId::from_bytes).map_err(|_| BadRecord)
}

fn write_time(writer: &mut Writer, time: Option<Timestamp>) {
    writer.option(time.as_ref(), |writer, time| writer.i64(time.millis()));
}

fn read_time(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, BadRecord> {
    reader.option(|reader| reader.i64().map(Timestamp::from_millis))
}

/// Automatic rotation that is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Days between rotations.
    pub(crate) period_days: u32,
    /// When it was switched on or, later, when it last rotated: what another period is counted from.
    pub(crate) since: Timestamp,
    /// When it rotates next. In the past only while the key is not enabled, or until the job has run.
    pub(crate) next: Timestamp,
}

impl Rotation {
    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self { period_days, since, next } = self;
        writer.u32(*period_days);
        writer.i64(since.millis());
        writer.i64(next.millis());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, BadRecord> {
        let period_days = reader.u32()?;
        let (since, next) = (reader.i64()?, reader.i64()?);
        Ok(Self { period_days, since: Timestamp::from_millis(since), next: Timestamp::from_millis(next) })
    }
}

/// The Regions of a multi-Region key. Every related key holds the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MultiRegion {
    /// Where the primary key is.
    pub(crate) primary: String,
    /// Where replicas are, in order.
    pub(crate) replicas: Vec<String>,
}

impl MultiRegion {
    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self { primary, replicas } = self;
        writer.text(primary);
        writer.list(replicas.iter(), |writer, region| writer.text(region));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, BadRecord> {
        Ok(Self { primary: text(reader)?, replicas: reader.list(text)? })
    }
}

impl Key {
    /// The material that Encrypt uses: the last one that does not wait for a rotation.
    ///
    /// # Errors
    /// A [`Fault`] when the key has none; its state keeps a key that waits for its import from coming here.
    pub(crate) fn current(&self) -> Result<&MaterialId, Fault> {
        let malformed = || Fault::RecordMalformed(facts_key(&self.region, &self.id).printable());
        self.current_facts().map(|material| &material.id).ok_or_else(malformed)
    }

    /// What is known of the current material; `None` before the first import.
    pub(crate) fn current_facts(&self) -> Option<&MaterialFacts> {
        self.materials.iter().rev().find(|material| !material.is_pending())
    }

    /// What is known of this material.
    pub(crate) fn material(&self, id: &MaterialId) -> Option<&MaterialFacts> {
        self.materials.iter().find(|material| material.id == *id)
    }

    /// Whether ciphertext of this material can be opened: it was current once, and is there.
    pub(crate) fn is_usable(&self, id: &MaterialId, now: Timestamp) -> bool {
        self.material(id).is_some_and(|material| !material.is_pending() && material.is_present(now))
    }

    /// Whether a material that the key cannot be used without has to be imported (again).
    pub(crate) fn lacks_material(&self, now: Timestamp) -> bool {
        let mut associated = self.materials.iter().filter(|material| !material.is_pending()).peekable();
        associated.peek().is_none() || associated.any(|material| !material.is_present(now))
    }

    /// Whether a material that it needs is gone, whatever the time: those that have expired may still be there.
    pub(crate) fn lacks_import(&self) -> bool {
        self.lacks_material(Timestamp::from_millis(i64::MIN))
    }

    /// Whether material has expired whose absence the stored state does not tell yet.
    pub(crate) fn misses_expired(&self, now: Timestamp) -> bool {
        let works = matches!(self.state, KeyState::Enabled | KeyState::Disabled);
        works && self.is_external() && self.lacks_material(now)
    }

    /// Whether the key is going to be destroyed.
    pub(crate) const fn is_pending_deletion(&self) -> bool {
        matches!(self.state, KeyState::PendingDeletion { .. } | KeyState::PendingReplicaDeletion { .. })
    }

    /// Whether its material comes from outside.
    pub(crate) fn is_external(&self) -> bool {
        self.origin == OriginType::External
    }

    /// Whether it is a replica of a key in another Region.
    pub(crate) fn is_replica(&self) -> bool {
        self.multi_region.as_ref().is_some_and(|regions| regions.primary != self.region)
    }
}
