//! Decisions in words: AWS's for the caller, ours for the audit record.

use std::fmt::Write as _;

use crate::decide::{Decision, Question, Reason, ResourcePolicy, Source, Sources, StatementReference};
use crate::document::Document;

/// How the request pointed at the resource, which decides what a refusal may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By id, ARN or alias, or the action has no resource.
    Named,
    /// By a ciphertext that it made; the ARN is then not the caller's to learn.
    Ciphertext,
}

const INVISIBLE: &str = "because the resource does not exist in this Region, no resource-based policies allow access, \
                         or a resource-based policy explicitly denies access";

/// What AWS says about a resource of another account that does not exist; the same as about one that is not shared.
#[must_use]
pub fn absent_resource_message(principal: &crate::Principal, action: &str, subject: Subject) -> String {
    let object = match subject {
        Subject::Named => "this resource",
        Subject::Ciphertext => "the resource associated with this ciphertext",
    };
    format!("User: {principal} is not authorized to perform: {action} on {object} {INVISIBLE}")
}

/// What AWS says about a refusal. Nothing about an allowed request is lost by asking: it reads as a refusal by the
/// resource policy.
pub(crate) fn denial(decision: &Decision, question: &Question<'_>, subject: Subject) -> String {
    let foreign = question.principal.account() != question.resource_account;
    let why = match decision.reason {
        Reason::NotCrossAccount => {
            return absent_resource_message(question.principal, question.action, subject);
        }
        Reason::NoAllow(Source::ResourcePolicy) | Reason::ExplicitDeny(Source::ResourcePolicy) if foreign => {
            return absent_resource_message(question.principal, question.action, subject);
        }
        Reason::ExplicitDeny(source) => {
            format!("with an explicit deny in {}", with_article(source))
        }
        Reason::NoAllow(source) => format!("because no {} allows the {} action", name(source), question.action),
        Reason::ResourcePolicyAllows | Reason::AccountDelegated | Reason::Grant(_) | Reason::IdentityAllows => {
            format!("because no {} allows the {} action", name(Source::ResourcePolicy), question.action)
        }
    };
    let object = match subject {
        Subject::Named => format!("resource: {}", question.resource_arn),
        Subject::Ciphertext => "the resource associated with this ciphertext".to_owned(),
    };
    format!("User: {} is not authorized to perform: {} on {object} {why}", question.principal, question.action)
}

const fn name(source: Source) -> &'static str {
    match source {
        Source::ResourcePolicy => "resource-based policy",
        Source::IdentityPolicy => "identity-based policy",
        Source::Boundary => "permissions boundary",
        Source::SessionPolicy => "session policy",
        Source::ServiceControlPolicy => "service control policy",
    }
}

const fn with_article(source: Source) -> &'static str {
    match source {
        Source::ResourcePolicy => "a resource-based policy",
        Source::IdentityPolicy => "an identity-based policy",
        Source::Boundary => "a permissions boundary",
        Source::SessionPolicy => "a session policy",
        Source::ServiceControlPolicy => "a service control policy",
    }
}

/// One line: the outcome, then the statements or the grant behind it.
pub(crate) fn explain(decision: &Decision, sources: &Sources<'_>) -> String {
    let mut line = decision.effect.to_string();
    match decision.reason {
        Reason::ResourcePolicyAllows | Reason::IdentityAllows | Reason::ExplicitDeny(_) => {}
        Reason::AccountDelegated => line.push_str(", left to the account"),
        Reason::NotCrossAccount => line.push_str(": the operation does not reach into another account"),
        Reason::NoAllow(source) => line.push_str(&format!(": no {source} allows")),
        Reason::Grant(index) => {
            let id = sources.grants.get(index).map_or("unknown", |grant| grant.id);
            line.push_str(&format!(": grant {id}"));
        }
    }
    if decision.reason == Reason::IdentityAllows && decision.statements().next().is_none() {
        line.push_str(": root user of the account");
    }
    for (index, statement) in decision.statements().enumerate() {
        line.push_str(if index == 0 { ": " } else { "; " });
        describe(&mut line, statement, sources);
    }
    line
}

fn describe(line: &mut String, place: StatementReference, sources: &Sources<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{}", place.source);
    if !matches!(place.source, Source::ResourcePolicy | Source::Boundary) {
        let _ = write!(line, " {}", place.policy.saturating_add(1));
    }
    let _ = write!(line, ", statement {}", place.statement.saturating_add(1));
    if let Some(sid) = document(place, sources).and_then(|document| document.sid(place.statement)) {
        let _ = write!(line, " {sid:?}");
    }
}

fn document<'a>(place: StatementReference, sources: &Sources<'a>) -> Option<&'a Document> {
    match place.source {
        Source::ResourcePolicy => match sources.resource_policy {
            ResourcePolicy::None => None,
            ResourcePolicy::MustAgree(document) => Some(document),
        },
        Source::IdentityPolicy => sources.identity_policies.get(place.policy).copied(),
        Source::Boundary => sources.boundary,
        Source::SessionPolicy => sources.session_policies?.get(place.policy).copied(),
        Source::ServiceControlPolicy => {
            sources.service_control_policies.iter().copied().flatten().nth(place.policy).copied()
        }
    }
}
