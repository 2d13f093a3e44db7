//! GenerateRandom: 1 to 1024 random bytes.

use claviger_api::Valid;
use claviger_api::kms::{GenerateRandomRequest, GenerateRandomResponse};
use claviger_crypto::{Random, SystemRandom};
use claviger_engine::{Audited, Authorized, Call, Fault, Operation, OperationRow, Outcome, Question};

use super::create_key::account_question;
use crate::operation::{demand_no_recipient, row};
use crate::{Kms, KmsError};

pub(crate) struct GenerateRandom;

impl Operation for GenerateRandom {
    type Service = Kms;
    type Request = Valid<GenerateRandomRequest>;
    type Response = GenerateRandomResponse;
    type Error = KmsError;
    type Resources = ();
    const ROW: OperationRow = row("GenerateRandom", true);

    async fn resolve(_: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<(), KmsError> {
        demand_no_recipient(request.recipient.as_ref())?;
        if request.custom_key_store_id.is_some() {
            return Err(KmsError::Unsupported(Some(
                "A custom key store is not supported by this server yet.".to_owned(),
            )));
        }
        if request.number_of_bytes.is_none() {
            return Err(KmsError::validation("NumberOfBytes is required."));
        }
        Ok(())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        vec![account_question(call, "kms:GenerateRandom")]
    }

    async fn perform(
        _: &mut Call<'_>,
        _: &Kms,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateRandomResponse>, KmsError> {
        let length = usize::try_from(request.number_of_bytes.unwrap_or_default()).unwrap_or_default();
        let plaintext = SystemRandom.secret(length).map_err(Fault::from)?;
        Ok(Outcome::read_only(GenerateRandomResponse { plaintext: Some(plaintext), ciphertext_for_recipient: None }))
    }

    fn audited(_: &Self::Request, _: Option<&Self::Resources>, _: Option<&GenerateRandomResponse>, _: &mut Audited) {}
}
