//! Request ids.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claviger_engine::Chance;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// For how many ids randomness is drawn at once: a draw costs as much for one as for all of these.
const DRAWN: usize = 16;

/// Makes request ids: version 4 UUIDs in text form.
pub(crate) struct Identifiers {
    chance: Arc<dyn Chance>,
    drawn: Mutex<Vec<[u8; 16]>>,
    without_chance: AtomicU64,
}

impl Identifiers {
    pub(crate) fn new(chance: Arc<dyn Chance>) -> Self {
        Self { chance, drawn: Mutex::default(), without_chance: AtomicU64::new(0) }
    }

    /// A fresh id. When there is no randomness the id is a counter: an answer without an id would help nobody, and
    /// nothing relies on ids being hard to guess.
    pub(crate) fn next(&self) -> String {
        let bytes = self.draw();
        uuid_text(
            bytes.unwrap_or_else(|| u128::from(self.without_chance.fetch_add(1, Ordering::Relaxed)).to_be_bytes()),
        )
    }

    fn draw(&self) -> Option<[u8; 16]> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_empty() {
            let mut bytes = [0; DRAWN * 16];
            self.chance.fill(&mut bytes).ok()?;
            let (ids, _) = bytes.as_chunks::<16>();
            drawn.extend_from_slice(ids);
        }
        drawn.pop()
    }
}

/// The text of a version 4 UUID with these bytes, its six fixed bits set.
fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (position, byte) in bytes.into_iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(HEX.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::uuid_text;

    #[test]
    fn the_text_is_a_version_4_uuid() {
        assert_eq!(uuid_text([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_text([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
