//! What reference/lifecycle.md and reference/key-states.md say of the life of keys, with the choices that
//! DIFFERENCES.md names where they leave one. Written from these, not from the code. Times in milliseconds.

use std::collections::BTreeMap;

use claviger_api::kms::{ImportType, RotationType};

use crate::DAY;

pub(crate) const ABSENT: &str = "NotFoundException";
pub(crate) const DENIED: &str = "AccessDeniedException";
pub(crate) const DISABLED: &str = "DisabledException";
pub(crate) const STATE: &str = "KMSInvalidStateException";
pub(crate) const UNSUPPORTED: &str = "UnsupportedOperationException";
pub(crate) const INVALID: &str = "ValidationException";
pub(crate) const LIMIT: &str = "LimitExceededException";
pub(crate) const CONFLICT: &str = "ConflictException";
pub(crate) const EXISTS: &str = "AlreadyExistsException";
pub(crate) const OTHER_MATERIAL: &str = "IncorrectKeyMaterialException";

/// What a step comes to: the name of AWS's error, if it is refused.
pub(crate) type Told = Result<(), &'static str>;
pub(crate) type Region = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Symmetric,
    Hmac,
    Pair,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Enabled,
    Disabled,
    PendingImport,
    PendingDeletion { at: i64 },
    PendingReplicaDeletion { days: i64 },
}

impl State {
    const fn is_pending_deletion(self) -> bool {
        matches!(self, Self::PendingDeletion { .. } | Self::PendingReplicaDeletion { .. })
    }

    /// For what needs an enabled key.
    const fn demand_enabled(self) -> Told {
        match self {
            Self::Enabled => Ok(()),
            Self::Disabled => Err(DISABLED),
            _ => Err(STATE),
        }
    }

