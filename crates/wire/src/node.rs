//! A request as a tree, the same for both protocols.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::Zeroize as _;

/// A value of a request. It has no `Debug`: there may be a plaintext in it.
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Fraction(f64),
    Text(Text<'a>),
    List(Vec<Node<'a>>),
    Map(Members<'a>),
}

pub(crate) type Members<'a> = BTreeMap<Cow<'a, str>, Node<'a>>;

/// Text, wiped on drop if it was copied out of the body (where it had escapes).
pub(crate) struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    pub(crate) const fn new(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}
