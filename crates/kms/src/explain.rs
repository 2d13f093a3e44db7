//! What would be asked of authorization for a use that nobody makes: `claviger explain`.

use std::collections::BTreeMap;

use claviger_api::kms::GrantOperation;
use claviger_engine::{ApiError as _, Call, CommandError, Facts, Fault, Grant, Question};

use crate::KmsError;
use crate::find::{Forms, find};
use crate::grants::{Use, reaching};
use crate::operations::create_key::account_question;

/// Actions on a key, and whether another account can be let in.
const ON_KEYS: &[(&str, bool)] = &[
    ("kms:CancelKeyDeletion", false),
    ("kms:CreateAlias", false),
    ("kms:CreateGrant", true),
    ("kms:Decapsulate", true),
    ("kms:Decrypt", true),
    ("kms:DeleteAlias", false),
    ("kms:DeriveSharedSecret", true),
    ("kms:DescribeKey", true),
    ("kms:DisableKey", false),
    ("kms:DisableKeyRotation", false),
    ("kms:EnableKey", false),
    ("kms:EnableKeyRotation", false),
    ("kms:Encapsulate", true),
    ("kms:Encrypt", true),
    ("kms:GenerateDataKey", true),
    ("kms:GenerateDataKeyPair", true),
    ("kms:GenerateDataKeyPairWithoutPlaintext", true),
    ("kms:GenerateDataKeyWithoutPlaintext", true),
    ("kms:GenerateMac", true),
    ("kms:GetKeyPolicy", false),
    ("kms:GetKeyRotationStatus", true),
    ("kms:GetPublicKey", true),
    ("kms:ListGrants", true),
    ("kms:ListKeyPolicies", false),
    ("kms:ListKeyRotations", false),
    ("kms:ListResourceTags", false),
    ("kms:PutKeyPolicy", false),
    ("kms:ReEncryptFrom", true),
    ("kms:ReEncryptTo", true),
    ("kms:ReplicateKey", false),
    ("kms:RevokeGrant", true),
    ("kms:RotateKeyOnDemand", false),
    ("kms:ScheduleKeyDeletion", false),
    ("kms:Sign", true),
    ("kms:TagResource", false),
    ("kms:UntagResource", false),
    ("kms:UpdateAlias", false),
    ("kms:UpdateKeyDescription", false),
    ("kms:UpdatePrimaryRegion", false),
    ("kms:Verify", true),
    ("kms:VerifyMac", true),
];

/// Actions on no key.
const ON_ACCOUNTS: &[&str] =
    &["kms:CreateKey", "kms:GenerateRandom", "kms:ListAliases", "kms:ListKeys", "kms:ListRetirableGrants"];

/// Everything about the use of a key but who uses it.
pub struct SupposedUse {
    /// The question.
    pub question: Question,
    /// The grants that reach the caller.
    pub grants: Vec<Grant>,
    /// What conditions may ask about the key.
    pub facts: Facts,
}

/// What authorization would be asked if the call's caller used the key like this. `key` is an id, an ARN, or the name or
/// ARN of an alias, as the caller would write it; none for actions that are about no key. What the request itself would
/// have, its encryption context apart, is not known.
///
/// # Errors
/// A refusal for an action that is none, or a key that is not there.
pub async fn supposed_use(
    call: &mut Call<'_>,
    action: &str,
    key: Option<&str>,
    context: &BTreeMap<String, String>,
) -> Result<SupposedUse, CommandError> {
    let Some(key) = key else {
        let known = ON_ACCOUNTS.iter().find(|known| **known == action);
        let action = *known.ok_or_else(|| unknown(action, "is no action of KMS that needs no key"))?;
        let question = account_question(call, action);
        return Ok(SupposedUse { question, grants: Vec::new(), facts: Facts::default() });
    };
    let known = ON_KEYS.iter().find(|(known, _)| *known == action);
    let (action, cross_account) = *known.ok_or_else(|| unknown(action, "is no action on a key that is built"))?;
    let named = find(call, key, Forms::KeyOrAlias, action).await.map_err(refused)?;
    let granted = action.strip_prefix("kms:").and_then(GrantOperation::parse);
    let grants = match granted {
        // Which grant would do depends on the grant that is to be made.
        None | Some(GrantOperation::CreateGrant) => Vec::new(),
        Some(operation) => reaching(call, named.key(), &Use::of(operation, Some(context))).await?,
    };
    let facts = named
        .facts(call)
        .with_all("kms:EncryptionContextKeys", context.keys())
        .with_family("kms:EncryptionContext:", context);
    Ok(SupposedUse { question: named.question(action, cross_account), grants, facts })
}

fn unknown(action: &str, what: &str) -> CommandError {
    CommandError::refused("UnknownAction", format!("{action} {what}"))
}

fn refused(error: KmsError) -> CommandError {
    let fault: Option<Fault> = error.fault().cloned();
    match fault {
        Some(fault) => fault.into(),
        None => {
            let told = error.service_error();
            CommandError::refused(told.code, told.message.unwrap_or_default())
        }
    }
}
