//! What a key shows of itself: DescribeKey, and the form that CreateKey answers with.

use claviger_api::Valid;
use claviger_api::kms::{
    CustomerMasterKeySpec, DescribeKeyRequest, DescribeKeyResponse, EncryptionAlgorithmSpec, KeyManagerType,
    KeyMetadata, KeySpec, KeyState as WireState, KeyUsageType, OriginType,
};
use claviger_engine::{Audited, Call, Outcome};

use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, demand_no_tokens, key_parameter};
use crate::records::{Key, KeyState};
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

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        demand_no_tokens(request.grant_tokens.as_ref())
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
    }
}

/// `KeyMetadata` of a key (reference/lifecycle.md section 1).
pub(crate) fn metadata(key: &Key) -> Result<KeyMetadata, KmsError> {
    let deletion_date = match key.state {
        KeyState::PendingDeletion { at } => Some(at),
        KeyState::Enabled | KeyState::Disabled => None,
    };
    Ok(KeyMetadata {
        aws_account_id: Some(key.account.clone()),
        key_id: key.id.clone(),
        arn: Some(key.arn()),
        creation_date: Some(key.created),
        enabled: Some(key.state == KeyState::Enabled),
        description: Some(key.description.clone()),
        key_usage: Some(KeyUsageType::EncryptDecrypt),
        key_state: Some(wire_state(key.state)),
        deletion_date,
        valid_to: None,
        origin: Some(OriginType::AwsKms),
        custom_key_store_id: None,
        cloud_hsm_cluster_id: None,
        expiration_model: None,
        key_manager: Some(KeyManagerType::Customer),
        customer_master_key_spec: Some(CustomerMasterKeySpec::SymmetricDefault),
        key_spec: Some(KeySpec::SymmetricDefault),
        encryption_algorithms: Some(vec![EncryptionAlgorithmSpec::SymmetricDefault]),
        signing_algorithms: None,
        key_agreement_algorithms: None,
        encapsulation_algorithms: None,
        multi_region: Some(false),
        multi_region_configuration: None,
        pending_deletion_window_in_days: None,
        mac_algorithms: None,
        xks_key_configuration: None,
        current_key_material_id: Some(key.current()?.to_string()),
    })
}
