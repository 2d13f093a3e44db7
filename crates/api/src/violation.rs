//! The model's constraints, their violations in AWS's words, and the proof that there are none.

use std::fmt::{self, Write as _};
use std::ops::Deref;

use crate::Path;

/// Violations kept of one request; the rest are dropped (the request is refused all the same).
const VIOLATIONS_MAX: usize = 100;

/// Characters shown of one value. Far above every length in the models, so that a client sees what AWS would show
/// it, and below what would let one request fill the audit log.
const ECHO_CHARACTERS_MAX: usize = 16 * 1024;

/// What a violation shows of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Echo {
    /// There is no value: `Value null at`.
    Null,
    /// The value is not shown (blobs, secrets, IAM): `Value at`.
    Omitted,
    /// The value: `Value 'x' at`.
    Text(String),
}

/// One constraint that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, for instance `tags.1.member.tagKey`.
    pub path: String,
    /// What is shown of the value.
    pub value: Echo,
    /// The constraint, for instance `Member must not be null`.
    pub constraint: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Echo::Null => formatter.write_str("Value null")?,
            Echo::Omitted => formatter.write_str("Value")?,
            Echo::Text(value) => write!(formatter, "Value '{value}'")?,
        }
        write!(formatter, " at '{}' failed to satisfy constraint: {}", self.path, self.constraint)
    }
}

/// How a constraint by a regular expression begins.
const PATTERN: &str = "Member must satisfy regular expression pattern: ";

/// The regular expressions that IAM puts into words.
const IAM_PATTERNS: &[(&str, &str)] = &[
    (r"[\w+=,.@-]+", "It must contain only alphanumeric characters and/or the following: +=,.@_-"),
    (
        r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)",
        "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
    ),
    (
        r"((/[A-Za-z0-9\.,\+@=_-]+)*)/",
        "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
    ),
];

/// All constraints that do not hold, in the order of the model's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn push(&mut self, path: &Path<'_>, value: Echo, constraint: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            let value = match value {
                Echo::Text(mut text) => {
                    if let Some((end, _)) = text.char_indices().nth(ECHO_CHARACTERS_MAX) {
                        text.truncate(end);
                        text.push_str("...");
                    }
                    Echo::Text(text)
                }
                other => other,
            };
            self.0.push(Violation { path: path.to_string(), value, constraint: constraint.into() });
        }
    }

    /// Adds a required member that was not sent.
    pub fn push_null(&mut self, path: &Path<'_>) {
        self.push(path, Echo::Null, "Member must not be null");
    }

    /// Whether every constraint holds so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// `n validation errors detected: ...`, AWS's text for ValidationException.
    pub fn message(&self) -> String {
        let count = self.0.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut message = format!("{count} validation error{plural} detected: ");
        for (number, violation) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(message, "{separator}{violation}");
        }
        message
    }

    /// IAM's text for ValidationError: a name or path with characters that it may not have is called by its member when
    /// nothing else is wrong; everything else is said without the values.
    pub fn iam_message(self) -> String {
        let special = match self.0.as_slice() {
            [one] => one.constraint.strip_prefix(PATTERN).and_then(|pattern| {
                let (_, rule) = IAM_PATTERNS.iter().find(|(known, _)| *known == pattern)?;
                Some(format!("The specified value for {} is invalid. {rule}", one.path))
            }),
            _ => None,
        };
        special.unwrap_or_else(|| self.without_values().message())
    }

    /// The same as IAM shows them: no values, and no list after an enum constraint.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        for violation in &mut self.0 {
            violation.value = Echo::Omitted;
            if let Some((head, _)) = violation.constraint.split_once(": [")
                && head.ends_with("enum value set")
            {
                violation.constraint = head.to_owned();
            }
        }
        self
    }
}

