//! Rotation: EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations, and the
//! rotation itself, which comes with its time. The key and all else about it stay: only the current material changes,
//! and older ones are kept for what they encrypted.

use std::sync::Arc;

use claviger_api::kms::{
    DisableKeyRotationRequest, EnableKeyRotationRequest, ExpirationModelType, GetKeyRotationStatusRequest,
    GetKeyRotationStatusResponse, ImportState, IncludeKeyMaterial, KeyMaterialState, KeySpec, ListKeyRotationsRequest,
    ListKeyRotationsResponse, RotateKeyOnDemandRequest, RotateKeyOnDemandResponse, RotationType, RotationsListEntry,
};
use claviger_api::{Timestamp, Valid};
use claviger_crypto::{KeyId, KeyMaterial, MaterialId, MaterialSpec};
use claviger_engine::{Audited, Call, Due, DueJob, Facts, Fault, JobOutcome, Outcome, Value, Writes};

use super::lifecycle::SERVICE;
use super::listing::{page_of, position_marker};
use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::life::{Import, MaterialFacts, Rotation};
use crate::operation::{KeyOperation, key_parameter};
use crate::records::{Key, KeyState, Material, facts_key, material_key};
use crate::state::Permits;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The days between rotations when a request does not say.
const PERIOD_DAYS: u32 = 365;
/// Rotations on demand in the life of a key.
const ON_DEMAND_MAX: u32 = 25;
/// Before an automatic rotation, none is done on demand for so long.
const CONFLICT_MILLIS: i64 = 20 * 60 * 1000;
/// Page sizes of ListKeyRotations.
const PAGE: (usize, usize) = (100, 1_000);

pub(crate) struct EnableKeyRotation;

impl KeyOperation for EnableKeyRotation {
    type Request = Valid<EnableKeyRotationRequest>;
    type Response = ();
    const NAME: &'static str = "EnableKeyRotation";
    const ACTION: &'static str = "kms:EnableKeyRotation";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const SHOWS_KEY: bool = true;
    // The kind of the key is judged before its state.
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        facts.with("kms:RotationPeriodInDays", asked_days(request).unwrap_or(PERIOD_DAYS).to_string())
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        demand_automatic(key.key())?;
        Permits::Enabled.demand(key.key())?;
        let (now, before) = (call.now(), key.key().rotation);
        let asked = asked_days(request).or(before.map(|rotation| rotation.period_days)).unwrap_or(PERIOD_DAYS);
        let rotation = match before {
            Some(rotation) if rotation.period_days == asked => rotation,
            before => {
                let since = before.map_or(now, |rotation| rotation.since);
                Rotation { period_days: asked, since, next: after_days(since, asked) }
            }
        };
        set_rotation(call, key, Some(rotation)).await
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
        if let Some(days) = request.rotation_period_in_days {
            let shown = std::mem::take(&mut audited.request_parameters);
            audited.request_parameters = shown.with("rotationPeriodInDays", i64::from(days));
        }
    }
}

fn asked_days(request: &EnableKeyRotationRequest) -> Option<u32> {
    request.rotation_period_in_days.and_then(|days| u32::try_from(days).ok())
}

pub(crate) struct DisableKeyRotation;

impl KeyOperation for DisableKeyRotation {
    type Request = Valid<DisableKeyRotationRequest>;
    type Response = ();
    const NAME: &'static str = "DisableKeyRotation";
    const ACTION: &'static str = "kms:DisableKeyRotation";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, _: &Self::Request) -> Result<Outcome<()>, KmsError> {
        demand_automatic(key.key())?;
        Permits::Enabled.demand(key.key())?;
        set_rotation(call, key, None).await
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}

