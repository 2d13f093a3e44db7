//! Decisions in words: AWS's for the caller, ours for the audit record.

use std::fmt::Write;

use crate::decide::{Decision, Question, Reason, Source, Sources, StatementReference};
use crate::document::Document;

/// How the request pointed at the resource, which decides what a refusal may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By id, ARN or alias, or the action has no resource.
    Named,
    /// By a ciphertext that it made; the ARN is then not the caller's to learn.
    Ciphertext,
    /// A role that is to be taken: whether it exists, trusts the caller or wants a policy all reads alike.
    Role,
}

const INVISIBLE: &str = "because the resource does not exist in this Region, no resource-based policies allow access, \
                         or a resource-based policy explicitly denies access";

/// What AWS says about a resource of another account that does not exist; the same as about one that is not shared.
#[must_use]
pub fn absent_resource_message(principal: &crate::Principal, action: &str, subject: Subject) -> String {
    let object = match subject {
        Subject::Named | Subject::Role => "this resource",
        Subject::Ciphertext => "the resource associated with this ciphertext",
    };
    format!("User: {principal} is not authorized to perform: {action} on {object} {INVISIBLE}")
}

/// What AWS says about a refusal.
pub(crate) fn denial(decision: &Decision, question: &Question<'_>, subject: Subject) -> String {
    let foreign = question.principal.account() != question.resource_account;
    let invisible = match decision.reason {
        Reason::NotCrossAccount => true,
        Reason::NoAllow(Source::ResourcePolicy) | Reason::ExplicitDeny(Source::ResourcePolicy) => foreign,
        _ => false,
    };
    match subject {
        Subject::Role => role_denial(decision, question),
        Subject::Named | Subject::Ciphertext if invisible => {
            absent_resource_message(question.principal, question.action, subject)
        }
        Subject::Named => denial_about(decision, question, Some(question.resource_arn)),
        Subject::Ciphertext => {
            sentence(question, " on the resource associated with this ciphertext", &why(decision, question))
        }
    }
}

/// The same about a resource that goes by this name, or by none.
pub(crate) fn denial_about(decision: &Decision, question: &Question<'_>, resource: Option<&str>) -> String {
    let object = resource.map(|resource| format!(" on resource: {resource}")).unwrap_or_default();
    sentence(question, &object, &why(decision, question))
}

/// About a role AWS gives no reason. The bearer of a token has no name.
fn role_denial(decision: &Decision, question: &Question<'_>) -> String {
    if decision.reason == Reason::RootAssumesNoRole {
        return "Roles may not be assumed by root accounts.".to_owned();
    }
    if question.principal.provider_arn().is_some() {
        return format!("Not authorized to perform {}", question.action);
    }
    let Question { principal, action, resource_arn, .. } = question;
    format!("User: {principal} is not authorized to perform: {action} on resource: {resource_arn}")
}

fn sentence(question: &Question<'_>, object: &str, why: &str) -> String {
    format!("User: {} is not authorized to perform: {}{object} {why}", question.principal, question.action)
}

/// Nothing about an allowed request is lost by asking: it reads as a refusal by the resource policy.
fn why(decision: &Decision, question: &Question<'_>) -> String {
    let source = match decision.reason {
        Reason::ExplicitDeny(source) => return format!("with an explicit deny in {}", with_article(source)),
        Reason::NoAllow(source) => source,
        _ => Source::ResourcePolicy,
    };
    format!("because no {} allows the {} action", name(source), question.action)
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
        Reason::RootAssumesNoRole => line.push_str(": a root user takes no role"),
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
        let sid = document(statement, sources).and_then(|document| document.sid(statement.statement));
        // Writing to a String cannot fail.
        let _ = describe(&mut line, statement, sid);
    }
    line
}

/// Which statement of which policy, counted from 1, and its name.
pub(crate) fn describe(out: &mut impl Write, place: StatementReference, sid: Option<&str>) -> std::fmt::Result {
    write!(out, "{}", place.source)?;
    if !matches!(place.source, Source::ResourcePolicy | Source::Boundary) {
        write!(out, " {}", place.policy.saturating_add(1))?;
    }
    write!(out, ", statement {}", place.statement.saturating_add(1))?;
    sid.map_or(Ok(()), |sid| write!(out, " {sid:?}"))
}

fn document<'a>(place: StatementReference, sources: &Sources<'a>) -> Option<&'a Document> {
    sources
        .documents()
        .find(|(source, policy, _)| (*source, *policy) == (place.source, place.policy))
        .map(|found| found.2)
}
