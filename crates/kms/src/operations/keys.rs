//! What a key shows of itself: DescribeKey, GetPublicKey, and the form that CreateKey answers with.

use claviger_api::kms::{
    CustomerMasterKeySpec, DescribeKeyRequest, DescribeKeyResponse, EncapsulationAlgorithmSpec,
    EncryptionAlgorithmSpec, ExpirationModelType, GetPublicKeyRequest, GetPublicKeyResponse, KeyAgreementAlgorithmSpec,
    KeyManagerType, KeyMetadata, KeySpec, KeyState as WireState, MacAlgorithmSpec, MultiRegionConfiguration,
    MultiRegionKey, MultiRegionKeyType, SigningAlgorithmSpec,
};
use claviger_api::{Timestamp, Valid};
use claviger_crypto::MaterialSpec;
use claviger_engine::{Audited, Call, Fault, Outcome};

use super::key_use::current;
use crate::KmsError;
use crate::algorithms::{Algorithm, material_spec, rows};
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, key_parameter};
use crate::records::{Key, KeyState, key_arn};
use crate::state::Permits;

pub(crate) struct DescribeKey;

impl KeyOperation for DescribeKey {
    type Request = Valid<DescribeKeyRequest>;
    type Response = DescribeKeyResponse;
    const NAME: &'static str = "DescribeKey";
    const ACTION: &'static str = "kms:DescribeKey";
    const FORMS: Forms = Forms::KeyOrAlias;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    async fn perform(
        _: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<DescribeKeyResponse>, KmsError> {
        Ok(Outcome::read_only(DescribeKeyResponse { key_metadata: Some(metadata(key.key())?) }))
    }

    fn audited(request: &Self::Request, _: Option<&DescribeKeyResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}

/// The state's name on the wire.
pub(crate) const fn wire_state(state: KeyState) -> WireState {
    match state {
        KeyState::Enabled => WireState::Enabled,
        KeyState::Disabled => WireState::Disabled,
        KeyState::PendingDeletion { .. } => WireState::PendingDeletion,
        KeyState::PendingImport => WireState::PendingImport,
        KeyState::PendingReplicaDeletion { .. } => WireState::PendingReplicaDeletion,
    }
}

/// `KeyMetadata` of a key (reference/lifecycle.md section 1).
pub(crate) fn metadata(key: &Key) -> Result<KeyMetadata, KmsError> {
    let (deletion_date, window_days) = match key.state {
        KeyState::PendingDeletion { at } => (Some(at), None),
        KeyState::PendingReplicaDeletion { window_days } => (None, i32::try_from(window_days).ok()),
        KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => (None, None),
    };
    let (valid_to, expiration_model) = expiration(key);
    let lists = Lists::of(key);
    Ok(KeyMetadata {
        aws_account_id: Some(key.account.clone()),
        key_id: key.id.clone(),
        arn: Some(key.arn()),
        creation_date: Some(key.created),
        enabled: Some(key.state == KeyState::Enabled),
        description: Some(key.description.clone()),
        key_usage: Some(key.usage),
        key_state: Some(wire_state(key.state)),
        deletion_date,
        valid_to,
        origin: Some(key.origin),
        custom_key_store_id: None,
        cloud_hsm_cluster_id: None,
        expiration_model,
        key_manager: Some(KeyManagerType::Customer),
        customer_master_key_spec: CustomerMasterKeySpec::parse(key.spec.as_str()),
        key_spec: Some(key.spec),
        encryption_algorithms: lists.encryption,
        signing_algorithms: lists.signing,
        key_agreement_algorithms: lists.agreement,
        encapsulation_algorithms: lists.encapsulation,
        multi_region: Some(key.multi_region.is_some()),
        multi_region_configuration: regions(key),
        pending_deletion_window_in_days: window_days,
        mac_algorithms: lists.mac,
        xks_key_configuration: None,
        // Only symmetric keys can have several materials, and AWS names it for them only.
        current_key_material_id: match key.spec {
            KeySpec::SymmetricDefault => key.current_facts().map(|material| material.id.to_string()),
            _ => None,
        },
    })
}

/// The earliest expiry of the material that is there, and whether any of it expires; nothing without imported material.
fn expiration(key: &Key) -> (Option<Timestamp>, Option<ExpirationModelType>) {
    let mut present = key.materials.iter().filter_map(|material| material.import.as_ref().filter(|it| it.present));
    let Some(first) = present.next() else { return (None, None) };
    let earliest = present.chain([first]).filter_map(|import| import.expires).min();
    let model = match earliest {
        Some(_) => ExpirationModelType::KeyMaterialExpires,
        None => ExpirationModelType::KeyMaterialDoesNotExpire,
    };
    (earliest, Some(model))
}

/// `MultiRegionConfiguration` of a multi-Region key.
fn regions(key: &Key) -> Option<MultiRegionConfiguration> {
    let regions = key.multi_region.as_ref()?;
    let related = |region: &String| MultiRegionKey {
        arn: Some(key_arn(region, &key.account, &key.id)),
        region: Some(region.clone()),
    };
    let kind = if key.is_replica() { MultiRegionKeyType::Replica } else { MultiRegionKeyType::Primary };
    Some(MultiRegionConfiguration {
        multi_region_key_type: Some(kind),
        primary_key: Some(related(&regions.primary)),
        replica_keys: Some(regions.replicas.iter().map(related).collect()),
    })
}

/// What a key can do, one list for each kind of algorithm; `None` for the kinds that its usage rules out.
#[derive(Default)]
struct Lists {
    encryption: Option<Vec<EncryptionAlgorithmSpec>>,
    signing: Option<Vec<SigningAlgorithmSpec>>,
    mac: Option<Vec<MacAlgorithmSpec>>,
    agreement: Option<Vec<KeyAgreementAlgorithmSpec>>,
    encapsulation: Option<Vec<EncapsulationAlgorithmSpec>>,
}

impl Lists {
    fn of(key: &Key) -> Self {
        let mut lists = Self::default();
        for row in rows(key.spec, key.usage) {
            match row.algorithm {
                Algorithm::Encryption(algorithm) => lists.encryption.get_or_insert_default().push(algorithm),
                Algorithm::Signing(algorithm) => lists.signing.get_or_insert_default().push(algorithm),
                Algorithm::Mac(algorithm) => lists.mac.get_or_insert_default().push(algorithm),
                Algorithm::Agreement(algorithm) => lists.agreement.get_or_insert_default().push(algorithm),
                Algorithm::Encapsulation(algorithm) => lists.encapsulation.get_or_insert_default().push(algorithm),
            }
        }
        lists
    }
}

pub(crate) struct GetPublicKey;

impl KeyOperation for GetPublicKey {
    type Request = Valid<GetPublicKeyRequest>;
    type Response = GetPublicKeyResponse;
    const NAME: &'static str = "GetPublicKey";
    const ACTION: &'static str = "kms:GetPublicKey";
    const FORMS: Forms = Forms::KeyOrAlias;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::HasMaterial;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<GetPublicKeyResponse>, KmsError> {
        let spec = key.key().spec;
        if !matches!(material_spec(spec), Some(MaterialSpec::Pair(_))) {
            let (arn, spec) = (&key.arn, spec.as_str());
            return Err(KmsError::Unsupported(Some(format!(
                "{arn} key spec is {spec} which is not valid for GetPublicKey."
            ))));
        }
        let material = current(call, key).await?;
        let public_key = material.record.material.pair().ok_or(Fault::Cryptography)?.public_key().to_vec();
        let lists = Lists::of(key.key());
        Ok(Outcome::read_only(GetPublicKeyResponse {
            key_id: Some(key.arn.clone()),
            public_key: Some(public_key),
            customer_master_key_spec: CustomerMasterKeySpec::parse(spec.as_str()),
            key_spec: Some(spec),
            key_usage: Some(key.key().usage),
            encryption_algorithms: lists.encryption,
            signing_algorithms: lists.signing,
            key_agreement_algorithms: lists.agreement,
            encapsulation_algorithms: lists.encapsulation,
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GetPublicKeyResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}
