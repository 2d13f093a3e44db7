//! The models' regular expressions to tables for `claviger_api::Pattern`.
//!
//! Knows sequences, `|`, groups, classes, `\w \d \s \uXXXX`, `\p{L}\p{Z}\p{N}` together in a class, and
//! `? * + {n} {n,} {n,m}`; anything else is an error, so a new model cannot bring in a pattern that is matched wrongly.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

type Input<'a> = Peekable<Chars<'a>>;
type Ranges = Vec<(char, char)>;

/// Letters, blanks and digits of any script, as the models write it.
const WORDS: &str = r"\p{L}\p{Z}\p{N}";

/// Patterns with a look-ahead, and the same without one.
const REWRITTEN: &[(&str, &str)] =
    // Of three characters or more, which another constraint of the shape demands.
    &[("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "[a-z0-9]+(-[a-z0-9]+)*")];

/// The Rust expression of a `Pattern`.
pub(crate) fn expression(text: &str) -> Result<String, String> {
    let meant = REWRITTEN.iter().find(|(written, _)| *written == text).map_or(text, |(_, meant)| meant);
    // One private character stands for the three properties.
    let meant = meant.replace(WORDS, "\u{e000}");
    let mut input = meant.chars().peekable();
    let alternatives = alternatives(&mut input).map_err(|reason| format!("pattern {text}: {reason}"))?;
    if input.next().is_some() {
        return Err(format!("pattern {text}: unmatched parenthesis"));
    }
    Ok(format!("Pattern {{ text: {text:?}, alternatives: {alternatives} }}"))
}

fn alternatives(input: &mut Input<'_>) -> Result<String, String> {
    let mut all = String::from("&[&[");
    loop {
        match input.peek() {
            None | Some(')') => break,
            Some('|') => {
                input.next();
                all.push_str("], &[");
            }
            // The whole text must match, so anchors (which the models have at the ends only) say nothing.
            Some('^' | '$') => {
                input.next();
            }
            Some(_) => all.push_str(&piece(input)?),
        }
    }
    all.push_str("]]");
    Ok(all)
}

fn piece(input: &mut Input<'_>) -> Result<String, String> {
    let atom = match input.next() {
        Some('(') => {
            let group = alternatives(input)?;
            if input.next() != Some(')') {
                return Err("open group".to_owned());
            }
            format!("Atom::Group({group})")
        }
        Some('[') => class_expression(class(input)?),
        Some('.') => class_expression(vec![
            ('\0', '\u{9}'),
            ('\u{b}', '\u{c}'),
            ('\u{e}', '\u{84}'),
            ('\u{86}', '\u{2027}'),
            ('\u{202a}', char::MAX),
        ]),
        Some('\\') => class_expression(escape(input)?),
        Some(meta @ ('?' | '*' | '+' | '{' | '}' | ']')) => {
            return Err(format!("unexpected {meta}"));
        }
        Some(literal) => class_expression(vec![(literal, literal)]),
        None => return Err("unexpected end".to_owned()),
    };
    let (min, max) = repetition(input)?;
    Ok(format!("Piece {{ atom: {atom}, min: {min}, max: {max} }},"))
}

fn repetition(input: &mut Input<'_>) -> Result<(u32, String), String> {
    let unlimited = || "u32::MAX".to_owned();
    let found = match input.peek() {
        Some('?') => (0, "1".to_owned()),
        Some('*') => (0, unlimited()),
        Some('+') => (1, unlimited()),
        Some('{') => {
            let text: String = input.by_ref().skip(1).take_while(|character| *character != '}').collect();
            let (min, max) = text.split_once(',').unwrap_or((&text, &text));
            let min: u32 = min.parse().map_err(|_| format!("bad count {text}"))?;
            return Ok((min, if max.is_empty() { unlimited() } else { max.to_owned() }));
        }
        _ => return Ok((1, "1".to_owned())),
    };
    input.next();
    Ok(found)
}

fn class(input: &mut Input<'_>) -> Result<Ranges, String> {
    let mut ranges = Vec::new();
    if input.peek() == Some(&'^') {
        return Err("negated class".to_owned());
    }
    loop {
        let item = match input.next() {
            None => return Err("open class".to_owned()),
            Some(']') => return Ok(ranges),
            Some('\\') => escape(input)?,
            Some('[' | '&') => return Err("nested class".to_owned()),
            Some(literal) => vec![(literal, literal)],
        };
        let mut rest = input.clone();
        let is_range = rest.next() == Some('-') && rest.peek().is_some_and(|after| *after != ']');
        match item.as_slice() {
            [(low, single)] if is_range && low == single => {
                input.next();
                let high = match input.next() {
                    Some('\\') => escape(input)?,
                    Some(literal) => vec![(literal, literal)],
                    None => return Err("open range".to_owned()),
                };
                match high.as_slice() {
                    [(high, _)] if low <= high => ranges.push((*low, *high)),
                    _ => return Err("bad range".to_owned()),
                }
            }
            _ => ranges.extend(item),
        }
    }
}

fn escape(input: &mut Input<'_>) -> Result<Ranges, String> {
    Ok(match input.next() {
        Some('w') => vec![('a', 'z'), ('A', 'Z'), ('_', '_'), ('0', '9')],
        Some('d') => vec![('0', '9')],
        Some('s') => vec![('\t', '\r'), (' ', ' ')],
        Some('u') => {
            let digits: String = input.by_ref().take(4).collect();
            let code = u32::from_str_radix(&digits, 16).map_err(|_| format!("bad escape {digits}"))?;
            let character = char::from_u32(code).ok_or_else(|| format!("bad escape {digits}"))?;
            vec![(character, character)]
        }
        Some(sign) if sign.is_ascii_punctuation() => vec![(sign, sign)],
        other => return Err(format!("unknown escape {other:?}")),
    })
}

fn class_expression(ranges: Ranges) -> String {
    let words = ranges.contains(&('\u{e000}', '\u{e000}'));
    let mut text = format!("Atom::{}(&[", if words { "Words" } else { "Class" });
    for (low, high) in ranges.into_iter().filter(|(low, _)| *low != '\u{e000}') {
        // Writing to a String cannot fail.
        let _ = write!(text, "({low:?}, {high:?}),");
    }
    text.push_str("])");
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_known() {
        let one = expression("^a{2,}[b-d-]?$").unwrap();
        assert_eq!(
            one,
            "Pattern { text: \"^a{2,}[b-d-]?$\", alternatives: &[&[\
             Piece { atom: Atom::Class(&[('a', 'a'),]), min: 2, max: u32::MAX },\
             Piece { atom: Atom::Class(&[('b', 'd'),('-', '-'),]), min: 0, max: 1 },]] }"
        );
        assert!(expression("(a|b){2}").unwrap().contains("Atom::Group(&[&[Piece"));
        assert!(expression(r"[\p{L}\p{Z}\p{N}_]").unwrap().contains("Atom::Words(&[('_', '_'),])"));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in
            ["[^a]", "(?=a)", "(a", "a)", "[a", "a{x}", "\\b", "\\p{L}", "*a", "[a&&b]", "a**", "\\ud800", "[z-a]"]
        {
            assert!(expression(text).is_err(), "{text}");
        }
    }
}
