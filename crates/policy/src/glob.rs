//! Wildcards: `*` for any run of characters, `?` for one. Values are text; they are never read as patterns.

use std::str::Chars;

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character and no other.
    Literal(char),
    /// `?`: any one character.
    One,
    /// `*`: any run of characters, also none.
    Run,
}

/// Whether `value` matches `pattern`.
pub(crate) fn matches(pattern: &str, value: &str) -> bool {
    matches_by(pattern, value, |wanted, found| wanted == found)
}

/// The same, where `same` says which characters are equal.
pub(crate) fn matches_by(pattern: &str, value: &str, same: impl Fn(char, char) -> bool) -> bool {
    let tokens = pattern.chars().map(|character| match character {
        '*' => Token::Run,
        '?' => Token::One,
        literal => Token::Literal(literal),
    });
    matches_tokens(tokens, value, same)
}

/// The matcher. Constant memory, at most pattern times value steps: only the last `*` is ever retried, since an
/// earlier one could only give the later one less room.
pub(crate) fn matches_tokens<P>(mut pattern: P, value: &str, same: impl Fn(char, char) -> bool) -> bool
where
    P: Iterator<Item = Token> + Clone,
{
    let mut value = value.chars();
    let mut retry: Option<(P, Chars<'_>)> = None;
    loop {
        match pattern.next() {
            Some(Token::Run) => {
                if pattern.clone().next().is_none() {
                    return true;
                }
                retry = Some((pattern.clone(), value.clone()));
                continue;
            }
            Some(wanted) => match (wanted, value.next()) {
                // A star that takes more leaves even less for the rest.
                (_, None) => return false,
                (Token::Literal(wanted), Some(found)) if !same(wanted, found) => {}
                _ => continue,
            },
            None if value.as_str().is_empty() => return true,
            None => {}
        }
        // A mismatch: let the last star take one character more than it did.
        let Some((after_star, rest)) = &mut retry else {
            return false;
        };
        if rest.next().is_none() {
            return false;
        }
        value = rest.clone();
        pattern = after_star.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook table: `reach[i][j]` says whether the first i of the pattern match the first j of the value.
    fn table(pattern: &str, value: &str) -> bool {
        let (pattern, value): (Vec<char>, Vec<char>) = (pattern.chars().collect(), value.chars().collect());
        let mut row: Vec<bool> = (0..=value.len()).map(|length| length == 0).collect();
        for wanted in pattern {
            let mut next = vec![wanted == '*' && row.first() == Some(&true)];
            for (index, found) in value.iter().enumerate() {
                let (above, diagonal) = (row.get(index + 1) == Some(&true), row.get(index) == Some(&true));
                let left = next.last() == Some(&true);
                next.push(if wanted == '*' { above || left } else { diagonal && (wanted == '?' || wanted == *found) });
            }
            row = next;
        }
        row.last() == Some(&true)
    }

    #[test]
    fn cases() {
        for (pattern, value, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", true),
            ("?", "", false),
            ("?", "\u{fc}", true),
            ("a*", "a\nb", true),
            ("secret*", "secret*x", true),
            ("secret?", "secret*", true),
            ("secretx", "secret*", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbxc", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
    }

    #[test]
    fn the_worst_pattern_stays_polynomial() {
        let pattern = format!("{}b", "*a".repeat(2_000));
        assert!(!matches(&pattern, &"a".repeat(8_000)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn agrees_with_the_table(pattern in "[ab*?\u{fc}]{0,10}", value in "[ab*?\u{fc}\n]{0,12}") {
            prop_assert_eq!(matches(&pattern, &value), table(&pattern, &value));
        }
    }
}
