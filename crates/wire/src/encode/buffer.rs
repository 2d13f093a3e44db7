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

/// Bytes encoded at a time; a multiple of 3, so that only the last piece is padded.
const PIECE: usize = 768;

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(CAPACITY)))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2))));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    pub(super) fn push_base64(&mut self, bytes: &[u8]) {
        let mut encoded = Zeroizing::new([0_u8; PIECE / 3 * 4]);
        for piece in bytes.chunks(PIECE) {
            // The room is exactly that of a full piece, so neither of these can fail.
            if let Ok(length) = STANDARD.encode_slice(piece, encoded.as_mut_slice()) {
                self.push(encoded.get(..length).unwrap_or_default());
            }
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}
