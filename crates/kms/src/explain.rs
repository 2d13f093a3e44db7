//! What would be asked of authorization for a use that nobody makes: `claviger explain`.

use std::collections::BTreeMap;

use claviger_api::kms::GrantOperation;
use claviger_engine::{ApiError as _, Call, CommandError, Facts, Fault, Grant, Question, ResourceRule};

use crate::conditions::of_caller;
use crate::find::{Forms, NamedKey, find};
use crate::grants::{self, Constraint, Use, reaching};
use crate::operation::KeyOperation;
use crate::operations::create_grant::{CreateGrant, of_constraint};
use crate::operations::create_key::account_question;
use crate::operations::retire_grant::{self, RevokeGrant};
use crate::operations::{
    encrypt, generate_data_key, generate_data_key_pair, import, keys, last_usage, lifecycle, list_grants, macs,
    policies, rotation, shared_secrets, signatures, tags,
};
use crate::records::alias_arn;
use crate::usage::{AsksLastUse, with_idle_days};
use crate::{Kms, KmsError};

/// An action on one key.
struct OnKey {
    action: &'static str,
    /// Whether another account can be let in.
    cross_account: bool,
    /// Whether conditions may ask for how long the key was not used.
    asks_last_use: bool,
}

/// From the operations themselves.
macro_rules! of_operations {
    ($($operation:ty,)*) => {
        &[$(OnKey {
            action: <$operation as KeyOperation>::ACTION,
            cross_account: <$operation as KeyOperation>::CROSS_ACCOUNT,
            asks_last_use: matches!(<$operation as KeyOperation>::ASKS_LAST_USE, AsksLastUse::InConditions),
        },)*]
    };
}

const ON_KEYS: &[OnKey] = of_operations![
    lifecycle::CancelKeyDeletion,
    CreateGrant,
    shared_secrets::Decapsulate,
    import::DeleteImportedKeyMaterial,
    shared_secrets::DeriveSharedSecret,
    keys::DescribeKey,
    lifecycle::DisableKey,
    rotation::DisableKeyRotation,
    lifecycle::EnableKey,
    rotation::EnableKeyRotation,
    shared_secrets::Encapsulate,
    encrypt::Encrypt,
    generate_data_key::GenerateDataKey,
    generate_data_key_pair::GenerateDataKeyPair,
    generate_data_key_pair::GenerateDataKeyPairWithoutPlaintext,
    generate_data_key::GenerateDataKeyWithoutPlaintext,
    macs::GenerateMac,
    last_usage::GetKeyLastUsage,
    policies::GetKeyPolicy,
    rotation::GetKeyRotationStatus,
    import::GetParametersForImport,
    keys::GetPublicKey,
    import::ImportKeyMaterial,
    list_grants::ListGrants,
    policies::ListKeyPolicies,
    rotation::ListKeyRotations,
    tags::ListResourceTags,
    policies::PutKeyPolicy,
    RevokeGrant,
    rotation::RotateKeyOnDemand,
    lifecycle::ScheduleKeyDeletion,
    signatures::Sign,
    tags::TagResource,
    tags::UntagResource,
    lifecycle::UpdateKeyDescription,
    signatures::Verify,
    macs::VerifyMac,
];

/// The same for operations that have a form of their own: they ask more than one question, or name the key otherwise.
const OTHERS: &[OnKey] = &[
    other("kms:CreateAlias", false),
    other("kms:Decrypt", true),
    other("kms:DeleteAlias", false),
    other("kms:ReEncryptFrom", true),
    other("kms:ReEncryptTo", true),
    other("kms:ReplicateKey", false),
    other(retire_grant::RETIRE, true),
    other("kms:UpdateAlias", false),
    other("kms:UpdatePrimaryRegion", false),
];

const fn other(action: &'static str, cross_account: bool) -> OnKey {
    OnKey { action, cross_account, asks_last_use: false }
}

/// Actions on no key.
const ON_ACCOUNTS: &[&str] = &[
    "kms:CreateKey",
    "kms:GenerateRandom",
    "kms:ListAliases",
    "kms:ListKeys",
    "kms:ListRetirableGrants",
    "kms:TagResource",
];

/// Grants to one name of the caller that are shown although they do not allow, at most.
const OTHER_GRANTS_MAX: usize = 20;

/// A use of a key that nobody makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Supposed<'a> {
    /// The IAM action.
    pub action: &'a str,
    /// The id, ARN or alias of the key, as the caller would write it; none for actions that are about no key.
    pub key: Option<&'a str>,
    /// The name or ARN of the alias, where the question is about the alias and not about its key.
    pub alias: Option<&'a str>,
    /// The encryption context of the request, or of the constraint of the grant that is to be made.
    pub context: Option<&'a BTreeMap<String, String>>,
    /// The id of the grant that is to be retired.
    pub grant: Option<&'a str>,
    /// What the grant that is to be made allows.
    pub operations: &'a [String],
}

