//! What a record may hold: text that somebody declared safe, and structures of it.

use std::borrow::Cow;
use std::fmt::Display;

use claviger_secret::LogSafe;

/// Text that may stand in an audit record.
///
/// Made from a constant, from a [`LogSafe`] value, or by the one named crossing [`Text::public`]. There is no
/// conversion from `String`, so nothing slips in unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Cow<'static, str>);

impl Text {
    /// The displayed form of a value whose type says that it may be logged.
    pub fn of(value: &(impl LogSafe + ?Sized)) -> Self {
        Self(Cow::Owned(claviger_secret::safe(value).to_string()))
    }

    /// Caller-given text that AWS shows in CloudTrail in full: a policy, an encryption context, a description.
    ///
    /// Unlike `claviger_secret::LogText` it is not cut, since an auditor needs the whole policy. It needs no
    /// cleaning either: the serialiser escapes every control character. Each use is a declaration that the member
    /// is public, so it belongs beside the operation's list of audited fields and nowhere else.
    pub fn public(text: &str) -> Self {
        Self(Cow::Owned(text.to_owned()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// A JSON value of an audit record.
///
/// `Value::from` takes `bool`, the integers, `&'static str`, [`Text`], `Option` and `Vec` of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Text(Text),
    /// An array.
    List(Vec<Value>),
    /// An object; members are written in this order. A name that occurs twice is written twice, so callers that
    /// take names from a request take them from a map.
    Object(Vec<(Text, Value)>),
}

impl Value {
    /// The displayed form of a value whose type says that it may be logged.
    pub fn text(value: &(impl LogSafe + ?Sized)) -> Self {
        Self::Text(Text::of(value))
    }

    /// See [`Text::public`]: caller-given text that is shown in full.
    pub fn public_text(text: &str) -> Self {
        Self::Text(Text::public(text))
    }

    /// An object of these members, in this order.
    pub fn object<N: Into<Text>, V: Into<Value>>(members: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// An array of these elements.
    pub fn list<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }

    /// The encryption context, tags or another map of public caller-given names and values.
    pub fn public_map<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::object(members.into_iter().map(|(name, value)| (Text::public(name), Self::public_text(value))))
    }

    /// Adds a member to an object; turns anything else into an object of this member.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, value: impl Into<Value>) -> Self {
        let member = (name.into(), value.into());
        match &mut self {
            Self::Object(members) => members.push(member),
            _ => self = Self::Object(vec![member]),
        }
        self
    }

    /// The compact JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        crate::json::value(&mut out, self);
        out
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! from_integers {
    ($($integer:ty),+) => { $(impl From<$integer> for Value {
        fn from(value: $integer) -> Self {
            Self::Int(i64::from(value))
        }
    })+ };
}
from_integers!(i64, i32, u32, u16, u8);

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(elements: Vec<V>) -> Self {
        Self::list(elements)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, on the clock that the caller chose. This crate reads none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// From milliseconds since the epoch.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl Display for Time {
    /// ISO 8601 in UTC with whole seconds, as CloudTrail's `eventTime`: `2026-01-02T03:04:05Z`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.div_euclid(1000);
        // Outside the years that jiff knows there is no calendar date; the bare number still says when.
        match jiff::Timestamp::from_second(seconds) {
            Ok(timestamp) => write!(formatter, "{timestamp}"),
            Err(_) => write!(formatter, "{seconds}"),
        }
    }
}

impl LogSafe for Time {}
impl LogSafe for Text {}

impl Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
