//! Users.

use claviger_api::Timestamp;
use claviger_api::iam::{CreateUserResponse, GetUserResponse, ListUsersResponse, User};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};

use crate::arn::{self, Kind};
use crate::operation::{About, IamOperation, operation, parameters, with_boundary, with_tags};
use crate::page::{self, Page};
use crate::records::{Account, Detail, Identity, NameOf, UserDetail, account_key, identity_key, name_key};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, change, find, shapes};

pub(crate) struct CreateUser;

impl IamOperation for CreateUser {
    operation!(CreateUser, CreateUserRequest => CreateUserResponse, writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let path = arn::path_of(request.path.as_ref());
        Ok(vec![About::arn(arn::arn(call.caller().account(), "user", &path, &request.user_name))])
    }

    fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
        with_boundary(with_tags(facts, request.tags.as_ref()), request.permissions_boundary.as_ref())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<CreateUserResponse>, IamError> {
        let mut writes = Writes::default();
        let user = Identity {
            id: arn::unique_id(call, Kind::User.id_prefix())?,
            account: call.caller().account().to_owned(),
            name: request.user_name.clone(),
            path: arn::path_of(request.path.as_ref()),
            created: call.now(),
            boundary: None,
            tags: tags::fresh(request.tags.as_ref(), Keys::Folded)?,
            inline: Vec::new(),
            attached: Vec::new(),
            detail: Detail::User(UserDetail::default()),
        };
        let user = change::create(call, &mut writes, user, request.permissions_boundary.as_ref()).await?;
        let response = CreateUserResponse { user: Some(shapes::whole_user(call, &user).await?) };
        Ok(Outcome::with_writes(response, writes))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("userName", Some(&request.user_name)),
            ("path", request.path.as_deref()),
            ("permissionsBoundary", request.permissions_boundary.as_deref()),
        ])
    }

    fn answered(response: &CreateUserResponse) -> Value {
        parameters(&[
            ("userId", response.user.as_ref().map(|user| user.user_id.as_str())),
            ("arn", response.user.as_ref().map(|user| user.arn.as_str())),
        ])
    }
}

pub(crate) struct GetUser;

impl IamOperation for GetUser {
    operation!(GetUser, GetUserRequest => GetUserResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about_user(call, request.user_name.as_ref()).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<GetUserResponse>, IamError> {
        let user = match find::who(call, request.user_name.as_ref())? {
            Some(name) => {
                let found = find::need(call, Kind::User, &name).await?;
                shapes::whole_user(call, &found).await?
            }
            None => root(call).await?,
        };
        Ok(Outcome::read_only(GetUserResponse { user }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", request.user_name.as_deref())])
    }
}

/// An account's root as GetUser shows it: without a name.
async fn root(call: &mut Call<'_>) -> Result<User, IamError> {
    let account = call.caller().principal().account();
    let known = call.row::<Account>(&account_key(account.as_str())).await?;
    Ok(User {
        user_id: account.as_str().to_owned(),
        arn: account.root_arn(),
        // A server that takes any credentials has accounts that nobody made.
        create_date: known.map_or(Timestamp::from_millis(0), |row| row.record.created),
        ..User::default()
    })
}

pub(crate) struct ListUsers;

impl IamOperation for ListUsers {
    operation!(ListUsers, ListUsersRequest => ListUsersResponse, reads);

    async fn about(call: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        let shown = arn::arn(call.caller().account(), "user", "/", "");
        Ok(About::everything().into_iter().map(|about| About { shown: Some(shown.clone()), ..about }).collect())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListUsersResponse>, IamError> {
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let (found, marker) = listed(call, Kind::User, &page, request.path_prefix.as_ref()).await?;
        let users = found.iter().map(|user| shapes::user(user)).collect();
        Ok(Outcome::read_only(ListUsersResponse { users, is_truncated: Some(marker.is_some()), marker }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("pathPrefix", request.path_prefix.as_deref()), ("marker", request.marker.as_deref())])
    }
}

type Listed = (Vec<std::sync::Arc<Identity>>, Option<String>);

/// A page of the account's users, groups or roles below a path.
pub(crate) async fn listed(
    call: &mut Call<'_>,
    kind: Kind,
    page: &Page,
    path_prefix: Option<&String>,
) -> Result<Listed, IamError> {
    let account = call.caller().account().to_owned();
    let key = |name: &str| name_key(&account, kind.word(), name);
    let cut = page::rows::<NameOf>(call, page, key, |named| shapes::below(&named.path, path_prefix)).await?;
    let mut found = Vec::with_capacity(cut.items.len());
    for (_, named) in &cut.items {
        found.push(find::demand::<Identity>(call, &identity_key(&named.id)).await?);
    }
    Ok((found, cut.marker))
}

pub(crate) struct UpdateUser;

impl IamOperation for UpdateUser {
    operation!(UpdateUser, UpdateUserRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        let mut about = find::about(call, Kind::User, &request.user_name).await?;
        let old = find::identity(call, Kind::User, &request.user_name).await?;
        let old_path = old.as_ref().map_or("/", |old| &old.path);
        let path = request.new_path.as_deref().unwrap_or(old_path);
        let name = request.new_user_name.as_ref().unwrap_or(&request.user_name);
        let new = arn::arn(call.caller().account(), "user", path, name);
        if about.iter().all(|about| about.arn != new) {
            let tags = old.map(|old| old.tags.clone()).unwrap_or_default();
            about.push(About { tags, ..About::arn(new).shown("user", name) });
        }
        Ok(about)
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let user = find::need(call, Kind::User, &request.user_name).await?;
        let (path, name) = (request.new_path.as_ref(), request.new_user_name.as_ref());
        Ok(Outcome::with_writes((), change::rename(call, &user, path, name).await?))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[
            ("userName", Some(&request.user_name)),
            ("newUserName", request.new_user_name.as_deref()),
            ("newPath", request.new_path.as_deref()),
        ])
    }
}

pub(crate) struct DeleteUser;

impl IamOperation for DeleteUser {
    operation!(DeleteUser, DeleteUserRequest => (), writes);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::User, &request.user_name).await
    }

    async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
        let user = find::need(call, Kind::User, &request.user_name).await?;
        Ok(Outcome::with_writes((), change::delete(call, &user).await?))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("userName", Some(&request.user_name))])
    }
}
