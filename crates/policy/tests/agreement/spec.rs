//! The second opinion: AWS's decision procedure, step by step from the JSON text. Slow, and shares no code with the
//! crate: principals are compared as strings, wildcards by a table, statements are read anew for every question.

use serde_json::Value;

/// The values of every condition key that the request carries.
pub(crate) type Facts = [(&'static str, Vec<&'static str>)];

/// The keys that may have several values.
const MULTI_VALUED: [&str; 1] = ["kms:EncryptionContextKeys"];

/// The question in strings.
pub(crate) struct Asked<'a> {
    pub(crate) kind: &'a str,
    pub(crate) account: &'a str,
    pub(crate) arn: &'a str,
    pub(crate) parent: Option<&'a str>,
    /// The unique id of the user, the role, or the user behind the session.
    pub(crate) id: Option<&'a str>,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) cross_account_capable: bool,
    pub(crate) context: &'a Facts,
}

/// The sources in JSON; grants as (grantee, action, the grantee's id).
pub(crate) struct Texts<'a> {
    /// `key`, `role`, `either`, `none` or `grants`.
    pub(crate) resource: &'a str,
    pub(crate) resource_policy: &'a Value,
    /// The names of the resource policy that were bound when it was saved, and their ids.
    pub(crate) bindings: &'a [(&'a str, &'a str)],
    pub(crate) identity: &'a [Value],
    pub(crate) boundary: Option<&'a Value>,
    pub(crate) session: Option<&'a [Value]>,
    pub(crate) service_control: &'a [Vec<Value>],
    pub(crate) grants: &'a [(String, String, Option<&'static str>)],
}

/// Is it allowed? The numbers are those of reference/authorization.md section 2; for roles those of iam-sts.md section
/// 5.
pub(crate) fn allowed(asked: &Asked<'_>, texts: &Texts<'_>) -> bool {
    let same_account = asked.account == asked.owner;
    // 1.
    if !same_account && !asked.cross_account_capable {
        return false;
    }
    if texts.resource == "role" && asked.kind == "root" {
        return false;
    }
    // 2.
    let has_policy = ["key", "role", "either"].contains(&texts.resource);
    let attached = texts
        .identity
        .iter()
        .chain(texts.boundary)
        .chain(texts.session.unwrap_or_default())
        .chain(texts.service_control.iter().flatten());
    for policy in attached {
        if !matching(policy, "Deny", asked).is_empty() {
            return false;
        }
    }
    if has_policy {
        let denies = matching(texts.resource_policy, "Deny", asked);
        if denies.iter().any(|statement| !names(statement, "Deny", asked, texts).is_empty()) {
            return false;
        }
    }
    // 3.
    if !texts.service_control.iter().all(|level| level.iter().any(|policy| says_allow(policy, asked))) {
        return false;
    }
    let passed_on = match texts.session {
        None => asked.kind != "federated" && asked.kind != "token",
        Some(list) => list.iter().any(|policy| says_allow(policy, asked)),
    };
    let ceilings = passed_on && texts.boundary.is_none_or(|policy| says_allow(policy, asked));
    let identity = asked.kind == "root" || ceilings && texts.identity.iter().any(|policy| says_allow(policy, asked));
    let granted = || texts.grants.iter().any(|grant| granted(grant, asked, ceilings, identity));
    if !has_policy {
        return if texts.resource == "grants" { granted() } else { same_account && identity };
    }
    let allows = matching(texts.resource_policy, "Allow", asked);
    let named: Vec<&str> = allows.iter().flat_map(|statement| names(statement, "Allow", asked, texts)).collect();
    let has = |what: &str| named.contains(&what);
    // 4 and 5.
    let by_policy = if same_account {
        has("caller") || has("parent") && ceilings || has("account") && identity
    } else {
        !named.is_empty() && identity
    };
    match texts.resource {
        "key" => by_policy || granted(),
        "either" => by_policy || same_account && identity,
        _ => by_policy,
    }
}

