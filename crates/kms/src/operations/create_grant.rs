//! CreateGrant: lets somebody use a key, within constraints, without a change of its policy.

use claviger_api::Valid;
use claviger_api::kms::{
    CreateGrantRequest, CreateGrantResponse, GrantConstraints, GrantOperation, KeySpec, KeyUsageType,
};
use claviger_engine::{Audited, Call, Facts, Outcome, Value};
use claviger_policy::PrincipalName;

use super::cipher::{Pairs, with_context};
use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::grants::{self, Constraint, Grant, Holder, Use, token};
use crate::operation::{KeyOperation, key_parameter, unless_dry_run};
use crate::records::Key;
use crate::state::Permits;

/// Pairs in a constraint, and characters in one value, at most.
const PAIRS_MAX: usize = 8;
const VALUE_CHARACTERS_MAX: usize = 384;

pub(crate) struct CreateGrant;

impl KeyOperation for CreateGrant {
    type Request = Valid<CreateGrantRequest>;
    type Response = CreateGrantResponse;
    const NAME: &'static str = "CreateGrant";
    const ACTION: &'static str = "kms:CreateGrant";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = false;
    const ON_GRANTS: bool = true;
    const SHOWS_KEY: bool = true;
    const PERMITS: Permits = Permits::Enabled;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        request.grant_tokens.as_ref()
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        let refused = |text: &str| Err(KmsError::validation(text));
        match (&request.grantee_principal, &request.grantee_service_principal) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return refused("Specify either GranteePrincipal or GranteeServicePrincipal."),
        }
        if request.retiring_principal.is_some() && request.retiring_service_principal.is_some() {
            return refused("Specify either RetiringPrincipal or RetiringServicePrincipal, not both.");
        }
        if request.operations.is_empty() {
            return refused("Operations must name at least one grant operation.");
        }
        constraint(request.constraints.as_ref())?;
        let source = request.constraints.as_ref().and_then(|constraints| constraints.source_arn.as_ref());
        let retiring = request.retiring_principal.as_ref().or(request.retiring_service_principal.as_ref());
        if request.grantee_service_principal.is_some() && (source.is_none() || retiring.is_none()) {
            return refused("A grant to a service principal needs a SourceArn constraint and a retiring principal.");
        }
        Ok(())
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        // Checked before any key was looked up.
        let constraint = constraint(request.constraints.as_ref()).unwrap_or_default();
        let source = request.constraints.as_ref().and_then(|constraints| constraints.source_arn.as_deref());
        of_constraint(facts, &constraint)
            .with_all("kms:GrantOperations", request.operations.iter().map(|operation| operation.as_str()))
            .with_some("kms:GranteePrincipal", request.grantee_principal.as_deref())
            .with_some("kms:GranteeServicePrincipal", request.grantee_service_principal.as_deref())
            .with_some("kms:RetiringPrincipal", request.retiring_principal.as_deref())
            .with_some("kms:RetiringServicePrincipal", request.retiring_service_principal.as_deref())
            .with_some("kms:GrantConstraintSourceArn", source)
    }

    fn granted(request: &Self::Request) -> Option<Use<'_>> {
        let constraint = constraint(request.constraints.as_ref()).ok()?;
        let source_arn = request.constraints.as_ref().and_then(|constraints| constraints.source_arn.as_deref());
        Some(Use::Delegate { operations: request.operations.as_slice().into(), constraint, source_arn })
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<CreateGrantResponse>, KmsError> {
        let grant = wanted(call, key, request).await?;
        if let Some(known) = grants::known(call, key, &grant).await? {
            unless_dry_run(request.dry_run)?;
            return Ok(Outcome::read_only(response(call, key, known)?));
        }
        let response = response(call, key, grant.id.clone())?;
        let writes = grants::place(call, key, grant).await?;
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(request: &Self::Request, response: Option<&CreateGrantResponse>, audited: &mut Audited) {
        let mut value = key_parameter(&request.key_id);
        let texts = [
            ("granteePrincipal", &request.grantee_principal),
            ("granteeServicePrincipal", &request.grantee_service_principal),
            ("retiringPrincipal", &request.retiring_principal),
            ("retiringServicePrincipal", &request.retiring_service_principal),
            ("name", &request.name),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                value = value.with(name, Value::public_text(text));
            }
        }
        let operations = request.operations.iter().map(|operation| Value::public_text(operation.as_str()));
        value = value.with("operations", Value::list(operations));
        if let Some(constraints) = &request.constraints {
            let mut shown = Value::Null;
            shown = with_context(shown, "encryptionContextEquals", constraints.encryption_context_equals.as_ref());
            shown = with_context(shown, "encryptionContextSubset", constraints.encryption_context_subset.as_ref());
            if let Some(arn) = &constraints.source_arn {
                shown = shown.with("sourceArn", Value::public_text(arn));
            }
            value = value.with("constraints", shown);
        }
        audited.request_parameters = value;
        if let Some(id) = response.and_then(|response| response.grant_id.as_deref()) {
            audited.response_elements = Value::object([("grantId", Value::public_text(id))]);
        }
    }
}

fn response(call: &Call<'_>, key: &NamedKey, grant: String) -> Result<CreateGrantResponse, KmsError> {
    let grant_token = Some(token::make(call, &key.arn, &grant)?);
    Ok(CreateGrantResponse { grant_token, grant_id: Some(grant) })
}

/// What conditions may ask about a grant's encryption context.
pub(crate) fn of_constraint(facts: Facts, constraint: &Constraint) -> Facts {
    facts
        .with_some("kms:GrantConstraintType", constraint.kind())
        .with_all("kms:EncryptionContextKeys", constraint.pairs().map(|(name, _)| name))
        .with_family("kms:EncryptionContext:", constraint.pairs())
}

