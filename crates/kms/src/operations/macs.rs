//! GenerateMac and VerifyMac: HMAC with the hash of the key's own size.

use claviger_api::Valid;
use claviger_api::kms::{
    GenerateMacRequest, GenerateMacResponse, MacAlgorithmSpec, VerifyMacRequest, VerifyMacResponse,
};
use claviger_crypto::MacMaterial;
use claviger_engine::{Audited, Call, Facts, Fault, Outcome, Value};

use super::key_use::{current, demand};
use crate::KmsError;
use crate::algorithms::Algorithm;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, unless_dry_run};
use crate::records::Material;
use crate::state::Permits;

pub(crate) struct GenerateMac;

impl KeyOperation for GenerateMac {
    type Request = Valid<GenerateMacRequest>;
    type Response = GenerateMacResponse;
    const NAME: &'static str = "GenerateMac";
    const ACTION: &'static str = "kms:GenerateMac";
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
        facts.with("kms:MacAlgorithm", request.mac_algorithm.as_str())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GenerateMacResponse>, KmsError> {
        let algorithm = request.mac_algorithm;
        demand(key.key(), Algorithm::Mac(algorithm), "GenerateMac")?;
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        let mac = mac_of(&material.record)?.mac(request.message.expose());
        Ok(Outcome::read_only(GenerateMacResponse {
            mac: Some(mac),
            mac_algorithm: Some(algorithm),
            key_id: Some(key.arn.clone()),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GenerateMacResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.mac_algorithm);
    }
}

pub(crate) struct VerifyMac;

impl KeyOperation for VerifyMac {
    type Request = Valid<VerifyMacRequest>;
    type Response = VerifyMacResponse;
    const NAME: &'static str = "VerifyMac";
    const ACTION: &'static str = "kms:VerifyMac";
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
        facts.with("kms:MacAlgorithm", request.mac_algorithm.as_str())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<VerifyMacResponse>, KmsError> {
        let algorithm = request.mac_algorithm;
        demand(key.key(), Algorithm::Mac(algorithm), "VerifyMac")?;
        unless_dry_run(request.dry_run)?;
        let material = current(call, key).await?;
        if !mac_of(&material.record)?.verify(request.message.expose(), &request.mac) {
            return Err(KmsError::InvalidMac);
        }
        Ok(Outcome::read_only(VerifyMacResponse {
            key_id: Some(key.arn.clone()),
            mac_valid: Some(true),
            mac_algorithm: Some(algorithm),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&VerifyMacResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&request.key_id, request.mac_algorithm);
    }
}

fn mac_of(record: &Material) -> Result<&MacMaterial, Fault> {
    record.material.mac().ok_or(Fault::Cryptography)
}

fn parameters(key_id: &str, algorithm: MacAlgorithmSpec) -> Value {
    Value::object([("keyId", Value::public_text(key_id)), ("macAlgorithm", Value::public_text(algorithm.as_str()))])
}
