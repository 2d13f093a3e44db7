//! Roles.

use claviger_api::iam::{
    CreateRoleResponse, GetRoleResponse, ListRolesResponse, UpdateRoleDescriptionResponse, UpdateRoleResponse,
};
use claviger_engine::{Call, Facts, Fault, Outcome, Value, Writes};

use super::users::listed;
use crate::arn::{self, Kind};
use crate::operation::{About, IamOperation, operation, parameters, with_boundary, with_tags};
use crate::page::Page;
use crate::records::{Detail, Identity, RoleDetail};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, change, find, shapes, trust};

/// How long sessions of a role may last where nothing else is said.
const SESSION_SECONDS: u32 = 3_600;

fn session_seconds(asked: Option<i32>) -> u32 {
    asked.and_then(|asked| u32::try_from(asked).ok()).unwrap_or(SESSION_SECONDS)
}

pub(crate) struct CreateRole;

impl IamOperation for CreateRole {
    operation!(CreateRole, CreateRoleRequest => CreateRoleResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let path = arn::path_of(request.path.as_ref());
        Ok(vec![About::arn(arn::arn(call.caller().account(), "role", &path, &request.role_name))])
    }

    fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
        with_boundary(with_tags(facts, request.tags.as_ref()), request.permissions_boundary.as_ref())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateRoleResponse>, IamError> {
        let mut writes = Writes::default();
        let detail = RoleDetail {
            trust: request.assume_role_policy_document.clone(),
            bound: trust::bind(call, &request.assume_role_policy_document).await?,
            description: request.description.clone().filter(|description| !description.is_empty()),
            max_session_seconds: session_seconds(request.max_session_duration),
        };
        let role = Identity {
            id: arn::unique_id(call, Kind::Role.id_prefix())?,
            account: call.caller().account().to_owned(),
            name: request.role_name.clone(),
            path: arn::path_of(request.path.as_ref()),
            created: call.now(),
            boundary: None,
            tags: tags::fresh(request.tags.as_ref(), Keys::Folded)?,
            inline: Vec::new(),
            attached: Vec::new(),
            detail: Detail::Role(detail),
        };
        let role = change::create(call, &mut writes, role, request.permissions_boundary.as_ref()).await?;
        let mut shown = shapes::role(call, &role).await?;
        shown.max_session_duration = request.max_session_duration;
        shown.permissions_boundary = shapes::boundary(call, &role).await?;
        shown.tags = tags::wire_if_any(&role.tags);
        Ok(Outcome::with_writes(CreateRoleResponse { role: shown }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("roleName", Some(&request.role_name)),
            ("path", request.path.as_deref()),
            ("permissionsBoundary", request.permissions_boundary.as_deref()),
            ("assumeRolePolicyDocument", Some(&request.assume_role_policy_document)),
        ])
    }

    fn answered(response: &CreateRoleResponse) -> Value {
        parameters(&[("roleId", Some(&response.role.role_id)), ("arn", Some(&response.role.arn))])
    }
}

pub(crate) struct GetRole;

impl IamOperation for GetRole {
    operation!(GetRole, GetRoleRequest => GetRoleResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetRoleResponse>, IamError> {
        let role = find::need(call, Kind::Role, &request.role_name).await?;
        Ok(Outcome::read_only(GetRoleResponse { role: shapes::whole_role(iam, call, &role).await? }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name))])
    }
}

pub(crate) struct ListRoles;

impl IamOperation for ListRoles {
    operation!(ListRoles, ListRolesRequest => ListRolesResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListRolesResponse>, IamError> {
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let (found, marker) = listed(call, Kind::Role, &page, request.path_prefix.as_ref()).await?;
        let mut roles = Vec::with_capacity(found.len());
        for role in &found {
            roles.push(shapes::role(call, role).await?);
        }
        Ok(Outcome::read_only(ListRolesResponse { roles, is_truncated: Some(marker.is_some()), marker }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("pathPrefix", request.path_prefix.as_deref()), ("marker", request.marker.as_deref())])
    }
}

/// Changes what only roles have, and gives the role as it is then.
async fn change_role(
    call: &mut Call<'_>,
    name: &str,
    change: impl FnOnce(&mut RoleDetail) + Send,
) -> Result<(Identity, Writes), IamError> {
    let mut role = Identity::clone(&*find::need(call, Kind::Role, name).await?);
    match &mut role.detail {
        Detail::Role(detail) => change(detail),
        _ => return Err(Fault::RecordMalformed(role.id).into()),
    }
    let mut writes = Writes::default();
    change::save(call, &mut writes, role.clone())?;
    Ok((role, writes))
}

pub(crate) struct UpdateRole;

impl IamOperation for UpdateRole {
    operation!(UpdateRole, UpdateRoleRequest => UpdateRoleResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<UpdateRoleResponse>, IamError> {
        let change = |detail: &mut RoleDetail| {
            if let Some(description) = &request.description {
                detail.description = Some(description.clone()).filter(|description| !description.is_empty());
            }
            // The model says that a duration left out becomes the default one.
            detail.max_session_seconds = session_seconds(request.max_session_duration);
        };
        let (_, writes) = change_role(call, &request.role_name, change).await?;
        Ok(Outcome::with_writes(UpdateRoleResponse {}, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name))])
    }
}

pub(crate) struct UpdateRoleDescription;

impl IamOperation for UpdateRoleDescription {
    operation!(UpdateRoleDescription, UpdateRoleDescriptionRequest => UpdateRoleDescriptionResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<UpdateRoleDescriptionResponse>, IamError> {
        let change = |detail: &mut RoleDetail| {
            detail.description = Some(request.description.clone()).filter(|description| !description.is_empty());
        };
        let (role, writes) = change_role(call, &request.role_name, change).await?;
        let role = Some(shapes::role(call, &role).await?);
        Ok(Outcome::with_writes(UpdateRoleDescriptionResponse { role }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name))])
    }
}

pub(crate) struct UpdateAssumeRolePolicy;

impl IamOperation for UpdateAssumeRolePolicy {
    operation!(UpdateAssumeRolePolicy, UpdateAssumeRolePolicyRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let bound = trust::bind(call, &request.policy_document).await?;
        let change = |detail: &mut RoleDetail| {
            detail.trust.clone_from(&request.policy_document);
            detail.bound = bound;
        };
        let (_, writes) = change_role(call, &request.role_name, change).await?;
        Ok(Outcome::with_writes((), writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name)), ("policyDocument", Some(&request.policy_document))])
    }
}

pub(crate) struct DeleteRole;

impl IamOperation for DeleteRole {
    operation!(DeleteRole, DeleteRoleRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let role = find::need(call, Kind::Role, &request.role_name).await?;
        Ok(Outcome::with_writes((), change::delete(call, &role).await?))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name))])
    }
}