/// The grant that the request asks for, if the key and the principals are such that it can be.
async fn wanted(call: &mut Call<'_>, key: &NamedKey, request: &CreateGrantRequest) -> Result<Grant, KmsError> {
    let constraint = constraint(request.constraints.as_ref())?;
    demand_for_key(key.key(), &request.operations, &constraint)?;
    let grantee = holder(call, request.grantee_principal.as_deref(), request.grantee_service_principal.as_deref());
    let grantee = grantee.await?.ok_or_else(|| KmsError::validation("GranteePrincipal must not be null."))?;
    let retiring = holder(call, request.retiring_principal.as_deref(), request.retiring_service_principal.as_deref());
    let retiring = retiring.await?;
    let mut operations = Vec::with_capacity(request.operations.len());
    for operation in &request.operations {
        if !operations.contains(operation) {
            operations.push(*operation);
        }
    }
    Ok(Grant {
        id: hex::encode(call.random::<32>()?),
        name: request.name.clone(),
        created: call.now(),
        grantee,
        retiring,
        issuer: call.caller().account().to_owned(),
        operations,
        constraint,
        source_arn: request.constraints.as_ref().and_then(|constraints| constraints.source_arn.clone()),
    })
}

/// The principal that a request names, as who it is now.
async fn holder(
    call: &mut Call<'_>,
    principal: Option<&str>,
    service: Option<&str>,
) -> Result<Option<Holder>, KmsError> {
    let (text, name) = match (principal, service) {
        (Some(text), _) => (text, principal_name(text)),
        (None, Some(text)) => (text, PrincipalName::parse_service(text)),
        (None, None) => return Ok(None),
    };
    let name = name.ok_or_else(|| no_principal(text))?;
    Ok(Some(Holder::named(call, name).await?.ok_or_else(|| no_principal(text))?))
}

/// The ARN of an account, user, role, role session or federated user; nothing else can hold or retire a grant.
pub(crate) fn principal_name(text: &str) -> Option<PrincipalName> {
    PrincipalName::parse(text).filter(|_| text.starts_with("arn:"))
}

/// AWS's refusal of an ARN behind which nobody is.
pub(crate) fn no_principal(arn: &str) -> KmsError {
    KmsError::InvalidArn(format!("ARN does not refer to a valid principal: {arn}"))
}

/// The constraint on the encryption context; at most one of the two kinds, and never empty.
fn constraint(constraints: Option<&GrantConstraints>) -> Result<Constraint, KmsError> {
    let Some(constraints) = constraints else { return Ok(Constraint::None) };
    let (kind, pairs) = match (&constraints.encryption_context_equals, &constraints.encryption_context_subset) {
        (None, None) => return Ok(Constraint::None),
        (Some(pairs), None) => (Constraint::Equals as fn(Pairs) -> Constraint, pairs),
        (None, Some(pairs)) => (Constraint::Subset as fn(Pairs) -> Constraint, pairs),
        (Some(_), Some(_)) => {
            let text = "Specify either EncryptionContextEquals or EncryptionContextSubset, not both.";
            return Err(KmsError::validation(text));
        }
    };
    if !(1..=PAIRS_MAX).contains(&pairs.len()) {
        return Err(KmsError::validation(format!("An encryption context constraint has 1 to {PAIRS_MAX} pairs.")));
    }
    if pairs.values().any(|value| value.chars().count() > VALUE_CHARACTERS_MAX) {
        let text =
            format!("A value in an encryption context constraint has at most {VALUE_CHARACTERS_MAX} characters.");
        return Err(KmsError::validation(text));
    }
    Ok(kind(pairs.clone()))
}

/// Whether grants on this key can allow this (reference/authorization.md section 6).
fn demand_for_key(key: &Key, operations: &[GrantOperation], constraint: &Constraint) -> Result<(), KmsError> {
    if let Some(operation) = operations.iter().find(|operation| !is_of_key(key, **operation)) {
        let (operation, arn) = (operation.as_str(), key.arn());
        let (usage, spec) = (key.usage.as_str(), key.spec.as_str());
        return Err(KmsError::validation(format!(
            "The grant operation {operation} is not valid for {arn}, whose key usage is {usage} and key spec is {spec}."
        )));
    }
    if *constraint != Constraint::None && key.spec != KeySpec::SymmetricDefault {
        return Err(KmsError::validation(
            "An encryption context constraint is valid only for symmetric encryption KMS keys.",
        ));
    }
    Ok(())
}

fn is_of_key(key: &Key, operation: GrantOperation) -> bool {
    use GrantOperation as Op;
    let symmetric = key.spec == KeySpec::SymmetricDefault;
    match operation {
        Op::CreateGrant | Op::RetireGrant | Op::DescribeKey => true,
        Op::Encrypt | Op::Decrypt | Op::ReEncryptFrom | Op::ReEncryptTo => key.usage == KeyUsageType::EncryptDecrypt,
        Op::GenerateDataKey
        | Op::GenerateDataKeyWithoutPlaintext
        | Op::GenerateDataKeyPair
        | Op::GenerateDataKeyPairWithoutPlaintext => symmetric,
        Op::GetPublicKey => !symmetric && key.usage != KeyUsageType::GenerateVerifyMac,
        Op::Sign | Op::Verify => key.usage == KeyUsageType::SignVerify,
        Op::GenerateMac | Op::VerifyMac => key.usage == KeyUsageType::GenerateVerifyMac,
        Op::DeriveSharedSecret => key.usage == KeyUsageType::KeyAgreement,
        Op::Encapsulate | Op::Decapsulate => key.usage == KeyUsageType::EncapsulateDecapsulate,
    }
}
