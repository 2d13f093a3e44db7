//! CreateKey: a new key of any spec with its policy and tags.

use std::sync::Arc;

use claviger_api::kms::{
    CreateKeyRequest, CreateKeyResponse, CustomerMasterKeySpec, KeySpec, KeyUsageType, MultiRegionKeyType, OriginType,
};
use claviger_api::{Timestamp, Valid};
use claviger_crypto::{ImportWrapping, KeyId, KeyMaterial, MaterialSpec};
use claviger_engine::Value;
use claviger_engine::{
    Audited, Authorized, Call, Facts, Fault, Named, Operation, OperationRow, Outcome, Question, ResourceRule, Writes,
};

use super::key_use::is_heavy_to_make;
use super::keys::metadata;
use super::policies::{checked_policy, default_policy};
use super::tags::checked_tags;
use crate::algorithms::{material_spec, rows};
use crate::conditions::{of_kind, with_tags};
use crate::life::{MaterialFacts, MultiRegion};
use crate::operation::row;
use crate::records::{Key, KeyState, Listed, Material, facts_key, listed_key, material_key};
use crate::{Kms, KmsError, key_count};

pub(crate) struct CreateKey;

impl Operation for CreateKey {
    type Service = Kms;
    type Request = Valid<CreateKeyRequest>;
    type Response = CreateKeyResponse;
    type Error = KmsError;
    type Resources = Kind;
    const ROW: OperationRow = row("CreateKey", false);

    async fn resolve(_: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Kind, KmsError> {
        checked_kind(request)
    }

    fn questions(call: &Call<'_>, _: &Kind, request: &Self::Request) -> Vec<Question> {
        let mut questions = vec![account_question(call, "kms:CreateKey")];
        if request.tags.is_some() {
            questions.push(account_question(call, "kms:TagResource"));
        }
        questions
    }

    fn facts(call: &Call<'_>, kind: &Kind, request: &Self::Request, _: &Question) -> Facts {
        let bypass = request.bypass_policy_lockout_safety_check.map(|bypass| bypass.to_string());
        let facts = of_kind(call, kind.spec.as_str(), kind.usage.as_str(), kind.origin, kind.multi_region)
            .with_some("kms:MultiRegionKeyType", kind.multi_region.then_some(MultiRegionKeyType::Primary.as_str()))
            .with_some("kms:BypassPolicyLockoutSafetyCheck", bypass);
        with_tags(facts, request.tags.as_deref().unwrap_or_default())
    }

    async fn perform(
        call: &mut Call<'_>,
        kms: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateKeyResponse>, KmsError> {
        let tags = checked_tags(request.tags.as_deref().unwrap_or_default(), &[])?;
        let Kind { spec, usage, made_of, origin, multi_region } = *authorized.resources();
        let key_id = KeyId::from_random(call.random()?, multi_region);
        let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
        let lone = |primary: &String| MultiRegion { primary: primary.clone(), replicas: Vec::new() };
        let multi_region = multi_region.then(|| lone(&region));
        let mut key = Key {
            id: key_id.to_string(),
            policy: Arc::new(default_policy(&account)?),
            account,
            region,
            spec,
            usage,
            created: call.now(),
            description: request.description.clone().unwrap_or_default(),
            state: KeyState::Enabled,
            tags,
            materials: Vec::new(),
            aliases: Some(Vec::new()),
            has_grants: false,
            origin,
            rotation: None,
            on_demand_rotations: 0,
            multi_region,
        };
        if let Some(text) = &request.policy {
            let bypass = request.bypass_policy_lockout_safety_check == Some(true);
            key.policy = Arc::new(checked_policy(call, text, &key, &[], bypass).await?);
        }
        let counted = key_count::one_more(call, &key.region, &key.account, &key.id, kms.keys_max).await?;
        let material = match origin {
            OriginType::External => {
                key.state = KeyState::PendingImport;
                None
            }
            _ if is_heavy_to_make(made_of) => {
                Some(call.heavy(move || KeyMaterial::generate(key_id, made_of)).await?.map_err(Fault::from)?)
            }
            _ => Some(KeyMaterial::generate(key_id, made_of).map_err(Fault::from)?),
        };
        let (key, mut writes) = place(call, key, material).await?;
        counted.put(call, &mut writes)?;
        Ok(Outcome::with_writes(CreateKeyResponse { key_metadata: Some(metadata(&key)?) }, writes))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        response: Option<&CreateKeyResponse>,
        audited: &mut Audited,
    ) {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::public_text);
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        let older = request.customer_master_key_spec.map(CustomerMasterKeySpec::as_str);
        let spec = request.key_spec.map(KeySpec::as_str).or(older).unwrap_or(KeySpec::SymmetricDefault.as_str());
        audited.request_parameters = Value::object([
            ("description", Value::public_text(request.description.as_deref().unwrap_or_default())),
            ("keyUsage", Value::public_text(request.key_usage.unwrap_or(KeyUsageType::EncryptDecrypt).as_str())),
            ("keySpec", Value::public_text(spec)),
            ("customerMasterKeySpec", Value::public_text(spec)),
            ("origin", Value::public_text(request.origin.unwrap_or(OriginType::AwsKms).as_str())),
            ("multiRegion", Value::from(request.multi_region == Some(true))),
            ("bypassPolicyLockoutSafetyCheck", Value::from(bypass)),
            ("policy", text(&request.policy)),
        ]);
        if let Some(metadata) = response.and_then(|response| response.key_metadata.as_ref()) {
            let arn = metadata.arn.clone().unwrap_or_default();
            audited.response_elements = Value::object([(
                "keyMetadata",
                Value::object([("keyId", Value::public_text(&metadata.key_id)), ("arn", Value::public_text(&arn))]),
            )]);
            audited.resources.push((arn, metadata.aws_account_id.clone().unwrap_or_default()));
        }
    }
}

/// The question about an action that has no resource of its own.
pub(crate) fn account_question(call: &Call<'_>, action: &'static str) -> Question {
    Question {
        action,
        resource: "*".to_owned(),
        resource_account: call.caller().principal().account(),
        resource_policy: ResourceRule::NoPolicy,
        cross_account: false,
        named: Named::ByArn,
    }
}

/// The rows of a new key. They are read first, so that the commit proves that nothing stood there.
///
/// # Errors
/// [`KmsError`] when a row is already there or a record cannot be encoded.
pub(crate) async fn place(
    call: &mut Call<'_>,
    mut key: Key,
    material: Option<KeyMaterial>,
) -> Result<(Key, Writes), KmsError> {
    let facts = facts_key(&key.region, &key.id);
    let listed = listed_key(&key.region, &key.account, &key.id);
    let taken = |key: &Key| KmsError::AlreadyExists(format!("The key {} already exists", key.arn()));
    if call.row::<Key>(&facts).await?.is_some() || call.row::<Listed>(&listed).await?.is_some() {
        return Err(taken(&key));
    }
    let mut writes = Writes::default();
    if let Some(material) = material {
        let id = material.material_id();
        let row = material_key(&key.region, &key.id, &id);
        if call.row::<Material>(&row).await?.is_some() {
            return Err(taken(&key));
        }
        key.materials.push(MaterialFacts::current(id, key.created, None));
        writes.put(call, row, Material { material, id })?;
    }
    writes.put(call, facts, key.clone())?;
    writes.put(call, listed, Listed)?;
    Ok((key, writes))
}

/// What kind of key is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    spec: KeySpec,
    usage: KeyUsageType,
    made_of: MaterialSpec,
    origin: OriginType,
    multi_region: bool,
}