    const fn demand_not_deleted(self) -> Told {
        if self.is_pending_deletion() { Err(STATE) } else { Ok(()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    pub(crate) days: i64,
    since: i64,
    pub(crate) next: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// As far as it was seen: material that the service makes has an id that it chooses.
    pub(crate) id: Option<String>,
    /// What was imported.
    pub(crate) bytes: Vec<u8>,
    /// When it became current; `None` while it waits for RotateKeyOnDemand.
    pub(crate) since: Option<i64>,
    pub(crate) how: Option<RotationType>,
    pub(crate) description: Option<String>,
}

impl Material {
    pub(crate) const fn is_pending(&self) -> bool {
        self.since.is_none()
    }
}

/// A key of one Region; what it does not share with its related keys.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) state: State,
    /// Imported materials that are there, by id, and until when.
    pub(crate) imports: BTreeMap<String, Option<i64>>,
}

/// A key with its replicas; a single-Region key is alone.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) kind: Kind,
    pub(crate) external: bool,
    pub(crate) multi_region: bool,
    pub(crate) primary: Region,
    pub(crate) rotation: Option<Rotation>,
    pub(crate) on_demand: u32,
    pub(crate) materials: Vec<Material>,
    pub(crate) members: BTreeMap<Region, Member>,
}

impl Family {
    pub(crate) fn is_there(&self, member: &Member, material: &Material, now: i64) -> bool {
        let until = material.id.as_ref().and_then(|id| member.imports.get(id));
        !self.external || until.is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Whether every permanently associated material is there.
    pub(crate) fn is_complete(&self, member: &Member, now: i64) -> bool {
        let mut associated = self.materials.iter().filter(|material| !material.is_pending()).peekable();
        associated.peek().is_some() && associated.all(|material| self.is_there(member, material, now))
    }

    pub(crate) fn current(&self) -> Option<usize> {
        self.materials.iter().rposition(|material| !material.is_pending())
    }

    pub(crate) fn pending(&self) -> Option<&Material> {
        self.materials.iter().find(|material| material.is_pending())
    }

    /// Whether the material is there in every Region.
    pub(crate) fn is_everywhere(&self, material: &Material, now: i64) -> bool {
        self.members.values().all(|member| self.is_there(member, material, now))
    }

    pub(crate) fn replicas(&self) -> Vec<Region> {
        self.members.keys().copied().filter(|region| *region != self.primary).collect()
    }

    fn state(&self, region: Region) -> State {
        self.members[region].state
    }

    fn member(&mut self, region: Region) -> &mut Member {
        self.members.get_mut(region).unwrap()
    }

    fn demand_automatic(&self, region: Region) -> Told {
        if self.kind != Kind::Symmetric || self.primary != region || self.external {
            return Err(UNSUPPORTED);
        }
        self.state(region).demand_enabled()
    }

    /// From the moment at which material expires the key waits for its import.
    fn settle(&mut self, now: i64) {
        let family = self.clone();
        for member in self.members.values_mut() {
            let works = matches!(member.state, State::Enabled | State::Disabled);
            if family.external && works && !family.is_complete(member, now) {
                member.state = State::PendingImport;
            }
        }
    }
}

/// What is wrong with an import before its material is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    AnotherKeysToken,
    ExpiredToken,
    AnotherWrappingKey,
    ImpossibleLength,
    WrongKindOfMaterial,
}

impl Flaw {
    const fn told(self) -> Told {
        match self {
            Self::None => Ok(()),
            Self::AnotherKeysToken => Err("InvalidImportTokenException"),
            Self::ExpiredToken => Err("ExpiredImportTokenException"),
            Self::AnotherWrappingKey => Err("InvalidCiphertextException"),
            Self::ImpossibleLength => Err(INVALID),
            Self::WrongKindOfMaterial => Err(OTHER_MATERIAL),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ImportStep {
    pub(crate) bytes: Vec<u8>,
    /// The id of these bytes in this key.
    pub(crate) id: String,
    pub(crate) until: Option<i64>,
    pub(crate) how: Option<ImportType>,
    pub(crate) named: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) flaw: Flaw,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Enable,
    Disable,
    Schedule(Option<i64>),
    Cancel,
    RotateEvery(Option<i64>),
    RotateNoMore,
    RotateNow,
    RotationStatus,
    Rotations,
    Describe,
    Parameters,
    Import(ImportStep),
    /// By id, or the current one.
    DeleteMaterial(Option<String>),
    Replicate(Region),
    MovePrimary(Region),
    Alias(String),
    MoveAlias(String),
    Unalias(String),
    /// Encrypt, GenerateMac or Sign.
    Use,
}

/// What the service should show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) families: BTreeMap<String, Family>,
    /// Names and their keys.
    pub(crate) aliases: BTreeMap<(Region, String), String>,
}

impl Model {
    pub(crate) fn create(
        &mut self,
        id: &str,
        region: Region,
        (kind, external, multi_region): (Kind, bool, bool),
        now: i64,
    ) {
        let state = if external { State::PendingImport } else { State::Enabled };
        let first = Material { id: None, bytes: Vec::new(), since: Some(now), how: None, description: None };
        let family = Family {
            kind,
            external,
            multi_region,
            primary: region,
            rotation: None,
            on_demand: 0,
            materials: if external { Vec::new() } else { vec![first] },
            members: BTreeMap::from([(region, Member { state, imports: BTreeMap::new() })]),
        };
        self.families.insert(id.to_owned(), family);
    }

    pub(crate) fn member(&self, id: &str, region: Region) -> Option<(&Family, &Member)> {
        let family = self.families.get(id)?;
        Some((family, family.members.get(region)?))
    }

    /// Time has come to `now`.
    pub(crate) fn settle(&mut self, now: i64) {
        self.families.values_mut().for_each(|family| family.settle(now));
    }

