//! One statement, compiled: what it says about a question, without allocation.

use crate::condition::{self, Condition, Truth};
use crate::context::Context;
use crate::decide::Effect;
use crate::glob::{Case, Glob};
use crate::naming::{Bindings, Cover, Naming, Principals};
use crate::principal::Principal;
use crate::steps::{Inquiry, Steps};
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
    pub(crate) fn cover(&self, question: &Inquiry<'_>, bindings: &Bindings) -> Option<Cover> {
        let action = self.matches_action(question);
        if action == Truth::No {
            return None;
        }
        let resource = self.matches_resource(question);
        if resource == Truth::No {
            return None;
        }
        let naming = self.naming(question.principal, bindings);
        naming.cover()?;
        let holds = |condition: &Condition| condition.holds(question.context, &question.steps);
        let conditions = condition::all(self.conditions.iter().map(holds));
        self.speaks(action, resource, naming, conditions)
    }

    /// What the parts of a statement come to.
    pub(crate) fn speaks(&self, action: Truth, resource: Truth, naming: Naming, conditions: Truth) -> Option<Cover> {
        let met = action.min(resource).min(conditions);
        let speaks = match self.effect {
            Effect::Allow => met == Truth::Yes,
            // What cannot be told counts against the request.
            Effect::Deny => met != Truth::No,
        };
        naming.cover().filter(|_| speaks)
    }

    /// Unknown only when the steps are spent.
    pub(crate) fn matches_action(&self, question: &Inquiry<'_>) -> Truth {
        let steps = &question.steps;
        self.actions.selects(steps, |pattern| Some(pattern.matches(question.action, steps).into()))
    }

    pub(crate) fn matches_resource(&self, question: &Inquiry<'_>) -> Truth {
        let steps = &question.steps;
        self.resources.selects(steps, |pattern| pattern.matches(question.resource_arn, question.context, steps))
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
    /// A pattern of which nothing can be said, for want of a variable's value, selects nothing; but it cannot be told
    /// whether it leaves something out.
    fn selects(&self, steps: &Steps, matches: impl Fn(&P) -> Option<Truth>) -> Truth {
        let counted = |pattern| {
            steps.take(1);
            if steps.are_spent() { Some(Truth::Unknown) } else { matches(pattern) }
        };
        steps.tell(match self {
            Self::Nothing => Truth::No,
            Self::Everything => Truth::Yes,
            Self::Only(patterns) => {
                condition::any(patterns.iter().map(|pattern| counted(pattern).unwrap_or(Truth::No)))
            }
            Self::AllBut(patterns) => {
                condition::all(patterns.iter().map(|pattern| !counted(pattern).unwrap_or(Truth::Unknown)))
            }
        })
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
    /// Any other wildcards, behind the service.
    Wild(Box<str>, Glob),
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
            _ => Self::Wild(text.into(), Glob::parse(text, Case::FoldsAscii)),
        })
    }

    /// The service whose actions it names; none for `*`.
    pub(crate) fn service(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Exact(text) | Self::Prefix(text) | Self::Wild(text, _) => text.split(':').next(),
        }
    }

    /// Whether it can only mean what the role of a trust policy may be asked for.
    pub(crate) fn is_of_trust(&self) -> bool {
        let (text, whole) = match self {
            Self::Any => return false,
            Self::Exact(text) => (text, true),
            Self::Prefix(text) | Self::Wild(text, _) => (text, false),
        };
        let assumes = text.get(..TRUST_ACTION.len()).is_some_and(|head| head.eq_ignore_ascii_case(TRUST_ACTION));
        assumes || whole && TRUST_ACTIONS_BESIDES.iter().any(|action| text.eq_ignore_ascii_case(action))
    }

    pub(crate) fn matches(&self, action: &str, steps: &Steps) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(action),
            Self::Prefix(prefix) => action.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)),
            Self::Wild(_, pattern) => pattern.matches(action, steps),
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
    Arn(Box<[Glob; 6]>),
    /// The same with variables in the last part.
    Template(Box<[Glob; 5]>, Template),
}

impl ResourcePattern {
    /// Parses `*` or six parts; neither `arn` nor the service may be a wildcard, and variables, if they count, stand
    /// in the last part only.
    pub(crate) fn parse(text: &str, variables: bool) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let parts: [&str; 6] = parts.try_into().ok()?;
        let [scheme, partition, service, region, account, resource] = parts;
        let fixed = |part: &str| !part.is_empty() && !part.contains(['*', '?']);
        if scheme != "arn" || partition.is_empty() || !fixed(service) || resource.is_empty() {
            return None;
        }
        let glob = |part| Glob::parse(part, Case::Counts);
        if !variables {
            return Some(Self::Arn(Box::new(parts.map(glob))));
        }
        if [partition, service, region, account].iter().any(|part| part.contains("${")) {
            return None;
        }
        if !resource.contains("${") {
            return Some(Self::Arn(Box::new(parts.map(glob))));
        }
        let last = Template::parse(resource, true, true, Case::Counts).ok()?;
        Some(Self::Template(Box::new([scheme, partition, service, region, account].map(glob)), last))
    }

    /// The condition keys that its variables ask for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let template = match self {
            Self::Any | Self::Arn(_) => None,
            Self::Template(_, template) => Some(template),
        };
        template.into_iter().flat_map(Template::keys)
    }

    /// Nothing when a variable has no value and the rest would match; unknown when it has several.
    fn matches(&self, arn: &str, context: &dyn Context, steps: &Steps) -> Option<Truth> {
        let mut values = arn.splitn(6, ':');
        let mut next_matches = |part: &Glob| values.next().is_some_and(|value| part.matches(value, steps));
        match self {
            Self::Any => Some(Truth::Yes),
            Self::Arn(parts) => Some(parts.iter().all(next_matches).into()),
            Self::Template(parts, last) => {
                if !parts.iter().all(&mut next_matches) {
                    return Some(Truth::No);
                }
                values.next().map_or(Some(Truth::No), |value| last.resolve(context, steps).judges(value, steps))
            }
        }
    }
}
