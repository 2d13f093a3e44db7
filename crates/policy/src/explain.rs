//! Why a question was answered as it was: every statement, part by part, by the functions that decide.

use std::collections::BTreeMap;
use std::fmt;

use crate::condition::{self, Truth};
use crate::decide::{
    Decision, Effect, GrantJudge, Question, Reason, Source, Sources, StatementReference, decide_within,
};
use crate::document::Document;
use crate::message;
use crate::naming::Naming;
use crate::span::Span;
use crate::statement::Statement;
use crate::steps::{DECISION_STEPS, EXPLANATION_STEPS, Inquiry};

/// What a part of a statement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// It cannot be told: a value of the wrong type, a variable without a value, a key that is ambiguous. A Deny then
    /// matches, an Allow does not.
    Unknown,
}

impl From<Truth> for Outcome {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::No => Self::No,
            Truth::Unknown => Self::Unknown,
            Truth::Yes => Self::Yes,
        }
    }
}

/// One operator on one condition key, and the request's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionTrace {
    /// The operator as it is written, e.g. `ForAnyValue:StringLike`.
    pub operator: String,
    /// The condition key as it is written.
    pub key: String,
    /// The values of the policy, variables not replaced.
    pub policy_values: Vec<String>,
    /// The values of the request; empty when it does not have the key.
    pub request_values: Vec<String>,
    /// Whether the condition holds.
    pub outcome: Outcome,
}

/// One statement of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementTrace {
    /// Where it is.
    pub place: StatementReference,
    /// Its name, if it has one.
    pub sid: Option<String>,
    /// Where it stands in the policy's text.
    pub span: Option<Span>,
    /// What it is for.
    pub effect: Effect,
    /// How it names the caller; the policies of an identity name it by being attached.
    pub naming: Naming,
    /// Whether the action matches.
    pub action: bool,
    /// Whether the resource matches.
    pub resource: Outcome,
    /// Each condition.
    pub conditions: Vec<ConditionTrace>,
    /// Whether it speaks about the question: everything above matches, what cannot be told counted against the request.
    pub applies: bool,
    /// Whether it settled the decision.
    pub settles: bool,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantTrace {
    /// Its id.
    pub id: String,
    /// Whom it was given to.
    pub grantee: String,
    /// Whether it is for this action.
    pub action: bool,
    /// Whether it lets the caller, were there nothing but the grant.
    pub allows: bool,
}

/// A decision with everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What [`decide`](crate::decide) says.
    pub decision: Decision,
    /// The same in one line ([`Decision::explain`]).
    pub summary: String,
    /// Every statement of every policy, in the order in which denies are looked for.
    pub statements: Vec<StatementTrace>,
    /// Every grant.
    pub grants: Vec<GrantTrace>,
    /// The condition keys that the policies ask for and the request does not have, by name.
    pub missing_keys: Vec<String>,
    /// Whether the decision took all the steps that it may: what it had not compared by then counted against the
    /// request, so what the statements come to here need not add up to it.
    pub unfinished: bool,
}

/// Answers the question like [`decide`](crate::decide), and shows how each statement and grant stood to it.
#[must_use]
pub fn explain(question: &Question<'_>, sources: &Sources<'_>) -> Explanation {
    let inquiry = Inquiry::new(question, DECISION_STEPS);
    let decision = decide_within(&inquiry, sources);
    let question = &Inquiry::new(question, EXPLANATION_STEPS);
    let mut statements = Vec::new();
    let mut keys: BTreeMap<Box<str>, &str> = BTreeMap::new();
    for (source, policy, document) in sources.documents() {
        let spans = document.spans();
        for (statement, compiled) in document.statements().iter().enumerate() {
            let place = StatementReference { source, policy, statement };
            let span = spans.get(statement).copied();
            let settles = decision.statements().any(|settling| settling == place);
            let trace = trace(question, document, compiled, place);
            // Also one that settled it for want of steps.
            let applies = trace.applies || settles;
            statements.push(StatementTrace { span, applies, settles, ..trace });
        }
        document.note_keys(&mut keys);
    }
    keys.retain(|folded, _| question.context.values(folded).is_none_or(|values| values.is_empty()));
    let judge = GrantJudge::new(question, sources);
    let grants = sources.grants.iter().map(|grant| GrantTrace {
        id: grant.id.to_owned(),
        grantee: grant.grantee.to_string(),
        action: grant.actions.contains(&question.action),
        allows: judge.allows(grant),
    });
    Explanation {
        summary: message::explain(&decision, sources),
        decision,
        statements,
        grants: grants.collect(),
        missing_keys: keys.into_values().map(str::to_owned).collect(),
        unfinished: inquiry.steps.are_spent(),
    }
}

