//! Where in a request a violation is.

use std::fmt;

/// A path like `tags.1.member.tagKey`, as a chain on the stack: it costs nothing until it is shown.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Member(&'static str),
    Element(usize),
    Entry(&'a str),
}

impl Path<'static> {
    /// The request itself.
    pub const ROOT: Self = Self { parent: None, segment: Segment::Root };
}

impl Path<'_> {
    /// A member of the structure at this path; `name` is lower camel case.
    pub fn member(&self, name: &'static str) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Member(name) }
    }

    /// An element of the list at this path, counted from 1.
    pub fn element(&self, number: usize) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Element(number) }
    }

    /// The value under a key of the map at this path.
    pub fn entry<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path { parent: Some(self), segment: Segment::Entry(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
            if !matches!(parent.segment, Segment::Root) {
                formatter.write_str(".")?;
            }
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Member(name) => formatter.write_str(name),
            Segment::Element(number) => write!(formatter, "{number}.member"),
            Segment::Entry(key) => write!(formatter, "{key}.member"),
        }
    }
}
