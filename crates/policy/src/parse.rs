//! From JSON to statements. Whatever is not evaluated is refused here, so that no saved policy is ever half understood.

use std::fmt;

use crate::condition::Condition;
use crate::condition_parse::{conditions, known};
use crate::decide::Effect;
use crate::json::{self, Json};
use crate::principal::PrincipalName;
use crate::statement::{ActionPattern, Principals, ResourcePattern, Selection, Statement};

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes of UTF-8.
    pub bytes_max: usize,
    /// The condition keys whose values the caller supplies completely in [`crate::Context`]; one that ends in `:` or
    /// `/` stands for all that begin with it, such as `aws:RequestTag/`. A policy that asks for any other is refused,
    /// since a key that is never there makes a Deny fail open. Empty: no conditions and no variables at all.
    pub condition_keys: &'static [&'static str],
}

impl Limits {
    /// The limit of a key policy: 32768 bytes.
    pub const KEY_POLICY: Self = Self { bytes_max: 32_768, condition_keys: &[] };
}

impl Default for Limits {
    fn default() -> Self {
        Self::KEY_POLICY
    }
}

/// What sort of refusal it is; services map it to their errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedKind {
    /// Longer than [`Limits::bytes_max`].
    TooLong,
    /// Not JSON, or not the grammar of a policy.
    Syntax,
    /// A principal that cannot be one.
    InvalidPrincipal,
    /// Part of the policy language, but not evaluated by this server.
    Unsupported,
}

/// Why a text is not a policy here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    kind: MalformedKind,
    message: String,
}

impl Malformed {
    /// The sort of refusal.
    #[must_use]
    pub const fn kind(&self) -> MalformedKind {
        self.kind
    }

    /// The text for the caller, in the manner of MalformedPolicyDocumentException.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The refusal of a principal that does not exist, for those who know which exist.
    #[must_use]
    pub fn invalid_principal() -> Self {
        let message = "Policy contains a statement with one or more invalid principals.".to_owned();
        Self { kind: MalformedKind::InvalidPrincipal, message }
    }

    /// The refusal of a key policy that would lock its author out.
    #[must_use]
    pub fn lockout() -> Self {
        let message = "The new key policy will not allow you to update the key policy in the future.".to_owned();
        Self { kind: MalformedKind::Syntax, message }
    }

    /// The refusal of what does not fit the grammar.
    pub(crate) fn grammar() -> Self {
        Self::syntax("Syntax errors in policy.")
    }

    pub(crate) fn overly_permissive() -> Self {
        Self::syntax(
            "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued condition key matches \
             requests without the specified [encryption context or tag] or with an unspecified [encryption context or \
             tag]. To fix, remove ForAllValues.",
        )
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self { kind: MalformedKind::Syntax, message: message.into() }
    }

    pub(crate) fn unsupported(element: &str) -> Self {
        let message = format!("Policy contains a statement with an element that is not supported: {element}.");
        Self { kind: MalformedKind::Unsupported, message }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Malformed {}

/// Which grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says who; a statement without Action or Resource is taken and has no effect.
    Resource,
    /// Attached to whom it speaks about.
    Identity,
}

/// Which meaning `${...}` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Variables are literal text.
    V2008,
    /// Variables are substituted.
    V2012,
}

/// The statements of the text, and every principal that they name.
pub(crate) fn parse(
    text: &str,
    kind: Kind,
    limits: &Limits,
) -> Result<(Vec<Statement>, Vec<PrincipalName>), Malformed> {
    if text.len() > limits.bytes_max {
        let message = format!("The policy is longer than {} bytes.", limits.bytes_max);
        return Err(Malformed { kind: MalformedKind::TooLong, message });
    }
    if !text.chars().all(json::is_admitted) {
        return Err(Malformed::syntax("Policy contains characters that are not allowed."));
    }
    let syntax = Malformed::grammar;
    let Ok(Json::Object(members)) = json::parse(text) else {
        return Err(syntax());
    };
    let mut version = Version::V2008;
    let mut statements = None;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Version", Json::Text(text)) if text == "2012-10-17" => version = Version::V2012,
            ("Version", Json::Text(text)) if text == "2008-10-17" => version = Version::V2008,
            ("Version", _) => {
                return Err(Malformed::syntax("The policy must have a valid version string."));
            }
            ("Id", Json::Text(_)) if kind == Kind::Resource => {}
            ("Statement", Json::List(list)) => statements = Some(list),
            ("Statement", object @ Json::Object(_)) => statements = Some(vec![object]),
            _ => return Err(syntax()),
        }
    }
    let statements = statements.filter(|list| !list.is_empty()).ok_or_else(syntax)?;
    let mut principals = Vec::new();
    // The version may stand after the statements, so they are read only now.
    let statements = statements
        .into_iter()
        .map(|value| statement(value, kind, version, limits, &mut principals))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((statements, principals))
}

/// The elements of a statement as they come, before they are known to fit together.
#[derive(Default)]
struct Draft {
    sid: Option<Box<str>>,
    effect: Option<Effect>,
    principals: Option<Vec<PrincipalName>>,
    actions: Option<Selection<ActionPattern>>,
    resources: Option<Selection<ResourcePattern>>,
    conditions: Box<[Condition]>,
}

