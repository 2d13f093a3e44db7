//! What a condition asks about a request.

use std::borrow::Cow;

/// The facts of one request, by condition key. Asked only when a statement has a condition, so a request under an
/// unconditional policy builds nothing.
pub trait Context {
    /// The values of the condition key, whose name is given in lower case (compare with [`crate::is_same_key`]); `None`
    /// when the request does not carry it. An empty list is a multi-valued key without values, which conditions treat
    /// like an absent one. More than one value of a single-valued key says that it cannot be told which counts: two
    /// pairs of an encryption context whose names differ in letter case only.
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>>;
}

/// A request about which nothing is known: every condition key is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContext;

impl Context for NoContext {
    fn values(&self, _key: &str) -> Option<Vec<Cow<'_, str>>> {
        None
    }
}
