//! What authorization asks about identities: the caller's own policies, and whether a principal that a policy names is
//! there.

use std::sync::Arc;

use claviger_api::sts::PolicyDescriptorType;
use claviger_engine::{Call, CallerPolicies, CommandError, Fault, PrincipalTraits, Session, Standing};
use claviger_policy::{AccountId, Document, Principal, PrincipalKind, PrincipalName, UniqueId};

use crate::Iam;
use crate::arn::{self, Kind};
use crate::documents;
use crate::explain::refused;
use crate::find;
use crate::identity::{PoliciesOf, PolicyOf, policies_of_id};
use crate::records::Identity;
use crate::sts::{credential, issue};

/// A user as the caller of a request, and what conditions may ask about it.
pub(crate) fn user(account: AccountId, user: &Identity) -> (Principal, PrincipalTraits) {
    let principal = bound(Principal::user(account, &user.path, &user.name), &user.id);
    let traits =
        PrincipalTraits { unique_id: Some(user.id.clone()), tags: user.tags.clone(), ..PrincipalTraits::default() };
    (principal, traits)
}

/// The same principal with the unique id of its record. An id that cannot be one is left out: whoever has none is not
/// meant by any name that was bound to one.
pub(crate) fn bound(principal: Principal, id: &str) -> Principal {
    match UniqueId::parse(id) {
        Some(id) => principal.with_unique_id(id),
        None => principal,
    }
}

/// The policies on the caller's side. An account's root has no more than service control policies. Whoever has no record
/// (any more) has no policies, so it is allowed nothing that needs one.
pub(crate) async fn policies(iam: &Iam, call: &mut Call<'_>) -> Result<CallerPolicies, Fault> {
    let service_control = iam.uncontrolled.levels(call).await?;
    if call.caller().principal().kind() == PrincipalKind::Root {
        return Ok(CallerPolicies { service_control, ..CallerPolicies::default() });
    }
    let session = call.caller().traits().session.as_ref().and_then(|session| session.policies.clone());
    let found = match call.caller().principal().unique_id().map(|id| id.as_str().to_owned()) {
        None => None,
        Some(id) => {
            let before = call.reads();
            let found = policies_of_id(call, &id).await?;
            // A user in many groups has more policies than a commit has room for preconditions. A change of them that is
            // acknowledged before the call begins is seen in any case.
            call.forget_reads_since(before);
            found
        }
    };
    let principal = call.caller().principal();
    let (identity, boundary) = match found {
        Some(PoliciesOf { policies, boundary, .. }) => (policies.into_iter().map(document).collect(), boundary),
        // Behind the session stands a root user, who needs no policy; the session's own is the limit.
        None if principal.parent_arn() == Some(principal.account().root_arn().as_str()) => (of_root()?, None),
        None => (Vec::new(), None),
    };
    Ok(CallerPolicies { identity, boundary: boundary.map(document), session, service_control })
}

/// A policy that allows everything.
const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// What the root user of an account may do, as a policy.
fn of_root() -> Result<Vec<Arc<Document>>, Fault> {
    let document = documents::compile(EVERYTHING).map_err(|_| Fault::RecordMalformed(EVERYTHING.to_owned()))?;
    Ok(vec![Arc::new(document)])
}

fn document(policy: PolicyOf) -> Arc<Document> {
    policy.document
}

/// What a session that nobody has would carry.
#[derive(Clone, Debug, Default)]
pub struct SupposedSession {
    /// A session policy as text.
    pub policy: Option<String>,
    /// The ARNs of managed session policies of the caller's account.
    pub policy_arns: Vec<String>,
    /// For a federated session: the user, or the account's root, who would ask for it.
    pub made_by: Option<String>,
}

impl SupposedSession {
    /// Checked and compiled, as for the credentials of a session.
    async fn policies(
        &self,
        call: &mut Call<'_>,
        account: AccountId,
    ) -> Result<Option<Vec<Arc<Document>>>, CommandError> {
        let arn = |arn: &String| PolicyDescriptorType { arn: Some(arn.clone()) };
        let arns: Vec<_> = self.policy_arns.iter().map(arn).collect();
        let passed = issue::passed(call, account, self.policy.as_ref(), Some(&arns)).await.map_err(refused)?;
        Ok(credential::policies(call, passed.policy.as_deref(), &passed.policies).await?)
    }

    const fn is_plain(&self) -> bool {
        self.policy.is_none() && self.policy_arns.is_empty()
    }
}

/// The same as [`supposed`] for a session that carries something: of a role, or a federated one.
///
/// # Errors
/// A refusal when the session could not be made so, and a store [`Fault`].
pub async fn supposed_session(
    call: &mut Call<'_>,
    text: &str,
    carried: &SupposedSession,
) -> Result<Option<(Principal, PrincipalTraits)>, CommandError> {
    let refused = |text: &str| Err(CommandError::refused("NoSuchSession", text));
    let found = match PrincipalName::parse(text) {
        Some(PrincipalName::FederatedUser(account, _)) => {
            let Some(made_by) = &carried.made_by else {
                return refused("who asked for a federated session does not stand in its ARN: say it with --made-by");
            };
            federated(call, account, text, made_by).await?
        }
        _ if carried.made_by.is_some() => return refused("only a federated session is made by a user"),
        _ => supposed(call, text).await?,
    };
    let Some((principal, mut traits)) = found else { return Ok(None) };
    if !carried.is_plain() {
        if matches!(principal.kind(), PrincipalKind::User | PrincipalKind::Root) {
            return refused(
                "the sessions of users and roots have no session policy: name a role or a federated session",
            );
        }
        let policies = carried.policies(call, principal.account()).await?;
        if let Some(session) = &mut traits.session {
            session.policies = policies;
        }
    }
    Ok(Some((principal, traits)))
}