    /// What the step comes to, which is done when it is not refused.
    pub(crate) fn step(&mut self, id: &str, region: Region, step: &Step, now: i64) -> Told {
        match step {
            Step::Schedule(Some(days)) if !(7..=30).contains(days) => return Err(INVALID),
            Step::Import(import) if import.how == Some(ImportType::NewKeyMaterial) && import.named.is_some() => {
                return Err(INVALID);
            }
            Step::Unalias(name) => return self.aliases.remove(&(region, name.clone())).map(drop).ok_or(ABSENT),
            _ => {}
        }
        if self.member(id, region).is_none() {
            return Err(ABSENT);
        }
        if let Step::Alias(name) | Step::MoveAlias(name) = step {
            return self.name(id, region, name, matches!(step, Step::Alias(_)));
        }
        let family = self.families.get_mut(id).ok_or(ABSENT)?;
        let state = family.state(region);
        match step {
            Step::Enable | Step::Disable => {
                if state == State::PendingImport || state.is_pending_deletion() {
                    return Err(STATE);
                }
                let enabled = matches!(step, Step::Enable);
                family.member(region).state = if enabled { State::Enabled } else { State::Disabled };
                Ok(())
            }
            Step::Schedule(days) => {
                state.demand_not_deleted()?;
                let days = days.unwrap_or(30);
                let waits = region == family.primary && family.members.len() > 1;
                let at = now + days * DAY;
                family.member(region).state =
                    if waits { State::PendingReplicaDeletion { days } } else { State::PendingDeletion { at } };
                Ok(())
            }
            Step::Cancel if !state.is_pending_deletion() => Err(STATE),
            Step::Cancel => {
                let usable = !family.external || family.is_complete(&family.members[region], now);
                family.member(region).state = if usable { State::Disabled } else { State::PendingImport };
                Ok(())
            }
            Step::RotateEvery(days) => rotate_every(family, region, *days, now),
            Step::RotateNoMore => family.demand_automatic(region).map(|()| family.rotation = None),
            Step::RotateNow => rotate_now(family, region, now),
            Step::RotationStatus if family.external => Err(UNSUPPORTED),
            Step::Rotations if family.kind != Kind::Symmetric => Err(UNSUPPORTED),
            Step::RotationStatus | Step::Rotations | Step::Describe => Ok(()),
            Step::Parameters if !family.external => Err(UNSUPPORTED),
            Step::Parameters => state.demand_not_deleted(),
            Step::Import(import) => take(family, region, import, now),
            Step::DeleteMaterial(named) => give_up(family, region, named.as_deref(), now),
            Step::Replicate(to) => replicate(family, region, to),
            Step::MovePrimary(to) => move_primary(family, region, to),
            Step::Use => state.demand_enabled(),
            Step::Alias(_) | Step::MoveAlias(_) | Step::Unalias(_) => Ok(()),
        }
    }

    /// CreateAlias and UpdateAlias.
    fn name(&mut self, id: &str, region: Region, name: &str, new: bool) -> Told {
        let family = &self.families[id];
        let key = (region, name.to_owned());
        let old = self.aliases.get(&key);
        match (new, old) {
            (true, Some(_)) => return Err(EXISTS),
            (false, None) => return Err(ABSENT),
            _ => family.state(region).demand_not_deleted()?,
        }
        if old.is_some_and(|old| self.families[old].kind != family.kind) {
            return Err(INVALID);
        }
        self.aliases.insert(key, id.to_owned());
        Ok(())
    }

    /// What a blob of this key, sealed by the material at this place, comes to in a Region.
    pub(crate) fn open(&self, id: &str, region: Region, names_key: bool) -> Told {
        match self.member(id, region) {
            None if names_key => Err(ABSENT),
            None => Err(DENIED),
            Some((_, member)) => member.state.demand_enabled(),
        }
    }

    /// Everything that is due is done.
    pub(crate) fn run_due(&mut self, now: i64) {
        self.settle(now);
        for family in self.families.values_mut() {
            expire(family, now);
            delete(family, now);
            rotate(family, now);
        }
        self.families.retain(|_, family| !family.members.is_empty());
        let families = &self.families;
        let is_there = |region: Region, id: &String| families.get(id).is_some_and(|it| it.members.contains_key(region));
        self.aliases.retain(|(region, _), id| is_there(region, id));
    }

