//! AssumeRole: a session of a role for somebody whom its trust policy lets.

use std::sync::Arc;

use claviger_api::Valid;
use claviger_api::sts::{AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser};
use claviger_engine::{
    Audited, Authorized, Call, Caller, CommonError, Facts, Fault, Named, Operation, OperationRow, Outcome, Question,
    ResourceRule, Value, Writes,
};
use claviger_policy::{AccountId, Document, PrincipalKind, is_same_key};

use super::token::{Issued, Subject};
use super::{issue, second_factor, trust};
use crate::arn::{self, Kind};
use crate::operation::parameters;
use crate::records::{Identity, RoleDetail, Tags};
use crate::shapes::role_detail;
use crate::{Iam, IamError, find};

/// How long a session lasts where the request does not say, in seconds; also the most of one made from a session.
pub(crate) const SECONDS: i64 = 3_600;
const ASSUME: &str = "sts:AssumeRole";
const TAG: &str = "sts:TagSession";
const SET_SOURCE: &str = "sts:SetSourceIdentity";

pub(crate) struct AssumeRole;

/// The role that a request names.
pub(crate) struct Asked {
    pub(crate) account: AccountId,
    pub(crate) arn: String,
    /// None if there is no such role; then its trust policy denies everything, so that it looks like one that refuses.
    pub(crate) role: Option<Arc<Identity>>,
    pub(crate) trust: Arc<Document>,
}

impl Asked {
    pub(crate) async fn find(call: &mut Call<'_>, text: &str) -> Result<Self, IamError> {
        let invalid = || IamError::validation(format!("{text} is invalid"));
        let rest = text.strip_prefix("arn:aws:iam::").ok_or_else(invalid)?;
        let account = rest.split(':').next().and_then(AccountId::parse).ok_or_else(invalid)?;
        let (_, name) = arn::split(text, account.as_str(), Kind::Role.word()).ok_or_else(invalid)?;
        let role = find::identity_in(call, account.as_str(), Kind::Role, name).await?;
        let role = role.filter(|role| role.arn() == text);
        let trust = match &role {
            Some(role) => trust::of_role(role_detail(role)?),
            None => Arc::new(Document::unreadable("")),
        };
        Ok(Self { account, arn: text.to_owned(), role, trust })
    }

    /// The role, once authorization has passed.
    pub(crate) fn role(&self) -> Result<(&Identity, &RoleDetail), Fault> {
        let role = self.role.as_deref().ok_or_else(|| Fault::RecordMissing(self.arn.clone()))?;
        Ok((role, role_detail(role)?))
    }

    pub(crate) fn question(&self, action: &'static str) -> Question {
        Question {
            action,
            resource: self.arn.clone(),
            resource_account: self.account,
            resource_policy: ResourceRule::TrustPolicy(Arc::clone(&self.trust)),
            cross_account: true,
            named: Named::Role,
        }
    }

    /// What conditions may ask about the role.
    pub(crate) fn facts(&self) -> Facts {
        let tags = || self.role.iter().flat_map(|role| role.tags.iter().map(|(key, value)| (key, value)));
        Facts::default().with_family("aws:ResourceTag/", tags()).with_family("iam:ResourceTag/", tags())
    }
}

