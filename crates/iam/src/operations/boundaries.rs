//! Permissions boundaries of users and roles.

use claviger_engine::{Call, Facts, Outcome, Value, Writes};

use crate::arn::Kind;
use crate::change::{self, Use, note_use};
use crate::operation::{About, IamOperation, operation, parameters, with_boundary};
use crate::records::{Identity, Policy, policy_key};
use crate::{Iam, IamError, find};

/// Sets the boundary to a managed policy, or takes it away.
async fn set(call: &mut Call<'_>, kind: Kind, name: &str, arn: Option<&str>) -> Result<Outcome<()>, IamError> {
    let mut identity = Identity::clone(&*find::need(call, kind, name).await?);
    let new = match arn {
        None => None,
        Some(arn) => Some(find::boundary(call, arn).await?),
    };
    let old = match &identity.boundary {
        None => None,
        Some(id) => Some(find::demand::<Policy>(call, &policy_key(id)).await?),
    };
    if old.as_ref().map(|old| &old.id) == new.as_ref().map(|new| &new.id) {
        if new.is_none() {
            let text = format!("{} {name} does not have a permissions boundary.", kind.title());
            return Err(IamError::NoSuchEntity(text));
        }
        return Ok(Outcome::read_only(()));
    }
    let mut writes = Writes::default();
    identity.boundary = new.as_ref().map(|new| new.id.clone());
    for (policy, begins) in [(old, false), (new, true)] {
        if let Some(policy) = policy {
            let mut policy = Policy::clone(&policy);
            note_use(call, &mut writes, &mut policy, (Use::Boundary, kind, &identity.id), begins).await?;
            change::save_policy(call, &mut writes, policy)?;
        }
    }
    change::save(call, &mut writes, identity)?;
    Ok(Outcome::with_writes((), writes))
}

/// The two operations of one kind: put and delete.
macro_rules! boundaries {
    ($kind:ident, $name:ident, $parameter:literal, $put:ident $put_request:ident,
     $delete:ident $delete_request:ident) => {
        pub(crate) struct $put;

        impl IamOperation for $put {
            operation!($put, $put_request => (), writes);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about(call, Kind::$kind, &request.$name).await
            }

            fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
                with_boundary(facts, Some(&request.permissions_boundary))
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                set(call, Kind::$kind, &request.$name, Some(&request.permissions_boundary)).await
            }

            fn shown(request: &Self::Request) -> Value {
                let boundary = ("permissionsBoundary", Some(request.permissions_boundary.as_str()));
                parameters(&[($parameter, Some(&request.$name)), boundary])
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
                set(call, Kind::$kind, &request.$name, None).await
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name))])
            }
        }
    };
}

boundaries!(User, user_name, "userName",
    PutUserPermissionsBoundary PutUserPermissionsBoundaryRequest,
    DeleteUserPermissionsBoundary DeleteUserPermissionsBoundaryRequest);
boundaries!(Role, role_name, "roleName",
    PutRolePermissionsBoundary PutRolePermissionsBoundaryRequest,
    DeleteRolePermissionsBoundary DeleteRolePermissionsBoundaryRequest);
