//! Conditions, compiled: what a statement demands of the request's context.

use std::borrow::Borrow;
use std::net::IpAddr;

use crate::context::Context;
use crate::scalar::{self, Network};
use crate::steps::{COMPARISON_STEPS, LOOKUP_STEPS, Steps};
use crate::template::{Resolved, Template};

/// Three-valued truth. A value that does not fit its operator's type makes `Unknown`: a Deny then matches, an Allow
/// does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    No,
    Unknown,
    Yes,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

/// True if any is; an empty list is not.
pub(crate) fn any(mut truths: impl Iterator<Item = Truth>) -> Truth {
    let judged = truths.try_fold(Truth::No, |so_far, truth| match so_far.max(truth) {
        Truth::Yes => Err(Truth::Yes),
        undecided => Ok(undecided),
    });
    judged.unwrap_or_else(|decided| decided)
}

/// True if all are; an empty list is. What stands behind a false one is not looked at.
pub(crate) fn all(truths: impl Iterator<Item = Truth>) -> Truth {
    !any(truths.map(|truth| !truth))
}

/// How the values of the request combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// No set operator.
    Single,
    ForAnyValue,
    ForAllValues,
}

/// How two ordered values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Comparison {
    fn holds<T: Ord>(self, request: T, policy: T) -> Truth {
        let order = request.cmp(&policy);
        Truth::from(match self {
            Self::Equals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThan => order.is_gt(),
            Self::GreaterThanEquals => order.is_ge(),
        })
    }
}

/// The values of the policy, in the type of the operator.
#[derive(Debug)]
pub(crate) enum Operands {
    /// Whole texts; wildcards are tokens of the templates where the operator has them.
    Text(Box<[Template]>),
    /// Six parts each.
    Arn(Box<[[Template; 6]]>),
    Number(Comparison, Box<[i128]>),
    Moment(Comparison, Box<[i64]>),
    Truth(Box<[bool]>),
    Address(Box<[Network]>),
    /// In base64, of which every sequence of bytes has one form.
    Binary(Box<[Box<str>]>),
    /// Whether the key must be absent.
    Null(Box<[bool]>),
}

/// One operator on one key.
#[derive(Debug)]
pub(crate) struct Condition {
    /// In lower case.
    pub(crate) key: Box<str>,
    /// Whether the key is multi-valued.
    pub(crate) many: bool,
    pub(crate) quantifier: Quantifier,
    pub(crate) if_exists: bool,
    pub(crate) negated: bool,
    pub(crate) operands: Operands,
    /// What the policy says, for those who ask why.
    pub(crate) text: Box<ConditionText>,
}

/// A condition as it is written.
#[derive(Debug)]
pub(crate) struct ConditionText {
    pub(crate) operator: Box<str>,
    pub(crate) key: Box<str>,
    pub(crate) values: Box<[Box<str>]>,
}

impl Condition {
    /// The condition keys that it asks for: its own as it is written, then those of variables in lower case.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let templates = self.operands.templates();
        std::iter::once(&*self.text.key).chain(templates.into_iter().flat_map(Template::keys))
    }

    /// Whether the request meets the condition, if there are steps enough to tell.
    pub(crate) fn holds(&self, context: &dyn Context, steps: &Steps) -> Truth {
        steps.take(LOOKUP_STEPS);
        if steps.are_spent() {
            return Truth::Unknown;
        }
        let truth = self.compared(context, steps);
        steps.tell(truth)
    }

    fn compared(&self, context: &dyn Context, steps: &Steps) -> Truth {
        let values = context.values(&self.key).unwrap_or_default();
        if let Operands::Null(wanted) = &self.operands {
            return Truth::from(wanted.contains(&values.is_empty()));
        }
        if values.is_empty() {
            return Truth::from(match self.quantifier {
                Quantifier::ForAllValues => true,
                Quantifier::ForAnyValue => self.if_exists,
                Quantifier::Single => self.if_exists || self.negated,
            });
        }
        if values.len() > 1 && !self.many {
            return Truth::Unknown;
        }
        // A single value, as most have, needs no list.
        let wanted = if values.len() == 1 { None } else { Some(self.operands.resolve(context, steps)) };
        let mut each = values.iter().map(|value| {
            if steps.are_spent() {
                return Truth::Unknown;
            }
            let hit = match &wanted {
                Some(wanted) => wanted.hit(value, steps),
                None => self.operands.hit_one(value, context, steps),
            };
            if self.negated { !hit } else { hit }
        });
        match (self.quantifier, self.negated) {
            (Quantifier::ForAnyValue, _) | (Quantifier::Single, false) => any(&mut each),
            // Without a set operator a negation speaks about all the values: none may match.
            (Quantifier::ForAllValues, _) | (Quantifier::Single, true) => all(&mut each),
        }
    }
}

