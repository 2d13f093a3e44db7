//! Access keys of users and of an account's root.

use claviger_api::Timestamp;
use claviger_api::iam::{
    AccessKey as WireAccessKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyResponse,
    GetAccessKeyLastUsedResponse, ListAccessKeysResponse, StatusType,
};
use claviger_engine::{Call, Fault, Outcome, Value, Writes};
use claviger_secret::SecretBytes;

use super::groups::user_detail;
use crate::arn::{self, Kind};
use crate::operation::{About, IamOperation, operation, parameters};
use crate::page::{self, Page};
use crate::records::{
    AccessKey, Fence, Identity, LastUse, access_key_key, access_key_quota, identity_key, last_use_key, own_access_key,
};
use crate::{Iam, IamError, change, find};

/// Access keys of one user or root at most.
const KEYS_MAX: usize = 2;
const SECRET_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whose access key: a root's by its account, or a user's.
pub(crate) enum Owner {
    Root,
    User(Box<Identity>),
}

/// Whose keys a request is about.
async fn owner(call: &mut Call<'_>, user_name: Option<&String>) -> Result<Owner, IamError> {
    Ok(match find::who(call, user_name)? {
        None => Owner::Root,
        Some(name) => Owner::User(Box::new(Identity::clone(&*find::need(call, Kind::User, &name).await?))),
    })
}

/// A fresh secret access key of 40 characters.
pub(crate) fn fresh_secret(call: &Call<'_>) -> Result<SecretBytes, Fault> {
    let random = call.random_secret(40)?;
    Ok(SecretBytes::new(arn::letters(random.expose(), SECRET_ALPHABET)))
}

/// A new access key and the rows that hold it: the given one, or a fresh one.
pub(crate) async fn make(
    call: &mut Call<'_>,
    account: &str,
    user: Option<&str>,
    given: Option<(String, SecretBytes)>,
) -> Result<(String, SecretBytes, Writes), IamError> {
    let (id, secret) = match given {
        Some(given) => given,
        None => {
            let secret = fresh_secret(call)?;
            (arn::access_key_id(call)?, secret)
        }
    };
    let key = access_key_key(&id);
    change::demand_new::<AccessKey>(call, &key).await?;
    let record = |secret: &SecretBytes| AccessKey {
        id: id.clone(),
        account: account.to_owned(),
        user: user.map(str::to_owned),
        active: true,
        created: call.now(),
        secret: SecretBytes::from_slice(secret.expose()),
    };
    let mut writes = Writes::default();
    writes.put(call, key, record(&secret))?;
    if user.is_none() {
        let own = own_access_key(account, &id);
        // The listing row holds no secret.
        let listed = record(&SecretBytes::zeroed(0));
        change::demand_new::<AccessKey>(call, &own).await?;
        writes.put(call, own, listed)?;
    }
    Ok((id, secret, writes))
}

/// The access key ids of a user or root.
async fn ids(call: &mut Call<'_>, owner: &mut Owner) -> Result<Vec<String>, IamError> {
    match owner {
        Owner::User(user) => Ok(user_detail(user)?.access_keys.clone()),
        Owner::Root => {
            let account = call.caller().account().to_owned();
            let rows = page::all::<AccessKey>(call, &own_access_key(&account, "")).await?;
            Ok(rows.into_iter().map(|(id, _)| id).collect())
        }
    }
}

/// The key of this owner with this id.
async fn key_of(call: &mut Call<'_>, owner: &mut Owner, id: &str) -> Result<std::sync::Arc<AccessKey>, IamError> {
    if !ids(call, owner).await?.iter().any(|known| known == id) {
        return Err(missing(id));
    }
    Ok(find::demand::<AccessKey>(call, &access_key_key(id)).await?)
}

fn missing(id: &str) -> IamError {
    IamError::NoSuchEntity(format!("The Access Key with id {id} cannot be found."))
}

pub(crate) struct CreateAccessKey;

impl IamOperation for CreateAccessKey {
    operation!(CreateAccessKey, CreateAccessKeyRequest => CreateAccessKeyResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateAccessKeyResponse>, IamError> {
        let mut owner = owner(call, request.user_name.as_ref()).await?;
        if ids(call, &mut owner).await?.len() >= KEYS_MAX {
            return Err(IamError::quota("AccessKeysPerUser", KEYS_MAX));
        }
        let account = call.caller().account().to_owned();
        let user = match &owner {
            Owner::Root => None,
            Owner::User(user) => Some(user.id.as_str()),
        };
        let (id, secret, mut writes) = make(call, &account, user, None).await?;
        let user_name = match owner {
            Owner::Root => {
                // A key that another call makes meanwhile is not among those read: both write this row, so one runs
                // again.
                let quota = access_key_quota(&account);
                call.row::<Fence>(&quota).await?;
                writes.put(call, quota, Fence)?;
                "root".to_owned()
            }
            Owner::User(mut user) => {
                user_detail(&mut user)?.access_keys.push(id.clone());
                let name = user.name.clone();
                change::save(call, &mut writes, *user)?;
                name
            }
        };
        let access_key = WireAccessKey {
            user_name,
            access_key_id: id,
            status: StatusType::Active,
            secret_access_key: secret,
            create_date: Some(call.now()),
        };
        Ok(Outcome::with_writes(CreateAccessKeyResponse { access_key }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref())])
    }

