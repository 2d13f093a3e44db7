//! GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial, and the expiry of imported material.

use claviger_api::kms::{
    DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse, ExpirationModelType,
    GetParametersForImportRequest, GetParametersForImportResponse, ImportKeyMaterialRequest, ImportKeyMaterialResponse,
    ImportType, KeySpec,
};
use claviger_api::{Timestamp, Valid};
use claviger_crypto::{ImportError, KeyId, KeyMaterial, MaterialId};
use claviger_engine::{Audited, Call, Due, Facts, Fault, JobOutcome, Outcome, Value, Writes};
use claviger_secret::SecretBytes;

use super::lifecycle::SERVICE;
use super::replicas;
use crate::KmsError;
use crate::algorithms::material_spec;
use crate::find::{Forms, NamedKey};
use crate::import_token::{Way, issue, read};
use crate::life::{Import, MaterialFacts};
use crate::operation::{KeyOperation, key_parameter};
use crate::records::{Key, KeyState, Material, facts_key, material_key};
use crate::state::Permits;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The longest time in days until imported material expires (reference/lifecycle.md section 5).
const EXPIRY_DAYS_MAX: i64 = 365;

/// Refuses keys whose material does not come from outside, whatever their state; then those pending deletion.
fn demand_external(key: &Key) -> Result<(), KmsError> {
    if !key.is_external() {
        let text = format!("{} origin is {} which is not valid for this operation.", key.arn(), key.origin.as_str());
        return Err(KmsError::Unsupported(Some(text)));
    }
    Ok(())
}

pub(crate) struct GetParametersForImport;

