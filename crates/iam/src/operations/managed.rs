//! Managed policies and their versions.

use claviger_api::iam::{
    CreatePolicyResponse, CreatePolicyVersionResponse, EntityType, GetPolicyResponse, GetPolicyVersionResponse,
    ListEntitiesForPolicyResponse, ListPoliciesResponse, ListPolicyVersionsResponse, PolicyGroup, PolicyRole,
    PolicyScopeType, PolicyUsageType, PolicyUser, PolicyVersion,
};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};
use claviger_policy::{MANAGED_POLICY_SIZE_MAX, policy_size};

use crate::arn::{self, Kind};
use crate::change::{self, Use};
use crate::operation::{About, IamOperation, operation, parameters, with_tags};
use crate::page::{self, Page};
use crate::records::{
    Fence, Identity, NameOf, Policy, PolicyText, Version, identity_key, name_key, policy_key, use_key, version_key,
};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, documents, find, shapes};

/// Managed policies of one account at most.
pub(crate) const POLICIES_MAX: u32 = 1_500;
/// Versions of one managed policy at most.
pub(crate) const VERSIONS_MAX: usize = 5;

/// Refuses a document that is none or too long.
fn check(text: &str) -> Result<(), IamError> {
    documents::check(text)?;
    if policy_size(text) > MANAGED_POLICY_SIZE_MAX {
        return Err(IamError::quota("PolicySize", MANAGED_POLICY_SIZE_MAX));
    }
    Ok(())
}

pub(crate) struct CreatePolicy;

impl IamOperation for CreatePolicy {
    operation!(CreatePolicy, CreatePolicyRequest => CreatePolicyResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let path = arn::path_of(request.path.as_ref());
        let arn = arn::arn(call.caller().account(), "policy", &path, &request.policy_name);
        Ok(vec![About::arn(arn).shown("policy", &request.policy_name)])
    }

    fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
        with_tags(facts, request.tags.as_ref())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreatePolicyResponse>, IamError> {
        check(&request.policy_document)?;
        let (mut writes, now) = (Writes::default(), call.now());
        let policy = Policy {
            id: arn::unique_id(call, "ANPA")?,
            account: call.caller().account().to_owned(),
            name: request.policy_name.clone(),
            path: arn::path_of(request.path.as_ref()),
            description: request.description.clone().filter(|description| !description.is_empty()),
            created: now,
            updated: now,
            default: 1,
            next: 2,
            versions: vec![Version { number: 1, created: now }],
            attachments: 0,
            boundaries: 0,
            tags: tags::fresh(request.tags.as_ref(), Keys::Exact)?,
        };
        let taken = || {
            let name = &request.policy_name;
            let text = format!("A policy called {name} already exists. Duplicate names are not allowed.");
            IamError::EntityAlreadyExists(text)
        };
        let named = NameOf { id: policy.id.clone(), path: policy.path.clone() };
        change::take_name(call, &mut writes, ("policy", &policy.name), named, taken).await?;
        let mut tally = find::tally(call).await?;
        if tally.policies >= POLICIES_MAX {
            return Err(IamError::quota("PoliciesPerAccount", POLICIES_MAX));
        }
        tally.policies = tally.policies.saturating_add(1);
        tally.versions = tally.versions.saturating_add(1);
        change::save_tally(call, &mut writes, tally)?;
        change::demand_new::<Policy>(call, &policy_key(&policy.id)).await?;
        let text = version_key(&policy.id, 1);
        change::demand_new::<PolicyText>(call, &text).await?;
        writes.put(call, text, PolicyText::new(request.policy_document.clone()))?;
        change::save_policy(call, &mut writes, policy.clone())?;
        let mut shown = shapes::policy(&policy);
        shown.tags = tags::wire_if_any(&policy.tags);
        Ok(Outcome::with_writes(CreatePolicyResponse { policy: Some(shown) }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("policyName", Some(&request.policy_name)),
            ("path", request.path.as_deref()),
            ("policyDocument", Some(&request.policy_document)),
        ])
    }

