//! Records as answers show them (reference/iam-sts.md section 2, "What reads give back").

use claviger_api::iam::{
    AttachedPermissionsBoundary, AttachedPolicy, Group, PermissionsBoundaryAttachmentType, Policy as WirePolicy, Role,
    RoleLastUsed, User,
};
use claviger_engine::{Call, Fault};

use crate::records::{Detail, Identity, Policy, RoleDetail, policy_key};
use crate::{Iam, IamError, documents, find, tags, trust};

/// A user without boundary and tags, as lists have it.
pub(crate) fn user(identity: &Identity) -> User {
    User {
        path: Some(identity.path.clone()),
        user_name: Some(identity.name.clone()),
        user_id: identity.id.clone(),
        arn: identity.arn(),
        create_date: identity.created,
        ..User::default()
    }
}

/// A user with boundary and tags, where there are any.
pub(crate) async fn whole_user(call: &mut Call<'_>, identity: &Identity) -> Result<User, Fault> {
    let permissions_boundary = boundary(call, identity).await?;
    Ok(User { permissions_boundary, tags: tags::wire_if_any(&identity.tags), ..user(identity) })
}

pub(crate) fn group(identity: &Identity) -> Group {
    Group {
        path: identity.path.clone(),
        group_name: identity.name.clone(),
        group_id: identity.id.clone(),
        arn: identity.arn(),
        create_date: identity.created,
    }
}

/// What only roles have.
pub(crate) fn role_detail(identity: &Identity) -> Result<&RoleDetail, Fault> {
    match &identity.detail {
        Detail::Role(role) => Ok(role),
        _ => Err(Fault::RecordMalformed(identity.id.clone())),
    }
}

/// A role without boundary, tags and last use, as lists have it.
pub(crate) async fn role(call: &mut Call<'_>, identity: &Identity) -> Result<Role, Fault> {
    let detail = role_detail(identity)?;
    Ok(Role {
        path: identity.path.clone(),
        role_name: identity.name.clone(),
        role_id: identity.id.clone(),
        arn: identity.arn(),
        create_date: identity.created,
        assume_role_policy_document: Some(trust::shown(call, detail).await?),
        description: detail.description.clone(),
        max_session_duration: i32::try_from(detail.max_session_seconds).ok(),
        ..Role::default()
    })
}

/// A role with everything.
pub(crate) async fn whole_role(iam: &Iam, call: &mut Call<'_>, identity: &Identity) -> Result<Role, Fault> {
    let permissions_boundary = boundary(call, identity).await?;
    let role_last_used = Some(last_used(iam, call, identity).await?);
    let brief = role(call, identity).await?;
    Ok(Role { permissions_boundary, role_last_used, tags: tags::wire_if_any(&identity.tags), ..brief })
}

/// When a role was last used; empty if never.
pub(crate) async fn last_used(iam: &Iam, call: &mut Call<'_>, identity: &Identity) -> Result<RoleLastUsed, Fault> {
    let last = iam.uses.last(call, &identity.id).await?;
    Ok(last.map_or_else(RoleLastUsed::default, |last| RoleLastUsed {
        last_used_date: Some(last.at),
        region: Some(last.region),
    }))
}

/// The permissions boundary.
pub(crate) async fn boundary(
    call: &mut Call<'_>,
    identity: &Identity,
) -> Result<Option<AttachedPermissionsBoundary>, Fault> {
    let Some(id) = &identity.boundary else { return Ok(None) };
    let policy = find::demand::<Policy>(call, &policy_key(id)).await?;
    Ok(Some(AttachedPermissionsBoundary {
        permissions_boundary_type: Some(PermissionsBoundaryAttachmentType::Policy),
        permissions_boundary_arn: Some(policy.arn()),
    }))
}

/// The managed policies that are attached, below a path.
pub(crate) async fn attached(
    call: &mut Call<'_>,
    identity: &Identity,
    path_prefix: Option<&String>,
) -> Result<Vec<AttachedPolicy>, Fault> {
    let mut found = Vec::new();
    for id in &identity.attached {
        let policy = find::demand::<Policy>(call, &policy_key(id)).await?;
        if below(&policy.path, path_prefix) {
            let (name, arn) = (policy.name.clone(), policy.arn());
            found.push(AttachedPolicy { policy_name: Some(name), policy_arn: Some(arn) });
        }
    }
    Ok(found)
}

/// Whether a path is among those that a list asks for.
pub(crate) fn below(path: &str, prefix: Option<&String>) -> bool {
    prefix.is_none_or(|prefix| path.starts_with(prefix.as_str()))
}

/// A managed policy without description and tags, as lists have it.
pub(crate) fn policy(policy: &Policy) -> WirePolicy {
    WirePolicy {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn()),
        path: Some(policy.path.clone()),
        default_version_id: Some(version_id(policy.default)),
        attachment_count: i32::try_from(policy.attachments).ok(),
        permissions_boundary_usage_count: i32::try_from(policy.boundaries).ok(),
        is_attachable: Some(true),
        create_date: Some(policy.created),
        update_date: Some(policy.updated),
        ..WirePolicy::default()
    }
}

/// `v1`.
pub(crate) fn version_id(number: u32) -> String {
    format!("v{number}")
}

/// The number in `v1`.
pub(crate) fn version_number(id: &str) -> Option<u32> {
    id.strip_prefix('v')?.parse().ok()
}

/// An inline policy's text as answers show it.
pub(crate) async fn inline(call: &mut Call<'_>, identity: &Identity, name: &str) -> Result<String, IamError> {
    let key = crate::records::inline_key(&identity.id, name);
    let missing =
        || IamError::NoSuchEntity(format!("The {} policy with name {name} cannot be found.", identity.kind().word()));
    let found = call.row::<crate::records::PolicyText>(&key).await?.ok_or_else(missing)?;
    Ok(documents::encoded(&found.record.text))
}
