//! Wildcards: `*` for any run of characters, `?` for one. Values are text; they are never read as patterns.

use crate::steps::{COMPARISON_STEPS, Steps};

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

impl Token {
    /// The tokens of a text whose `*` and `?` are wildcards.
    pub(crate) fn of(character: char) -> Self {
        match character {
            '*' => Self::Run,
            '?' => Self::One,
            literal => Self::Literal(literal),
        }
    }
}

/// Which characters are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Only the same.
    Counts,
    /// Those that differ in letter case, of ASCII only.
    FoldsAscii,
    /// Those that differ in letter case.
    Folds,
}

impl Case {
    fn is_same(self, wanted: char, found: char) -> bool {
        wanted == found
            || match self {
                Self::Counts => false,
                Self::FoldsAscii => wanted.eq_ignore_ascii_case(&found),
                Self::Folds => wanted.to_lowercase().eq(found.to_lowercase()),
            }
    }
}

/// A pattern, in the form that is the quickest to match.
#[derive(Clone, Debug)]
pub(crate) enum Glob {
    /// A lone `*`.
    Anything,
    /// Text, where letter case counts.
    Text(Box<str>),
    /// The same with a `*` at its end and nowhere else.
    Start(Box<str>),
    Any(Box<Cut>),
}

/// A pattern, cut at its `*`.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    case: Case,
    /// What the value begins with.
    start: Segment,
    /// What it has after that, in this order and anywhere, and what it ends with; without a `*` nothing.
    after: Option<(Box<[Segment]>, Segment)>,
}

/// What stands between two `*`.
#[derive(Clone, Debug)]
enum Segment {
    /// Text, where letter case counts.
    Text(Box<str>),
    /// Characters; `None` is any one.
    Characters(Box<[Option<char>]>),
}

impl Glob {
    pub(crate) fn parse(pattern: &str, case: Case) -> Self {
        Self::new(&pattern.chars().map(Token::of).collect::<Vec<_>>(), case)
    }

    pub(crate) fn new(tokens: &[Token], case: Case) -> Self {
        let mut segments = tokens.split(|token| *token == Token::Run).map(|tokens| Segment::new(tokens, case));
        let start = segments.next().unwrap_or_else(|| Segment::new(&[], case));
        let mut between: Vec<Segment> = segments.collect();
        let end = between.pop();
        // Two stars are one.
        between.retain(|segment| !segment.is_empty());
        match (start, end) {
            (Segment::Text(text), None) => Self::Text(text),
            (start, Some(end)) if start.is_empty() && between.is_empty() && end.is_empty() => Self::Anything,
            (Segment::Text(text), Some(end)) if between.is_empty() && end.is_empty() => Self::Start(text),
            (start, end) => Self::Any(Box::new(Cut { case, start, after: end.map(|end| (between.into(), end)) })),
        }
    }

    /// Whether the value matches; also `false` when the steps are spent. Takes steps in proportion to pattern and
    /// value, but for segments with a `?` and those where letter case does not count: each takes at most its length
    /// times the value's.
    pub(crate) fn matches(&self, value: &str, steps: &Steps) -> bool {
        steps.take(COMPARISON_STEPS);
        if steps.are_spent() {
            return false;
        }
        match self {
            Self::Anything => true,
            // Compared eight bytes and more at a time.
            Self::Text(text) => {
                steps.take(text.len() / 8);
                **text == *value
            }
            Self::Start(text) => {
                steps.take(text.len() / 8);
                value.starts_with(&**text)
            }
            Self::Any(cut) => cut.matches(value, steps),
        }
    }
}

impl Cut {
    fn matches(&self, value: &str, steps: &Steps) -> bool {
        let Some(rest) = self.start.after_start(value, self.case, steps) else { return false };
        let Some((between, end)) = &self.after else { return rest.is_empty() };
        let Some(mut rest) = end.before_end(rest, self.case, steps) else { return false };
        for segment in between {
            // The first place is the best: it leaves the most for what follows.
            match segment.after_first(rest, self.case, steps) {
                Some(after) if !steps.are_spent() => rest = after,
                _ => return false,
            }
        }
        true
    }
}

