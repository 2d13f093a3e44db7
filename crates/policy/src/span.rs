//! Where in a policy's text its statements and the names of its principals stand.

use std::ops::Range;

/// A place in a text, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column in it.
    pub column: usize,
}

/// From the first character of a statement to the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where its opening brace stands.
    pub start: Position,
    /// Where the text goes on behind its closing brace.
    pub end: Position,
}

/// Byte ranges in the text of a policy.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) statements: Vec<Range<usize>>,
    /// The values of `Principal` and `NotPrincipal` under `AWS`, with their quotes, and what they say.
    pub(crate) principals: Vec<(Range<usize>, String)>,
}

/// Finds the places. The text is a policy that was parsed, so it is JSON; of other text only a part is found.
pub(crate) fn places(text: &str) -> Places {
    let mut reader = Reader { text, at: 0, path: Vec::new(), places: Places::default() };
    let _ = reader.value();
    reader.places
}

/// Where the statements stand, in one pass.
pub(crate) fn statements(text: &str) -> Vec<Span> {
    let mut at = 0;
    let mut here = Position { line: 1, column: 1 };
    let mut go_to = |end: usize| {
        for character in text.get(at..end).unwrap_or_default().chars() {
            here = if character == '\n' {
                Position { line: here.line + 1, column: 1 }
            } else {
                Position { column: here.column + 1, ..here }
            };
        }
        at = end;
        here
    };
    let span = |range: Range<usize>| Span { start: go_to(range.start), end: go_to(range.end) };
    places(text).statements.into_iter().map(span).collect()
}

/// Reads JSON and notes the places on the way. The path has a member's name for each object and none for each list.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Option<String>>,
    places: Places,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<()> {
        let start = self.blank()?;
        match self.peek()? {
            b'{' => self.all(b'}', true)?,
            b'[' => self.all(b']', false)?,
            b'"' => drop(self.string()?),
            _ => {
                let rest = self.text.get(start..)?;
                let length = rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                self.at = start + length;
            }
        }
        self.note(start..self.at);
        Some(())
    }

    /// The members of an object or the items of a list.
    fn all(&mut self, end: u8, named: bool) -> Option<()> {
        self.at += 1;
        loop {
            self.blank()?;
            match self.peek()? {
                found if found == end => {
                    self.at += 1;
                    return Some(());
                }
                b',' => self.at += 1,
                _ => {
                    let name = if named { Some(self.member()?) } else { None };
                    self.path.push(name);
                    self.value()?;
                    self.path.pop();
                }
            }
        }
    }

    fn member(&mut self) -> Option<String> {
        let name = self.string()?;
        self.blank()?;
        self.at += usize::from(self.peek()? == b':');
        Some(name)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn blank(&mut self) -> Option<usize> {
        while matches!(self.peek()?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        Some(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn note(&mut self, range: Range<usize>) {
        let path: Vec<Option<&str>> = self.path.iter().map(Option::as_deref).collect();
        let [Some("Statement"), inside @ ..] = path.as_slice() else { return };
        let raw = self.text.get(range.clone()).unwrap_or_default();
        let inside = if let [None, inside @ ..] = inside { inside } else { inside };
        match inside {
            [] if raw.starts_with('{') => self.places.statements.push(range),
            [Some("Principal" | "NotPrincipal"), Some("AWS")]
            | [Some("Principal" | "NotPrincipal"), Some("AWS"), None] => {
                if let Ok(name) = serde_json::from_str(raw) {
                    self.places.principals.push((range, name));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn statements_and_names() {
        let text = "{\"Version\": \"2012-10-17\",\n \"Statement\" : [\n  {\"Sid\": \"a\\\"}{\", \
                    \"Principal\": {\"AWS\": [\"x\", \"\\u0079\"]}},{\"NotPrincipal\":{\"AWS\":\"z\",\
                    \"Service\":\"s\"},\"Condition\":{\"Bool\":{\"a:b\":true}}} ]}";
        let places = places(text);
        let statements: Vec<&str> = places.statements.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(statements.len(), 2);
        assert!(statements[0].starts_with("{\"Sid\"") && statements[0].ends_with("]}}"));
        assert!(statements[1].starts_with("{\"NotPrincipal\"") && statements[1].ends_with("true}}}"));
        let names: Vec<(&str, &str)> =
            places.principals.iter().map(|(range, name)| (&text[range.clone()], name.as_str())).collect();
        assert_eq!(names, [("\"x\"", "x"), ("\"\\u0079\"", "y"), ("\"z\"", "z")]);
        let place = |line, column| Position { line, column };
        let spans = super::statements("{\n \"Statement\": [\n{\"a\":\n\"\u{e9}\" },{}]}");
        assert_eq!(
            spans,
            [Span { start: place(3, 1), end: place(4, 6) }, Span { start: place(4, 7), end: place(4, 9) },]
        );
        let one = places_of("{\"Statement\":{\"Principal\":\"*\"}}");
        assert_eq!(one, (1, 0));
    }

    fn places_of(text: &str) -> (usize, usize) {
        let places = places(text);
        (places.statements.len(), places.principals.len())
    }

    #[test]
    fn any_text_comes_to_an_end() {
        for text in ["", "{", "\"", "\"\\", "{\"a\"", "{\"Statement\":", "[1,", "{a:b}", "]", "}", ",", ":"] {
            assert_eq!(places_of(text).0, 0, "{text}");
        }
    }
}
