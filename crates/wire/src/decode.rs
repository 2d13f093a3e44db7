//! Trees to requests: what the generated decoders are made of.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::{Echo, Operation, Path, Protocol, Refusal, Request, Timestamp, Valid, Validate, Violations, check};
use claviger_secret::SecretBytes;

use crate::node::{Members, Node};
use crate::{form, generated, json};

/// The request cannot be read at all: a wrong type, bad base64, a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value, nothing because of a violation that was noted, or an unreadable request.
pub(crate) type Decoded<T> = Result<Option<T>, Malformed>;

/// Why a request did not become a [`Request`].
#[derive(Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It cannot be read.
    Refusal(Refusal),
    /// It can, and does not hold the model's constraints.
    Invalid(Violations),
}

impl From<Malformed> for DecodeError {
    fn from(Malformed: Malformed) -> Self {
        Self::Refusal(Refusal::Serialization)
    }
}

/// Reads a request of an operation. `input` is what [`crate::input`] gives: the body, or the query string of a
/// Query request by GET.
///
/// # Errors
/// [`DecodeError::Refusal`] with `Serialization` or `BodyTooLarge`; [`DecodeError::Invalid`] with every
/// constraint that does not hold.
pub fn decode(operation: Operation, input: &[u8]) -> Result<Request, DecodeError> {
    if input.len() > crate::limit::BODY_BYTES_MAX {
        return Err(DecodeError::Refusal(Refusal::BodyTooLarge));
    }
    let protocol = operation.protocol();
    let node = match protocol {
        Protocol::Json => json::parse(input)?,
        Protocol::Query => form::parse(input)?,
    };
    generated::decode(operation, &mut Decoder { protocol, violations: Violations::new() }, &node)
}

/// Walks a tree, noting violations as it goes.
pub(crate) struct Decoder {
    protocol: Protocol,
    violations: Violations,
}

impl Decoder {
    pub(crate) const fn violations(&mut self) -> &mut Violations {
        &mut self.violations
    }

    /// Decodes the input structure of an operation and proves it valid.
    pub(crate) fn request<T: Validate, R>(
        &mut self,
        node: &Node<'_>,
        decode: impl FnOnce(&mut Self, &Node<'_>, &Path<'_>) -> Decoded<T>,
        wrap: impl FnOnce(Valid<T>) -> R,
    ) -> Result<R, DecodeError> {
        let decoded = decode(self, node, &Path::ROOT)?;
        if !self.violations.is_empty() {
            return Err(DecodeError::Invalid(std::mem::take(&mut self.violations)));
        }
        // A decoder gives nothing only with a violation; should it ever not, the request is still refused.
        let request = decoded.ok_or(Malformed)?;
        Valid::new(request).map(wrap).map_err(DecodeError::Invalid)
    }

