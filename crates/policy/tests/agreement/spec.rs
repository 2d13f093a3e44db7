//! The second opinion: AWS's decision procedure, step by step from the JSON text. Slow, and shares no code with the
//! crate: principals are compared as strings, wildcards by a table, statements are read anew for every question.

use serde_json::Value;

/// The values of every condition key that the request carries.
pub(crate) type Facts = [(&'static str, Vec<&'static str>)];

/// The question in strings.
pub(crate) struct Asked<'a> {
    pub(crate) kind: &'a str,
    pub(crate) account: &'a str,
    pub(crate) arn: &'a str,
    pub(crate) parent: Option<&'a str>,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) cross_account_capable: bool,
    pub(crate) context: &'a Facts,
}

/// The sources in JSON; grants as (grantee, action).
pub(crate) struct Texts<'a> {
    pub(crate) key_policy: Option<&'a Value>,
    pub(crate) identity: &'a [Value],
    pub(crate) boundary: Option<&'a Value>,
    pub(crate) session: Option<&'a [Value]>,
    pub(crate) service_control: &'a [Vec<Value>],
    pub(crate) grants: &'a [(String, String)],
}

/// Is it allowed? The numbers are those of reference/authorization.md section 2.
pub(crate) fn allowed(asked: &Asked<'_>, texts: &Texts<'_>) -> bool {
    let same_account = asked.account == asked.owner;
    // 1.
    if !same_account && !asked.cross_account_capable {
        return false;
    }
    // 2.
    let everything = texts
        .key_policy
        .into_iter()
        .chain(texts.identity)
        .chain(texts.boundary)
        .chain(texts.session.unwrap_or_default())
        .chain(texts.service_control.iter().flatten());
    for policy in everything {
        if matching(policy, "Deny", asked).iter().any(|statement| !names(statement, asked).is_empty()) {
            return false;
        }
    }
    // 3.
    if !texts.service_control.iter().all(|level| level.iter().any(|policy| says_allow(policy, asked))) {
        return false;
    }
    let ceilings = texts.boundary.is_none_or(|policy| says_allow(policy, asked))
        && texts.session.is_none_or(|list| list.iter().any(|policy| says_allow(policy, asked)));
    let identity = asked.kind == "root"
        || texts.identity.iter().any(|policy| says_allow(policy, asked))
            && ceilings
            && !(asked.kind == "federated" && texts.session.is_none());
    let Some(key_policy) = texts.key_policy else {
        return same_account && identity;
    };
    let named: Vec<&str> =
        matching(key_policy, "Allow", asked).iter().flat_map(|statement| names(statement, asked)).collect();
    let has = |what: &str| named.contains(&what);
    // 4 and 5.
    let by_policy = if same_account {
        has("caller") || has("parent") && ceilings || has("account") && identity
    } else {
        !named.is_empty() && identity
    };
    by_policy || texts.grants.iter().any(|grant| granted(grant, asked, ceilings, identity))
}

fn granted((grantee, action): &(String, String), asked: &Asked<'_>, ceilings: bool, identity: bool) -> bool {
    action == asked.action
        && match how_named(grantee, asked) {
            Some("caller") => grantee != "*",
            Some("parent") => ceilings,
            Some("account") => identity,
            _ => false,
        }
}

