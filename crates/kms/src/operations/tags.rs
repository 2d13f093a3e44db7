//! Tags: TagResource, UntagResource, ListResourceTags.

use claviger_api::Valid;
use claviger_api::kms::{
    ListResourceTagsRequest, ListResourceTagsResponse, Tag, TagResourceRequest, UntagResourceRequest,
};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, Facts, Outcome, Writes};

use super::listing::{page_of, position_marker};
use crate::KmsError;
use crate::conditions::with_tags;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, key_parameter};
use crate::records::{Key, facts_key};
use crate::state::Permits;

/// Tags on one key at most (reference/lifecycle.md section 4).
const TAGS_MAX: usize = 50;
/// Page sizes of ListResourceTags.
const PAGE: (usize, usize) = (50, 50);

/// The tags in force after these were added to those, or why not.
pub(crate) fn checked_tags(added: &[Tag], present: &[(String, String)]) -> Result<Vec<(String, String)>, KmsError> {
    let mut tags = present.to_vec();
    for (at, tag) in added.iter().enumerate() {
        reserved(&tag.tag_key)?;
        if added.iter().skip(at + 1).any(|other| other.tag_key == tag.tag_key) {
            return Err(KmsError::Tag("Duplicate tag keys"));
        }
        match tags.iter_mut().find(|(key, _)| *key == tag.tag_key) {
            Some((_, value)) => value.clone_from(&tag.tag_value),
            None => tags.push((tag.tag_key.clone(), tag.tag_value.clone())),
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(if present.is_empty() {
            KmsError::Tag("Too many tags")
        } else {
            KmsError::LimitExceeded("Too many tags".to_owned())
        });
    }
    tags.sort();
    Ok(tags)
}

fn reserved(key: &str) -> Result<(), KmsError> {
    let prefix = key.get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("aws:") {
        return Err(KmsError::Tag("Tags beginning with aws: are reserved"));
    }
    Ok(())
}

pub(crate) struct TagResource;

impl KeyOperation for TagResource {
    type Request = Valid<TagResourceRequest>;
    type Response = ();
    const NAME: &'static str = "TagResource";
    const ACTION: &'static str = "kms:TagResource";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const SHOWS_KEY: bool = true;
    const PERMITS: Permits = Permits::NotPendingDeletion;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        with_tags(facts, &request.tags)
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        let tags = checked_tags(&request.tags, &key.key().tags)?;
        change(call, key, |key| key.tags = tags)
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        let tags = request.tags.iter().map(|tag| {
            Value::object([
                ("tagKey", Value::public_text(&tag.tag_key)),
                ("tagValue", Value::public_text(&tag.tag_value)),
            ])
        });
        audited.request_parameters = key_parameter(&request.key_id).with("tags", Value::list(tags));
    }
}

/// Replaces the key's facts by changed ones.
pub(crate) fn change(call: &Call<'_>, key: &NamedKey, edit: impl FnOnce(&mut Key)) -> Result<Outcome<()>, KmsError> {
    let mut changed = key.to_changed();
    edit(&mut changed);
    let mut writes = Writes::default();
    writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
    Ok(Outcome::with_writes((), writes))
}

pub(crate) struct UntagResource;

impl KeyOperation for UntagResource {
    type Request = Valid<UntagResourceRequest>;
    type Response = ();
    const NAME: &'static str = "UntagResource";
    const ACTION: &'static str = "kms:UntagResource";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const SHOWS_KEY: bool = true;
    const PERMITS: Permits = Permits::NotPendingDeletion;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        request.tag_keys.iter().try_for_each(|key| reserved(key))
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        // There are no values to ask for.
        facts.with_all("aws:TagKeys", &request.tag_keys)
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        change(call, key, |key| key.tags.retain(|(key, _)| !request.tag_keys.contains(key)))
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        let keys = request.tag_keys.iter().map(|key| Value::public_text(key));
        audited.request_parameters = key_parameter(&request.key_id).with("tagKeys", Value::list(keys));
    }
}

pub(crate) struct ListResourceTags;

impl KeyOperation for ListResourceTags {
    type Request = Valid<ListResourceTagsRequest>;
    type Response = ListResourceTagsResponse;
    const NAME: &'static str = "ListResourceTags";
    const ACTION: &'static str = "kms:ListResourceTags";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        _: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ListResourceTagsResponse>, KmsError> {
        let limit = page_of(request.limit, PAGE)?;
        let start = position_marker(request.marker.as_deref())?;
        let tags = &key.key().tags;
        let page = tags.iter().skip(start).take(limit);
        let more = start + limit < tags.len();
        Ok(Outcome::read_only(ListResourceTagsResponse {
            tags: Some(page.map(|(key, value)| Tag { tag_key: key.clone(), tag_value: value.clone() }).collect()),
            next_marker: more.then(|| (start + limit).to_string()),
            truncated: Some(more),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&ListResourceTagsResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}
