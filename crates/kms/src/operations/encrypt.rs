//! Encrypt: 1 to 4096 bytes under a symmetric key, or as many as its padding leaves under an RSA key.

use claviger_api::Valid;
use claviger_api::kms::{EncryptRequest, EncryptResponse};
use claviger_engine::{Audited, Call, Facts, Outcome};

use super::cipher::{Method, Pairs, cipher_parameters, is_symmetric};
use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::state::Permits;

/// Encrypts under the key's current material. Writes nothing; the blob of a symmetric key names its material, so
/// rotation strands no ciphertext.
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

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn context(request: &Self::Request) -> Option<&Pairs> {
        request.encryption_context.as_ref()
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        method(request).facts(facts)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<EncryptResponse>, KmsError> {
        let method = method(request);
        let (ciphertext, _) = method.encrypt(call, key, &request.plaintext).await?;
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::read_only(EncryptResponse {
            ciphertext_blob: Some(ciphertext),
            key_id: Some(key.arn.clone()),
            encryption_algorithm: Some(method.algorithm()),
        }))
    }

    fn used_material(key: &NamedKey) -> Option<String> {
        is_symmetric(key.key()).then(|| key.key().current().ok().map(ToString::to_string)).flatten()
    }

    fn audited(request: &Self::Request, _: Option<&EncryptResponse>, audited: &mut Audited) {
        let pairs = request.encryption_context.as_ref();
        audited.request_parameters = cipher_parameters(Some(&request.key_id), request.encryption_algorithm, pairs);
    }
}

fn method(request: &EncryptRequest) -> Method<'_> {
    Method {
        operation: Encrypt::NAME,
        algorithm: request.encryption_algorithm,
        pairs: request.encryption_context.as_ref(),
    }
}