fn granted(grant: &(String, String, Option<&'static str>), asked: &Asked<'_>, ceilings: bool, identity: bool) -> bool {
    let (grantee, action, id) = grant;
    action == asked.action
        && match how_named(grantee, *id, "Allow", asked) {
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
        let action = one_of(statement, "Action", "NotAction", |pattern| {
            let plain = pieces(&pattern.to_ascii_lowercase(), true, false, &[]).unwrap();
            Ok(wildcard(&plain, &asked.action.to_ascii_lowercase()))
        });
        // A trust policy has no resource; of any other policy a statement without one has no effect.
        let resource = if asked.action.starts_with("sts:")
            && statement.get("Resource").or(statement.get("NotResource")).is_none()
        {
            Some(true)
        } else {
            one_of(statement, "Resource", "NotResource", |pattern| {
                arn_matches(pattern, asked.resource, variables, asked.context)
            })
        };
        let met = conditions(&statement["Condition"], variables, asked.context);
        let parts = [action, resource, met];
        statement["Effect"] == effect && !parts.contains(&Some(false)) && (effect == "Deny" || parts == [Some(true); 3])
    });
    found
}

fn one_of(
    statement: &Value,
    positive: &str,
    negative: &str,
    matches: impl Fn(&str) -> Result<bool, Lack>,
) -> Option<bool> {
    let each = |value: &Value| list(value).iter().map(|pattern| matches(pattern.as_str().unwrap())).collect::<Vec<_>>();
    let (value, wanted) = match (statement.get(positive), statement.get(negative)) {
        (Some(value), None) => (value, true),
        (None, Some(value)) => (value, false),
        _ => return Some(false),
    };
    let each = each(value);
    if each.contains(&Ok(true)) {
        return Some(wanted);
    }
    // What has no value matches nothing, but whether it is left out cannot be told.
    let lacks = each.contains(&Err(Lack::Ambiguous)) || !wanted && each.contains(&Err(Lack::Absent));
    (!lacks).then_some(!wanted)
}