/// Everything about the use of a key but who uses it.
pub struct SupposedUse {
    /// The question.
    pub question: Question,
    /// The grants that reach the caller.
    pub grants: Vec<Grant>,
    /// What conditions may ask about the key.
    pub facts: Facts,
    /// What else there is to say, line by line.
    pub notes: Vec<String>,
}

impl SupposedUse {
    fn of(question: Question, facts: Facts) -> Self {
        Self { question, grants: Vec::new(), facts, notes: Vec::new() }
    }
}

/// What authorization would be asked if the call's caller used the key like this. What the request itself would have,
/// its encryption context apart, is not known.
///
/// # Errors
/// A refusal for an action that is none, or a key that is not there.
pub async fn supposed_use(
    call: &mut Call<'_>,
    kms: &Kms,
    supposed: &Supposed<'_>,
) -> Result<SupposedUse, CommandError> {
    if let Some(alias) = supposed.alias {
        return on_alias(call, supposed.action, alias);
    }
    let Some(key) = supposed.key else { return on_account(call, supposed.action) };
    let known = ON_KEYS.iter().chain(OTHERS).find(|known| known.action == supposed.action);
    let known = known.ok_or_else(|| unknown(supposed.action, "is no action on a key that is built"))?;
    let OnKey { action, cross_account, asks_last_use } = *known;
    let named = find(call, key, Forms::KeyOrAlias, action).await.map_err(refused)?;
    if action == retire_grant::RETIRE {
        return to_retire(call, &named, supposed.grant).await;
    }
    let none = BTreeMap::new();
    let context = supposed.context.unwrap_or(&none);
    let mut used = SupposedUse::of(named.question(action, cross_account), named.facts(call));
    if asks_last_use {
        let last = kms.uses.of(call, named.key()).await;
        used.facts = with_idle_days(used.facts, Some(&last), call.unheld_now());
    }
    used.notes.extend(asked_besides(action).map(str::to_owned));
    let operation = action.strip_prefix("kms:").and_then(GrantOperation::parse);
    let asked = match operation {
        Some(GrantOperation::CreateGrant) => Some(delegation(supposed, context, &mut used)?),
        operation => {
            used.facts = used
                .facts
                .with_all("kms:EncryptionContextKeys", context.keys())
                .with_family("kms:EncryptionContext:", context);
            operation.map(|operation| Use::of(operation, Some(context)))
        }
    };
    if let Some(asked) = asked {
        used.grants = reaching(call, named.key(), &asked).await?;
        let others = grants::others(call, named.key(), &asked, OTHER_GRANTS_MAX).await?;
        used.notes.extend(others.iter().filter_map(|grant| why_not(grant, &asked)));
    }
    Ok(used)
}

/// An action that is about no key.
fn on_account(call: &Call<'_>, action: &str) -> Result<SupposedUse, CommandError> {
    let known = ON_ACCOUNTS.iter().find(|known| **known == action);
    let action = *known.ok_or_else(|| unknown(action, "is no action of KMS that needs no key"))?;
    let facts =
        if action == "kms:CreateKey" || action == "kms:TagResource" { of_caller(call) } else { Facts::default() };
    Ok(SupposedUse::of(account_question(call, action), facts))
}

/// The half of the question that is about an alias.
fn on_alias(call: &Call<'_>, action: &str, alias: &str) -> Result<SupposedUse, CommandError> {
    const ACTIONS: [&str; 3] = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"];
    let known = ACTIONS.into_iter().find(|known| *known == action);
    let action = known.ok_or_else(|| unknown(action, "is no action on an alias"))?;
    let resource = match alias.starts_with("alias/") {
        true => alias_arn(call.caller().region(), call.caller().account(), alias),
        false => alias.to_owned(),
    };
    let question = Question { resource, ..account_question(call, action) };
    let mut used = SupposedUse::of(question, of_caller(call));
    used.notes.push(format!("{action} must be allowed on the alias, as here, and on its key: ask that with --key"));
    Ok(used)
}

/// What the operation asks besides this question.
fn asked_besides(action: &str) -> Option<&'static str> {
    match action {
        "kms:CreateAlias" | "kms:DeleteAlias" | "kms:UpdateAlias" => Some(
            "the action must be allowed on the key, as here, and on the alias: ask that with --resource alias/NAME",
        ),
        "kms:ReEncryptFrom" | "kms:ReEncryptTo" => {
            Some("ReEncrypt needs kms:ReEncryptFrom on the source key and kms:ReEncryptTo on the destination key")
        }
        "kms:ReplicateKey" => Some("ReplicateKey also needs kms:CreateKey in the Region of the replica"),
        "kms:UpdatePrimaryRegion" => Some("UpdatePrimaryRegion must be allowed on both keys, in both Regions"),
        _ => None,
    }
}