impl Segment {
    /// Of tokens without a `*`.
    fn new(tokens: &[Token], case: Case) -> Self {
        let characters = tokens.iter().map(|token| match token {
            Token::Literal(character) => Some(*character),
            Token::One | Token::Run => None,
        });
        let text = if case == Case::Counts { characters.clone().collect::<Option<String>>() } else { None };
        text.map_or_else(|| Self::Characters(characters.collect()), |text| Self::Text(text.into()))
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Characters(characters) => characters.is_empty(),
        }
    }

    /// What follows the segment in a value that begins with it.
    fn after_start<'a>(&self, value: &'a str, case: Case, steps: &Steps) -> Option<&'a str> {
        match self {
            Self::Text(text) => {
                steps.take(text.len().min(value.len()));
                if value.starts_with(&**text) { value.get(text.len()..) } else { None }
            }
            Self::Characters(characters) => characters_at_start(characters, value, case, steps).ok(),
        }
    }

    /// What precedes the segment in a value that ends with it.
    fn before_end<'a>(&self, value: &'a str, case: Case, steps: &Steps) -> Option<&'a str> {
        match self {
            Self::Text(text) => {
                steps.take(text.len().min(value.len()));
                if value.ends_with(&**text) { value.get(..value.len().checked_sub(text.len())?) } else { None }
            }
            Self::Characters(characters) => {
                let mut rest = value.chars();
                for wanted in characters.iter().rev() {
                    steps.take(1);
                    let found = rest.next_back()?;
                    if wanted.is_some_and(|wanted| !case.is_same(wanted, found)) {
                        return None;
                    }
                }
                Some(rest.as_str())
            }
        }
    }

    /// What follows the first place of the segment in the value.
    fn after_first<'a>(&self, value: &'a str, case: Case, steps: &Steps) -> Option<&'a str> {
        match self {
            Self::Text(text) if text.len() > value.len() => None,
            Self::Text(text) => {
                // The search reads its text twice and what it passes over once (std's two-way search).
                let after = value.find(&**text).and_then(|at| value.get(at.checked_add(text.len())?..));
                let passed = value.len().saturating_sub(after.map_or(0, str::len));
                steps.take(passed.saturating_add(text.len().saturating_mul(2)));
                after
            }
            Self::Characters(characters) => {
                let mut rest = value.chars();
                loop {
                    match characters_at_start(characters, rest.as_str(), case, steps) {
                        Ok(after) => return Some(after),
                        Err(Miss::TooShort) => return None,
                        Err(Miss::Other) if steps.are_spent() => return None,
                        Err(Miss::Other) => drop(rest.next()),
                    }
                }
            }
        }
    }
}

/// Why a value does not begin with these characters.
enum Miss {
    /// It ends before they do, as would every end of it.
    TooShort,
    Other,
}

