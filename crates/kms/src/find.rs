//! From what a request calls a key to the key's record.

use std::sync::Arc;

use claviger_engine::{Call, CommonError, Fault, Named, Question, Row};
use claviger_policy::{AccountId, Principal, Subject, absent_resource_message};

use crate::KmsError;
use crate::records::{Alias, Key, Material, alias_arn, alias_key, facts_key, key_arn, material_key};
use claviger_crypto::MaterialId;

/// Which forms of identifier an operation takes (reference/operations.md, column Id).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forms {
    /// Key id and key ARN.
    Key,
    /// These, alias name and alias ARN.
    KeyOrAlias,
}

/// A key as a request named it.
pub(crate) struct NamedKey {
    pub(crate) row: Row<Key>,
    pub(crate) arn: String,
}

impl NamedKey {
    pub(crate) fn new(row: Row<Key>) -> Self {
        let arn = row.record.arn();
        Self { row, arn }
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.row.record
    }

    /// The question whether the caller may do this to the key.
    pub(crate) fn question(&self, action: &'static str, cross_account: bool) -> Question {
        Question {
            action,
            resource: self.arn.clone(),
            resource_account: AccountId::parse(&self.key().account).unwrap_or(AccountId::NOBODY),
            resource_policy: Some(Arc::clone(&self.key().policy)),
            cross_account,
            named: Named::ByArn,
        }
    }
}

/// What a reference to a key says before anything is looked up.
#[derive(Debug, PartialEq, Eq)]
enum Reference<'a> {
    Id(&'a str),
    KeyArn { region: &'a str, account: &'a str, id: &'a str },
    AliasName(&'a str),
    AliasArn { region: &'a str, account: &'a str, name: &'a str },
}

fn parse(reference: &str) -> Result<Reference<'_>, KmsError> {
    if reference.starts_with("alias/") {
        return Ok(Reference::AliasName(reference));
    }
    if !reference.starts_with("arn:") {
        return if is_key_id(reference) { Ok(Reference::Id(reference)) } else { Err(invalid_key_id(reference)) };
    }
    let parts: Vec<&str> = reference.splitn(6, ':').collect();
    let ["arn", "aws", "kms", region, account, resource] = *parts.as_slice() else {
        return Err(KmsError::InvalidArn(format!("Invalid arn {reference}")));
    };
    if resource.starts_with("alias/") {
        return Ok(Reference::AliasArn { region, account, name: resource });
    }
    match resource.strip_prefix("key/") {
        Some(id) if is_key_id(id) => Ok(Reference::KeyArn { region, account, id }),
        _ => Err(invalid_key_id(reference)),
    }
}

fn invalid_key_id(value: &str) -> KmsError {
    KmsError::NotFound(format!("Invalid keyId '{value}'"))
}

/// A UUID with dashes, or `mrk-` and 32 lower-case hexadecimal digits.
pub(crate) fn is_key_id(text: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && hex(digits);
    }
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| hex(group))
}

/// The key that a request names, whoever owns it; authorization comes after.
pub(crate) async fn find(
    call: &mut Call<'_>,
    reference: &str,
    forms: Forms,
    action: &'static str,
) -> Result<NamedKey, KmsError> {
    let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
    match parse(reference)? {
        Reference::Id(id) => by_id(call, &region, &account, id, action).await,
        Reference::KeyArn { region: named, account, id } => {
            same_region(&region, named)?;
            by_id(call, &region, account, id, action).await
        }
        Reference::AliasName(_) | Reference::AliasArn { .. } if forms == Forms::Key => {
            Err(KmsError::InvalidArn("Key Aliases are not supported for this operation.".to_owned()))
        }
        Reference::AliasName(name) => by_alias(call, &region, &account, name, action).await,
        Reference::AliasArn { region: named, account, name } => {
            same_region(&region, named)?;
            by_alias(call, &region, account, name, action).await
        }
    }
}

fn same_region(region: &str, named: &str) -> Result<(), KmsError> {
    if region == named { Ok(()) } else { Err(KmsError::NotFound(format!("Invalid arn {named}"))) }
}

async fn by_id(
    call: &mut Call<'_>,
    region: &str,
    account: &str,
    id: &str,
    action: &'static str,
) -> Result<NamedKey, KmsError> {
    let found = call.row::<Key>(&facts_key(region, id)).await?;
    match found.filter(|row| row.record.account == account) {
        Some(row) => Ok(NamedKey::new(row)),
        None => Err(absent(call, account, action, || format!("Key '{}' does not exist", key_arn(region, account, id)))),
    }
}

async fn by_alias(
    call: &mut Call<'_>,
    region: &str,
    account: &str,
    name: &str,
    action: &'static str,
) -> Result<NamedKey, KmsError> {
    let not_found = || format!("Alias {} is not found.", alias_arn(region, account, name));
    let Some(alias) = call.row::<Alias>(&alias_key(region, account, name)).await? else {
        return Err(absent(call, account, action, not_found));
    };
    match call.row::<Key>(&facts_key(region, &alias.record.target)).await? {
        Some(row) => Ok(NamedKey::new(row)),
        None => Err(absent(call, account, action, not_found)),
    }
}

/// What a caller is told of a thing that is not there: in another account, no more than that it may not have it.
fn absent(call: &Call<'_>, account: &str, action: &'static str, own: impl FnOnce() -> String) -> KmsError {
    if call.caller().account() == account {
        return KmsError::NotFound(own());
    }
    foreign_absent(call.caller().principal(), action)
}

pub(crate) fn foreign_absent(principal: &Principal, action: &'static str) -> KmsError {
    KmsError::Common(CommonError::AccessDenied(absent_resource_message(principal, action, Subject::Named)))
}

/// One material of a key, opened.
pub(crate) async fn material(call: &mut Call<'_>, key: &Key, id: &MaterialId) -> Result<Row<Material>, KmsError> {
    let row_key = material_key(&key.region, &key.id, id);
    let row = call.row::<Material>(&row_key).await?;
    row.ok_or_else(|| Fault::RecordMissing(row_key.printable()).into())
}
