//! The form of every IAM operation: what it is about decides who may, then it is done.

use std::future::Future;
use std::marker::PhantomData;

use claviger_engine::{Audited, Authorized, Call, Named, Operation, OperationRow, Outcome, Question, Value};
use claviger_policy::AccountId;

use crate::{Iam, IamError};

/// The resource of operations on no entity in particular.
pub(crate) const EVERYTHING: &str = "*";

/// One operation of IAM.
pub(crate) trait IamOperation: Send + Sync + Sized + 'static {
    /// The request.
    type Request: Send + Sync;
    /// The response.
    type Response: Send;
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// The IAM action.
    const ACTION: &'static str;
    /// Whether it changes nothing.
    const READ_ONLY: bool;

    /// The ARNs of what it is about; the caller must be allowed the action on each. What does not exist is asked about
    /// too, as if its path were `/`: AWS authorizes before it says that something is missing.
    fn about(
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Vec<String>, IamError>> + Send;

    /// The work.
    fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Outcome<Self::Response>, IamError>> + Send;

    /// What the audit record shows of the request.
    fn shown(request: &Self::Request) -> Value;

    /// What the audit record shows of the response.
    fn answered(response: &Self::Response) -> Value {
        let _ = response;
        Value::Null
    }
}

/// The associated items of an [`IamOperation`]: name, request and response, and whether it reads or writes.
macro_rules! operation {
    ($name:ident, $request:ident => $response:ty, $kind:ident) => {
        type Request = claviger_api::Valid<claviger_api::iam::$request>;
        type Response = $response;
        const NAME: &'static str = stringify!($name);
        const ACTION: &'static str = concat!("iam:", stringify!($name));
const READ_ONLY: bool = crate::operation::operation!(@$kind);
    };
    (@reads) => {
        true
    };
    (@writes) => {
        false
    };
}
pub(crate) use operation;

/// An IAM operation as the engine runs it.
pub(crate) struct Run<O>(PhantomData<O>);

impl<O: IamOperation> Operation for Run<O> {
    type Service = Iam;
    type Request = O::Request;
    type Response = O::Response;
    type Error = IamError;
    type Resources = Vec<String>;

    const ROW: OperationRow =
        OperationRow { name: O::NAME, event_source: "iam.amazonaws.com", read_only: O::READ_ONLY };

    async fn resolve(call: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<Vec<String>, IamError> {
        O::about(call, request).await
    }

    fn questions(call: &Call<'_>, about: &Vec<String>, _: &Self::Request) -> Vec<Question> {
        let own = call.caller().principal().account();
        let ask = |arn: &String| Question {
            action: O::ACTION,
            resource: arn.clone(),
            resource_account: owner(arn).unwrap_or(own),
            resource_policy: None,
            cross_account: false,
            named: Named::ByArn,
        };
        about.iter().map(ask).collect()
    }

    async fn perform(
        call: &mut Call<'_>,
        iam: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<Self::Response>, IamError> {
        O::perform(iam, call, request).await
    }

    fn audited(
        request: &Self::Request,
        _: Option<&Vec<String>>,
        response: Option<&Self::Response>,
        audited: &mut Audited,
    ) {
        audited.request_parameters = O::shown(request);
        audited.response_elements = response.map_or(Value::Null, O::answered);
    }
}

/// The account in an ARN.
fn owner(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(4)?)
}

/// Members of `requestParameters`; those that the request does not have are left out.
pub(crate) fn parameters(members: &[(&'static str, Option<&str>)]) -> Value {
    let mut value = Value::Null;
    for (name, text) in members {
        if let Some(text) = text {
            value = value.with(*name, Value::public_text(text));
        }
    }
    value
}
