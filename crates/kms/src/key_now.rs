//! A key as it is now, for who wants to know what its deletion would take away: `claviger key impact`.

use claviger_engine::{Call, CommandError};
use claviger_policy::AccountId;

use crate::KmsError;
use crate::explain::refused;
use crate::find::{Forms, NamedKey, find, is_key_id};
use crate::grants::{Grant, grant_key};
use crate::records::{Key, KeyState, facts_key, key_arn};

/// Grants that are shown, at most.
pub const GRANTS_SHOWN_MAX: usize = 200;

/// A key by what an operator calls it.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyName {
    /// The ARN of the key.
    pub arn: String,
    /// The key; none when it is there no more.
    pub now: Option<KeyNow>,
}

/// A key as it is now.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyNow {
    /// Its state, as AWS names it.
    pub state: &'static str,
    /// When it will be destroyed, in ISO 8601.
    pub deletion_date: Option<String>,
    /// Its spec, as AWS names it.
    pub spec: &'static str,
    /// Its usage, as AWS names it.
    pub usage: &'static str,
    /// Where its material comes from, as AWS names it.
    pub origin: &'static str,
    /// When it was made, in ISO 8601.
    pub created: String,
    /// How many materials it has, those of earlier rotations among them.
    pub materials: usize,
    /// Whether it is a multi-Region primary key, or a replica; neither for a key of one Region.
    pub multi_region: Option<&'static str>,
    /// The other Regions that the same key is in.
    pub related_regions: Vec<String>,
    /// The names of its aliases.
    pub aliases: Vec<String>,
    /// Its grants, [`GRANTS_SHOWN_MAX`] at most.
    pub grants: Vec<GrantNow>,
    /// Whether it has more grants than these.
    pub more_grants: bool,
    /// What its deletion would take away, sentence by sentence.
    pub lost: Vec<String>,
}

/// A grant as it is now.
#[derive(Debug, PartialEq, Eq)]
pub struct GrantNow {
    /// Its id.
    pub id: String,
    /// What its maker calls it.
    pub name: Option<String>,
    /// Who may use the key by it.
    pub grantee: String,
    /// What it allows.
    pub operations: Vec<&'static str>,
}

/// The key that an operator means: by id or ARN, or by the name or ARN of an alias. `region` and `account` are where
/// names and ids count; an id needs no account. A key ARN is understood although the key is there no more. Once this is
/// answered it holds no view of the store, whatever the caller does next.
///
/// # Errors
/// A refusal when the name means nothing, or a fault.
pub async fn key_now(
    call: &Call<'_>,
    reference: &str,
    region: &str,
    account: Option<AccountId>,
) -> Result<KeyName, CommandError> {
    let refer = |account: &str| match reference.strip_prefix("alias/") {
        Some(_) => crate::records::alias_arn(region, account, reference),
        None if reference.starts_with("arn:") => reference.to_owned(),
        None => key_arn(region, account, reference),
    };
    let account = match account {
        Some(account) => account.as_str().to_owned(),
        None if reference.starts_with("arn:") => String::new(),
        None => match call.supposing(call.caller(), call.meta()).row::<Key>(&facts_key(region, reference)).await? {
            Some(row) => row.record.account.clone(),
            None => return Err(no_key(reference, region)),
        },
    };
    let arn = refer(&account);
    let region = arn.split(':').nth(3).unwrap_or_default();
    let Some(owner) = arn.split(':').nth(4).and_then(AccountId::parse) else { return Err(no_key(reference, region)) };
    let caller = claviger_engine::Caller::supposed(
        claviger_policy::Principal::root(owner),
        claviger_engine::PrincipalTraits::default(),
        region,
    );
    let meta = claviger_engine::CallMeta::system();
    let mut call = call.supposing(&caller, &meta);
    match find(&mut call, &arn, Forms::KeyOrAlias, "kms:DescribeKey").await {
        Ok(named) => {
            let now = describe(&mut call, &named).await?;
            Ok(KeyName { arn: named.arn, now: Some(now) })
        }
        Err(KmsError::NotFound(_)) if arn.split_once(":key/").is_some_and(|(_, id)| is_key_id(id)) => {
            Ok(KeyName { arn, now: None })
        }
        Err(error) => Err(refused(error)),
    }
}

fn no_key(reference: &str, region: &str) -> CommandError {
    let text = format!(
        "there is no key {reference:?} in {region}: name it by its ARN, or say --region, and --account for an alias; \
         a key that is gone is known by its ARN only"
    );
    CommandError::refused("NoSuchKey", text)
}

async fn describe(call: &mut Call<'_>, named: &NamedKey) -> Result<KeyNow, CommandError> {
    let key = named.key();
    let rows =
        call.rows::<Grant>(&grant_key(&key.region, &key.id, ""), None, GRANTS_SHOWN_MAX.saturating_add(1)).await?;
    let grant = |grant: &Grant| GrantNow {
        id: grant.id.clone(),
        name: grant.name.clone(),
        grantee: grant.grantee.name.to_string(),
        operations: grant.operations.iter().map(|operation| operation.as_str()).collect(),
    };
    let related = key.multi_region.iter().flat_map(|regions| regions.replicas.iter().chain([&regions.primary]));
    let related_regions: Vec<String> = related.filter(|region| **region != key.region).cloned().collect();
    let (state, deletion_date) = state(key);
    Ok(KeyNow {
        state,
        deletion_date,
        spec: key.spec.as_str(),
        usage: key.usage.as_str(),
        origin: key.origin.as_str(),
        created: key.created.to_iso8601(),
        materials: key.materials.len(),
        multi_region: key.multi_region.as_ref().map(|_| if key.is_replica() { "REPLICA" } else { "PRIMARY" }),
        lost: lost(key, &related_regions),
        related_regions,
        aliases: named.aliases().to_vec(),
        more_grants: rows.len() > GRANTS_SHOWN_MAX,
        grants: rows.iter().take(GRANTS_SHOWN_MAX).map(|(_, row)| grant(&row.record)).collect(),
    })
}

fn state(key: &Key) -> (&'static str, Option<String>) {
    match key.state {
        KeyState::Enabled => ("Enabled", None),
        KeyState::Disabled => ("Disabled", None),
        KeyState::PendingDeletion { at } => ("PendingDeletion", Some(at.to_iso8601())),
        KeyState::PendingImport => ("PendingImport", None),
        KeyState::PendingReplicaDeletion { .. } => ("PendingReplicaDeletion", None),
    }
}

/// What nobody has any more once the key is deleted.
fn lost(key: &Key, related: &[String]) -> Vec<String> {
    let mut lost = Vec::new();
    if !related.is_empty() {
        lost.push(format!(
            "the same key stays in {}: what it encrypted can be decrypted there, and signatures go on there",
            related.join(", ")
        ));
        if !key.is_replica() {
            lost.push("a primary key is deleted only after its replicas".to_owned());
        }
    } else if key.is_external() {
        lost.push(
            "its material was imported: once the key is deleted the same material cannot be imported into it again, and \
             ciphertexts of this key cannot be decrypted by another key with the same material"
                .to_owned(),
        );
    } else {
        lost.push(
            "its material was made here and nobody has a copy: what only it can decrypt is lost for ever, and nothing can \
             be signed or authenticated with it again"
                .to_owned(),
        );
    }
    lost.push("its aliases and its grants go with it".to_owned());
    lost
}
