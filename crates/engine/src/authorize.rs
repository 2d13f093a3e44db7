//! Whether a caller may: what is gathered for one decision of `policy`.

use std::sync::Arc;

use claviger_policy::{Context, Decision, Document, GrantReference, PrincipalName, Sources, Subject, UniqueId};

use crate::call::Call;
use crate::conditions::{Conditions, Facts};
use crate::operation::{Named, Question};

/// The policies of the caller's own side, compiled; an identity service gives them.
#[derive(Clone, Default)]
pub struct CallerPolicies {
    /// Those of the user and its groups, or of the role.
    pub identity: Vec<Arc<Document>>,
    /// The permissions boundary of the user or role.
    pub boundary: Option<Arc<Document>>,
    /// Those passed when the session was made; `None` when none were.
    pub session: Option<Vec<Arc<Document>>>,
    /// Service control policies, one list a level; every level must allow.
    pub service_control: Vec<Vec<Arc<Document>>>,
}

/// A grant whose constraints the request meets.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// Whom it was given to.
    pub grantee: PrincipalName,
    /// The unique id of the user or role that it was given to, when that has one.
    pub bound_to: Option<UniqueId>,
    /// What it allows, as IAM actions.
    pub actions: Vec<&'static str>,
}

/// One decision, or the sentence that refuses.
pub(crate) struct Answered {
    pub(crate) decision: Decision,
    pub(crate) refusal: Option<String>,
    /// The id of the grant that allowed it.
    pub(crate) grant: Option<String>,
}

/// Answers the question from policies and, when these do not allow, from these grants.
pub(crate) fn decide(
    call: &Call<'_>,
    question: &Question,
    policies: &CallerPolicies,
    grants: &[Grant],
    facts: &dyn Fn() -> Facts,
) -> Answered {
    let context = Conditions::new(call, &question.resource, question.resource_account, facts);
    with_sources(call, question, policies, grants, &context, |asked, sources| {
        let decision = claviger_policy::decide(asked, sources);
        let refusal = (!decision.is_allowed()).then(|| match &question.named {
            Named::ByArn => decision.denial_message(asked, Subject::Named),
            Named::ByCiphertext => decision.denial_message(asked, Subject::Ciphertext),
            Named::Role => decision.denial_message(asked, Subject::Role),
            Named::As(name) => decision.denial_message_about(asked, Some(name)),
        });
        let grant = match decision.reason {
            claviger_policy::Reason::Grant(index) => sources.grants.get(index).map(|grant| grant.id.to_owned()),
            _ => None,
        };
        Answered { decision, refusal, grant }
    })
}

/// Puts the question as `policy` takes it.
pub(crate) fn with_sources<T>(
    call: &Call<'_>,
    question: &Question,
    policies: &CallerPolicies,
    grants: &[Grant],
    context: &dyn Context,
    answer: impl FnOnce(&claviger_policy::Question<'_>, &Sources<'_>) -> T,
) -> T {
    let asked = claviger_policy::Question {
        principal: call.caller().principal(),
        action: question.action,
        resource_arn: &question.resource,
        resource_account: question.resource_account,
        cross_account_capable: question.cross_account,
        context,
    };
    let identity: Vec<&Document> = policies.identity.iter().map(AsRef::as_ref).collect();
    let session: Option<Vec<&Document>> =
        policies.session.as_ref().map(|list| list.iter().map(AsRef::as_ref).collect());
    let levels: Vec<Vec<&Document>> =
        policies.service_control.iter().map(|level| level.iter().map(AsRef::as_ref).collect()).collect();
    let levels: Vec<&[&Document]> = levels.iter().map(Vec::as_slice).collect();
    let grants: Vec<GrantReference<'_>> = grants
        .iter()
        .map(|grant| GrantReference {
            id: &grant.id,
            grantee: &grant.grantee,
            bound_to: grant.bound_to.as_ref(),
            actions: &grant.actions,
        })
        .collect();
    let sources = Sources {
        resource_policy: question.resource_policy.of_policy(),
        identity_policies: &identity,
        boundary: policies.boundary.as_deref(),
        session_policies: session.as_deref(),
        service_control_policies: &levels,
        grants: &grants,
    };
    answer(&asked, &sources)
}

/// Whether a grant could turn the refusal: a deny stands against every grant.
pub(crate) const fn is_open_to_grants(decision: &Decision) -> bool {
    matches!(decision.reason, claviger_policy::Reason::NoAllow(_))
}