/// What each part of the statement comes to, and all of them together.
fn trace(
    question: &Inquiry<'_>,
    document: &Document,
    statement: &Statement,
    place: StatementReference,
) -> StatementTrace {
    let action = statement.matches_action(question);
    let resource = statement.matches_resource(question);
    let naming = statement.naming(question.principal, document.bound());
    let truths: Vec<Truth> =
        statement.conditions.iter().map(|condition| condition.holds(question.context, &question.steps)).collect();
    let applies = statement.speaks(action, resource, naming, condition::all(truths.iter().copied())).is_some();
    let conditions = statement.conditions.iter().zip(truths).map(|(condition, truth)| {
        let found = question.context.values(&condition.key).unwrap_or_default();
        ConditionTrace {
            operator: condition.text.operator.to_string(),
            key: condition.text.key.to_string(),
            policy_values: condition.text.values.iter().map(ToString::to_string).collect(),
            request_values: found.into_iter().map(std::borrow::Cow::into_owned).collect(),
            outcome: truth.into(),
        }
    });
    StatementTrace {
        place,
        sid: statement.sid.as_deref().map(str::to_owned),
        span: None,
        effect: statement.effect,
        naming,
        action: action != Truth::No,
        resource: resource.into(),
        conditions: conditions.collect(),
        applies,
        settles: false,
    }
}

impl Explanation {
    /// The statements that IAM's simulation reports: those that deny, if that is the outcome; otherwise those that
    /// allow.
    pub fn matched(&self) -> impl Iterator<Item = &StatementTrace> {
        let wanted = match self.decision.reason {
            Reason::ExplicitDeny(_) => Effect::Deny,
            _ => Effect::Allow,
        };
        self.statements.iter().filter(move |statement| statement.applies && statement.effect == wanted)
    }
}

impl fmt::Display for Explanation {
    /// One line for the decision, then one for each statement and grant, and under it what did not match and every
    /// condition.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.summary)?;
        if self.unfinished {
            writeln!(
                formatter,
                "the policies and the request ask for more work than one decision may take: what was \
                not compared counted against the request"
            )?;
        }
        for statement in &self.statements {
            write!(formatter, "{statement}")?;
        }
        for grant in &self.grants {
            let verdict = match (grant.allows, grant.action) {
                (true, _) => "allows",
                (false, true) => "is not the caller's to use",
                (false, false) => "is for other operations",
            };
            writeln!(formatter, "grant {} to {}: {verdict}", grant.id, grant.grantee)?;
        }
        if !self.missing_keys.is_empty() {
            writeln!(formatter, "not in the request: {}", self.missing_keys.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for StatementTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        message::describe(formatter, self.place, self.sid.as_deref())?;
        let applies = if self.applies { "applies" } else { "does not apply" };
        writeln!(formatter, ": {}, {applies}", if self.effect == Effect::Allow { "Allow" } else { "Deny" })?;
        if !self.action {
            writeln!(formatter, "    another action")?;
        }
        match self.resource {
            Outcome::Yes => {}
            Outcome::No => writeln!(formatter, "    another resource")?,
            Outcome::Unknown => writeln!(formatter, "    a variable of the resource has no value")?,
        }
        match self.naming {
            Naming::NotNamed => writeln!(formatter, "    the caller is not named")?,
            Naming::OtherId => writeln!(formatter, "    the caller's name is named, but for another unique id")?,
            Naming::Account => writeln!(formatter, "    the caller's account is named")?,
            Naming::Parent => writeln!(formatter, "    the caller's role or user is named")?,
            Naming::Caller if self.place.source == Source::ResourcePolicy => {
                writeln!(formatter, "    the caller is named")?;
            }
            Naming::Caller => {}
        }
        self.conditions.iter().try_for_each(|condition| writeln!(formatter, "    {condition}"))
    }
}

impl fmt::Display for ConditionTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Yes => "holds",
            Outcome::No => "does not hold",
            Outcome::Unknown => "cannot be told",
        };
        write!(formatter, "{} {} {:?} {outcome}: ", self.operator, self.key, self.policy_values)?;
        if self.request_values.is_empty() {
            formatter.write_str("the request does not have it")
        } else {
            write!(formatter, "the request has {:?}", self.request_values)
        }
    }
}
