//! From a call to its audit record (reference/events.md).

use claviger_api::{Refusal, ServiceError, SignatureClaim, Timestamp};
use claviger_audit::{Call as Head, Event, EventType, Pending, Resource, Text, Time, Value};
use claviger_policy::{Decision, PrincipalKind};

use crate::engine::Engine;
use crate::operation::{Audited, Operation, OperationRow, RecordElsewhere, RecordedCall};
use crate::{CallMeta, Caller, PrincipalTraits, Session};

/// What is known when the call starts.
pub(crate) fn head(engine: &Engine, caller: &Caller, meta: &CallMeta, row: &OperationRow) -> Head {
    let head = own_head(engine, caller, meta, row);
    match caller.calling_service() {
        Some(service) => by_service(head, service),
        None => head,
    }
}

/// The head of a call's record in another Region.
pub(crate) fn head_elsewhere(
    engine: &Engine,
    caller: &Caller,
    meta: &CallMeta,
    row: &OperationRow,
    elsewhere: &RecordElsewhere,
) -> Head {
    let head = own_head(engine, caller, meta, row);
    let head = Head { name: elsewhere.name.into(), region: Text::public(&elsewhere.region), ..head };
    by_service(head, row.event_source)
}

fn by_service(head: Head, service: &str) -> Head {
    let service = Text::public(service);
    Head {
        identity: head.identity.with("invokedBy", Value::Text(service.clone())),
        source_address: service.clone(),
        user_agent: Some(service),
        tls_details: None,
        ..head
    }
}

/// The same for a call that comes through no service.
fn own_head(engine: &Engine, caller: &Caller, meta: &CallMeta, row: &OperationRow) -> Head {
    Head {
        event_type: EventType::ApiCall,
        time: Time::from_millis(engine.clock().now().millis()),
        source: row.event_source.into(),
        name: row.name.into(),
        region: Text::public(caller.region()),
        identity: identity(caller),
        source_address: Text::public(&meta.source_address.to_string()),
        user_agent: Some(Text::of(&meta.user_agent)),
        request_id: Some(Text::public(&meta.request_id)),
        event_id: Text::public(&event_id(engine)),
        recipient_account: Text::public(caller.account()),
        tls_details: meta.tls.as_ref().map(|tls| {
            Value::object([
                ("tlsVersion", Value::public_text(tls.version)),
                ("cipherSuite", Value::text(&tls.cipher_suite)),
                ("clientProvidedHostHeader", Value::text(&tls.host)),
                ("keyExchange", Value::text(&tls.key_exchange)),
            ])
        }),
    }
}

pub(crate) fn event_id(engine: &Engine) -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness the id stays zero: the record must be written all the same, and the call fails elsewhere.
    if engine.chance().fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// What is kept of a call's record while the log takes it, without any room of its own.
pub(crate) struct RecordName {
    at: Timestamp,
    event_id: [u8; EVENT_ID_BYTES],
}

/// A UUID in text form.
const EVENT_ID_BYTES: usize = 36;

impl RecordName {
    pub(crate) fn of(pending: &Pending) -> Self {
        let head = pending.call();
        let event_id = head.event_id.as_str().as_bytes().first_chunk().copied().unwrap_or([b'0'; EVENT_ID_BYTES]);
        Self { at: Timestamp::from_millis(head.time.millis()), event_id }
    }

    pub(crate) fn tell<O: Operation>(&self, service: &O::Service, resources: &O::Resources, meta: &CallMeta) {
        let event_id = std::str::from_utf8(&self.event_id).unwrap_or_default();
        O::recorded(service, resources, &RecordedCall { at: self.at, event_id, request_id: &meta.request_id });
    }
}

/// `userIdentity` (reference/events.md section 1).
fn identity(caller: &Caller) -> Value {
    let (principal, traits) = (caller.principal(), caller.traits());
    if let Some(provider) = principal.provider_arn() {
        return bearer(provider, traits);
    }
    let unique_id = traits.unique_id.as_deref().unwrap_or_else(|| caller.account());
    let (kind, user_name) = match principal.kind() {
        PrincipalKind::Root => ("Root", None),
        PrincipalKind::User => ("IAMUser", principal.arn().rsplit('/').next()),
        PrincipalKind::RoleSession => ("AssumedRole", None),
        PrincipalKind::FederatedUser => ("FederatedUser", None),
    };
    let mut identity = Value::object([
        ("type", Value::public_text(kind)),
        ("principalId", Value::public_text(unique_id)),
        ("arn", Value::public_text(principal.arn())),
        ("accountId", Value::public_text(caller.account())),
        ("accessKeyId", Value::public_text(caller.access_key_id())),
    ]);
    if let Some(name) = user_name {
        identity = identity.with("userName", Value::public_text(name));
    }
    match &traits.session {
        Some(session) => identity.with("sessionContext", session_context(caller, session)),
        None => identity,
    }
}

