//! The few regular expressions of the service models, compiled by the generator, matched without a regex engine.

/// A pattern the whole text must match.
#[derive(Debug)]
pub struct Pattern {
    /// The model's own text, for the message.
    pub text: &'static str,
    /// Any of these.
    pub alternatives: &'static [Alternative],
}

/// Pieces that follow one another.
pub type Alternative = &'static [Piece];

/// An atom, repeated.
#[derive(Debug)]
pub struct Piece {
    /// What is repeated.
    pub atom: Atom,
    /// Fewest times.
    pub min: u32,
    /// Most times; `u32::MAX` is no limit.
    pub max: u32,
}

/// One character out of a set, or a group.
#[derive(Debug)]
pub enum Atom {
    /// Any character in one of these closed ranges.
    Class(&'static [(char, char)]),
    /// Any letter, digit or blank of any script, or any character in one of these closed ranges.
    Words(&'static [(char, char)]),
    /// Any of these alternatives.
    Group(&'static [Alternative]),
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        if let [[Piece { atom, min, max: u32::MAX }]] = self.alternatives
            && !matches!(atom, Atom::Group(_))
        {
            return text.chars().all(|character| atom.takes(character))
                && (*min == 0 || text.chars().nth(*min as usize - 1).is_some());
        }
        let characters: Vec<char> = text.chars().collect();
        ends_of_group(self.alternatives, &characters, &[0]).contains(&characters.len())
    }

    /// Whether a match takes more than one look at each character.
    pub fn is_costly(&self) -> bool {
        !matches!(self.alternatives, [[Piece { atom: Atom::Class(_) | Atom::Words(_), max: u32::MAX, .. }]])
    }
}

impl Atom {
    /// Whether it is a set that holds the character; a group is none.
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Class(class) => in_class(class, character),
            Self::Words(class) => {
                let blank = character.is_whitespace() && !character.is_control();
                blank || character.is_alphanumeric() || in_class(class, character)
            }
            Self::Group(_) => false,
        }
    }
}

fn in_class(class: &[(char, char)], character: char) -> bool {
    class.iter().any(|(low, high)| (*low..=*high).contains(&character))
}

/// Where a match can end that begins at one of `starts`. All of them at once, so nothing is tried twice and
/// there is no backtracking to exploit.
fn ends_of_group(alternatives: &[Alternative], text: &[char], starts: &[usize]) -> Vec<usize> {
    let mut ends = Vec::new();
    for alternative in alternatives {
        let mut positions = starts.to_vec();
        for piece in *alternative {
            positions = ends_of_piece(piece, text, &positions);
        }
        ends.append(&mut positions);
    }
    sorted(ends)
}

fn ends_of_piece(piece: &Piece, text: &[char], starts: &[usize]) -> Vec<usize> {
    let mut ends = if piece.min == 0 { starts.to_vec() } else { Vec::new() };
    let mut positions = starts.to_vec();
    let mut count = 0_u32;
    while count < piece.max && !positions.is_empty() {
        positions = match &piece.atom {
            Atom::Group(alternatives) => ends_of_group(alternatives, text, &positions),
            set => positions
                .iter()
                .filter(|position| text.get(**position).is_some_and(|character| set.takes(*character)))
                .map(|position| position.saturating_add(1))
                .collect(),
        };
        count = count.saturating_add(1);
        if count >= piece.min {
            // Only positions not seen before can lead to new ends; this also ends the loop over an empty group.
            positions.retain(|position| ends.binary_search(position).is_err());
            ends.extend_from_slice(&positions);
            ends = sorted(ends);
        }
    }
    ends
}

