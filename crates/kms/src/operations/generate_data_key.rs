//! GenerateDataKey and its form without plaintext: a random key, sealed under a KMS key.

use claviger_api::Valid;
use claviger_api::kms::{
    DataKeySpec, EncryptionAlgorithmSpec, GenerateDataKeyRequest, GenerateDataKeyResponse,
    GenerateDataKeyWithoutPlaintextRequest, GenerateDataKeyWithoutPlaintextResponse, RecipientInfo,
};
use claviger_crypto::{Random, SystemRandom};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, Facts, Fault, Outcome};
use claviger_secret::SecretBytes;

use super::cipher::{Method, Pairs, seal, show_material, with_context};
use super::key_use::{current, demand};
use crate::KmsError;
use crate::algorithms::Algorithm;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::recipient::deliver;
use crate::state::Permits;

pub(crate) struct GenerateDataKey;

impl KeyOperation for GenerateDataKey {
    type Request = Valid<GenerateDataKeyRequest>;
    type Response = GenerateDataKeyResponse;
    const NAME: &'static str = "GenerateDataKey";
    const ACTION: &'static str = "kms:GenerateDataKey";
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

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        length(request.key_spec, request.number_of_bytes).map(drop)
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        Method::symmetric(Self::NAME, request.encryption_context.as_ref()).facts(facts)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateDataKeyResponse>, KmsError> {
        let length = length(request.key_spec, request.number_of_bytes)?;
        let made = generate(call, key, Self::NAME, length, request.encryption_context.as_ref()).await?;
        unless_dry_run(request.dry_run)?;
        let recipient = key.recipient.as_ref();
        let delivered = deliver(call, recipient, made.plaintext).await?;
        Ok(Outcome::read_only(GenerateDataKeyResponse {
            ciphertext_blob: Some(made.ciphertext),
            plaintext: delivered.plaintext,
            key_id: Some(key.arn.clone()),
            ciphertext_for_recipient: delivered.for_recipient,
            // AWS leaves it out for recipients.
            key_material_id: recipient.is_none().then_some(made.material_id),
        }))
    }

    fn used_material(key: &NamedKey) -> Option<String> {
        key.key().current().ok().map(ToString::to_string)
    }

    fn audited(request: &Self::Request, _: Option<&GenerateDataKeyResponse>, audited: &mut Audited) {
        audited.request_parameters =
            parameters(&request.key_id, request.key_spec, request.number_of_bytes, request.encryption_context.as_ref());
    }
}

pub(crate) struct GenerateDataKeyWithoutPlaintext;

impl KeyOperation for GenerateDataKeyWithoutPlaintext {
    type Request = Valid<GenerateDataKeyWithoutPlaintextRequest>;
    type Response = GenerateDataKeyWithoutPlaintextResponse;
    const NAME: &'static str = "GenerateDataKeyWithoutPlaintext";
    const ACTION: &'static str = "kms:GenerateDataKeyWithoutPlaintext";
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

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        length(request.key_spec, request.number_of_bytes).map(drop)
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        Method::symmetric(Self::NAME, request.encryption_context.as_ref()).facts(facts)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateDataKeyWithoutPlaintextResponse>, KmsError> {
        let length = length(request.key_spec, request.number_of_bytes)?;
        let made = generate(call, key, Self::NAME, length, request.encryption_context.as_ref()).await?;
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::read_only(GenerateDataKeyWithoutPlaintextResponse {
            ciphertext_blob: Some(made.ciphertext),
            key_id: Some(key.arn.clone()),
            key_material_id: Some(made.material_id),
        }))
    }

    fn audited(request: &Self::Request, response: Option<&Self::Response>, audited: &mut Audited) {
        show_material(response.and_then(|response| response.key_material_id.as_deref()), audited);
        audited.request_parameters =
            parameters(&request.key_id, request.key_spec, request.number_of_bytes, request.encryption_context.as_ref());
    }
}

struct Made {
    plaintext: SecretBytes,
    ciphertext: Vec<u8>,
    material_id: String,
}

async fn generate(
    call: &mut Call<'_>,
    key: &NamedKey,
    operation: &'static str,
    length: usize,
    pairs: Option<&Pairs>,
) -> Result<Made, KmsError> {
    demand(key.key(), Algorithm::Encryption(EncryptionAlgorithmSpec::SymmetricDefault), operation)?;
    let current = current(call, key).await?;
    // Keys come from the library's own generator, never from the injected chance.
    let plaintext = SystemRandom.secret(length).map_err(Fault::from)?;
    let ciphertext = seal(&current.record.material, pairs, plaintext.expose())?;
    Ok(Made { plaintext, ciphertext, material_id: current.record.id.to_string() })
}

/// The length that exactly one of the two members gives.
fn length(spec: Option<DataKeySpec>, bytes: Option<i32>) -> Result<usize, KmsError> {
    match (spec, bytes) {
        (Some(DataKeySpec::Aes128), None) => Ok(16),
        (Some(DataKeySpec::Aes256), None) => Ok(32),
        (None, Some(bytes)) => usize::try_from(bytes).map_err(|_| neither()),
        _ => Err(neither()),
    }
}

fn neither() -> KmsError {
    KmsError::validation("Please specify either number of bytes or key spec.")
}

fn parameters(key_id: &str, spec: Option<DataKeySpec>, bytes: Option<i32>, pairs: Option<&Pairs>) -> Value {
    let mut value = Value::object([("keyId", Value::public_text(key_id))]);
    if let Some(spec) = spec {
        value = value.with("keySpec", Value::public_text(spec.as_str()));
    }
    if let Some(bytes) = bytes {
        value = value.with("numberOfBytes", i64::from(bytes));
    }
    with_context(value, "encryptionContext", pairs)
}
