//! EnableKey, DisableKey, UpdateKeyDescription, ScheduleKeyDeletion, CancelKeyDeletion, and the deletion itself.

use claviger_api::kms::{
    CancelKeyDeletionRequest, CancelKeyDeletionResponse, DisableKeyRequest, EnableKeyRequest, KeyState as WireState,
    ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
};
use claviger_api::{Timestamp, Valid};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, Due, DueJob, Facts, Fault, JobOutcome, Outcome, Writes};

use super::import;
use super::keys::wire_state;
use super::replicas;
use super::rotation;
use super::tags::change;
use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::grants;
use crate::key_count;
use crate::operation::{KeyOperation, key_parameter};
use crate::records::{
    Alias, Key, KeyState, Listed, Material, alias_key, alias_of_key, facts_key, listed_key, material_key, materials_of,
};
use crate::state::Permits;
use crate::usage::{AsksLastUse, LastUse, last_use_key};

/// The waiting period in days: shortest, longest, and the one of a request that names none.
const WINDOW_DAYS: (i32, i32, i32) = (7, 30, 30);
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Aliases or materials swept by one commit.
const SWEEP: usize = 15;
/// Materials that go in one commit with the key's facts, which may have to change those of its related keys too.
const MATERIALS: usize = 8;
/// The name under which jobs of this service are stored.
pub(crate) const SERVICE: &str = "kms";

macro_rules! switch {
    ($name:ident, $request:ty, $text:literal, $action:literal, $state:expr, $asks:expr) => {
        pub(crate) struct $name;

        impl KeyOperation for $name {
            type Request = Valid<$request>;
            type Response = ();
            const NAME: &'static str = $text;
            const ACTION: &'static str = $action;
            const FORMS: Forms = Forms::Key;
            const CROSS_ACCOUNT: bool = false;
            const READ_ONLY: bool = false;
            const SHOWS_KEY: bool = true;
            const PERMITS: Permits = Permits::HasMaterial;
            const ASKS_LAST_USE: AsksLastUse = $asks;

            fn key_id(request: &Self::Request) -> &str {
                &request.key_id
            }

            async fn perform(call: &mut Call<'_>, key: &NamedKey, _: &Self::Request) -> Result<Outcome<()>, KmsError> {
                let mut changed = key.to_changed();
                changed.state = $state;
                let mut writes = Writes::default();
                rotation::resume(call, &mut writes, &changed).await?;
                writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
                Ok(Outcome::with_writes((), writes))
            }

            fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
                audited.request_parameters = key_parameter(&request.key_id);
            }
        }
    };
}

switch!(EnableKey, EnableKeyRequest, "EnableKey", "kms:EnableKey", KeyState::Enabled, AsksLastUse::No);
switch!(DisableKey, DisableKeyRequest, "DisableKey", "kms:DisableKey", KeyState::Disabled, AsksLastUse::InConditions);

pub(crate) struct UpdateKeyDescription;

impl KeyOperation for UpdateKeyDescription {
    type Request = Valid<UpdateKeyDescriptionRequest>;
    type Response = ();
    const NAME: &'static str = "UpdateKeyDescription";
    const ACTION: &'static str = "kms:UpdateKeyDescription";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::NotPendingDeletion;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        change(call, key, |key| key.description.clone_from(&request.description))
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        audited.request_parameters =
            key_parameter(&request.key_id).with("description", Value::public_text(&request.description));
    }
}

pub(crate) struct ScheduleKeyDeletion;

