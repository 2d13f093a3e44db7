//! GetKeyLastUsage: when a key was last used, by which operation, and where that call is in the audit log.

use claviger_api::Valid;
use claviger_api::kms::{GetKeyLastUsageRequest, GetKeyLastUsageResponse, KeyLastUsageData};
use claviger_engine::{Audited, Call, Fault, Outcome};

use crate::KmsError;
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, key_parameter};
use crate::state::Permits;
use crate::usage::AsksLastUse;

pub(crate) struct GetKeyLastUsage;

impl KeyOperation for GetKeyLastUsage {
    type Request = Valid<GetKeyLastUsageRequest>;
    type Response = GetKeyLastUsageResponse;
    const NAME: &'static str = "GetKeyLastUsage";
    const ACTION: &'static str = "kms:GetKeyLastUsage";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;
    const ASKS_LAST_USE: AsksLastUse = AsksLastUse::Shows;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        _: &mut Call<'_>,
        key: &NamedKey,
        _: &Self::Request,
    ) -> Result<Outcome<GetKeyLastUsageResponse>, KmsError> {
        let missing = || Fault::RecordMissing("the use of the key".to_owned());
        let usage = key.usage.clone().ok_or_else(missing)??;
        let last = usage.last.map(|last| KeyLastUsageData {
            operation: Some(last.operation),
            timestamp: Some(last.at),
            cloud_trail_event_id: Some(last.event_id),
            kms_request_id: Some(last.request_id),
        });
        Ok(Outcome::read_only(GetKeyLastUsageResponse {
            key_id: Some(key.key().id.clone()),
            // An empty object when no use was tracked.
            key_last_usage: Some(last.unwrap_or_default()),
            tracking_start_date: Some(usage.tracked_since),
            key_creation_date: Some(key.key().created),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GetKeyLastUsageResponse>, audited: &mut Audited) {
        audited.request_parameters = key_parameter(&request.key_id);
    }
}
