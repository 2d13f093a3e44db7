//! awsQuery.

use std::collections::BTreeMap;

use bytes::Bytes;
use claviger_api::Timestamp;
use claviger_secret::SecretBytes;

use super::Encoder;
use super::buffer::Buffer;

/// Writes XML: moments as `2026-01-02T03:04:05Z`, bytes as base64, lists as `member` elements.
pub(crate) struct XmlEncoder {
    buffer: Buffer,
}

impl XmlEncoder {
    pub(crate) fn new() -> Self {
        Self { buffer: Buffer::new() }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.buffer.into_bytes()
    }

    pub(crate) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.tag("<", name);
        content(self);
        self.tag("</", name);
    }

    /// The outermost element.
    pub(crate) fn document(&mut self, name: &str, namespace: &str, content: impl FnOnce(&mut Self)) {
        self.buffer.push_str("<");
        self.buffer.push_str(name);
        self.buffer.push_str(" xmlns=\"");
        self.escaped(namespace);
        self.buffer.push_str("\">");
        content(self);
        self.tag("</", name);
    }

    fn tag(&mut self, open: &str, name: &str) {
        self.buffer.push_str(open);
        self.buffer.push_str(name);
        self.buffer.push_str(">");
    }

    fn escaped(&mut self, text: &str) {
        let mut bytes = [0_u8; 4];
        for character in text.chars() {
            match character {
                '&' => self.buffer.push_str("&amp;"),
                '<' => self.buffer.push_str("&lt;"),
                '>' => self.buffer.push_str("&gt;"),
                '"' => self.buffer.push_str("&quot;"),
                '\'' => self.buffer.push_str("&apos;"),
                '\r' => self.buffer.push_str("&#xD;"),
                '\t' | '\n' => self.buffer.push_str(character.encode_utf8(&mut bytes)),
                // XML 1.0 has no way to write these.
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => self.buffer.push_str("\u{fffd}"),
                other => self.buffer.push_str(other.encode_utf8(&mut bytes)),
            }
        }
    }
}

impl Encoder for XmlEncoder {
    fn result(&mut self, wrapper: &'static str, content: impl FnOnce(&mut Self)) {
        self.element(wrapper, content);
    }

    fn structure(&mut self, content: impl FnOnce(&mut Self)) {
        content(self);
    }

    fn member(&mut self, name: &'static str, content: impl FnOnce(&mut Self)) {
        self.element(name, content);
    }

    fn list<T>(&mut self, values: &[T], element: impl Fn(&mut Self, &T)) {
        for value in values {
            self.element("member", |encoder| element(encoder, value));
        }
    }

    fn map(&mut self, values: &BTreeMap<String, String>) {
        for (key, value) in values {
            self.element("entry", |encoder| {
                encoder.element("key", |encoder| encoder.escaped(key));
                encoder.element("value", |encoder| encoder.escaped(value));
            });
        }
    }

    fn counts(&mut self, values: &BTreeMap<String, i32>) {
        for (key, value) in values {
            self.element("entry", |encoder| {
                encoder.element("key", |encoder| encoder.escaped(key));
                encoder.element("value", |encoder| encoder.integer(*value));
            });
        }
    }

    fn text(&mut self, value: &str) {
        self.escaped(value);
    }

    fn secret_text(&mut self, value: &SecretBytes) {
        self.escaped(std::str::from_utf8(value.expose()).unwrap_or_default());
    }

    fn blob(&mut self, value: &[u8]) {
        self.buffer.push_base64(value);
    }

    fn secret_blob(&mut self, value: &SecretBytes) {
        self.buffer.push_base64(value.expose());
    }

    fn integer(&mut self, value: i32) {
        self.buffer.push_str(&value.to_string());
    }

    fn boolean(&mut self, value: bool) {
        self.buffer.push_str(if value { "true" } else { "false" });
    }

    fn timestamp(&mut self, value: Timestamp) {
        self.buffer.push_str(&value.to_iso8601());
    }
}