/// Switches automatic rotation on, over or off, with its job, for the key and its replicas.
async fn set_rotation(
    call: &mut Call<'_>,
    key: &NamedKey,
    rotation: Option<Rotation>,
) -> Result<Outcome<()>, KmsError> {
    let mut writes = Writes::default();
    if key.key().rotation != rotation {
        let mut changed = key.to_changed();
        cancel(call, &mut writes, &changed).await?;
        changed.rotation = rotation;
        resume(call, &mut writes, &changed).await?;
        for mut replica in replicas(call, &changed).await? {
            replica.rotation = rotation;
            writes.put(call, facts_key(&replica.region, &replica.id), replica)?;
        }
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
    }
    Ok(Outcome::with_writes((), writes))
}

/// Refuses keys that no automatic rotation is for.
fn demand_automatic(key: &Key) -> Result<(), KmsError> {
    demand_rotating(key)?;
    demand_primary(key)?;
    demand_own_material(key)
}

fn demand_rotating(key: &Key) -> Result<(), KmsError> {
    // AWS sends no text (reference/errors.md).
    if key.spec == KeySpec::SymmetricDefault { Ok(()) } else { Err(KmsError::Unsupported(None)) }
}

fn demand_primary(key: &Key) -> Result<(), KmsError> {
    let refused = || KmsError::Unsupported(Some(format!("{} is not a multi-region primary key.", key.arn())));
    if key.is_replica() { Err(refused()) } else { Ok(()) }
}

fn demand_own_material(key: &Key) -> Result<(), KmsError> {
    if !key.is_external() {
        return Ok(());
    }
    let text = format!("{} origin is EXTERNAL which is not valid for this operation.", key.arn());
    Err(KmsError::Unsupported(Some(text)))
}

pub(crate) struct GetKeyRotationStatus;

