//! Encrypt: 1 to 4096 bytes under a symmetric key.

use claviger_api::Valid;
use claviger_api::kms::{EncryptRequest, EncryptResponse, EncryptionAlgorithmSpec};
use claviger_crypto::EncryptionContext;
use claviger_engine::{Audited, Call, Outcome};

use super::cipher::{algorithm, cipher_parameters, context};
use crate::KmsError;
use crate::find::{Forms, NamedKey, material};
use crate::operation::{KeyOperation, demand_no_tokens, unless_dry_run};
use crate::state::Permits;

/// Seals the plaintext under the key's current material. Writes nothing; the blob names its material, so rotation
/// strands no ciphertext.
pub(crate) struct Encrypt;

impl KeyOperation for Encrypt {
    type Request = Valid<EncryptRequest>;
    type Response = EncryptResponse;
    const NAME: &'static str = "Encrypt";
    const ACTION: &'static str = "kms:Encrypt";
    const FORMS: Forms = Forms::KeyOrAlias;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Enabled;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        demand_no_tokens(request.grant_tokens.as_ref())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<EncryptResponse>, KmsError> {
        algorithm(request.encryption_algorithm)?;
        let context: EncryptionContext = context(request.encryption_context.as_ref());
        let material = material(call, key.key(), key.key().current()?).await?;
        let ciphertext = seal(&material.record.material, &context, request.plaintext.expose())?;
        let response = EncryptResponse {
            ciphertext_blob: Some(ciphertext),
            key_id: Some(key.arn.clone()),
            encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        };
        unless_dry_run(request.dry_run, Outcome::read_only(response))
    }

    fn used_material(key: &NamedKey) -> Option<String> {
        key.key().current().ok().map(ToString::to_string)
    }

    fn audited(request: &Self::Request, _: Option<&EncryptResponse>, audited: &mut Audited) {
        audited.request_parameters = cipher_parameters(Some(&request.key_id), request.encryption_context.as_ref());
    }
}

/// The blob of this plaintext under this material of the key.
pub(crate) fn seal(
    material: &claviger_crypto::KeyMaterial,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let sealed = material.seal(context, plaintext);
    sealed.map_err(|error| claviger_engine::Fault::from(error).into())
}
