//! The allow-list of what a log line or an audit record may hold.

use std::fmt::{self, Display, Write as _};

/// The longest [`LogText`], in characters, the ellipsis included.
pub const LOG_TEXT_CHARACTERS_MAX: usize = 256;

/// A value that may appear in a log line or an audit record.
///
/// Implementing it is a declaration, made once where the type is defined: no value of this type ever holds a secret,
/// a plaintext or a credential. A type that wraps text from outside does not implement it; it goes through
/// [`LogText`].
pub trait LogSafe: Display {}

macro_rules! log_safe {
    ($($safe:ty),+ $(,)?) => { $(impl LogSafe for $safe {})+ };
}

log_safe!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, bool, LogText);

// Text compiled into the program. A leaked `String` would pass too; that takes intent, which no type stops.
impl LogSafe for &'static str {}

/// Lends a safe value as something to print: `safe(&key_arn)`.
pub fn safe<T: LogSafe + ?Sized>(value: &T) -> impl Display + '_ {
    Lent(value)
}

struct Lent<'value, T: ?Sized>(&'value T);

impl<T: LogSafe + ?Sized> Display for Lent<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Text that its maker declares free of secrets: a user agent, a resource name, a cause from the operating system.
///
/// It cannot forge a log line or hide in one: control characters and those that reorder or break lines are replaced
/// by U+FFFD, and it ends after [`LOG_TEXT_CHARACTERS_MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogText(String);

impl LogText {
    /// Declares `text` free of secrets, and makes it harmless to print.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut clean: String = text.chars().take(LOG_TEXT_CHARACTERS_MAX).map(harmless).collect();
        if text.chars().nth(LOG_TEXT_CHARACTERS_MAX).is_some() {
            clean.pop();
            clean.push('…');
        }
        Self(clean)
    }

    /// The same for anything that prints, an error above all; its text must not hold a secret either.
    #[must_use]
    pub fn of(value: &(impl Display + ?Sized)) -> Self {
        let mut text = Bounded(String::new());
        // Stopping early is how `Bounded` refuses more than is kept, so that error has nothing to say.
        let _ = write!(text, "{value}");
        Self::new(&text.0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for LogText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Collects until it holds more than a [`LogText`] shows, so that a huge value costs no memory.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // Four bytes a character at most: beyond this there are more characters than are kept.
            if self.0.len() > LOG_TEXT_CHARACTERS_MAX * 4 {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

fn harmless(character: char) -> char {
    match character {
        // Line and paragraph separators, and the marks that change the direction in which text is shown.
        '\u{2028}'
        | '\u{2029}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{061c}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    use super::{LOG_TEXT_CHARACTERS_MAX, LogSafe, LogText, safe};

    assert_impl_all!(LogText: LogSafe, Clone, Send, Sync);
    assert_impl_all!(&'static str: LogSafe);
    assert_not_impl_any!(String: LogSafe);
    assert_not_impl_any!(std::borrow::Cow<'static, str>: LogSafe);
    assert_not_impl_any!(std::io::Error: LogSafe);
    assert_not_impl_any!(f64: LogSafe);

    #[test]
    fn control_and_direction_characters_are_replaced() {
        let text = LogText::new("a\nb\u{1b}[2J\u{202e}c\u{2028}d\u{85}é");
        assert_eq!(text.as_str(), "a\u{fffd}b\u{fffd}[2J\u{fffd}c\u{fffd}d\u{fffd}é");
    }

    #[test]
    fn long_text_is_cut_by_characters_and_says_so() {
        let exact = "é".repeat(LOG_TEXT_CHARACTERS_MAX);
        assert_eq!(LogText::new(&exact).as_str(), exact);
        let cut = LogText::new(&"é".repeat(LOG_TEXT_CHARACTERS_MAX + 1));
        assert_eq!(cut.as_str().chars().count(), LOG_TEXT_CHARACTERS_MAX);
        assert!(cut.as_str().ends_with("é…"));
        assert_eq!(LogText::of(&"𝄞".repeat(5000)), LogText::new(&"𝄞".repeat(5000)));
        assert_eq!(LogText::of(&exact).as_str(), exact);
    }

    #[test]
    fn safe_prints_the_value_itself() {
        assert_eq!(safe(&42_u64).to_string(), "42");
        assert_eq!(safe(&"static").to_string(), "static");
        assert_eq!(format!("{:>4}", safe(&LogText::new("ab"))), "  ab");
    }
}
