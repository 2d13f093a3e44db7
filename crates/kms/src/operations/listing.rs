//! Lists in pages: ListKeys, and what every list operation shares.

use claviger_api::Valid;
use claviger_api::kms::{KeyListEntry, ListKeysRequest, ListKeysResponse};
use claviger_engine::Value;
use claviger_engine::{Audited, Authorized, Call, Operation, OperationRow, Outcome, Question};

use super::create_key::account_question;
use crate::find::is_key_id;
use crate::operation::row;
use crate::records::{Listed, key_arn, listed_key};
use crate::{Kms, KmsError};

/// The page size asked for, within the service's (default, largest).
pub(crate) fn page_of(limit: Option<i32>, (default, most): (usize, usize)) -> Result<usize, KmsError> {
    let Some(limit) = limit else { return Ok(default) };
    let asked = usize::try_from(limit).unwrap_or_default();
    if (1..=most).contains(&asked) {
        return Ok(asked);
    }
    Err(KmsError::validation(format!(
        "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: \
         Member must have value less than or equal to {most}"
    )))
}

/// A marker that counts the items already given.
pub(crate) fn position_marker(marker: Option<&str>) -> Result<usize, KmsError> {
    marker.map_or(Ok(0), |marker| marker.parse().map_err(|_| KmsError::InvalidMarker))
}

/// Default and largest page of ListKeys.
const PAGE: (usize, usize) = (100, 1_000);

pub(crate) struct ListKeys;

impl Operation for ListKeys {
    type Service = Kms;
    type Request = Valid<ListKeysRequest>;
    type Response = ListKeysResponse;
    type Error = KmsError;
    type Resources = ();
    const ROW: OperationRow = row("ListKeys", true);

    async fn resolve(_: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<(), KmsError> {
        page_of(request.limit, PAGE)?;
        match request.marker.as_deref() {
            Some(marker) if !is_key_id(marker) => Err(KmsError::InvalidMarker),
            _ => Ok(()),
        }
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        vec![account_question(call, "kms:ListKeys")]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ListKeysResponse>, KmsError> {
        let limit = page_of(request.limit, PAGE)?;
        let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
        let after = request.marker.as_deref().map(|marker| listed_key(&region, &account, marker));
        let own = request
            .resource_owners
            .as_ref()
            .is_none_or(|owners| owners.is_empty() || owners.iter().any(|owner| owner.as_str() == "SELF"));
        let mut rows = if own {
            call.rows::<Listed>(&listed_key(&region, &account, ""), after.as_ref(), limit + 1).await?
        } else {
            Vec::new()
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_marker = rows.last().filter(|_| more).map(|(key, _)| key.rest().to_owned());
        let keys = rows.iter().map(|(key, _)| KeyListEntry {
            key_id: Some(key.rest().to_owned()),
            key_arn: Some(key_arn(&region, &account, key.rest())),
        });
        Ok(Outcome::read_only(ListKeysResponse { keys: Some(keys.collect()), next_marker, truncated: Some(more) }))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        _: Option<&ListKeysResponse>,
        audited: &mut Audited,
    ) {
        audited.request_parameters = page_parameters(request.limit, request.marker.as_deref());
    }
}

/// `requestParameters` of a list: null when nothing was asked.
pub(crate) fn page_parameters(limit: Option<i32>, marker: Option<&str>) -> Value {
    let mut value = Value::Null;
    if let Some(limit) = limit {
        value = value.with("limit", i64::from(limit));
    }
    if let Some(marker) = marker {
        value = value.with("marker", Value::public_text(marker));
    }
    value
}
