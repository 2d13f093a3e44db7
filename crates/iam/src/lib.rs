//! Identities: accounts, their root access keys, and the IAM and STS operations on them.

mod access_keys;
mod caller_identity;
mod error;
mod records;

use std::collections::BTreeSet;

use claviger_api::Refusal;
use claviger_engine::{
    Answer, BoxFuture, Call, CallMeta, Caller, Credential, Engine, Fault, Identities, Recorded, Seed, Seen,
};
use claviger_policy::{AccountId, Principal};
use claviger_secret::SecretBytes;

pub use error::IamError;
use records::{AccessKey, Account, access_key_key, account_key};

/// The service's own state.
#[derive(Debug, Default)]
pub struct Iam;

impl Identities for Iam {
    fn credential<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        access_key_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Credential, Seen)>, Fault>> {
        Box::pin(async move {
            let row = call.row::<AccessKey>(&access_key_key(access_key_id)).await?;
            let Some(row) = row else { return Ok(None) };
            let account = AccountId::parse(&row.record.account);
            let account = account.ok_or_else(|| Fault::RecordMalformed(access_key_id.to_owned()))?;
            let credential = Credential {
                secret: SecretBytes::from_slice(row.record.secret.expose()),
                principal: Principal::root(account),
                account: row.record.account.clone(),
            };
            Ok(Some((credential, row.seen)))
        })
    }
}

/// Runs an IAM operation.
///
/// # Errors
/// A [`Refusal`] when the call could not be recorded.
pub async fn dispatch_iam(
    engine: &Engine,
    iam: &Iam,
    caller: &Caller,
    meta: &CallMeta,
    request: &claviger_api::iam::Request,
) -> Result<Recorded<Answer<claviger_api::iam::Response>>, Refusal> {
    use access_keys::{CreateAccessKey, DeleteAccessKey, ListAccessKeys};
    use claviger_api::iam::{Request, Response};
    match request {
        Request::CreateAccessKey(request) => {
            let answer = engine.call::<CreateAccessKey>(iam, caller, meta, request).await?;
            Ok(answer.map(|answer| answer.map(Response::CreateAccessKey)))
        }
        Request::ListAccessKeys(request) => {
            let answer = engine.call::<ListAccessKeys>(iam, caller, meta, request).await?;
            Ok(answer.map(|answer| answer.map(Response::ListAccessKeys)))
        }
        Request::DeleteAccessKey(request) => {
            let answer = engine.call::<DeleteAccessKey>(iam, caller, meta, request).await?;
            Ok(answer.map(|answer| answer.map(|()| Response::DeleteAccessKey)))
        }
    }
}

/// Runs an STS operation.
///
/// # Errors
/// A [`Refusal`] when the call could not be recorded.
pub async fn dispatch_sts(
    engine: &Engine,
    iam: &Iam,
    caller: &Caller,
    meta: &CallMeta,
    request: &claviger_api::sts::Request,
) -> Result<Recorded<Answer<claviger_api::sts::Response>>, Refusal> {
    use claviger_api::sts::{Request, Response};
    match request {
        Request::GetCallerIdentity(request) => {
            let answer = engine.call::<caller_identity::GetCallerIdentity>(iam, caller, meta, request).await?;
            Ok(answer.map(|answer| answer.map(Response::GetCallerIdentity)))
        }
    }
}

/// A root access key, shown once.
pub struct RootCredential {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretBytes,
}

/// Makes an account with a root access key: the given one, or a fresh one. An account that exists with the given
/// access key is left as it is.
///
/// # Errors
/// [`IamError`] when the access key is taken, or a store fault.
pub async fn create_account(
    engine: &Engine,
    account: AccountId,
    given: Option<RootCredential>,
) -> Result<RootCredential, IamError> {
    let mut made = None;
    let mut seed = Seed::new(engine, "us-east-1", account.as_str());
    seed.run::<IamError>(async |call| {
        let key = account_key(account.as_str());
        let known = call.row::<Account>(&key).await?.is_some();
        if let Some(credential) = &given {
            let row = call.row::<AccessKey>(&access_key_key(&credential.access_key_id)).await?;
            if row.is_some_and(|row| known && row.record.account == account.as_str()) {
                return Ok(claviger_engine::Writes::default());
            }
        }
        let given = given
            .as_ref()
            .map(|given| (given.access_key_id.clone(), SecretBytes::from_slice(given.secret_access_key.expose())));
        let (access_key_id, secret_access_key, mut writes) = access_keys::make(call, account.as_str(), given).await?;
        if !known {
            let created = call.now();
            writes.put(call, key, Account { created })?;
        }
        made = Some(RootCredential { access_key_id, secret_access_key });
        Ok(writes)
    })
    .await?;
    match (made, given) {
        (Some(made), _) => Ok(made),
        (None, Some(given)) => Ok(given),
        (None, None) => Err(Fault::Contention.into()),
    }
}

/// The accounts of the deployment.
///
/// # Errors
/// A store [`Fault`].
pub async fn accounts(engine: &Engine) -> Result<BTreeSet<String>, Fault> {
    let mut accounts = BTreeSet::new();
    Seed::new(engine, "us-east-1", "")
        .run::<Fault>(async |call| {
            let mut after = None;
            loop {
                let rows = call.rows::<Account>(&account_key(""), after.as_ref(), 1_000).await?;
                accounts.extend(rows.iter().map(|(key, _)| key.rest().to_owned()));
                match rows.last() {
                    Some((key, _)) if rows.len() == 1_000 => after = Some(key.clone()),
                    _ => return Ok(claviger_engine::Writes::default()),
                }
            }
        })
        .await?;
    Ok(accounts)
}