    fn answered(response: &CreatePolicyResponse) -> Value {
        let policy = response.policy.as_ref();
        parameters(&[
            ("policyId", policy.and_then(|policy| policy.policy_id.as_deref())),
            ("arn", policy.and_then(|policy| policy.arn.as_deref())),
        ])
    }
}

pub(crate) struct GetPolicy;

impl IamOperation for GetPolicy {
    operation!(GetPolicy, GetPolicyRequest => GetPolicyResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetPolicyResponse>, IamError> {
        let policy = find::need_policy(call, &request.policy_arn).await?;
        let mut shown = shapes::policy(&policy);
        shown.description.clone_from(&policy.description);
        shown.tags = Some(tags::wire(&policy.tags));
        Ok(Outcome::read_only(GetPolicyResponse { policy: Some(shown) }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn))])
    }
}

pub(crate) struct ListPolicies;

impl IamOperation for ListPolicies {
    operation!(ListPolicies, ListPoliciesRequest => ListPoliciesResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListPoliciesResponse>, IamError> {
        let account = call.caller().account().to_owned();
        // The policies that AWS manages are not offered.
        let names = match request.scope {
            Some(PolicyScopeType::Aws) => Vec::new(),
            _ => page::all::<NameOf>(call, &name_key(&account, "policy", "")).await?,
        };
        let mut found = Vec::new();
        for (name, named) in names {
            let policy = find::demand::<Policy>(call, &policy_key(&named.id)).await?;
            let used = match request.policy_usage_filter {
                None => true,
                Some(PolicyUsageType::PermissionsPolicy) => policy.attachments > 0,
                Some(PolicyUsageType::PermissionsBoundary) => policy.boundaries > 0,
            };
            let attached = request.only_attached != Some(true) || policy.attachments > 0;
            if used && attached && shapes::below(&policy.path, request.path_prefix.as_ref()) {
                found.push((name, shapes::policy(&policy)));
            }
        }
        let cut = Page::new(request.marker.as_ref(), request.max_items).cut(found, |(name, _)| name.clone());
        Ok(Outcome::read_only(ListPoliciesResponse {
            is_truncated: cut.truncated(),
            policies: Some(cut.items.into_iter().map(|(_, policy)| policy).collect()),
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("pathPrefix", request.path_prefix.as_deref()), ("marker", request.marker.as_deref())])
    }
}

pub(crate) struct CreatePolicyVersion;

impl IamOperation for CreatePolicyVersion {
    operation!(CreatePolicyVersion, CreatePolicyVersionRequest => CreatePolicyVersionResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreatePolicyVersionResponse>, IamError> {
        let mut policy = Policy::clone(&*find::need_policy(call, &request.policy_arn).await?);
        check(&request.policy_document)?;
        if policy.versions.len() >= VERSIONS_MAX {
            let text = "A managed policy can have up to 5 versions. Before you create a new version, you must delete \
                        an existing version.";
            return Err(IamError::LimitExceeded(text.to_owned()));
        }
        let (mut writes, number) = (Writes::default(), policy.next);
        policy.next = policy.next.saturating_add(1);
        policy.updated = call.now();
        policy.versions.push(Version { number, created: call.now() });
        if request.set_as_default == Some(true) {
            policy.default = number;
        }
        let text = version_key(&policy.id, number);
        change::demand_new::<PolicyText>(call, &text).await?;
        writes.put(call, text, PolicyText::new(request.policy_document.clone()))?;
        let mut tally = find::tally(call).await?;
        tally.versions = tally.versions.saturating_add(1);
        change::save_tally(call, &mut writes, tally)?;
        let policy_version = policy.versions.last().map(|version| shown_version(&policy, version));
        change::save_policy(call, &mut writes, policy)?;
        Ok(Outcome::with_writes(CreatePolicyVersionResponse { policy_version }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("policyDocument", Some(&request.policy_document))])
            .with("setAsDefault", request.set_as_default.unwrap_or_default())
    }
}

/// A version without its document.
fn shown_version(policy: &Policy, version: &Version) -> PolicyVersion {
    PolicyVersion {
        document: None,
        version_id: Some(shapes::version_id(version.number)),
        is_default_version: Some(version.number == policy.default),
        create_date: Some(version.created),
    }
}

/// A version with its document.
pub(crate) async fn whole_version(
    call: &mut Call<'_>,
    policy: &Policy,
    version: &Version,
) -> Result<PolicyVersion, IamError> {
    let text = find::demand::<PolicyText>(call, &version_key(&policy.id, version.number)).await?;
    Ok(PolicyVersion { document: Some(documents::encoded(&text.text)), ..shown_version(policy, version) })
}

/// The version that a request names.
fn version<'a>(policy: &'a Policy, id: &str) -> Result<&'a Version, IamError> {
    let number = shapes::version_number(id);
    let found = policy.versions.iter().find(|version| Some(version.number) == number);
    let text = || format!("Policy {} version {id} does not exist or is not attachable.", policy.arn());
    found.ok_or_else(|| IamError::NoSuchEntity(text()))
}

pub(crate) struct GetPolicyVersion;

impl IamOperation for GetPolicyVersion {
    operation!(GetPolicyVersion, GetPolicyVersionRequest => GetPolicyVersionResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetPolicyVersionResponse>, IamError> {
        let policy = find::need_policy(call, &request.policy_arn).await?;
        let version = version(&policy, &request.version_id)?;
        let policy_version = Some(whole_version(call, &policy, version).await?);
        Ok(Outcome::read_only(GetPolicyVersionResponse { policy_version }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("versionId", Some(&request.version_id))])
    }
}

pub(crate) struct ListPolicyVersions;

impl IamOperation for ListPolicyVersions {
    operation!(ListPolicyVersions, ListPolicyVersionsRequest => ListPolicyVersionsResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListPolicyVersionsResponse>, IamError> {
        let policy = find::need_policy(call, &request.policy_arn).await?;
        // The newest first.
        let versions = policy.versions.iter().rev().map(|version| shown_version(&policy, version)).collect();
        let cut = Page::new(request.marker.as_ref(), request.max_items).cut_in_order(versions);
        Ok(Outcome::read_only(ListPolicyVersionsResponse {
            is_truncated: cut.truncated(),
            versions: Some(cut.items),
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("marker", request.marker.as_deref())])
    }
}

pub(crate) struct SetDefaultPolicyVersion;

impl IamOperation for SetDefaultPolicyVersion {
    operation!(SetDefaultPolicyVersion, SetDefaultPolicyVersionRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let mut policy = Policy::clone(&*find::need_policy(call, &request.policy_arn).await?);
        policy.default = version(&policy, &request.version_id)?.number;
        policy.updated = call.now();
        let mut writes = Writes::default();
        change::save_policy(call, &mut writes, policy)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("versionId", Some(&request.version_id))])
    }
}

pub(crate) struct DeletePolicyVersion;

impl IamOperation for DeletePolicyVersion {
    operation!(DeletePolicyVersion, DeletePolicyVersionRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let mut policy = Policy::clone(&*find::need_policy(call, &request.policy_arn).await?);
        let number = version(&policy, &request.version_id)?.number;
        if number == policy.default {
            return Err(IamError::DeleteConflict("Cannot delete the default version of a policy.".to_owned()));
        }
        policy.versions.retain(|version| version.number != number);
        let (mut writes, text) = (Writes::default(), version_key(&policy.id, number));
        find::demand::<PolicyText>(call, &text).await?;
        writes.delete(text);
        let mut tally = find::tally(call).await?;
        tally.versions = tally.versions.saturating_sub(1);
        change::save_tally(call, &mut writes, tally)?;
        change::save_policy(call, &mut writes, policy)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("versionId", Some(&request.version_id))])
    }
}

