//! RetireGrant, for those who hold a grant or made it, and RevokeGrant, for those who administer the key.

use claviger_api::Valid;
use claviger_api::kms::{GrantOperation, RetireGrantRequest, RevokeGrantRequest};
use claviger_engine::{
    Audited, Authorized, Call, Facts, Operation, OperationRow, Outcome, Question, ResourceRule, Row, Value,
};
use claviger_policy::{AccountId, PrincipalName};

use super::create_grant::of_constraint;
use crate::find::{Forms, NamedKey, find, foreign_absent};
use crate::grants::{self, Grant, action, grant_key, is_grant_id, token};
use crate::operation::{KeyOperation, key_parameter, row, unless_dry_run};
use crate::state::Permits;
use crate::{Kms, KmsError};

pub(crate) const RETIRE: &str = "kms:RetireGrant";

pub(crate) struct RetireGrant;

/// A grant with its key.
pub(crate) struct GrantOnKey {
    key: NamedKey,
    grant: Row<Grant>,
}

impl Operation for RetireGrant {
    type Service = Kms;
    type Request = Valid<RetireGrantRequest>;
    type Response = ();
    type Error = KmsError;
    type Resources = GrantOnKey;
    const ROW: OperationRow = row("RetireGrant", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<GrantOnKey, KmsError> {
        let (reference, id) = match (&request.grant_token, &request.key_id, &request.grant_id) {
            (Some(token), None, None) => {
                let named = token::read(call, token)?;
                (named.key_arn, named.grant)
            }
            (None, Some(key), Some(grant)) => (key.clone(), grant.clone()),
            _ => return Err(KmsError::validation("Specify either GrantToken, or KeyId and GrantId.")),
        };
        demand_grant_id(&id)?;
        let key = find(call, &reference, Forms::Key, RETIRE).await?;
        let found = call.row::<Grant>(&grant_key(&key.key().region, &key.key().id, &id)).await?;
        let grant = found.ok_or_else(|| {
            let own = key.key().account == call.caller().account();
            if own { not_found(&id) } else { foreign_absent(call.caller().principal(), RETIRE) }
        })?;
        Ok(GrantOnKey { key, grant })
    }

    fn questions(_: &Call<'_>, on: &GrantOnKey, _: &Self::Request) -> Vec<Question> {
        vec![Question { resource_policy: ResourceRule::GrantsOnly, ..on.key.question(RETIRE, true) }]
    }

    fn facts(call: &Call<'_>, on: &GrantOnKey, _: &Self::Request, _: &Question) -> Facts {
        of_constraint(on.key.facts(call), &on.grant.record.constraint)
    }

    async fn grants(
        _: &mut Call<'_>,
        on: &GrantOnKey,
        _: &Self::Request,
        _: &Question,
    ) -> Result<Vec<claviger_engine::Grant>, KmsError> {
        Ok(retirers(&on.grant.record))
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, KmsError> {
        let GrantOnKey { key, grant } = authorized.resources();
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::with_writes((), grants::remove(call, key, &grant.record).await?))
    }

    fn audited(request: &Self::Request, on: Option<&GrantOnKey>, _: Option<&()>, audited: &mut Audited) {
        if let (Some(key), Some(grant)) = (&request.key_id, &request.grant_id) {
            audited.request_parameters = key_parameter(key).with("grantId", Value::public_text(grant));
        }
        if let Some(on) = on {
            audited.additional = Value::object([("grantId", Value::public_text(&on.grant.record.id))]);
        }
    }
}

/// Who may retire it: the retiring principal, the grantee if the grant says so, and the account that made it (its root
/// user, and whom its policies allow).
pub(crate) fn retirers(grant: &Grant) -> Vec<claviger_engine::Grant> {
    let grantee = Some(&grant.grantee).filter(|_| grant.operations.contains(&GrantOperation::RetireGrant));
    let holders = grant.retiring.iter().chain(grantee).map(|holder| (holder.name.clone(), holder.id.clone()));
    let issuer = AccountId::parse(&grant.issuer).map(|account| (PrincipalName::Account(account), None));
    let retirer = |(grantee, bound_to)| claviger_engine::Grant {
        id: grant.id.clone(),
        grantee,
        bound_to,
        actions: vec![action(GrantOperation::RetireGrant)],
    };
    holders.chain(issuer).map(retirer).collect()
}

/// The grant that somebody would retire, and the question about it.
pub(crate) async fn supposed(call: &mut Call<'_>, key: &NamedKey, id: &str) -> Result<(Grant, Question), KmsError> {
    demand_grant_id(id)?;
    let found = call.row::<Grant>(&grant_key(&key.key().region, &key.key().id, id)).await?;
    let grant = found.ok_or_else(|| not_found(id))?;
    Ok((Grant::clone(&grant.record), key.question(RETIRE, true)))
}

/// Refuses what cannot be the id of a grant.
pub(crate) fn demand_grant_id(id: &str) -> Result<(), KmsError> {
    if is_grant_id(id) { Ok(()) } else { Err(KmsError::InvalidGrantId) }
}

fn not_found(id: &str) -> KmsError {
    KmsError::NotFound(format!("Grant ID {id} not found"))
}

pub(crate) struct RevokeGrant;

impl KeyOperation for RevokeGrant {
    type Request = Valid<RevokeGrantRequest>;
    type Response = ();
    const NAME: &'static str = "RevokeGrant";
    const ACTION: &'static str = "kms:RevokeGrant";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = true;
    const READ_ONLY: bool = false;
    const ON_GRANTS: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        demand_grant_id(&request.grant_id)
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        let row = grant_key(&key.key().region, &key.key().id, &request.grant_id);
        let grant = call.row::<Grant>(&row).await?.ok_or_else(|| not_found(&request.grant_id))?;
        unless_dry_run(request.dry_run)?;
        Ok(Outcome::with_writes((), grants::remove(call, key, &grant.record).await?))
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        audited.request_parameters =
            key_parameter(&request.key_id).with("grantId", Value::public_text(&request.grant_id));
    }
}
