//! A growing buffer that leaves no copies behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zeroize::Zeroizing;

/// Bytes of a reply. A plaintext may be among them, so what is outgrown is wiped, and the whole when the
/// connection has let go of it.
pub(super) struct Buffer(Zeroizing<Vec<u8>>);

/// Room for nearly every reply without growing.
const CAPACITY: usize = 1024;

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(CAPACITY)))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Room for so many more bytes. What is outgrown is wiped.
    fn make_room(&mut self, bytes: usize) {
        let needed = self.0.len().saturating_add(bytes);
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2))));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    /// Encodes in place: another buffer would have to be wiped.
    pub(super) fn push_base64(&mut self, bytes: &[u8]) {
        let start = self.0.len();
        // Only for more bytes than an address space holds is there no length.
        let Some(length) = base64::encoded_len(bytes.len(), true) else { return };
        self.make_room(length);
        self.0.resize(start.saturating_add(length), 0);
        // The room is exactly that of the text, so this cannot fail.
        let encoded = self.0.get_mut(start..).and_then(|room| STANDARD.encode_slice(bytes, room).ok());
        self.0.truncate(start.saturating_add(encoded.unwrap_or(0)));
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}
