//! Tags of entities.

use claviger_api::iam::Tag;

use crate::IamError;
use crate::records::Tags;

/// Tags of one entity at most.
const TAGS_MAX: usize = 50;

/// How keys are told apart: on users and roles without regard to case, elsewhere exactly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Folded,
    Exact,
}

impl Keys {
    fn same(self, left: &str, right: &str) -> bool {
        match self {
            Self::Folded => left.to_lowercase() == right.to_lowercase(),
            Self::Exact => left == right,
        }
    }
}

/// The tags after some were set.
pub(crate) fn with(mut tags: Tags, set: &[Tag], keys: Keys) -> Result<Tags, IamError> {
    for (position, tag) in set.iter().enumerate() {
        if tag.key.to_lowercase().starts_with("aws:") {
            let text = "aws: prefixed tag key names are not allowed for external use.";
            return Err(IamError::InvalidInput(text.to_owned()));
        }
        if set.iter().take(position).any(|other| keys.same(&other.key, &tag.key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(IamError::InvalidInput(text.to_owned()));
        }
    }
    for tag in set {
        tags.retain(|(key, _)| !keys.same(key, &tag.key));
        tags.push((tag.key.clone(), tag.value.clone()));
    }
    if tags.len() > TAGS_MAX {
        return Err(IamError::LimitExceeded("The number of tags has reached the maximum limit.".to_owned()));
    }
    tags.sort();
    Ok(tags)
}

/// The tags of something new.
pub(crate) fn fresh(set: Option<&Vec<Tag>>, keys: Keys) -> Result<Tags, IamError> {
    with(Vec::new(), set.map_or(&[][..], Vec::as_slice), keys)
}

/// The tags after some were taken away; keys that are not there are no error.
pub(crate) fn without(mut tags: Tags, gone: &[String], keys: Keys) -> Tags {
    tags.retain(|(key, _)| !gone.iter().any(|gone| keys.same(key, gone)));
    tags
}

/// The tags as answers have them.
pub(crate) fn wire(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// The tags, left out where there are none.
pub(crate) fn wire_if_any(tags: &Tags) -> Option<Vec<Tag>> {
    (!tags.is_empty()).then(|| wire(tags))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn keys_are_folded_or_exact() {
        let old = vec![pair("Team", "a")];
        assert_eq!(with(old.clone(), &[tag("team", "b")], Keys::Folded).unwrap(), [pair("team", "b")]);
        assert_eq!(
            with(old.clone(), &[tag("team", "b")], Keys::Exact).unwrap(),
            [pair("Team", "a"), pair("team", "b")]
        );
        assert!(without(old.clone(), &["TEAM".to_owned()], Keys::Folded).is_empty());
        assert_eq!(without(old.clone(), &["TEAM".to_owned()], Keys::Exact), old);
        assert!(with(Vec::new(), &[tag("a", ""), tag("A", "")], Keys::Folded).is_err());
        assert!(with(Vec::new(), &[tag("a", ""), tag("A", "")], Keys::Exact).is_ok());
        assert!(with(Vec::new(), &[tag("AWS:x", "")], Keys::Exact).is_err());
    }

    #[test]
    fn there_are_at_most_fifty() {
        let fifty: Vec<_> = (0..50).map(|number| tag(&number.to_string(), "")).collect();
        let full = fresh(Some(&fifty), Keys::Folded).unwrap();
        assert!(with(full.clone(), &[tag("0", "again")], Keys::Folded).is_ok());
        assert!(matches!(with(full, &[tag("more", "")], Keys::Folded), Err(IamError::LimitExceeded(_))));
    }
}
