//! What users and roles never have here, but clients ask for before they delete them: certificates, passwords, keys
//! for other services, instance profiles. There is none, and that is what they are told.

use claviger_api::iam::{
    GetLoginProfileResponse, ListInstanceProfilesForRoleResponse, ListSSHPublicKeysResponse,
    ListServiceSpecificCredentialsResponse, ListSigningCertificatesResponse,
};
use claviger_engine::{Call, Outcome, Value};

use crate::arn::Kind;
use crate::operation::{About, IamOperation, operation, parameters};
use crate::{Iam, IamError, find};

/// The user that a request is about must exist, if it names one.
async fn demand_user(call: &mut Call<'_>, user_name: Option<&String>) -> Result<Option<String>, IamError> {
    let who = find::who(call, user_name)?;
    if let Some(name) = &who {
        find::need(call, Kind::User, name).await?;
    }
    Ok(who)
}

/// An operation that lists what a user has none of.
macro_rules! empty_list_of_user {
    ($name:ident $request:ident $response:ident { $($field:ident: $value:expr),* }) => {
        pub(crate) struct $name;

        impl IamOperation for $name {
            operation!($name, $request => $response, reads);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about_user(call, request.user_name.as_ref()).await
            }

            async fn perform(
                _: &Iam,
                call: &mut Call<'_>,
                request: &Self::Request,
            ) -> Result<Outcome<$response>, IamError> {
                demand_user(call, request.user_name.as_ref()).await?;
                Ok(Outcome::read_only($response { is_truncated: Some(false), marker: None, $($field: $value),* }))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[("userName", request.user_name.as_deref())])
            }
        }
    };
}

empty_list_of_user!(ListSSHPublicKeys ListSSHPublicKeysRequest ListSSHPublicKeysResponse {
    ssh_public_keys: Some(Vec::new())
});
empty_list_of_user!(ListSigningCertificates ListSigningCertificatesRequest ListSigningCertificatesResponse {
    certificates: Vec::new()
});
empty_list_of_user!(
    ListServiceSpecificCredentials ListServiceSpecificCredentialsRequest ListServiceSpecificCredentialsResponse {
        service_specific_credentials: Some(Vec::new())
    }
);

/// An operation on a user's password, which does not exist.
macro_rules! no_login_profile {
    ($name:ident $request:ident $response:ty, $kind:ident) => {
        pub(crate) struct $name;

        impl IamOperation for $name {
            operation!($name, $request => $response, $kind);

            async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                find::about_user(call, request.user_name.as_ref()).await
            }

            async fn perform(
                _: &Iam,
                call: &mut Call<'_>,
                request: &Self::Request,
            ) -> Result<Outcome<$response>, IamError> {
                let who = demand_user(call, request.user_name.as_ref()).await?;
                let name = who.unwrap_or_else(|| "root".to_owned());
                Err(IamError::NoSuchEntity(format!("Login Profile for User {name} cannot be found.")))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[("userName", request.user_name.as_deref())])
            }
        }
    };
}

no_login_profile!(GetLoginProfile GetLoginProfileRequest GetLoginProfileResponse, reads);
no_login_profile!(DeleteLoginProfile DeleteLoginProfileRequest (), writes);

pub(crate) struct ListInstanceProfilesForRole;

impl IamOperation for ListInstanceProfilesForRole {
    operation!(ListInstanceProfilesForRole,
        ListInstanceProfilesForRoleRequest => ListInstanceProfilesForRoleResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        find::about(call, Kind::Role, &request.role_name).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Outcome<ListInstanceProfilesForRoleResponse>, IamError> {
        find::need(call, Kind::Role, &request.role_name).await?;
        Ok(Outcome::read_only(ListInstanceProfilesForRoleResponse {
            instance_profiles: Vec::new(),
            is_truncated: Some(false),
            marker: None,
        }))
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("roleName", Some(&request.role_name))])
    }
}
