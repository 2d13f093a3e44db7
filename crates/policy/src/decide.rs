//! How the sources of permission combine into one decision.

use std::fmt;

use crate::context::Context;
use crate::document::Document;
use crate::principal::{AccountId, Cover, Principal, PrincipalKind, PrincipalName};

/// One question: may this principal do this to that resource?
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The action with its service prefix, e.g. `kms:Encrypt`.
    pub action: &'a str,
    /// The full ARN of the resource (aliases already resolved), or `*` for actions that have none.
    pub resource_arn: &'a str,
    /// The account that owns the resource; the caller's own where there is no resource.
    pub resource_account: AccountId,
    /// Whether the operation may be used on a resource of another account at all.
    pub cross_account_capable: bool,
    /// The facts that conditions ask about.
    pub context: &'a dyn Context,
}

/// What the kind of the resource demands of a resource policy.
#[derive(Clone, Copy, Debug, Default)]
pub enum ResourcePolicy<'a> {
    /// The resource has no policy of its own: identity policies of its own account alone decide.
    #[default]
    None,
    /// The resource policy must agree, whatever identity policies say (KMS keys).
    MustAgree(&'a Document),
}

/// A grant of the resource as the decision sees it. Only pass grants whose constraints this request meets: what a
/// constraint means is the service's knowledge.
#[derive(Clone, Copy, Debug)]
pub struct GrantReference<'a> {
    /// Its id, for the audit record.
    pub id: &'a str,
    /// Whom it was given to.
    pub grantee: &'a PrincipalName,
    /// The actions it allows, with service prefix and exact letter case, e.g. `kms:Decrypt`.
    pub actions: &'a [&'a str],
}

/// Everything that may allow, limit or deny. The default has no policy at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The resource's own policy.
    pub resource_policy: ResourcePolicy<'a>,
    /// The policies of the user and its groups, or of the role.
    pub identity_policies: &'a [&'a Document],
    /// The permissions boundary of the user or role.
    pub boundary: Option<&'a Document>,
    /// The policies passed when the session was made; `None` when none were passed, which is no limit for a role
    /// session.
    pub session_policies: Option<&'a [&'a Document]>,
    /// Service control policies, one list for each level from the organization's root down; every level must allow.
    pub service_control_policies: &'a [&'a [&'a Document]],
    /// Grants of the resource whose constraints hold for this request.
    pub grants: &'a [GrantReference<'a>],
}

impl<'a> Sources<'a> {
    /// Only a resource policy that must agree: all there is to ask for a root user and a key.
    #[must_use]
    pub fn key_policy(document: &'a Document) -> Self {
        Self { resource_policy: ResourcePolicy::MustAgree(document), ..Self::default() }
    }
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Permitted.
    Allow,
    /// Refused.
    Deny,
}

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The policy of the resource.
    ResourcePolicy,
    /// An identity policy.
    IdentityPolicy,
    /// The permissions boundary.
    Boundary,
    /// A session policy.
    SessionPolicy,
    /// A service control policy.
    ServiceControlPolicy,
}

/// One statement of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementReference {
    /// Which kind of policy.
    pub source: Source,
    /// Which of the policies of that kind, from 0 (service control policies count through all levels).
    pub policy: usize,
    /// Which statement in it, from 0.
    pub statement: usize,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The resource policy names the caller.
    ResourcePolicyAllows,
    /// The resource policy leaves it to the caller's account, and that side allows.
    AccountDelegated,
    /// The grant at this place of [`Sources::grants`] allows.
    Grant(usize),
    /// The resource has no policy, and the identity side allows.
    IdentityAllows,
    /// A statement denies; it stands in this kind of policy.
    ExplicitDeny(Source),
    /// The operation cannot reach into another account.
    NotCrossAccount,
    /// This kind of policy has no statement that allows.
    NoAllow(Source),
}

/// The outcome, its reason, and the statements that settled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Permitted or refused.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The statements that settled it: the one that denied; or those that allowed, the resource policy's first.
    pub statements: [Option<StatementReference>; 2],
}

/// Answers the question. Total: every question has an answer, and what nobody allows is denied.
#[must_use]
pub fn decide(question: &Question<'_>, sources: &Sources<'_>) -> Decision {
    if !question.cross_account_capable && question.principal.account() != question.resource_account {
        return deny(Reason::NotCrossAccount, None);
    }
    if let Some(denying) = explicit_deny(question, sources) {
        return deny(Reason::ExplicitDeny(denying.source), Some(denying));
    }
    if !service_control_allows(question, sources) {
        return deny(Reason::NoAllow(Source::ServiceControlPolicy), None);
    }
    match sources.resource_policy {
        ResourcePolicy::None if question.principal.account() != question.resource_account => {
            deny(Reason::NoAllow(Source::ResourcePolicy), None)
        }
        ResourcePolicy::None => match identity_side(question, sources) {
            Ok(statement) => allow(Reason::IdentityAllows, [statement, None]),
            Err(missing) => deny(Reason::NoAllow(missing), None),
        },
        ResourcePolicy::MustAgree(document) => must_agree(question, sources, document),
    }
}