fn characters_at_start<'a>(
    characters: &[Option<char>],
    value: &'a str,
    case: Case,
    steps: &Steps,
) -> Result<&'a str, Miss> {
    let mut rest = value.chars();
    for wanted in characters {
        steps.take(1);
        let found = rest.next().ok_or(Miss::TooShort)?;
        if wanted.is_some_and(|wanted| !case.is_same(wanted, found)) {
            return Err(Miss::Other);
        }
    }
    Ok(rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::str::Chars;

    fn matches(pattern: &str, value: &str) -> bool {
        Glob::parse(pattern, Case::Counts).matches(value, &Steps::new(usize::MAX))
    }

    /// The matcher that was here before: at most pattern times value steps. Only the last `*` is ever retried, since an
    /// earlier one could only give the later one less room.
    fn by_retries<P>(mut pattern: P, value: &str, same: impl Fn(char, char) -> bool) -> bool
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

    /// The steps that a comparison takes, and its outcome.
    fn steps_of(pattern: &str, value: &str) -> (usize, bool) {
        let steps = Steps::new(usize::MAX);
        let outcome = Glob::parse(pattern, Case::Counts).matches(value, &steps);
        (usize::MAX - steps.left(), outcome)
    }

    #[test]
    fn the_work_is_in_proportion_to_pattern_and_value() {
        for (pattern, value) in [
            (&(|size: usize| format!("*{}b", "a".repeat(size))) as &dyn Fn(usize) -> String, "a"),
            (&|size| format!("*{}b*", "a".repeat(size)), "a"),
            (&|size| format!("*b{}*", "a".repeat(size)), "a"),
            (&|size| format!("{}b", "*a".repeat(size)), "a"),
            (&|size| format!("{}*b*", "*a".repeat(size)), "a"),
            (&|size| format!("{}*b*c", "*ab".repeat(size)), "ab"),
            (&|size| "*".repeat(size), "a"),
            (&|size| format!("{}b", "*?".repeat(size)), "a"),
        ] {
            for size in [500, 1_000, 2_000, 16_000] {
                let (pattern, value) = (pattern(size), value.repeat(2 * size));
                let (steps, _) = steps_of(&pattern, &value);
                let most = 16 * (pattern.len() + value.len());
                assert!(steps < most, "{steps} of {most} for {size}: {}", pattern.get(..8).unwrap_or_default());
            }
        }
    }

    #[test]
    fn what_is_not_in_proportion_ends_with_its_steps() {
        let pattern = format!("*{}?b*", "a".repeat(4_000));
        let value = "a".repeat(8_000);
        assert!(steps_of(&pattern, &value).0 > 10_000_000);
        let steps = Steps::new(1_000);
        assert!(!Glob::parse(&pattern, Case::Counts).matches(&value, &steps) && steps.are_spent());
        // Also where it would have matched.
        let steps = Steps::new(100);
        assert!(!Glob::parse("*a*b*", Case::Counts).matches(&format!("{}ab", "x".repeat(200)), &steps));
        assert!(steps.are_spent());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn agrees_with_the_table(pattern in "[ab*?\u{fc}]{0,10}", value in "[ab*?\u{fc}\n]{0,12}") {
            prop_assert_eq!(matches(&pattern, &value), table(&pattern, &value));
        }

        #[test]
        fn agrees_with_the_matcher_before_it(
            pattern in "[abABkK\u{212a}*?\u{fc}\u{dc}]{0,12}",
            value in "[abABkK\u{212a}\u{fc}\u{dc}]{0,14}",
        ) {
            for case in [Case::Counts, Case::FoldsAscii, Case::Folds] {
                let same = |wanted: char, found: char| match case {
                    Case::Counts => wanted == found,
                    Case::FoldsAscii => wanted.eq_ignore_ascii_case(&found),
                    Case::Folds => wanted == found || wanted.to_lowercase().eq(found.to_lowercase()),
                };
                let before = by_retries(pattern.chars().map(Token::of), &value, same);
                let now = Glob::parse(&pattern, case).matches(&value, &Steps::new(usize::MAX));
                prop_assert_eq!(now, before, "{:?}", case);
            }
        }

        /// Values that are made of the pattern, so that most match.
        #[test]
        fn agrees_on_what_matches(
            parts in prop::collection::vec(("[ab?\u{fc}]{0,4}", "[ab\u{fc}*?]{0,4}"), 1..6),
            more in "[ab]{0,1}",
        ) {
            let (mut pattern, mut value) = (String::new(), String::new());
            for (fixed, any) in &parts {
                pattern.push_str(fixed);
                value.push_str(&fixed.replace('?', "\u{fc}"));
                pattern.push('*');
                value.push_str(any);
            }
            pattern.push_str(&more);
            value.push('a');
            let before = by_retries(pattern.chars().map(Token::of), &value, |wanted, found| wanted == found);
            prop_assert_eq!(matches(&pattern, &value), before);
        }
    }
}