fn statement(
    value: Json,
    kind: Kind,
    version: Version,
    limits: &Limits,
    principals: &mut Vec<PrincipalName>,
) -> Result<Statement, Malformed> {
    let Json::Object(members) = value else {
        return Err(Malformed::grammar());
    };
    let mut draft = Draft::default();
    for (name, value) in members {
        element(&mut draft, &name, value, version, limits)?;
    }
    let effect = draft.effect.ok_or_else(|| Malformed::syntax("Policy statement must contain an effect."))?;
    if kind == Kind::Identity && draft.principals.is_some() {
        return Err(Malformed::syntax("Policy document should not specify a principal."));
    }
    if kind == Kind::Resource && draft.principals.is_none() {
        return Err(Malformed::syntax("Policy contains a statement with no principal."));
    }
    if kind == Kind::Identity && draft.actions.is_none() {
        return Err(Malformed::syntax("Policy statement must contain actions."));
    }
    if kind == Kind::Identity && draft.resources.is_none() {
        return Err(Malformed::syntax("Policy statement must contain resources."));
    }
    let compiled = draft.principals.as_deref().map(Principals::new);
    principals.extend(draft.principals.into_iter().flatten());
    Ok(Statement {
        sid: draft.sid,
        effect,
        principals: compiled,
        actions: draft.actions.unwrap_or(Selection::Nothing),
        resources: draft.resources.unwrap_or(Selection::Nothing),
        conditions: draft.conditions,
    })
}

/// Takes one element. A pair such as Action and NotAction excludes itself.
fn element(draft: &mut Draft, name: &str, value: Json, version: Version, limits: &Limits) -> Result<(), Malformed> {
    let twice = Malformed::grammar;
    match name {
        "Sid" => match value {
            Json::Text(text) => draft.sid = Some(text.into()),
            _ => return Err(Malformed::grammar()),
        },
        "Effect" => match value {
            Json::Text(text) if text == "Allow" => draft.effect = Some(Effect::Allow),
            Json::Text(text) if text == "Deny" => draft.effect = Some(Effect::Deny),
            _ => return Err(Malformed::syntax("Invalid effect.")),
        },
        "Principal" => draft.principals = Some(principal(value)?),
        "Action" | "NotAction" => {
            let patterns = texts(value)?.iter().map(|text| action(text)).collect::<Result<Box<[_]>, _>>()?;
            let all_but = name == "NotAction";
            let selection = if all_but { Selection::AllBut(patterns) } else { Selection::Only(patterns) };
            if draft.actions.replace(selection).is_some() {
                return Err(twice());
            }
        }
        "Resource" | "NotResource" => {
            let all_but = name == "NotResource";
            let read = |text: &String| resource(text, all_but, version, limits);
            let patterns = texts(value)?.iter().map(read).collect::<Result<Box<[_]>, _>>()?;
            let selection = if all_but { Selection::AllBut(patterns) } else { Selection::Only(patterns) };
            if draft.resources.replace(selection).is_some() {
                return Err(twice());
            }
        }
        "Condition" => draft.conditions = conditions(value, version, limits)?,
        "NotPrincipal" => return Err(Malformed::unsupported(name)),
        _ => return Err(Malformed::grammar()),
    }
    Ok(())
}

/// `"*"`, or `{"AWS": one or several}`.
fn principal(value: Json) -> Result<Vec<PrincipalName>, Malformed> {
    let members = match value {
        Json::Text(text) if text == "*" => return Ok(vec![PrincipalName::Everyone]),
        Json::Object(members) if !members.is_empty() => members,
        _ => return Err(Malformed::invalid_principal()),
    };
    let mut names = Vec::new();
    for (kind, value) in members {
        match kind.as_str() {
            "AWS" => {}
            "Service" | "Federated" => {
                return Err(Malformed::unsupported(&format!("{kind} principal")));
            }
            _ => return Err(Malformed::invalid_principal()),
        }
        for text in texts(value).map_err(|_| Malformed::invalid_principal())? {
            names.push(PrincipalName::parse(&text).ok_or_else(Malformed::invalid_principal)?);
        }
    }
    Ok(names)
}

fn action(text: &str) -> Result<ActionPattern, Malformed> {
    ActionPattern::parse(text)
        .ok_or_else(|| Malformed::syntax("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."))
}

fn resource(text: &str, negated: bool, version: Version, limits: &Limits) -> Result<ResourcePattern, Malformed> {
    let variables = version == Version::V2012;
    let pattern = ResourcePattern::parse(text, variables)
        .ok_or_else(|| Malformed::syntax(format!("Resource {text} must be in ARN format or \"*\".")))?;
    for key in pattern.keys() {
        // A NotResource whose variable has no value would speak about everything.
        if negated || known(key, limits).is_err() {
            return Err(Malformed::unsupported("a policy variable"));
        }
    }
    Ok(pattern)
}

/// One text or a list of at least one.
fn texts(value: Json) -> Result<Vec<String>, Malformed> {
    let list = match value {
        Json::List(list) if !list.is_empty() => list,
        text @ Json::Text(_) => vec![text],
        _ => return Err(Malformed::grammar()),
    };
    list.into_iter()
        .map(|item| match item {
            Json::Text(text) => Ok(text),
            _ => Err(Malformed::grammar()),
        })
        .collect()
}
