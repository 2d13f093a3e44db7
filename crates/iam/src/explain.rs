//! What would be asked of authorization for a request of IAM or STS that nobody makes: `claviger explain`.

use claviger_engine::{ApiError as _, Call, CommandError, Facts, Named, Question, ResourceRule};
use claviger_policy::{AccountId, PrincipalKind};

use crate::arn::{self, Kind};
use crate::dispatch;
use crate::operation::{About, owner};
use crate::sts::session_token::demand_long_term;
use crate::sts::{AskedRole, demand_all_of_sts, demand_iam};
use crate::{IamError, find};

/// Actions of STS on a role, whose trust policy must agree.
const ON_ROLES: [&str; 3] = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"];
/// Actions of STS on something else, by the policies of the caller alone.
const OF_STS: [&str; 4] =
    ["sts:DecodeAuthorizationMessage", "sts:GetAccessKeyInfo", "sts:GetFederationToken", "sts:TagSession"];
/// Operations that no policy governs.
const UNGOVERNED: [&str; 2] = ["sts:GetCallerIdentity", "sts:GetSessionToken"];
/// Actions whose conditions may ask for the permissions boundary that the entity has.
const WITH_BOUNDARY: [&str; 10] = [
    "iam:AttachRolePolicy",
    "iam:AttachUserPolicy",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DeleteRolePolicy",
    "iam:DeleteUserPermissionsBoundary",
    "iam:DeleteUserPolicy",
    "iam:DetachRolePolicy",
    "iam:DetachUserPolicy",
    "iam:PutRolePolicy",
    "iam:PutUserPolicy",
];

/// Everything about a request but who makes it.
pub struct SupposedRequest {
    /// The question.
    pub question: Question,
    /// What conditions may ask about the thing that the request is about.
    pub facts: Facts,
    /// Why the request is refused whatever the policies say.
    pub refused: Option<String>,
    /// What else there is to say, line by line.
    pub notes: Vec<String>,
}

/// What authorization would be asked if the call's caller made this request. `resource` is the ARN that the request is
/// about, none for `*`. Of the request itself nothing is known.
///
/// # Errors
/// A refusal for an action that is none, and for operations that no policy governs.
pub async fn supposed_request(
    call: &mut Call<'_>,
    action: &str,
    resource: Option<&str>,
) -> Result<SupposedRequest, CommandError> {
    if UNGOVERNED.contains(&action) {
        let text = format!("no policy governs {action}: whoever proves who they are may");
        return Err(CommandError::refused("Ungoverned", text));
    }
    let is_role = |resource: &&str| resource.starts_with("arn:aws:iam::") && resource.contains(":role/");
    let on_role = ON_ROLES.into_iter().find(|known| *known == action);
    if let (Some(action), Some(role)) = (on_role, resource.filter(is_role)) {
        return assuming(call, action, role).await;
    }
    if let Some(action) = OF_STS.into_iter().find(|known| *known == action) {
        let refused = match action {
            "sts:GetFederationToken" => demand_long_term(call.caller(), "GetFederationToken").err(),
            _ => demand_all_of_sts(call.caller()).err(),
        };
        let mut asked = plain(call, action, About::arn(resource.unwrap_or("*").to_owned()));
        asked.refused = refused.map(told);
        return Ok(asked);
    }
    if on_role.is_some() {
        return Err(CommandError::refused("RoleNeeded", format!("{action} needs the ARN of a role")));
    }
    let known = dispatch::ACTIONS.iter().find(|known| **known == action);
    let action = *known.ok_or_else(|| {
        CommandError::refused("UnknownAction", format!("{action} is no action of IAM or STS that is built"))
    })?;
    let about = about(call, resource.unwrap_or("*")).await.map_err(refused)?;
    let boundary = about.boundary.clone().filter(|_| WITH_BOUNDARY.contains(&action));
    let mut asked = plain(call, action, about);
    asked.facts = asked.facts.with_some("iam:PermissionsBoundary", boundary);
    asked.refused = demand_iam(call.caller()).err().map(told);
    if resource.is_none() {
        asked.notes.push("without --resource the question is about *: say what the request is about by its ARN".into());
    }
    Ok(asked)
}

