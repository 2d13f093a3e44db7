//! ReEncrypt: from one key to another, or from one encryption context to another, without showing the plaintext.

use claviger_api::Valid;
use claviger_api::kms::{GrantOperation, ReEncryptRequest, ReEncryptResponse};
use claviger_engine::Value;
use claviger_engine::{
    Audited, Authorized, Call, Charge, Facts, Grant, Named, Operation, OperationRow, Outcome, Question, RecordedCall,
};

use super::cipher::{
    Method, Source, demand_ciphertext, demand_context, demand_key_id, ignores_ciphertext, source, with_context,
};
use crate::find::{Forms, NamedKey, find};
use crate::grants::{self, Use, token};
use crate::operation::{row, unless_dry_run};
use crate::state::Permits;
use crate::{Kms, KmsError, quotas};

pub(crate) struct ReEncrypt;

/// The action on the key of the old ciphertext, and the one on the key of the new.
const FROM: &str = "kms:ReEncryptFrom";
const TO: &str = "kms:ReEncryptTo";

/// The keys of both sides.
pub(crate) struct Sides {
    source: Source,
    /// Or why it was not found, which is told only to whom the source is open: otherwise the two refusals together
    /// would tell whether another account's key exists.
    destination: Result<NamedKey, KmsError>,
}

impl Operation for ReEncrypt {
    type Service = Kms;
    type Request = Valid<ReEncryptRequest>;
    type Response = ReEncryptResponse;
    type Error = KmsError;
    type Resources = Sides;
    const ROW: OperationRow = row("ReEncrypt", true);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Sides, KmsError> {
        demand_context(request.source_encryption_context.as_ref())?;
        demand_context(request.destination_encryption_context.as_ref())?;
        token::demand(call, request.grant_tokens.as_ref())?;
        demand_key_id(request.source_encryption_algorithm, request.source_key_id.as_deref())?;
        let ciphertext = if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_ref())? {
            None
        } else {
            Some(demand_ciphertext(request.ciphertext_blob.as_ref())?)
        };
        let source = source(call, ciphertext, request.source_key_id.as_deref(), FROM).await?;
        let destination = find(call, &request.destination_key_id, Forms::KeyOrAlias, TO).await;
        Ok(Sides { source, destination })
    }

    fn charges(sides: &Sides, _: &Self::Request) -> Vec<Charge> {
        let mut specs = vec![sides.source.key.key().spec];
        specs.extend(sides.destination.iter().map(|destination| destination.key().spec));
        quotas::of_use(&specs)
    }

    fn questions(_: &Call<'_>, sides: &Sides, _: &Self::Request) -> Vec<Question> {
        let named = if sides.source.named { Named::ByArn } else { Named::ByCiphertext };
        let mut questions = vec![Question { named, ..sides.source.key.question(FROM, true) }];
        questions.extend(sides.destination.iter().map(|destination| destination.question(TO, true)));
        questions
    }

    fn facts(call: &Call<'_>, sides: &Sides, request: &Self::Request, question: &Question) -> Facts {
        let (from, to) = methods(request);
        let facts = match &sides.destination {
            Ok(destination) if question.action == TO => to.facts(destination.facts(call)),
            _ => from.facts(sides.source.key.facts(call)),
        };
        let same = sides.destination.as_ref().is_ok_and(|destination| destination.arn == sides.source.key.arn);
        facts.with("kms:ReEncryptOnSameKey", same.to_string())
    }

    async fn grants(
        call: &mut Call<'_>,
        sides: &Sides,
        request: &Self::Request,
        question: &Question,
    ) -> Result<Vec<Grant>, KmsError> {
        let (key, operation, pairs) = match &sides.destination {
            Ok(destination) if question.action == TO => {
                (destination, GrantOperation::ReEncryptTo, request.destination_encryption_context.as_ref())
            }
            _ => (&sides.source.key, GrantOperation::ReEncryptFrom, request.source_encryption_context.as_ref()),
        };
        Ok(grants::reaching(call, key.key(), &Use::of(operation, pairs)).await?)
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ReEncryptResponse>, KmsError> {
        let Sides { source, destination } = authorized.resources();
        let destination = destination.as_ref().map_err(KmsError::clone)?;
        Permits::Enabled.demand(source.key.key())?;
        Permits::Enabled.demand(destination.key())?;
        let (from, to) = methods(request);
        if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_ref())? {
            from.demand_key(source.key.key())?;
            to.demand_key(destination.key())?;
            return Err(KmsError::DryRun);
        }
        let ciphertext = demand_ciphertext(request.ciphertext_blob.as_ref())?;
        let (plaintext, source_material) = from.decrypt(call, source, ciphertext).await?;
        let (ciphertext, destination_material) = to.encrypt(call, destination, &plaintext).await?;
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::read_only(ReEncryptResponse {
            ciphertext_blob: Some(ciphertext),
            source_key_id: Some(source.key.arn.clone()),
            key_id: Some(destination.arn.clone()),
            source_encryption_algorithm: Some(from.algorithm()),
            destination_encryption_algorithm: Some(to.algorithm()),
            source_key_material_id: source_material.map(|id| id.to_string()),
            destination_key_material_id: destination_material.map(|id| id.to_string()),
        }))
    }

    fn recorded(kms: &Kms, sides: &Sides, call: &RecordedCall<'_>) {
        kms.uses.note(Self::ROW.name, sides.source.key.key(), call);
        if let Ok(destination) = &sides.destination {
            kms.uses.note(Self::ROW.name, destination.key(), call);
        }
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        response: Option<&ReEncryptResponse>,
        audited: &mut Audited,
    ) {
        if let Some(response) = response {
            let members = [
                ("sourceKeyMaterialId", &response.source_key_material_id),
                ("destinationKeyMaterialId", &response.destination_key_material_id),
            ];
            let present: Vec<_> = members
                .into_iter()
                .filter_map(|(name, id)| id.as_ref().map(|id| (name, Value::public_text(id))))
                .collect();
            if !present.is_empty() {
                audited.additional = Value::object(present);
            }
        }
        let (from, to) = methods(request);
        let mut value = Value::object([
            ("sourceEncryptionAlgorithm", Value::public_text(from.algorithm().as_str())),
            ("destinationEncryptionAlgorithm", Value::public_text(to.algorithm().as_str())),
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

/// How the two sides are encrypted.
fn methods(request: &ReEncryptRequest) -> (Method<'_>, Method<'_>) {
    let from = Method {
        operation: "ReEncrypt",
        algorithm: request.source_encryption_algorithm,
        pairs: request.source_encryption_context.as_ref(),
    };
    let to = Method {
        operation: "ReEncrypt",
        algorithm: request.destination_encryption_algorithm,
        pairs: request.destination_encryption_context.as_ref(),
    };
    (from, to)
}
