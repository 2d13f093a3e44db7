//! Decrypt: a blob back to its plaintext. The blob names the key, and the key is authorized before anything is opened.

use claviger_api::Valid;
use claviger_api::kms::{DecryptRequest, DecryptResponse, EncryptionAlgorithmSpec};
use claviger_engine::{Audited, Authorized, Call, Named, Operation, OperationRow, Outcome, Question};

use super::cipher::{
    BlobKey, algorithm, blob_key, cipher_parameters, context, demand_no_modifiers, no_ciphertext, open, show_material,
};
use crate::operation::{demand_no_recipient, demand_no_tokens, row, unless_dry_run};
use crate::state::Permits;
use crate::{Kms, KmsError};

pub(crate) struct Decrypt;

impl Operation for Decrypt {
    type Service = Kms;
    type Request = Valid<DecryptRequest>;
    type Response = DecryptResponse;
    type Error = KmsError;
    type Resources = BlobKey;
    const ROW: OperationRow = row("Decrypt", true);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<BlobKey, KmsError> {
        demand_no_recipient(request.recipient.as_ref())?;
        demand_no_tokens(request.grant_tokens.as_ref())?;
        demand_no_modifiers(request.dry_run_modifiers.as_ref())?;
        let Some(blob) = &request.ciphertext_blob else { return Err(no_ciphertext()) };
        blob_key(call, blob, request.key_id.as_deref(), "kms:Decrypt").await
    }

    fn questions(_: &Call<'_>, of: &BlobKey, _: &Self::Request) -> Vec<Question> {
        let named = if of.named { Named::ByArn } else { Named::ByCiphertext };
        vec![Question { named, ..of.key.question("kms:Decrypt", true) }]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<DecryptResponse>, KmsError> {
        let of = authorized.resources();
        Permits::Enabled.demand(of.key.key())?;
        algorithm(request.encryption_algorithm)?;
        let blob = request.ciphertext_blob.as_deref().ok_or_else(no_ciphertext)?;
        let plaintext = open(call, of, blob, &context(request.encryption_context.as_ref())).await?;
        let response = DecryptResponse {
            key_id: Some(of.key.arn.clone()),
            plaintext: Some(plaintext),
            encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
            ciphertext_for_recipient: None,
            key_material_id: Some(of.material.to_string()),
        };
        unless_dry_run(request.dry_run, Outcome::read_only(response))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        response: Option<&DecryptResponse>,
        audited: &mut Audited,
    ) {
        show_material(response.and_then(|response| response.key_material_id.as_deref()), audited);
        audited.request_parameters = cipher_parameters(request.key_id.as_deref(), request.encryption_context.as_ref());
    }
}
