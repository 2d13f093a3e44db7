//! From JSON to statements. Whatever is not evaluated is refused here, so that no saved policy is ever half understood.

use std::collections::BTreeSet;

use crate::condition::Condition;
use crate::condition_parse::{Keys, conditions};
use crate::decide::Effect;
use crate::json::{self, Json};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::naming::Principals;
use crate::principal::PrincipalName;
use crate::shared_issuer;
use crate::statement::{ActionPattern, ResourcePattern, Selection, Statement, Who};

/// Which grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says who; a statement without Action or Resource is taken and has no effect.
    Key,
    /// Attached to whom it speaks about.
    Identity,
    /// Says who may take a role; the role is the only resource.
    Trust,
}

/// Which meaning `${...}` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Variables are literal text.
    V2008,
    /// Variables are substituted.
    V2012,
}

/// What is the same for all statements of a document.
#[derive(Clone, Copy)]
struct Grammar<'a> {
    kind: Kind,
    version: Version,
    limits: &'a Limits,
}

/// The statements of the text, and every principal that they name.
pub(crate) fn parse(
    text: &str,
    kind: Kind,
    limits: &Limits,
) -> Result<(Vec<Statement>, Vec<PrincipalName>), Malformed> {
    if text.len() > limits.bytes_max {
        return Err(Malformed::too_long(limits.bytes_max));
    }
    if !text.chars().all(json::is_admitted) {
        return Err(Malformed::syntax("Policy contains characters that are not allowed."));
    }
    let syntax = Malformed::grammar;
    let Ok(Json::Object(members)) = json::parse(text) else {
        return Err(if kind == Kind::Trust {
            Malformed::syntax("This policy contains invalid Json")
        } else {
            syntax()
        });
    };
    let mut grammar = Grammar { kind, version: Version::V2008, limits };
    let mut statements = None;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Version", Json::Text(text)) if text == "2012-10-17" => grammar.version = Version::V2012,
            ("Version", Json::Text(text)) if text == "2008-10-17" => grammar.version = Version::V2008,
            ("Version", _) => {
                return Err(Malformed::syntax("The policy must have a valid version string."));
            }
            ("Id", Json::Text(_)) if kind != Kind::Identity => {}
            ("Statement", Json::List(list)) => statements = Some(list),
            ("Statement", object @ Json::Object(_)) => statements = Some(vec![object]),
            _ => return Err(syntax()),
        }
    }
    let statements = statements.filter(|list| !list.is_empty()).ok_or_else(syntax)?;
    let mut principals = Vec::new();
    // The version may stand after the statements, so they are read only now.
    let statements =
        statements.into_iter().map(|value| grammar.statement(value, &mut principals)).collect::<Result<Vec<_>, _>>()?;
    if kind == Kind::Identity {
        check_names(&statements)?;
    }
    Ok((statements, principals))
}

