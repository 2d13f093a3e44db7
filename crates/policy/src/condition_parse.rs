//! The `Condition` element, from JSON to typed comparisons.

use crate::condition::{Comparison, Condition, Operands, Quantifier, boolean};
use crate::json::Json;
use crate::parse::{Limits, Malformed, Version};
use crate::scalar::{self, Network};
use crate::template::Template;

/// What an operator compares, before its values are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text { fold: bool, wild: bool },
    Arn,
    Number(Comparison),
    Moment(Comparison),
    Truth,
    Address,
    Null,
}

/// An operator's name, taken apart.
struct Operator {
    quantifier: Quantifier,
    if_exists: bool,
    negated: bool,
    compares: Type,
}

/// Every operator without prefix and suffix: its name, whether it is a negation, and what it compares.
const OPERATORS: &[(&str, bool, Type)] = &[
    ("StringEquals", false, Type::Text { fold: false, wild: false }),
    ("StringNotEquals", true, Type::Text { fold: false, wild: false }),
    ("StringEqualsIgnoreCase", false, Type::Text { fold: true, wild: false }),
    ("StringNotEqualsIgnoreCase", true, Type::Text { fold: true, wild: false }),
    ("StringLike", false, Type::Text { fold: false, wild: true }),
    ("StringNotLike", true, Type::Text { fold: false, wild: true }),
    ("NumericEquals", false, Type::Number(Comparison::Equals)),
    ("NumericNotEquals", true, Type::Number(Comparison::Equals)),
    ("NumericLessThan", false, Type::Number(Comparison::LessThan)),
    ("NumericLessThanEquals", false, Type::Number(Comparison::LessThanEquals)),
    ("NumericGreaterThan", false, Type::Number(Comparison::GreaterThan)),
    ("NumericGreaterThanEquals", false, Type::Number(Comparison::GreaterThanEquals)),
    ("DateEquals", false, Type::Moment(Comparison::Equals)),
    ("DateNotEquals", true, Type::Moment(Comparison::Equals)),
    ("DateLessThan", false, Type::Moment(Comparison::LessThan)),
    ("DateLessThanEquals", false, Type::Moment(Comparison::LessThanEquals)),
    ("DateGreaterThan", false, Type::Moment(Comparison::GreaterThan)),
    ("DateGreaterThanEquals", false, Type::Moment(Comparison::GreaterThanEquals)),
    ("Bool", false, Type::Truth),
    ("IpAddress", false, Type::Address),
    ("NotIpAddress", true, Type::Address),
    ("ArnEquals", false, Type::Arn),
    ("ArnLike", false, Type::Arn),
    ("ArnNotEquals", true, Type::Arn),
    ("ArnNotLike", true, Type::Arn),
    ("Null", false, Type::Null),
];

/// The conditions of one statement; all of them must hold.
pub(crate) fn conditions(value: Json, version: Version, limits: &Limits) -> Result<Box<[Condition]>, Malformed> {
    // Without keys that the caller answers for, the element is not evaluated at all.
    if limits.condition_keys.is_empty() {
        return Err(Malformed::unsupported("Condition"));
    }
    let Json::Object(operators) = value else {
        return Err(Malformed::grammar());
    };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let Json::Object(keys) = keys else {
            return Err(Malformed::grammar());
        };
        for (key, values) in keys {
            conditions.push(condition(&name, &key, values, version, limits)?);
        }
    }
    Ok(conditions.into())
}

fn condition(name: &str, key: &str, values: Json, version: Version, limits: &Limits) -> Result<Condition, Malformed> {
    let operator = operator(name)?;
    known(key, limits)?;
    if operator.quantifier == Quantifier::ForAllValues && family(key, limits).is_some() {
        return Err(Malformed::overly_permissive());
    }
    let operands = operands(operator.compares, &values_of(values)?, version)?;
    for template in templates(&operands) {
        for key in template.keys() {
            known(key, limits)?;
        }
    }
    Ok(Condition {
        key: key.to_lowercase().into(),
        quantifier: operator.quantifier,
        if_exists: operator.if_exists,
        negated: operator.negated,
        operands,
    })
}