/// Whoever bears a provider's token; an empty provider is one that was not believed.
fn bearer(provider: &str, traits: &PrincipalTraits) -> Value {
    if provider.is_empty() {
        return Value::object([("type", Value::public_text("Unknown"))]);
    }
    Value::object([
        ("type", Value::public_text("WebIdentityUser")),
        ("principalId", Value::public_text(traits.unique_id.as_deref().unwrap_or_default())),
        ("userName", Value::public_text(traits.subject.as_deref().unwrap_or_default())),
        ("identityProvider", Value::public_text(provider)),
    ])
}

fn session_context(caller: &Caller, session: &Session) -> Value {
    let principal = caller.principal();
    let mut context = Value::object([(
        "attributes",
        Value::object([
            ("creationDate", Value::public_text(&session.issued_at.to_iso8601())),
            ("mfaAuthenticated", Value::public_text(&session.second_factor_at.is_some().to_string())),
        ]),
    )]);
    if let Some(issuer) = principal.parent_arn() {
        let name = issuer.rsplit('/').next().filter(|_| !issuer.ends_with(":root"));
        let kind = match principal.kind() {
            PrincipalKind::RoleSession => "Role",
            _ if name.is_none() => "Root",
            _ => "IAMUser",
        };
        let id = principal.unique_id().map_or_else(|| caller.account().to_owned(), ToString::to_string);
        let mut shown = Value::object([
            ("type", Value::public_text(kind)),
            ("principalId", Value::public_text(&id)),
            ("arn", Value::public_text(issuer)),
            ("accountId", Value::public_text(caller.account())),
        ]);
        if let Some(name) = name {
            shown = shown.with("userName", Value::public_text(name));
        }
        context = context.with("sessionIssuer", shown);
    }
    if let Some(provider) = &session.federated_provider {
        let federation = Value::object([
            ("federatedProvider", Value::public_text(provider)),
            ("attributes", Value::object::<&str, Value>([])),
        ]);
        context = context.with("webIdFederationData", federation);
    }
    match &session.source_identity {
        Some(source) => context.with("sourceIdentity", Value::public_text(source)),
        None => context,
    }
}

/// What is known when the call ends.
pub(crate) fn event(
    row: &OperationRow,
    audited: Audited,
    error: Option<&ServiceError>,
    decisions: &[Decided],
) -> Event {
    let Audited { request_parameters, response_elements, additional, resources } = audited;
    let mut event = Event::new(row.read_only);
    event.request_parameters = request_parameters;
    event.response_elements = response_elements;
    event.additional_event_data = (!matches!(additional, Value::Null)).then_some(additional);
    let resources = resources.iter().filter_map(|(arn, account)| {
        Some(Resource { account: Text::public(account), kind: kind(arn)?.into(), arn: Text::public(arn) })
    });
    event.resources = Some(resources.collect());
    event.decision = (!decisions.is_empty()).then(|| Value::list(decisions.iter().map(decision)));
    match error {
        None => event,
        Some(error) => event.failed(error.code, error.message.as_deref().map(Text::public)),
    }
}

/// Adds the request ids of inner calls to `additionalEventData`.
pub(crate) fn name_inner(audited: &mut Audited, inner: &[String]) {
    if !inner.is_empty() {
        let shown = std::mem::take(&mut audited.additional);
        let ids = inner.iter().map(|id| Value::public_text(id));
        audited.additional = shown.with("innerRequestIDs", Value::list(ids));
    }
}

/// CloudTrail's word for what an ARN names; what it has no word for is not listed.
fn kind(arn: &str) -> Option<&'static str> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next()?, parts.nth(2)?);
    match (service, resource.split('/').next()?) {
        ("iam", "user") => Some("AWS::IAM::User"),
        ("iam", "group") => Some("AWS::IAM::Group"),
        ("iam", "role") => Some("AWS::IAM::Role"),
        ("iam", "policy") => Some("AWS::IAM::Policy"),
        ("iam", "mfa") => Some("AWS::IAM::VirtualMFADevice"),
        ("iam", "oidc-provider") => Some("AWS::IAM::OIDCProvider"),
        ("iam" | "sts", _) => None,
        _ => Some("AWS::KMS::Key"),
    }
}

