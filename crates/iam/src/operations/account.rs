//! The account: its alias, and what it has.

use std::collections::BTreeMap;

use claviger_api::iam::{
    GetAccountPasswordPolicyResponse, GetAccountSummaryResponse, ListAccountAliasesResponse, SummaryKeyType,
};
use claviger_engine::{Call, Outcome, Value, Writes};
use claviger_policy::MANAGED_POLICY_SIZE_MAX;

use super::managed::{POLICIES_MAX, VERSIONS_MAX};
use crate::arn::Kind;
use crate::operation::{About, IamOperation, operation, parameters};
use crate::page;
use crate::records::{AccessKey, NameOf, Tally, alias_key, own_access_key};
use crate::{Iam, IamError, change, find};

pub(crate) struct CreateAccountAlias;

impl IamOperation for CreateAccountAlias {
    operation!(CreateAccountAlias, CreateAccountAliasRequest => (), writes);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let (alias, account) = (&request.account_alias, call.caller().account().to_owned());
        if alias.len() == 12 && alias.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IamError::InvalidInput("The account alias must not look like an account id.".to_owned()));
        }
        let (mut writes, key) = (Writes::default(), alias_key(alias));
        let held = call.row::<NameOf>(&key).await?;
        if held.as_ref().is_some_and(|held| held.record.id != account) {
            return Err(IamError::EntityAlreadyExists(format!("The account alias {alias} already exists.")));
        }
        let mut tally = find::tally(call).await?;
        // One at a time: a new one takes the old one's place.
        if let Some(old) = tally.alias.replace(alias.clone()).filter(|old| old != alias) {
            let old = alias_key(&old);
            find::demand::<NameOf>(call, &old).await?;
            writes.delete(old);
        }
        writes.put(call, key, NameOf { id: account, path: "/".to_owned() })?;
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("accountAlias", Some(&request.account_alias))])
    }
}

pub(crate) struct DeleteAccountAlias;

impl IamOperation for DeleteAccountAlias {
    operation!(DeleteAccountAlias, DeleteAccountAliasRequest => (), writes);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let mut tally = find::tally(call).await?;
        if tally.alias.as_ref() != Some(&request.account_alias) {
            let text = format!("The account alias with name {} cannot be found.", request.account_alias);
            return Err(IamError::NoSuchEntity(text));
        }
        let (mut writes, key) = (Writes::default(), alias_key(&request.account_alias));
        find::demand::<NameOf>(call, &key).await?;
        writes.delete(key);
        tally.alias = None;
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("accountAlias", Some(&request.account_alias))])
    }
}

pub(crate) struct ListAccountAliases;

impl IamOperation for ListAccountAliases {
    operation!(ListAccountAliases, ListAccountAliasesRequest => ListAccountAliasesResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        _: &Self::Request,
    ) -> Result<Outcome<ListAccountAliasesResponse>, IamError> {
        let account_aliases = find::tally(call).await?.alias.into_iter().collect();
        Ok(Outcome::read_only(ListAccountAliasesResponse { account_aliases, is_truncated: Some(false), marker: None }))
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

pub(crate) struct GetAccountSummary;

impl IamOperation for GetAccountSummary {
    operation!(GetAccountSummary, GetAccountSummaryRequest => GetAccountSummaryResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        _: &Self::Request,
    ) -> Result<Outcome<GetAccountSummaryResponse>, IamError> {
        let account = call.caller().account().to_owned();
        let root_keys = page::all::<AccessKey>(call, &own_access_key(&account, "")).await?.len();
        let tally = find::tally(call).await?;
        let numbers = SummaryKeyType::ALL.iter().map(|key| {
            let number = summary(*key, &tally, root_keys > 0);
            (key.as_str().to_owned(), i32::try_from(number).unwrap_or(i32::MAX))
        });
        let summary_map: BTreeMap<String, i32> = numbers.collect();
        Ok(Outcome::read_only(GetAccountSummaryResponse { summary_map: Some(summary_map) }))
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

/// One number of the summary. What does not exist here (passwords, certificates, instance profiles) is counted 0, with
/// AWS's quotas.
fn summary(key: SummaryKeyType, tally: &Tally, root_has_keys: bool) -> u64 {
    use SummaryKeyType as K;
    let size = |kind: Kind| u64::try_from(kind.inline_most()).unwrap_or(u64::MAX);
    match key {
        K::Users => tally.users.into(),
        K::UsersQuota => Kind::User.most().into(),
        K::Groups => tally.groups.into(),
        K::GroupsQuota => Kind::Group.most().into(),
        K::Roles => tally.roles.into(),
        K::RolesQuota => Kind::Role.most().into(),
        K::Policies => tally.policies.into(),
        K::PoliciesQuota => POLICIES_MAX.into(),
        K::PolicySizeQuota => MANAGED_POLICY_SIZE_MAX.try_into().unwrap_or(u64::MAX),
        K::PolicyVersionsInUse => tally.versions.into(),
        K::PolicyVersionsInUseQuota => 10_000,
        K::VersionsPerPolicyQuota => VERSIONS_MAX.try_into().unwrap_or(u64::MAX),
        K::Providers => tally.providers.into(),
        K::MFADevices => tally.devices.into(),
        K::MFADevicesInUse => tally.devices_in_use.into(),
        K::AccountAccessKeysPresent => root_has_keys.into(),
        K::UserPolicySizeQuota => size(Kind::User),
        K::GroupPolicySizeQuota => size(Kind::Group),
        K::RolePolicySizeQuota => size(Kind::Role),
        K::AssumeRolePolicySizeQuota => 2_048,
        K::GroupsPerUserQuota
        | K::AttachedPoliciesPerGroupQuota
        | K::AttachedPoliciesPerRoleQuota
        | K::AttachedPoliciesPerUserQuota => 10,
        K::AccessKeysPerUserQuota | K::SigningCertificatesPerUserQuota | K::GlobalEndpointTokenVersion => 2,
        K::ServerCertificatesQuota => 20,
        K::InstanceProfilesQuota => 1_000,
        K::ServerCertificates
        | K::InstanceProfiles
        | K::AccountMFAEnabled
        | K::AccountPasswordPresent
        | K::AccountSigningCertificatesPresent => 0,
    }
}

pub(crate) struct GetAccountPasswordPolicy;

impl IamOperation for GetAccountPasswordPolicy {
    operation!(GetAccountPasswordPolicy, GetAccountPasswordPolicyRequest => GetAccountPasswordPolicyResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        _: &Self::Request,
    ) -> Result<Outcome<GetAccountPasswordPolicyResponse>, IamError> {
        // Nobody has a password here, so no account has a policy for them.
        let account = call.caller().account();
        Err(IamError::NoSuchEntity(format!("The Password Policy with domain name {account} cannot be found.")))
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}
