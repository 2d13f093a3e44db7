//! STS: temporary credentials.
//!
//! Start at `token.rs` (what a session is), then `assume_role.rs` (who gets one), then `credential.rs` (what it is worth
//! later).

pub(crate) mod assume_role;
pub(crate) mod credential;
mod error;
mod information;
pub(crate) mod issue;
mod second_factor;
pub(crate) mod session_token;
mod token;
pub(crate) mod trust;
mod web_identity;

use claviger_api::sts::{Request, Response};
use claviger_api::{Refusal, Timestamp};
use claviger_engine::{Answer, ApiError as _, Call, CallMeta, Caller, CommonError, Engine, Recorded};
use claviger_policy::PrincipalKind;
use claviger_secret::event;

pub(crate) use assume_role::Asked as AskedRole;
pub use error::{Packed, StsError};
pub(crate) use second_factor::WrongCodes;
pub(crate) use web_identity::KeySets;
pub use web_identity::believed_claims;

use crate::caller_identity::GetCallerIdentity;
use crate::{Iam, IamError};
use web_identity::AssumeRoleWithWebIdentity;

const EVENT_SOURCE: &str = "sts.amazonaws.com";

/// The time of issue by the wall clock, in whole seconds: as finely as conditions and audit records show it.
fn issue_time(call: &Call<'_>) -> Timestamp {
    Timestamp::from_seconds(call.wall().seconds())
}

/// The sessions that a user made of its own credentials may call but a few operations of STS.
pub(crate) fn demand_all_of_sts(caller: &Caller) -> Result<(), IamError> {
    if caller.traits().session.is_none() || caller.principal().kind() == PrincipalKind::RoleSession {
        return Ok(());
    }
    Err(CommonError::AccessDenied("Cannot call this operation with session credentials".to_owned()).into())
}

/// IAM takes the credentials of GetSessionToken only if a second factor was shown for them, and those of
/// GetFederationToken not at all.
pub(crate) fn demand_iam(caller: &Caller) -> Result<(), IamError> {
    let Some(session) = &caller.traits().session else { return Ok(()) };
    let allowed = match caller.principal().kind() {
        PrincipalKind::RoleSession => true,
        PrincipalKind::Root | PrincipalKind::User => session.second_factor_at.is_some(),
        PrincipalKind::FederatedUser => false,
    };
    if allowed { Ok(()) } else { Err(IamError::Sts(StsError::InvalidClientTokenId)) }
}

/// Runs an STS operation for a caller who signed the request.
///
/// # Errors
/// A [`Refusal`] when the call could not be recorded.
pub async fn dispatch_sts(
    engine: &Engine,
    iam: &Iam,
    caller: &Caller,
    meta: &CallMeta,
    request: &Request,
) -> Result<Recorded<Answer<Response>>, Refusal> {
    macro_rules! run {
        ($operation:ty, $request:ident, $response:ident) => {{
            let answer = engine.call::<$operation>(iam, caller, meta, $request).await?;
            Ok(answer.map(|answer| answer.map(Response::$response)))
        }};
    }
    match request {
        Request::AssumeRole(request) => run!(assume_role::AssumeRole, request, AssumeRole),
        Request::AssumeRoleWithWebIdentity(_) => Err(Refusal::UnknownOperation),
        Request::DecodeAuthorizationMessage(request) => {
            run!(information::DecodeAuthorizationMessage, request, DecodeAuthorizationMessage)
        }
        Request::GetAccessKeyInfo(request) => run!(information::GetAccessKeyInfo, request, GetAccessKeyInfo),
        Request::GetCallerIdentity(request) => run!(GetCallerIdentity, request, GetCallerIdentity),
        Request::GetFederationToken(request) => run!(session_token::GetFederationToken, request, GetFederationToken),
        Request::GetSessionToken(request) => run!(session_token::GetSessionToken, request, GetSessionToken),
    }
}

/// Runs an operation that nobody signs: AssumeRoleWithWebIdentity.
///
/// # Errors
/// A [`Refusal`] when the operation wants a signature, when the call could not be recorded, and when so many tokens are
/// not believed that they would fill the audit log.
pub async fn dispatch_unsigned(
    engine: &Engine,
    iam: &Iam,
    meta: &CallMeta,
    request: Request,
) -> Result<Recorded<Answer<Response>>, Refusal> {
    let Request::AssumeRoleWithWebIdentity(request) = request else {
        return Err(Refusal::MissingAuthenticationToken);
    };
    match web_identity::vouched(engine, iam, request).await {
        Ok(vouched) => {
            let caller = engine.token_bearer(&vouched.bearer, web_identity::REGION);
            let answer = engine.call::<AssumeRoleWithWebIdentity>(iam, &caller, meta, &vouched).await?;
            Ok(answer.map(|answer| answer.map(Response::AssumeRoleWithWebIdentity)))
        }
        Err(error) => {
            if let Some(fault) = error.fault() {
                event!(error, "a web identity could not be checked", fault = *fault);
            }
            engine.invalid_unsigned(meta, &AssumeRoleWithWebIdentity::ROW, error.service_error())
        }
    }
}