/// A question that the policies of the caller alone answer.
fn plain(call: &Call<'_>, action: &'static str, about: About) -> SupposedRequest {
    let own = call.caller().principal().account();
    let facts = about.facts();
    let question = Question {
        action,
        resource_account: owner(&about.arn).unwrap_or(own),
        resource: about.arn,
        resource_policy: ResourceRule::NoPolicy,
        cross_account: false,
        named: Named::ByArn,
    };
    SupposedRequest { question, facts, refused: None, notes: Vec::new() }
}

/// A role that the caller would take on.
async fn assuming(call: &mut Call<'_>, action: &'static str, role: &str) -> Result<SupposedRequest, CommandError> {
    let asked = AskedRole::find(call, role).await.map_err(refused)?;
    let federated = call.caller().principal().kind() == PrincipalKind::FederatedUser;
    let mut notes = Vec::new();
    if asked.role.is_none() {
        notes.push(format!("there is no role {role}; whoever asks for it is told what a role that refuses tells"));
    }
    if action == "sts:AssumeRole" {
        notes
            .push("with session tags sts:TagSession is asked too, with a source identity sts:SetSourceIdentity".into());
    }
    Ok(SupposedRequest {
        question: asked.question(action),
        facts: asked.facts(),
        refused: federated.then(|| "a federated session may take on no role".to_owned()),
        notes,
    })
}

/// What an ARN names, with its tags and boundary where it is there.
async fn about(call: &mut Call<'_>, resource: &str) -> Result<About, IamError> {
    if let Some(account) = owner(resource).as_ref().map(AccountId::as_str) {
        for kind in [Kind::User, Kind::Group, Kind::Role] {
            let Some((_, name)) = arn::split(resource, account, kind.word()) else { continue };
            let found = find::identity_in(call, account, kind, name).await?;
            let Some(found) = found.filter(|found| found.arn() == resource) else { break };
            let boundary = find::boundary_of(call, &found).await?;
            return Ok(About { tags: found.tags.clone(), boundary, ..About::arn(resource.to_owned()) });
        }
        let word = resource.splitn(6, ':').nth(5).and_then(|rest| rest.split('/').next());
        let found = match word {
            Some("policy") => find::about_policy(call, resource).await?,
            Some("oidc-provider") => find::about_provider(call, resource).await?,
            Some("mfa") => find::about_device(call, resource).await?,
            _ => Vec::new(),
        };
        if let Some(found) = found.into_iter().next() {
            return Ok(found);
        }
    }
    Ok(About::arn(resource.to_owned()))
}

fn told(error: IamError) -> String {
    let told = error.service_error();
    format!("{} ({})", told.message.unwrap_or_default(), told.code)
}

pub(crate) fn refused(error: IamError) -> CommandError {
    match error.fault().cloned() {
        Some(fault) => fault.into(),
        None => {
            let told = error.service_error();
            CommandError::refused(told.code, told.message.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::{iam, sts};

    use super::*;

    #[test]
    fn every_operation_of_the_interface_can_be_explained() {
        for operation in iam::Operation::ALL {
            let action = format!("iam:{}", operation.name());
            assert!(dispatch::ACTIONS.contains(&action.as_str()), "{action}");
        }
        for operation in sts::Operation::ALL {
            let action = format!("sts:{}", operation.name());
            let known = [&ON_ROLES[..], &OF_STS[..], &UNGOVERNED[..]].concat();
            // Nobody signs it: there is no caller to ask about.
            let signed = operation.name() != "AssumeRoleWithWebIdentity";
            assert_eq!(known.contains(&action.as_str()), signed, "{action}");
        }
        assert!(WITH_BOUNDARY.iter().all(|action| dispatch::ACTIONS.contains(action)));
    }
}
