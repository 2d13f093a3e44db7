//! Decrypt: a ciphertext back to its plaintext. A symmetric ciphertext names its key, and the key is authorized before
//! anything is opened.

use claviger_api::Valid;
use claviger_api::kms::{DecryptRequest, DecryptResponse, GrantOperation};
use claviger_crypto::Header;
use claviger_engine::{
    Audited, Authorized, Call, Charge, Facts, Grant, Named, Operation, OperationRow, Outcome, Question, RecordedCall,
};

use super::cipher::{
    Method, Source, cipher_parameters, demand_ciphertext, demand_context, demand_key_id, ignores_ciphertext,
    show_material, source,
};
use crate::algorithms::oaep_hash;
use crate::grants::{self, Use, token};
use crate::operation::{row, unless_dry_run};
use crate::recipient::{Recipient, deliver};
use crate::state::Permits;
use crate::{Kms, KmsError, quotas};

pub(crate) struct Decrypt;

impl Operation for Decrypt {
    type Service = Kms;
    type Request = Valid<DecryptRequest>;
    type Response = DecryptResponse;
    type Error = KmsError;
    type Resources = Source;
    const ROW: OperationRow = row("Decrypt", true);

    async fn resolve(call: &mut Call<'_>, kms: &Kms, request: &Self::Request) -> Result<Source, KmsError> {
        demand_context(request.encryption_context.as_ref())?;
        token::demand(call, request.grant_tokens.as_ref())?;
        demand_key_id(request.encryption_algorithm, request.key_id.as_deref())?;
        let ciphertext = if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_ref())? {
            None
        } else {
            Some(demand_ciphertext(request.ciphertext_blob.as_ref())?)
        };
        // Before the key: a document that does not hold must not tell whether another account's key exists.
        let recipient = Recipient::verified(call, kms, request.recipient.as_ref()).await?;
        let mut source = source(call, ciphertext, request.key_id.as_deref(), "kms:Decrypt").await?;
        source.key.recipient = recipient;
        Ok(source)
    }

    fn charges(source: &Source, _: &Self::Request) -> Vec<Charge> {
        let spec = source.key.key().spec;
        quotas::of_use(&[spec])
    }

    fn questions(_: &Call<'_>, source: &Source, _: &Self::Request) -> Vec<Question> {
        let named = if source.named { Named::ByArn } else { Named::ByCiphertext };
        vec![Question { named, ..source.key.question("kms:Decrypt", true) }]
    }

    fn facts(call: &Call<'_>, source: &Source, request: &Self::Request, _: &Question) -> Facts {
        method(request).facts(source.key.facts(call))
    }

    async fn grants(
        call: &mut Call<'_>,
        source: &Source,
        request: &Self::Request,
        _: &Question,
    ) -> Result<Vec<Grant>, KmsError> {
        let asked = Use::of(GrantOperation::Decrypt, request.encryption_context.as_ref());
        Ok(grants::reaching(call, source.key.key(), &asked).await?)
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<DecryptResponse>, KmsError> {
        let source = authorized.resources();
        Permits::Enabled.demand(source.key.key())?;
        let method = method(request);
        if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_ref())? {
            method.demand_key(source.key.key())?;
            return Err(KmsError::DryRun);
        }
        let ciphertext = demand_ciphertext(request.ciphertext_blob.as_ref())?;
        let (plaintext, material) = method.decrypt(call, source, ciphertext).await?;
        unless_dry_run(request.dry_run)?;
        let recipient = source.key.recipient.as_ref();
        let delivered = deliver(call, recipient, plaintext).await?;
        Ok(Outcome::read_only(DecryptResponse {
            key_id: Some(source.key.arn.clone()),
            plaintext: delivered.plaintext,
            encryption_algorithm: Some(method.algorithm()),
            ciphertext_for_recipient: delivered.for_recipient,
            // AWS leaves it out for recipients.
            key_material_id: material.filter(|_| recipient.is_none()).map(|id| id.to_string()),
        }))
    }

    fn recorded(kms: &Kms, source: &Source, call: &RecordedCall<'_>) {
        kms.uses.note(Self::ROW.name, source.key.key(), call);
    }

    fn audited(
        request: &Self::Request,
        source: Option<&Self::Resources>,
        response: Option<&DecryptResponse>,
        audited: &mut Audited,
    ) {
        // From the ciphertext that was opened: the response does not name the material to a recipient.
        let used = response
            .and(request.ciphertext_blob.as_deref())
            .filter(|_| oaep_hash(method(request).algorithm()).is_none());
        let used = used.and_then(|blob| Header::parse(blob).ok()).map(|header| header.material_id.to_string());
        show_material(used.as_deref(), audited);
        if let Some(recipient) = source.and_then(|source| source.key.recipient.as_ref()) {
            recipient.show(audited);
        }
        let pairs = request.encryption_context.as_ref();
        audited.request_parameters = cipher_parameters(request.key_id.as_deref(), request.encryption_algorithm, pairs);
    }
}

fn method(request: &DecryptRequest) -> Method<'_> {
    Method { operation: "Decrypt", algorithm: request.encryption_algorithm, pairs: request.encryption_context.as_ref() }
}