/// The names of an identity policy's statements are letters and digits, each used once.
fn check_names(statements: &[Statement]) -> Result<(), Malformed> {
    let mut seen = BTreeSet::new();
    for sid in statements.iter().filter_map(|statement| statement.sid.as_deref()) {
        if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Malformed::syntax(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression \
                 [0-9A-Za-z]*",
            ));
        }
        if !sid.is_empty() && !seen.insert(sid) {
            return Err(Malformed::syntax("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(())
}

/// The elements of a statement as they come, before they are known to fit together.
#[derive(Default)]
struct Draft {
    sid: Option<Box<str>>,
    effect: Option<Effect>,
    /// Whether it is everybody but these.
    principals: Option<(bool, Vec<PrincipalName>)>,
    actions: Option<Selection<ActionPattern>>,
    resources: Option<Selection<ResourcePattern>>,
    conditions: Box<[Condition]>,
}

impl Grammar<'_> {
    fn statement(&self, value: Json, principals: &mut Vec<PrincipalName>) -> Result<Statement, Malformed> {
        let Json::Object(mut members) = value else {
            return Err(Malformed::grammar());
        };
        // The actions say which condition keys there may be.
        members.sort_by_key(|(name, _)| !matches!(name.as_str(), "Action" | "NotAction"));
        let mut draft = Draft::default();
        for (name, value) in members {
            self.element(&mut draft, &name, value)?;
        }
        let effect = draft.effect.ok_or_else(|| {
            let trust = self.kind == Kind::Trust;
            Malformed::syntax(if trust {
                "Missing required field Effect"
            } else {
                "Policy statement must contain an effect."
            })
        })?;
        self.check(&draft, effect)?;
        let actions = draft.actions.unwrap_or(Selection::Nothing);
        if let Some((_, names)) = &draft.principals {
            shared_issuer::check(self.limits.shared_issuers, effect, names, &actions, &draft.conditions)?;
        }
        let who = match draft.principals {
            None => Who::Attached,
            Some((all_but, names)) => {
                let compiled = Principals::new(&names);
                principals.extend(names);
                if all_but { Who::AllBut(compiled) } else { Who::Only(compiled) }
            }
        };
        let everything = self.kind == Kind::Trust;
        Ok(Statement {
            sid: draft.sid,
            effect,
            who,
            actions,
            resources: draft.resources.unwrap_or(if everything { Selection::Everything } else { Selection::Nothing }),
            conditions: draft.conditions,
        })
    }

    /// Which elements there must be, and which not.
    fn check(&self, draft: &Draft, effect: Effect) -> Result<(), Malformed> {
        let (principals, actions, resources) =
            (draft.principals.is_some(), draft.actions.is_some(), draft.resources.is_some());
        let refusal = match self.kind {
            Kind::Identity if principals => "Policy document should not specify a principal.",
            Kind::Identity if !actions => "Policy statement must contain actions.",
            Kind::Identity if !resources => "Policy statement must contain resources.",
            Kind::Trust if matches!(draft.resources, Some(Selection::AllBut(_))) => "Has prohibited field NotResource",
            Kind::Trust if resources => "Has prohibited field Resource",
            Kind::Trust if !principals => "Missing required field Principal",
            Kind::Trust if !actions => "Missing required field Action",
            Kind::Key if !principals => "Policy contains a statement with no principal.",
            Kind::Identity | Kind::Trust | Kind::Key => {
                // Everybody but a few is no promise that anybody reads closely.
                let wide = effect == Effect::Allow && matches!(draft.principals, Some((true, _)));
                return if wide { Err(Malformed::unsupported("NotPrincipal")) } else { Ok(()) };
            }
        };
        Err(Malformed::syntax(refusal))
    }

    /// Takes one element. A pair such as Action and NotAction excludes itself.
    fn element(&self, draft: &mut Draft, name: &str, value: Json) -> Result<(), Malformed> {
        let twice = match name {
            "Sid" => match value {
                Json::Text(text) => draft.sid.replace(text.into()).is_some(),
                _ => return Err(Malformed::grammar()),
            },
            "Effect" => match value {
                Json::Text(text) if text == "Allow" => draft.effect.replace(Effect::Allow).is_some(),
                Json::Text(text) if text == "Deny" => draft.effect.replace(Effect::Deny).is_some(),
                _ => return Err(Malformed::syntax("Invalid effect.")),
            },
            "NotPrincipal" if self.kind == Kind::Trust => {
                return Err(Malformed::syntax("Has prohibited field NotPrincipal"));
            }
            "Principal" | "NotPrincipal" => {
                let all_but = name == "NotPrincipal";
                let names = self.principal(value)?;
                if all_but && names.contains(&PrincipalName::Everyone) {
                    // A Deny for nobody.
                    return Err(Malformed::invalid_principal());
                }
                draft.principals.replace((all_but, names)).is_some()
            }
            "Action" | "NotAction" => {
                let patterns = self.actions(value, name == "NotAction")?;
                draft.actions.replace(patterns).is_some()
            }
            "Resource" | "NotResource" => {
                let keys = self.keys(draft.actions.as_ref());
                let read = |text: &String| resource(text, keys);
                let patterns = texts(value)?.iter().map(read).collect::<Result<Box<[_]>, _>>()?;
                let all_but = name == "NotResource";
                let selection = if all_but { Selection::AllBut(patterns) } else { Selection::Only(patterns) };
                draft.resources.replace(selection).is_some()
            }
            "Condition" => {
                draft.conditions = conditions(value, self.keys(draft.actions.as_ref()))?;
                false
            }
            _ => return Err(Malformed::grammar()),
        };
        if twice { Err(Malformed::grammar()) } else { Ok(()) }
    }

    fn actions(&self, value: Json, all_but: bool) -> Result<Selection<ActionPattern>, Malformed> {
        let patterns = texts(value)?.iter().map(|text| action(text)).collect::<Result<Box<[_]>, _>>()?;
        if self.kind == Kind::Trust && (all_but || !patterns.iter().all(ActionPattern::is_of_trust)) {
            return Err(Malformed::syntax("AssumeRole policy may only specify STS AssumeRole actions."));
        }
        Ok(if all_but { Selection::AllBut(patterns) } else { Selection::Only(patterns) })
    }

    /// The condition keys of a statement with these actions. One that says everything but some actions, or nothing, may
    /// be about those of our own services.
    fn keys(&self, actions: Option<&Selection<ActionPattern>>) -> Keys<'_> {
        let own = self.limits.own_services;
        let is_own = |pattern: &ActionPattern| {
            pattern.service().is_none_or(|service| own.iter().any(|name| name.eq_ignore_ascii_case(service)))
        };
        let elsewhere = match actions {
            Some(Selection::Only(patterns)) => !patterns.iter().any(is_own),
            Some(Selection::AllBut(_) | Selection::Nothing | Selection::Everything) | None => false,
        };
        let elsewhere = elsewhere && self.kind == Kind::Identity && !own.is_empty();
        Keys { limits: self.limits, elsewhere, version: self.version }
    }

    /// `"*"`, or `{"AWS": one or several, "Service": one or several}`; in a trust policy `"Federated"` too.
    fn principal(&self, value: Json) -> Result<Vec<PrincipalName>, Malformed> {
        let members = match value {
            Json::Text(text) if text == "*" => return Ok(vec![PrincipalName::Everyone]),
            Json::Object(members) if !members.is_empty() => members,
            _ => return Err(Malformed::invalid_principal()),
        };
        let mut names = Vec::new();
        for (kind, value) in members {
            let (shown, read): (_, fn(&str) -> Option<PrincipalName>) = match kind.as_str() {
                "AWS" => ("AWS", PrincipalName::parse),
                "Service" => ("SERVICE", PrincipalName::parse_service),
                "Federated" if self.kind == Kind::Trust => ("FEDERATED", PrincipalName::parse_federated),
                "Federated" => return Err(Malformed::unsupported("Federated principal")),
                _ => return Err(Malformed::invalid_principal()),
            };
            for text in texts(value).map_err(|_| Malformed::invalid_principal())? {
                let refusal = || match self.kind {
                    Kind::Trust => Malformed::trust_principal(shown, &text),
                    Kind::Key | Kind::Identity => Malformed::invalid_principal(),
                };
                names.push(read(&text).ok_or_else(refusal)?);
            }
        }
        Ok(names)
    }
}

fn action(text: &str) -> Result<ActionPattern, Malformed> {
    ActionPattern::parse(text)
        .ok_or_else(|| Malformed::syntax("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."))
}

fn resource(text: &str, keys: Keys<'_>) -> Result<ResourcePattern, Malformed> {
    let variables = keys.version == Version::V2012;
    let pattern = ResourcePattern::parse(text, variables)
        .ok_or_else(|| Malformed::syntax(format!("Resource {text} must be in ARN format or \"*\".")))?;
    for key in pattern.keys() {
        keys.variable(key).map_err(|_| Malformed::unsupported("a policy variable"))?;
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