impl KeyOperation for ScheduleKeyDeletion {
    type Request = Valid<ScheduleKeyDeletionRequest>;
    type Response = ScheduleKeyDeletionResponse;
    const NAME: &'static str = "ScheduleKeyDeletion";
    const ACTION: &'static str = "kms:ScheduleKeyDeletion";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::NotPendingDeletion;
    const ASKS_LAST_USE: AsksLastUse = AsksLastUse::InConditions;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        let (least, most, _) = WINDOW_DAYS;
        match request.pending_window_in_days {
            Some(days) if !(least..=most).contains(&days) => {
                Err(KmsError::validation(format!("PendingWindowInDays must be between {least} and {most}")))
            }
            _ => Ok(()),
        }
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        let days = request.pending_window_in_days.unwrap_or(WINDOW_DAYS.2);
        facts.with("kms:ScheduleKeyDeletionPendingWindowInDays", days.to_string())
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ScheduleKeyDeletionResponse>, KmsError> {
        let days = request.pending_window_in_days.unwrap_or(WINDOW_DAYS.2);
        let window_days = u32::try_from(days).unwrap_or_default();
        let mut changed = key.to_changed();
        let mut writes = Writes::default();
        let deletion_date = if replicas::has_replicas(&changed) {
            changed.state = KeyState::PendingReplicaDeletion { window_days };
            None
        } else {
            Some(begin_window(call, &mut writes, &mut changed, window_days).await?)
        };
        let state = wire_state(changed.state);
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        let response = ScheduleKeyDeletionResponse {
            key_id: Some(key.arn.clone()),
            deletion_date,
            key_state: Some(state),
            pending_window_in_days: Some(days),
        };
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(request: &Self::Request, response: Option<&ScheduleKeyDeletionResponse>, audited: &mut Audited) {
        let days = request.pending_window_in_days.unwrap_or(WINDOW_DAYS.2);
        audited.request_parameters = key_parameter(&request.key_id).with("pendingWindowInDays", i64::from(days));
        if let Some(response) = response {
            let state = response.key_state.map_or("", WireState::as_str);
            let shown = key_parameter(response.key_id.as_deref().unwrap_or_default())
                .with("keyState", Value::public_text(state))
                .with("pendingWindowInDays", i64::from(days));
            audited.response_elements = match response.deletion_date {
                Some(at) => shown.with("deletionDate", Value::public_text(&at.to_iso8601())),
                None => shown,
            };
        }
    }
}

pub(crate) struct CancelKeyDeletion;

impl KeyOperation for CancelKeyDeletion {
    type Request = Valid<CancelKeyDeletionRequest>;
    type Response = CancelKeyDeletionResponse;
    const NAME: &'static str = "CancelKeyDeletion";
    const ACTION: &'static str = "kms:CancelKeyDeletion";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::PendingDeletion;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<CancelKeyDeletionResponse>, KmsError> {
        let mut writes = Writes::default();
        if let KeyState::PendingDeletion { at } = key.key().state {
            Due::cancel(call, &mut writes, SERVICE, at, &deletion_job(key.key())).await?;
        }
        let mut changed = key.to_changed();
        // Without its material it could not be enabled again.
        let waits = changed.is_external() && changed.lacks_import();
        changed.state = if waits { KeyState::PendingImport } else { KeyState::Disabled };
        writes.put(call, facts_key(&changed.region, &changed.id), changed)?;
        Ok(Outcome::with_writes(CancelKeyDeletionResponse { key_id: Some(key.arn.clone()) }, writes))
    }

    fn audited(request: &Self::Request, response: Option<&CancelKeyDeletionResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
        if let Some(arn) = response.and_then(|response| response.key_id.as_deref()) {
            audited.response_elements = key_parameter(arn);
        }
    }
}

/// Puts the key into its waiting period and plans its end.
async fn begin_window(
    call: &mut Call<'_>,
    writes: &mut Writes,
    key: &mut Key,
    window_days: u32,
) -> Result<Timestamp, Fault> {
    let at = Timestamp::from_millis(call.now().millis().saturating_add(i64::from(window_days) * DAY_MILLIS));
    key.state = KeyState::PendingDeletion { at };
    Due::plan(call, writes, SERVICE, at, &deletion_job(key)).await?;
    Ok(at)
}

/// Takes a replica that is being destroyed from its related keys. A primary that waited for its last replica has its
/// own waiting period from now on.
async fn leave_related(call: &mut Call<'_>, writes: &mut Writes, key: &Key) -> Result<(), Fault> {
    let Some(mut primary) = replicas::leave(call, writes, key).await? else { return Ok(()) };
    if let KeyState::PendingReplicaDeletion { window_days } = primary.state
        && !replicas::has_replicas(&primary)
    {
        begin_window(call, writes, &mut primary, window_days).await?;
    }
    writes.put(call, facts_key(&primary.region, &primary.id), primary)
}

fn deletion_job(key: &Key) -> String {
    format!("delete {} {}", key.region, key.id)
}

fn sweep_job(region: &str, account: &str, id: &str) -> String {
    format!("sweep {region} {account} {id}")
}

fn sweep_materials_job(region: &str, id: &str) -> String {
    format!("sweep-materials {region} {id}")
}

fn sweep_grants_job(region: &str, id: &str) -> String {
    format!("sweep-grants {region} {id}")
}

/// Whether a job destroys what is still there: a key, or imported material that expires. The others rotate, or clear
/// away what is gone already.
pub(crate) fn destroys(job: &str) -> bool {
    let name = job.split(' ').next().unwrap_or_default();
    !matches!(name, "erase" | "rotate" | "note-rotation" | "sweep" | "sweep-materials" | "sweep-grants")
}

/// Does one due job of this service.
pub(crate) async fn run(call: &mut Call<'_>, job: &DueJob) -> Result<JobOutcome, Fault> {
    let words: Vec<&str> = job.job.split(' ').collect();
    match *words.as_slice() {
        ["delete", region, id] => delete(call, job.due, region, id).await,
        ["expire", region, id, material] => import::expire(call, job.due, region, id, material).await,
        ["erase", region, _] => Ok(import::erase(region)),
        ["rotate", region, id] => rotation::rotate(call, region, id).await,
        ["note-rotation", region, id, material] => rotation::note(call, job, [region, id, material]).await,
        ["sweep", region, account, id] => sweep(call, job.due, region, account, id).await,
        ["sweep-materials", region, id] => sweep_materials(call, job.due, region, id).await,
        ["sweep-grants", region, id] => sweep_grants(call, job.due, region, id).await,
        _ => Err(Fault::RecordMalformed(job.row.printable())),
    }
}