fn says_allow(policy: &Value, asked: &Asked<'_>) -> bool {
    !matching(policy, "Allow", asked).is_empty()
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

/// The statements with this effect whose action, resource and conditions match. What cannot be told denies and does
/// not allow.
fn matching<'a>(policy: &'a Value, effect: &str, asked: &Asked<'_>) -> Vec<&'a Value> {
    let variables = policy["Version"] == "2012-10-17";
    let mut found = list(&policy["Statement"]);
    found.retain(|statement| {
        let met = conditions(&statement["Condition"], variables, asked.context);
        statement["Effect"] == effect
            && one_of(statement, "Action", "NotAction", |pattern| {
                let plain = pieces(&pattern.to_ascii_lowercase(), true, false, &[]).unwrap();
                wildcard(&plain, &asked.action.to_ascii_lowercase())
            })
            && one_of(statement, "Resource", "NotResource", |pattern| {
                arn_matches(pattern, asked.resource, variables, asked.context)
            })
            && met.unwrap_or(effect == "Deny")
    });
    found
}

fn one_of(statement: &Value, positive: &str, negative: &str, matches: impl Fn(&str) -> bool) -> bool {
    let any = |value: &Value| list(value).iter().any(|pattern| matches(pattern.as_str().unwrap()));
    match (statement.get(positive), statement.get(negative)) {
        (Some(value), None) => any(value),
        (None, Some(value)) => !any(value),
        _ => false,
    }
}

fn arn_matches(pattern: &str, arn: &str, variables: bool, facts: &Facts) -> bool {
    if pattern == "*" {
        return true;
    }
    let Some(pattern) = pieces(pattern, true, variables, facts) else { return false };
    let patterns: Vec<&[Piece]> = pattern.splitn(6, |piece| *piece == Piece::Own(':')).collect();
    let values: Vec<&str> = arn.splitn(6, ':').collect();
    patterns.len() == 6
        && values.len() == 6
        && patterns.iter().zip(values).all(|(pattern, value)| wildcard(pattern, value))
}

/// All conditions of a statement: `None` if one cannot be told and none is false.
fn conditions(condition: &Value, variables: bool, facts: &Facts) -> Option<bool> {
    let Some(operators) = condition.as_object() else { return Some(true) };
    let mut outcome = Some(true);
    for (operator, keys) in operators {
        for (key, values) in keys.as_object().unwrap() {
            match one_condition(operator, key, &list(values), variables, facts) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => outcome = None,
            }
        }
    }
    outcome
}

fn values_of<'a>(key: &str, facts: &'a Facts) -> &'a [&'static str] {
    facts.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map_or(&[], |(_, values)| values.as_slice())
}

fn one_condition(operator: &str, key: &str, policy: &[&Value], variables: bool, facts: &Facts) -> Option<bool> {
    let request = values_of(key, facts);
    let policy: Vec<&str> = policy.iter().map(|value| value.as_str().unwrap()).collect();
    if operator == "Null" {
        return Some(policy.iter().any(|wanted| (*wanted == "true") == request.is_empty()));
    }
    let any_value = operator.starts_with("ForAnyValue:");
    let all_values = operator.starts_with("ForAllValues:");
    let if_exists = operator.ends_with("IfExists");
    let base = operator.rsplit(':').next().unwrap().trim_end_matches("IfExists");
    let negated = base.contains("Not");
    let base = base.replace("Not", "");
    if request.is_empty() {
        return Some(all_values || if_exists || negated && !any_value);
    }
    let verdicts: Vec<Option<bool>> = request
        .iter()
        .map(|value| {
            let hits: Vec<Option<bool>> =
                policy.iter().map(|wanted| compare(&base, value, wanted, variables, facts)).collect();
            // A value of the wrong type is so for every value of the policy.
            if hits.contains(&None) { None } else { Some(hits.contains(&Some(true)) != negated) }
        })
        .collect();
    // Several values without a set operator: a match needs one, a negation all.
    let need_all = all_values || !any_value && negated;
    match (verdicts.contains(&Some(!need_all)), verdicts.contains(&None)) {
        (true, _) => Some(!need_all),
        (false, true) => None,
        (false, false) => Some(need_all),
    }
}

fn compare(base: &str, found: &str, wanted: &str, variables: bool, facts: &Facts) -> Option<bool> {
    let text = |wild| pieces(wanted, wild, variables, facts);
    let same = |pattern: Option<Vec<Piece>>, found: &str| pattern.is_some_and(|pattern| wildcard(&pattern, found));
    if let Some(comparison) = base.strip_prefix("Numeric") {
        return Some(ordered(comparison, found.parse::<f64>().ok()?, wanted.parse::<f64>().unwrap()));
    }
    if let Some(comparison) = base.strip_prefix("Date") {
        return Some(ordered(comparison, seconds(found)?, seconds(wanted).unwrap()));
    }
    Some(match base {
        "StringEquals" => same(text(false), found),
        "StringLike" => same(text(true), found),
        "StringEqualsIgnoreCase" => {
            let lower = |piece: Piece| match piece {
                Piece::Own(character) => Piece::Own(character.to_ascii_lowercase()),
                Piece::Value(character) => Piece::Value(character.to_ascii_lowercase()),
                other => other,
            };
            same(text(false).map(|it| it.into_iter().map(lower).collect()), &found.to_ascii_lowercase())
        }
        "ArnEquals" | "ArnLike" => arn_matches(wanted, found, variables, facts),
        "Bool" => {
            let found = found.to_ascii_lowercase();
            if found != "true" && found != "false" {
                return None;
            }
            found == wanted.to_ascii_lowercase()
        }
        "IpAddress" => {
            let (network, bits) = wanted.split_once('/').unwrap_or((wanted, "32"));
            let mask = (1_u64 << 32) - (1_u64 << (32 - bits.parse::<u32>().unwrap()));
            address(found)? & mask == address(network).unwrap() & mask
        }
        other => unreachable!("{other}"),
    })
}

