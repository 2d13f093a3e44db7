//! From what a request calls a key to the key's record.

use std::sync::Arc;

use claviger_engine::{Call, CommonError, Facts, Fault, Named, Question, ResourceRule, Row};
use claviger_policy::{AccountId, Principal, Subject, absent_resource_message};

use crate::KmsError;
use crate::algorithms::material_spec;
use crate::conditions;
use crate::recipient::Recipient;
use crate::records::{
    Alias, Key, KeyState, Listed, Material, alias_arn, alias_key, alias_of_key, facts_key, key_arn, material_key,
};
use crate::state::{Permits, pending_import};
use crate::usage::Usage;
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
    /// Its state in the store: that of the record that [`NamedKey::key`] gives also follows from the time.
    stored: KeyState,
    pub(crate) row: Row<Key>,
    pub(crate) arn: String,
    /// The alias that the request named it by.
    alias: Option<String>,
    /// The names of its aliases, when its record is older than the list of them.
    scanned: Vec<String>,
    /// Whom the answer is sealed for, when the request brought an attestation document that holds.
    pub(crate) recipient: Option<Recipient>,
    /// What is known of its use, where the operation asks for it.
    pub(crate) usage: Option<Result<Usage, Fault>>,
}

impl NamedKey {
    /// The key of this row, with its aliases.
    pub(crate) async fn new(call: &mut Call<'_>, mut row: Row<Key>) -> Result<Self, Fault> {
        let stored = row.record.state;
        // Imported material is missed from the moment at which it expires, although its job may come later.
        if row.record.misses_expired(call.now()) {
            row.record = Arc::new(Key { state: KeyState::PendingImport, ..Key::clone(&row.record) });
        }
        let key = &row.record;
        let scanned = if key.aliases.is_some() { Vec::new() } else { scan(call, key).await? };
        Ok(Self { stored, arn: key.arn(), row, alias: None, scanned, recipient: None, usage: None })
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.row.record
    }

    /// The names of its aliases, in order.
    pub(crate) fn aliases(&self) -> &[String] {
        self.key().aliases.as_deref().unwrap_or(&self.scanned)
    }

    /// A copy of the record to change and store. Its state is the stored one: what only follows from the time must not
    /// be stored, since a clock that leapt may come back.
    pub(crate) fn to_changed(&self) -> Key {
        Key { state: self.stored, aliases: Some(self.aliases().to_vec()), ..Key::clone(self.key()) }
    }

    /// What conditions may ask about any request on this key.
    pub(crate) fn facts(&self, call: &Call<'_>) -> Facts {
        let facts =
            conditions::of_key(call, self.key(), self.aliases()).with_some("kms:RequestAlias", self.alias.as_deref());
        match &self.recipient {
            Some(recipient) => recipient.add_facts(facts),
            None => facts,
        }
    }

    /// The question whether the caller may do this to the key.
    pub(crate) fn question(&self, action: &'static str, cross_account: bool) -> Question {
        Question {
            action,
            resource: self.arn.clone(),
            resource_account: AccountId::parse(&self.key().account).unwrap_or(AccountId::NOBODY),
            resource_policy: ResourceRule::KeyPolicy(Arc::clone(&self.key().policy)),
            cross_account,
            named: Named::ByArn,
        }
    }
}

/// Aliases of one key at most (reference/lifecycle.md section 11).
pub(crate) const ALIASES_MAX: usize = 50;

/// The names of the key's aliases, from their rows. The rows are no preconditions of a commit: whoever changes them
/// writes the key's facts too, and those are.
async fn scan(call: &mut Call<'_>, key: &Key) -> Result<Vec<String>, Fault> {
    let before = call.reads();
    let rows = call.rows::<Listed>(&alias_of_key(&key.region, &key.id, ""), None, ALIASES_MAX).await?;
    call.forget_reads_since(before);
    let name = |row: &claviger_engine::RowKey| row.rest().strip_prefix("named/").unwrap_or_default().to_owned();
    Ok(rows.iter().map(|(row, _)| name(row)).collect())
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
        Some(row) => Ok(NamedKey::new(call, row).await?),
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
        Some(row) => Ok(NamedKey { alias: Some(name.to_owned()), ..NamedKey::new(call, row).await? }),
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
    // Of imported material the facts say whether it may serve: not once it was deleted, or its time has come although
    // the job has not.
    if key.material(id).is_some_and(|facts| !facts.is_present(call.now())) {
        return Err(pending_import(key));
    }
    let row_key = material_key(&key.region, &key.id, id);
    let row = call.row::<Material>(&row_key).await?;
    let Some(row) = row else { return Err(destroyed(call, key, Fault::RecordMissing(row_key.printable())).await?) };
    if Some(row.record.material.spec()) != material_spec(key.spec) {
        return Err(Fault::RecordMalformed(row_key.printable()).into());
    }
    Ok(row)
}

/// Why the material of a key is not there: the key was destroyed while the call was under way, or something is wrong.
async fn destroyed(call: &mut Call<'_>, key: &Key, fault: Fault) -> Result<KmsError, Fault> {
    Ok(match call.row::<Key>(&facts_key(&key.region, &key.id)).await? {
        None => KmsError::NotFound(format!("Key '{}' does not exist", key.arn())),
        Some(now) => Permits::HasMaterial.demand(&now.record).err().unwrap_or_else(|| fault.into()),
    })
}
