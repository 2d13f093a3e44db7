//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use claviger_api::Valid;
use claviger_api::kms::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, KeySpec, ListAliasesRequest, ListAliasesResponse,
    UpdateAliasRequest,
};
use claviger_engine::Value;
use claviger_engine::{
    Audited, Authorized, Call, Facts, Named, Operation, OperationRow, Outcome, Question, ResourceRule, Row, Writes,
};

use super::create_key::account_question;
use super::listing::{page_of, page_parameters};
use crate::conditions::of_caller;
use crate::find::{ALIASES_MAX, Forms, NamedKey, find, foreign_absent};
use crate::operation::{key_parameter, row};
use crate::records::{Alias, Key, Listed, alias_arn, alias_key, alias_of_key, facts_key};
use crate::state::Permits;
use crate::{Kms, KmsError};

/// An alias as a request names it: checked, with its ARN in the caller's account and Region.
fn demand_name(name: &str) -> Result<(), KmsError> {
    if !name.starts_with("alias/") || name.len() == "alias/".len() {
        return Err(KmsError::validation(
            "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ));
    }
    if name.contains(':') {
        return Err(KmsError::validation(format!("{name} contains invalid characters for an alias")));
    }
    if name.starts_with("alias/aws/") { Err(KmsError::NotAuthorized) } else { Ok(()) }
}

async fn target(call: &mut Call<'_>, reference: &str, action: &'static str) -> Result<NamedKey, KmsError> {
    if reference.starts_with("alias/") || reference.contains(":alias/") {
        return Err(KmsError::validation("Aliases must refer to keys. Not aliases"));
    }
    let key = find(call, reference, Forms::Key, action).await?;
    // Never another account's. It is refused here as if it were not there, whatever else is wrong with the request.
    if key.key().account != call.caller().account() {
        return Err(foreign_absent(call.caller().principal(), action));
    }
    Ok(key)
}

fn own_arn(call: &Call<'_>, name: &str) -> String {
    alias_arn(call.caller().region(), call.caller().account(), name)
}

fn alias_question(call: &Call<'_>, name: &str, action: &'static str) -> Question {
    Question {
        action,
        resource: own_arn(call, name),
        resource_account: call.caller().principal().account(),
        resource_policy: ResourceRule::NoPolicy,
        cross_account: false,
        named: Named::ByArn,
    }
}

/// What conditions may ask on either side: about the key that the question is about, or else about the caller only.
fn facts_of<'k>(call: &Call<'_>, keys: impl IntoIterator<Item = &'k NamedKey>, question: &Question) -> Facts {
    let mut keys = keys.into_iter();
    keys.find(|key| key.arn == question.resource).map_or_else(|| of_caller(call), |key| key.facts(call))
}

async fn own_alias(call: &mut Call<'_>, name: &str) -> Result<Option<Row<Alias>>, KmsError> {
    let key = alias_key(call.caller().region(), call.caller().account(), name);
    Ok(call.row::<Alias>(&key).await?)
}

fn parameters(name: &str, target: Option<&str>) -> Value {
    let value = Value::object([("aliasName", Value::public_text(name))]);
    match target {
        None => value,
        Some(target) => value.with("targetKeyId", Value::public_text(target)),
    }
}

pub(crate) struct CreateAlias;

impl Operation for CreateAlias {
    type Service = Kms;
    type Request = Valid<CreateAliasRequest>;
    type Response = ();
    type Error = KmsError;
    type Resources = NamedKey;
    const ROW: OperationRow = row("CreateAlias", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<NamedKey, KmsError> {
        demand_name(&request.alias_name)?;
        target(call, &request.target_key_id, "kms:CreateAlias").await
    }

    fn questions(call: &Call<'_>, key: &NamedKey, request: &Self::Request) -> Vec<Question> {
        let action = "kms:CreateAlias";
        vec![alias_question(call, &request.alias_name, action), key.question(action, false)]
    }

    fn facts(call: &Call<'_>, key: &NamedKey, _: &Self::Request, question: &Question) -> Facts {
        facts_of(call, [key], question)
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, KmsError> {
        let named = authorized.resources();
        let key = named.key();
        let name = request.alias_name.as_str();
        if own_alias(call, name).await?.is_some() {
            return Err(KmsError::AlreadyExists(format!(
                "An alias with the name {} already exists",
                own_arn(call, name)
            )));
        }
        Permits::NotPendingDeletion.demand(key)?;
        demand_room(named)?;
        let mut writes = Writes::default();
        let now = call.now();
        let alias = Alias { target: key.id.clone(), created: now, updated: now };
        writes.put(call, alias_key(&key.region, &key.account, name), alias)?;
        add_name(call, &mut writes, key, name).await?;
        // With the list in the key's facts, a deletion at the same time makes one of the two run again.
        put_names(call, &mut writes, named, |names| names.push(name.to_owned()))?;
        Ok(Outcome::with_writes((), writes))
    }

    fn audited(request: &Self::Request, key: Option<&Self::Resources>, done: Option<&()>, audited: &mut Audited) {
        if let (Some(arn), Some(())) = (key.map(|key| key.arn.as_str()), done) {
            audited.response_elements = key_parameter(arn);
        }
        audited.request_parameters = parameters(&request.alias_name, Some(&request.target_key_id));
    }
}

/// An alias of a seeded key, with its rows; the name is checked as CreateAlias checks it.
pub(crate) async fn place(call: &mut Call<'_>, writes: &mut Writes, key: &mut Key, name: &str) -> Result<(), KmsError> {
    demand_name(name)?;
    let row = alias_key(&key.region, &key.account, name);
    if call.row::<Alias>(&row).await?.is_some() {
        return Err(KmsError::AlreadyExists(format!("The alias {name} is taken")));
    }
    let alias = Alias { target: key.id.clone(), created: key.created, updated: key.created };
    writes.put(call, row, alias)?;
    add_name(call, writes, key, name).await?;
    let names = key.aliases.get_or_insert_default();
    names.push(name.to_owned());
    names.sort();
    Ok(writes.put(call, facts_key(&key.region, &key.id), key.clone())?)
}

fn demand_room(key: &NamedKey) -> Result<(), KmsError> {
    if key.aliases().len() < ALIASES_MAX {
        return Ok(());
    }
    Err(KmsError::LimitExceeded(format!("The key {} already has {ALIASES_MAX} aliases", key.arn)))
}

/// Keeps the list in the key's facts the same as the rows.
fn put_names(
    call: &Call<'_>,
    writes: &mut Writes,
    key: &NamedKey,
    edit: impl FnOnce(&mut Vec<String>),
) -> Result<(), KmsError> {
    let mut changed = key.to_changed();
    let names = changed.aliases.get_or_insert_default();
    edit(names);
    names.sort();
    Ok(writes.put(call, facts_key(&changed.region, &changed.id), changed)?)
}

async fn add_name(call: &mut Call<'_>, writes: &mut Writes, key: &Key, name: &str) -> Result<(), KmsError> {
    let row = alias_of_key(&key.region, &key.id, name);
    call.row::<Listed>(&row).await?;
    Ok(writes.put(call, row, Listed)?)
}

async fn remove_name(
    call: &mut Call<'_>,
    writes: &mut Writes,
    region: &str,
    id: &str,
    name: &str,
) -> Result<(), KmsError> {
    let row = alias_of_key(region, id, name);
    if call.row::<Listed>(&row).await?.is_some() {
        writes.delete(row);
    }
    Ok(())
}

pub(crate) struct UpdateAlias;

/// What UpdateAlias works on: the alias, and the keys it leaves and takes.
pub(crate) struct Move {
    alias: Row<Alias>,
    old: Option<NamedKey>,
    new: NamedKey,
}

fn alias_not_found(call: &Call<'_>, name: &str) -> KmsError {
    KmsError::NotFound(format!("Alias {} is not found.", own_arn(call, name)))
}

async fn key_of_alias(call: &mut Call<'_>, alias: &Alias) -> Result<Option<NamedKey>, KmsError> {
    let facts = facts_key(call.caller().region(), &alias.target);
    match call.row::<Key>(&facts).await? {
        Some(row) => Ok(Some(NamedKey::new(call, row).await?)),
        None => Ok(None),
    }
}

/// An alias must not come to stand for a key of another kind: its users would meet it at their next call.
fn demand_same_kind(call: &Call<'_>, name: &str, old: &Key, new: &Key) -> Result<(), KmsError> {
    let refused = |what: &str, from: &str, to: &str| {
        let arn = own_arn(call, name);
        Err(KmsError::validation(format!(
            "Alias {arn} cannot be changed from a CMK with {what} {from} to a CMK with {what} {to}. The {what} of the current CMK and the new CMK must be the same."
        )))
    };
    let kind = |key: &Key| key_type(key.spec);
    if kind(old) != kind(new) {
        return refused("key type", kind(old), kind(new));
    }
    if old.usage != new.usage {
        return refused("key usage", old.usage.as_str(), new.usage.as_str());
    }
    Ok(())
}

/// AWS's "key type": all asymmetric keys are of one, all HMAC keys of another (UpdateAlias).
const fn key_type(spec: KeySpec) -> &'static str {
    match spec {
        KeySpec::SymmetricDefault => "SYMMETRIC",
        KeySpec::Hmac224 | KeySpec::Hmac256 | KeySpec::Hmac384 | KeySpec::Hmac512 => "HMAC",
        _ => "ASYMMETRIC",
    }
}

impl Operation for UpdateAlias {
    type Service = Kms;
    type Request = Valid<UpdateAliasRequest>;
    type Response = ();
    type Error = KmsError;
    type Resources = Move;
    const ROW: OperationRow = row("UpdateAlias", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Move, KmsError> {
        demand_name(&request.alias_name)?;
        let new = target(call, &request.target_key_id, "kms:UpdateAlias").await?;
        let alias = own_alias(call, &request.alias_name).await?;
        let alias = alias.ok_or_else(|| alias_not_found(call, &request.alias_name))?;
        let old = key_of_alias(call, &alias.record).await?;
        Ok(Move { alias, old, new })
    }

    fn questions(call: &Call<'_>, moved: &Move, request: &Self::Request) -> Vec<Question> {
        let action = "kms:UpdateAlias";
        let mut questions = vec![alias_question(call, &request.alias_name, action), moved.new.question(action, false)];
        questions.extend(moved.old.iter().map(|old| old.question(action, false)));
        questions
    }

    fn facts(call: &Call<'_>, moved: &Move, _: &Self::Request, question: &Question) -> Facts {
        facts_of(call, moved.old.iter().chain([&moved.new]), question)
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, KmsError> {
        let Move { alias, old, new } = authorized.resources();
        let key = new.key();
        Permits::NotPendingDeletion.demand(key)?;
        if let Some(old) = old {
            demand_same_kind(call, &request.alias_name, old.key(), key)?;
        }
        let name = request.alias_name.as_str();
        let mut writes = Writes::default();
        let target = alias.record.target.as_str();
        if target != key.id {
            demand_room(new)?;
            remove_name(call, &mut writes, &key.region, target, name).await?;
            add_name(call, &mut writes, key, name).await?;
            put_names(call, &mut writes, new, |names| names.push(name.to_owned()))?;
            if let Some(old) = old {
                put_names(call, &mut writes, old, |names| names.retain(|other| other != name))?;
            }
        }
        let moved = Alias { target: key.id.clone(), created: alias.record.created, updated: call.now() };
        writes.put(call, alias_key(&key.region, &key.account, name), moved)?;
        Ok(Outcome::with_writes((), writes))
    }

    fn audited(request: &Self::Request, key: Option<&Self::Resources>, done: Option<&()>, audited: &mut Audited) {
        if let (Some(arn), Some(())) = (key.map(|moved| moved.new.arn.as_str()), done) {
            audited.response_elements = key_parameter(arn);
        }
        audited.request_parameters = parameters(&request.alias_name, Some(&request.target_key_id));
    }
}

pub(crate) struct DeleteAlias;

/// An alias with the key behind it.
pub(crate) struct OwnAlias {
    alias: Row<Alias>,
    key: Option<NamedKey>,
}

impl Operation for DeleteAlias {
    type Service = Kms;
    type Request = Valid<DeleteAliasRequest>;
    type Response = ();
    type Error = KmsError;
    type Resources = OwnAlias;
    const ROW: OperationRow = row("DeleteAlias", false);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<OwnAlias, KmsError> {
        demand_name(&request.alias_name)?;
        let alias = own_alias(call, &request.alias_name).await?;
        let alias = alias.ok_or_else(|| alias_not_found(call, &request.alias_name))?;
        let key = key_of_alias(call, &alias.record).await?;
        Ok(OwnAlias { alias, key })
    }

    fn questions(call: &Call<'_>, own: &OwnAlias, request: &Self::Request) -> Vec<Question> {
        let action = "kms:DeleteAlias";
        let mut questions = vec![alias_question(call, &request.alias_name, action)];
        questions.extend(own.key.iter().map(|key| key.question(action, false)));
        questions
    }

    fn facts(call: &Call<'_>, own: &OwnAlias, _: &Self::Request, question: &Question) -> Facts {
        facts_of(call, &own.key, question)
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, KmsError> {
        let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
        let OwnAlias { alias, key } = authorized.resources();
        let name = &request.alias_name;
        let mut writes = Writes::default();
        remove_name(call, &mut writes, &region, &alias.record.target, name).await?;
        writes.delete(alias_key(&region, &account, name));
        if let Some(key) = key {
            put_names(call, &mut writes, key, |names| names.retain(|other| other != name))?;
        }
        Ok(Outcome::with_writes((), writes))
    }

    fn audited(request: &Self::Request, key: Option<&Self::Resources>, done: Option<&()>, audited: &mut Audited) {
        if let (Some(arn), Some(())) = (key.and_then(|own| own.key.as_ref()).map(|key| key.arn.as_str()), done) {
            audited.response_elements = key_parameter(arn);
        }
        audited.request_parameters = parameters(&request.alias_name, None);
    }
}

/// Default and largest page of ListAliases.
const PAGE: (usize, usize) = (50, 100);

pub(crate) struct ListAliases;

impl Operation for ListAliases {
    type Service = Kms;
    type Request = Valid<ListAliasesRequest>;
    type Response = ListAliasesResponse;
    type Error = KmsError;
    type Resources = Option<NamedKey>;
    const ROW: OperationRow = row("ListAliases", true);

    async fn resolve(call: &mut Call<'_>, _: &Kms, request: &Self::Request) -> Result<Option<NamedKey>, KmsError> {
        page_of(request.limit, PAGE)?;
        if request.marker.as_deref().is_some_and(|marker| !marker.starts_with("alias/")) {
            return Err(KmsError::InvalidMarker);
        }
        let Some(key_id) = request.key_id.as_deref() else { return Ok(None) };
        let key = find(call, key_id, Forms::Key, "kms:ListAliases").await?;
        if key.key().account != call.caller().account() {
            return Err(foreign_absent(call.caller().principal(), "kms:ListAliases"));
        }
        Ok(Some(key))
    }

    fn questions(call: &Call<'_>, _: &Option<NamedKey>, _: &Self::Request) -> Vec<Question> {
        vec![account_question(call, "kms:ListAliases")]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ListAliasesResponse>, KmsError> {
        let limit = page_of(request.limit, PAGE)?;
        let (region, account) = (call.caller().region().to_owned(), call.caller().account().to_owned());
        let marker = request.marker.as_deref();
        let mut found = match authorized.resources() {
            None => {
                let after = marker.map(|name| alias_key(&region, &account, name));
                let rows = call.rows::<Alias>(&alias_key(&region, &account, ""), after.as_ref(), limit + 1).await?;
                rows.into_iter().map(|(key, row)| (key.rest().to_owned(), row.record)).collect::<Vec<_>>()
            }
            Some(key) => {
                let after = marker.map(|name| alias_of_key(&region, &key.key().id, name));
                let prefix = alias_of_key(&region, &key.key().id, "");
                let mut found = Vec::new();
                for (row, _) in call.rows::<Listed>(&prefix, after.as_ref(), limit + 1).await? {
                    let name = row.rest().strip_prefix("named/").unwrap_or_default();
                    if let Some(alias) = own_alias(call, name).await? {
                        found.push((name.to_owned(), alias.record));
                    }
                }
                found
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next_marker = found.last().filter(|_| more).map(|(name, _)| name.clone());
        let aliases = found.into_iter().map(|(name, alias)| AliasListEntry {
            alias_arn: Some(alias_arn(&region, &account, &name)),
            alias_name: Some(name),
            target_key_id: Some(alias.target.clone()),
            creation_date: Some(alias.created),
            last_updated_date: Some(alias.updated),
        });
        Ok(Outcome::read_only(ListAliasesResponse {
            aliases: Some(aliases.collect()),
            next_marker,
            truncated: Some(more),
        }))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Self::Resources>,
        _: Option<&ListAliasesResponse>,
        audited: &mut Audited,
    ) {
        let mut value = page_parameters(request.limit, request.marker.as_deref());
        if let Some(key_id) = request.key_id.as_deref() {
            value = value.with("keyId", Value::public_text(key_id));
        }
        audited.request_parameters = value;
    }
}
