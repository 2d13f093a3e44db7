//! AssumeRoleWithWebIdentity: a session of a role for the bearer of a provider's token. Nobody signs the request; the
//! token is what is believed.

mod claims;
mod jwt;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use claviger_api::Valid;
use claviger_api::sts::{AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse, Tag};
use claviger_engine::{
    Audited, Authorized, Call, Engine, Facts, Operation, OperationRow, Outcome, Question, Seed, TokenBearer, Value,
    Writes,
};
use claviger_policy::AccountId;

use super::assume_role::{Asked, assumed, seconds, shown_user};
use super::token::{Issued, Subject};
use super::{StsError, issue};
use crate::operation::parameters;
use crate::records::{Provider, provider_key};
use crate::{Iam, IamError, accounts, find};
use keys::KeySet;
pub(crate) use keys::KeySets;

const ASSUME: &str = "sts:AssumeRoleWithWebIdentity";
const TAG: &str = "sts:TagSession";
const SET_SOURCE: &str = "sts:SetSourceIdentity";
/// The Region of the record: the request has no credential scope that could name one.
pub(crate) const REGION: &str = "us-east-1";

/// A request with what its checked token says.
pub(crate) struct Vouched {
    request: Valid<AssumeRoleWithWebIdentityRequest>,
    provider: Arc<Provider>,
    /// What conditions may ask about the token: keys with their values.
    claims: Vec<(String, Vec<String>)>,
    pub(crate) bearer: TokenBearer,
    tags: Vec<Tag>,
    transitive: Vec<String>,
    source_identity: Option<String>,
}

/// The claims of a web identity token, if it is to be believed: one of the keys (a JSON Web Key Set, RFC 7517) signed it,
/// it is meant for one of the clients, and it holds at this time, in seconds since 1970.
///
/// # Errors
/// An [`StsError`] for a token that is not believed.
pub fn believed_claims(
    token: &str,
    keys: &[u8],
    clients: &[String],
    now: i64,
) -> Result<serde_json::Map<String, serde_json::Value>, StsError> {
    let keys = KeySet::parse(keys).unwrap_or_default();
    Ok(jwt::Unverified::parse(token)?.verify(&keys, clients, now)?.all)
}

/// Checks the token of a request.
///
/// # Errors
/// An [`StsError`] for a token that is not believed; `AccessDenied` for a role in an account that is not here.
pub(crate) async fn vouched(
    engine: &Engine,
    iam: &Iam,
    request: Valid<AssumeRoleWithWebIdentityRequest>,
) -> Result<Vouched, IamError> {
    if request.provider_id.is_some() {
        return Err(IamError::validation("ProviderId is for OAuth 2.0 access tokens, which are not supported."));
    }
    let text = std::str::from_utf8(request.web_identity_token.expose()).unwrap_or_default();
    let token = jwt::Unverified::parse(text).map_err(IamError::Sts)?;
    let issuer = token.issuer().map_err(IamError::Sts)?.to_owned();
    let (account, provider) = provider(engine, &request.role_arn, &issuer).await?;
    let keys = match token.algorithm {
        None => Arc::default(),
        Some(algorithm) => {
            let wanted = (token.key_id.as_deref(), algorithm);
            iam.keys().get(&provider.url, wanted, engine.clock()).await.map_err(IamError::Sts)?
        }
    };
    let verified = token.verify(&keys, &provider.clients, engine.clock().wall().seconds()).map_err(IamError::Sts)?;
    let session = claims::of_session(&verified.all).map_err(IamError::Sts)?;
    let bearer = TokenBearer {
        account,
        provider_arn: provider.arn(),
        audience: verified.audience.clone(),
        subject: verified.subject.clone(),
    };
    let claims = claims::condition_keys(&provider.url, &verified);
    let claims::OfSession { tags, transitive, source_identity } = session;
    Ok(Vouched { request, provider, claims, bearer, tags, transitive, source_identity })
}

/// The provider of this issuer in the role's account, which must be open.
async fn provider(engine: &Engine, role: &str, issuer: &str) -> Result<(AccountId, Arc<Provider>), IamError> {
    let shown: String = issuer.chars().take(find::URL_MAX).collect();
    let unknown = || {
        let text = format!("No OpenIDConnect provider found in your account for {shown}");
        IamError::Sts(StsError::InvalidIdentityToken(text))
    };
    let account = role.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split(':').next());
    let account = account.and_then(AccountId::parse);
    let account = account.ok_or_else(|| IamError::validation(format!("{role} is invalid")))?;
    let url = issuer.strip_prefix("https://").ok_or_else(unknown)?.trim_end_matches('/');
    if url.is_empty() || url.len() > find::URL_MAX {
        return Err(unknown());
    }
    let mut found = None;
    let mut reading = Seed::new(engine, REGION, account.as_str());
    reading
        .run::<IamError>(async |call| {
            if accounts::is_open(call, account.as_str()).await? {
                found = call.row::<Provider>(&provider_key(account.as_str(), url)).await?.map(|row| row.record);
            }
            Ok(Writes::default())
        })
        .await?;
    Ok((account, found.ok_or_else(unknown)?))
}

pub(crate) struct AssumeRoleWithWebIdentity;