impl KeyOperation for GetParametersForImport {
    type Request = Valid<GetParametersForImportRequest>;
    type Response = GetParametersForImportResponse;
    const NAME: &'static str = "GetParametersForImport";
    const ACTION: &'static str = "kms:GetParametersForImport";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    // Which comes after the question where the material is from.
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        Way::of(request.wrapping_algorithm, request.wrapping_key_spec).map(drop)
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        facts
            .with("kms:WrappingAlgorithm", request.wrapping_algorithm.as_str())
            .with("kms:WrappingKeySpec", request.wrapping_key_spec.as_str())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GetParametersForImportResponse>, KmsError> {
        demand_external(key.key())?;
        Permits::NotPendingDeletion.demand(key.key())?;
        let way = Way::of(request.wrapping_algorithm, request.wrapping_key_spec)?;
        way.demand_fit(key.key())?;
        let issued = issue(call, key.key(), way).await?;
        Ok(Outcome::read_only(GetParametersForImportResponse {
            key_id: Some(key.arn.clone()),
            import_token: Some(issued.token),
            public_key: Some(SecretBytes::from_slice(&issued.public_key)),
            parameters_valid_to: Some(issued.valid_to),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GetParametersForImportResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id)
            .with("wrappingAlgorithm", Value::public_text(request.wrapping_algorithm.as_str()))
            .with("wrappingKeySpec", Value::public_text(request.wrapping_key_spec.as_str()));
    }
}

pub(crate) struct ImportKeyMaterial;

impl KeyOperation for ImportKeyMaterial {
    type Request = Valid<ImportKeyMaterialRequest>;
    type Response = ImportKeyMaterialResponse;
    const NAME: &'static str = "ImportKeyMaterial";
    const ACTION: &'static str = "kms:ImportKeyMaterial";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        match (request.expiration_model, request.valid_to) {
            (None | Some(ExpirationModelType::KeyMaterialExpires), None) => {
                Err(KmsError::validation("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"))
            }
            (Some(ExpirationModelType::KeyMaterialDoesNotExpire), Some(_)) => Err(KmsError::validation(
                "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
            )),
            _ if request.import_type == Some(ImportType::NewKeyMaterial) && request.key_material_id.is_some() => {
                Err(KmsError::validation("KeyMaterialId cannot be specified when ImportType is NEW_KEY_MATERIAL"))
            }
            _ => Ok(()),
        }
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        let seconds = request.valid_to.map(|time| time.millis().div_euclid(1000).to_string());
        facts
            .with_some("kms:ExpirationModel", request.expiration_model.map(ExpirationModelType::as_str))
            .with_some("kms:ValidTo", seconds)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ImportKeyMaterialResponse>, KmsError> {
        demand_external(key.key())?;
        Permits::NotPendingDeletion.demand(key.key())?;
        demand_expiry(request.valid_to, call.now())?;
        demand_symmetric_only(key.key(), request)?;
        let material = unwrapped(call, key.key(), request).await?;
        let id = material.material_id();
        let mut changed = key.to_changed();
        let at = place_of(key.key(), &id, request)?;
        let (now, mut writes) = (call.now(), Writes::default());
        forget_expiry(call, &mut writes, key.key(), &id).await?;
        let before = key.key().material(&id).and_then(|facts| facts.import.clone());
        let described = before.and_then(|before| before.description);
        let description = request.key_material_description.clone().or(described);
        let import = Import { at: now, expires: request.valid_to, present: true, description };
        match at {
            Place::Known => {
                let facts = changed.materials.iter_mut().find(|facts| facts.id == id).ok_or(Fault::Cryptography)?;
                facts.import = Some(import);
            }
            Place::First => {
                changed.materials.push(MaterialFacts { import: Some(import), ..MaterialFacts::current(id, now, None) });
            }
            Place::Pending => {
                changed.materials.push(MaterialFacts { id, since: None, rotation: None, import: Some(import) });
            }
        }
        if key.key().state == KeyState::PendingImport && !changed.lacks_material(now) {
            changed.state = KeyState::Enabled;
        }
        if let Some(expires) = request.valid_to {
            Due::plan(call, &mut writes, SERVICE, expires, &expiry_job(&changed, &id)).await?;
        }
        let row = material_key(&changed.region, &changed.id, &id);
        call.row::<Material>(&row).await?;
        writes.put(call, row, Material { material, id })?;
        let symmetric = changed.spec == KeySpec::SymmetricDefault;
        // Replicas learn which material is to be imported there too.
        replicas::carry(call, &mut writes, &changed).await?;
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        let response = ImportKeyMaterialResponse {
            key_id: Some(key.arn.clone()),
            key_material_id: symmetric.then(|| id.to_string()),
        };
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(request: &Self::Request, response: Option<&ImportKeyMaterialResponse>, audited: &mut Audited) {
        let optional = |value: Value, name: &'static str, text: Option<&str>| match text {
            Some(text) => value.with(name, Value::public_text(text)),
            None => value,
        };
        let model = request.expiration_model.unwrap_or(ExpirationModelType::KeyMaterialExpires);
        let valid_to = request.valid_to.map(Timestamp::to_iso8601);
        let value = key_parameter(&request.key_id).with("expirationModel", Value::public_text(model.as_str()));
        let value = optional(value, "validTo", valid_to.as_deref());
        let value = optional(value, "importType", request.import_type.map(ImportType::as_str));
        let value = optional(value, "keyMaterialId", request.key_material_id.as_deref());
        audited.request_parameters =
            optional(value, "keyMaterialDescription", request.key_material_description.as_deref());
        if let Some(response) = response {
            let value = key_parameter(response.key_id.as_deref().unwrap_or_default());
            audited.response_elements = optional(value, "keyMaterialId", response.key_material_id.as_deref());
        }
    }
}

fn demand_expiry(valid_to: Option<Timestamp>, now: Timestamp) -> Result<(), KmsError> {
    let Some(valid_to) = valid_to else { return Ok(()) };
    if valid_to <= now {
        return Err(KmsError::validation("ValidTo must be in the future"));
    }
    if valid_to.millis().saturating_sub(now.millis()) > EXPIRY_DAYS_MAX * DAY_MILLIS {
        return Err(KmsError::validation(format!("ValidTo must be at most {EXPIRY_DAYS_MAX} days in the future")));
    }
    Ok(())
}

/// Only symmetric keys can have several materials, so only their requests may tell them apart. What a material is
/// called is shared by related keys, and said to the primary one.
fn demand_symmetric_only(key: &Key, request: &ImportKeyMaterialRequest) -> Result<(), KmsError> {
    if key.spec == KeySpec::SymmetricDefault {
        if key.is_replica() && request.key_material_description.is_some() {
            return Err(KmsError::validation("KeyMaterialDescription is not valid for a multi-region replica key."));
        }
        return Ok(());
    }
    let named = [
        ("ImportType", request.import_type.is_some()),
        ("KeyMaterialId", request.key_material_id.is_some()),
        ("KeyMaterialDescription", request.key_material_description.is_some()),
    ];
    match named.into_iter().find(|(_, is_there)| *is_there) {
        Some((name, _)) => {
            let spec = key.spec.as_str();
            Err(KmsError::validation(format!("{name} is only valid for symmetric encryption keys, not for {spec}.")))
        }
        None => Ok(()),
    }
}

/// The material of the request, taken out of its wrapping in the pool for heavy work.
async fn unwrapped(
    call: &mut Call<'_>,
    key: &Key,
    request: &ImportKeyMaterialRequest,
) -> Result<KeyMaterial, KmsError> {
    let ticket = read(call, key, &request.import_token)?;
    ticket.way.demand_fit(key)?;
    let key_id = KeyId::parse(&key.id).map_err(|_| Fault::Cryptography)?;
    let spec = material_spec(key.spec).ok_or(Fault::Cryptography)?;
    let wrapped = request.encrypted_key_material.clone();
    let unwrap = move || {
        let wrapping_key = ticket.wrapping_key.pair().ok_or(ImportError::Library)?;
        ticket.way.wrapping.unwrap(wrapping_key, key_id, spec, &wrapped)
    };
    call.heavy(unwrap).await?.map_err(|error| match error {
        ImportError::WrappedLength => KmsError::validation("Invalid encrypted key size."),
        ImportError::Unwrap => KmsError::InvalidCiphertext,
        ImportError::OtherKind => KmsError::IncorrectKeyMaterial(format!(
            "The key material is not valid for a KMS key with key spec {}.",
            key.spec.as_str()
        )),
        ImportError::Library => Fault::Cryptography.into(),
    })
}

/// Where an imported material stands in its key's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// The key has it, present or not.
    Known,
    /// It is the key's first, and current at once.
    First,
    /// It waits for RotateKeyOnDemand.
    Pending,
}

