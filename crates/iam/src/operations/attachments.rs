//! Managed policies on users, groups and roles.

use claviger_api::iam::{
    ListAttachedGroupPoliciesResponse, ListAttachedRolePoliciesResponse, ListAttachedUserPoliciesResponse,
};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};

use crate::arn::Kind;
use crate::change::{self, Use, note_use};
use crate::operation::{About, IamOperation, operation, parameters, with_boundary};
use crate::page::Page;
use crate::records::{Identity, Policy};
use crate::{Iam, IamError, find, shapes};

/// Managed policies on one user, group or role at most.
const ATTACHED_MAX: usize = 10;

async fn attach(call: &mut Call<'_>, kind: Kind, name: &str, arn: &str) -> Result<Outcome<()>, IamError> {
    let mut identity = Identity::clone(&*find::need(call, kind, name).await?);
    let mut policy = Policy::clone(&*find::attachable(call, arn).await?);
    if identity.attached.contains(&policy.id) {
        return Ok(Outcome::read_only(()));
    }
    if identity.attached.len() >= ATTACHED_MAX {
        return Err(IamError::quota(&format!("PoliciesPer{}", kind.title()), ATTACHED_MAX));
    }
    identity.attached.push(policy.id.clone());
    let mut writes = Writes::default();
    note_use(call, &mut writes, &mut policy, (Use::Attached, kind, &identity.id), true).await?;
    change::save_policy(call, &mut writes, policy)?;
    change::save(call, &mut writes, identity)?;
    Ok(Outcome::with_writes((), writes))
}

async fn detach(call: &mut Call<'_>, kind: Kind, name: &str, arn: &str) -> Result<Outcome<()>, IamError> {
    let mut identity = Identity::clone(&*find::need(call, kind, name).await?);
    let policy = find::policy(call, arn).await?;
    let Some(policy) = policy.filter(|policy| identity.attached.contains(&policy.id)) else {
        return Err(IamError::NoSuchEntity(format!("Policy {arn} was not found.")));
    };
    let mut policy = Policy::clone(&policy);
    identity.attached.retain(|id| *id != policy.id);
    let mut writes = Writes::default();
    note_use(call, &mut writes, &mut policy, (Use::Attached, kind, &identity.id), false).await?;
    change::save_policy(call, &mut writes, policy)?;
    change::save(call, &mut writes, identity)?;
    Ok(Outcome::with_writes((), writes))
}

/// The three operations of one kind: attach, detach, list.
macro_rules! attachments {
    ($kind:ident, $name:ident, $parameter:literal, $attach:ident $attach_request:ident,
     $detach:ident $detach_request:ident, $list:ident $list_request:ident $list_response:ident) => {
        pub(crate) struct $attach;

        impl IamOperation for $attach {
            operation!($attach, $attach_request => (), writes);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            fn facts(request: &Self::Request, about: &About, facts: Facts) -> Facts {
                with_boundary(facts, about.boundary.as_ref()).with("iam:PolicyARN", &request.policy_arn)
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                attach(call, Kind::$kind, &request.$name, &request.policy_arn).await
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("policyArn", Some(&request.policy_arn))])
            }
        }

        pub(crate) struct $detach;

        impl IamOperation for $detach {
            operation!($detach, $detach_request => (), writes);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            fn facts(request: &Self::Request, about: &About, facts: Facts) -> Facts {
                with_boundary(facts, about.boundary.as_ref()).with("iam:PolicyARN", &request.policy_arn)
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                detach(call, Kind::$kind, &request.$name, &request.policy_arn).await
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("policyArn", Some(&request.policy_arn))])
            }
        }

        pub(crate) struct $list;

        impl IamOperation for $list {
            operation!($list, $list_request => $list_response, reads);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            async fn perform(
                _: &Iam,
                call: &mut Call<'_>,
                request: &Self::Request,
            ) -> Result<Outcome<$list_response>, IamError> {
                let identity = find::need(call, Kind::$kind, &request.$name).await?;
                let found = shapes::attached(call, &identity, request.path_prefix.as_ref()).await?;
                let page = Page::new(request.marker.as_ref(), request.max_items);
                let cut = page.cut(found, |policy| policy.policy_arn.clone().unwrap_or_default());
                Ok(Outcome::read_only($list_response {
                    is_truncated: cut.truncated(),
                    attached_policies: Some(cut.items),
                    marker: cut.marker,
                }))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("marker", request.marker.as_deref())])
            }
        }
    };
}

attachments!(User, user_name, "userName", AttachUserPolicy AttachUserPolicyRequest,
    DetachUserPolicy DetachUserPolicyRequest,
    ListAttachedUserPolicies ListAttachedUserPoliciesRequest ListAttachedUserPoliciesResponse);
attachments!(Group, group_name, "groupName", AttachGroupPolicy AttachGroupPolicyRequest,
    DetachGroupPolicy DetachGroupPolicyRequest,
    ListAttachedGroupPolicies ListAttachedGroupPoliciesRequest ListAttachedGroupPoliciesResponse);
attachments!(Role, role_name, "roleName", AttachRolePolicy AttachRolePolicyRequest,
    DetachRolePolicy DetachRolePolicyRequest,
    ListAttachedRolePolicies ListAttachedRolePoliciesRequest ListAttachedRolePoliciesResponse);