    pub(crate) fn structure<'n, 'a>(node: &'n Node<'a>) -> Result<&'n Members<'a>, Malformed> {
        match node {
            Node::Map(members) => Ok(members),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn optional<T>(
        &mut self,
        members: &Members<'_>,
        name: &str,
        path: &Path<'_>,
        decode: impl FnOnce(&mut Self, &Node<'_>, &Path<'_>) -> Decoded<T>,
    ) -> Decoded<T> {
        match members.get(name) {
            None | Some(Node::Null) => Ok(None),
            Some(node) => decode(self, node, path),
        }
    }

    pub(crate) fn required<T>(
        &mut self,
        members: &Members<'_>,
        name: &str,
        path: &Path<'_>,
        decode: impl FnOnce(&mut Self, &Node<'_>, &Path<'_>) -> Decoded<T>,
    ) -> Decoded<T> {
        match members.get(name) {
            None | Some(Node::Null) => {
                self.violations.push_null(path);
                Ok(None)
            }
            Some(node) => decode(self, node, path),
        }
    }

    pub(crate) fn text(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<String> {
        Ok(Some(str_of(node)?.to_owned()))
    }

    pub(crate) fn secret_text(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<SecretBytes> {
        Ok(Some(SecretBytes::from_slice(str_of(node)?.as_bytes())))
    }

    pub(crate) fn blob(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<Vec<u8>> {
        STANDARD.decode(str_of(node)?).map(Some).map_err(|_| Malformed)
    }

    pub(crate) fn secret_blob(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<SecretBytes> {
        // Wiped also where the text turns out to be no base64 halfway.
        let text = str_of(node)?;
        let mut buffer = zeroize::Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD.decode_slice(text, &mut buffer).map_err(|_| Malformed)?;
        Ok(Some(SecretBytes::from_slice(buffer.get(..length).ok_or(Malformed)?)))
    }

    pub(crate) fn integer(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<i32> {
        let value = match (self.protocol, node) {
            (Protocol::Json, Node::Integer(value)) => i32::try_from(*value).ok(),
            (Protocol::Query, Node::Text(text)) => text.as_str().parse().ok(),
            _ => None,
        };
        value.map(Some).ok_or(Malformed)
    }

    pub(crate) fn boolean(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<bool> {
        match (self.protocol, node) {
            (Protocol::Json, Node::Bool(value)) => Ok(Some(*value)),
            (Protocol::Query, Node::Text(text)) if text.as_str() == "true" => Ok(Some(true)),
            (Protocol::Query, Node::Text(text)) if text.as_str() == "false" => Ok(Some(false)),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn timestamp(&mut self, node: &Node<'_>, _path: &Path<'_>) -> Decoded<Timestamp> {
        match (self.protocol, node) {
            (Protocol::Json, Node::Integer(seconds)) => {
                seconds.checked_mul(1000).map(|millis| Some(Timestamp::from_millis(millis))).ok_or(Malformed)
            }
            (Protocol::Json, Node::Fraction(seconds)) => millis(*seconds).map(Some).ok_or(Malformed),
            (Protocol::Query, Node::Text(text)) => {
                Timestamp::parse_iso8601(text.as_str()).map(Some).map_err(|_| Malformed)
            }
            _ => Err(Malformed),
        }
    }

    pub(crate) fn enumeration<T: Copy>(
        &mut self,
        node: &Node<'_>,
        path: &Path<'_>,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Decoded<T> {
        let text = str_of(node)?;
        let found = all.iter().copied().find(|value| as_str(*value) == text);
        if found.is_none() {
            self.violations.push(path, Echo::Text(text.to_owned()), enumeration_constraint(all, as_str));
        }
        Ok(found)
    }

    pub(crate) fn enumeration_list<T: Copy>(
        &mut self,
        node: &Node<'_>,
        path: &Path<'_>,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Decoded<Vec<T>> {
        let Some(texts) = self.text_list(node, path)? else {
            return Ok(None);
        };
        let parse = |text: &String| all.iter().copied().find(|value| as_str(*value) == text);
        let values: Option<Vec<T>> = texts.iter().map(parse).collect();
        if values.is_none() {
            let constraint = format!("Member must satisfy constraint: [{}]", enumeration_constraint(all, as_str));
            self.violations.push(path, check::list_echo(texts.iter()), constraint);
        }
        Ok(values)
    }

    pub(crate) fn text_list(&mut self, node: &Node<'_>, path: &Path<'_>) -> Decoded<Vec<String>> {
        let mut texts = Vec::new();
        for (number, element) in elements(node)?.into_iter().enumerate() {
            match element {
                Node::Null => self.violations.push_null(&path.element(number.saturating_add(1))),
                element => texts.push(str_of(element)?.to_owned()),
            }
        }
        Ok(Some(texts))
    }

    pub(crate) fn list<T>(
        &mut self,
        node: &Node<'_>,
        path: &Path<'_>,
        decode: impl Fn(&mut Self, &Node<'_>, &Path<'_>) -> Decoded<T>,
    ) -> Decoded<Vec<T>> {
        let mut values = Vec::new();
        for (number, element) in elements(node)?.into_iter().enumerate() {
            let place = path.element(number.saturating_add(1));
            match element {
                Node::Null => self.violations.push_null(&place),
                // One that is nothing was noted as a violation, so the shorter list never leaves the decoder.
                element => values.extend(decode(self, element, &place)?),
            }
        }
        Ok(Some(values))
    }

    pub(crate) fn map(&mut self, node: &Node<'_>, path: &Path<'_>) -> Decoded<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        match (self.protocol, node) {
            (Protocol::Json, Node::Map(members)) => {
                for (key, value) in members {
                    match value {
                        Node::Null => self.violations.push_null(&path.entry(key)),
                        value => {
                            map.insert(key.clone().into_owned(), str_of(value)?.to_owned());
                        }
                    }
                }
                Ok(Some(map))
            }
            // No operation here takes a map in a form.
            _ => Err(Malformed),
        }
    }
}

fn str_of<'n>(node: &'n Node<'_>) -> Result<&'n str, Malformed> {
    match node {
        Node::Text(text) => Ok(text.as_str()),
        _ => Err(Malformed),
    }
}

/// The elements of a list: of JSON, or `member.1`, `member.2` ... of a form, where `Tags=` is an empty one.
fn elements<'n, 'a>(node: &'n Node<'a>) -> Result<Vec<&'n Node<'a>>, Malformed> {
    match node {
        Node::List(elements) => Ok(elements.iter().collect()),
        Node::Text(text) if text.as_str().is_empty() => Ok(Vec::new()),
        Node::Map(members) => {
            let Some(Node::Map(numbered)) = members.get("member") else {
                return Err(Malformed);
            };
            let mut elements = Vec::new();
            for (number, element) in numbered {
                elements.push((number.parse::<u32>().map_err(|_| Malformed)?, element));
            }
            elements.sort_by_key(|(number, _)| *number);
            Ok(elements.into_iter().map(|(_, element)| element).collect())
        }
        _ => Err(Malformed),
    }
}

fn enumeration_constraint<T: Copy>(all: &[T], as_str: impl Fn(T) -> &'static str) -> String {
    let values: Vec<&str> = all.iter().map(|value| as_str(*value)).collect();
    format!("Member must satisfy enum value set: [{}]", values.join(", "))
}

/// Seconds with a fraction, to the millisecond.
fn millis(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    // Within 2^53 every whole number is exact, so the conversion loses nothing.
    let exact = (-9_007_199_254_740_992.0..=9_007_199_254_740_992.0).contains(&millis);
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked and it is whole")]
    exact.then(|| Timestamp::from_millis(millis as i64))
}

#[cfg(test)]
mod tests;