/// For how long, in seconds; more than the role allows is refused.
pub(crate) fn seconds(asked: Option<i32>, role: &RoleDetail) -> Result<i64, IamError> {
    let seconds = asked.map_or(SECONDS, i64::from);
    if seconds > i64::from(role.max_session_seconds) {
        return Err(IamError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(seconds)
}

/// The user of the answer.
pub(crate) fn assumed(account: AccountId, role: &Identity, session: &str) -> AssumedRoleUser {
    AssumedRoleUser {
        assumed_role_id: format!("{}:{session}", role.id),
        arn: format!("arn:aws:sts::{account}:assumed-role/{}/{session}", role.name),
    }
}

/// The tags that the caller's session passes on.
fn inherited(caller: &Caller) -> &[(String, String)] {
    caller.traits().session.as_ref().map_or(&[], |session| &session.transitive_tags)
}

/// The source identity of the new session: the caller's own, which cannot be changed, or the request's.
fn source_identity<'a>(caller: &'a Caller, request: &'a AssumeRoleRequest) -> Option<&'a String> {
    let own = caller.traits().session.as_ref().and_then(|session| session.source_identity.as_ref());
    own.or(request.source_identity.as_ref())
}

/// What makes no sense whatever the role is.
fn check(caller: &Caller, request: &AssumeRoleRequest) -> Result<(Tags, Vec<String>), IamError> {
    if caller.principal().kind() == PrincipalKind::FederatedUser {
        let (arn, role) = (caller.principal().arn(), &request.role_arn);
        let text = format!("User: {arn} is not authorized to perform: {ASSUME} on resource: {role}");
        return Err(CommonError::AccessDenied(text).into());
    }
    if request.provided_contexts.as_ref().is_some_and(|contexts| !contexts.is_empty()) {
        // Nobody's assertions are believed, and ignoring them would make a session that its maker does not expect.
        return Err(IamError::validation("ProvidedContexts is not supported."));
    }
    if request.source_identity.is_some() && source_identity(caller, request) != request.source_identity.as_ref() {
        return Err(IamError::validation("The source identity is already set for this assume role session"));
    }
    issue::tags(request.tags.as_ref(), request.transitive_tag_keys.as_ref(), inherited(caller))
}

/// The keys that are to go on from this request, as it spells them.
fn transitive(request: &AssumeRoleRequest) -> impl Iterator<Item = &String> {
    let tags = request.tags.iter().flatten().map(|tag| &tag.key);
    tags.filter(|key| request.transitive_tag_keys.iter().flatten().any(|other| is_same_key(key, other)))
}

impl Operation for AssumeRole {
    type Service = Iam;
    type Request = Valid<AssumeRoleRequest>;
    type Response = AssumeRoleResponse;
    type Error = IamError;
    /// The role, and whether the request carries a second factor.
    type Resources = (Asked, bool);
    const ROW: OperationRow = OperationRow { name: "AssumeRole", event_source: super::EVENT_SOURCE, read_only: true };

    async fn resolve(call: &mut Call<'_>, iam: &Iam, request: &Self::Request) -> Result<(Asked, bool), IamError> {
        check(call.caller(), request)?;
        let asked = Asked::find(call, &request.role_arn).await?;
        // Whether the code is right counts for the decision; it is used up when the session is made.
        let mut writes = Writes::default();
        let (serial, code) = (request.serial_number.as_ref(), request.token_code.as_ref());
        let second_factor = second_factor::check(iam.wrong_codes(), call, &mut writes, serial, code).await?;
        Ok((asked, second_factor))
    }

    fn questions(call: &Call<'_>, (asked, _): &(Asked, bool), request: &Self::Request) -> Vec<Question> {
        let caller = call.caller();
        let mut questions = vec![asked.question(ASSUME)];
        if request.tags.as_ref().is_some_and(|tags| !tags.is_empty()) || !inherited(caller).is_empty() {
            questions.push(asked.question(TAG));
        }
        if source_identity(caller, request).is_some() {
            questions.push(asked.question(SET_SOURCE));
        }
        questions
    }

    fn facts(
        call: &Call<'_>,
        (asked, second_factor): &(Asked, bool),
        request: &Self::Request,
        question: &Question,
    ) -> Facts {
        let facts = asked.facts().with_second_factor(*second_factor);
        let tags = || request.tags.iter().flatten();
        let with_tags = |facts: Facts| {
            facts
                .with_all("aws:TagKeys", tags().map(|tag| &tag.key))
                .with_family("aws:RequestTag/", tags().map(|tag| (&tag.key, &tag.value)))
                .with_all("sts:TransitiveTagKeys", transitive(request))
        };
        let with_source = |facts: Facts| facts.with_some("sts:SourceIdentity", source_identity(call.caller(), request));
        match question.action {
            TAG => with_tags(facts),
            SET_SOURCE => with_source(facts),
            _ => with_source(with_tags(facts))
                .with("sts:RoleSessionName", &request.role_session_name)
                .with_some("sts:ExternalId", request.external_id.as_ref()),
        }
    }

    async fn perform(
        call: &mut Call<'_>,
        iam: &Iam,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<AssumeRoleResponse>, IamError> {
        let asked = &authorized.resources().0;
        let (role, detail) = asked.role()?;
        let seconds = seconds(request.duration_seconds, detail)?;
        if call.caller().traits().session.is_some() && seconds > SECONDS {
            let text =
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
            return Err(IamError::validation(text));
        }
        let passed = issue::passed(call, asked.account, request.policy.as_ref(), request.policy_arns.as_ref()).await?;
        let (tags, transitive) = check(call.caller(), request)?;
        let packed_policy_size = issue::packed(&passed, &tags, &[])?;
        let mut writes = Writes::default();
        let (serial, code) = (request.serial_number.as_ref(), request.token_code.as_ref());
        second_factor::check(iam.wrong_codes(), call, &mut writes, serial, code).await?;
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
            source_identity: source_identity(call.caller(), request).cloned(),
            second_factor_at: None,
            provider: None,
            claims: Vec::new(),
            root_key: None,
        };
        let response = AssumeRoleResponse {
            credentials: Some(issue::credentials(call, &issued)?),
            assumed_role_user: Some(assumed(asked.account, role, &request.role_session_name)),
            packed_policy_size,
            source_identity: issued.source_identity,
            ..AssumeRoleResponse::default()
        };
        Ok(Outcome::with_writes(response, writes))
    }

    fn audited(
        request: &Self::Request,
        _: Option<&(Asked, bool)>,
        response: Option<&AssumeRoleResponse>,
        audited: &mut Audited,
    ) {
        let mut shown = parameters(&[
            ("roleArn", Some(&request.role_arn)),
            ("roleSessionName", Some(&request.role_session_name)),
            ("externalId", request.external_id.as_deref()),
            ("policy", request.policy.as_deref()),
            ("serialNumber", request.serial_number.as_deref()),
            ("sourceIdentity", request.source_identity.as_deref()),
        ]);
        if let Some(seconds) = request.duration_seconds {
            shown = shown.with("durationSeconds", seconds);
        }
        if request.policy_arns.is_some() {
            shown = shown.with("policyArns", issue::shown_policies(request.policy_arns.as_ref()));
        }
        if request.tags.is_some() {
            shown = shown.with("principalTags", issue::shown_tags(request.tags.as_ref()));
        }
        if let Some(keys) = &request.transitive_tag_keys {
            shown = shown.with("transitiveTagKeys", Value::list(keys.iter().map(|key| Value::public_text(key))));
        }
        audited.request_parameters = shown;
        audited.response_elements = response.map_or(Value::Null, |response| {
            let shown = Value::object([("credentials", issue::shown(response.credentials.as_ref()))]);
            match &response.assumed_role_user {
                Some(user) => shown.with("assumedRoleUser", shown_user(user)),
                None => shown,
            }
        });
    }
}

/// What the audit record shows of the user of the answer.
pub(crate) fn shown_user(user: &AssumedRoleUser) -> Value {
    Value::object([
        ("assumedRoleId", Value::public_text(&user.assumed_role_id)),
        ("arn", Value::public_text(&user.arn)),
    ])
}
