//! The encryption context in canonical form.

/// An encryption context as bytes that no other context has.
///
/// `number of pairs | for each pair, in the order of its bytes: key length | key | value length | value`, every
/// number 64 bits big-endian, text in UTF-8. Without the lengths, `{"a": "bc"}` would pass for `{"ab": "c"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionContext(Vec<u8>);

impl EncryptionContext {
    /// The canonical form of the pairs, in whatever order they come. No context and an empty one are the same, as
    /// in AWS.
    pub fn canonical<'text>(pairs: impl IntoIterator<Item = (&'text str, &'text str)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        let length = pairs.iter().map(|(key, value)| key.len() + value.len() + 16).sum::<usize>();
        let mut bytes = Vec::with_capacity(length + 8);
        push_number(&mut bytes, pairs.len());
        for (key, value) in pairs {
            push_with_length(&mut bytes, key.as_bytes());
            push_with_length(&mut bytes, value.as_bytes());
        }
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Appends `length | bytes`, the length 64 bits big-endian.
pub(crate) fn push_with_length(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    // No platform has a `usize` of more than 64 bits, so nothing is cut off.
    out.extend_from_slice(&(number as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::EncryptionContext;

    type Map = BTreeMap<String, String>;

    fn canonical(map: &Map) -> EncryptionContext {
        EncryptionContext::canonical(map.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    #[test]
    fn the_bytes_are_as_documented() {
        assert_eq!(EncryptionContext::canonical([]).as_bytes(), [0; 8]);
        let expected = [
            &2_u64.to_be_bytes()[..],
            &1_u64.to_be_bytes(),
            b"a",
            &2_u64.to_be_bytes(),
            b"bc",
            &2_u64.to_be_bytes(),
            "é".as_bytes(),
            &0_u64.to_be_bytes(),
        ]
        .concat();
        assert_eq!(EncryptionContext::canonical([("é", ""), ("a", "bc")]).as_bytes(), expected);
    }

    #[test]
    fn text_does_not_move_between_key_and_value() {
        assert_ne!(EncryptionContext::canonical([("a", "bc")]), EncryptionContext::canonical([("ab", "c")]));
        assert_ne!(EncryptionContext::canonical([("a", "")]), EncryptionContext::canonical([("", "a")]));
        assert_ne!(EncryptionContext::canonical([("", "")]), EncryptionContext::canonical([]));
    }

    /// A small alphabet, zero bytes among it, so that near misses are common.
    fn map() -> impl Strategy<Value = Map> {
        proptest::collection::btree_map("[ab\\x00é]{0,3}", "[ab\\x00é]{0,3}", 0..4)
    }

    /// The pairs back from the canonical bytes: only an injective form can be read back.
    fn pairs(mut bytes: &[u8]) -> Option<Map> {
        fn number(bytes: &mut &[u8]) -> Option<usize> {
            let (number, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            usize::try_from(u64::from_be_bytes(*number)).ok()
        }
        fn text(bytes: &mut &[u8]) -> Option<String> {
            let length = number(bytes)?;
            let (text, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            String::from_utf8(text.to_vec()).ok()
        }
        let mut map = Map::new();
        for _ in 0..number(&mut bytes)? {
            map.insert(text(&mut bytes)?, text(&mut bytes)?);
        }
        bytes.is_empty().then_some(map)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn injective(left in map(), right in map()) {
            prop_assert_eq!(canonical(&left) == canonical(&right), left == right);
        }

        #[test]
        fn readable_back(map in proptest::collection::btree_map(".{0,5}", ".{0,5}", 0..5)) {
            prop_assert_eq!(pairs(canonical(&map).as_bytes()), Some(map));
        }

        #[test]
        fn order_does_not_matter(map in map(), seed in any::<u64>()) {
            let mut pairs: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let length = pairs.len().max(1) as u64;
            pairs.rotate_left(usize::try_from(seed % length).unwrap_or(0));
            prop_assert_eq!(EncryptionContext::canonical(pairs.iter().copied()), canonical(&map));
            pairs.reverse();
            prop_assert_eq!(EncryptionContext::canonical(pairs), canonical(&map));
        }
    }
}