/// What the material becomes (reference/lifecycle.md section 5, "Re-import rule").
fn place_of(key: &Key, id: &MaterialId, request: &ImportKeyMaterialRequest) -> Result<Place, KmsError> {
    let incorrect = |text: &str| Err(KmsError::IncorrectKeyMaterial(text.to_owned()));
    let default = if key.materials.is_empty() { ImportType::NewKeyMaterial } else { ImportType::ExistingKeyMaterial };
    let known = key.material(id);
    if request.key_material_id.as_ref().is_some_and(|named| *named != id.to_string()) {
        return incorrect("The key material is not the one that KeyMaterialId identifies.");
    }
    match (request.import_type.unwrap_or(default), known) {
        (ImportType::ExistingKeyMaterial, Some(_)) => Ok(Place::Known),
        (ImportType::ExistingKeyMaterial, None) => {
            incorrect("The key material is not one that was previously imported into this KMS key.")
        }
        // New material enters through the primary key alone.
        (ImportType::NewKeyMaterial, _) if key.is_replica() => {
            Err(KmsError::Unsupported(Some(format!("{} is not a multi-region primary key.", key.arn()))))
        }
        // A call that is made once more, as its first answer was lost.
        (ImportType::NewKeyMaterial, Some(facts)) if facts.is_pending() => Ok(Place::Known),
        (ImportType::NewKeyMaterial, Some(_)) => incorrect(
            "The key material was previously imported into this KMS key. Use ImportType EXISTING_KEY_MATERIAL.",
        ),
        (ImportType::NewKeyMaterial, None) if key.materials.is_empty() => Ok(Place::First),
        (ImportType::NewKeyMaterial, None) => match key.materials.iter().find(|facts| facts.is_pending()) {
            Some(pending) => Err(KmsError::InvalidState(format!(
                "New key material (id: {id}) cannot be imported into KMS key {}, because another key material \
                 (id: {}) is pending rotation.",
                key.arn(),
                pending.id
            ))),
            None => Ok(Place::Pending),
        },
    }
}

pub(crate) struct DeleteImportedKeyMaterial;

impl KeyOperation for DeleteImportedKeyMaterial {
    type Request = Valid<DeleteImportedKeyMaterialRequest>;
    type Response = DeleteImportedKeyMaterialResponse;
    const NAME: &'static str = "DeleteImportedKeyMaterial";
    const ACTION: &'static str = "kms:DeleteImportedKeyMaterial";
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
        request: &Self::Request,
    ) -> Result<Outcome<DeleteImportedKeyMaterialResponse>, KmsError> {
        demand_external(key.key())?;
        let id = match &request.key_material_id {
            None => key.key().current_facts().map(|facts| facts.id),
            Some(named) => {
                let found = key.key().materials.iter().find(|facts| facts.id.to_string() == *named);
                let absent = || KmsError::NotFound(format!("Key material {named} of key {} is not found.", key.arn));
                Some(found.ok_or_else(absent)?.id)
            }
        };
        let response = DeleteImportedKeyMaterialResponse {
            key_id: Some(key.arn.clone()),
            key_material_id: id.map(|id| id.to_string()),
        };
        let Some(id) = id else { return Ok(Outcome::read_only(response)) };
        let mut writes = Writes::default();
        forget_expiry(call, &mut writes, key.key(), &id).await?;
        let mut changed = key.to_changed();
        destroy(call, &mut writes, &mut changed, &id).await?;
        // Asks for the store's files to be cleared of it, in the same commit; what is due since ever is done next,
        // however the clock is set.
        Due::plan(call, &mut writes, SERVICE, Timestamp::from_millis(0), &erasure_job(&changed)).await?;
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(request: &Self::Request, response: Option<&DeleteImportedKeyMaterialResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
        if let Some(id) = &request.key_material_id {
            let shown = std::mem::take(&mut audited.request_parameters);
            audited.request_parameters = shown.with("keyMaterialId", Value::public_text(id));
        }
        if let Some(response) = response {
            let shown = key_parameter(response.key_id.as_deref().unwrap_or_default());
            let id = response.key_material_id.as_deref();
            audited.response_elements = match id {
                Some(id) => shown.with("keyMaterialId", Value::public_text(id)),
                None => shown,
            };
        }
    }
}