fn ordered(comparison: &str, found: f64, wanted: f64) -> bool {
    match comparison {
        "Equals" => found == wanted,
        "LessThan" => found < wanted,
        "LessThanEquals" => found <= wanted,
        "GreaterThan" => found > wanted,
        "GreaterThanEquals" => found >= wanted,
        other => unreachable!("{other}"),
    }
}

/// The dates of the generator by table.
fn seconds(text: &str) -> Option<f64> {
    match text {
        "2026-01-01T00:00:00Z" => Some(1_767_225_600.0),
        "2026-06-01T00:00:00Z" => Some(1_780_272_000.0),
        other => other.parse().ok(),
    }
}

fn address(text: &str) -> Option<u64> {
    let octets: Vec<u64> = text.split('.').map(|octet| octet.parse().ok()).collect::<Option<_>>()?;
    (octets.len() == 4).then(|| octets.iter().fold(0, |sum, octet| sum * 256 + octet))
}

/// Every way in which the statement names the caller; a policy without principals names whom it is attached to.
fn names(statement: &Value, asked: &Asked<'_>) -> Vec<&'static str> {
    match statement.get("Principal") {
        None => vec!["caller"],
        Some(Value::String(_)) => vec!["caller"],
        Some(object) => {
            list(&object["AWS"]).iter().filter_map(|name| how_named(name.as_str().unwrap(), asked)).collect()
        }
    }
}

fn how_named(name: &str, asked: &Asked<'_>) -> Option<&'static str> {
    let root = format!("arn:aws:iam::{}:root", asked.account);
    if name == "*" || name == asked.arn || asked.kind == "root" && name == asked.account {
        Some("caller")
    } else if Some(name) == asked.parent {
        Some("parent")
    } else if name == root || name == asked.account {
        Some("account")
    } else {
        None
    }
}

/// A pattern in pieces: its own characters, those of variables' values, and wildcards.
#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Own(char),
    Value(char),
    One,
    Run,
}

/// `None` when a variable has no value.
fn pieces(text: &str, wild: bool, variables: bool, facts: &Facts) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if variables && character == '$' && characters.as_str().starts_with('{') {
            let body: String = characters.by_ref().skip(1).take_while(|it| *it != '}').collect();
            let (key, default) = match body.split_once(", ") {
                Some((key, default)) => (key.to_owned(), Some(default.trim_matches('\'').to_owned())),
                None => (body, None),
            };
            let value = match (key.as_str(), values_of(&key, facts)) {
                ("*" | "?" | "$", _) => key.clone(),
                (_, [one]) => (*one).to_owned(),
                _ => default?,
            };
            pieces.extend(value.chars().map(Piece::Value));
        } else {
            pieces.push(match character {
                '*' if wild => Piece::Run,
                '?' if wild => Piece::One,
                own => Piece::Own(own),
            });
        }
    }
    Some(pieces)
}

fn wildcard(pattern: &[Piece], value: &str) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return value.is_empty() };
    let mut ends = value.char_indices().map(|(index, _)| index).chain([value.len()]);
    let next = value.chars().next();
    match first {
        Piece::Run => ends.any(|index| wildcard(rest, &value[index..])),
        Piece::One => next.is_some_and(|found| wildcard(rest, &value[found.len_utf8()..])),
        Piece::Own(wanted) | Piece::Value(wanted) => {
            next.is_some_and(|found| found == *wanted && wildcard(rest, &value[found.len_utf8()..]))
        }
    }
}