/// A shape that can check the model's constraints on itself.
pub trait Validate {
    /// Adds what does not hold, below `path`.
    fn validate(&self, path: &Path<'_>, violations: &mut Violations);
}

/// A request whose every modelled constraint holds. Only [`Valid::new`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid<T>(T);

impl<T: Validate> Valid<T> {
    /// Checks `value`.
    ///
    /// # Errors
    /// Every constraint that does not hold.
    pub fn new(value: T) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        value.validate(&Path::ROOT, &mut violations);
        if violations.is_empty() { Ok(Self(value)) } else { Err(violations) }
    }
}

impl<T> Valid<T> {
    /// The value, without its proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The constraint kinds of the model. The generated code names the limits.
pub mod check {
    use super::{Echo, Path, Violations};
    use crate::Pattern;

    /// A string: length in Unicode scalars, then the pattern.
    pub fn text(
        value: &str,
        echo: impl Fn() -> Echo,
        limits: &TextLimits,
        path: &Path<'_>,
        violations: &mut Violations,
    ) {
        let too_long = limits.max.is_some_and(|max| exceeds(value, max));
        if let (true, Some(max)) = (too_long, limits.max) {
            violations.push(path, echo(), format!("Member must have length less than or equal to {max}"));
        }
        if let Some(min) = limits.min
            && value.chars().take(min).count() < min
        {
            violations.push(path, echo(), format!("Member must have length greater than or equal to {min}"));
        }
        // A pattern with groups is only tried on a text of allowed length: the rest is refused already, and a
        // caller must not choose how much work the matcher has.
        if let Some(pattern) = limits.pattern
            && !(too_long && pattern.is_costly())
            && !pattern.matches(value)
        {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text);
            violations.push(path, echo(), constraint);
        }
    }

    fn exceeds(value: &str, max: usize) -> bool {
        // Every scalar takes at least one byte, so short texts need no counting.
        value.len() > max && value.chars().nth(max).is_some()
    }

    /// What the model says of a string.
    #[derive(Debug)]
    pub struct TextLimits {
        /// Fewest scalars.
        pub min: Option<usize>,
        /// Most scalars.
        pub max: Option<usize>,
        /// The pattern the whole text must match.
        pub pattern: Option<&'static Pattern>,
    }

    impl TextLimits {
        /// Whether all of it holds.
        pub fn hold(&self, value: &str) -> bool {
            let mut violations = Violations::new();
            text(value, || Echo::Omitted, self, &Path::ROOT, &mut violations);
            violations.is_empty()
        }
    }

    /// A number of bytes or elements.
    pub fn length(
        length: usize,
        echo: impl Fn() -> Echo,
        min: usize,
        max: usize,
        path: &Path<'_>,
        violations: &mut Violations,
    ) {
        if length > max {
            violations.push(path, echo(), format!("Member must have length less than or equal to {max}"));
        }
        if length < min {
            violations.push(path, echo(), format!("Member must have length greater than or equal to {min}"));
        }
    }

    /// An integer in a range.
    pub fn range(value: i32, min: i32, max: i32, path: &Path<'_>, violations: &mut Violations) {
        let echo = || Echo::Text(value.to_string());
        if value > max {
            violations.push(path, echo(), format!("Member must have value less than or equal to {max}"));
        }
        if value < min {
            violations.push(path, echo(), format!("Member must have value greater than or equal to {min}"));
        }
    }

