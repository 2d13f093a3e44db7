//! Every IAM operation of the interface.

use claviger_api::Refusal;
use claviger_api::iam::{Request, Response};
use claviger_engine::{Answer, CallMeta, Caller, Engine, Recorded};

use crate::Iam;
use crate::operation::{IamOperation, Run};
use crate::operations::{
    access_keys, account, attachments, boundaries, details, devices, groups, inline, leftovers, managed, providers,
    roles, simulation, tagging, users,
};

/// One line for each operation: where it is, and whether it answers with content or is merely done.
macro_rules! operations {
    ($($module:ident: [$($answers:ident),*] [$($done:ident),*];)*) => {
        /// The action of every operation.
        pub(crate) const ACTIONS: &[&str] = &[
            $($(<$module::$answers as IamOperation>::ACTION,)* $(<$module::$done as IamOperation>::ACTION,)*)*
        ];

        /// Runs an IAM operation.
        ///
        /// # Errors
        /// A [`Refusal`] when the call could not be recorded.
        pub async fn dispatch_iam(
            engine: &Engine,
            iam: &Iam,
            caller: &Caller,
            meta: &CallMeta,
            request: &Request,
        ) -> Result<Recorded<Answer<Response>>, Refusal> {
            match request {
                $($(Request::$answers(request) => {
                    let answer = engine.call::<Run<$module::$answers>>(iam, caller, meta, request).await?;
                    Ok(answer.map(|answer| answer.map(Response::$answers)))
                })*)*
                $($(Request::$done(request) => {
                    let answer = engine.call::<Run<$module::$done>>(iam, caller, meta, request).await?;
                    Ok(answer.map(|answer| answer.map(|()| Response::$done)))
                })*)*
            }
        }
    };
}

operations! {
    access_keys: [CreateAccessKey, ListAccessKeys, GetAccessKeyLastUsed] [UpdateAccessKey, DeleteAccessKey];
    account: [ListAccountAliases, GetAccountSummary, GetAccountPasswordPolicy]
        [CreateAccountAlias, DeleteAccountAlias];
    attachments: [ListAttachedUserPolicies, ListAttachedGroupPolicies, ListAttachedRolePolicies]
        [AttachUserPolicy, AttachGroupPolicy, AttachRolePolicy, DetachUserPolicy, DetachGroupPolicy, DetachRolePolicy];
    boundaries: []
        [PutUserPermissionsBoundary, DeleteUserPermissionsBoundary, PutRolePermissionsBoundary,
         DeleteRolePermissionsBoundary];
    details: [GetAccountAuthorizationDetails] [];
    devices: [CreateVirtualMFADevice, ListMFADevices, ListVirtualMFADevices, GetMFADevice]
        [EnableMFADevice, ResyncMFADevice, DeactivateMFADevice, DeleteVirtualMFADevice];
    groups: [CreateGroup, GetGroup, ListGroups, ListGroupsForUser]
        [UpdateGroup, DeleteGroup, AddUserToGroup, RemoveUserFromGroup];
    inline: [GetUserPolicy, GetGroupPolicy, GetRolePolicy, ListUserPolicies, ListGroupPolicies, ListRolePolicies]
        [PutUserPolicy, PutGroupPolicy, PutRolePolicy, DeleteUserPolicy, DeleteGroupPolicy, DeleteRolePolicy];
    leftovers:
        [ListSSHPublicKeys, ListSigningCertificates, ListServiceSpecificCredentials, GetLoginProfile,
         ListInstanceProfilesForRole]
        [DeleteLoginProfile];
    managed:
        [CreatePolicy, GetPolicy, ListPolicies, CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions,
         ListEntitiesForPolicy]
        [SetDefaultPolicyVersion, DeletePolicyVersion, DeletePolicy];
    providers: [CreateOpenIDConnectProvider, GetOpenIDConnectProvider, ListOpenIDConnectProviders]
        [UpdateOpenIDConnectProviderThumbprint, AddClientIDToOpenIDConnectProvider,
         RemoveClientIDFromOpenIDConnectProvider, DeleteOpenIDConnectProvider];
    roles: [CreateRole, GetRole, ListRoles, UpdateRole, UpdateRoleDescription] [UpdateAssumeRolePolicy, DeleteRole];
    simulation:
        [GetContextKeysForCustomPolicy, GetContextKeysForPrincipalPolicy, SimulateCustomPolicy, SimulatePrincipalPolicy]
        [];
    tagging:
        [ListUserTags, ListRoleTags, ListPolicyTags, ListOpenIDConnectProviderTags, ListMFADeviceTags]
        [TagUser, TagRole, TagPolicy, TagOpenIDConnectProvider, TagMFADevice, UntagUser, UntagRole, UntagPolicy,
         UntagOpenIDConnectProvider, UntagMFADevice];
    users: [CreateUser, GetUser, ListUsers] [UpdateUser, DeleteUser];
}