pub(crate) struct DeletePolicy;

impl IamOperation for DeletePolicy {
    operation!(DeletePolicy, DeletePolicyRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let policy = find::need_policy(call, &request.policy_arn).await?;
        if policy.attachments > 0 || policy.boundaries > 0 {
            return Err(IamError::DeleteConflict("Cannot delete a policy attached to entities.".to_owned()));
        }
        if policy.versions.len() > 1 {
            let text = "This policy has more than one version. Before you delete a policy, you must delete the \
                        policy's versions. The default version is deleted with the policy.";
            return Err(IamError::DeleteConflict(text.to_owned()));
        }
        let (mut writes, text) = (Writes::default(), version_key(&policy.id, policy.default));
        find::demand::<PolicyText>(call, &text).await?;
        writes.delete(text);
        writes.delete(policy_key(&policy.id));
        writes.delete(name_key(&policy.account, "policy", &policy.name));
        let mut tally = find::tally(call).await?;
        tally.policies = tally.policies.saturating_sub(1);
        tally.versions = tally.versions.saturating_sub(1);
        change::save_tally(call, &mut writes, tally)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn))])
    }
}

pub(crate) struct ListEntitiesForPolicy;

impl IamOperation for ListEntitiesForPolicy {
    operation!(ListEntitiesForPolicy, ListEntitiesForPolicyRequest => ListEntitiesForPolicyResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_policy(call, &request.policy_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListEntitiesForPolicyResponse>, IamError> {
        let policy = find::need_policy(call, &request.policy_arn).await?;
        let mut found = Vec::new();
        for (row, _) in page::all::<Fence>(call, &use_key(&policy.id, "")).await? {
            let Some((used, kind, id)) = Use::parse(&row) else { continue };
            if !wanted(request.entity_filter, kind) || !usage(request.policy_usage_filter, used) {
                continue;
            }
            let identity = find::demand::<Identity>(call, &identity_key(id)).await?;
            if shapes::below(&identity.path, request.path_prefix.as_ref()) {
                found.push((row, identity));
            }
        }
        let cut = Page::new(request.marker.as_ref(), request.max_items).cut(found, |(row, _)| row.clone());
        let (is_truncated, marker) = (cut.truncated(), cut.marker.clone());
        let (mut groups, mut users, mut roles) = (Vec::new(), Vec::new(), Vec::new());
        for (_, identity) in cut.items {
            let (name, id) = (Some(identity.name.clone()), Some(identity.id.clone()));
            match identity.kind() {
                Kind::User => users.push(PolicyUser { user_name: name, user_id: id }),
                Kind::Group => groups.push(PolicyGroup { group_name: name, group_id: id }),
                Kind::Role => roles.push(PolicyRole { role_name: name, role_id: id }),
            }
        }
        Ok(Outcome::read_only(ListEntitiesForPolicyResponse {
            policy_groups: Some(groups),
            policy_users: Some(users),
            policy_roles: Some(roles),
            is_truncated,
            marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policyArn", Some(&request.policy_arn)), ("marker", request.marker.as_deref())])
    }
}

fn wanted(filter: Option<EntityType>, kind: Kind) -> bool {
    match filter {
        None => true,
        Some(EntityType::User) => kind == Kind::User,
        Some(EntityType::Group) => kind == Kind::Group,
        Some(EntityType::Role) => kind == Kind::Role,
        Some(EntityType::LocalManagedPolicy | EntityType::AWSManagedPolicy) => false,
    }
}

fn usage(filter: Option<PolicyUsageType>, used: Use) -> bool {
    match filter {
        None => true,
        Some(PolicyUsageType::PermissionsPolicy) => used == Use::Attached,
        Some(PolicyUsageType::PermissionsBoundary) => used == Use::Boundary,
    }
}