    /// When something happens by itself, from now on.
    pub(crate) fn next_due(&self, now: i64) -> Vec<i64> {
        let of = |family: &Family| -> Vec<i64> {
            let deletions = family.members.values().filter_map(|member| match member.state {
                State::PendingDeletion { at } => Some(at),
                _ => None,
            });
            let expiries = family.members.values().flat_map(|member| member.imports.values().flatten().copied());
            deletions.chain(expiries).chain(family.rotation.map(|rotation| rotation.next)).collect()
        };
        self.families.values().flat_map(of).filter(|at| *at > now).collect()
    }
}

fn rotate_every(family: &mut Family, region: Region, days: Option<i64>, now: i64) -> Told {
    family.demand_automatic(region)?;
    let before = family.rotation;
    let days = days.or(before.map(|rotation| rotation.days)).unwrap_or(365);
    // The same period again changes nothing; another one counts from the last rotation or the switching on.
    if before.is_none_or(|rotation| rotation.days != days) {
        let since = before.map_or(now, |rotation| rotation.since);
        family.rotation = Some(Rotation { days, since, next: since + days * DAY });
    }
    Ok(())
}

fn rotate_now(family: &mut Family, region: Region, now: i64) -> Told {
    if family.kind != Kind::Symmetric || family.primary != region {
        return Err(UNSUPPORTED);
    }
    family.state(region).demand_enabled()?;
    if family.on_demand >= 25 {
        return Err(LIMIT);
    }
    if family.rotation.is_some_and(|rotation| rotation.next <= now + 20 * 60_000) {
        return Err(CONFLICT);
    }
    let how = Some(RotationType::OnDemand);
    if family.external {
        let pending = family.pending().cloned().ok_or(STATE)?;
        if !family.is_everywhere(&pending, now) {
            return Err(STATE);
        }
        let last = family.materials.last_mut().unwrap();
        (last.since, last.how) = (Some(now), how);
    } else {
        family.materials.push(Material { id: None, bytes: Vec::new(), since: Some(now), how, description: None });
    }
    family.on_demand += 1;
    Ok(())
}

/// ImportKeyMaterial.
fn take(family: &mut Family, region: Region, import: &ImportStep, now: i64) -> Told {
    if !family.external {
        return Err(UNSUPPORTED);
    }
    family.state(region).demand_not_deleted()?;
    if import.until.is_some_and(|until| until <= now || until > now + 365 * DAY) {
        return Err(INVALID);
    }
    let is_replica = region != family.primary;
    let several = family.kind == Kind::Symmetric;
    let named = import.how.is_some() || import.named.is_some() || import.description.is_some();
    if (!several && named) || (is_replica && import.description.is_some()) {
        return Err(INVALID);
    }
    import.flaw.told()?;
    if import.named.as_ref().is_some_and(|named| *named != import.id) {
        return Err(OTHER_MATERIAL);
    }
    let known = family.materials.iter().position(|material| material.id.as_ref() == Some(&import.id));
    let first = family.materials.is_empty();
    let default = if first { ImportType::NewKeyMaterial } else { ImportType::ExistingKeyMaterial };
    let place = match (import.how.unwrap_or(default), known) {
        (ImportType::ExistingKeyMaterial, None) => return Err(OTHER_MATERIAL),
        (ImportType::ExistingKeyMaterial, Some(place)) => place,
        (ImportType::NewKeyMaterial, _) if is_replica => return Err(UNSUPPORTED),
        (ImportType::NewKeyMaterial, Some(place)) if family.materials[place].is_pending() => place,
        (ImportType::NewKeyMaterial, Some(_)) => return Err(OTHER_MATERIAL),
        (ImportType::NewKeyMaterial, None) if family.pending().is_some() => return Err(STATE),
        (ImportType::NewKeyMaterial, None) => {
            let (id, bytes, since) = (Some(import.id.clone()), import.bytes.clone(), first.then_some(now));
            family.materials.push(Material { id, bytes, since, how: None, description: None });
            family.materials.len() - 1
        }
    };
    if import.description.is_some() {
        family.materials[place].description.clone_from(&import.description);
    }
    family.member(region).imports.insert(import.id.clone(), import.until);
    if family.state(region) == State::PendingImport && family.is_complete(&family.members[region], now) {
        family.member(region).state = State::Enabled;
    }
    Ok(())
}

/// DeleteImportedKeyMaterial.
fn give_up(family: &mut Family, region: Region, named: Option<&str>, now: i64) -> Told {
    if !family.external {
        return Err(UNSUPPORTED);
    }
    let place = match named {
        None => family.current(),
        Some(named) => {
            let found = family.materials.iter().position(|material| material.id.as_deref() == Some(named));
            Some(found.ok_or(ABSENT)?)
        }
    };
    if let Some(place) = place {
        lose(family, region, place, now);
    }
    Ok(())
}

/// Material goes from one Region; when it waits for its rotation and the Region is the primary, from all of them.
fn lose(family: &mut Family, region: Region, place: usize, now: i64) {
    let material = family.materials[place].clone();
    let id = material.id.unwrap_or_default();
    family.member(region).imports.remove(&id);
    if material.since.is_none() && region == family.primary {
        family.materials.remove(place);
        for member in family.members.values_mut() {
            member.imports.remove(&id);
        }
    }
    family.settle(now);
}

fn replicate(family: &mut Family, region: Region, to: Region) -> Told {
    family.state(region).demand_enabled()?;
    if !family.multi_region || region != family.primary {
        return Err(UNSUPPORTED);
    }
    if family.members.contains_key(to) {
        return Err(EXISTS);
    }
    if family.members.len() - 1 + family.materials.len() >= 28 {
        return Err(LIMIT);
    }
    let state = if family.external { State::PendingImport } else { State::Enabled };
    family.members.insert(to, Member { state, imports: BTreeMap::new() });
    Ok(())
}

fn move_primary(family: &mut Family, region: Region, to: Region) -> Told {
    family.state(region).demand_enabled()?;
    if !family.multi_region || region != family.primary {
        return Err(UNSUPPORTED);
    }
    if to == region {
        return Err(INVALID);
    }
    family.members.get(to).ok_or(ABSENT)?.state.demand_enabled()?;
    family.primary = to;
    Ok(())
}

fn expire(family: &mut Family, now: i64) {
    let regions: Vec<Region> = family.members.keys().copied().collect();
    for region in regions {
        let ended = |until: &Option<i64>| until.is_some_and(|until| until <= now);
        let imports = family.members[region].imports.iter();
        let ended: Vec<String> = imports.filter(|(_, until)| ended(until)).map(|(id, _)| id.clone()).collect();
        for id in ended {
            let place = family.materials.iter().position(|material| material.id.as_ref() == Some(&id));
            if let Some(place) = place {
                lose(family, region, place, now);
            }
        }
    }
}

fn delete(family: &mut Family, now: i64) {
    let ended = |member: &Member| matches!(member.state, State::PendingDeletion { at } if at <= now);
    family.members.retain(|_, member| !ended(member));
    let alone = family.members.len() == 1;
    if let Some(primary) = family.members.get_mut(family.primary)
        && let State::PendingReplicaDeletion { days } = primary.state
        && alone
    {
        primary.state = State::PendingDeletion { at: now + days * DAY };
    }
}

/// Once, however late it is.
fn rotate(family: &mut Family, now: i64) {
    let works = family.members.get(family.primary).is_some_and(|member| member.state == State::Enabled);
    let Some(rotation) = family.rotation.filter(|rotation| works && rotation.next <= now) else { return };
    let since = if now - rotation.next < DAY { rotation.next } else { now };
    family.rotation = Some(Rotation { since, next: since + rotation.days * DAY, ..rotation });
    let how = Some(RotationType::Automatic);
    family.materials.push(Material { id: None, bytes: Vec::new(), since: Some(now), how, description: None });
}
