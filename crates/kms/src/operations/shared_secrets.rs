//! DeriveSharedSecret (ECDH), Encapsulate and Decapsulate (ML-KEM).

use claviger_api::Valid;
use claviger_api::kms::{
    DecapsulateRequest, DecapsulateResponse, DeriveSharedSecretRequest, DeriveSharedSecretResponse, EncapsulateRequest,
    EncapsulateResponse, EncapsulationAlgorithmSpec, OriginType, RecipientInfo,
};
use claviger_engine::{Audited, Call, Facts, Outcome, Value};

use super::key_use::{current, demand, with_pair};
use crate::KmsError;
use crate::algorithms::Algorithm;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::recipient::deliver;
use crate::state::Permits;

pub(crate) struct DeriveSharedSecret;

impl KeyOperation for DeriveSharedSecret {
    type Request = Valid<DeriveSharedSecretRequest>;
    type Response = DeriveSharedSecretResponse;
    const NAME: &'static str = "DeriveSharedSecret";
    const ACTION: &'static str = "kms:DeriveSharedSecret";
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

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        facts.with("kms:KeyAgreementAlgorithm", request.key_agreement_algorithm.as_str())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<DeriveSharedSecretResponse>, KmsError> {
        let algorithm = request.key_agreement_algorithm;
        demand(key.key(), Algorithm::Agreement(algorithm), "DeriveSharedSecret")?;
        let material = current(call, key).await?;
        let peer = request.public_key.clone();
        // Before the end of a dry run: the peer's key is part of what is checked.
        let secret = with_pair(call, &material, move |pair| pair.agree(&peer)).await?;
        unless_dry_run(request.dry_run)?;
        let delivered = deliver(call, key.recipient.as_ref(), secret).await?;
        Ok(Outcome::read_only(DeriveSharedSecretResponse {
            key_id: Some(key.arn.clone()),
            shared_secret: delivered.plaintext,
            ciphertext_for_recipient: delivered.for_recipient,
            key_agreement_algorithm: Some(algorithm),
            key_origin: Some(OriginType::AwsKms),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&DeriveSharedSecretResponse>, audited: &mut Audited) {
        audited.request_parameters = Value::object([
            ("keyId", Value::public_text(&request.key_id)),
            ("keyAgreementAlgorithm", Value::public_text(request.key_agreement_algorithm.as_str())),
        ]);
    }
}

pub(crate) struct Encapsulate;

impl KeyOperation for Encapsulate {
    type Request = Valid<EncapsulateRequest>;
    type Response = EncapsulateResponse;
    const NAME: &'static str = "Encapsulate";
    const ACTION: &'static str = "kms:Encapsulate";
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

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<EncapsulateResponse>, KmsError> {
        let algorithm = request.encapsulation_algorithm;
        demand(key.key(), Algorithm::Encapsulation(algorithm), "Encapsulate")?;
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        let (ciphertext, secret) = with_pair(call, &material, claviger_crypto::PairMaterial::encapsulate).await?;
        Ok(Outcome::read_only(EncapsulateResponse {
            key_id: Some(key.arn.clone()),
            shared_secret: Some(secret),
            shared_secret_ciphertext_blob: Some(ciphertext),
            encapsulation_algorithm: Some(algorithm),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&EncapsulateResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.encapsulation_algorithm);
    }
}

pub(crate) struct Decapsulate;

impl KeyOperation for Decapsulate {
    type Request = Valid<DecapsulateRequest>;
    type Response = DecapsulateResponse;
    const NAME: &'static str = "Decapsulate";
    const ACTION: &'static str = "kms:Decapsulate";
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

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<DecapsulateResponse>, KmsError> {
        let algorithm = request.encapsulation_algorithm;
        let row = demand(key.key(), Algorithm::Encapsulation(algorithm), "Decapsulate")?;
        if request.shared_secret_ciphertext_blob.len() != row.input_bytes_max {
            return Err(KmsError::InvalidCiphertext);
        }
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        let ciphertext = request.shared_secret_ciphertext_blob.clone();
        let secret = with_pair(call, &material, move |pair| pair.decapsulate(&ciphertext)).await?;
        Ok(Outcome::read_only(DecapsulateResponse {
            key_id: Some(key.arn.clone()),
            shared_secret: Some(secret),
            encapsulation_algorithm: Some(algorithm),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&DecapsulateResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.encapsulation_algorithm);
    }
}

fn parameters(key_id: &str, algorithm: EncapsulationAlgorithmSpec) -> Value {
    Value::object([
        ("keyId", Value::public_text(key_id)),
        ("encapsulationAlgorithm", Value::public_text(algorithm.as_str())),
    ])
}
