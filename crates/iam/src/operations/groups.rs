//! Groups and who is in them.

use claviger_api::iam::{CreateGroupResponse, GetGroupResponse, ListGroupsForUserResponse, ListGroupsResponse};
use claviger_engine::{Call, Fault, Outcome, Value, Writes};

use super::users::listed;
use crate::arn::{self, Kind};
use crate::operation::{About, IamOperation, operation, parameters};
use crate::page::{self, Page};
use crate::records::{Detail, Fence, Identity, UserDetail, identity_key, member_key};
use crate::{Iam, IamError, change, find, shapes};

/// Groups of one user at most.
const GROUPS_MAX: usize = 10;

pub(crate) struct CreateGroup;

impl IamOperation for CreateGroup {
    operation!(CreateGroup, CreateGroupRequest => CreateGroupResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let path = arn::path_of(request.path.as_ref());
        Ok(vec![About::arn(arn::arn(call.caller().account(), "group", &path, &request.group_name))])
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateGroupResponse>, IamError> {
        let mut writes = Writes::default();
        let group = Identity {
            id: arn::unique_id(call, Kind::Group.id_prefix())?,
            account: call.caller().account().to_owned(),
            name: request.group_name.clone(),
            path: arn::path_of(request.path.as_ref()),
            created: call.now(),
            boundary: None,
            tags: Vec::new(),
            inline: Vec::new(),
            attached: Vec::new(),
            detail: Detail::Group(0),
        };
        let group = change::create(call, &mut writes, group, None).await?;
        Ok(Outcome::with_writes(CreateGroupResponse { group: shapes::group(&group) }, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("groupName", Some(&request.group_name)), ("path", request.path.as_deref())])
    }

    fn answered(response: &CreateGroupResponse) -> Value {
        parameters(&[("groupId", Some(&response.group.group_id)), ("arn", Some(&response.group.arn))])
    }
}

pub(crate) struct GetGroup;

impl IamOperation for GetGroup {
    operation!(GetGroup, GetGroupRequest => GetGroupResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Group, &request.group_name).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetGroupResponse>, IamError> {
        let group = find::need(call, Kind::Group, &request.group_name).await?;
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page::rows::<Fence>(call, &page, |user| member_key(&group.id, user), |_| true).await?;
        let mut users = Vec::with_capacity(cut.items.len());
        for (id, _) in &cut.items {
            users.push(shapes::user(&*find::demand::<Identity>(call, &identity_key(id)).await?));
        }
        Ok(Outcome::read_only(GetGroupResponse {
            group: shapes::group(&group),
            users,
            is_truncated: cut.truncated(),
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("groupName", Some(&request.group_name)), ("marker", request.marker.as_deref())])
    }
}

pub(crate) struct ListGroups;

impl IamOperation for ListGroups {
    operation!(ListGroups, ListGroupsRequest => ListGroupsResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListGroupsResponse>, IamError> {
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let (found, marker) = listed(call, Kind::Group, &page, request.path_prefix.as_ref()).await?;
        let groups = found.iter().map(|group| shapes::group(group)).collect();
        Ok(Outcome::read_only(ListGroupsResponse { groups, is_truncated: Some(marker.is_some()), marker }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("pathPrefix", request.path_prefix.as_deref()), ("marker", request.marker.as_deref())])
    }
}

pub(crate) struct UpdateGroup;

impl IamOperation for UpdateGroup {
    operation!(UpdateGroup, UpdateGroupRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let mut about = find::about(call, Kind::Group, &request.group_name).await?;
        let old = find::identity(call, Kind::Group, &request.group_name).await?;
        let old_path = old.as_ref().map_or("/", |old| &old.path);
        let path = request.new_path.as_deref().unwrap_or(old_path);
        let name = request.new_group_name.as_ref().unwrap_or(&request.group_name);
        let new = arn::arn(call.caller().account(), "group", path, name);
        if about.iter().all(|about| about.arn != new) {
            let tags = old.map(|old| old.tags.clone()).unwrap_or_default();
            about.push(About { tags, ..About::arn(new).shown("group", name) });
        }
        Ok(about)
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let group = find::need(call, Kind::Group, &request.group_name).await?;
        let (path, name) = (request.new_path.as_ref(), request.new_group_name.as_ref());
        Ok(Outcome::with_writes((), change::rename(call, &group, path, name).await?))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("groupName", Some(&request.group_name)),
            ("newGroupName", request.new_group_name.as_deref()),
            ("newPath", request.new_path.as_deref()),
        ])
    }
}

pub(crate) struct DeleteGroup;

impl IamOperation for DeleteGroup {
    operation!(DeleteGroup, DeleteGroupRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Group, &request.group_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let group = find::need(call, Kind::Group, &request.group_name).await?;
        Ok(Outcome::with_writes((), change::delete(call, &group).await?))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("groupName", Some(&request.group_name))])
    }
}

