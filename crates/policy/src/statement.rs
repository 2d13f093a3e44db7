//! One statement, compiled: what it says about a question, without allocation.

use crate::condition::{self, Condition, Truth};
use crate::context::Context;
use crate::decide::{Effect, Question};
use crate::glob;
use crate::naming::{Bindings, Cover, Naming, Principals};
use crate::principal::Principal;
use crate::template::Template;

/// A statement in the form that answers questions.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    pub(crate) who: Who,
    pub(crate) actions: Selection<ActionPattern>,
    pub(crate) resources: Selection<ResourcePattern>,
    /// All must hold.
    pub(crate) conditions: Box<[Condition]>,
}

/// Whom a statement is about.
#[derive(Debug)]
pub(crate) enum Who {
    /// Whom the policy is attached to: the policies of an identity.
    Attached,
    /// `Principal`.
    Only(Principals),
    /// `NotPrincipal`, of a Deny only.
    AllBut(Principals),
}

impl Statement {
    pub(crate) fn denying_everything() -> Self {
        Self {
            sid: None,
            effect: Effect::Deny,
            who: Who::Attached,
            actions: Selection::Everything,
            resources: Selection::Everything,
            conditions: Box::default(),
        }
    }

    /// Whether the statement speaks about the question, and how closely it names the caller.
    pub(crate) fn cover(&self, question: &Question<'_>, bindings: &Bindings) -> Option<Cover> {
        if !self.matches_action(question.action) {
            return None;
        }
        let resource = self.matches_resource(question);
        if resource == Truth::No {
            return None;
        }
        let naming = self.naming(question.principal, bindings);
        naming.cover()?;
        let conditions = condition::all(self.conditions.iter().map(|condition| condition.holds(question.context)));
        self.speaks(true, resource, naming, conditions)
    }

    /// What the parts of a statement come to.
    pub(crate) fn speaks(&self, action: bool, resource: Truth, naming: Naming, conditions: Truth) -> Option<Cover> {
        let met = resource.min(conditions);
        let speaks = match self.effect {
            Effect::Allow => met == Truth::Yes,
            // What cannot be told counts against the request.
            Effect::Deny => met != Truth::No,
        };
        naming.cover().filter(|_| action && speaks)
    }

    pub(crate) fn matches_action(&self, action: &str) -> bool {
        self.actions.selects(|pattern| pattern.matches(action).into()) == Truth::Yes
    }

    pub(crate) fn matches_resource(&self, question: &Question<'_>) -> Truth {
        self.resources.selects(|pattern| pattern.matches(question.resource_arn, question.context))
    }

    pub(crate) fn naming(&self, caller: &Principal, bindings: &Bindings) -> Naming {
        match &self.who {
            Who::Attached => Naming::Caller,
            Who::Only(names) => names.naming(caller, bindings, self.effect),
            Who::AllBut(names) if names.spares(caller, bindings) => Naming::NotNamed,
            Who::AllBut(_) => Naming::Caller,
        }
    }

    /// Every condition key that the statement asks for, in lower case where the policy's spelling is not kept.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let of_resources = self.resources.patterns().iter().flat_map(ResourcePattern::keys);
        self.conditions.iter().flat_map(Condition::keys).chain(of_resources)
    }
}

/// `Action` or `NotAction`, `Resource` or `NotResource`, or neither.
#[derive(Debug)]
pub(crate) enum Selection<P> {
    /// AWS takes a statement without the element in a key policy; it has no effect.
    Nothing,
    /// A trust policy has no resource but the role that it is on.
    Everything,
    Only(Box<[P]>),
    AllBut(Box<[P]>),
}

impl<P> Selection<P> {
    /// A pattern that cannot be told, for want of a variable's value, selects nothing; but it cannot be told either
    /// whether it leaves something out.
    fn selects(&self, matches: impl Fn(&P) -> Truth) -> Truth {
        match self {
            Self::Nothing => Truth::No,
            Self::Everything => Truth::Yes,
            Self::Only(patterns) => patterns.iter().any(|pattern| matches(pattern) == Truth::Yes).into(),
            Self::AllBut(patterns) => condition::all(patterns.iter().map(|pattern| !matches(pattern))),
        }
    }

    pub(crate) fn patterns(&self) -> &[P] {
        match self {
            Self::Nothing | Self::Everything => &[],
            Self::Only(patterns) | Self::AllBut(patterns) => patterns,
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

    /// The service whose actions it names; none for `*`.
    pub(crate) fn service(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Exact(text) | Self::Prefix(text) | Self::Glob(text) => text.split(':').next(),
        }
    }

    /// Whether it can only mean what the role of a trust policy may be asked for.
    pub(crate) fn is_of_trust(&self) -> bool {
        let (text, whole) = match self {
            Self::Any => return false,
            Self::Exact(text) => (text, true),
            Self::Prefix(text) | Self::Glob(text) => (text, false),
        };
        let assumes = text.get(..TRUST_ACTION.len()).is_some_and(|head| head.eq_ignore_ascii_case(TRUST_ACTION));
        assumes || whole && TRUST_ACTIONS_BESIDES.iter().any(|action| text.eq_ignore_ascii_case(action))
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

const TRUST_ACTION: &str = "sts:AssumeRole";
const TRUST_ACTIONS_BESIDES: [&str; 2] = ["sts:TagSession", "sts:SetSourceIdentity"];

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

    /// Unknown when a variable has no value and the rest would match.
    fn matches(&self, arn: &str, context: &dyn Context) -> Truth {
        let mut values = arn.splitn(6, ':');
        let mut next_matches = |part: &str| values.next().is_some_and(|value| glob::matches(part, value));
        match self {
            Self::Any => Truth::Yes,
            Self::Arn(parts) => parts.iter().all(|part| next_matches(part)).into(),
            Self::Template(parts, last) => {
                if !parts.iter().all(|part| next_matches(part)) {
                    return Truth::No;
                }
                values.next().map_or(Truth::No, |value| last.judges(value, false, context))
            }
        }
    }
}