/// What kind of key is asked for. Refuses what this server does not make; nothing that was asked for is ignored.
fn checked_kind(request: &CreateKeyRequest) -> Result<Kind, KmsError> {
    let spec = match (request.key_spec, request.customer_master_key_spec) {
        (Some(_), Some(_)) => {
            return Err(KmsError::validation(
                "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
            ));
        }
        (Some(spec), None) => spec,
        (None, Some(spec)) => KeySpec::parse(spec.as_str()).ok_or(Fault::Cryptography)?,
        (None, None) => KeySpec::SymmetricDefault,
    };
    let usage = match request.key_usage {
        Some(usage) => usage,
        None if spec == KeySpec::SymmetricDefault => KeyUsageType::EncryptDecrypt,
        None => {
            return Err(KmsError::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            ));
        }
    };
    let unsupported = |what: String| Err(KmsError::Unsupported(Some(what)));
    let Some(made_of) = material_spec(spec) else {
        return unsupported(format!("KeySpec {} is not supported in this Region.", spec.as_str()));
    };
    if rows(spec, usage).next().is_none() {
        let (usage, spec) = (usage.as_str(), spec.as_str());
        return Err(KmsError::validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
    }
    let origin = request.origin.unwrap_or(OriginType::AwsKms);
    if origin == OriginType::External && !ImportWrapping::is_offered_for(made_of) {
        return Err(KmsError::validation(format!("KeySpec {} is not supported for Origin EXTERNAL", spec.as_str())));
    }
    if !matches!(origin, OriginType::AwsKms | OriginType::External) {
        return unsupported(format!("Origin {} is not supported by this server yet.", origin.as_str()));
    }
    if request.custom_key_store_id.is_some() || request.xks_key_id.is_some() {
        return unsupported("A custom key store is not supported by this server yet.".to_owned());
    }
    Ok(Kind { spec, usage, made_of, origin, multi_region: request.multi_region == Some(true) })
}

/// What a seeded key is.
pub(crate) struct Seeded {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsageType,
}

/// A key whose id and material are given: what a dev seed file asks for.
///
/// # Errors
/// A validation error when spec and usage do not fit.
pub(crate) fn seeded(seeded: Seeded, created: Timestamp) -> Result<Key, KmsError> {
    let Seeded { id, account, region, spec, usage } = seeded;
    if rows(spec, usage).next().is_none() {
        let (usage, spec) = (usage.as_str(), spec.as_str());
        return Err(KmsError::validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
    }
    let policy = Arc::new(default_policy(&account)?);
    Ok(Key {
        id,
        account,
        region,
        spec,
        usage,
        created,
        description: String::new(),
        state: KeyState::Enabled,
        policy,
        tags: Vec::new(),
        materials: Vec::new(),
        aliases: Some(Vec::new()),
        has_grants: false,
        origin: OriginType::AwsKms,
        rotation: None,
        on_demand_rotations: 0,
        multi_region: None,
    })
}