/// What only users have.
pub(crate) fn user_detail(user: &mut Identity) -> Result<&mut UserDetail, Fault> {
    match &mut user.detail {
        Detail::User(detail) => Ok(detail),
        _ => Err(Fault::RecordMalformed(user.id.clone())),
    }
}

/// Puts a user into a group or takes it out; both are stored again, so that a deletion of either at the same time makes
/// one of the calls run again.
async fn set_member(call: &mut Call<'_>, group: &str, user: &str, member: bool) -> Result<Outcome<()>, IamError> {
    let mut group = Identity::clone(&*find::need(call, Kind::Group, group).await?);
    let mut user = Identity::clone(&*find::need(call, Kind::User, user).await?);
    let groups = &mut user_detail(&mut user)?.groups;
    if groups.contains(&group.id) == member {
        return if member {
            Ok(Outcome::read_only(()))
        } else {
            let text = format!("User {} is not in group {}.", user.name, group.name);
            Err(IamError::NoSuchEntity(text))
        };
    }
    if member && groups.len() >= GROUPS_MAX {
        return Err(IamError::quota("GroupsPerUser", GROUPS_MAX));
    }
    groups.retain(|id| *id != group.id);
    if member {
        groups.push(group.id.clone());
    }
    if let Detail::Group(members) = &mut group.detail {
        *members = if member { members.saturating_add(1) } else { members.saturating_sub(1) };
    }
    let mut writes = Writes::default();
    let row = member_key(&group.id, &user.id);
    call.row::<Fence>(&row).await?;
    if member {
        writes.put(call, row, Fence)?;
    } else {
        writes.delete(row);
    }
    change::save(call, &mut writes, group)?;
    change::save(call, &mut writes, user)?;
    Ok(Outcome::with_writes((), writes))
}

pub(crate) struct AddUserToGroup;

impl IamOperation for AddUserToGroup {
    operation!(AddUserToGroup, AddUserToGroupRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Group, &request.group_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        set_member(call, &request.group_name, &request.user_name, true).await
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("groupName", Some(&request.group_name)), ("userName", Some(&request.user_name))])
    }
}

pub(crate) struct RemoveUserFromGroup;

impl IamOperation for RemoveUserFromGroup {
    operation!(RemoveUserFromGroup, RemoveUserFromGroupRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Group, &request.group_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        set_member(call, &request.group_name, &request.user_name, false).await
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("groupName", Some(&request.group_name)), ("userName", Some(&request.user_name))])
    }
}

pub(crate) struct ListGroupsForUser;

impl IamOperation for ListGroupsForUser {
    operation!(ListGroupsForUser, ListGroupsForUserRequest => ListGroupsForUserResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::User, &request.user_name).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListGroupsForUserResponse>, IamError> {
        let mut user = Identity::clone(&*find::need(call, Kind::User, &request.user_name).await?);
        let mut groups = Vec::new();
        for id in &user_detail(&mut user)?.groups {
            groups.push(shapes::group(&*find::demand::<Identity>(call, &identity_key(id)).await?));
        }
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let cut = page.cut(groups, |group| arn::folded(&group.group_name));
        Ok(Outcome::read_only(ListGroupsForUserResponse {
            is_truncated: cut.truncated(),
            groups: cut.items,
            marker: cut.marker,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", Some(&request.user_name)), ("marker", request.marker.as_deref())])
    }
}