impl KeyOperation for GetKeyRotationStatus {
    type Request = Valid<GetKeyRotationStatusRequest>;
    type Response = GetKeyRotationStatusResponse;
    const NAME: &'static str = "GetKeyRotationStatus";
    const ACTION: &'static str = "kms:GetKeyRotationStatus";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        _: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<GetKeyRotationStatusResponse>, KmsError> {
        let key = key.key();
        // Keys that never rotate answer that they do not: Terraform asks for every key with material of ours.
        demand_own_material(key)?;
        let rotation = key.rotation.filter(|_| !key.is_pending_deletion());
        Ok(Outcome::read_only(GetKeyRotationStatusResponse {
            key_rotation_enabled: Some(rotation.is_some()),
            key_id: Some(key.id.clone()),
            rotation_period_in_days: rotation.and_then(|rotation| i32::try_from(rotation.period_days).ok()),
            next_rotation_date: rotation.map(|rotation| rotation.next),
            // A rotation on demand is over when its call is answered.
            on_demand_rotation_start_date: None,
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GetKeyRotationStatusResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}

pub(crate) struct RotateKeyOnDemand;

impl KeyOperation for RotateKeyOnDemand {
    type Request = Valid<RotateKeyOnDemandRequest>;
    type Response = RotateKeyOnDemandResponse;
    const NAME: &'static str = "RotateKeyOnDemand";
    const ACTION: &'static str = "kms:RotateKeyOnDemand";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<RotateKeyOnDemandResponse>, KmsError> {
        let facts = key.key();
        demand_rotating(facts)?;
        demand_primary(facts)?;
        Permits::Enabled.demand(facts)?;
        let arn = &key.arn;
        if facts.on_demand_rotations >= ON_DEMAND_MAX {
            return Err(KmsError::LimitExceeded(format!(
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can \
                 be performed for this key: {arn}"
            )));
        }
        let now = call.now();
        let near = |rotation: &Rotation| rotation.next.millis() <= now.millis().saturating_add(CONFLICT_MILLIS);
        if facts.rotation.as_ref().is_some_and(near) {
            return Err(KmsError::Conflict(format!("An automatic rotation of {arn} is about to begin.")));
        }
        let mut changed = key.to_changed();
        changed.on_demand_rotations += 1;
        let mut writes = Writes::default();
        let material = if changed.is_external() {
            promote(call, &mut writes, &mut changed).await?
        } else {
            renew(call, &mut writes, &mut changed, RotationType::OnDemand).await?
        };
        // The service event comes from a job, since a call has its own record.
        Due::plan(call, &mut writes, SERVICE, now, &note_job(&changed, &material)).await?;
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        Ok(Outcome::with_writes(RotateKeyOnDemandResponse { key_id: Some(arn.clone()) }, writes))
    }

    fn audited(request: &Self::Request, response: Option<&RotateKeyOnDemandResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
        if let Some(arn) = response.and_then(|response| response.key_id.as_deref()) {
            audited.response_elements = key_parameter(arn);
        }
    }
}

/// Gives the key, and each of its replicas, new material that is current from now on.
async fn renew(
    call: &mut Call<'_>,
    writes: &mut Writes,
    key: &mut Key,
    kind: RotationType,
) -> Result<MaterialId, Fault> {
    let key_id = KeyId::parse(&key.id).map_err(|_| Fault::Cryptography)?;
    let made = Material::of(KeyMaterial::generate(key_id, MaterialSpec::Symmetric)?);
    let facts = MaterialFacts::current(made.id, call.now(), Some(kind));
    for mut replica in replicas(call, key).await? {
        replica.materials.push(facts.clone());
        (replica.rotation, replica.on_demand_rotations) = (key.rotation, key.on_demand_rotations);
        place(call, writes, &replica, made.copied(call.keys())?).await?;
        writes.put(call, facts_key(&replica.region, &replica.id), replica)?;
    }
    key.materials.push(facts);
    let id = made.id;
    place(call, writes, key, made).await?;
    Ok(id)
}

async fn place(call: &mut Call<'_>, writes: &mut Writes, key: &Key, material: Material) -> Result<(), Fault> {
    let row = material_key(&key.region, &key.id, &material.id);
    // Read first, so that the commit proves that nothing stood there.
    if call.row::<Material>(&row).await?.is_some() {
        return Err(Fault::Cryptography);
    }
    writes.put(call, row, material)
}

/// Makes the imported material that waits the current one, once it is there in every Region.
async fn promote(call: &mut Call<'_>, writes: &mut Writes, key: &mut Key) -> Result<MaterialId, KmsError> {
    let (now, arn) = (call.now(), key.arn());
    let none = || KmsError::InvalidState(format!("No available key material pending rotation for the key: {arn}."));
    let waits = |key: &Key, id: MaterialId| {
        key.materials
            .last()
            .is_some_and(|material| material.is_pending() && material.is_present(now) && material.id == id)
    };
    let id = key.materials.last().map(|material| material.id).ok_or_else(none)?;
    let mut replicas = replicas(call, key).await?;
    if !waits(key, id) || !replicas.iter().all(|replica| waits(replica, id)) {
        return Err(none());
    }
    for key in replicas.iter_mut().chain([&mut *key]) {
        if let Some(material) = key.materials.last_mut() {
            (material.since, material.rotation) = (Some(now), Some(RotationType::OnDemand));
        }
    }
    for mut replica in replicas {
        replica.on_demand_rotations = key.on_demand_rotations;
        writes.put(call, facts_key(&replica.region, &replica.id), replica)?;
    }
    Ok(id)
}

/// The replicas of a primary key, to be changed with it.
async fn replicas(call: &mut Call<'_>, key: &Key) -> Result<Vec<Key>, Fault> {
    let mut found = Vec::new();
    for region in key.multi_region.iter().flat_map(|regions| &regions.replicas) {
        let row = facts_key(region, &key.id);
        let replica = call.row::<Key>(&row).await?.ok_or_else(|| Fault::RecordMissing(row.printable()))?;
        found.push(Key::clone(&replica.record));
    }
    Ok(found)
}

fn after_days(time: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_millis(time.millis().saturating_add(i64::from(days) * DAY_MILLIS))
}

fn rotation_job(key: &Key) -> String {
    format!("rotate {} {}", key.region, key.id)
}

fn note_job(key: &Key, material: &MaterialId) -> String {
    format!("note-rotation {} {} {material}", key.region, key.id)
}

/// Plans the next automatic rotation of a key that may be used (again): at once when it is overdue. To be called with
/// every commit that makes a key enabled, a primary, or its rotation another.
pub(crate) async fn resume(call: &mut Call<'_>, writes: &mut Writes, key: &Key) -> Result<(), Fault> {
    match key.rotation {
        Some(rotation) if key.state == KeyState::Enabled && !key.is_replica() => {
            Due::plan(call, writes, SERVICE, rotation.next.max(call.now()), &rotation_job(key)).await
        }
        _ => Ok(()),
    }
}

/// Takes back the next automatic rotation. One that was planned late, or stays behind all the same, does nothing
/// before its time and plans nothing.
pub(crate) async fn cancel(call: &mut Call<'_>, writes: &mut Writes, key: &Key) -> Result<(), Fault> {
    match key.rotation {
        Some(rotation) => Due::cancel(call, writes, SERVICE, rotation.next, &rotation_job(key)).await,
        None => Ok(()),
    }
}

/// The job: rotates once, however late it is, and plans the next rotation. Whether it is time is read from the key, in
/// the same commit as the rotation: so it does not matter how often, and by how many, this is done.
pub(crate) async fn rotate(call: &mut Call<'_>, region: &str, id: &str) -> Result<JobOutcome, Fault> {
    let now = call.now();
    let row = call.row::<Key>(&facts_key(region, id)).await?;
    let due = row.and_then(|row| {
        let usable = row.record.state == KeyState::Enabled && !row.record.is_replica();
        let rotation = row.record.rotation.filter(|rotation| usable && rotation.next <= now)?;
        Some((row.record, rotation))
    });
    let mut writes = Writes::default();
    let Some((key, rotation)) = due else {
        return Ok(JobOutcome { writes, event: None, account: String::new(), region: region.to_owned() });
    };
    let mut key = Key::clone(&key);
    // In time, the dates stay a period apart; after a delay, they are counted from the rotation.
    let in_time = now.millis().saturating_sub(rotation.next.millis()) < DAY_MILLIS;
    let since = if in_time { rotation.next } else { now };
    let next = after_days(since, rotation.period_days);
    key.rotation = Some(Rotation { since, next, ..rotation });
    let material = renew(call, &mut writes, &mut key, RotationType::Automatic).await?;
    resume(call, &mut writes, &key).await?;
    let event = event(&key, &material);
    let account = key.account.clone();
    writes.put(call, facts_key(region, id), key)?;
    Ok(JobOutcome { writes, event, account, region: region.to_owned() })
}

/// The job that records a rotation on demand.
pub(crate) async fn note(call: &mut Call<'_>, job: &DueJob, words: [&str; 3]) -> Result<JobOutcome, Fault> {
    let [region, id, material] = words;
    let malformed = || Fault::RecordMalformed(job.row.printable());
    let bytes = hex::decode(material).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(malformed)?;
    let key: Option<Arc<Key>> = call.row::<Key>(&facts_key(region, id)).await?.map(|row| row.record);
    let event = key.as_ref().and_then(|key| event(key, &MaterialId::from_bytes(bytes)));
    let account = key.map(|key| key.account.clone()).unwrap_or_default();
    Ok(JobOutcome { writes: Writes::default(), event, account, region: region.to_owned() })
}

/// The service event of the rotation that made this material current.
fn event(key: &Key, material: &MaterialId) -> Option<(&'static str, Audited)> {
    let at = key.materials.iter().position(|other| other.id == *material)?;
    let rotation = key.materials.get(at)?.rotation?;
    let previous = key.materials.get(at.checked_sub(1)?)?;
    let audited = Audited {
        additional: Value::object([
            ("keyId", Value::public_text(&key.id)),
            ("keyOrigin", Value::public_text(key.origin.as_str())),
            ("rotationType", Value::public_text(rotation.as_str())),
            ("previousKeyMaterialId", Value::public_text(&previous.id.to_string())),
            ("currentKeyMaterialId", Value::public_text(&material.to_string())),
        ]),
        resources: vec![(key.arn(), key.account.clone())],
        ..Audited::default()
    };
    Some(("RotateKey", audited))
}

pub(crate) struct ListKeyRotations;

impl KeyOperation for ListKeyRotations {
    type Request = Valid<ListKeyRotationsRequest>;
    type Response = ListKeyRotationsResponse;
    const NAME: &'static str = "ListKeyRotations";
    const ACTION: &'static str = "kms:ListKeyRotations";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        page_of(request.limit, PAGE)?;
        position_marker(request.marker.as_deref()).map(drop)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ListKeyRotationsResponse>, KmsError> {
        let key = key.key();
        demand_rotating(key)?;
        let (limit, from) = (page_of(request.limit, PAGE)?, position_marker(request.marker.as_deref())?);
        let all = request.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
        let now = call.now();
        let waits = |key: &Key, id: &MaterialId| key.material(id).is_none_or(|material| !material.is_present(now));
        let replicas = if all && !key.is_replica() { replicas(call, key).await? } else { Vec::new() };
        let everywhere = |material: &MaterialFacts| !replicas.iter().any(|replica| waits(replica, &material.id));
        let shown = key.materials.iter().filter(|material| all || material.rotation.is_some());
        let rotations: Vec<_> = shown.skip(from).take(limit + 1).collect();
        let more = rotations.len() > limit;
        let entries = rotations.into_iter().take(limit).map(|material| entry(key, material, now, everywhere(material)));
        Ok(Outcome::read_only(ListKeyRotationsResponse {
            rotations: Some(entries.collect()),
            next_marker: more.then(|| from.saturating_add(limit).to_string()),
            truncated: Some(more),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&ListKeyRotationsResponse>, audited: &mut Audited) {
        let mut shown = key_parameter(&request.key_id);
        if let Some(include) = request.include_key_material {
            shown = shown.with("includeKeyMaterial", Value::public_text(include.as_str()));
        }
        if let Some(limit) = request.limit {
            shown = shown.with("limit", i64::from(limit));
        }
        if let Some(marker) = request.marker.as_deref() {
            shown = shown.with("marker", Value::public_text(marker));
        }
        audited.request_parameters = shown;
    }
}

fn entry(key: &Key, material: &MaterialFacts, now: Timestamp, everywhere: bool) -> RotationsListEntry {
    let state = match material.since {
        None if everywhere => KeyMaterialState::PendingRotation,
        None => KeyMaterialState::PendingMultiRegionImportAndRotation,
        Some(_) if key.current_facts() == Some(material) => KeyMaterialState::Current,
        Some(_) => KeyMaterialState::NonCurrent,
    };
    let import = material.import.as_ref();
    let present = material.is_present(now);
    let model = |import: &Import| match import.expires {
        Some(_) => ExpirationModelType::KeyMaterialExpires,
        None => ExpirationModelType::KeyMaterialDoesNotExpire,
    };
    RotationsListEntry {
        key_id: Some(key.id.clone()),
        key_material_id: Some(material.id.to_string()),
        key_material_description: import.and_then(|import| import.description.clone()),
        import_state: import.map(|_| if present { ImportState::Imported } else { ImportState::PendingImport }),
        key_material_state: Some(state),
        expiration_model: import.filter(|_| present).map(model),
        valid_to: import.filter(|_| present).and_then(|import| import.expires),
        rotation_date: material.since.filter(|_| material.rotation.is_some()),
        rotation_type: material.rotation,
    }
}
