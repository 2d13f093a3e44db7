//! Text with wildcards and policy variables. A variable's value is always literal text, never read as a pattern.

use crate::condition::Truth;
use crate::context::Context;
use crate::glob::{self, Token};
use crate::key;

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
    /// Wildcards.
    Wild(Box<[Token]>),
    /// Variables.
    Pieces(Box<[Piece]>),
}

/// A template that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadVariable;

impl Template {
    /// Text whose wildcards count only if `wild`, and whose `${...}` only if `variables`.
    pub(crate) fn parse(text: &str, wild: bool, variables: bool) -> Result<Self, BadVariable> {
        pieces(text, wild, variables).map(|pieces| Self::new(&pieces))
    }

    /// The same, cut at the first five colons of the text itself, not of its variables; `None` if there are fewer.
    pub(crate) fn parse_arn(text: &str, variables: bool) -> Option<[Self; 6]> {
        let pieces = pieces(text, true, variables).ok()?;
        let colon = |piece: &Piece| *piece == Piece::Token(Token::Literal(':'));
        let parts: Vec<Self> = pieces.splitn(6, colon).map(Self::new).collect();
        parts.try_into().ok()
    }

    fn new(pieces: &[Piece]) -> Self {
        let tokens = pieces.iter().map(|piece| match piece {
            Piece::Token(token) => Some(*token),
            Piece::Variable { .. } => None,
        });
        let Some(tokens) = tokens.collect::<Option<Box<[Token]>>>() else {
            return Self::Pieces(pieces.into());
        };
        let literals = tokens.iter().map(|token| match token {
            Token::Literal(character) => Some(*character),
            Token::One | Token::Run => None,
        });
        literals.collect::<Option<String>>().map_or(Self::Wild(tokens), |text| Self::Exact(text.into()))
    }

    /// The names of the condition keys that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let pieces = match self {
            Self::Exact(_) | Self::Wild(_) => &[][..],
            Self::Pieces(pieces) => pieces,
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(&**key),
            Piece::Token(_) => None,
        })
    }

    /// Whether the value matches; a template that cannot be resolved matches nothing.
    pub(crate) fn matches(&self, value: &str, fold: bool, context: &dyn Context) -> bool {
        self.judges(value, fold, context) == Truth::Yes
    }

    /// The same, but unknown when a variable has no value.
    pub(crate) fn judges(&self, value: &str, fold: bool, context: &dyn Context) -> Truth {
        let by_tokens = |tokens: &[Token]| glob::matches_tokens(tokens.iter().copied(), value, |a, b| same(a, b, fold));
        match self {
            Self::Exact(text) if !fold => (**text == *value).into(),
            Self::Exact(text) => {
                let tokens = text.chars().map(Token::Literal);
                glob::matches_tokens(tokens, value, |a, b| same(a, b, true)).into()
            }
            Self::Wild(tokens) => by_tokens(tokens).into(),
            Self::Pieces(pieces) => resolve(pieces, context).map_or(Truth::Unknown, |tokens| by_tokens(&tokens).into()),
        }
    }
}

fn same(wanted: char, found: char, fold: bool) -> bool {
    wanted == found || fold && wanted.to_lowercase().eq(found.to_lowercase())
}

/// The tokens with every variable replaced by its value; `None` when one has none.
fn resolve(pieces: &[Piece], context: &dyn Context) -> Option<Vec<Token>> {
    let mut tokens = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Token(token) => tokens.push(*token),
            Piece::Variable { key, otherwise } => {
                let values = context.values(key).unwrap_or_default();
                let value = match values.as_slice() {
                    [one] => one,
                    _ => otherwise.as_deref()?,
                };
                tokens.extend(value.chars().map(Token::Literal));
            }
        }
    }
    Some(tokens)
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
