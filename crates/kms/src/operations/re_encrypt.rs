//! ReEncrypt: from one key to another, or to the same key's current material, without showing the plaintext.

use claviger_api::Valid;
use claviger_api::kms::{EncryptionAlgorithmSpec, ReEncryptRequest, ReEncryptResponse};
use claviger_engine::Value;
use claviger_engine::{Audited, Authorized, Call, Named, Operation, OperationRow, Outcome, Question};

use super::cipher::{BlobKey, algorithm, blob_key, context, demand_no_modifiers, no_ciphertext, open, with_context};
use super::encrypt::seal;
use crate::find::{Forms, NamedKey, find, material};
use crate::operation::{demand_no_tokens, row, unless_dry_run};
use crate::state::Permits;
use crate::{Kms, KmsError};

pub(crate) struct ReEncrypt;

/// The keys of both sides.
pub(crate) struct Sides {
    source: BlobKey,
    destination: NamedKey,
}

impl Operation for ReEncrypt {
    type Service = Kms;
    type Request = Valid<ReEncryptRequest>;
    type Response = ReEncryptResponse;
    type Error = KmsError;
    type Resources = Sides;
    const ROW: OperationRow = row("ReEncrypt", true);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Sides, KmsError> {
        demand_no_tokens(request.grant_tokens.as_ref())?;
        demand_no_modifiers(request.dry_run_modifiers.as_ref())?;
        let blob = request.ciphertext_blob.as_deref().ok_or_else(no_ciphertext)?;
        let source = blob_key(call, blob, request.source_key_id.as_deref(), "kms:ReEncryptFrom").await?;
        let destination = find(call, &request.destination_key_id, Forms::KeyOrAlias, "kms:ReEncryptTo").await?;
        Ok(Sides { source, destination })
    }

    fn questions(_: &Call<'_>, sides: &Sides, _: &Self::Request) -> Vec<Question> {
        let named = if sides.source.named { Named::ByArn } else { Named::ByCiphertext };
        vec![
            Question { named, ..sides.source.key.question("kms:ReEncryptFrom", true) },
            sides.destination.question("kms:ReEncryptTo", true),
        ]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ReEncryptResponse>, KmsError> {
        let Sides { source, destination } = authorized.resources();
        Permits::Enabled.demand(source.key.key())?;
        Permits::Enabled.demand(destination.key())?;
        algorithm(request.source_encryption_algorithm)?;
        algorithm(request.destination_encryption_algorithm)?;
        let blob = request.ciphertext_blob.as_deref().ok_or_else(no_ciphertext)?;
        let plaintext = open(call, source, blob, &context(request.source_encryption_context.as_ref())).await?;
        let current = material(call, destination.key(), destination.key().current()?).await?;
        let context = context(request.destination_encryption_context.as_ref());
        let ciphertext = seal(&current.record.material, &context, plaintext.expose())?;
        let response = ReEncryptResponse {
            ciphertext_blob: Some(ciphertext),
            source_key_id: Some(source.key.arn.clone()),
            key_id: Some(destination.arn.clone()),
            source_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
            destination_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
            source_key_material_id: Some(source.material.to_string()),
            destination_key_material_id: Some(current.record.id.to_string()),
        };
        unless_dry_run(request.dry_run, Outcome::read_only(response))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        response: Option<&ReEncryptResponse>,
        audited: &mut Audited,
    ) {
        let materials =
            response.map(|response| (&response.source_key_material_id, &response.destination_key_material_id));
        if let Some((Some(source), Some(destination))) = materials {
            audited.additional = Value::object([
                ("sourceKeyMaterialId", Value::public_text(source)),
                ("destinationKeyMaterialId", Value::public_text(destination)),
            ]);
        }

        let mut value = Value::object([
            ("sourceEncryptionAlgorithm", Value::public_text("SYMMETRIC_DEFAULT")),
            ("destinationEncryptionAlgorithm", Value::public_text("SYMMETRIC_DEFAULT")),
            ("destinationKeyId", Value::public_text(&request.destination_key_id)),
        ]);
        if let Some(key_id) = &request.source_key_id {
            value = value.with("sourceKeyId", Value::public_text(key_id));
        }
        value = with_context(value, "sourceEncryptionContext", request.source_encryption_context.as_ref());
        value = with_context(value, "destinationEncryptionContext", request.destination_encryption_context.as_ref());
        audited.request_parameters = value;
    }
}