impl AssumeRoleWithWebIdentity {
    pub(crate) const ROW: OperationRow =
        OperationRow { name: "AssumeRoleWithWebIdentity", event_source: super::EVENT_SOURCE, read_only: true };
}

impl Operation for AssumeRoleWithWebIdentity {
    type Service = Iam;
    type Request = Vouched;
    type Response = AssumeRoleWithWebIdentityResponse;
    type Error = IamError;
    type Resources = Asked;
    const ROW: OperationRow = Self::ROW;

    async fn resolve(call: &mut Call<'_>, _: &Iam, vouched: &Vouched) -> Result<Asked, IamError> {
        issue::tags(Some(&vouched.tags), Some(&vouched.transitive), &[])?;
        Asked::find(call, &vouched.request.role_arn).await
    }

    fn questions(_: &Call<'_>, asked: &Asked, vouched: &Vouched) -> Vec<Question> {
        let tag = (!vouched.tags.is_empty()).then(|| asked.question(TAG));
        let source = vouched.source_identity.is_some().then(|| asked.question(SET_SOURCE));
        [asked.question(ASSUME)].into_iter().chain(tag).chain(source).collect()
    }

    fn facts(_: &Call<'_>, asked: &Asked, vouched: &Vouched, question: &Question) -> Facts {
        let claims = vouched.claims.iter();
        let facts = claims.fold(asked.facts(), |facts, (key, values)| facts.with_all(key.clone(), values.clone()));
        let with_source = |facts: Facts| facts.with_some("sts:SourceIdentity", vouched.source_identity.as_ref());
        let with_tags = |facts: Facts| {
            facts
                .with_all("aws:TagKeys", vouched.tags.iter().map(|tag| &tag.key))
                .with_family("aws:RequestTag/", vouched.tags.iter().map(|tag| (&tag.key, &tag.value)))
                .with_all("sts:TransitiveTagKeys", &vouched.transitive)
        };
        match question.action {
            TAG => with_tags(facts),
            SET_SOURCE => with_source(facts),
            _ => with_source(with_tags(facts)).with("sts:RoleSessionName", &vouched.request.role_session_name),
        }
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        authorized: &Authorized<Self>,
        vouched: &Vouched,
    ) -> Result<Outcome<AssumeRoleWithWebIdentityResponse>, IamError> {
        let (asked, request) = (authorized.resources(), &vouched.request);
        let (role, detail) = asked.role()?;
        let seconds = seconds(request.duration_seconds, detail)?;
        let passed = issue::passed(call, asked.account, request.policy.as_ref(), request.policy_arns.as_ref()).await?;
        let (tags, transitive) = issue::tags(Some(&vouched.tags), Some(&vouched.transitive), &[])?;
        let claims = claims::remaining(&vouched.provider.url, &vouched.claims);
        let packed_policy_size = issue::packed(&passed, &tags, &claims)?;
        let at = super::issue_time(call);
        let issued = Issued {
            account: asked.account.as_str().to_owned(),
            subject: Subject::Role { id: role.id.clone(), name: request.role_session_name.clone() },
            at,
            until: at.plus_seconds(seconds),
            policy: passed.policy,
            policies: passed.policies,
            tags,
            transitive,
            source_identity: vouched.source_identity.clone(),
            second_factor_at: None,
            provider: Some(vouched.provider.arn()),
            claims,
            root_key: None,
        };
        Ok(Outcome::read_only(AssumeRoleWithWebIdentityResponse {
            credentials: Some(issue::credentials(call, &issued)?),
            subject_from_web_identity_token: Some(vouched.bearer.subject.clone()),
            assumed_role_user: Some(assumed(asked.account, role, &request.role_session_name)),
            packed_policy_size,
            provider: Some(vouched.provider.arn()),
            audience: Some(vouched.bearer.audience.clone()),
            source_identity: issued.source_identity,
            ..AssumeRoleWithWebIdentityResponse::default()
        }))
    }

    fn audited(
        vouched: &Vouched,
        _: Option<&Asked>,
        response: Option<&AssumeRoleWithWebIdentityResponse>,
        audited: &mut Audited,
    ) {
        let request = &vouched.request;
        let mut shown = parameters(&[
            ("roleArn", Some(&request.role_arn)),
            ("roleSessionName", Some(&request.role_session_name)),
            ("policy", request.policy.as_deref()),
        ]);
        if let Some(seconds) = request.duration_seconds {
            shown = shown.with("durationSeconds", seconds);
        }
        if request.policy_arns.is_some() {
            shown = shown.with("policyArns", issue::shown_policies(request.policy_arns.as_ref()));
        }
        audited.request_parameters = shown;
        audited.response_elements = response.map_or(Value::Null, |response| {
            let mut shown = Value::object([("credentials", issue::shown(response.credentials.as_ref()))])
                .with("subjectFromWebIdentityToken", Value::public_text(&vouched.bearer.subject))
                .with("provider", Value::public_text(&vouched.provider.arn()))
                .with("audience", Value::public_text(&vouched.bearer.audience));
            if let Some(user) = &response.assumed_role_user {
                shown = shown.with("assumedRoleUser", shown_user(user));
            }
            shown
        });
    }
}
