//! Which condition keys a server supplies, and what each of them holds. The tables come from the services.

/// What the values of a condition key are. It says which operators can judge them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Text. It may look like a number, a date, an address or an ARN, so every operator may be tried on it.
    String,
    /// An ARN, which is text too.
    Arn,
    /// `true` or `false`.
    Bool,
    /// A moment in ISO 8601.
    Date,
    /// A number.
    Numeric,
    /// A moment in epoch seconds.
    NumericOrDate,
    /// An address, v4 or v6.
    IpAddress,
    /// Any number of texts: the one kind whose keys are multi-valued.
    ArrayOfString,
}

/// A condition key that the server supplies whenever the request has it, so that its absence is a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionKey {
    /// The name in AWS's spelling; letter case is of no account. Of a family, what all its names begin with.
    pub name: &'static str,
    /// Whether it is a family such as `aws:RequestTag/`, whose names a policy completes.
    pub prefix: bool,
    /// What its values are.
    pub kind: KeyKind,
}

impl ConditionKey {
    /// One key.
    #[must_use]
    pub const fn new(name: &'static str, kind: KeyKind) -> Self {
        Self { name, prefix: false, kind }
    }

    /// All keys that begin with `name` and do not end there.
    #[must_use]
    pub const fn family(name: &'static str, kind: KeyKind) -> Self {
        Self { name, prefix: true, kind }
    }

    fn covers(&self, key: &str) -> bool {
        if self.prefix { is_of_family(key, self.name) } else { is_same_key(key, self.name) }
    }
}

/// Whether a name completes the beginning that a family has in common.
pub(crate) fn is_of_family(key: &str, family: &str) -> bool {
    key.len() > family.len() && key.get(..family.len()).is_some_and(|head| is_same_key(head, family))
}

/// The entry of the tables for a key that a policy names.
pub(crate) fn find<'a>(tables: &[&'a [ConditionKey]], key: &str) -> Option<&'a ConditionKey> {
    let named = |prefix: bool| {
        let mut all = tables.iter().flat_map(|table| table.iter());
        all.find(|known| known.prefix == prefix && known.covers(key))
    };
    named(false).or_else(|| named(true))
}

/// Whether it begins with a vendor, as every condition key does.
pub(crate) fn is_prefaced(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    key.split_once(':').is_some_and(|(vendor, name)| {
        !vendor.is_empty()
            && vendor.bytes().all(plain)
            && name.bytes().all(|byte| !byte.is_ascii_control())
            && !name.is_empty()
    })
}

/// What the values of a claim of a provider's token are, for keys of the form `HOST/PATH:claim`, the provider's URL
/// without its scheme. A host has a dot, which the names of services have not.
pub(crate) fn of_provider(key: &str) -> Option<KeyKind> {
    let (issuer, claim) = key.split_once(':')?;
    let host = issuer.split('/').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'%');
    let label = |part: &str| !part.is_empty() && part.bytes().all(plain);
    let sound = host.contains('.') && host.split('.').all(label) && issuer.split('/').all(label);
    if !sound || claim.is_empty() || !claim.bytes().all(|byte| plain(byte) || matches!(byte, b'/' | b':')) {
        return None;
    }
    Some(if is_same_key(claim, "amr") { KeyKind::ArrayOfString } else { KeyKind::String })
}

/// The form in which a [`crate::Context`] is asked for a key.
pub(crate) fn fold(key: &str) -> Box<str> {
    key.chars().flat_map(fold_character).collect()
}

/// Whether two names are the same condition key: letter case is of no account.
#[must_use]
pub fn is_same_key(one: &str, other: &str) -> bool {
    // A request with thousands of pairs is searched with this for every condition; no character folds to another length.
    if one.len() != other.len() {
        return false;
    }
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(fold_character).eq(other.chars().flat_map(fold_character))
}

/// Only what a policy can spell is folded. An encryption context may hold any character, and one that becomes an ASCII
/// letter in lower case (the Kelvin sign) must not pass for that letter.
fn fold_character(character: char) -> impl Iterator<Item = char> {
    let folds = character <= '\u{ff}';
    character.to_lowercase().filter(move |_| folds).chain((!folds).then_some(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_the_same_when_folded() {
        let all: Vec<char> = (0..0x250).chain([0x1e9e, 0x212a, 0x212b]).filter_map(char::from_u32).collect();
        for character in &all {
            assert_eq!(character.len_utf8(), fold_character(*character).map(char::len_utf8).sum::<usize>());
        }
        for one in &all {
            for other in &all {
                let (one, other) = (format!("a:{one}"), format!("A:{other}"));
                assert_eq!(is_same_key(&one, &other), fold(&one) == fold(&other), "{one} {other}");
            }
        }
    }

    #[test]
    fn names() {
        assert!(is_same_key("aws:SourceIp", "AWS:sourceip") && !is_same_key("aws:SourceIp", "aws:SourceI"));
        assert!(is_same_key("x:\u{c9}", "X:\u{e9}"));
        // The Kelvin and the Angstrom sign are no k and no a with a ring.
        assert!(!is_same_key("x:\u{212a}", "x:k") && !is_same_key("x:\u{212b}", "x:\u{e5}"));
        assert_eq!(&*fold("aws:RequestTag/\u{c9}\u{212a}"), "aws:requesttag/\u{e9}\u{212a}");
        assert!(is_of_family("aws:requesttag/a", "aws:RequestTag/"));
        assert!(!is_of_family("aws:RequestTag/", "aws:RequestTag/") && !is_of_family("aws:\u{e9}", "aws:Req"));
    }

    #[test]
    fn keys_of_providers() {
        let text = Some(KeyKind::String);
        assert_eq!(of_provider("token.actions.githubusercontent.com:sub"), text);
        assert_eq!(of_provider("oidc.eks.eu-west-1.amazonaws.com/id/ABC123:aud"), text);
        assert_eq!(of_provider("issuer.example:AMR"), Some(KeyKind::ArrayOfString));
        for key in
            ["kms:sub", "", "issuer.example", "issuer.example:", ".:sub", "a..b:sub", "a.b/:sub", "a.b*:sub", "a.b:s b"]
        {
            assert_eq!(of_provider(key), None, "{key}");
        }
    }

    #[test]
    fn tables() {
        const ONE: &[ConditionKey] = &[ConditionKey::family("a:b", KeyKind::String)];
        const TWO: &[ConditionKey] = &[ConditionKey::new("a:bc", KeyKind::Bool)];
        let kind = |key: &str| find(&[ONE, TWO], key).map(|known| known.kind);
        // The whole name comes before the family.
        assert_eq!((kind("A:BC"), kind("a:bd")), (Some(KeyKind::Bool), Some(KeyKind::String)));
        assert_eq!((kind("a:b"), kind("a:"), kind("")), (None, None, None));
    }
}
