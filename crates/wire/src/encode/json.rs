//! awsJson.

use std::collections::BTreeMap;

use bytes::Bytes;
use claviger_api::Timestamp;
use claviger_secret::SecretBytes;

use super::Encoder;
use super::buffer::Buffer;

/// Writes JSON: moments as seconds, bytes as base64.
pub(crate) struct JsonEncoder {
    buffer: Buffer,
    /// Whether the next member or element is the first, and takes no comma.
    first: bool,
}

impl JsonEncoder {
    pub(crate) fn new() -> Self {
        Self { buffer: Buffer::new(), first: true }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.buffer.into_bytes()
    }

    fn separate(&mut self) {
        if !self.first {
            self.buffer.push(b",");
        }
        self.first = false;
    }

    fn enclosed(&mut self, open: &str, close: &str, content: impl FnOnce(&mut Self)) {
        self.buffer.push_str(open);
        self.first = true;
        content(self);
        self.first = false;
        self.buffer.push_str(close);
    }

    fn quoted(&mut self, text: &str) {
        self.buffer.push(b"\"");
        if is_plain(text) {
            self.buffer.push_str(text);
            self.buffer.push(b"\"");
            return;
        }
        let mut start = 0;
        for (position, character) in text.char_indices() {
            if !matches!(character, '"' | '\\' | '\0'..='\x1f') {
                continue;
            }
            self.buffer.push_str(text.get(start..position).unwrap_or_default());
            start = position.saturating_add(1);
            match character {
                '"' => self.buffer.push(b"\\\""),
                '\\' => self.buffer.push(b"\\\\"),
                '\n' => self.buffer.push(b"\\n"),
                '\r' => self.buffer.push(b"\\r"),
                '\t' => self.buffer.push(b"\\t"),
                control => self.buffer.push_str(&format!("\\u{:04x}", u32::from(control))),
            }
        }
        self.buffer.push_str(text.get(start..).unwrap_or_default());
        self.buffer.push(b"\"");
    }
}

/// Whether nothing of it needs an escape. Looks at sixteen bytes without a branch, so that the compiler takes them at
/// once.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    let (blocks, rest) = text.as_bytes().as_chunks::<16>();
    blocks.iter().all(|block| block.iter().fold(true, |all, byte| all & plain(*byte)))
        && rest.iter().copied().all(plain)
}

impl Encoder for JsonEncoder {
    fn result(&mut self, _wrapper: &'static str, content: impl FnOnce(&mut Self)) {
        content(self);
    }

    fn structure(&mut self, content: impl FnOnce(&mut Self)) {
        self.enclosed("{", "}", content);
    }

    fn member(&mut self, name: &'static str, content: impl FnOnce(&mut Self)) {
        self.separate();
        // Names are the model's: letters and digits.
        self.buffer.push(b"\"");
        self.buffer.push_str(name);
        self.buffer.push(b"\":");
        content(self);
    }

    fn list<T>(&mut self, values: &[T], element: impl Fn(&mut Self, &T)) {
        self.enclosed("[", "]", |encoder| {
            for value in values {
                encoder.separate();
                element(encoder, value);
                encoder.first = false;
            }
        });
    }

    fn map(&mut self, values: &BTreeMap<String, String>) {
        self.enclosed("{", "}", |encoder| {
            for (key, value) in values {
                encoder.separate();
                encoder.quoted(key);
                encoder.buffer.push(b":");
                encoder.quoted(value);
            }
        });
    }

    fn counts(&mut self, values: &BTreeMap<String, i32>) {
        self.enclosed("{", "}", |encoder| {
            for (key, value) in values {
                encoder.separate();
                encoder.quoted(key);
                encoder.buffer.push(b":");
                encoder.integer(*value);
                encoder.first = false;
            }
        });
    }

    fn text(&mut self, value: &str) {
        self.quoted(value);
    }

    fn secret_text(&mut self, value: &SecretBytes) {
        self.quoted(std::str::from_utf8(value.expose()).unwrap_or_default());
    }

    fn blob(&mut self, value: &[u8]) {
        self.buffer.push(b"\"");
        self.buffer.push_base64(value);
        self.buffer.push(b"\"");
    }

    fn secret_blob(&mut self, value: &SecretBytes) {
        self.blob(value.expose());
    }

    fn integer(&mut self, value: i32) {
        self.buffer.push_str(&value.to_string());
    }

    fn boolean(&mut self, value: bool) {
        self.buffer.push_str(if value { "true" } else { "false" });
    }

    fn timestamp(&mut self, value: Timestamp) {
        let millis = value.millis();
        let sign = if millis < 0 { "-" } else { "" };
        let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
        let text = if rest == 0 { format!("{sign}{seconds}") } else { format!("{sign}{seconds}.{rest:03}") };
        self.buffer.push_str(&text);
    }
}
