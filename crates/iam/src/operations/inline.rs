//! Inline policies of users, groups and roles.

use claviger_api::iam::{
    GetGroupPolicyResponse, GetRolePolicyResponse, GetUserPolicyResponse, ListGroupPoliciesResponse,
    ListRolePoliciesResponse, ListUserPoliciesResponse,
};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};
use claviger_policy::policy_size;

use crate::arn::Kind;
use crate::operation::{About, IamOperation, operation, parameters, with_boundary};
use crate::page::{Cut, Page};
use crate::records::{Identity, InlineSize, PolicyText, inline_key};
use crate::{Iam, IamError, change, documents, find, shapes};

/// Stores an inline policy under its name, whether there was one or not.
async fn put(call: &mut Call<'_>, kind: Kind, owner: &str, name: &str, text: &str) -> Result<Outcome<()>, IamError> {
    let mut identity = Identity::clone(&*find::need(call, kind, owner).await?);
    documents::check(text)?;
    identity.inline.retain(|inline| inline.name != name);
    let size = u32::try_from(policy_size(text)).unwrap_or(u32::MAX);
    let whole = identity.inline.iter().fold(size, |sum, inline| sum.saturating_add(inline.size));
    let most = kind.inline_most();
    if usize::try_from(whole).unwrap_or(usize::MAX) > most {
        let text = format!("Maximum policy size of {most} bytes exceeded for {} {owner}", kind.word());
        return Err(IamError::LimitExceeded(text));
    }
    identity.inline.push(InlineSize { name: name.to_owned(), size });
    let mut writes = Writes::default();
    let key = inline_key(&identity.id, name);
    call.row::<PolicyText>(&key).await?;
    writes.put(call, key, PolicyText::new(text.to_owned()))?;
    change::save(call, &mut writes, identity)?;
    Ok(Outcome::with_writes((), writes))
}

async fn delete(call: &mut Call<'_>, kind: Kind, owner: &str, name: &str) -> Result<Outcome<()>, IamError> {
    let mut identity = Identity::clone(&*find::need(call, kind, owner).await?);
    let key = inline_key(&identity.id, name);
    if call.row::<PolicyText>(&key).await?.is_none() {
        let text = format!("The {} policy with name {name} cannot be found.", kind.word());
        return Err(IamError::NoSuchEntity(text));
    }
    identity.inline.retain(|inline| inline.name != name);
    let mut writes = Writes::default();
    writes.delete(key);
    change::save(call, &mut writes, identity)?;
    Ok(Outcome::with_writes((), writes))
}

async fn names(call: &mut Call<'_>, kind: Kind, owner: &str, page: &Page) -> Result<Cut<String>, IamError> {
    let identity = find::need(call, kind, owner).await?;
    let names = identity.inline.iter().map(|inline| inline.name.clone()).collect();
    Ok(page.cut(names, Clone::clone))
}

/// The four operations of one kind: put, get, list, delete.
macro_rules! inline_policies {
    ($kind:ident, $name:ident, $parameter:literal,
     $put:ident $put_request:ident, $get:ident $get_request:ident $get_response:ident,
     $list:ident $list_request:ident $list_response:ident, $delete:ident $delete_request:ident) => {
        pub(crate) struct $put;

        impl IamOperation for $put {
            operation!($put, $put_request => (), writes);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            fn facts(_: &Self::Request, about: &About, facts: Facts) -> Facts {
                with_boundary(facts, about.boundary.as_ref())
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                put(call, Kind::$kind, &request.$name, &request.policy_name, &request.policy_document).await
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[
                    ($parameter, Some(&request.$name)),
                    ("policyName", Some(&request.policy_name)),
                    ("policyDocument", Some(&request.policy_document)),
                ])
            }
        }

        pub(crate) struct $get;

        impl IamOperation for $get {
            operation!($get, $get_request => $get_response, reads);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            async fn perform(
                _: &Iam,
                call: &mut Call<'_>,
                request: &Self::Request,
            ) -> Result<Outcome<$get_response>, IamError> {
                let identity = find::need(call, Kind::$kind, &request.$name).await?;
                Ok(Outcome::read_only($get_response {
                    $name: identity.name.clone(),
                    policy_name: request.policy_name.clone(),
                    policy_document: shapes::inline(call, &identity, &request.policy_name).await?,
                }))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("policyName", Some(&request.policy_name))])
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
                let page = Page::new(request.marker.as_ref(), request.max_items);
                let cut = names(call, Kind::$kind, &request.$name, &page).await?;
                Ok(Outcome::read_only($list_response {
                    is_truncated: cut.truncated(),
                    policy_names: cut.items,
                    marker: cut.marker,
                }))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("marker", request.marker.as_deref())])
            }
        }

        pub(crate) struct $delete;

        impl IamOperation for $delete {
            operation!($delete, $delete_request => (), writes);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            fn facts(_: &Self::Request, about: &About, facts: Facts) -> Facts {
                with_boundary(facts, about.boundary.as_ref())
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                delete(call, Kind::$kind, &request.$name, &request.policy_name).await
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name)), ("policyName", Some(&request.policy_name))])
            }
        }
    };
}

inline_policies!(User, user_name, "userName",
    PutUserPolicy PutUserPolicyRequest, GetUserPolicy GetUserPolicyRequest GetUserPolicyResponse,
    ListUserPolicies ListUserPoliciesRequest ListUserPoliciesResponse, DeleteUserPolicy DeleteUserPolicyRequest);
inline_policies!(Group, group_name, "groupName",
    PutGroupPolicy PutGroupPolicyRequest, GetGroupPolicy GetGroupPolicyRequest GetGroupPolicyResponse,
    ListGroupPolicies ListGroupPoliciesRequest ListGroupPoliciesResponse, DeleteGroupPolicy DeleteGroupPolicyRequest);
inline_policies!(Role, role_name, "roleName",
    PutRolePolicy PutRolePolicyRequest, GetRolePolicy GetRolePolicyRequest GetRolePolicyResponse,
    ListRolePolicies ListRolePoliciesRequest ListRolePoliciesResponse, DeleteRolePolicy DeleteRolePolicyRequest);
