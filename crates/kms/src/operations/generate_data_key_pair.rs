//! GenerateDataKeyPair and its form without plaintext: a key pair whose private half is sealed under a KMS key.

use claviger_api::Valid;
use claviger_api::kms::{
    DataKeyPairSpec, EncryptionAlgorithmSpec, GenerateDataKeyPairRequest, GenerateDataKeyPairResponse,
    GenerateDataKeyPairWithoutPlaintextRequest, GenerateDataKeyPairWithoutPlaintextResponse, RecipientInfo,
};
use claviger_crypto::{DataKeyPair, MaterialSpec};
use claviger_engine::{Audited, Call, Charge, Facts, Fault, Outcome, Value};

use super::cipher::{Method, Pairs, seal, with_context};
use super::key_use::{current, demand, is_heavy_to_make};
use crate::algorithms::{Algorithm, data_key_pair};
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::recipient::deliver;
use crate::state::Permits;
use crate::{KmsError, quotas};

pub(crate) struct GenerateDataKeyPair;

impl KeyOperation for GenerateDataKeyPair {
    type Request = Valid<GenerateDataKeyPairRequest>;
    type Response = GenerateDataKeyPairResponse;
    const NAME: &'static str = "GenerateDataKeyPair";
    const ACTION: &'static str = "kms:GenerateDataKeyPair";
    const FORMS: Forms = Forms::KeyOrAlias;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Enabled;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn recipient(request: &Self::Request) -> Option<&RecipientInfo> {
        request.recipient.as_ref()
    }

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn context(request: &Self::Request) -> Option<&Pairs> {
        request.encryption_context.as_ref()
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        Method::symmetric(Self::NAME, request.encryption_context.as_ref())
            .facts(facts)
            .with("kms:DataKeyPairSpec", request.key_pair_spec.as_str())
    }

    fn charges(request: &Self::Request, _: &NamedKey) -> Vec<Charge> {
        quotas::of_pair(request.key_pair_spec)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateDataKeyPairResponse>, KmsError> {
        let asked = Asked {
            operation: Self::NAME,
            spec: request.key_pair_spec,
            pairs: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
        };
        let made = generate(call, key, &asked).await?;
        let delivered = deliver(call, key.recipient.as_ref(), made.pair.private_key).await?;
        Ok(Outcome::read_only(GenerateDataKeyPairResponse {
            private_key_ciphertext_blob: Some(made.ciphertext),
            private_key_plaintext: delivered.plaintext,
            public_key: Some(made.pair.public_key),
            key_id: Some(key.arn.clone()),
            key_pair_spec: Some(request.key_pair_spec),
            ciphertext_for_recipient: delivered.for_recipient,
            key_material_id: Some(made.material_id),
        }))
    }

    fn used_material(key: &NamedKey) -> Option<String> {
        key.key().current().ok().map(ToString::to_string)
    }

    fn audited(request: &Self::Request, _: Option<&Self::Response>, audited: &mut Audited) {
        let pairs = request.encryption_context.as_ref();
        audited.request_parameters = parameters(&request.key_id, request.key_pair_spec, pairs);
    }
}

pub(crate) struct GenerateDataKeyPairWithoutPlaintext;

impl KeyOperation for GenerateDataKeyPairWithoutPlaintext {
    type Request = Valid<GenerateDataKeyPairWithoutPlaintextRequest>;
    type Response = GenerateDataKeyPairWithoutPlaintextResponse;
    const NAME: &'static str = "GenerateDataKeyPairWithoutPlaintext";
    const ACTION: &'static str = "kms:GenerateDataKeyPairWithoutPlaintext";
    const FORMS: Forms = Forms::KeyOrAlias;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Enabled;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn context(request: &Self::Request) -> Option<&Pairs> {
        request.encryption_context.as_ref()
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        Method::symmetric(Self::NAME, request.encryption_context.as_ref())
            .facts(facts)
            .with("kms:DataKeyPairSpec", request.key_pair_spec.as_str())
    }

    fn charges(request: &Self::Request, _: &NamedKey) -> Vec<Charge> {
        quotas::of_pair(request.key_pair_spec)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateDataKeyPairWithoutPlaintextResponse>, KmsError> {
        let asked = Asked {
            operation: Self::NAME,
            spec: request.key_pair_spec,
            pairs: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
        };
        let made = generate(call, key, &asked).await?;
        Ok(Outcome::read_only(GenerateDataKeyPairWithoutPlaintextResponse {
            private_key_ciphertext_blob: Some(made.ciphertext),
            public_key: Some(made.pair.public_key),
            key_id: Some(key.arn.clone()),
            key_pair_spec: Some(request.key_pair_spec),
            key_material_id: Some(made.material_id),
        }))
    }

    fn used_material(key: &NamedKey) -> Option<String> {
        key.key().current().ok().map(ToString::to_string)
    }

    fn audited(request: &Self::Request, _: Option<&Self::Response>, audited: &mut Audited) {
        let pairs = request.encryption_context.as_ref();
        audited.request_parameters = parameters(&request.key_id, request.key_pair_spec, pairs);
    }
}

/// What the two forms are asked for.
struct Asked<'a> {
    operation: &'static str,
    spec: DataKeyPairSpec,
    pairs: Option<&'a Pairs>,
    dry_run: Option<bool>,
}

struct Made {
    pair: DataKeyPair,
    ciphertext: Vec<u8>,
    material_id: String,
}

async fn generate(call: &mut Call<'_>, key: &NamedKey, asked: &Asked<'_>) -> Result<Made, KmsError> {
    demand(key.key(), Algorithm::Encryption(EncryptionAlgorithmSpec::SymmetricDefault), asked.operation)?;
    let spec = data_key_pair(asked.spec).ok_or_else(|| {
        KmsError::Unsupported(Some(format!("KeyPairSpec {} is not supported in this Region.", asked.spec.as_str())))
    })?;
    unless_dry_run(asked.dry_run)?;
    let current = current(call, key).await?;
    let pair = if is_heavy_to_make(MaterialSpec::Pair(spec)) {
        call.heavy(move || DataKeyPair::generate(spec)).await?
    } else {
        DataKeyPair::generate(spec)
    };
    let pair = pair.map_err(Fault::from)?;
    let ciphertext = seal(&current.record.material, asked.pairs, pair.private_key.expose())?;
    Ok(Made { pair, ciphertext, material_id: current.record.id.to_string() })
}

fn parameters(key_id: &str, spec: DataKeyPairSpec, pairs: Option<&Pairs>) -> Value {
    let value =
        Value::object([("keyId", Value::public_text(key_id)), ("keyPairSpec", Value::public_text(spec.as_str()))]);
    with_context(value, "encryptionContext", pairs)
}