impl Operands {
    pub(crate) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(templates) => templates.iter().collect(),
            Self::Arn(patterns) => patterns.iter().flatten().collect(),
            Self::Number(..)
            | Self::Moment(..)
            | Self::Truth(_)
            | Self::Address(_)
            | Self::Binary(_)
            | Self::Null(_) => Vec::new(),
        }
    }

    /// The values of the policy with those of variables.
    fn resolve(&self, context: &dyn Context, steps: &Steps) -> Wanted<'_> {
        match self {
            Self::Text(templates) => {
                Wanted::Text(templates.iter().map(|template| template.resolve(context, steps)).collect())
            }
            Self::Arn(patterns) => {
                let resolved = patterns.iter().map(|parts| parts.each_ref().map(|part| part.resolve(context, steps)));
                Wanted::Arn(resolved.collect())
            }
            typed => Wanted::Typed(typed),
        }
    }

    /// Whether any of the policy's values matches the only value of the request.
    fn hit_one(&self, value: &str, context: &dyn Context, steps: &Steps) -> Truth {
        match self {
            Self::Text(templates) => {
                let judge = |template: &Template| template.resolve(context, steps).judges(value, steps);
                any(templates.iter().map(|template| judge(template).unwrap_or(Truth::No)))
            }
            Self::Arn(patterns) => any(patterns.iter().map(|parts| {
                let resolved = parts.iter().map(|part| part.resolve(context, steps));
                arn_matches(resolved, value, steps)
            })),
            typed => typed.hit(value, steps),
        }
    }

    /// Whether any of the policy's values, which need no variables, matches this value of the request.
    fn hit(&self, value: &str, steps: &Steps) -> Truth {
        let compares =
            |operands: usize| steps.take(operands.saturating_add(value.len()).saturating_add(COMPARISON_STEPS));
        match self {
            Self::Number(comparison, operands) => {
                compares(operands.len());
                scalar::decimal(value).map_or(Truth::Unknown, |found| {
                    any(operands.iter().map(|operand| comparison.holds(found, *operand)))
                })
            }
            Self::Moment(comparison, operands) => {
                compares(operands.len());
                scalar::moment(value).map_or(Truth::Unknown, |found| {
                    any(operands.iter().map(|operand| comparison.holds(found, *operand)))
                })
            }
            Self::Truth(operands) => {
                compares(operands.len());
                boolean(value).map_or(Truth::Unknown, |found| operands.contains(&found).into())
            }
            Self::Address(networks) => {
                compares(networks.len());
                value
                    .parse::<IpAddr>()
                    .map_or(Truth::Unknown, |address| networks.iter().any(|network| network.contains(address)).into())
            }
            Self::Binary(operands) => {
                compares(operands.len());
                if is_base64(value) {
                    operands.iter().any(|operand| **operand == *value).into()
                } else {
                    Truth::Unknown
                }
            }
            // Those have templates, and this is settled before any value is looked at.
            Self::Text(_) | Self::Arn(_) | Self::Null(_) => Truth::Unknown,
        }
    }
}

/// The values of the policy for one request.
enum Wanted<'a> {
    Text(Vec<Resolved<'a>>),
    Arn(Vec<[Resolved<'a>; 6]>),
    Typed(&'a Operands),
}

impl Wanted<'_> {
    /// Whether any matches this value of the request. What has a variable without a value matches nothing.
    fn hit(&self, value: &str, steps: &Steps) -> Truth {
        match self {
            Self::Text(templates) => {
                any(templates.iter().map(|template| template.judges(value, steps).unwrap_or(Truth::No)))
            }
            Self::Arn(patterns) => any(patterns.iter().map(|parts| arn_matches(parts.iter(), value, steps))),
            Self::Typed(operands) => operands.hit(value, steps),
        }
    }
}

fn arn_matches<'a, R: Borrow<Resolved<'a>>>(parts: impl Iterator<Item = R>, value: &str, steps: &Steps) -> Truth {
    let mut values = value.splitn(6, ':');
    all(parts.map(|part| values.next().and_then(|value| part.borrow().judges(value, steps)).unwrap_or(Truth::No)))
}

/// `true` or `false`, in any letter case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") { Some(true) } else { text.eq_ignore_ascii_case("false").then_some(false) }
}

/// Whether it is base64 with padding and no stray bits, so that equal bytes have equal texts.
pub(crate) fn is_base64(text: &str) -> bool {
    let body = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let stray_bits = match text.len() - body.len() {
        2 => 0b1111,
        1 => 0b11,
        _ => 0,
    };
    let last = body.bytes().last().and_then(digit).unwrap_or(0);
    text.len().is_multiple_of(4) && body.bytes().all(|byte| digit(byte).is_some()) && last & stray_bits == 0
}

#[cfg(test)]
mod tests {
    use super::is_base64;

    #[test]
    fn base64_has_one_form() {
        for text in ["", "QQ==", "QUI=", "QUJD", "+/+/", "QUJDRA=="] {
            assert!(is_base64(text), "{text}");
        }
        for text in ["Q", "QQ", "QQ=", "QQ===", "=", "==", "====", "QR==", "QUJ=", "QU-D", "QU D", "Q=Q=", "QUJD\n"] {
            assert!(!is_base64(text), "{text}");
        }
    }
}
