//! Recipient: answers that only one attested enclave or instance can read.
//!
//! The attestation document is verified before authorization, so that a key policy can demand what it measures; the
//! answer's secret then goes to the document's public key and the plaintext member stays empty.

use std::sync::Arc;

use claviger_api::kms::RecipientInfo;
use claviger_crypto::{Attestation, Platform};
use claviger_engine::{Audited, Call, Facts, Fault, Text, Value};
use claviger_secret::{LogText, SecretBytes, event};

use crate::{Kms, KmsError};

/// A verified attestation document.
pub(crate) struct Recipient(Arc<Attestation>);

/// What an operation that can have a recipient answers: the secret itself, or the secret sealed for the recipient.
pub(crate) struct Delivered {
    /// The plaintext member of the response.
    pub(crate) plaintext: Option<SecretBytes>,
    /// `CiphertextForRecipient`.
    pub(crate) for_recipient: Option<Vec<u8>>,
}

/// What a client is told of any document that does not hold; the reason is in the server's log.
const REFUSED: &str = "The attestation document is not valid.";

impl Recipient {
    /// Verifies the request's attestation document, if it has one, by the wall clock.
    ///
    /// # Errors
    /// A validation error for a document that is missing or does not hold.
    pub(crate) async fn verified(
        call: &mut Call<'_>,
        kms: &Kms,
        info: Option<&RecipientInfo>,
    ) -> Result<Option<Self>, KmsError> {
        let Some(info) = info else { return Ok(None) };
        // KeyEncryptionAlgorithm needs no check: the model knows one value only.
        let document = info.attestation_document.clone().ok_or_else(|| KmsError::validation(REFUSED))?;
        let roots = Arc::clone(&kms.attestation_roots);
        let now = u64::try_from(call.wall().millis() / 1000).unwrap_or_default();
        match call.heavy(move || Attestation::verify(&document, &roots, now)).await? {
            Ok(attestation) => Ok(Some(Self(Arc::new(attestation)))),
            Err(reason) => {
                event!(warn, "an attestation document was refused", reason = LogText::of(&reason));
                Err(KmsError::validation(REFUSED))
            }
        }
    }

    /// The record's `additionalEventData.recipient` (reference/events.md section 3).
    pub(crate) fn show(&self, audited: &mut Audited) {
        let mut shown = Value::object([("attestationDocumentModuleId", Value::public_text(self.0.module_id()))]);
        for (number, value) in self.0.pcrs() {
            let name = match (self.0.platform(), number) {
                (Platform::NitroEnclave, 0) => "attestationDocumentEnclaveImageDigest".to_owned(),
                (Platform::NitroEnclave, _) => format!("attestationDocumentEnclavePCR{number}"),
                (Platform::NitroTpm, _) => format!("attestationDocumentNitroTPMPCR{number}"),
            };
            shown = shown.with(Text::public(&name), Value::public_text(&hex::encode(value)));
        }
        audited.additional = std::mem::take(&mut audited.additional).with("recipient", shown);
    }

    /// Adds the condition keys `kms:RecipientAttestation:*` of the document.
    pub(crate) fn add_facts(&self, facts: Facts) -> Facts {
        let register = match self.0.platform() {
            Platform::NitroEnclave => "PCR",
            Platform::NitroTpm => "NitroTPMPCR",
        };
        let image = self.0.pcrs().find(|(number, _)| (self.0.platform(), *number) == (Platform::NitroEnclave, 0));
        let registers = self.0.pcrs().map(|(number, value)| (format!("{register}{number}"), hex::encode(value)));
        facts
            .with_some("kms:RecipientAttestation:ImageSha384", image.map(|(_, value)| hex::encode(value)))
            .with_family("kms:RecipientAttestation:", registers)
    }
}

/// Gives the secret to whoever the answer is for.
///
/// # Errors
/// A [`Fault`] when sealing fails.
pub(crate) async fn deliver(
    call: &mut Call<'_>,
    recipient: Option<&Recipient>,
    plaintext: SecretBytes,
) -> Result<Delivered, KmsError> {
    let Some(Recipient(attestation)) = recipient else {
        return Ok(Delivered { plaintext: Some(plaintext), for_recipient: None });
    };
    let attestation = Arc::clone(attestation);
    let sealed = call.heavy(move || attestation.recipient().seal(plaintext.expose())).await?.map_err(Fault::from)?;
    Ok(Delivered { plaintext: None, for_recipient: Some(sealed) })
}
