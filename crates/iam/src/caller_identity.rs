//! GetCallerIdentity: who am I? No policy governs it.

use claviger_api::Valid;
use claviger_api::sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};
use claviger_engine::{Audited, Authorized, Call, Operation, OperationRow, Outcome, Question};

use crate::{Iam, IamError};

pub(crate) struct GetCallerIdentity;

impl Operation for GetCallerIdentity {
    type Service = Iam;
    type Request = Valid<GetCallerIdentityRequest>;
    type Response = GetCallerIdentityResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow =
        OperationRow { name: "GetCallerIdentity", event_source: "sts.amazonaws.com", read_only: true };
    const UNGOVERNED: bool = true;

    async fn resolve(_: &mut Call<'_>, _: &Iam, _: &Self::Request) -> Result<(), IamError> {
        Ok(())
    }

    fn questions(_: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        Vec::new()
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        _: &Self::Request,
    ) -> Result<Outcome<GetCallerIdentityResponse>, IamError> {
        let caller = call.caller();
        Ok(Outcome::read_only(GetCallerIdentityResponse {
            // A root's user id is its account's id (reference/iam-sts.md section 3).
            user_id: Some(caller.traits().unique_id.as_deref().unwrap_or_else(|| caller.account()).to_owned()),
            account: Some(caller.account().to_owned()),
            arn: Some(caller.principal().arn().to_owned()),
        }))
    }

    fn audited(_: &Self::Request, _: Option<&Self::Resources>, _: Option<&GetCallerIdentityResponse>, _: &mut Audited) {
    }
}