    /// `[a, b]`, as a list is shown in a violation.
    pub fn list_echo<T: AsRef<str>>(values: impl Iterator<Item = T>) -> Echo {
        let mut shown = String::from("[");
        for (number, value) in values.enumerate() {
            if number > 0 {
                shown.push_str(", ");
            }
            shown.push_str(value.as_ref());
        }
        shown.push(']');
        Echo::Text(shown)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{iam, kms};
    use claviger_secret::SecretBytes;

    #[track_caller]
    fn refused<T: Validate>(value: T, message: &str) {
        let violations = Valid::new(value).err().unwrap();
        assert_eq!(violations.message(), message);
    }

    fn encrypt(key_id: &str, bytes: usize) -> kms::EncryptRequest {
        kms::EncryptRequest {
            key_id: key_id.to_owned(),
            plaintext: SecretBytes::zeroed(bytes),
            encryption_context: None,
            grant_tokens: None,
            encryption_algorithm: None,
            dry_run: None,
        }
    }

    #[test]
    fn a_blob_is_not_shown() {
        assert!(Valid::new(encrypt("k", 4096)).is_ok());
        refused(
            encrypt("k", 4097),
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
        );
        refused(
            encrypt("k", 0),
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
        );
    }

    #[test]
    fn several_are_joined() {
        refused(
            encrypt("", 0),
            "2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1; \
             Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
        );
    }

    #[test]
    fn integers_have_a_range() {
        let of = |number_of_bytes| kms::GenerateRandomRequest {
            number_of_bytes: Some(number_of_bytes),
            ..Default::default()
        };
        refused(
            of(0),
            "1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1",
        );
        refused(
            of(1025),
            "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024",
        );
        assert!(Valid::new(of(1024)).is_ok());
    }

    #[test]
    fn elements_are_counted_from_one_and_lengths_in_scalars() {
        let tag = |key: String| kms::Tag { tag_key: key, tag_value: String::new() };
        let request = |tags| kms::TagResourceRequest { key_id: "k".to_owned(), tags };
        assert!(Valid::new(request(vec![tag("é".repeat(128))])).is_ok());
        let long = "k".repeat(129);
        refused(
            request(vec![tag(long.clone())]),
            &format!(
                "1 validation error detected: Value '{long}' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"
            ),
        );
    }

    #[test]
    fn a_list_of_simple_values_is_reported_whole() {
        let mut request = encrypt("k", 1);
        request.grant_tokens = Some(vec!["t".to_owned(), String::new()]);
        refused(
            request,
            "1 validation error detected: Value '[t, ]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: \
             [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]",
        );
    }

    #[test]
    fn secrets_and_iam_show_no_value() {
        let request = kms::ConnectCustomKeyStoreRequest { custom_key_store_id: String::new() };
        assert!(Valid::new(request).is_err());
        let request = iam::CreateAccessKeyRequest { user_name: Some("a b".to_owned()) };
        let violations = Valid::new(request).err().unwrap().without_values();
        assert_eq!(
            violations.message(),
            "1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+",
        );
    }

    #[test]
    fn iam_has_words_for_names_and_paths() {
        let message = |user_name: &str, path: &str| {
            let (user_name, path) = (user_name.to_owned(), Some(path.to_owned()));
            let request = iam::CreateUserRequest { user_name, path, ..Default::default() };
            Valid::new(request).err().unwrap().iam_message()
        };
        let name = "It must contain only alphanumeric characters and/or the following: +=,.@_-";
        assert_eq!(message("a b", "/"), format!("The specified value for userName is invalid. {name}"));
        assert!(message("a", "a").starts_with("The specified value for path is invalid. It must begin and end with /"));
        assert_eq!(
            message(&"a".repeat(65), "/"),
            "1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64",
        );
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let shown = |length: usize| {
            let request = kms::DescribeKeyRequest { key_id: "é".repeat(length), ..Default::default() };
            Valid::new(request).err().unwrap().message()
        };
        assert!(shown(ECHO_CHARACTERS_MAX).contains("éé' at 'keyId'"));
        let message = shown(500_000);
        assert!(message.contains("éé...' at 'keyId'") && message.chars().count() < 2 * ECHO_CHARACTERS_MAX);
    }

    #[test]
    fn the_number_kept_is_bounded() {
        let tags = vec![kms::Tag { tag_key: String::new(), tag_value: String::new() }; 10_000];
        let violations = Valid::new(kms::TagResourceRequest { key_id: "k".to_owned(), tags }).err().unwrap();
        assert_eq!(violations.iter().count(), VIOLATIONS_MAX);
    }
}
