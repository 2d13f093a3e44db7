//! Tags of users, roles, managed policies, providers and MFA devices.

use claviger_api::iam::{
    ListMFADeviceTagsResponse, ListOpenIDConnectProviderTagsResponse, ListPolicyTagsResponse, ListRoleTagsResponse,
    ListUserTagsResponse,
};
use claviger_engine::{Call, Facts, Outcome, Value, Writes};

use crate::arn::Kind;
use crate::operation::{About, IamOperation, operation, parameters, with_tags};
use crate::page::Page;
use crate::records::{Identity, Policy, Provider, Tags, device_key, provider_key};
use crate::tags::{self, Keys};
use crate::{Iam, IamError, change, find};

/// What has tags: its tags, how its keys are told apart, and how it is stored with others.
trait Tagged: Sized {
    const KEYS: Keys;

    /// Finds it by the name, ARN or serial number of a request.
    async fn find(call: &mut Call<'_>, name: &str) -> Result<Self, IamError>;

    fn tags(&self) -> &Tags;

    fn store(self, call: &Call<'_>, tags: Tags) -> Result<Writes, IamError>;
}

/// A user or role: only the kind differs.
struct User(Identity);
struct Role(Identity);

macro_rules! tagged_identity {
    ($kind:ident) => {
        impl Tagged for $kind {
            const KEYS: Keys = Keys::Folded;

            async fn find(call: &mut Call<'_>, name: &str) -> Result<Self, IamError> {
                Ok(Self(Identity::clone(&*find::need(call, Kind::$kind, name).await?)))
            }

            fn tags(&self) -> &Tags {
                &self.0.tags
            }

            fn store(self, call: &Call<'_>, tags: Tags) -> Result<Writes, IamError> {
                let mut writes = Writes::default();
                change::save(call, &mut writes, Identity { tags, ..self.0 })?;
                Ok(writes)
            }
        }
    };
}

tagged_identity!(User);
tagged_identity!(Role);

impl Tagged for Policy {
    const KEYS: Keys = Keys::Exact;

    async fn find(call: &mut Call<'_>, name: &str) -> Result<Self, IamError> {
        Ok(Self::clone(&*find::need_policy(call, name).await?))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn store(self, call: &Call<'_>, tags: Tags) -> Result<Writes, IamError> {
        let mut writes = Writes::default();
        change::save_policy(call, &mut writes, Self { tags, ..self })?;
        Ok(writes)
    }
}

impl Tagged for Provider {
    const KEYS: Keys = Keys::Exact;

    async fn find(call: &mut Call<'_>, name: &str) -> Result<Self, IamError> {
        Ok(Self::clone(&*find::need_provider(call, name).await?))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn store(self, call: &Call<'_>, tags: Tags) -> Result<Writes, IamError> {
        let mut writes = Writes::default();
        let key = provider_key(&self.account, &self.url);
        writes.put(call, key, Self { tags, ..self })?;
        Ok(writes)
    }
}

struct Device(std::sync::Arc<crate::records::Device>);

impl Tagged for Device {
    const KEYS: Keys = Keys::Exact;

    async fn find(call: &mut Call<'_>, name: &str) -> Result<Self, IamError> {
        Ok(Self(find::device(call, name).await?))
    }

    fn tags(&self) -> &Tags {
        &self.0.tags
    }

    fn store(self, call: &Call<'_>, tags: Tags) -> Result<Writes, IamError> {
        let mut writes = Writes::default();
        let key = device_key(&self.0.account, &self.0.name);
        writes.put(call, key, self.0.with(tags, self.0.assigned.clone()))?;
        Ok(writes)
    }
}

/// The three operations of one kind: tag, untag, list.
macro_rules! tagging {
    ($what:ident, $name:ident, $parameter:literal, |$call:ident, $named:ident| $about:expr,
     $tag:ident $tag_request:ident, $untag:ident $untag_request:ident,
     $list:ident $list_request:ident $list_response:ident) => {
        pub(crate) struct $tag;

        impl IamOperation for $tag {
            operation!($tag, $tag_request => (), writes);

            async fn about($call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                let $named = request.$name.as_str();
                $about
            }

            fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
                with_tags(facts, Some(&request.tags))
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                let found = $what::find(call, &request.$name).await?;
                let tags = tags::with(found.tags().clone(), &request.tags, $what::KEYS)?;
                Ok(Outcome::with_writes((), found.store(call, tags)?))
            }

            fn shown(request: &Self::Request) -> Value {
                let tags = request.tags.iter().map(|tag| {
                    Value::public_map([("key", tag.key.as_str()), ("value", tag.value.as_str())])
                });
                parameters(&[($parameter, Some(&request.$name))]).with("tags", Value::list(tags))
            }
        }

        pub(crate) struct $untag;

        impl IamOperation for $untag {
            operation!($untag, $untag_request => (), writes);

            async fn about($call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                let $named = request.$name.as_str();
                $about
            }

            fn facts(request: &Self::Request, _: &About, facts: Facts) -> Facts {
                facts.with_all("aws:TagKeys", &request.tag_keys)
            }

            async fn perform(_: &Iam, call: &mut Call<'_>, request: &Self::Request) -> Result<Outcome<()>, IamError> {
                let found = $what::find(call, &request.$name).await?;
                let tags = tags::without(found.tags().clone(), &request.tag_keys, $what::KEYS);
                Ok(Outcome::with_writes((), found.store(call, tags)?))
            }

            fn shown(request: &Self::Request) -> Value {
                let keys = request.tag_keys.iter().map(|key| Value::public_text(key));
                parameters(&[($parameter, Some(&request.$name))]).with("tagKeys", Value::list(keys))
            }
        }

        pub(crate) struct $list;

        impl IamOperation for $list {
            operation!($list, $list_request => $list_response, reads);

            async fn about($call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
                let $named = request.$name.as_str();
                $about
            }

            async fn perform(
                _: &Iam,
                call: &mut Call<'_>,
                request: &Self::Request,
            ) -> Result<Outcome<$list_response>, IamError> {
                let found = $what::find(call, &request.$name).await?;
                let page = Page::new(request.marker.as_ref(), request.max_items);
                let cut = page.cut_in_order(tags::wire(found.tags()));
                Ok(Outcome::read_only($list_response {
                    is_truncated: cut.truncated(),
                    tags: cut.items,
                    marker: cut.marker,
                }))
            }

            fn shown(request: &Self::Request) -> Value {
                parameters(&[($parameter, Some(&request.$name))])
            }
        }
    };
}

tagging!(User, user_name, "userName", |call, name| find::about(call, Kind::User, name).await,
    TagUser TagUserRequest, UntagUser UntagUserRequest, ListUserTags ListUserTagsRequest ListUserTagsResponse);
tagging!(Role, role_name, "roleName", |call, name| find::about(call, Kind::Role, name).await,
    TagRole TagRoleRequest, UntagRole UntagRoleRequest, ListRoleTags ListRoleTagsRequest ListRoleTagsResponse);
tagging!(Policy, policy_arn, "policyArn", |call, arn| find::about_policy(call, arn).await,
    TagPolicy TagPolicyRequest, UntagPolicy UntagPolicyRequest,
    ListPolicyTags ListPolicyTagsRequest ListPolicyTagsResponse);
tagging!(Provider, open_id_connect_provider_arn, "openIDConnectProviderArn", |call, arn| find::about_provider(call, arn).await,
    TagOpenIDConnectProvider TagOpenIDConnectProviderRequest,
    UntagOpenIDConnectProvider UntagOpenIDConnectProviderRequest,
    ListOpenIDConnectProviderTags ListOpenIDConnectProviderTagsRequest ListOpenIDConnectProviderTagsResponse);
tagging!(Device, serial_number, "serialNumber", |call, arn| find::about_device(call, arn).await,
    TagMFADevice TagMFADeviceRequest, UntagMFADevice UntagMFADeviceRequest,
    ListMFADeviceTags ListMFADeviceTagsRequest ListMFADeviceTagsResponse);