/// One decision as the record shows it.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// The IAM action that was asked about.
    pub(crate) action: &'static str,
    /// The ARN that it was asked about, or `*`.
    pub(crate) resource: String,
    /// The id of the grant that allowed it.
    pub(crate) grant: Option<String>,
}

fn decision(Decided { decision, action, resource, grant }: &Decided) -> Value {
    let statements = decision.statements().map(|statement| {
        Value::object([
            ("source", Value::public_text(&format!("{:?}", statement.source))),
            ("policy", Value::from(i64::try_from(statement.policy).unwrap_or(i64::MAX))),
            ("statement", Value::from(i64::try_from(statement.statement).unwrap_or(i64::MAX))),
        ])
    });
    let shown = Value::object([
        ("effect", Value::public_text(if decision.is_allowed() { "Allow" } else { "Deny" })),
        ("action", Value::from(*action)),
        ("resource", Value::public_text(resource)),
        ("reason", Value::public_text(&format!("{:?}", decision.reason))),
        ("statements", Value::list(statements)),
    ]);
    match grant {
        Some(grant) => shown.with("grant", Value::public_text(grant)),
        None => shown,
    }
}

impl Engine {
    /// Records a failed authentication, at a bounded rate.
    pub(crate) fn note_refused(&self, claim: &SignatureClaim, meta: &CallMeta, refusal: Refusal) {
        if !self.may_record_refusal() {
            return;
        }
        let mut caller = Caller::system(&claim.region);
        caller.access_key_id = claviger_secret::LogText::new(&claim.access_key_id).as_str().to_owned();
        let row = OperationRow { name: "Authenticate", event_source: "signin.amazonaws.com", read_only: true };
        let mut head = head(self, &caller, meta, &row);
        head.event_type = EventType::Operator;
        head.identity = Value::object([("type", Value::public_text("Unknown"))])
            .with("accessKeyId", Value::public_text(&caller.access_key_id));
        let pending = self.audit().open_call(head);
        let event = Event::new(true).failed(Text::public(&format!("{refusal:?}")), None);
        // The refusal itself is data-free and is answered in any case; a full disk already shows elsewhere.
        drop(self.audit().append(pending, &event, ()));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_policy::{AccountId, Principal, UniqueId};

    use super::*;

    const USER: &str = "AIDAABCDEFGHIJKLMNOPQ";
    const ROLE: &str = "AROAABCDEFGHIJKLMNOPQ";

    fn home() -> AccountId {
        AccountId::parse("111122223333").unwrap()
    }

    fn session() -> Session {
        Session { source_identity: Some("alice".to_owned()), ..Session::issued_at(Timestamp::from_seconds(0)) }
    }

    #[track_caller]
    fn check(principal: Principal, unique_id: Option<&str>, session: Option<Session>, expected: &str) {
        let traits = PrincipalTraits { unique_id: unique_id.map(str::to_owned), session, ..PrincipalTraits::default() };
        let access_key_id = "ASIAX".to_owned();
        let account = principal.account().as_str().to_owned();
        let caller = Caller { principal, account, access_key_id, traits, ..Caller::system("eu-central-1") };
        assert_eq!(identity(&caller).to_json(), expected);
    }

    #[test]
    fn roots_and_users() {
        let root = r#""arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"ASIAX"}"#;
        let root = format!(r#"{{"type":"Root","principalId":"111122223333",{root}"#);
        check(Principal::root(home()), None, None, &root);
        let user = Principal::user(home(), "/a/", "alice");
        let shown = r#"{"type":"IAMUser","principalId":"AIDAABCDEFGHIJKLMNOPQ","arn":"arn:aws:iam::111122223333:user/a/alice","accountId":"111122223333","accessKeyId":"ASIAX","userName":"alice"}"#;
        check(user.clone(), Some(USER), None, shown);
        let with_factor = Session { second_factor_at: Some(Timestamp::from_seconds(0)), ..session() };
        let context = r#","sessionContext":{"attributes":{"creationDate":"1970-01-01T00:00:00Z","mfaAuthenticated":"true"},"sourceIdentity":"alice"}}"#;
        check(user, Some(USER), Some(with_factor), &shown.replace("\"alice\"}", &format!("\"alice\"{context}")));
    }

    #[test]
    fn sessions_name_who_issued_them() {
        let role = Principal::role_session(home(), "/a/", "worker", "one");
        let role = role.with_unique_id(UniqueId::parse(ROLE).unwrap());
        let federated = Session { federated_provider: Some("provider".to_owned()), ..session() };
        check(
            role,
            Some("AROAABCDEFGHIJKLMNOPQ:one"),
            Some(federated),
            r#"{"type":"AssumedRole","principalId":"AROAABCDEFGHIJKLMNOPQ:one","arn":"arn:aws:sts::111122223333:assumed-role/worker/one","accountId":"111122223333","accessKeyId":"ASIAX","sessionContext":{"attributes":{"creationDate":"1970-01-01T00:00:00Z","mfaAuthenticated":"false"},"sessionIssuer":{"type":"Role","principalId":"AROAABCDEFGHIJKLMNOPQ","arn":"arn:aws:iam::111122223333:role/a/worker","accountId":"111122223333","userName":"worker"},"webIdFederationData":{"federatedProvider":"provider","attributes":{}},"sourceIdentity":"alice"}}"#,
        );
        let plain = || Some(Session { source_identity: None, ..session() });
        let guest = Principal::federated_user(home(), "arn:aws:iam::111122223333:user/alice", "guest");
        check(
            guest.with_unique_id(UniqueId::parse(USER).unwrap()),
            Some("111122223333:guest"),
            plain(),
            r#"{"type":"FederatedUser","principalId":"111122223333:guest","arn":"arn:aws:sts::111122223333:federated-user/guest","accountId":"111122223333","accessKeyId":"ASIAX","sessionContext":{"attributes":{"creationDate":"1970-01-01T00:00:00Z","mfaAuthenticated":"false"},"sessionIssuer":{"type":"IAMUser","principalId":"AIDAABCDEFGHIJKLMNOPQ","arn":"arn:aws:iam::111122223333:user/alice","accountId":"111122223333","userName":"alice"}}}"#,
        );
        let guest = Principal::federated_user(home(), &home().root_arn(), "guest");
        check(
            guest,
            Some("111122223333:guest"),
            plain(),
            r#"{"type":"FederatedUser","principalId":"111122223333:guest","arn":"arn:aws:sts::111122223333:federated-user/guest","accountId":"111122223333","accessKeyId":"ASIAX","sessionContext":{"attributes":{"creationDate":"1970-01-01T00:00:00Z","mfaAuthenticated":"false"},"sessionIssuer":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"}}}"#,
        );
    }

    #[test]
    fn what_arns_name() {
        for (arn, expected) in [
            ("arn:aws:kms:eu-central-1:111122223333:key/x", Some("AWS::KMS::Key")),
            ("arn:aws:kms:eu-central-1:111122223333:alias/x", Some("AWS::KMS::Key")),
            ("arn:aws:iam::111122223333:role/a/b", Some("AWS::IAM::Role")),
            ("arn:aws:iam::111122223333:user/a", Some("AWS::IAM::User")),
            ("arn:aws:iam::111122223333:root", None),
            ("arn:aws:sts::111122223333:federated-user/a", None),
            ("x", None),
        ] {
            assert_eq!(kind(arn), expected, "{arn}");
        }
    }

    #[test]
    fn decisions_name_what_they_are_about_and_the_grant() {
        use claviger_policy::{Effect, Reason, Source, StatementReference};
        let place = StatementReference { source: Source::IdentityPolicy, policy: 1, statement: 2 };
        let denied = Decision {
            effect: Effect::Deny,
            reason: Reason::ExplicitDeny(Source::IdentityPolicy),
            statements: [Some(place), None],
        };
        let decided = |decision, grant: Option<&str>| {
            let (action, grant) = ("kms:Encrypt", grant.map(str::to_owned));
            super::decision(&Decided { decision, action, resource: "arn:key".to_owned(), grant }).to_json()
        };
        assert_eq!(
            decided(denied, None),
            r#"{"effect":"Deny","action":"kms:Encrypt","resource":"arn:key","reason":"ExplicitDeny(IdentityPolicy)","statements":[{"source":"IdentityPolicy","policy":1,"statement":2}]}"#
        );
        let granted = Decision { effect: Effect::Allow, reason: Reason::Grant(0), statements: [None, None] };
        assert_eq!(
            decided(granted, Some("g")),
            r#"{"effect":"Allow","action":"kms:Encrypt","resource":"arn:key","reason":"Grant(0)","statements":[],"grant":"g"}"#
        );
    }

    #[test]
    fn bearers_of_tokens() {
        check(Principal::web_identity(home(), ""), None, None, r#"{"type":"Unknown"}"#);
        check(
            Principal::web_identity(home(), "provider"),
            Some("provider:app:someone"),
            None,
            r#"{"type":"WebIdentityUser","principalId":"provider:app:someone","userName":"","identityProvider":"provider"}"#,
        );
    }
}