fn operator(name: &str) -> Result<Operator, Malformed> {
    let (quantifier, rest) = if let Some(rest) = name.strip_prefix("ForAnyValue:") {
        (Quantifier::ForAnyValue, rest)
    } else if let Some(rest) = name.strip_prefix("ForAllValues:") {
        (Quantifier::ForAllValues, rest)
    } else {
        (Quantifier::Single, name)
    };
    let (base, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
    if base == "BinaryEquals" {
        return Err(Malformed::unsupported(base));
    }
    let invalid = || Malformed::syntax(format!("Invalid Condition type : {name}."));
    let (_, negated, compares) = OPERATORS.iter().find(|(known, ..)| *known == base).ok_or_else(invalid)?;
    if *compares == Type::Null && (if_exists || quantifier != Quantifier::Single) {
        return Err(invalid());
    }
    Ok(Operator { quantifier, if_exists, negated: *negated, compares: *compares })
}

/// Refuses a key that the caller does not supply: absent, it would make a Deny fail open.
pub(crate) fn known(key: &str, limits: &Limits) -> Result<(), Malformed> {
    let exact = limits.condition_keys.iter().any(|known| known.eq_ignore_ascii_case(key));
    if exact && !key.ends_with([':', '/']) || family(key, limits).is_some() {
        return Ok(());
    }
    Err(Malformed::unsupported(&format!("the condition key {key}")))
}

/// The family, such as `aws:RequestTag/`, of a key whose name is completed by the policy.
fn family<'a>(key: &str, limits: &Limits) -> Option<&'a str>
where
    'static: 'a,
{
    limits.condition_keys.iter().copied().find(|known| {
        known.ends_with([':', '/'])
            && key.len() > known.len()
            && key.get(..known.len()).is_some_and(|head| head.eq_ignore_ascii_case(known))
    })
}

/// One value or several; numbers and truth values may stand without quotes.
fn values_of(value: Json) -> Result<Vec<String>, Malformed> {
    let list = match value {
        Json::List(list) if !list.is_empty() => list,
        Json::List(_) => return Err(Malformed::grammar()),
        one => vec![one],
    };
    list.into_iter()
        .map(|item| match item {
            Json::Text(text) | Json::Number(text) => Ok(text),
            Json::Bool(value) => Ok(value.to_string()),
            Json::Null | Json::List(_) | Json::Object(_) => Err(Malformed::grammar()),
        })
        .collect()
}

fn operands(compares: Type, values: &[String], version: Version) -> Result<Operands, Malformed> {
    let variables = version == Version::V2012;
    let template = |text: &String, wild| {
        Template::parse(text, wild, variables).map_err(|_| Malformed::syntax(format!("Invalid variable in {text}.")))
    };
    Ok(match compares {
        Type::Text { fold, wild } => {
            let templates = values.iter().map(|text| template(text, wild)).collect::<Result<_, _>>()?;
            Operands::Text { fold, templates }
        }
        Type::Arn => Operands::Arn(typed(values, |text| template(text, true).ok()?.split_arn())?),
        Type::Number(comparison) => Operands::Number(comparison, typed(values, |text| scalar::decimal(text))?),
        Type::Moment(comparison) => Operands::Moment(comparison, typed(values, |text| scalar::moment(text))?),
        Type::Truth => Operands::Truth(typed(values, |text| boolean(text))?),
        Type::Address => Operands::Address(typed(values, |text| Network::parse(text))?),
        Type::Null => Operands::Null(typed(values, |text| boolean(text))?),
    })
}

fn typed<T>(values: &[String], read: impl Fn(&String) -> Option<T>) -> Result<Box<[T]>, Malformed> {
    let one =
        |text: &String| read(text).ok_or_else(|| Malformed::syntax(format!("Invalid value in a condition: {text}.")));
    values.iter().map(one).collect()
}

fn templates(operands: &Operands) -> Vec<&Template> {
    match operands {
        Operands::Text { templates, .. } => templates.iter().collect(),
        Operands::Arn(patterns) => patterns.iter().flatten().collect(),
        Operands::Number(..) | Operands::Moment(..) | Operands::Truth(_) | Operands::Address(_) | Operands::Null(_) => {
            Vec::new()
        }
    }
}