/// Removes a material's row and says so in the key's facts: that is what keeps a row put back from serving again. What
/// was current once stays listed, as the key cannot be used without it; what waited for its rotation is forgotten.
async fn destroy(call: &mut Call<'_>, writes: &mut Writes, key: &mut Key, id: &MaterialId) -> Result<(), Fault> {
    let row = material_key(&key.region, &key.id, id);
    if call.row::<Material>(&row).await?.is_some() {
        writes.delete(row);
    }
    let before = key.materials.len();
    // A replica keeps the place of what its primary still waits for.
    let is_replica = key.is_replica();
    key.materials.retain(|facts| facts.id != *id || !facts.is_pending() || is_replica);
    if key.materials.len() < before {
        replicas::carry(call, writes, key).await?;
    }
    for import in key.materials.iter_mut().filter(|facts| facts.id == *id).filter_map(|facts| facts.import.as_mut()) {
        import.present = false;
        import.expires = None;
    }
    if !key.is_pending_deletion() && key.lacks_import() {
        key.state = KeyState::PendingImport;
    }
    Ok(())
}

fn expiry_job(key: &Key, id: &MaterialId) -> String {
    format!("expire {} {} {id}", key.region, key.id)
}

fn erasure_job(key: &Key) -> String {
    format!("erase {} {}", key.region, key.id)
}

/// Takes back the planned expiry of a material that is imported anew or goes before.
///
/// # Errors
/// A [`Fault`] when the store does not answer.
pub(crate) async fn forget_expiry(
    call: &mut Call<'_>,
    writes: &mut Writes,
    key: &Key,
    id: &MaterialId,
) -> Result<(), Fault> {
    let import = key.material(id).and_then(|facts| facts.import.as_ref()).filter(|import| import.present);
    match import.and_then(|import| import.expires) {
        Some(expires) => Due::cancel(call, writes, SERVICE, expires, &expiry_job(key, id)).await,
        None => Ok(()),
    }
}

/// The due job of an expiry: the material goes, and the log says so. A repeated one, and one that a later import or
/// deletion overtook, finds nothing to do.
pub(crate) async fn expire(
    call: &mut Call<'_>,
    due: Timestamp,
    region: &str,
    id: &str,
    material: &str,
) -> Result<JobOutcome, Fault> {
    let nothing =
        JobOutcome { writes: Writes::default(), event: None, account: String::new(), region: region.to_owned() };
    let Some(row) = call.row::<Key>(&facts_key(region, id)).await? else { return Ok(nothing) };
    let is_it = |facts: &&MaterialFacts| {
        let import = facts.import.as_ref().filter(|import| import.present && import.expires == Some(due));
        import.is_some() && facts.id.to_string() == material
    };
    let Some(material) = row.record.materials.iter().find(is_it).map(|facts| facts.id) else { return Ok(nothing) };
    let (mut writes, mut key) = (Writes::default(), Key::clone(&row.record));
    destroy(call, &mut writes, &mut key, &material).await?;
    let (arn, account) = (key.arn(), key.account.clone());
    writes.put(call, facts_key(region, id), key)?;
    let audited = Audited {
        additional: key_parameter(id).with("keyMaterialId", Value::public_text(&material.to_string())),
        resources: vec![(arn, account.clone())],
        ..Audited::default()
    };
    Ok(JobOutcome { writes, event: Some(("DeleteExpiredKeyMaterial", audited)), account, region: region.to_owned() })
}

/// The due job of a deletion: its row is gone already, and the engine clears the store's files after every job.
pub(crate) fn erase(region: &str) -> JobOutcome {
    JobOutcome { writes: Writes::default(), event: None, account: String::new(), region: region.to_owned() }
}