fn sorted(mut positions: Vec<usize>) -> Vec<usize> {
    positions.sort_unstable();
    positions.dedup();
    positions
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::check::TextLimits;
    use crate::{iam, kms};

    #[track_caller]
    fn check(limits: &TextLimits, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(limits.hold(text), "{text:?} must match");
        }
        for text in bad {
            assert!(!limits.hold(text), "{text:?} must not match");
        }
    }

    #[test]
    fn single_classes() {
        use kms::limits as of;
        check(&of::ALIAS_NAME_TYPE, &["alias/a-b_c:d", "x"], &["", "alias/a b", "alias/é", "a\n"]);
        check(&of::POLICY_TYPE, &["{\n\t}", "ÿ"], &["", "\u{100}", "\u{8}"]);
        check(&of::MARKER_TYPE, &["a", "\u{20}ÿ"], &["", "\u{1f}", "\u{100}"]);
        check(&of::PRINCIPAL_ID_TYPE, &["arn:aws:iam::111122223333:user/a+b@c"], &["a b", "a*"]);
        check(&of::XKS_KEY_ID_TYPE, &["a-b_c.9"], &["a/b"]);
        check(&of::KEY_MATERIAL_DESCRIPTION_TYPE, &["a b\tc."], &["", "a,b"]);
        check(&iam::limits::EXISTING_USER_NAME_TYPE, &["a+=,.@-_1"], &["", "a/b", "a:b"]);
        check(&iam::limits::TAG_KEY_TYPE, &["a b/é:日本=٣\u{3000}@"], &["", "a\tb", "a*", "a\nb", "{"]);
        check(&iam::limits::TAG_VALUE_TYPE, &["", "a-b"], &["a\u{85}", "<"]);
    }

    #[test]
    fn sequences_and_groups() {
        use kms::limits as of;
        check(&iam::limits::ACCOUNT_ALIAS_TYPE, &["a-b-c", "abc", "0-0"], &["-ab", "ab-", "a--b", "aB1"]);
        check(&iam::limits::PATH_TYPE, &["/", "/a/b/"], &["", "/a", "a/", "/a b/"]);
        check(&iam::limits::POLICY_PATH_TYPE, &["/", "/a/b/"], &["//", "/a", "/a!/"]);
        check(
            &of::REGION_TYPE,
            &["eu-central-1", "us-gov-west-12"],
            &["eu-1", "a-b-c-d-1", "eu-central-", "eu-central-1x"],
        );
        check(&of::CLOUD_HSM_CLUSTER_ID_TYPE, &["cluster-2345abcdefg"], &["cluster-1345abcdefg", "cluster-2345abcdef"]);
        check(
            &of::GRANT_CONSTRAINT_SOURCE_ARN_TYPE,
            &["arn:aws:s3:eu-central-1:111122223333:x", "arn:aws-cn:s3::111122223333:a:b"],
            &["arn:aws:s3:eu-central-1:11112222333:x", "arn:aws:s3:eu-central-1:111122223333:"],
        );
        check(&of::SERVICE_PRINCIPAL_TYPE, &["a.b.c", "s3.eu-1.amazonaws.com"], &["a", "a.b", "a.b.", "a..c"]);
        check(
            &of::XKS_PROXY_URI_PATH_TYPE,
            &["/kms/xks/v1", "/a/b/kms/xks/v12", "/kms/xks/kms/xks/v1"],
            &["/kms/xks/v", "/kms/xks/v123", "kms/xks/v12"],
        );
        check(&of::XKS_PROXY_URI_ENDPOINT_TYPE, &["https://a.example"], &["http://a.example", "https://a/b.example"]);
    }

    /// The plain meaning: try every way, one after the other.
    fn naive(alternatives: &[Alternative], text: &[char], rest: &dyn Fn(&[char]) -> bool) -> bool {
        alternatives.iter().any(|alternative| naive_sequence(alternative, text, rest))
    }

    fn naive_sequence(pieces: &[Piece], text: &[char], rest: &dyn Fn(&[char]) -> bool) -> bool {
        let Some((piece, after)) = pieces.split_first() else { return rest(text) };
        naive_repeat(piece, 0, text, &|left| naive_sequence(after, left, rest))
    }

    fn naive_repeat(piece: &Piece, count: u32, text: &[char], rest: &dyn Fn(&[char]) -> bool) -> bool {
        if count >= piece.min && rest(text) {
            return true;
        }
        if count == piece.max {
            return false;
        }
        let again = |left: &[char]| left.len() < text.len() && naive_repeat(piece, count + 1, left, rest);
        match (&piece.atom, text.split_first()) {
            (Atom::Group(alternatives), _) => naive(alternatives, text, &again),
            (set, Some((first, left))) => set.takes(*first) && again(left),
            (_, None) => false,
        }
    }

    #[track_caller]
    fn agrees(limits: &TextLimits, text: &str) {
        let pattern = limits.pattern.unwrap();
        let characters: Vec<char> = text.chars().collect();
        let expected = naive(pattern.alternatives, &characters, &<[char]>::is_empty);
        assert_eq!(pattern.matches(text), expected, "{} on {text:?}", pattern.text);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_plain_meaning(
            region in "[ab1-]{0,8}|([a-z]{1,2}-){1,4}[0-9]{0,2}",
            principal in "[a.-]{0,9}",
            path in "(/|a|kms|xks|v|1|/kms/xks/v){0,6}",
            arn in "(arn:aws|:|s3|-|[0-9]{12}|x){0,9}|arn:aws:[a-z]{0,2}:[a-z]{0,2}:[0-9]{11,13}:[a:]{0,2}",
            cluster in "cluster-[127a]{9,18}",
        ) {
            agrees(&kms::limits::REGION_TYPE, &region);
            agrees(&kms::limits::SERVICE_PRINCIPAL_TYPE, &principal);
            agrees(&kms::limits::XKS_PROXY_URI_PATH_TYPE, &path);
            agrees(&kms::limits::GRANT_CONSTRAINT_SOURCE_ARN_TYPE, &arn);
            agrees(&kms::limits::CLOUD_HSM_CLUSTER_ID_TYPE, &cluster);
        }
    }

    #[test]
    fn a_hostile_text_costs_little() {
        let text = "a.".repeat(500_000);
        assert!(!kms::limits::SERVICE_PRINCIPAL_TYPE.hold(&text));
        assert!(!kms::limits::SERVICE_PRINCIPAL_TYPE.hold(&"-.".repeat(64)));
    }
}
