//! Text with wildcards and policy variables. A variable's value is always literal text, never read as a pattern.

use crate::context::Context;
use crate::glob::{self, Token};

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

/// Text in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Template(Box<[Piece]>);

/// A template that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadVariable;

impl Template {
    /// Text whose wildcards count only if `wild`, and whose `${...}` only if `variables`.
    pub(crate) fn parse(text: &str, wild: bool, variables: bool) -> Result<Self, BadVariable> {
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
        Ok(Self(pieces.into()))
    }

    /// The names of the condition keys that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(&**key),
            Piece::Token(_) => None,
        })
    }

    /// Cuts at the first five colons of the text itself, not of its variables; `None` if there are fewer.
    pub(crate) fn split_arn(&self) -> Option<[Self; 6]> {
        let colon = |piece: &Piece| *piece == Piece::Token(Token::Literal(':'));
        let parts: Vec<Self> = self.0.splitn(6, colon).map(|part| Self(part.into())).collect();
        parts.try_into().ok()
    }

    /// The tokens with every variable replaced by its value; `None` when one has none.
    fn resolve(&self, context: &dyn Context) -> Option<Vec<Token>> {
        let mut tokens = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
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

    /// Whether the value matches; a template that cannot be resolved matches nothing.
    pub(crate) fn matches(&self, value: &str, fold: bool, context: &dyn Context) -> bool {
        let same =
            |wanted: char, found: char| wanted == found || fold && wanted.to_lowercase().eq(found.to_lowercase());
        self.resolve(context).is_some_and(|tokens| glob::matches_tokens(tokens.iter().copied(), value, same))
    }
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
    Ok(Piece::Variable { key: key.to_lowercase().into(), otherwise })
}