/// The grant that CreateGrant would make, and what conditions may ask about it.
fn delegation<'a>(
    supposed: &Supposed<'_>,
    context: &'a BTreeMap<String, String>,
    used: &mut SupposedUse,
) -> Result<Use<'a>, CommandError> {
    let parse = |name: &String| {
        let none = || CommandError::refused("UnknownOperation", format!("{name} is no operation of a grant"));
        GrantOperation::parse(name).ok_or_else(none)
    };
    let operations: Vec<GrantOperation> = supposed.operations.iter().map(parse).collect::<Result<_, _>>()?;
    let constraint = if context.is_empty() { Constraint::None } else { Constraint::Subset(context.clone()) };
    let facts = std::mem::take(&mut used.facts);
    used.facts = of_constraint(facts, &constraint)
        .with("kms:GrantIsForAWSResource", "false")
        .with_all("kms:GrantOperations", supposed.operations.iter());
    if operations.is_empty() {
        used.notes.push(
            "a grant lets its holder pass on no more than it allows itself: say what the new one is to allow \
                         with --grant-operation"
                .to_owned(),
        );
    }
    Ok(Use::Delegate { operations: operations.into(), constraint, source_arn: None })
}

/// Who may retire a grant: the policies of the key have no say.
async fn to_retire(call: &mut Call<'_>, named: &NamedKey, grant: Option<&str>) -> Result<SupposedUse, CommandError> {
    let id = grant.ok_or_else(|| CommandError::refused("GrantNeeded", "kms:RetireGrant needs --grant ID"))?;
    let (grant, question) = retire_grant::supposed(call, named, id).await.map_err(refused)?;
    let facts = of_constraint(named.facts(call), &grant.constraint);
    let mut used = SupposedUse::of(Question { resource_policy: ResourceRule::GrantsOnly, ..question }, facts);
    used.grants = retire_grant::retirers(&grant);
    used.notes.push(
        "a grant is retired by its retiring principal, by its grantee if it allows RetireGrant, and by the \
                     account that made it; the key policy has no say"
            .to_owned(),
    );
    Ok(used)
}

/// Why a grant to the caller for this operation does not allow the use; none for one that does.
fn why_not(grant: &grants::Grant, asked: &Use<'_>) -> Option<String> {
    if grant.allows(asked, None) {
        return None;
    }
    let (id, grantee) = (&grant.id, &grant.grantee.name);
    let constraint = grant.constraint.kind().map(|kind| {
        let pairs: BTreeMap<_, _> = grant.constraint.pairs().collect();
        format!("; {kind} {pairs:?}")
    });
    let source = grant.source_arn.as_ref().map(|arn| format!("; only for a service that acts for {arn}"));
    let operations = match asked {
        Use::Plain { .. } => None,
        Use::Delegate { .. } => {
            let names: Vec<_> = grant.operations.iter().map(|operation| operation.as_str()).collect();
            Some(format!("; it allows {}", names.join(", ")))
        }
    };
    let more: String = [operations, constraint, source].into_iter().flatten().collect();
    Some(format!("grant {id} to {grantee}: does not allow this{more}"))
}

fn unknown(action: &str, what: &str) -> CommandError {
    CommandError::refused("UnknownAction", format!("{action} {what}"))
}

pub(crate) fn refused(error: KmsError) -> CommandError {
    let fault: Option<Fault> = error.fault().cloned();
    match fault {
        Some(fault) => fault.into(),
        None => {
            let told = error.service_error();
            CommandError::refused(told.code, told.message.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::kms::Operation;

    use super::*;

    /// Operations that are not built, and those whose actions have other names.
    const NONE: [&str; 7] = [
        "ConnectCustomKeyStore",
        "CreateCustomKeyStore",
        "DeleteCustomKeyStore",
        "DescribeCustomKeyStores",
        "DisconnectCustomKeyStore",
        "UpdateCustomKeyStore",
        "ReEncrypt",
    ];

    fn knows(action: &str) -> bool {
        ON_KEYS.iter().chain(OTHERS).any(|known| known.action == action) || ON_ACCOUNTS.contains(&action)
    }

    #[test]
    fn every_operation_of_the_interface_can_be_explained() {
        for operation in Operation::ALL {
            let name = operation.name();
            assert_eq!(knows(&format!("kms:{name}")), !NONE.contains(&name), "{name}");
        }
        assert!(knows("kms:ReEncryptFrom") && knows("kms:ReEncryptTo"));
    }

    #[test]
    fn no_action_stands_twice() {
        let all: Vec<_> = ON_KEYS.iter().chain(OTHERS).map(|known| known.action).collect();
        for (number, action) in all.iter().enumerate() {
            assert!(!all.iter().skip(number + 1).any(|other| other == action), "{action}");
        }
    }

    #[test]
    fn every_action_of_a_grant_is_one_on_a_key() {
        for operation in GrantOperation::ALL {
            let action = format!("kms:{}", operation.as_str());
            assert!(ON_KEYS.iter().chain(OTHERS).any(|known| known.action == action), "{action}");
        }
    }
}
