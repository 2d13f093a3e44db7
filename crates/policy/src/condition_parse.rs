//! The `Condition` element, from JSON to typed comparisons.

use crate::condition::{Comparison, Condition, ConditionText, Operands, Quantifier, boolean, is_base64};
use crate::glob::Case;
use crate::json::Json;
use crate::key::{self, KeyKind};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::parse::Version;
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
    Binary,
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
    ("BinaryEquals", false, Type::Binary),
    ("IpAddress", false, Type::Address),
    ("NotIpAddress", true, Type::Address),
    ("ArnEquals", false, Type::Arn),
    ("ArnLike", false, Type::Arn),
    ("ArnNotEquals", true, Type::Arn),
    ("ArnNotLike", true, Type::Arn),
    ("Null", false, Type::Null),
];

/// Which condition keys a statement may ask for.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) limits: &'a Limits,
    /// The statement can only match actions of services that are not here, so it decides nothing here.
    pub(crate) elsewhere: bool,
    pub(crate) version: Version,
}

/// The conditions of one statement; all of them must hold.
pub(crate) fn conditions(value: Json, keys: Keys<'_>) -> Result<Box<[Condition]>, Malformed> {
    // Without keys that the caller answers for, the element is not evaluated at all.
    if keys.limits.condition_keys.is_empty() {
        return Err(Malformed::unsupported("Condition"));
    }
    let Json::Object(operators) = value else {
        return Err(Malformed::grammar());
    };
    let mut conditions = Vec::new();
    for (name, members) in operators {
        let Json::Object(members) = members else {
            return Err(Malformed::grammar());
        };
        for (key, values) in members {
            conditions.push(condition(&name, &key, values, keys)?);
        }
    }
    Ok(conditions.into())
}

fn condition(name: &str, key: &str, values: Json, keys: Keys<'_>) -> Result<Condition, Malformed> {
    let operator = operator(name)?;
    let kind = keys.kind(key, operator.quantifier)?;
    let refused = || keys.limits.for_all_values_refused.iter().any(|family| key::is_of_family(key, family));
    if operator.quantifier == Quantifier::ForAllValues && refused() {
        return Err(Malformed::overly_permissive());
    }
    if !keys.elsewhere && !operator.compares.judges(kind) {
        return Err(Malformed::unsupported(&format!("{name} with the condition key {key}")));
    }
    let values = values_of(values)?;
    let operands = operands(operator.compares, &values, keys.version)?;
    for template in operands.templates() {
        for key in template.keys() {
            keys.variable(key)?;
        }
    }
    Ok(Condition {
        key: key::fold(key),
        many: kind == KeyKind::ArrayOfString,
        quantifier: operator.quantifier,
        if_exists: operator.if_exists,
        negated: operator.negated,
        operands,
        text: Box::new(ConditionText {
            operator: name.into(),
            key: key.into(),
            values: values.into_iter().map(String::into_boxed_str).collect(),
        }),
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
    let invalid = || Malformed::syntax(format!("Invalid Condition type : {name}."));
    let (_, negated, compares) = OPERATORS.iter().find(|(known, ..)| *known == base).ok_or_else(invalid)?;
    if *compares == Type::Null && (if_exists || quantifier != Quantifier::Single) {
        return Err(invalid());
    }
    Ok(Operator { quantifier, if_exists, negated: *negated, compares: *compares })
}

impl Type {
    /// Whether values of this kind can ever be judged. What is text to us may be anything to its maker; a typed value
    /// is text too, but of no other type.
    fn judges(self, kind: KeyKind) -> bool {
        use KeyKind::{Arn, ArrayOfString, Bool, Date, IpAddress, Numeric, NumericOrDate, String};
        if matches!(kind, String | ArrayOfString) {
            return true;
        }
        match self {
            Self::Text { .. } | Self::Null => true,
            // No key that is supplied holds bytes, but text may be their base64.
            Self::Binary => false,
            Self::Arn => kind == Arn,
            Self::Number(_) => matches!(kind, Numeric | NumericOrDate),
            Self::Moment(_) => matches!(kind, Date | NumericOrDate),
            Self::Truth => kind == Bool,
            Self::Address => kind == IpAddress,
        }
    }
}

impl Keys<'_> {
    /// What the key's values are. Refuses a key that the caller does not supply: absent, it would make a Deny fail
    /// open.
    fn kind(self, key: &str, quantifier: Quantifier) -> Result<KeyKind, Malformed> {
        if let Some(known) = key::find(self.limits.condition_keys, key) {
            return Ok(known.kind);
        }
        if self.limits.provider_keys
            && let Some(kind) = key::of_provider(key)
        {
            return Ok(kind);
        }
        if self.elsewhere && key::is_prefaced(key) {
            // Whether it is multi-valued only its maker knows; the policy's author did.
            let many = quantifier != Quantifier::Single;
            return Ok(if many { KeyKind::ArrayOfString } else { KeyKind::String });
        }
        Err(Malformed::unsupported(&format!("the condition key {key}")))
    }

    /// Refuses a key that cannot stand in for text: one that is not supplied, and one that has several values.
    pub(crate) fn variable(self, key: &str) -> Result<(), Malformed> {
        match self.kind(key, Quantifier::Single)? {
            KeyKind::ArrayOfString => Err(Malformed::unsupported(&format!("a variable of the condition key {key}"))),
            _ => Ok(()),
        }
    }
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
    let template = |text: &String, wild, case| {
        Template::parse(text, wild, variables, case)
            .map_err(|_| Malformed::syntax(format!("Invalid variable in {text}.")))
    };
    Ok(match compares {
        Type::Text { fold, wild } => {
            let case = if fold { Case::Folds } else { Case::Counts };
            Operands::Text(values.iter().map(|text| template(text, wild, case)).collect::<Result<_, _>>()?)
        }
        Type::Arn => Operands::Arn(typed(values, |text| Template::parse_arn(text, variables))?),
        Type::Number(comparison) => Operands::Number(comparison, typed(values, |text| scalar::decimal(text))?),
        Type::Moment(comparison) => Operands::Moment(comparison, typed(values, |text| scalar::moment(text))?),
        Type::Truth => Operands::Truth(typed(values, |text| boolean(text))?),
        Type::Address => Operands::Address(typed(values, |text| Network::parse(text))?),
        Type::Binary => Operands::Binary(typed(values, |text| is_base64(text).then(|| text.as_str().into()))?),
        Type::Null => Operands::Null(typed(values, |text| boolean(text))?),
    })
}

fn typed<T>(values: &[String], read: impl Fn(&String) -> Option<T>) -> Result<Box<[T]>, Malformed> {
    let one =
        |text: &String| read(text).ok_or_else(|| Malformed::syntax(format!("Invalid value in a condition: {text}.")));
    values.iter().map(one).collect()
}
