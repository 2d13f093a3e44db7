//! How the sources of permission combine into one decision.

use std::cell::OnceCell;
use std::fmt;

use crate::context::Context;
use crate::document::Document;
use crate::naming::{self, Cover};
use crate::principal::{AccountId, Principal, PrincipalKind, PrincipalName, UniqueId};
use crate::steps::{DECISION_STEPS, Inquiry};

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
    /// Within an account either the resource's policy or the identity's is enough; from another account both are needed
    /// (most resources of AWS; none is here, but IAM's simulation is asked about them).
    EitherSide(&'a Document),
    /// The trust policy of a role, for `sts:AssumeRole...`, `sts:TagSession` and `sts:SetSourceIdentity`: it must agree
    /// like a key's, and no grant and no root user gets past it.
    Trust(&'a Document),
    /// The resource's policy has no say and identity policies open nothing by themselves: only grants do
    /// (`kms:RetireGrant`; who may retire is passed as grants of that action). Denies count as always.
    GrantsOnly,
}

impl<'a> ResourcePolicy<'a> {
    /// The document, if there is one that has a say.
    #[must_use]
    pub const fn document(&self) -> Option<&'a Document> {
        match self {
            Self::None | Self::GrantsOnly => None,
            Self::MustAgree(document) | Self::EitherSide(document) | Self::Trust(document) => Some(document),
        }
    }
}

/// A grant of the resource as the decision sees it. Only pass grants whose constraints this request meets: what a
/// constraint means is the service's knowledge.
#[derive(Clone, Copy, Debug)]
pub struct GrantReference<'a> {
    /// Its id, for the audit record.
    pub id: &'a str,
    /// Whom it was given to.
    pub grantee: &'a PrincipalName,
    /// The unique id of the user or role (of a session its role's) that it was given to, as it was when the grant was
    /// made. As with the names of a [`Document`], the id must be the caller's, or the name if neither has an id.
    pub bound_to: Option<&'a UniqueId>,
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

