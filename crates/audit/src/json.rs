//! JSON text by hand: a record is written once a call, and this is the one place that decides what it looks like.

use std::fmt::Write as _;

use crate::value::Value;

/// Appends a value.
pub(crate) fn value(out: &mut String, value_: &Value) {
    match value_ {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => integer(out, *number),
        Value::Text(text_) => text(out, text_.as_str()),
        Value::List(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value(out, element);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                text(out, name.as_str());
                out.push(':');
                value(out, member);
            }
            out.push('}');
        }
    }
}

/// Appends a number.
pub(crate) fn integer(out: &mut String, number: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{number}");
}

/// Appends a string with its quotation marks.
///
/// Every control character is escaped, the C1 range and DEL included: a record never spans two lines and never
/// drives the terminal of the person who reads it. So are the characters that reorder or break text invisibly.
pub(crate) fn text(out: &mut String, content: &str) {
    out.push('"');
    // Nearly every string is plain; the check costs less than taking it apart.
    if is_plain(content) {
        out.push_str(content);
        out.push('"');
        return;
    }
    let mut plain_from = 0;
    for (at, character) in content.char_indices() {
        if !needs_escape(character) {
            continue;
        }
        out.push_str(content.get(plain_from..at).unwrap_or_default());
        plain_from = at.saturating_add(character.len_utf8());
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them lie in the basic plane, so four digits suffice.
            other => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
        }
    }
    out.push_str(content.get(plain_from..).unwrap_or_default());
    out.push('"');
}

/// Whether it is of printable ASCII that needs no escape. Looks at every byte without a branch, which is quicker for
/// strings as short as these.
fn is_plain(content: &str) -> bool {
    content.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\'))
}

const fn needs_escape(character: char) -> bool {
    matches!(character,
        '"' | '\\' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Writes the members of an object, so that callers need not count commas.
pub(crate) struct Members<'a> {
    out: &'a mut String,
    any: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn open(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, any: false }
    }

    /// Writes the name and lends the buffer for the value.
    fn name(&mut self, name: &'static str) -> &mut String {
        if self.any {
            self.out.push(',');
        }
        self.any = true;
        // Names are ours and plain.
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &'static str, content: &str) {
        text(self.name(name), content);
    }

    pub(crate) fn value(&mut self, name: &'static str, content: &Value) {
        value(self.name(name), content);
    }

    pub(crate) fn optional(&mut self, name: &'static str, content: Option<&Value>) {
        if let Some(content) = content {
            self.value(name, content);
        }
    }

    pub(crate) fn display(&mut self, name: &'static str, content: impl std::fmt::Display) {
        let out = self.name(name);
        let _ = write!(out, "\"{content}\"");
    }

    pub(crate) fn integer(&mut self, name: &'static str, number: impl std::fmt::Display) {
        integer(self.name(name), number);
    }

    pub(crate) fn bool(&mut self, name: &'static str, content: bool) {
        let out = self.name(name);
        out.push_str(if content { "true" } else { "false" });
    }

    pub(crate) fn raw(&mut self, name: &'static str, json: &str) {
        self.name(name).push_str(json);
    }

    /// A list of objects; `fill` writes the members of each.
    pub(crate) fn objects<T>(&mut self, name: &'static str, of: &[T], fill: impl Fn(&mut Members<'_>, &T)) {
        let out = self.name(name);
        out.push('[');
        for (index, element) in of.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let mut members = Members::open(out);
            fill(&mut members, element);
            members.close();
        }
        out.push(']');
    }

    pub(crate) fn close(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::value::Text;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<String>().prop_map(|text| Value::public_text(&text)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(
                    map.into_iter().map(|(name, value)| (Text::public(&name), value)).collect()
                )),
            ]
        })
    }

    fn expected(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(elements) => elements.iter().map(expected).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.as_str().to_owned(), expected(value))).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn another_parser_reads_back_what_was_written(value in any_value()) {
            let json = value.to_json();
            prop_assert!(!json.chars().any(char::is_control));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected(&value));
        }
    }
}
