//! Sign and Verify: RSA, ECDSA, Ed25519 and ML-DSA signatures.

use claviger_api::Valid;
use claviger_api::kms::{MessageType, SignRequest, SignResponse, SigningAlgorithmSpec, VerifyRequest, VerifyResponse};
use claviger_crypto::{Message, SignatureScheme};
use claviger_engine::{Audited, Call, Facts, Fault, Outcome, Value};
use claviger_secret::SecretBytes;

use super::key_use::{current, demand, with_pair};
use crate::KmsError;
use crate::algorithms::{Algorithm, signature_scheme};
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::records::Key;
use crate::state::Permits;

pub(crate) struct Sign;

impl KeyOperation for Sign {
    type Request = Valid<SignRequest>;
    type Response = SignResponse;
    const NAME: &'static str = "Sign";
    const ACTION: &'static str = "kms:Sign";
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

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        with_signature(facts, request.signing_algorithm, request.message_type)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<SignResponse>, KmsError> {
        let algorithm = request.signing_algorithm;
        let input = Input::checked(key.key(), algorithm, request.message_type, &request.message, "Sign")?;
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        let signature = with_pair(call, &material, move |pair| pair.sign(input.scheme, input.message())).await?;
        Ok(Outcome::read_only(SignResponse {
            key_id: Some(key.arn.clone()),
            signature: Some(signature),
            signing_algorithm: Some(algorithm),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&SignResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.signing_algorithm, request.message_type);
    }
}

pub(crate) struct Verify;

impl KeyOperation for Verify {
    type Request = Valid<VerifyRequest>;
    type Response = VerifyResponse;
    const NAME: &'static str = "Verify";
    const ACTION: &'static str = "kms:Verify";
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

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        with_signature(facts, request.signing_algorithm, request.message_type)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<VerifyResponse>, KmsError> {
        let algorithm = request.signing_algorithm;
        let input = Input::checked(key.key(), algorithm, request.message_type, &request.message, "Verify")?;
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        let signature = request.signature.clone();
        let holds =
            with_pair(call, &material, move |pair| pair.verify(input.scheme, input.message(), &signature)).await?;
        if !holds {
            return Err(KmsError::InvalidSignature);
        }
        Ok(Outcome::read_only(VerifyResponse {
            key_id: Some(key.arn.clone()),
            signature_valid: Some(true),
            signing_algorithm: Some(algorithm),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&VerifyResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.signing_algorithm, request.message_type);
    }
}

/// What is to be signed, of a form and length that the algorithm takes.
struct Input {
    scheme: SignatureScheme,
    kind: MessageType,
    bytes: SecretBytes,
}

impl Input {
    fn checked(
        key: &Key,
        algorithm: SigningAlgorithmSpec,
        kind: Option<MessageType>,
        bytes: &SecretBytes,
        operation: &str,
    ) -> Result<Self, KmsError> {
        let row = demand(key, Algorithm::Signing(algorithm), operation)?;
        let kind = kind.unwrap_or(MessageType::Raw);
        if !row.messages.contains(&kind) {
            let (kind, algorithm) = (kind.as_str(), algorithm.as_str());
            return Err(KmsError::validation(format!(
                "MessageType {kind} is not supported for signing algorithm {algorithm}."
            )));
        }
        if kind != MessageType::Raw && bytes.len() != row.digest_bytes {
            let algorithm = algorithm.as_str();
            return Err(KmsError::validation(format!("Digest is invalid length for algorithm {algorithm}.")));
        }
        let scheme = signature_scheme(algorithm).ok_or(Fault::Cryptography)?;
        Ok(Self { scheme, kind, bytes: SecretBytes::from_slice(bytes.expose()) })
    }

    fn message(&self) -> Message<'_> {
        match self.kind {
            MessageType::Raw => Message::Raw(self.bytes.expose()),
            MessageType::Digest => Message::Digest(self.bytes.expose()),
            MessageType::ExternalMu => Message::ExternalMu(self.bytes.expose()),
        }
    }
}

fn with_signature(facts: Facts, algorithm: SigningAlgorithmSpec, kind: Option<MessageType>) -> Facts {
    facts
        .with("kms:SigningAlgorithm", algorithm.as_str())
        .with("kms:MessageType", kind.unwrap_or(MessageType::Raw).as_str())
}

fn parameters(key_id: &str, algorithm: SigningAlgorithmSpec, kind: Option<MessageType>) -> Value {
    Value::object([
        ("keyId", Value::public_text(key_id)),
        ("messageType", Value::public_text(kind.unwrap_or(MessageType::Raw).as_str())),
        ("signingAlgorithm", Value::public_text(algorithm.as_str())),
    ])
}
