//! CreateKey: a new symmetric key with its policy and tags.

use std::sync::Arc;

use claviger_api::kms::{CreateKeyRequest, CreateKeyResponse, KeySpec, KeyUsageType, OriginType};
use claviger_api::{Timestamp, Valid};
use claviger_crypto::{KeyId, KeyMaterial};
use claviger_engine::Value;
use claviger_engine::{Audited, Authorized, Call, Fault, Named, Operation, OperationRow, Outcome, Question, Writes};

use super::keys::metadata;
use super::policies::{checked_policy, default_policy};
use super::tags::checked_tags;
use crate::operation::row;
use crate::records::{Key, KeyState, Listed, Material, facts_key, key_arn, listed_key, material_key};
use crate::{Kms, KmsError};

pub(crate) struct CreateKey;

impl Operation for CreateKey {
    type Service = Kms;
    type Request = Valid<CreateKeyRequest>;
    type Response = CreateKeyResponse;
    type Error = KmsError;
    type Resources = ();
    const ROW: OperationRow = row("CreateKey", false);

    async fn resolve(_: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<(), KmsError> {
        demand_built(request)
    }

    fn questions(call: &Call<'_>, (): &(), request: &Self::Request) -> Vec<Question> {
        let mut questions = vec![account_question(call, "kms:CreateKey")];
        if request.tags.is_some() {
            questions.push(account_question(call, "kms:TagResource"));
        }
        questions
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateKeyResponse>, KmsError> {
        let tags = checked_tags(request.tags.as_deref().unwrap_or_default(), &[])?;
        let id = call.uuid()?;
        let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        let policy = match &request.policy {
            None => default_policy(&account)?,
            Some(text) => checked_policy(call, text, &key_arn(&region, &account, &id), &account, bypass)?,
        };
        let key_id = KeyId::parse(&id).map_err(|_| Fault::Cryptography)?;
        let material = KeyMaterial::generate(key_id).map_err(Fault::from)?;
        let key = Key {
            id,
            account,
            region,
            created: call.now(),
            description: request.description.clone().unwrap_or_default(),
            state: KeyState::Enabled,
            policy: Arc::new(policy),
            tags,
            materials: Vec::new(),
        };
        let (key, writes) = place(call, key, material).await?;
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
        audited.request_parameters = Value::object([
            ("description", Value::public_text(request.description.as_deref().unwrap_or_default())),
            ("keyUsage", Value::public_text(request.key_usage.unwrap_or(KeyUsageType::EncryptDecrypt).as_str())),
            ("keySpec", Value::public_text(request.key_spec.unwrap_or(KeySpec::SymmetricDefault).as_str())),
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
        resource_policy: None,
        cross_account: false,
        named: Named::ByArn,
    }
}

/// The rows of a new key. They are read first, so that the commit proves that nothing stood there.
///
/// # Errors
/// [`KmsError`] when a row is already there or a record cannot be encoded.
pub(crate) async fn place(call: &mut Call<'_>, mut key: Key, material: KeyMaterial) -> Result<(Key, Writes), KmsError> {
    let material_id = material.material_id();
    key.materials.push(material_id);
    let facts = facts_key(&key.region, &key.id);
    let listed = listed_key(&key.region, &key.account, &key.id);
    let material_row = material_key(&key.region, &key.id, &material_id);
    let taken = call.row::<Key>(&facts).await?.is_some()
        || call.row::<Listed>(&listed).await?.is_some()
        || call.row::<Material>(&material_row).await?.is_some();
    if taken {
        return Err(KmsError::AlreadyExists(format!("The key {} already exists", key.arn())));
    }
    let mut writes = Writes::default();
    writes.put(call, facts, key.clone())?;
    writes.put(call, listed, Listed)?;
    writes.put(call, material_row, Material { material, id: material_id })?;
    Ok((key, writes))
}

/// Refuses what this server does not make yet; nothing that was asked for is ignored.
fn demand_built(request: &CreateKeyRequest) -> Result<(), KmsError> {
    if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
        return Err(KmsError::validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
        ));
    }
    let spec = match (request.key_spec, request.customer_master_key_spec) {
        (Some(spec), _) => spec.as_str(),
        (None, Some(spec)) => spec.as_str(),
        (None, None) => KeySpec::SymmetricDefault.as_str(),
    };
    let unsupported =
        |what: &str| Err(KmsError::Unsupported(Some(format!("{what} is not supported by this server yet."))));
    if spec != KeySpec::SymmetricDefault.as_str() {
        if request.key_usage.is_none() {
            return Err(KmsError::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            ));
        }
        return unsupported(&format!("KeySpec {spec}"));
    }
    if let Some(usage) = request.key_usage.filter(|usage| *usage != KeyUsageType::EncryptDecrypt) {
        return Err(KmsError::validation(format!(
            "KeyUsage {} is not compatible with KeySpec SYMMETRIC_DEFAULT",
            usage.as_str()
        )));
    }
    if let Some(origin) = request.origin.filter(|origin| *origin != OriginType::AwsKms) {
        return unsupported(&format!("Origin {}", origin.as_str()));
    }
    if request.multi_region == Some(true) {
        return unsupported("MultiRegion");
    }
    if request.custom_key_store_id.is_some() || request.xks_key_id.is_some() {
        return unsupported("A custom key store");
    }
    Ok(())
}

/// A key whose id and material are given: what a dev seed file asks for.
pub(crate) fn seeded(id: String, account: String, region: String, created: Timestamp) -> Result<Key, KmsError> {
    let policy = Arc::new(default_policy(&account)?);
    let description = String::new();
    let state = KeyState::Enabled;
    Ok(Key { id, account, region, created, description, state, policy, tags: Vec::new(), materials: Vec::new() })
}
