//! Responses to bytes: what the generated encoders write to, and the two protocols.

mod buffer;
mod json;
mod xml;

use std::collections::BTreeMap;

use claviger_api::Timestamp;
use claviger_secret::SecretBytes;

pub(crate) use json::JsonEncoder;
pub(crate) use xml::XmlEncoder;

/// What a generated encoder says of a response; each protocol writes it its way.
pub(crate) trait Encoder: Sized {
    /// The output of an operation; `wrapper` is the element awsQuery puts around it.
    fn result(&mut self, wrapper: &'static str, content: impl FnOnce(&mut Self));
    /// A structure, of which `content` writes the members.
    fn structure(&mut self, content: impl FnOnce(&mut Self));
    /// A member of the structure being written.
    fn member(&mut self, name: &'static str, content: impl FnOnce(&mut Self));
    /// A list.
    fn list<T>(&mut self, values: &[T], element: impl Fn(&mut Self, &T));
    /// A map.
    fn map(&mut self, values: &BTreeMap<String, String>);
    /// A map to integers.
    fn counts(&mut self, values: &BTreeMap<String, i32>);
    /// A string.
    fn text(&mut self, value: &str);
    /// A string that is a secret.
    fn secret_text(&mut self, value: &SecretBytes);
    /// Bytes, as base64.
    fn blob(&mut self, value: &[u8]);
    /// Bytes that are a secret, as base64.
    fn secret_blob(&mut self, value: &SecretBytes);
    /// An integer.
    fn integer(&mut self, value: i32);
    /// A truth value.
    fn boolean(&mut self, value: bool);
    /// A moment.
    fn timestamp(&mut self, value: Timestamp);
}
