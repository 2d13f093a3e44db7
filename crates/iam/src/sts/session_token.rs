//! GetSessionToken and GetFederationToken: temporary credentials out of a user's own.

use claviger_api::Valid;
use claviger_api::sts::{
    FederatedUser, GetFederationTokenRequest, GetFederationTokenResponse, GetSessionTokenRequest,
    GetSessionTokenResponse,
};
use claviger_engine::{
    Audited, Authorized, Call, Caller, CommonError, Facts, Named, Operation, OperationRow, Outcome, Question,
    ResourceRule, Value, Writes,
};
use claviger_policy::PrincipalKind;

use super::assume_role::SECONDS as ROOT_SECONDS_MAX;
use super::token::{Issued, Subject};
use super::{issue, second_factor};
use crate::operation::parameters;
use crate::records::Tags;
use crate::{Iam, IamError};

/// How long they last where the request does not say: twelve hours.
const SECONDS: i64 = 43_200;

/// Only a long-term access key gives these credentials.
pub(crate) fn demand_long_term(caller: &Caller, name: &str) -> Result<(), IamError> {
    if caller.traits().session.is_none() {
        return Ok(());
    }
    Err(CommonError::AccessDenied(format!("Cannot call {name} with session credentials")).into())
}

/// The unique id of the calling user; none for the root.
fn user(caller: &Caller) -> Option<String> {
    let principal = caller.principal();
    let user = principal.unique_id().filter(|_| principal.kind() == PrincipalKind::User);
    user.map(|id| id.as_str().to_owned())
}

/// A session of this caller. A root's is cut to an hour, which is no error.
fn issued(call: &Call<'_>, subject: Subject, asked: Option<i32>) -> Issued {
    let (at, caller) = (super::issue_time(call), call.caller());
    let asked = asked.map_or(SECONDS, i64::from);
    let root = caller.principal().kind() == PrincipalKind::Root;
    let seconds = if root { asked.min(ROOT_SECONDS_MAX) } else { asked };
    Issued {
        account: caller.account().to_owned(),
        subject,
        at,
        until: at.plus_seconds(seconds),
        policy: None,
        policies: Vec::new(),
        tags: Tags::new(),
        transitive: Vec::new(),
        source_identity: None,
        second_factor_at: None,
        provider: None,
        claims: Vec::new(),
        root_key: root.then(|| caller.access_key_id().to_owned()),
    }
}

pub(crate) struct GetSessionToken;

impl Operation for GetSessionToken {
    type Service = Iam;
    type Request = Valid<GetSessionTokenRequest>;
    type Response = GetSessionTokenResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow =
        OperationRow { name: "GetSessionToken", event_source: super::EVENT_SOURCE, read_only: true };
    const UNGOVERNED: bool = true;

    async fn resolve(call: &mut Call<'_>, _: &Iam, _: &Self::Request) -> Result<(), IamError> {
        demand_long_term(call.caller(), "GetSessionToken")
    }

    fn questions(_: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        Vec::new()
    }

    async fn perform(
        call: &mut Call<'_>,
        iam: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<GetSessionTokenResponse>, IamError> {
        let mut writes = Writes::default();
        let (serial, code) = (request.serial_number.as_ref(), request.token_code.as_ref());
        let second_factor = second_factor::check(iam.wrong_codes(), call, &mut writes, serial, code).await?;
        let issued = issued(call, Subject::User(user(call.caller())), request.duration_seconds);
        let issued = Issued { second_factor_at: second_factor.then_some(issued.at), ..issued };
        let credentials = Some(issue::credentials(call, &issued)?);
        let response = GetSessionTokenResponse { credentials, ..GetSessionTokenResponse::default() };
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&()>,
        response: Option<&GetSessionTokenResponse>,
        audited: &mut Audited,
    ) {
        let shown = parameters(&[("serialNumber", request.serial_number.as_deref())]);
        audited.request_parameters = match request.duration_seconds {
            Some(seconds) => shown.with("durationSeconds", seconds),
            None => shown,
        };
        audited.response_elements = response.map_or(Value::Null, |response| {
            Value::object([("credentials", issue::shown(response.credentials.as_ref()))])
        });
    }
}

pub(crate) struct GetFederationToken;

const FEDERATE: &str = "sts:GetFederationToken";

impl Operation for GetFederationToken {
    type Service = Iam;
    type Request = Valid<GetFederationTokenRequest>;
    type Response = GetFederationTokenResponse;
    type Error = IamError;
    /// The federated user's ARN.
    type Resources = String;
    const ROW: OperationRow =
        OperationRow { name: "GetFederationToken", event_source: super::EVENT_SOURCE, read_only: true };

    async fn resolve(call: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<String, IamError> {
        demand_long_term(call.caller(), "GetFederationToken")?;
        issue::tags(request.tags.as_ref(), None, &[])?;
        Ok(format!("arn:aws:sts::{}:federated-user/{}", call.caller().account(), request.name))
    }

    fn questions(call: &Call<'_>, arn: &String, request: &Self::Request) -> Vec<Question> {
        let question = |action| Question {
            action,
            resource: arn.clone(),
            resource_account: call.caller().principal().account(),
            resource_policy: ResourceRule::NoPolicy,
            cross_account: false,
            named: Named::ByArn,
        };
        let tagged = request.tags.as_ref().is_some_and(|tags| !tags.is_empty());
        let tag = tagged.then(|| question("sts:TagSession"));
        [question(FEDERATE)].into_iter().chain(tag).collect()
    }

    fn facts(_: &Call<'_>, _: &String, request: &Self::Request, _: &Question) -> Facts {
        let tags = || request.tags.iter().flatten();
        Facts::default()
            .with_all("aws:TagKeys", tags().map(|tag| &tag.key))
            .with_family("aws:RequestTag/", tags().map(|tag| (&tag.key, &tag.value)))
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<GetFederationTokenResponse>, IamError> {
        let account = call.caller().principal().account();
        let passed = issue::passed(call, account, request.policy.as_ref(), request.policy_arns.as_ref()).await?;
        let (tags, _) = issue::tags(request.tags.as_ref(), None, &[])?;
        let packed = issue::packed(&passed, &tags, &[])?;
        let subject = Subject::Federated { user: user(call.caller()), name: request.name.clone() };
        let issued = Issued {
            policy: passed.policy,
            policies: passed.policies,
            tags,
            ..issued(call, subject, request.duration_seconds)
        };
        let federated_user = FederatedUser {
            federated_user_id: format!("{account}:{}", request.name),
            arn: authorized.resources().clone(),
        };
        Ok(Outcome::read_only(GetFederationTokenResponse {
            credentials: Some(issue::credentials(call, &issued)?),
            federated_user: Some(federated_user),
            packed_policy_size: Some(packed.unwrap_or(0)),
            ..GetFederationTokenResponse::default()
        }))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&String>,
        response: Option<&GetFederationTokenResponse>,
        audited: &mut Audited,
    ) {
        let mut shown = parameters(&[("name", Some(&request.name)), ("policy", request.policy.as_deref())]);
        if let Some(seconds) = request.duration_seconds {
            shown = shown.with("durationSeconds", seconds);
        }
        if request.policy_arns.is_some() {
            shown = shown.with("policyArns", issue::shown_policies(request.policy_arns.as_ref()));
        }
        if request.tags.is_some() {
            shown = shown.with("tags", issue::shown_tags(request.tags.as_ref()));
        }
        audited.request_parameters = shown;
        audited.response_elements = response.map_or(Value::Null, |response| {
            Value::object([("credentials", issue::shown(response.credentials.as_ref()))])
        });
    }
}
