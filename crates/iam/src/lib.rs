//! Identities: accounts with their users, groups, roles, policies and credentials, and the IAM and STS operations on
//! them.
//!
//! Start at `operation.rs` (the form of every operation), then `operations/users.rs`, then [`dispatch_iam`], which knows
//! them all. What authorization needs to know of a caller is in `identity.rs`. Temporary credentials are in `sts/`, whose
//! entrances are [`dispatch_sts`] and [`dispatch_unsigned`].

mod accounts;
mod arn;
mod authorization;
mod caller_identity;
mod change;
mod condition_keys;
mod dispatch;
mod documents;
mod error;
mod explain;
mod find;
mod identity;
mod mfa;
mod operation;
mod operations;
mod organization;
mod organization_orders;
mod page;
mod quotas;
mod records;
mod service_control;
mod shapes;
mod sts;
mod tags;
mod totp;
mod trust;
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_engine::{
    BoxFuture, Call, Caller, CallerPolicies, Command, CommandError, Egress, Engine, Fault, Identities, Presented,
    Recorded, Seed, Standing,
};
use claviger_policy::{AccountId, PrincipalName};
use claviger_secret::SecretBytes;

pub use accounts::{
    ACCOUNT_NAME_CHARACTERS_MAX, ACCOUNTS_PAGE, AccountSummary, complete_accounts, count_accounts, list_accounts,
    make_account, make_root_credentials, set_account_open,
};
pub use authorization::{SupposedSession, policies_for, supposed_session};
pub use dispatch::dispatch_iam;
pub use error::IamError;
pub use explain::{SupposedRequest, supposed_request};
pub use identity::{PoliciesOf, PolicyOf, policies_of, policies_of_id, user_of_key};
pub use mfa::spend_code;
use operations::access_keys;
pub use organization_orders::{
    LevelSummary, OrganizationAnswer, OrganizationOrder, PolicySummary, SERVICE_CONTROL_POLICY_CHARACTERS_MAX,
    UnitSummary,
};
pub use quotas::{IAM_REQUEST_QUOTAS, STS_REQUEST_QUOTAS};
use records::{AccessKey, Account, access_key_key, account_key};
use service_control::Uncontrolled;
pub use service_control::{ServiceControlLevel, ServiceControlPolicy};
use sts::{KeySets, WrongCodes};
pub use sts::{Packed, StsError, believed_claims, dispatch_sts, dispatch_unsigned};
use usage::Uses;

/// The service's own state.
#[derive(Debug, Default)]
pub struct Iam {
    uses: Uses,
    keys: KeySets,
    uncontrolled: Uncontrolled,
    wrong_codes: WrongCodes,
}

impl Iam {
    /// Does what an operator orders about units and service control policies.
    ///
    /// # Errors
    /// Outside, [`Fault::Audit`]; inside, a refusal in the words of AWS Organizations, or `NoSuchAccount`.
    pub async fn order_organization(
        &self,
        engine: &Engine,
        command: &Command,
        order: &OrganizationOrder,
    ) -> Result<Recorded<Result<OrganizationAnswer, CommandError>>, Fault> {
        organization_orders::obey(&self.uncontrolled, engine, command, order).await
    }

    /// The service control policies that bind the caller, from the root down, in the order in which
    /// [`CallerPolicies::service_control`] has them: levels with nothing but `FullAWSAccess` are left out.
    ///
    /// # Errors
    /// A store [`Fault`].
    pub async fn service_control_levels(&self, call: &mut Call<'_>) -> Result<Vec<ServiceControlLevel>, Fault> {
        self.uncontrolled.named(call).await
    }

    /// The service with a way out: without one no web identity can be checked.
    #[must_use]
    pub fn with_egress(egress: Arc<dyn Egress>) -> Self {
        Self { keys: KeySets::new(egress), ..Self::default() }
    }

    pub(crate) const fn wrong_codes(&self) -> &WrongCodes {
        &self.wrong_codes
    }

    pub(crate) const fn keys(&self) -> &KeySets {
        &self.keys
    }

    /// Notes that an authenticated caller used a service. It is kept in memory; see [`Iam::store_uses`].
    pub fn note_use(&self, caller: &Caller, service: &str, at: Timestamp) {
        self.uses.note(caller, service, at);
    }

    /// Stores when access keys were last used, once that has been in memory for a minute. To be called now and then; a
    /// crash forgets what was not stored.
    ///
    /// # Errors
    /// A store [`Fault`]; nothing is lost and the next call tries again.
    pub async fn store_uses(&self, engine: &Engine) -> Result<(), Fault> {
        self.uses.store(engine).await
    }
}

impl Identities for Iam {
    fn credential<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        access_key_id: &'a str,
        session_token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Presented, Fault>> {
        Box::pin(sts::credential::presented(call, access_key_id, session_token))
    }

    fn is_account_open<'a>(&'a self, call: &'a mut Call<'_>, account: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        Box::pin(accounts::is_open(call, account))
    }

    fn standing<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        name: &'a PrincipalName,
    ) -> BoxFuture<'a, Result<Standing, Fault>> {
        Box::pin(authorization::standing(call, name))
    }

    fn policies<'a>(&'a self, call: &'a mut Call<'_>) -> BoxFuture<'a, Result<CallerPolicies, Fault>> {
        Box::pin(authorization::policies(self, call))
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
        let (access_key_id, secret_access_key, mut writes) =
            access_keys::make(call, account.as_str(), None, given).await?;
        if !known {
            let created = call.now();
            writes.put(call, key, Account { created })?;
            accounts::begin(call, &mut writes, account.as_str()).await?;
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