/// A lack when all before the last part matches.
fn arn_matches(pattern: &str, arn: &str, variables: bool, facts: &Facts) -> Result<bool, Lack> {
    if pattern == "*" {
        return Ok(true);
    }
    let values: Vec<&str> = arn.splitn(6, ':').collect();
    let pattern = match pieces(pattern, true, variables, facts) {
        Ok(pattern) => pattern,
        Err(lack) => {
            let heads: Vec<&str> = pattern.splitn(6, ':').take(5).collect();
            let head = |(pattern, value): (&&str, &&str)| wildcard(&pieces(pattern, true, false, &[]).unwrap(), value);
            return if values.len() == 6 && heads.iter().zip(&values).all(head) { Err(lack) } else { Ok(false) };
        }
    };
    let patterns: Vec<&[Piece]> = pattern.splitn(6, |piece| *piece == Piece::Own(':')).collect();
    let matches = patterns.len() == 6
        && values.len() == 6
        && patterns.iter().zip(values).all(|(pattern, value)| wildcard(pattern, value));
    Ok(matches)
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
    // Names of an encryption context that differ in letter case only: nobody can tell which pair is meant.
    if request.len() > 1 && !MULTI_VALUED.contains(&key) {
        return None;
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
            if hits.contains(&Some(true)) {
                Some(!negated)
            } else if hits.contains(&None) {
                None
            } else {
                Some(negated)
            }
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
    // What has no value matches nothing; what has several cannot be told.
    let same = |pattern: Result<Vec<Piece>, Lack>, found: &str| match pattern {
        Ok(pattern) => Some(wildcard(&pattern, found)),
        Err(Lack::Absent) => Some(false),
        Err(Lack::Ambiguous) => None,
    };
    if let Some(comparison) = base.strip_prefix("Numeric") {
        return Some(ordered(comparison, found.parse::<f64>().ok()?, wanted.parse::<f64>().unwrap()));
    }
    if let Some(comparison) = base.strip_prefix("Date") {
        return Some(ordered(comparison, seconds(found)?, seconds(wanted).unwrap()));
    }
    Some(match base {
        "StringEquals" => same(text(false), found)?,
        "StringLike" => same(text(true), found)?,
        "StringEqualsIgnoreCase" => {
            let lower = |piece: Piece| match piece {
                Piece::Own(character) => Piece::Own(character.to_ascii_lowercase()),
                Piece::Value(character) => Piece::Value(character.to_ascii_lowercase()),
                other => other,
            };
            same(text(false).map(|it| it.into_iter().map(lower).collect()), &found.to_ascii_lowercase())?
        }
        "ArnEquals" | "ArnLike" => match arn_matches(wanted, found, variables, facts) {
            Ok(matches) => matches,
            Err(Lack::Absent) => false,
            Err(Lack::Ambiguous) => return None,
        },
        // The generator's base64 is either well-formed or has another length or a character that is none.
        "BinaryEquals" => {
            let digits = found.trim_end_matches('=').chars();
            if !found.len().is_multiple_of(4)
                || digits.into_iter().any(|it| !it.is_ascii_alphanumeric() && it != '+' && it != '/')
            {
                return None;
            }
            found == wanted
        }
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

/// Every way in which a statement of a resource policy names the caller.
fn names(statement: &Value, effect: &str, asked: &Asked<'_>, texts: &Texts<'_>) -> Vec<&'static str> {
    let said = |element: &Value, effect: &str| -> Vec<&'static str> {
        if element == "*" {
            return if asked.kind == "token" && effect == "Allow" { vec![] } else { vec!["caller"] };
        }
        let under = |kind: &str| element.get(kind).map(list).unwrap_or_default();
        if asked.kind == "token" {
            let everyone = under("AWS").iter().any(|name| *name == "*") && effect == "Deny";
            let provider = under("Federated").iter().any(|name| *name == asked.arn);
            return if everyone || provider { vec!["caller"] } else { vec![] };
        }
        let known = |name: &str| texts.bindings.iter().find(|(bound, _)| *bound == name).map(|(_, id)| *id);
        let names = under("AWS").into_iter().map(|name| name.as_str().unwrap());
        names.filter_map(|name| how_named(name, known(name), effect, asked)).collect()
    };
    if let Some(spared) = statement.get("NotPrincipal") {
        let spared: Vec<&str> = list(&spared["AWS"]).iter().map(|name| name.as_str().unwrap()).collect();
        let root = format!("arn:aws:iam::{}:root", asked.account);
        let account = spared.contains(&asked.account) || spared.contains(&root.as_str());
        let said = said(&serde_json::json!({"AWS": spared}), "Allow");
        // Of accounts only a root user is the caller, and that is spared by its account.
        let itself = asked.kind == "root" || asked.kind != "token" && said.contains(&"caller");
        let all = account && itself && (asked.parent.is_none() || said.contains(&"parent"));
        return if all { vec![] } else { vec!["caller"] };
    }
    said(&statement["Principal"], effect)
}

/// What the caller is to a name of the policy, which had this id when the policy was saved.
fn how_named(name: &str, id: Option<&str>, effect: &str, asked: &Asked<'_>) -> Option<&'static str> {
    if asked.kind == "token" {
        return None;
    }
    let root = format!("arn:aws:iam::{}:root", asked.account);
    if name == "*" || asked.kind == "root" && (name == asked.account || name == root) {
        return Some("caller");
    }
    if name == root || name == asked.account {
        return Some("account");
    }
    let by_arn = if name == asked.arn {
        Some("caller")
    } else if Some(name) == asked.parent {
        Some("parent")
    } else {
        None
    };
    let resource = name.rsplit(':').next().unwrap();
    let kind = resource.split('/').next().unwrap();
    if !["user", "role", "assumed-role"].contains(&kind) {
        return by_arn;
    }
    match (id, asked.id) {
        // An id is enough, whatever its owner is called now; of a session its own name counts too.
        (Some(named), Some(own)) if named != own => None,
        (Some(_), Some(_)) => match (kind, asked.kind) {
            ("user", "user") => Some("caller"),
            ("user", "federated") | ("role", "session") => Some("parent"),
            ("assumed-role", "session") if resource.rsplit('/').next() == asked.arn.rsplit('/').next() => {
                Some("caller")
            }
            _ => None,
        },
        (None, None) => by_arn,
        // Nobody can tell when only one of them has an id.
        _ => by_arn.filter(|_| effect == "Deny"),
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

/// Why a variable has no value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lack {
    /// The request has none.
    Absent,
    /// The request has several.
    Ambiguous,
}

fn pieces(text: &str, wild: bool, variables: bool, facts: &Facts) -> Result<Vec<Piece>, Lack> {
    let mut pieces = Vec::new();
    let mut absent = false;
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
                (_, []) => match default {
                    Some(default) => default,
                    None => {
                        absent = true;
                        continue;
                    }
                },
                _ => return Err(Lack::Ambiguous),
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
    if absent { Err(Lack::Absent) } else { Ok(pieces) }
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