impl<'a> Sources<'a> {
    /// Every policy in the order in which denies are looked for: its kind, its number among those of its kind, itself.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (Source, usize, &'a Document)> {
        let numbered = |source| move |(policy, document)| (source, policy, document);
        let service_control = self.service_control_policies.iter().copied().flatten().copied();
        let session = self.session_policies.unwrap_or_default().iter().copied();
        let all = service_control.enumerate().map(numbered(Source::ServiceControlPolicy));
        all.chain(self.resource_policy.document().into_iter().enumerate().map(numbered(Source::ResourcePolicy)))
            .chain(self.identity_policies.iter().copied().enumerate().map(numbered(Source::IdentityPolicy)))
            .chain(self.boundary.into_iter().enumerate().map(numbered(Source::Boundary)))
            .chain(session.enumerate().map(numbered(Source::SessionPolicy)))
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
    /// A root user cannot take a role.
    RootAssumesNoRole,
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
///
/// It takes a bounded number of steps, about 15 milliseconds at most: what policies and values leave undecided by then
/// cannot be told. A Deny then speaks about the request, and an Allow does not.
#[must_use]
pub fn decide(question: &Question<'_>, sources: &Sources<'_>) -> Decision {
    decide_within(&Inquiry::new(question, DECISION_STEPS), sources)
}

/// The same, within what is left of the inquiry's steps.
pub(crate) fn decide_within(question: &Inquiry<'_>, sources: &Sources<'_>) -> Decision {
    if !question.cross_account_capable && question.principal.account() != question.resource_account {
        return deny(Reason::NotCrossAccount, None);
    }
    if matches!(sources.resource_policy, ResourcePolicy::Trust(_)) && question.principal.kind() == PrincipalKind::Root {
        return deny(Reason::RootAssumesNoRole, None);
    }
    if question.principal.account() != question.resource_account && !is_open_to_foreigner(question, sources) {
        // Before the caller's own side is asked: a Deny of its own, with conditions about the key's tags or aliases,
        // would otherwise tell it what another account's key is like.
        return deny(Reason::NoAllow(Source::ResourcePolicy), None);
    }
    if let Some(denying) = explicit_deny(question, sources) {
        return deny(Reason::ExplicitDeny(denying.source), Some(denying));
    }
    if !service_control_allows(question, sources) {
        return deny(Reason::NoAllow(Source::ServiceControlPolicy), None);
    }
    match sources.resource_policy {
        ResourcePolicy::None => by_identity(question, sources),
        ResourcePolicy::EitherSide(document) => agree(question, sources, document).unwrap_or_else(|missing| {
            let same_account = question.principal.account() == question.resource_account;
            if same_account { by_identity(question, sources) } else { deny(Reason::NoAllow(missing), None) }
        }),
        ResourcePolicy::Trust(document) => {
            agree(question, sources, document).unwrap_or_else(|missing| deny(Reason::NoAllow(missing), None))
        }
        ResourcePolicy::MustAgree(document) => {
            agree(question, sources, document).unwrap_or_else(|missing| by_grant(question, sources, missing))
        }
        ResourcePolicy::GrantsOnly => by_grant(question, sources, Source::ResourcePolicy),
    }
}

/// The rule of keys and roles, once denies and service control policies have passed: the resource's policy must name
/// the caller, or leave it to an account whose own policies allow. Otherwise says what kind of policy is wanting.
fn agree(question: &Inquiry<'_>, sources: &Sources<'_>, document: &Document) -> Result<Decision, Source> {
    let (cover, statement) = document.allows_best(question).ok_or(Source::ResourcePolicy)?;
    let place = Some(StatementReference { source: Source::ResourcePolicy, policy: 0, statement });
    let same_account = question.principal.account() == question.resource_account;
    let by_itself = |()| allow(Reason::ResourcePolicyAllows, [place, None]);
    match cover {
        Cover::Direct if same_account => Ok(by_itself(())),
        Cover::Limited if same_account => ceilings(question, sources).map(by_itself),
        Cover::Direct | Cover::Limited | Cover::Delegated => {
            let other = identity_side(question, sources)?;
            // A foreign root user that is named itself has nothing to be left to.
            if cover == Cover::Direct && other.is_none() {
                return Ok(by_itself(()));
            }
            Ok(allow(Reason::AccountDelegated, [place, other]))
        }
    }
}

fn by_identity(question: &Inquiry<'_>, sources: &Sources<'_>) -> Decision {
    match identity_side(question, sources) {
        Ok(statement) => allow(Reason::IdentityAllows, [statement, None]),
        Err(missing) => deny(Reason::NoAllow(missing), None),
    }
}

fn by_grant(question: &Inquiry<'_>, sources: &Sources<'_>, otherwise: Source) -> Decision {
    match granted(question, sources) {
        Some(index) => allow(Reason::Grant(index), [None, None]),
        None => deny(Reason::NoAllow(otherwise), None),
    }
}

/// Whether another account's resource has anything for this caller: a statement that may allow, or a grant. Whether it
/// is enough is judged after.
fn is_open_to_foreigner(question: &Inquiry<'_>, sources: &Sources<'_>) -> bool {
    let granted = || {
        sources.grants.iter().any(|grant| {
            *grant.grantee != PrincipalName::Everyone
                && grant.actions.contains(&question.action)
                && naming::cover(grant.grantee, grant.bound_to, question.principal).is_some()
        })
    };
    match sources.resource_policy {
        ResourcePolicy::None => false,
        ResourcePolicy::MustAgree(document) => document.allows_best(question).is_some() || granted(),
        ResourcePolicy::GrantsOnly => granted(),
        // Whoever asks for a role gets one sentence for every refusal.
        ResourcePolicy::EitherSide(_) | ResourcePolicy::Trust(_) => true,
    }
}

/// The first statement, in any policy that applies, that denies. Every source is read: a deny beats whatever allows.
fn explicit_deny(question: &Inquiry<'_>, sources: &Sources<'_>) -> Option<StatementReference> {
    sources.documents().find_map(|(source, policy, document)| {
        document.denies(question).map(|statement| StatementReference { source, policy, statement })
    })
}

/// Every level must have a policy that allows; no levels, no limit.
fn service_control_allows(question: &Inquiry<'_>, sources: &Sources<'_>) -> bool {
    sources
        .service_control_policies
        .iter()
        .all(|level| level.iter().any(|document| document.allows(question).is_some()))
}

/// The boundary and the session policies, where there are any, must allow.
fn ceilings(question: &Inquiry<'_>, sources: &Sources<'_>) -> Result<(), Source> {
    if sources.boundary.is_some_and(|document| document.allows(question).is_none()) {
        return Err(Source::Boundary);
    }
    let passes = |list: &[&Document]| list.iter().any(|document| document.allows(question).is_some());
    // A federated session has exactly what its session policy passes on; to a role session none is no limit.
    let unlimited = question.principal.kind() != PrincipalKind::FederatedUser;
    if sources.session_policies.map_or(unlimited, passes) { Ok(()) } else { Err(Source::SessionPolicy) }
}

/// What the caller's own account allows it: an identity policy, within the ceilings. A root user needs no policy.
fn identity_side(question: &Inquiry<'_>, sources: &Sources<'_>) -> Result<Option<StatementReference>, Source> {
    if question.principal.kind() == PrincipalKind::Root {
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
    Ok(Some(found))
}

/// The first grant that reaches the caller.
fn granted(question: &Inquiry<'_>, sources: &Sources<'_>) -> Option<usize> {
    let judge = GrantJudge::new(question, sources);
    sources.grants.iter().position(|grant| judge.allows(grant))
}

/// Judges grants one after the other, and asks the policies that limit them once.
pub(crate) struct GrantJudge<'a> {
    question: &'a Inquiry<'a>,
    sources: &'a Sources<'a>,
    within_ceilings: OnceCell<bool>,
    by_identity: OnceCell<bool>,
}

impl<'a> GrantJudge<'a> {
    pub(crate) const fn new(question: &'a Inquiry<'a>, sources: &'a Sources<'a>) -> Self {
        Self { question, sources, within_ceilings: OnceCell::new(), by_identity: OnceCell::new() }
    }

    /// Whether the grant reaches the caller. One to a role is limited like a role in the policy, and one to an account
    /// leaves the rest to that account; AWS does not document either, so the stricter reading holds.
    pub(crate) fn allows(&self, grant: &GrantReference<'_>) -> bool {
        let Self { question, sources, within_ceilings, by_identity } = self;
        // A grant to everyone cannot be made; were one passed here, it must not open the key.
        if !grant.actions.contains(&question.action) || *grant.grantee == PrincipalName::Everyone {
            return false;
        }
        match naming::cover(grant.grantee, grant.bound_to, question.principal) {
            Some(Cover::Direct) => true,
            Some(Cover::Limited) => *within_ceilings.get_or_init(|| ceilings(question, sources).is_ok()),
            Some(Cover::Delegated) => *by_identity.get_or_init(|| identity_side(question, sources).is_ok()),
            None => false,
        }
    }
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

    /// What AWS tells the caller about a refusal, where the resource goes by this name (IAM says `user alice` for a
    /// user that exists), or by none.
    #[must_use]
    pub fn denial_message_about(&self, question: &Question<'_>, resource: Option<&str>) -> String {
        crate::message::denial_about(self, question, resource)
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