/// Removes materials of a key that is going, and says whether there are more than one commit takes: without the key's
/// facts nothing opens them, and they are swept at once.
async fn destroy_materials(call: &mut Call<'_>, writes: &mut Writes, key: &Key) -> Result<bool, Fault> {
    for material in key.materials.iter().take(MATERIALS) {
        let row = material_key(&key.region, &key.id, &material.id);
        if call.row::<Material>(&row).await?.is_some() {
            writes.delete(row);
        }
        import::forget_expiry(call, writes, key, &material.id).await?;
    }
    Ok(key.materials.len() > MATERIALS)
}

/// Removes materials of a key that is gone, some at a time. Until it is done, no replica takes the key's place.
async fn sweep_materials(call: &mut Call<'_>, due: Timestamp, region: &str, id: &str) -> Result<JobOutcome, Fault> {
    let mut writes = Writes::default();
    let left = call.rows::<Material>(&materials_of(region, id), None, SWEEP + 1).await?;
    for (row, _) in left.iter().take(SWEEP) {
        writes.delete(row.clone());
    }
    if left.len() > SWEEP {
        let later = Timestamp::from_millis(due.millis().saturating_add(1));
        Due::plan(call, &mut writes, SERVICE, later, &sweep_materials_job(region, id)).await?;
    }
    Ok(JobOutcome { writes, event: None, account: String::new(), region: region.to_owned() })
}

/// The key's facts and its first materials go in one commit; what does not fit is swept after.
async fn delete(call: &mut Call<'_>, due: Timestamp, region: &str, id: &str) -> Result<JobOutcome, Fault> {
    let mut writes = Writes::default();
    let facts = facts_key(region, id);
    let key = call.row::<Key>(&facts).await?;
    // A cancelled or repeated deletion finds the key in another state, or gone: nothing is left to do.
    let key = key.filter(|row| row.record.state == KeyState::PendingDeletion { at: due });
    let Some(key) = key else {
        return Ok(JobOutcome { writes, event: None, account: String::new(), region: region.to_owned() });
    };
    let key = key.record;
    if destroy_materials(call, &mut writes, &key).await? {
        Due::plan(call, &mut writes, SERVICE, due, &sweep_materials_job(region, id)).await?;
    }
    rotation::cancel(call, &mut writes, &key).await?;
    let listed = listed_key(region, &key.account, id);
    if call.row::<Listed>(&listed).await?.is_some() {
        writes.delete(listed);
    }
    writes.delete(facts);
    let last_use = last_use_key(region, id);
    if call.row::<LastUse>(&last_use).await?.is_some() {
        writes.delete(last_use);
    }
    if let Some(counted) = key_count::one_less(call, region, &key.account, id).await? {
        counted.put(call, &mut writes)?;
    }
    leave_related(call, &mut writes, &key).await?;
    if !call.rows::<Listed>(&alias_of_key(region, id, ""), None, 1).await?.is_empty() {
        Due::plan(call, &mut writes, SERVICE, due, &sweep_job(region, &key.account, id)).await?;
    }
    if key.has_grants {
        Due::plan(call, &mut writes, SERVICE, due, &sweep_grants_job(region, id)).await?;
    }
    let audited = Audited {
        response_elements: key_parameter(&key.arn()),
        resources: vec![(key.arn(), key.account.clone())],
        ..Audited::default()
    };
    let event = Some(("DeleteKey", audited));
    Ok(JobOutcome { writes, event, account: key.account.clone(), region: region.to_owned() })
}

/// Removes aliases of a key that is gone, some at a time.
async fn sweep(
    call: &mut Call<'_>,
    due: Timestamp,
    region: &str,
    account: &str,
    id: &str,
) -> Result<JobOutcome, Fault> {
    let mut writes = Writes::default();
    let named = call.rows::<Listed>(&alias_of_key(region, id, ""), None, SWEEP + 1).await?;
    for (row, _) in named.iter().take(SWEEP) {
        let name = row.rest().strip_prefix("named/").unwrap_or_default();
        let alias = alias_key(region, account, name);
        if call.row::<Alias>(&alias).await?.is_some_and(|alias| alias.record.target == id) {
            writes.delete(alias);
        }
        writes.delete(row.clone());
    }
    if named.len() > SWEEP {
        let later = Timestamp::from_millis(due.millis().saturating_add(1));
        Due::plan(call, &mut writes, SERVICE, later, &sweep_job(region, account, id)).await?;
    }
    Ok(JobOutcome { writes, event: None, account: account.to_owned(), region: region.to_owned() })
}

/// Removes grants of a key that is gone, some at a time.
async fn sweep_grants(call: &mut Call<'_>, due: Timestamp, region: &str, id: &str) -> Result<JobOutcome, Fault> {
    let mut writes = Writes::default();
    if grants::sweep(call, &mut writes, region, id).await? {
        let later = Timestamp::from_millis(due.millis().saturating_add(1));
        Due::plan(call, &mut writes, SERVICE, later, &sweep_grants_job(region, id)).await?;
    }
    Ok(JobOutcome { writes, event: None, account: String::new(), region: region.to_owned() })
}
