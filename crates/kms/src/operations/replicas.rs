//! Multi-Region keys: ReplicateKey, UpdatePrimaryRegion, and what related keys share.
//!
//! Related keys are keys of one id in several Regions, each with rows of its own: facts, and the same materials wrapped
//! once for each Region. What they share is written to all of them in one commit, so that none is ever behind another;
//! AWS's states Creating and Updating, in which its Regions wait for each other, do not last here.

use std::sync::Arc;

use claviger_api::Valid;
use claviger_api::kms::{
    KeyMetadata, KeyState as WireState, MultiRegionKeyType, ReplicateKeyRequest, ReplicateKeyResponse, Tag,
    UpdatePrimaryRegionRequest,
};
use claviger_engine::Value;
use claviger_engine::{
    Audited, Authorized, Call, Charge, Facts, Fault, Operation, OperationRow, Outcome, Question, RecordElsewhere, Row,
    Writes,
};

use super::create_key::account_question;
use super::keys::metadata;
use super::policies::{checked_policy, default_policy};
use super::rotation;
use super::tags::checked_tags;
use crate::conditions::{of_kind, with_tags};
use crate::find::{Forms, NamedKey, find};
use crate::life::{Import, MaterialFacts, MultiRegion};
use crate::operation::{key_parameter, row};
use crate::records::{Key, KeyState, Listed, Material, facts_key, key_arn, listed_key, material_key};
use crate::state::Permits;
use crate::{Kms, KmsError, key_count, quotas};

/// Replicas of one key at most: a change of what they share must fit one commit.
const REPLICAS_MAX: usize = 14;
/// Replicas and materials of one key together at most, when it gets another replica: all of it is one commit.
const ROWS_MAX: usize = 28;

const REPLICATE: &str = "kms:ReplicateKey";
const CREATE: &str = "kms:CreateKey";
const TAG: &str = "kms:TagResource";
const UPDATE_PRIMARY: &str = "kms:UpdatePrimaryRegion";

pub(crate) struct ReplicateKey;