/// The rule of KMS keys, once denies and service control policies have passed: the key policy must name the caller,
/// or leave it to an account whose own policies allow; or a grant must.
fn must_agree(question: &Question<'_>, sources: &Sources<'_>, document: &Document) -> Decision {
    let found = document.allows_best(question);
    let refusal = match found {
        None => Source::ResourcePolicy,
        Some((cover, statement)) => {
            let place = Some(StatementReference { source: Source::ResourcePolicy, policy: 0, statement });
            let same_account = question.principal.account() == question.resource_account;
            let rest = match cover {
                Cover::Direct if same_account => Ok(None),
                Cover::Limited if same_account => ceilings(question, sources).map(|()| None),
                Cover::Direct | Cover::Limited | Cover::Delegated => identity_side(question, sources),
            };
            match rest {
                Ok(other) if cover == Cover::Delegated || other.is_some() => {
                    return allow(Reason::AccountDelegated, [place, other]);
                }
                Ok(_) => return allow(Reason::ResourcePolicyAllows, [place, None]),
                Err(missing) => missing,
            }
        }
    };
    match granted(question, sources) {
        Some(index) => allow(Reason::Grant(index), [None, None]),
        None => deny(Reason::NoAllow(refusal), None),
    }
}

/// The first statement, in any policy that applies, that denies. Every source is read: a deny beats whatever allows.
fn explicit_deny(question: &Question<'_>, sources: &Sources<'_>) -> Option<StatementReference> {
    let in_list = |source: Source, list: &[&Document]| {
        list.iter().enumerate().find_map(|(policy, document)| {
            document.denies(question).map(|statement| StatementReference { source, policy, statement })
        })
    };
    let service_control = || {
        let all = sources.service_control_policies.iter().copied().flatten().enumerate();
        all.into_iter().find_map(|(policy, document)| {
            let source = Source::ServiceControlPolicy;
            document.denies(question).map(|statement| StatementReference { source, policy, statement })
        })
    };
    let resource = || match sources.resource_policy {
        ResourcePolicy::None => None,
        ResourcePolicy::MustAgree(document) => in_list(Source::ResourcePolicy, &[document]),
    };
    service_control()
        .or_else(resource)
        .or_else(|| in_list(Source::IdentityPolicy, sources.identity_policies))
        .or_else(|| sources.boundary.and_then(|document| in_list(Source::Boundary, &[document])))
        .or_else(|| sources.session_policies.and_then(|list| in_list(Source::SessionPolicy, list)))
}

/// Every level must have a policy that allows; no levels, no limit.
fn service_control_allows(question: &Question<'_>, sources: &Sources<'_>) -> bool {
    sources
        .service_control_policies
        .iter()
        .all(|level| level.iter().any(|document| document.allows(question).is_some()))
}

/// The boundary and the session policies, where there are any, must allow.
fn ceilings(question: &Question<'_>, sources: &Sources<'_>) -> Result<(), Source> {
    if sources.boundary.is_some_and(|document| document.allows(question).is_none()) {
        return Err(Source::Boundary);
    }
    if sources.session_policies.is_some_and(|list| list.iter().all(|document| document.allows(question).is_none())) {
        return Err(Source::SessionPolicy);
    }
    Ok(())
}

/// What the caller's own account allows it: an identity policy, within the ceilings. A root user needs no policy.
fn identity_side(question: &Question<'_>, sources: &Sources<'_>) -> Result<Option<StatementReference>, Source> {
    let kind = question.principal.kind();
    if kind == PrincipalKind::Root {
        return Ok(None);
    }
    let found = sources.identity_policies.iter().enumerate().find_map(|(policy, document)| {
        let statement = document.allows(question)?;
        Some(StatementReference { source: Source::IdentityPolicy, policy, statement })
    });
    let Some(found) = found else {
        return Err(Source::IdentityPolicy);
    };
    ceilings(question, sources)?;
    // A federated session has exactly what its session policy passes on.
    if kind == PrincipalKind::FederatedUser && sources.session_policies.is_none() {
        return Err(Source::SessionPolicy);
    }
    Ok(Some(found))
}

/// The first grant that reaches the caller. A grant to a role is limited like a role in the policy, and one to an
/// account leaves the rest to that account; AWS does not document either, so the stricter reading holds.
fn granted(question: &Question<'_>, sources: &Sources<'_>) -> Option<usize> {
    sources.grants.iter().position(|grant| {
        grant.actions.contains(&question.action)
            && match grant.grantee.cover(question.principal) {
                // A grant to everyone cannot be made; were one passed here, it must not open the key.
                Some(_) if *grant.grantee == PrincipalName::Everyone => false,
                Some(Cover::Direct) => true,
                Some(Cover::Limited) => ceilings(question, sources).is_ok(),
                Some(Cover::Delegated) => identity_side(question, sources).is_ok(),
                None => false,
            }
    })
}

const fn allow(reason: Reason, statements: [Option<StatementReference>; 2]) -> Decision {
    Decision { effect: Effect::Allow, reason, statements }
}

const fn deny(reason: Reason, statement: Option<StatementReference>) -> Decision {
    Decision { effect: Effect::Deny, reason, statements: [statement, None] }
}

impl Decision {
    /// Whether it is permitted.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self.effect, Effect::Allow)
    }

    /// The statements that settled it.
    pub fn statements(&self) -> impl Iterator<Item = StatementReference> + '_ {
        self.statements.iter().flatten().copied()
    }

    /// One line for the audit record and for people, e.g.
    /// `allow: resource policy, statement 1 "Enable IAM User Permissions"`.
    #[must_use]
    pub fn explain(&self, sources: &Sources<'_>) -> String {
        crate::message::explain(self, sources)
    }

    /// What AWS tells the caller about a refusal.
    #[must_use]
    pub fn denial_message(&self, question: &Question<'_>, subject: crate::message::Subject) -> String {
        crate::message::denial(self, question, subject)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl claviger_secret::LogSafe for Effect {}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ResourcePolicy => "resource policy",
            Self::IdentityPolicy => "identity policy",
            Self::Boundary => "permissions boundary",
            Self::SessionPolicy => "session policy",
            Self::ServiceControlPolicy => "service control policy",
        })
    }
}

impl claviger_secret::LogSafe for Source {}
