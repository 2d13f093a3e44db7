//! Text with wildcards and policy variables. A variable's value is always literal text, never read as a pattern.

use crate::condition::Truth;
use crate::context::Context;
use crate::glob::{Case, Glob, Token};
use crate::key;
use crate::steps::{COMPARISON_STEPS, LOOKUP_STEPS, Steps};

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Token(Token),
    /// The value of a condition key (in lower case), or the default.
    Variable {
        key: Box<str>,
        otherwise: Option<Box<str>>,
    },
}

/// Text in pieces, the plainest form that holds them.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    /// Neither wildcards nor variables.
    Exact(Box<str>),
    /// Wildcards, or text of which letter case does not count.
    Wild(Glob),
    /// Variables.
    Pieces(Box<[Piece]>, Case),
}

/// A template with the values of its variables.
#[derive(Debug)]
pub(crate) enum Resolved<'a> {
    Exact(&'a str),
    Wild(&'a Glob),
    WithValues(Box<Glob>),
    /// A variable has no value.
    Absent,
    /// A variable has several values, of which nobody can tell which counts.
    Ambiguous,
}

impl Resolved<'_> {
    /// Whether the value matches; nothing when a variable has no value.
    pub(crate) fn judges(&self, value: &str, steps: &Steps) -> Option<Truth> {
        Some(match self {
            Self::Exact(text) => {
                steps.take(COMPARISON_STEPS);
                if text.len() == value.len() {
                    steps.take(text.len());
                }
                (**text == *value).into()
            }
            Self::Wild(glob) => glob.matches(value, steps).into(),
            Self::WithValues(glob) => glob.matches(value, steps).into(),
            Self::Absent => return None,
            Self::Ambiguous => Truth::Unknown,
        })
    }
}

/// A template that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadVariable;

impl Template {
    /// Text whose wildcards count only if `wild`, and whose `${...}` only if `variables`.
    pub(crate) fn parse(text: &str, wild: bool, variables: bool, case: Case) -> Result<Self, BadVariable> {
        pieces(text, wild, variables).map(|pieces| Self::new(&pieces, case))
    }

    /// The same, cut at the first five colons of the text itself, not of its variables; `None` if there are fewer.
    pub(crate) fn parse_arn(text: &str, variables: bool) -> Option<[Self; 6]> {
        let pieces = pieces(text, true, variables).ok()?;
        let colon = |piece: &Piece| *piece == Piece::Token(Token::Literal(':'));
        let parts: Vec<Self> = pieces.splitn(6, colon).map(|part| Self::new(part, Case::Counts)).collect();
        parts.try_into().ok()
    }

    fn new(pieces: &[Piece], case: Case) -> Self {
        let tokens = pieces.iter().map(|piece| match piece {
            Piece::Token(token) => Some(*token),
            Piece::Variable { .. } => None,
        });
        let Some(tokens) = tokens.collect::<Option<Vec<Token>>>() else {
            return Self::Pieces(pieces.into(), case);
        };
        if case != Case::Counts {
            return Self::Wild(Glob::new(&tokens, case));
        }
        let literals = tokens.iter().map(|token| match token {
            Token::Literal(character) => Some(*character),
            Token::One | Token::Run => None,
        });
        let text = literals.collect::<Option<String>>();
        text.map_or_else(|| Self::Wild(Glob::new(&tokens, case)), |text| Self::Exact(text.into()))
    }

    /// The names of the condition keys that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let pieces = match self {
            Self::Exact(_) | Self::Wild(_) => &[][..],
            Self::Pieces(pieces, _) => pieces,
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(&**key),
            Piece::Token(_) => None,
        })
    }

    /// The template for one request; once for all the values that are compared.
    pub(crate) fn resolve(&self, context: &dyn Context, steps: &Steps) -> Resolved<'_> {
        match self {
            Self::Exact(text) => Resolved::Exact(text),
            Self::Wild(glob) => Resolved::Wild(glob),
            Self::Pieces(pieces, case) => match with_values(pieces, context, steps) {
                Ok(tokens) => Resolved::WithValues(Box::new(Glob::new(&tokens, *case))),
                Err(Lack::Absent) => Resolved::Absent,
                Err(Lack::Ambiguous) => Resolved::Ambiguous,
            },
        }
    }
}

/// Why a variable has no value.
enum Lack {
    Absent,
    Ambiguous,
}

/// The tokens with every variable replaced by its value, or by its default if the request does not have the key.
fn with_values(pieces: &[Piece], context: &dyn Context, steps: &Steps) -> Result<Vec<Token>, Lack> {
    let mut tokens = Vec::with_capacity(pieces.len());
    let mut absent = false;
    for piece in pieces {
        steps.take(1);
        match piece {
            Piece::Token(token) => tokens.push(*token),
            Piece::Variable { key, otherwise } => {
                steps.take(LOOKUP_STEPS);
                if steps.are_spent() {
                    return Err(Lack::Ambiguous);
                }
                let values = context.values(key).unwrap_or_default();
                let value = match (values.as_slice(), otherwise) {
                    ([one], _) => &**one,
                    ([], Some(text)) => text,
                    ([], None) => {
                        absent = true;
                        continue;
                    }
                    (_, _) => return Err(Lack::Ambiguous),
                };
                steps.take(value.len());
                tokens.extend(value.chars().map(Token::Literal));
            }
        }
    }
    if absent { Err(Lack::Absent) } else { Ok(tokens) }
}

fn pieces(text: &str, wild: bool, variables: bool) -> Result<Vec<Piece>, BadVariable> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("${").filter(|_| variables) {
            let (body, after) = split_variable(inner).ok_or(BadVariable)?;
            pieces.push(variable(body)?);
            rest = after;
            continue;
        }
        pieces.push(Piece::Token(match character {
            '*' if wild => Token::Run,
            '?' if wild => Token::One,
            literal => Token::Literal(literal),
        }));
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    Ok(pieces)
}

/// Cuts at the closing brace, which a quoted default may contain.
fn split_variable(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            '}' if !quoted => {
                return Some((text.get(..index)?, text.get(index.checked_add(1)?..)?));
            }
            _ => {}
        }
    }
    None
}

/// `*`, `?`, `$`, a key, or a key with a default in single quotes.
fn variable(body: &str) -> Result<Piece, BadVariable> {
    if let "*" | "?" | "$" = body {
        return Ok(Piece::Token(Token::Literal(body.chars().next().ok_or(BadVariable)?)));
    }
    let (key, otherwise) = body.split_once(',').map_or((body, None), |(key, text)| (key, Some(text.trim())));
    let otherwise = match otherwise {
        None => None,
        Some(text) => {
            let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).ok_or(BadVariable)?;
            if text.contains('\'') {
                return Err(BadVariable);
            }
            Some(text.into())
        }
    };
    let key = key.trim();
    if !key.contains(':') || key.contains(['{', '}', '$', '\'', '*', '?']) {
        return Err(BadVariable);
    }
    Ok(Piece::Variable { key: key::fold(key), otherwise })
}
