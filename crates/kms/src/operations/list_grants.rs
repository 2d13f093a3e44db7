//! ListGrants, of one key, and ListRetirableGrants, of one retiring principal whatever the key.

use claviger_api::Valid;
use claviger_api::kms::{GrantListEntry, ListGrantsRequest, ListGrantsResponse, ListRetirableGrantsRequest};
use claviger_engine::{Audited, Authorized, Call, Operation, OperationRow, Outcome, Question, Row, Value};
use claviger_policy::PrincipalName;

use super::create_grant::{no_principal, principal_name};
use super::create_key::account_question;
use super::listing::{page_of, page_parameters};
use super::retire_grant::demand_grant_id;
use crate::find::{Forms, NamedKey, foreign_absent};
use crate::grants::{Grant, Holder, grant_key, holders_list_key, retirable_key};
use crate::operation::{KeyOperation, row};
use crate::records::{Key, Listed, facts_key};
use crate::state::Permits;
use crate::{Kms, KmsError, marker};

/// Default and largest page of both.
const PAGE: (usize, usize) = (50, 100);

pub(crate) struct ListGrants;

impl KeyOperation for ListGrants {
    type Request = Valid<ListGrantsRequest>;
    type Response = ListGrantsResponse;
    const NAME: &'static str = "ListGrants";
    const ACTION: &'static str = "kms:ListGrants";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = true;
    const ON_GRANTS: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        page_of(request.limit, PAGE)?;
        if request.grantee_principal.is_some() && request.grantee_service_principal.is_some() {
            let text = "Specify either GranteePrincipal or GranteeServicePrincipal, not both.";
            return Err(KmsError::validation(text));
        }
        filter_name(request)?;
        request.grant_id.as_deref().map_or(Ok(()), demand_grant_id)
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ListGrantsResponse>, KmsError> {
        let limit = page_of(request.limit, PAGE)?;
        let filter = filter_name(request)?;
        let filter_text = filter.as_ref().map(ToString::to_string).unwrap_or_default();
        let list = ["ListGrants", &key.arn, &filter_text, request.grant_id.as_deref().unwrap_or_default()];
        let after = marker::read(call, &list, request.marker.as_deref())?;
        let mut found = match (filter, request.grant_id.as_deref()) {
            (filter, Some(id)) => one(call, key, id, filter.as_ref()).await?,
            (None, None) => all(call, key, after.as_deref(), limit + 1).await?,
            (Some(name), None) => of_grantee(call, key, name, after.as_deref(), limit + 1).await?,
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next_marker = match found.last().filter(|_| more) {
            Some(last) => Some(marker::make(call, &list, &last.record.id)?),
            None => None,
        };
        let mut grants = Vec::with_capacity(found.len());
        for row in found {
            grants.push(entry(call, &key.arn, &row.record).await?);
        }
        Ok(Outcome::read_only(ListGrantsResponse { grants: Some(grants), next_marker, truncated: Some(more) }))
    }

    fn audited(request: &Self::Request, _: Option<&ListGrantsResponse>, audited: &mut Audited) {
        let mut value = page_parameters(request.limit, request.marker.as_deref())
            .with("keyId", Value::public_text(&request.key_id));
        let filters = [
            ("grantId", &request.grant_id),
            ("granteePrincipal", &request.grantee_principal),
            ("granteeServicePrincipal", &request.grantee_service_principal),
        ];
        for (name, text) in filters {
            if let Some(text) = text {
                value = value.with(name, Value::public_text(text));
            }
        }
        audited.request_parameters = value;
    }
}

/// Whose grants are asked for.
fn filter_name(request: &ListGrantsRequest) -> Result<Option<PrincipalName>, KmsError> {
    let (text, name) = match (&request.grantee_principal, &request.grantee_service_principal) {
        (Some(text), _) => (text, principal_name(text)),
        (None, Some(text)) => (text, PrincipalName::parse_service(text)),
        (None, None) => return Ok(None),
    };
    name.map(Some).ok_or_else(|| no_principal(text))
}

/// The grant of this id, if it is there and the grantee's that is asked for.
async fn one(
    call: &mut Call<'_>,
    key: &NamedKey,
    id: &str,
    filter: Option<&PrincipalName>,
) -> Result<Vec<Row<Grant>>, KmsError> {
    let found = call.row::<Grant>(&grant_key(&key.key().region, &key.key().id, id)).await?;
    let holder = match filter {
        Some(name) => Holder::named(call, name.clone()).await?,
        None => None,
    };
    let fits = |row: &Row<Grant>| filter.is_none() || Some(&row.record.grantee) == holder.as_ref();
    Ok(found.into_iter().filter(fits).collect())
}

async fn all(
    call: &mut Call<'_>,
    key: &NamedKey,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Row<Grant>>, KmsError> {
    let (region, id) = (&key.key().region, &key.key().id);
    let after = after.map(|after| grant_key(region, id, after));
    let rows = call.rows::<Grant>(&grant_key(region, id, ""), after.as_ref(), limit).await?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The grants of whoever has this name now. Nobody has it: none, as those of a predecessor are not a namesake's.
async fn of_grantee(
    call: &mut Call<'_>,
    key: &NamedKey,
    name: PrincipalName,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Row<Grant>>, KmsError> {
    let Some(holder) = Holder::named(call, name).await? else { return Ok(Vec::new()) };
    let (region, id) = (&key.key().region, &key.key().id);
    let after = after.map(|after| holders_list_key(region, id, &holder, after));
    let mut found = Vec::new();
    for (row, _) in call.rows::<Listed>(&holders_list_key(region, id, &holder, ""), after.as_ref(), limit).await? {
        let grant = row.rest().rsplit('/').next().unwrap_or_default();
        found.extend(call.row::<Grant>(&grant_key(region, id, grant)).await?);
    }
    Ok(found)
}

/// A grant as lists show it.
async fn entry(call: &mut Call<'_>, key_arn: &str, grant: &Grant) -> Result<GrantListEntry, KmsError> {
    let (grantee_principal, grantee_service_principal) = shown(call, Some(&grant.grantee)).await?;
    let (retiring_principal, retiring_service_principal) = shown(call, grant.retiring.as_ref()).await?;
    Ok(GrantListEntry {
        key_id: Some(key_arn.to_owned()),
        grant_id: Some(grant.id.clone()),
        name: Some(grant.name.clone().unwrap_or_default()),
        creation_date: Some(grant.created),
        grantee_principal,
        retiring_principal,
        issuing_account: Some(format!("arn:aws:iam::{}:root", grant.issuer)),
        operations: Some(grant.operations.clone()),
        constraints: grant.shown_constraints(),
        grantee_service_principal,
        retiring_service_principal,
    })
}

/// A holder as a principal or as a service.
async fn shown(call: &mut Call<'_>, holder: Option<&Holder>) -> Result<(Option<String>, Option<String>), KmsError> {
    let Some(holder) = holder else { return Ok((None, None)) };
    let text = Some(holder.shown(call).await?);
    Ok(if holder.is_service() { (None, text) } else { (text, None) })
}

pub(crate) struct ListRetirableGrants;

impl Operation for ListRetirableGrants {
    type Service = Kms;
    type Request = Valid<ListRetirableGrantsRequest>;
    type Response = ListGrantsResponse;
    type Error = KmsError;
    type Resources = PrincipalName;
    const ROW: OperationRow = row("ListRetirableGrants", true);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<PrincipalName, KmsError> {
        page_of(request.limit, PAGE)?;
        let text = match (&request.retiring_principal, &request.retiring_service_principal) {
            (Some(text), None) => text,
            // No caller is a service, so the list of one is nobody's to see.
            (None, Some(_)) => return Err(foreign_absent(call.caller().principal(), "kms:ListRetirableGrants")),
            _ => return Err(KmsError::validation("Specify either RetiringPrincipal or RetiringServicePrincipal.")),
        };
        principal_name(text).ok_or_else(|| no_principal(text))
    }

    fn questions(call: &Call<'_>, name: &PrincipalName, _: &Self::Request) -> Vec<Question> {
        // The list belongs to the account of the retiring principal, and other accounts never see it.
        let question = account_question(call, "kms:ListRetirableGrants");
        let resource_account = name.account().unwrap_or(question.resource_account);
        vec![Question { resource_account, ..question }]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ListGrantsResponse>, KmsError> {
        let (limit, name) = (page_of(request.limit, PAGE)?, authorized.resources());
        let text = name.to_string();
        let list = ["ListRetirableGrants", text.as_str()];
        let after = marker::read(call, &list, request.marker.as_deref())?;
        let holder = Holder::named(call, name.clone()).await?.ok_or_else(|| no_principal(&text))?;
        let region = call.caller().region().to_owned();
        let after = after.map(|after| retirable_key(&region, &holder, &after));
        let rows = call.rows::<Listed>(&retirable_key(&region, &holder, ""), after.as_ref(), limit + 1).await?;
        let mut next_marker = None;
        if let Some((last, _)) = limit.checked_sub(1).and_then(|last| rows.get(last)).filter(|_| rows.len() > limit) {
            next_marker = Some(marker::make(call, &list, last.rest())?);
        }
        let mut grants = Vec::new();
        for (row, _) in rows.iter().take(limit) {
            let Some((key, grant)) = row.rest().split_once('/') else { continue };
            // The grants of a key that was deleted are swept after it.
            let Some(key) = call.row::<Key>(&facts_key(&region, key)).await? else { continue };
            let Some(grant) = call.row::<Grant>(&grant_key(&region, &key.record.id, grant)).await? else { continue };
            grants.push(entry(call, &key.record.arn(), &grant.record).await?);
        }
        let truncated = Some(next_marker.is_some());
        Ok(Outcome::read_only(ListGrantsResponse { grants: Some(grants), next_marker, truncated }))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&PrincipalName>,
        _: Option<&ListGrantsResponse>,
        audited: &mut Audited,
    ) {
        let mut value = page_parameters(request.limit, request.marker.as_deref());
        let names = [
            ("retiringPrincipal", &request.retiring_principal),
            ("retiringServicePrincipal", &request.retiring_service_principal),
        ];
        for (name, text) in names {
            if let Some(text) = text {
                value = value.with(name, Value::public_text(text));
            }
        }
        audited.request_parameters = value;
    }
}