/// A federated session that was made this moment, without policies or tags of its own.
async fn federated(
    call: &mut Call<'_>,
    account: AccountId,
    text: &str,
    made_by: &str,
) -> Result<Option<(Principal, PrincipalTraits)>, CommandError> {
    let name = text.rsplit('/').next().unwrap_or_default();
    let session = Some(Session::issued_at(call.wall()));
    let Some((maker, traits)) = supposed(call, made_by).await? else { return Ok(None) };
    if maker.account() != account || !matches!(maker.kind(), PrincipalKind::User | PrincipalKind::Root) {
        return Ok(None);
    }
    let principal = Principal::federated_user(account, maker.arn(), name);
    let principal = match maker.unique_id() {
        Some(id) => principal.with_unique_id(id.clone()),
        None => principal,
    };
    Ok(Some((principal, PrincipalTraits { unique_id: Some(format!("{account}:{name}")), session, ..traits })))
}

/// The policies on the side of the call's caller, as for a request of its own.
///
/// # Errors
/// A store [`Fault`].
pub async fn policies_for(iam: &Iam, call: &mut Call<'_>) -> Result<CallerPolicies, Fault> {
    policies(iam, call).await
}

/// Whoever has this ARN, as if they called. A role stands for a session of it that was made this moment, without a policy
/// or tags of its own. None for whoever is not there, and for sessions that no record speaks of.
///
/// # Errors
/// A store [`Fault`].
pub(crate) async fn supposed(call: &mut Call<'_>, text: &str) -> Result<Option<(Principal, PrincipalTraits)>, Fault> {
    let Some(name) = PrincipalName::parse(text) else { return Ok(None) };
    let (account, entity) = match &name {
        PrincipalName::Account(account) if call.account_exists(account.as_str()) => {
            return Ok(Some((Principal::root(*account), PrincipalTraits::default())));
        }
        PrincipalName::User(account, text) => (account, arn::split(text, account.as_str(), "user")),
        PrincipalName::Role(account, text) => (account, arn::split(text, account.as_str(), "role")),
        PrincipalName::RoleSession(account, text) => (account, arn::session_role(text)),
        _ => return Ok(None),
    };
    let Some((before, entity)) = entity else { return Ok(None) };
    if let PrincipalName::User(..) = name {
        let found = find::identity_in(call, account.as_str(), Kind::User, entity).await?;
        return Ok(found.filter(|found| found.path == before).map(|found| user(*account, &found)));
    }
    let is_session = matches!(name, PrincipalName::RoleSession(..));
    let session = if is_session { before } else { "session" };
    let found = find::identity_in(call, account.as_str(), Kind::Role, entity).await?;
    Ok(found.filter(|found| is_session || found.path == before).map(|role| {
        let principal = bound(Principal::role_session(*account, &role.path, &role.name, session), &role.id);
        let traits = PrincipalTraits {
            unique_id: Some(format!("{}:{session}", role.id)),
            tags: role.tags.clone(),
            session: Some(Session::issued_at(call.wall())),
            ..PrincipalTraits::default()
        };
        (principal, traits)
    }))
}

/// Whether there is such a principal now. What is read for it is no precondition of what the caller writes: a policy is
/// bound to the unique id that is found here, so a namesake that comes in between is another one.
pub(crate) async fn standing(call: &mut Call<'_>, name: &PrincipalName) -> Result<Standing, Fault> {
    let known = |known: bool| if known { Standing::Known(None) } else { Standing::Unknown };
    let (account, kind, entity) = match name {
        PrincipalName::Everyone | PrincipalName::Service(_) => return Ok(known(true)),
        PrincipalName::Account(account)
        | PrincipalName::FederatedUser(account, _)
        | PrincipalName::Federated(account, _) => return Ok(known(call.account_exists(account.as_str()))),
        PrincipalName::User(account, text) => (account, Kind::User, arn::split(text, account.as_str(), "user")),
        PrincipalName::Role(account, text) => (account, Kind::Role, arn::split(text, account.as_str(), "role")),
        PrincipalName::RoleSession(account, text) => (account, Kind::Role, arn::session_role(text)),
    };
    let Some((path, entity)) = entity else { return Ok(Standing::Unknown) };
    let before = call.reads();
    let found = find::identity_in(call, account.as_str(), kind, entity).await;
    call.forget_reads_since(before);
    // The ARN of a session does not have the path of its role.
    let same = |found: &Arc<Identity>| matches!(name, PrincipalName::RoleSession(..)) || found.path == path;
    let id = found?.filter(same).and_then(|found| UniqueId::parse(&found.id));
    Ok(id.map_or(Standing::Unknown, |id| Standing::Known(Some(id))))
}
