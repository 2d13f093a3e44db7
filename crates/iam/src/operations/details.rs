//! GetAccountAuthorizationDetails: who has which policies, all at once.

use std::sync::Arc;

use claviger_api::iam::{
    EntityType, GetAccountAuthorizationDetailsResponse, GroupDetail, ManagedPolicyDetail, PolicyDetail, RoleDetail,
    UserDetail,
};
use claviger_engine::{Call, Fault, Outcome, Value};

use super::groups::user_detail;
use super::managed::whole_version;
use crate::arn::Kind;
use crate::operation::{About, IamOperation, operation, parameters};
use crate::page::{self, Page};
use crate::records::{Identity, NameOf, Policy, identity_key, name_key, policy_key};
use crate::{Iam, IamError, find, shapes, tags, trust};

/// The four lists, in the order in which their pages come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Identities(Kind),
    Policies,
}

const LISTS: [List; 4] =
    [List::Identities(Kind::User), List::Identities(Kind::Group), List::Identities(Kind::Role), List::Policies];

impl List {
    const fn word(self) -> &'static str {
        match self {
            Self::Identities(kind) => kind.word(),
            Self::Policies => "policy",
        }
    }

    fn wanted(self, filter: Option<&Vec<EntityType>>) -> bool {
        let Some(filter) = filter.filter(|filter| !filter.is_empty()) else { return true };
        filter.contains(&match self {
            Self::Identities(Kind::User) => EntityType::User,
            Self::Identities(Kind::Group) => EntityType::Group,
            Self::Identities(Kind::Role) => EntityType::Role,
            // The policies that AWS manages are not offered.
            Self::Policies => EntityType::LocalManagedPolicy,
        })
    }
}

pub(crate) struct GetAccountAuthorizationDetails;

impl IamOperation for GetAccountAuthorizationDetails {
    operation!(GetAccountAuthorizationDetails,
        GetAccountAuthorizationDetailsRequest => GetAccountAuthorizationDetailsResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetAccountAuthorizationDetailsResponse>, IamError> {
        let account = call.caller().account().to_owned();
        let mut all = Vec::new();
        for (number, list) in LISTS.into_iter().enumerate().filter(|(_, list)| list.wanted(request.filter.as_ref())) {
            for (name, named) in page::all::<NameOf>(call, &name_key(&account, list.word(), "")).await? {
                all.push((format!("{number}/{name}"), list, named));
            }
        }
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page.cut(all, |(place, _, _)| place.clone());
        let (is_truncated, marker) = (cut.truncated(), cut.marker.clone());
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        let (mut roles, mut policies) = (Vec::new(), Vec::new());
        for (_, list, named) in cut.items {
            if list == List::Policies {
                let policy = find::demand::<Policy>(call, &policy_key(&named.id)).await?;
                policies.push(policy_detail(call, &policy).await?);
                continue;
            }
            let identity = find::demand::<Identity>(call, &identity_key(&named.id)).await?;
            match identity.kind() {
                Kind::User => users.push(user(call, &identity).await?),
                Kind::Group => groups.push(group(call, &identity).await?),
                Kind::Role => roles.push(role(iam, call, &identity).await?),
            }
        }
        Ok(Outcome::read_only(GetAccountAuthorizationDetailsResponse {
            user_detail_list: Some(users),
            group_detail_list: Some(groups),
            role_detail_list: Some(roles),
            policies: Some(policies),
            is_truncated,
            marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("marker", request.marker.as_deref())])
    }
}

/// The inline policies with their documents.
async fn inline(call: &mut Call<'_>, identity: &Identity) -> Result<Option<Vec<PolicyDetail>>, IamError> {
    let mut found = Vec::with_capacity(identity.inline.len());
    for one in &identity.inline {
        let document = shapes::inline(call, identity, &one.name).await?;
        found.push(PolicyDetail { policy_name: Some(one.name.clone()), policy_document: Some(document) });
    }
    Ok(Some(found))
}

async fn user(call: &mut Call<'_>, identity: &Arc<Identity>) -> Result<UserDetail, IamError> {
    let mut groups = Vec::new();
    for id in &user_detail(&mut Identity::clone(identity))?.groups {
        groups.push(find::demand::<Identity>(call, &identity_key(id)).await?.name.clone());
    }
    Ok(UserDetail {
        path: Some(identity.path.clone()),
        user_name: Some(identity.name.clone()),
        user_id: Some(identity.id.clone()),
        arn: Some(identity.arn()),
        create_date: Some(identity.created),
        user_policy_list: inline(call, identity).await?,
        group_list: Some(groups),
        attached_managed_policies: Some(shapes::attached(call, identity, None).await?),
        permissions_boundary: shapes::boundary(call, identity).await?,
        tags: Some(tags::wire(&identity.tags)),
    })
}

async fn group(call: &mut Call<'_>, identity: &Identity) -> Result<GroupDetail, IamError> {
    Ok(GroupDetail {
        path: Some(identity.path.clone()),
        group_name: Some(identity.name.clone()),
        group_id: Some(identity.id.clone()),
        arn: Some(identity.arn()),
        create_date: Some(identity.created),
        group_policy_list: inline(call, identity).await?,
        attached_managed_policies: Some(shapes::attached(call, identity, None).await?),
    })
}

async fn role(iam: &Iam, call: &mut Call<'_>, identity: &Identity) -> Result<RoleDetail, IamError> {
    let trust = trust::shown(call, shapes::role_detail(identity)?).await?;
    Ok(RoleDetail {
        path: Some(identity.path.clone()),
        role_name: Some(identity.name.clone()),
        role_id: Some(identity.id.clone()),
        arn: Some(identity.arn()),
        create_date: Some(identity.created),
        assume_role_policy_document: Some(trust),
        instance_profile_list: Some(Vec::new()),
        role_policy_list: inline(call, identity).await?,
        attached_managed_policies: Some(shapes::attached(call, identity, None).await?),
        permissions_boundary: shapes::boundary(call, identity).await?,
        tags: Some(tags::wire(&identity.tags)),
        role_last_used: Some(shapes::last_used(iam, call, identity).await?),
    })
}

async fn policy_detail(call: &mut Call<'_>, policy: &Policy) -> Result<ManagedPolicyDetail, IamError> {
    let mut versions = Vec::with_capacity(policy.versions.len());
    for version in policy.versions.iter().rev() {
        versions.push(whole_version(call, policy, version).await?);
    }
    let count = |number: u32| i32::try_from(number).map(Some).map_err(|_| Fault::RecordMalformed(policy.id.clone()));
    Ok(ManagedPolicyDetail {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn()),
        path: Some(policy.path.clone()),
        default_version_id: Some(shapes::version_id(policy.default)),
        attachment_count: count(policy.attachments)?,
        permissions_boundary_usage_count: count(policy.boundaries)?,
        is_attachable: Some(true),
        description: policy.description.clone(),
        create_date: Some(policy.created),
        update_date: Some(policy.updated),
        policy_version_list: Some(versions),
    })
}
