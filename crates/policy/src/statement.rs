//! One statement, compiled: what it says about a question, without allocation.

use crate::condition::{self, Condition, Truth};
use crate::context::Context;
use crate::decide::{Effect, Question};
use crate::glob;
use crate::principal::{AccountId, Cover, Principal, PrincipalKind, PrincipalName};
use crate::template::Template;

/// A statement in the form that answers questions.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// `None` in the policies of an identity, which apply to whom they are attached to.
    pub(crate) principals: Option<Principals>,
    pub(crate) actions: Selection<ActionPattern>,
    pub(crate) resources: Selection<ResourcePattern>,
    /// All must hold.
    pub(crate) conditions: Box<[Condition]>,
}

impl Statement {
    /// Whether the statement speaks about the question, and how closely it names the caller.
    pub(crate) fn cover(&self, question: &Question<'_>) -> Option<Cover> {
        let (arn, context) = (question.resource_arn, question.context);
        if !self.actions.selects(|pattern| pattern.matches(question.action))
            || !self.resources.selects(|pattern| pattern.matches(arn, context))
        {
            return None;
        }
        let cover = match &self.principals {
            None => Cover::Direct,
            Some(principals) => principals.cover(question.principal)?,
        };
        let truth = condition::all(self.conditions.iter().map(|condition| condition.holds(context)));
        let speaks = match self.effect {
            Effect::Allow => truth == Truth::Yes,
            // What cannot be told counts against the request.
            Effect::Deny => truth != Truth::No,
        };
        speaks.then_some(cover)
    }
}

/// `Action` or `NotAction`, `Resource` or `NotResource`, or neither.
#[derive(Debug)]
pub(crate) enum Selection<P> {
    /// AWS takes a statement without the element in a key policy; it has no effect.
    Nothing,
    Only(Box<[P]>),
    AllBut(Box<[P]>),
}

impl<P> Selection<P> {
    fn selects(&self, matches: impl Fn(&P) -> bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Only(patterns) => patterns.iter().any(matches),
            Self::AllBut(patterns) => !patterns.iter().any(matches),
        }
    }
}

/// An action pattern; letter case is of no account. The service prefix holds no wildcard.
#[derive(Debug)]
pub(crate) enum ActionPattern {
    Any,
    Exact(Box<str>),
    /// What stands before a `*` that is the only wildcard, at the end.
    Prefix(Box<str>),
    Glob(Box<str>),
}

impl ActionPattern {
    /// Parses `*` or `service:pattern`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (service, name) = text.split_once(':')?;
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        if service.is_empty() || !service.chars().all(plain) || name.is_empty() {
            return None;
        }
        if !name.chars().all(|character| plain(character) || matches!(character, '*' | '?')) {
            return None;
        }
        Some(match text.strip_suffix('*') {
            None if !name.contains(['*', '?']) => Self::Exact(text.into()),
            Some(prefix) if !prefix.contains(['*', '?']) => Self::Prefix(prefix.into()),
            _ => Self::Glob(text.into()),
        })
    }

    pub(crate) fn matches(&self, action: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(action),
            Self::Prefix(prefix) => action.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)),
            Self::Glob(pattern) => glob::matches_by(pattern, action, |a, b| a.eq_ignore_ascii_case(&b)),
        }
    }
}

/// A resource pattern; letter case counts.
#[derive(Debug)]
pub(crate) enum ResourcePattern {
    Any,
    /// The six parts of an ARN, each with wildcards that stay within the part; the last part keeps its colons.
    Arn([Box<str>; 6]),
    /// The same with variables in the last part.
    Template([Box<str>; 5], Template),
}

impl ResourcePattern {
    /// Parses `*` or six parts; neither `arn` nor the service may be a wildcard, and variables, if they count, stand
    /// in the last part only.
    pub(crate) fn parse(text: &str, variables: bool) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let parts: Vec<Box<str>> = text.splitn(6, ':').map(Box::from).collect();
        let parts: [Box<str>; 6] = parts.try_into().ok()?;
        let [scheme, partition, service, region, account, resource] = &parts;
        let fixed = |part: &str| !part.is_empty() && !part.contains(['*', '?']);
        if &**scheme != "arn" || partition.is_empty() || !fixed(service) || resource.is_empty() {
            return None;
        }
        if !variables {
            return Some(Self::Arn(parts));
        }
        if [partition, service, region, account].iter().any(|part| part.contains("${")) {
            return None;
        }
        if !resource.contains("${") {
            return Some(Self::Arn(parts));
        }
        let last = Template::parse(resource, true, true).ok()?;
        let [scheme, partition, service, region, account, _] = parts;
        Some(Self::Template([scheme, partition, service, region, account], last))
    }

    /// The condition keys that its variables ask for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Self::Any | Self::Arn(_) => None,
            Self::Template(_, template) => Some(template),
        };
        template.into_iter().flat_map(Template::keys)
    }

    fn matches(&self, arn: &str, context: &dyn Context) -> bool {
        let mut values = arn.splitn(6, ':');
        let mut next_matches = |part: &str| values.next().is_some_and(|value| glob::matches(part, value));
        match self {
            Self::Any => true,
            Self::Arn(parts) => parts.iter().all(|part| next_matches(part)),
            Self::Template(parts, last) => {
                parts.iter().all(|part| next_matches(part))
                    && values.next().is_some_and(|value| last.matches(value, false, context))
            }
        }
    }
}

/// The principals of a statement, sorted for search.
#[derive(Debug)]
pub(crate) struct Principals {
    everyone: bool,
    accounts: Box<[AccountId]>,
    arns: Box<[Box<str>]>,
}

impl Principals {
    pub(crate) fn new(names: &[PrincipalName]) -> Self {
        let mut accounts = Vec::new();
        let mut arns: Vec<Box<str>> = Vec::new();
        let mut everyone = false;
        for name in names {
            match name {
                PrincipalName::Everyone => everyone = true,
                PrincipalName::Account(account) => accounts.push(*account),
                PrincipalName::User(_, arn)
                | PrincipalName::Role(_, arn)
                | PrincipalName::RoleSession(_, arn)
                | PrincipalName::FederatedUser(_, arn) => arns.push(arn.clone()),
            }
        }
        accounts.sort_unstable();
        arns.sort_unstable();
        Self { everyone, accounts: accounts.into(), arns: arns.into() }
    }

    /// The closest that any of the names comes to the caller.
    fn cover(&self, principal: &Principal) -> Option<Cover> {
        let names = |arn: &str| self.arns.binary_search_by(|name| (**name).cmp(arn)).is_ok();
        if self.everyone || names(principal.arn()) {
            return Some(Cover::Direct);
        }
        let account = self.accounts.binary_search(&principal.account()).is_ok();
        if account && principal.kind() == PrincipalKind::Root {
            Some(Cover::Direct)
        } else if principal.parent_arn().is_some_and(names) {
            Some(Cover::Limited)
        } else {
            account.then_some(Cover::Delegated)
        }
    }
}
