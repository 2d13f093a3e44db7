//! Names and ARNs to records.

use std::sync::Arc;

use claviger_engine::{Call, Fault, Record, RowKey};
use claviger_policy::PrincipalKind;

use crate::IamError;
use crate::arn::{self, Kind};
use crate::operation::About;
use crate::records::{
    Device, Identity, NameOf, Policy, Provider, Tally, device_key, identity_key, name_key, policy_key, provider_key,
    tally_key,
};

/// The longest name of anything, in bytes; an ARN may hold more, and then names nothing.
const NAME_MAX: usize = 128;
/// The longest URL of a provider.
pub(crate) const URL_MAX: usize = 255;

/// A record that another one names.
pub(crate) async fn demand<R: Record>(call: &mut Call<'_>, key: &RowKey) -> Result<Arc<R>, Fault> {
    let row = call.row::<R>(key).await?;
    row.map(|row| row.record).ok_or_else(|| Fault::RecordMissing(key.printable()))
}

/// The user, group or role of this exact name.
pub(crate) async fn identity_in(
    call: &mut Call<'_>,
    account: &str,
    kind: Kind,
    name: &str,
) -> Result<Option<Arc<Identity>>, Fault> {
    if name.len() > NAME_MAX {
        return Ok(None);
    }
    let Some(named) = call.row::<NameOf>(&name_key(account, kind.word(), name)).await? else { return Ok(None) };
    let found = demand::<Identity>(call, &identity_key(&named.record.id)).await?;
    Ok(Some(found).filter(|found| found.name == name))
}

/// The same in the caller's account.
pub(crate) async fn identity(call: &mut Call<'_>, kind: Kind, name: &str) -> Result<Option<Arc<Identity>>, Fault> {
    let account = call.caller().account().to_owned();
    identity_in(call, &account, kind, name).await
}

/// The same, or NoSuchEntity.
pub(crate) async fn need(call: &mut Call<'_>, kind: Kind, name: &str) -> Result<Arc<Identity>, IamError> {
    let missing = || IamError::NoSuchEntity(format!("The {} with name {name} cannot be found.", kind.word()));
    identity(call, kind, name).await?.ok_or_else(missing)
}

/// What a request about this name is about, with the path `/` when there is no such entity.
pub(crate) async fn about(call: &mut Call<'_>, kind: Kind, name: &str) -> Result<Vec<About>, IamError> {
    let found = identity(call, kind, name).await?;
    let path = found.as_ref().map_or("/", |found| &found.path);
    let mut about = About::arn(arn::arn(call.caller().account(), kind.word(), path, name)).shown(kind.word(), name);
    if let Some(found) = found {
        about.tags.clone_from(&found.tags);
        about.boundary = boundary_of(call, &found).await?;
    }
    Ok(vec![about])
}

/// The ARN of an entity's permissions boundary.
pub(crate) async fn boundary_of(call: &mut Call<'_>, found: &Identity) -> Result<Option<String>, Fault> {
    match &found.boundary {
        Some(id) => Ok(Some(demand::<Policy>(call, &policy_key(id)).await?.arn())),
        None => Ok(None),
    }
}

/// The same about a managed policy by its ARN. What is no ARN, or none of this account, has no tags.
pub(crate) async fn about_policy(call: &mut Call<'_>, text: &str) -> Result<Vec<About>, IamError> {
    let found = policy(call, text).await.or_else(no_validation)?;
    let tags = found.map(|found| found.tags.clone()).unwrap_or_default();
    Ok(vec![About { tags, ..About::arn(text.to_owned()).shown("policy", text) }])
}

/// The same about a provider by its ARN.
pub(crate) async fn about_provider(call: &mut Call<'_>, text: &str) -> Result<Vec<About>, IamError> {
    let found = provider(call, text).await.or_else(no_validation)?;
    let tags = found.map(|found| found.tags.clone()).unwrap_or_default();
    Ok(vec![About { tags, ..About::arn(text.to_owned()) }])
}

/// The same about an MFA device by its serial number.
pub(crate) async fn about_device(call: &mut Call<'_>, serial: &str) -> Result<Vec<About>, IamError> {
    let found = device(call, serial).await.map(Some).or_else(no_validation)?;
    let tags = found.map(|found| found.tags.clone()).unwrap_or_default();
    Ok(vec![About { tags, ..About::arn(serial.to_owned()) }])
}

/// What is wrong with a name is said after authorization, but faults at once.
fn no_validation<T>(error: IamError) -> Result<Option<T>, IamError> {
    match error {
        IamError::Common(_) if claviger_engine::ApiError::fault(&error).is_some() => Err(error),
        _ => Ok(None),
    }
}

