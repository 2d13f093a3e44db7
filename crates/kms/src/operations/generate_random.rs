//! GenerateRandom: 1 to 1024 random bytes.

use claviger_api::Valid;
use claviger_api::kms::{GenerateRandomRequest, GenerateRandomResponse};
use claviger_crypto::{Random, SystemRandom};
use claviger_engine::{Audited, Authorized, Call, Facts, Fault, Operation, OperationRow, Outcome, Question};

use super::create_key::account_question;
use crate::operation::row;
use crate::recipient::{Recipient, deliver};
use crate::{Kms, KmsError};

pub(crate) struct GenerateRandom;

impl Operation for GenerateRandom {
    type Service = Kms;
    type Request = Valid<GenerateRandomRequest>;
    type Response = GenerateRandomResponse;
    type Error = KmsError;
    type Resources = Option<Recipient>;
    const ROW: OperationRow = row("GenerateRandom", true);

    async fn resolve(call: &mut Call<'_>, kms: &Kms, request: &Self::Request) -> Result<Option<Recipient>, KmsError> {
        if request.custom_key_store_id.is_some() {
            return Err(KmsError::Unsupported(Some(
                "A custom key store is not supported by this server yet.".to_owned(),
            )));
        }
        if request.number_of_bytes.is_none() {
            return Err(KmsError::validation("NumberOfBytes is required."));
        }
        Recipient::verified(call, kms, request.recipient.as_ref()).await
    }

    fn questions(call: &Call<'_>, _: &Option<Recipient>, _: &Self::Request) -> Vec<Question> {
        vec![account_question(call, "kms:GenerateRandom")]
    }

    fn facts(_: &Call<'_>, recipient: &Option<Recipient>, _: &Self::Request, _: &Question) -> Facts {
        recipient.iter().fold(Facts::default(), |facts, recipient| recipient.add_facts(facts))
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateRandomResponse>, KmsError> {
        let length = usize::try_from(request.number_of_bytes.unwrap_or_default()).unwrap_or_default();
        let plaintext = SystemRandom.secret(length).map_err(Fault::from)?;
        let delivered = deliver(call, authorized.resources().as_ref(), plaintext).await?;
        Ok(Outcome::read_only(GenerateRandomResponse {
            plaintext: delivered.plaintext,
            ciphertext_for_recipient: delivered.for_recipient,
        }))
    }

    fn audited(
        _: &Self::Request,
        recipient: Option<&Self::Resources>,
        _: Option<&GenerateRandomResponse>,
        audited: &mut Audited,
    ) {
        if let Some(recipient) = recipient.and_then(Option::as_ref) {
            recipient.show(audited);
        }
    }
}