impl Operation for ReplicateKey {
    type Service = Kms;
    type Request = Valid<ReplicateKeyRequest>;
    type Response = ReplicateKeyResponse;
    type Error = KmsError;
    type Resources = NamedKey;
    const ROW: OperationRow = row("ReplicateKey", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<NamedKey, KmsError> {
        find(call, &request.key_id, Forms::Key, REPLICATE).await
    }

    fn charges(_: &NamedKey, request: &Self::Request) -> Vec<Charge> {
        quotas::of_replica(&request.replica_region)
    }

    fn questions(call: &Call<'_>, key: &NamedKey, request: &Self::Request) -> Vec<Question> {
        let mut questions = vec![key.question(REPLICATE, false), account_question(call, CREATE)];
        if request.tags.is_some() {
            questions.push(account_question(call, TAG));
        }
        questions
    }

    fn facts(call: &Call<'_>, key: &NamedKey, request: &Self::Request, question: &Question) -> Facts {
        let facts = if question.action == REPLICATE {
            key.facts(call).with("kms:ReplicaRegion", request.replica_region.as_str())
        } else {
            let (key, bypass) = (key.key(), request.bypass_policy_lockout_safety_check);
            of_kind(call, key.spec.as_str(), key.usage.as_str(), key.origin, true)
                .in_region(request.replica_region.as_str())
                .with("kms:MultiRegionKeyType", MultiRegionKeyType::Replica.as_str())
                .with_some("kms:BypassPolicyLockoutSafetyCheck", bypass.map(|bypass| bypass.to_string()))
        };
        with_tags(facts, request.tags.as_deref().unwrap_or_default())
    }

    async fn perform(
        call: &mut Call<'_>,
        kms: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ReplicateKeyResponse>, KmsError> {
        let primary = authorized.resources();
        Permits::Enabled.demand(primary.key())?;
        demand_served(call, &request.replica_region)?;
        let regions = with_replica(primary.key(), &request.replica_region)?;
        let tags = checked_tags(request.tags.as_deref().unwrap_or_default(), &[])?;
        let mut changed = primary.to_changed();
        let others = changed.multi_region.replace(regions).map(|before| before.replicas).unwrap_or_default();
        let mut replica = replica_of(call, &changed, request, tags)?;
        if let Some(text) = &request.policy {
            let bypass = request.bypass_policy_lockout_safety_check == Some(true);
            replica.policy = Arc::new(checked_policy(call, text, &replica, &[], bypass).await?);
        }
        let mut writes = Writes::default();
        place(call, &mut writes, &changed, &replica).await?;
        let (region, account) = (&replica.region, &replica.account);
        key_count::one_more(call, region, account, &replica.id, kms.keys_max).await?.put(call, &mut writes)?;
        share(call, &mut writes, &changed, &others).await?;
        let tag = |(key, value): &(String, String)| Tag { tag_key: key.clone(), tag_value: value.clone() };
        let response = ReplicateKeyResponse {
            replica_key_metadata: Some(shown_new(&replica)?),
            replica_policy: Some(replica.policy.text().to_owned()),
            replica_tags: Some(replica.tags.iter().map(tag).collect()),
        };
        writes.put(call, facts_key(&replica.region, &replica.id), replica)?;
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        Ok(Outcome::with_writes(response, writes))
    }

    /// The replica comes to be in its own Region.
    fn elsewhere(
        request: &Self::Request,
        primary: &NamedKey,
        response: &ReplicateKeyResponse,
    ) -> Option<RecordElsewhere> {
        let (key, replica) = (primary.key(), response.replica_key_metadata.as_ref()?);
        let (arn, text) = (replica.arn.clone()?, Value::public_text);
        let shown = key_parameter(&replica.key_id).with("arn", text(&arn));
        let audited = Audited {
            request_parameters: Value::object([
                ("description", text(request.description.as_deref().unwrap_or_default())),
                ("keyUsage", text(key.usage.as_str())),
                ("keySpec", text(key.spec.as_str())),
                ("customerMasterKeySpec", text(key.spec.as_str())),
                ("origin", text(key.origin.as_str())),
                ("multiRegion", Value::from(true)),
                ("bypassPolicyLockoutSafetyCheck", (request.bypass_policy_lockout_safety_check == Some(true)).into()),
                ("policy", request.policy.as_deref().map_or(Value::Null, text)),
            ]),
            response_elements: Value::object([("keyMetadata", shown)]),
            resources: vec![(arn, key.account.clone())],
            ..Audited::default()
        };
        Some(RecordElsewhere { name: "CreateKey", region: request.replica_region.clone(), audited })
    }

    fn audited(
        request: &Self::Request,
        _: Option<&NamedKey>,
        response: Option<&ReplicateKeyResponse>,
        audited: &mut Audited,
    ) {
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::public_text);
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        audited.request_parameters = key_parameter(&request.key_id)
            .with("replicaRegion", Value::public_text(&request.replica_region))
            .with("description", Value::public_text(request.description.as_deref().unwrap_or_default()))
            .with("bypassPolicyLockoutSafetyCheck", bypass)
            .with("policy", text(request.policy.as_deref()))
            .with("tags", shown_tags(request.tags.as_deref().unwrap_or_default()));
        if let Some((response, replica)) = response.and_then(|all| Some((all, all.replica_key_metadata.as_ref()?))) {
            let shown = key_parameter(&replica.key_id).with("arn", text(replica.arn.as_deref()));
            audited.response_elements = Value::object([
                ("replicaKeyMetadata", shown),
                ("replicaPolicy", text(response.replica_policy.as_deref())),
                ("replicaTags", shown_tags(response.replica_tags.as_deref().unwrap_or_default())),
            ]);
        }
    }
}

fn shown_tags(tags: &[Tag]) -> Value {
    Value::list(tags.iter().map(|tag| {
        Value::object([("tagKey", Value::public_text(&tag.tag_key)), ("tagValue", Value::public_text(&tag.tag_value))])
    }))
}

/// What AWS answers of a replica that it has just begun to make.
fn shown_new(replica: &Key) -> Result<KeyMetadata, KmsError> {
    Ok(KeyMetadata {
        key_state: Some(WireState::Creating),
        enabled: Some(false),
        current_key_material_id: None,
        ..metadata(replica)?
    })
}

/// A Region that is not served is none that a key could go to, even if a replica is still there.
fn demand_served(call: &Call<'_>, region: &str) -> Result<(), KmsError> {
    if call.regions().serve(region) {
        return Ok(());
    }
    Err(KmsError::Unsupported(Some(format!("{region} is not a supported Region."))))
}

/// The Regions of a multi-Region primary key.
fn regions_of_primary(key: &Key) -> Result<&MultiRegion, KmsError> {
    let refused = || KmsError::Unsupported(Some(format!("{} is not a multi-region primary key.", key.arn())));
    key.multi_region.as_ref().filter(|_| !key.is_replica()).ok_or_else(refused)
}

/// The Regions of the primary with one more replica.
fn with_replica(primary: &Key, region: &str) -> Result<MultiRegion, KmsError> {
    let mut regions = regions_of_primary(primary)?.clone();
    if primary.region == region || regions.replicas.iter().any(|replica| replica == region) {
        let arn = key_arn(region, &primary.account, &primary.id);
        return Err(KmsError::AlreadyExists(format!("The key {arn} already exists")));
    }
    if regions.replicas.len() >= REPLICAS_MAX {
        return Err(KmsError::LimitExceeded(format!(
            "{} cannot have more than {REPLICAS_MAX} replicas.",
            primary.arn()
        )));
    }
    if regions.replicas.len() + primary.materials.len() >= ROWS_MAX {
        let arn = primary.arn();
        return Err(KmsError::LimitExceeded(format!("{arn} has been rotated too often to be replicated once more.")));
    }
    regions.replicas.push(region.to_owned());
    regions.replicas.sort();
    Ok(regions)
}

/// The facts of the new replica: those that related keys share, and its own.
fn replica_of(
    call: &Call<'_>,
    primary: &Key,
    request: &ReplicateKeyRequest,
    tags: Vec<(String, String)>,
) -> Result<Key, KmsError> {
    let state = if primary.is_external() { KeyState::PendingImport } else { KeyState::Enabled };
    Ok(Key {
        id: primary.id.clone(),
        account: primary.account.clone(),
        region: request.replica_region.clone(),
        spec: primary.spec,
        usage: primary.usage,
        created: call.now(),
        description: request.description.clone().unwrap_or_default(),
        state,
        policy: Arc::new(default_policy(&primary.account)?),
        tags,
        materials: shared_materials(primary, &[]),
        aliases: Some(Vec::new()),
        has_grants: false,
        origin: primary.origin,
        rotation: primary.rotation,
        on_demand_rotations: primary.on_demand_rotations,
        multi_region: primary.multi_region.clone(),
    })
}

/// The rows of a new replica but its facts. Imported material is not among them: its owner imports it in each Region.
async fn place(call: &mut Call<'_>, writes: &mut Writes, primary: &Key, replica: &Key) -> Result<(), KmsError> {
    let listed = listed_key(&replica.region, &replica.account, &replica.id);
    let taken = call.row::<Key>(&facts_key(&replica.region, &replica.id)).await?.is_some();
    if taken || call.row::<Listed>(&listed).await?.is_some() {
        return Err(KmsError::AlreadyExists(format!("The key {} already exists", replica.arn())));
    }
    writes.put(call, listed, Listed)?;
    for material in replica.materials.iter().filter(|material| material.import.is_none()) {
        let from = material_key(&primary.region, &primary.id, &material.id);
        // The primary's facts are a precondition of the commit, and its materials go with them only.
        let before = call.reads();
        let row: Option<Row<Material>> = call.row(&from).await?;
        call.forget_reads_since(before);
        let row = row.ok_or_else(|| Fault::RecordMissing(from.printable()))?;
        let to = material_key(&replica.region, &replica.id, &material.id);
        if call.row::<Material>(&to).await?.is_some() {
            // Of a replica that was here and is still being destroyed.
            return Err(KmsError::AlreadyExists(format!("The key {} already exists", replica.arn())));
        }
        writes.put(call, to, row.record.copied(call.keys())?)?;
    }
    Ok(())
}

/// The materials of a related key: which there are is shared, which imported ones are there is each Region's own.
fn shared_materials(from: &Key, own: &[MaterialFacts]) -> Vec<MaterialFacts> {
    let shared = from.materials.iter().map(|material| {
        let known = own.iter().find(|known| known.id == material.id).and_then(|known| known.import.as_ref());
        let import = material.import.as_ref().map(|import| match known {
            Some(known) => Import { description: import.description.clone(), ..known.clone() },
            None => Import { present: false, expires: None, ..import.clone() },
        });
        MaterialFacts { import, ..material.clone() }
    });
    shared.collect()
}

/// Gives the related keys in these Regions what they share with the key, as it is in `from`: the Regions, rotation and
/// which materials there are. Material that was made here and is new comes by rotation, with its rows. To be called
/// before the key's own facts are written, in the same commit.
///
/// # Errors
/// A [`Fault`] when a related key is not there.
async fn share(call: &mut Call<'_>, writes: &mut Writes, from: &Key, regions: &[String]) -> Result<(), Fault> {
    for region in regions {
        let before = related(call, from, region).await?;
        let materials = shared_materials(from, &before.materials);
        // Imported material that waited for its rotation and was taken back.
        let gone = before.materials.iter().filter(|old| materials.iter().all(|new| new.id != old.id));
        for material in gone {
            let row = material_key(region, &from.id, &material.id);
            if call.row::<Material>(&row).await?.is_some() {
                writes.delete(row);
            }
        }
        let changed = Key {
            materials,
            rotation: from.rotation,
            on_demand_rotations: from.on_demand_rotations,
            multi_region: from.multi_region.clone(),
            ..Key::clone(&before)
        };
        writes.put(call, facts_key(region, &from.id), changed)?;
    }
    Ok(())
}

/// Gives the replicas of a primary key what they share with it, as it now is; nothing for a key of one Region.
///
/// # Errors
/// A [`Fault`] when a replica is not there.
pub(crate) async fn carry(call: &mut Call<'_>, writes: &mut Writes, primary: &Key) -> Result<(), Fault> {
    match &primary.multi_region {
        Some(regions) if !primary.is_replica() => share(call, writes, primary, &regions.replicas).await,
        _ => Ok(()),
    }
}

/// Whether it is a primary key that has replicas.
pub(crate) fn has_replicas(key: &Key) -> bool {
    !key.is_replica() && key.multi_region.as_ref().is_some_and(|regions| !regions.replicas.is_empty())
}

/// The related key of another Region.
///
/// # Errors
/// A [`Fault`] when it is not there.
async fn related(call: &mut Call<'_>, key: &Key, region: &str) -> Result<Arc<Key>, Fault> {
    let row_key = facts_key(region, &key.id);
    let row = call.row::<Key>(&row_key).await?.ok_or_else(|| Fault::RecordMissing(row_key.printable()))?;
    Ok(row.record)
}

/// Takes a replica that is being destroyed out of the lists of its related keys. Gives the primary key as it is to be
/// written.
///
/// # Errors
/// A [`Fault`] when a related key is not there.
pub(crate) async fn leave(call: &mut Call<'_>, writes: &mut Writes, replica: &Key) -> Result<Option<Key>, Fault> {
    let Some(regions) = replica.multi_region.as_ref().filter(|_| replica.is_replica()) else { return Ok(None) };
    let mut left = regions.clone();
    left.replicas.retain(|region| *region != replica.region);
    let primary = related(call, replica, &left.primary).await?;
    let primary = Key { multi_region: Some(left.clone()), ..Key::clone(&primary) };
    share(call, writes, &primary, &left.replicas).await?;
    Ok(Some(primary))
}

pub(crate) struct UpdatePrimaryRegion;

/// The primary key, and the replica that is to take its place, if there is one.
pub(crate) struct Succession {
    primary: NamedKey,
    next: Option<NamedKey>,
}

impl Operation for UpdatePrimaryRegion {
    type Service = Kms;
    type Request = Valid<UpdatePrimaryRegionRequest>;
    type Response = ();
    type Error = KmsError;
    type Resources = Succession;
    const ROW: OperationRow = row("UpdatePrimaryRegion", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Succession, KmsError> {
        let primary = find(call, &request.key_id, Forms::Key, UPDATE_PRIMARY).await?;
        let key = primary.key();
        let replicas = key.multi_region.as_ref().filter(|_| !key.is_replica()).map(|regions| &regions.replicas);
        if !replicas.is_some_and(|replicas| replicas.contains(&request.primary_region)) {
            return Ok(Succession { primary, next: None });
        }
        let row_key = facts_key(&request.primary_region, &key.id);
        let row = call.row::<Key>(&row_key).await?.ok_or_else(|| Fault::RecordMissing(row_key.printable()))?;
        let next = Some(NamedKey::new(call, row).await?);
        Ok(Succession { primary, next })
    }

    fn charges(_: &Succession, request: &Self::Request) -> Vec<Charge> {
        quotas::of_new_primary(&request.primary_region)
    }

    fn questions(_: &Call<'_>, keys: &Succession, _: &Self::Request) -> Vec<Question> {
        let both = [Some(&keys.primary), keys.next.as_ref()];
        both.into_iter().flatten().map(|key| key.question(UPDATE_PRIMARY, false)).collect()
    }

    fn facts(call: &Call<'_>, keys: &Succession, request: &Self::Request, question: &Question) -> Facts {
        let next = keys.next.as_ref().filter(|next| next.arn == question.resource);
        let facts = match next {
            Some(next) => next.facts(call).in_region(request.primary_region.as_str()),
            None => keys.primary.facts(call),
        };
        facts.with("kms:PrimaryRegion", request.primary_region.as_str())
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, KmsError> {
        let Succession { primary, next } = authorized.resources();
        let key = primary.key();
        Permits::Enabled.demand(key)?;
        let mut regions = regions_of_primary(key)?.clone();
        demand_served(call, &request.primary_region)?;
        if key.region == request.primary_region {
            let text = format!("{} is the primary key in {} already.", primary.arn, key.region);
            return Err(KmsError::validation(text));
        }
        let Some(next) = next else {
            let arn = key_arn(&request.primary_region, &key.account, &key.id);
            return Err(KmsError::NotFound(format!("Key '{arn}' does not exist")));
        };
        Permits::Enabled.demand(next.key())?;
        regions.replicas.retain(|region| *region != request.primary_region);
        regions.replicas.push(key.region.clone());
        regions.replicas.sort();
        regions.primary.clone_from(&request.primary_region);
        let changed = Key { multi_region: Some(regions), ..next.to_changed() };
        let mut writes = Writes::default();
        carry(call, &mut writes, &changed).await?;
        rotation::cancel(call, &mut writes, key).await?;
        rotation::resume(call, &mut writes, &changed).await?;
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        Ok(Outcome::with_writes((), writes))
    }

    /// The new primary's Region has a record too (reference/events.md: without resources).
    fn elsewhere(request: &Self::Request, keys: &Succession, response: &()) -> Option<RecordElsewhere> {
        let mut audited = Audited::default();
        Self::audited(request, Some(keys), Some(response), &mut audited);
        Some(RecordElsewhere { name: Self::ROW.name, region: request.primary_region.clone(), audited })
    }

    fn audited(request: &Self::Request, keys: Option<&Succession>, response: Option<&()>, audited: &mut Audited) {
        audited.request_parameters =
            key_parameter(&request.key_id).with("primaryRegion", Value::public_text(&request.primary_region));
        if let (Some(keys), Some(())) = (keys, response) {
            audited.response_elements = key_parameter(&keys.primary.arn);
        }
    }
}