/// Whose the request is about that may name a user: the one that it names, the one that signed it, or the root.
pub(crate) fn who(call: &Call<'_>, user_name: Option<&String>) -> Result<Option<String>, IamError> {
    let principal = call.caller().principal();
    match (user_name, principal.kind()) {
        (Some(name), _) => Ok(Some(name.clone())),
        (None, PrincipalKind::Root) => Ok(None),
        (None, PrincipalKind::User) => Ok(principal.arn().rsplit('/').next().map(str::to_owned)),
        (None, PrincipalKind::RoleSession | PrincipalKind::FederatedUser) => {
            Err(IamError::validation("Must specify userName when calling with non-User credentials"))
        }
    }
}

/// What a request about [`who`] is about.
pub(crate) async fn about_user(call: &mut Call<'_>, user_name: Option<&String>) -> Result<Vec<About>, IamError> {
    match who(call, user_name)? {
        Some(name) => about(call, Kind::User, &name).await,
        None => Ok(vec![About::arn(call.caller().principal().account().root_arn())]),
    }
}

/// The managed policy with this ARN. Those of AWS are not offered.
pub(crate) async fn policy(call: &mut Call<'_>, text: &str) -> Result<Option<Arc<Policy>>, IamError> {
    if !text.starts_with("arn:aws:iam::") {
        return Err(IamError::validation("Invalid ARN:  Could not be parsed!"));
    }
    let account = call.caller().account().to_owned();
    let name = arn::split(text, &account, "policy").map(|(_, name)| name).filter(|name| name.len() <= NAME_MAX);
    let Some(name) = name else { return Ok(None) };
    let Some(named) = call.row::<NameOf>(&name_key(&account, "policy", name)).await? else { return Ok(None) };
    let found = demand::<Policy>(call, &policy_key(&named.record.id)).await?;
    Ok(Some(found).filter(|found| found.arn() == text))
}

/// The same, or NoSuchEntity.
pub(crate) async fn need_policy(call: &mut Call<'_>, text: &str) -> Result<Arc<Policy>, IamError> {
    policy(call, text).await?.ok_or_else(|| IamError::NoSuchEntity(format!("Policy {text} was not found.")))
}

/// The same for one that is to be attached.
pub(crate) async fn attachable(call: &mut Call<'_>, text: &str) -> Result<Arc<Policy>, IamError> {
    let missing = || IamError::NoSuchEntity(format!("Policy {text} does not exist or is not attachable."));
    policy(call, text).await?.ok_or_else(missing)
}

/// The same for one that is to be a permissions boundary.
pub(crate) async fn boundary(call: &mut Call<'_>, text: &str) -> Result<Arc<Policy>, IamError> {
    let missing = || IamError::NoSuchEntity(format!("Scope ARN: {text} does not exist or is not attachable."));
    policy(call, text).await?.ok_or_else(missing)
}

/// The provider with this ARN.
pub(crate) async fn provider(call: &mut Call<'_>, text: &str) -> Result<Option<Arc<Provider>>, IamError> {
    let account = call.caller().account().to_owned();
    let start = format!("arn:aws:iam::{account}:oidc-provider/");
    let Some(url) = text.strip_prefix(&start) else {
        return if text.starts_with("arn:aws:iam::") {
            Ok(None)
        } else {
            Err(IamError::InvalidInput("Invalid ARN:  Could not be parsed!".to_owned()))
        };
    };
    if url.len() > URL_MAX {
        return Ok(None);
    }
    Ok(call.row::<Provider>(&provider_key(&account, url)).await?.map(|row| row.record))
}

/// The same, or NoSuchEntity.
pub(crate) async fn need_provider(call: &mut Call<'_>, text: &str) -> Result<Arc<Provider>, IamError> {
    let missing = || IamError::NoSuchEntity(format!("OpenIDConnect Provider not found for arn {text}"));
    provider(call, text).await?.ok_or_else(missing)
}

/// The MFA device with this serial number.
pub(crate) async fn device(call: &mut Call<'_>, serial: &str) -> Result<Arc<Device>, IamError> {
    let missing = || IamError::NoSuchEntity(format!("VirtualMFADevice with serial number {serial} doesn't exist."));
    let account = call.caller().account().to_owned();
    let (_, name) = arn::split(serial, &account, "mfa").ok_or_else(missing)?;
    let found = call.row::<Device>(&device_key(&account, name)).await?;
    found.map(|row| row.record).filter(|found| found.serial() == serial).ok_or_else(missing)
}

/// What the caller's account has.
pub(crate) async fn tally(call: &mut Call<'_>) -> Result<Tally, Fault> {
    let key = tally_key(call.caller().account());
    Ok(call.row::<Tally>(&key).await?.map(|row| Tally::clone(&row.record)).unwrap_or_default())
}