    fn answered(response: &CreateAccessKeyResponse) -> Value {
        parameters(&[("accessKeyId", Some(&response.access_key.access_key_id))])
    }
}

pub(crate) struct ListAccessKeys;

impl IamOperation for ListAccessKeys {
    operation!(ListAccessKeys, ListAccessKeysRequest => ListAccessKeysResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListAccessKeysResponse>, IamError> {
        let mut owner = owner(call, request.user_name.as_ref()).await?;
        let user_name = match &owner {
            Owner::Root => None,
            Owner::User(user) => Some(user.name.clone()),
        };
        let mut keys = Vec::new();
        for id in ids(call, &mut owner).await? {
            let key = find::demand::<AccessKey>(call, &access_key_key(&id)).await?;
            keys.push(AccessKeyMetadata {
                user_name: user_name.clone(),
                access_key_id: Some(id),
                status: Some(status(key.active)),
                create_date: Some(key.created),
            });
        }
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page.cut(keys, |key| key.access_key_id.clone().unwrap_or_default());
        Ok(Outcome::read_only(ListAccessKeysResponse {
            is_truncated: cut.truncated(),
            access_key_metadata: cut.items,
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref()), ("marker", request.marker.as_deref())])
    }
}

const fn status(active: bool) -> StatusType {
    if active { StatusType::Active } else { StatusType::Inactive }
}

pub(crate) struct UpdateAccessKey;

impl IamOperation for UpdateAccessKey {
    operation!(UpdateAccessKey, UpdateAccessKeyRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let active = match request.status {
            StatusType::Active => true,
            StatusType::Inactive => false,
            StatusType::Expired => {
                return Err(IamError::validation(
                    "1 validation error detected: Value at 'status' failed to satisfy constraint: Member must satisfy \
                     enum value set",
                ));
            }
        };
        let mut owner = owner(call, request.user_name.as_ref()).await?;
        let key = key_of(call, &mut owner, &request.access_key_id).await?;
        let mut writes = Writes::default();
        writes.put(
            call,
            access_key_key(&key.id),
            AccessKey {
                id: key.id.clone(),
                account: key.account.clone(),
                user: key.user.clone(),
                active,
                created: key.created,
                secret: SecretBytes::from_slice(key.secret.expose()),
            },
        )?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("userName", request.user_name.as_deref()),
            ("accessKeyId", Some(&request.access_key_id)),
            ("status", Some(request.status.as_str())),
        ])
    }
}

pub(crate) struct DeleteAccessKey;

impl IamOperation for DeleteAccessKey {
    operation!(DeleteAccessKey, DeleteAccessKeyRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let id = &request.access_key_id;
        let mut owner = owner(call, request.user_name.as_ref()).await?;
        key_of(call, &mut owner, id).await?;
        let mut writes = Writes::default();
        writes.delete(access_key_key(id));
        match owner {
            Owner::Root => {
                let own = own_access_key(call.caller().account(), id);
                if call.row::<AccessKey>(&own).await?.is_some() {
                    writes.delete(own);
                }
            }
            Owner::User(mut user) => {
                user_detail(&mut user)?.access_keys.retain(|known| known != id);
                change::save(call, &mut writes, *user)?;
            }
        }
        let last_use = last_use_key(id);
        if call.row::<LastUse>(&last_use).await?.is_some() {
            writes.delete(last_use);
        }
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref()), ("accessKeyId", Some(&request.access_key_id))])
    }
}

pub(crate) struct GetAccessKeyLastUsed;

/// The access key of this account and its user, if it is a user's.
async fn of_account(
    call: &mut Call<'_>,
    id: &str,
) -> Result<Option<(Timestamp, Option<std::sync::Arc<Identity>>)>, Fault> {
    let account = call.caller().account().to_owned();
    let key = call.row::<AccessKey>(&access_key_key(id)).await?;
    let Some(key) = key.filter(|key| key.record.account == account) else { return Ok(None) };
    let user = match &key.record.user {
        None => None,
        Some(user) => Some(find::demand::<Identity>(call, &identity_key(user)).await?),
    };
    Ok(Some((key.record.created, user)))
}

impl IamOperation for GetAccessKeyLastUsed {
    operation!(GetAccessKeyLastUsed, GetAccessKeyLastUsedRequest => GetAccessKeyLastUsedResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        // An unknown key must look like any user's that the caller may not ask about.
        let any = arn::arn(call.caller().account(), "user", "/", "*");
        Ok(vec![match of_account(call, &request.access_key_id).await? {
            Some((_, Some(user))) => About { tags: user.tags.clone(), shown: Some(any), ..About::arn(user.arn()) },
            _ => About::arn(any),
        }])
    }

    async fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetAccessKeyLastUsedResponse>, IamError> {
        let id = &request.access_key_id;
        let (_, user) = of_account(call, id).await?.ok_or_else(|| missing(id))?;
        let none = || "N/A".to_owned();
        let last = iam.uses.last(call, id).await?;
        let access_key_last_used = Some(last.map_or_else(
            || AccessKeyLastUsed { last_used_date: None, service_name: none(), region: none() },
            |last| AccessKeyLastUsed { last_used_date: Some(last.at), service_name: last.service, region: last.region },
        ));
        let user_name = user.map(|user| user.name.clone());
        Ok(Outcome::read_only(GetAccessKeyLastUsedResponse { user_name, access_key_last_used }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("accessKeyId", Some(&request.access_key_id))])
    }
}
