//! GetAccessKeyInfo and DecodeAuthorizationMessage.

use claviger_api::Valid;
use claviger_api::sts::{
    DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse, GetAccessKeyInfoRequest,
    GetAccessKeyInfoResponse,
};
use claviger_engine::{Audited, Authorized, Call, Named, Operation, OperationRow, Outcome, Question, ResourceRule};

use super::error::StsError;
use crate::operation::parameters;
use crate::records::{AccessKey, access_key_key};
use crate::{Iam, IamError};

/// The question of an operation that is about nothing in particular.
fn everything(call: &Call<'_>, action: &'static str) -> Vec<Question> {
    vec![Question {
        action,
        resource: "*".to_owned(),
        resource_account: call.caller().principal().account(),
        resource_policy: ResourceRule::NoPolicy,
        cross_account: false,
        named: Named::ByArn,
    }]
}

pub(crate) struct GetAccessKeyInfo;

impl Operation for GetAccessKeyInfo {
    type Service = Iam;
    type Request = Valid<GetAccessKeyInfoRequest>;
    type Response = GetAccessKeyInfoResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow =
        OperationRow { name: "GetAccessKeyInfo", event_source: super::EVENT_SOURCE, read_only: true };

    async fn resolve(call: &mut Call<'_>, _: &Iam, _: &Self::Request) -> Result<(), IamError> {
        super::demand_all_of_sts(call.caller())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        everything(call, "sts:GetAccessKeyInfo")
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<GetAccessKeyInfoResponse>, IamError> {
        let own = call.caller().account().to_owned();
        let known = match request.access_key_id == call.caller().access_key_id() {
            true => true,
            false => {
                let row = call.row::<AccessKey>(&access_key_key(&request.access_key_id)).await?;
                // Another account's key looks like none: accounts learn nothing of each other.
                row.is_some_and(|row| row.record.account == own)
            }
        };
        if !known {
            return Err(IamError::validation("The access key ID is not one of this account."));
        }
        Ok(Outcome::read_only(GetAccessKeyInfoResponse { account: Some(own) }))
    }

    fn audited(request: &Self::Request, _: Option<&()>, _: Option<&GetAccessKeyInfoResponse>, audited: &mut Audited) {
        audited.request_parameters = parameters(&[("accessKeyId", Some(&request.access_key_id))]);
    }
}

pub(crate) struct DecodeAuthorizationMessage;

impl Operation for DecodeAuthorizationMessage {
    type Service = Iam;
    type Request = Valid<DecodeAuthorizationMessageRequest>;
    type Response = DecodeAuthorizationMessageResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow =
        OperationRow { name: "DecodeAuthorizationMessage", event_source: super::EVENT_SOURCE, read_only: true };

    async fn resolve(call: &mut Call<'_>, _: &Iam, _: &Self::Request) -> Result<(), IamError> {
        super::demand_all_of_sts(call.caller())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        everything(call, "sts:DecodeAuthorizationMessage")
    }

    /// No operation here answers with an encoded message, so none can be decoded.
    async fn perform(
        _: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        _: &Self::Request,
    ) -> Result<Outcome<DecodeAuthorizationMessageResponse>, IamError> {
        Err(IamError::Sts(StsError::InvalidAuthorizationMessage))
    }

    fn audited(_: &Self::Request, _: Option<&()>, _: Option<&DecodeAuthorizationMessageResponse>, _: &mut Audited) {}
}
