//! Services that call KMS for a user: what becomes true then, what grants demand it, and that nobody else can say so.

use std::sync::Arc;

use claviger_api::kms::{
    CreateGrantRequest, CreateKeyRequest, DescribeKeyRequest, GrantConstraints, GrantOperation, ListGrantsRequest,
    ReEncryptRequest, Request, Response, RetireGrantRequest, RevokeGrantRequest, Tag,
};
use claviger_api::{Refusal, ServiceError, Valid};
use claviger_engine::{
    Answer, ApiError, Audited, Authorized, BoxFuture, Call, CallMeta, Caller, CommonError, CommonNames, Engine, Fault,
    Named, Operation, OperationRow, Outcome, Question, Quotas, Recorded, RegisterError, ResourceRule, Seed,
    ServiceIdentity, Services, Value, Writes,
};
use claviger_kms::{Kms, REQUEST_QUOTAS};
use claviger_secret::LogText;

use crate::grants::{THIRD, equals, grant, pairs, root};
use crate::people::{People, user_arn};
use crate::{Base, OTHER, OWNER, REGION, Told, World, arn, encrypt, request};

const DENIED: &str = "AccessDeniedException";
const VOLUME: &str = "arn:aws:disk:eu-central-1:111122223333:volume/1";

/// What the binary wires: KMS, as the requests of every service.
struct OnlyKms(Kms);

impl Services for OnlyKms {
    fn call<'a>(
        &'a self,
        engine: &'a Engine,
        caller: &'a Caller,
        meta: &'a CallMeta,
        request: &'a claviger_api::Request,
    ) -> BoxFuture<'a, Result<Recorded<Answer<claviger_api::Response>>, Refusal>> {
        Box::pin(async move {
            let claviger_api::Request::Kms(request) = request else { return Err(Refusal::InternalFailure) };
            let answer = claviger_kms::dispatch(engine, &self.0, caller, meta, request).await?;
            Ok(answer.map(|answer| answer.map(claviger_api::Response::Kms)))
        })
    }
}

/// A service whose one operation makes a call of KMS for its caller, through no more than the shapes of KMS.
struct Disk(Vec<ServiceIdentity>);

struct Attach {
    request: claviger_api::Request,
    source_arn: Option<&'static str>,
}

struct DiskError(CommonError);

impl From<CommonError> for DiskError {
    fn from(error: CommonError) -> Self {
        Self(error)
    }
}

impl ApiError for DiskError {
    fn service_error(&self) -> ServiceError {
        self.0.service_error(&CommonNames {
            access_denied: DENIED,
            denied_status: 400,
            validation: "ValidationException",
            internal: "DiskFailure",
            throttling: "ThrottlingException",
            throttling_text: "",
        })
    }

    fn fault(&self) -> Option<&Fault> {
        self.0.fault()
    }
}

struct AttachVolume;

impl Operation for AttachVolume {
    type Service = Disk;
    type Request = Attach;
    type Response = Answer<claviger_api::Response>;
    type Error = DiskError;
    type Resources = ();
    const ROW: OperationRow =
        OperationRow { name: "AttachVolume", event_source: "disk.amazonaws.com", read_only: false };

    async fn resolve(_: &mut Call<'_>, _: &Disk, _: &Attach) -> Result<(), DiskError> {
        Ok(())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Attach) -> Vec<Question> {
        vec![Question {
            action: "disk:AttachVolume",
            resource: "*".to_owned(),
            resource_account: call.caller().principal().account(),
            resource_policy: ResourceRule::NoPolicy,
            cross_account: false,
            named: Named::ByArn,
        }]
    }

    async fn perform(
        call: &mut Call<'_>,
        disk: &Disk,
        _: &Authorized<Self>,
        attach: &Attach,
    ) -> Result<Outcome<Self::Response>, DiskError> {
        let answer = call.call_as(&disk.0[0], attach.source_arn, &attach.request).await?;
        Ok(Outcome::read_only(answer))
    }

    fn audited(attach: &Attach, _: Option<&()>, _: Option<&Self::Response>, audited: &mut Audited) {
        let source = Value::public_text(attach.source_arn.unwrap_or_default());
        audited.additional = Value::object([("volume", source)]);
    }
}

/// The disk service of an engine.
fn disk(world: &World) -> Disk {
    service(world, "disk.amazonaws.com")
}

fn service(world: &World, name: &str) -> Disk {
    Disk(vec![world.engine.register(name, Arc::new(OnlyKms(Kms::default()))).unwrap()])
}

impl World {
    /// A call that the service makes for somebody.
    async fn through(&self, disk: &Disk, caller: &str, source: Option<&'static str>, request: Request) -> Told {
        let caller = self.caller(caller, REGION).await;
        let attach = Attach { request: claviger_api::Request::Kms(request), source_arn: source };
        let answer = self.engine.call::<AttachVolume>(disk, &caller, &CallMeta::system(), &attach).await;
        match answer.unwrap().into_inner()?? {
            claviger_api::Response::Kms(response) => Ok(response),
            _ => panic!("another service"),
        }
    }

    /// A key that policies and grants alone open.
    async fn key_under(&self, statements: &str) -> String {
        let administration = format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":["kms:PutKeyPolicy","kms:CreateGrant"],"Resource":"*"}}"#,
            root(OWNER)
        );
        let request = CreateKeyRequest {
            policy: Some(format!(r#"{{"Version":"2012-10-17","Statement":[{administration}{statements}]}}"#)),
            bypass_policy_lockout_safety_check: Some(true),
            ..CreateKeyRequest::default()
        };
        self.create_from(request).await.unwrap().key_id
    }
}

fn refusal(told: Told) -> Option<&'static str> {
    told.err().map(|error| error.code)
}

fn statement(effect: &str, actions: &str, condition: &str) -> String {
    format!(
        r#",{{"Effect":"{effect}","Principal":{{"AWS":"*"}},"Action":{actions},"Resource":"*","Condition":{condition}}}"#
    )
}

fn use_of(key: &str) -> Request {
    request!(Encrypt, encrypt(&arn(key), b"plain"))
}

/// The policy of keys that a service owns (reference/authorization.md section 8).
fn of_service(via: &str) -> String {
    let condition = format!(r#"{{"StringEquals":{{"kms:CallerAccount":"{OWNER}","kms:ViaService":"{via}"}}}}"#);
    statement("Allow", r#"["kms:Encrypt","kms:Decrypt","kms:CreateGrant","kms:DescribeKey"]"#, &condition)
}

#[tokio::test]
async fn a_key_of_a_service_is_used_through_it_only() {
    let (_, world) = World::new().await;
    let (disk, vault) = (disk(&world), service(&world, "vault.amazonaws.com"));
    let key = world.key_under(&of_service("disk.eu-central-1.amazonaws.com")).await;
    assert_eq!(refusal(world.through(&disk, OWNER, None, use_of(&key)).await), None);
    assert_eq!(refusal(world.call(use_of(&key)).await), Some(DENIED));
    assert_eq!(refusal(world.through(&vault, OWNER, None, use_of(&key)).await), Some(DENIED));
    assert_eq!(refusal(world.through(&disk, OTHER, None, use_of(&key)).await), Some(DENIED));
    let elsewhere = world.key_under(&of_service("disk.us-east-1.amazonaws.com")).await;
    assert_eq!(refusal(world.through(&disk, OWNER, None, use_of(&elsewhere)).await), Some(DENIED));
}

/// With another account let in, its user needs both sides, as ever.
#[tokio::test]
async fn another_accounts_key_needs_both_sides_through_a_service_too() {
    let people = Arc::new(People::default());
    for name in ["guest", "stranger"] {
        people.user(OTHER, name);
        people.identity(name, r#"{"Statement":{"Effect":"Allow","Action":"disk:*","Resource":"*"}}"#);
    }
    let both = r#"{"Statement":{"Effect":"Allow","Action":["disk:*","kms:Encrypt"],"Resource":"*"}}"#;
    people.identity("guest", both);
    let world = Base::over(Arc::new(claviger_store::Memory::new()), 1).open_with(&people).await;
    let disk = disk(&world);
    let condition = r#"{"StringLike":{"kms:ViaService":"disk.*.amazonaws.com"}}"#;
    let key = world.key_under(&statement("Allow", r#""kms:Encrypt""#, condition)).await;
    assert_eq!(refusal(world.through(&disk, "guest", None, use_of(&key)).await), None);
    assert_eq!(refusal(world.call_as("guest", use_of(&key)).await), Some(DENIED));
    assert_eq!(refusal(world.through(&disk, "stranger", None, use_of(&key)).await), Some(DENIED));
    // The limits of the user go with it.
    people.boundary("guest", r#"{"Statement":{"Effect":"Allow","Action":"disk:*","Resource":"*"}}"#);
    assert_eq!(refusal(world.through(&disk, "guest", None, use_of(&key)).await), Some(DENIED));
}

/// What conditions see: each line holds through a service or for a direct call, and never for both.
#[tokio::test]
async fn conditions_tell_the_two_apart() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    for (condition, direct, through) in [
        (r#"{"StringEquals":{"kms:ViaService":"disk.eu-central-1.amazonaws.com"}}"#, false, true),
        (r#"{"StringEquals":{"kms:ViaService":"disk.amazonaws.com"}}"#, false, false),
        (r#"{"Null":{"kms:ViaService":"true"}}"#, true, false),
        (r#"{"Bool":{"aws:ViaAWSService":"true"}}"#, false, true),
        (r#"{"Bool":{"aws:ViaAWSService":"false"}}"#, true, false),
        (r#"{"ForAnyValue:StringEquals":{"aws:CalledVia":["x.amazonaws.com","disk.amazonaws.com"]}}"#, false, true),
        (r#"{"StringEquals":{"aws:CalledViaFirst":"disk.amazonaws.com"}}"#, false, true),
        (r#"{"StringEquals":{"aws:CalledViaLast":"disk.amazonaws.com"}}"#, false, true),
        (r#"{"Null":{"aws:CalledVia":"true"}}"#, true, false),
        (r#"{"Null":{"aws:CalledViaFirst":"true"}}"#, true, false),
        (r#"{"Null":{"aws:CalledViaLast":"true"}}"#, true, false),
        // The address is the user's own: through a service it opens nothing.
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}"#, true, false),
        (r#"{"StringEquals":{"aws:UserAgent":"disk.amazonaws.com"}}"#, false, true),
        // These speak of services that call of their own accord.
        (r#"{"Bool":{"aws:PrincipalIsAWSService":"true"}}"#, false, false),
        (r#"{"Null":{"aws:SourceArn":"false"}}"#, false, false),
        (r#"{"Null":{"aws:PrincipalServiceName":"false"}}"#, false, false),
        (r#"{"StringEquals":{"kms:CallerAccount":"111122223333","aws:PrincipalAccount":"111122223333"}}"#, true, true),
    ] {
        let key = world.key_under(&statement("Allow", r#""kms:Encrypt""#, condition)).await;
        let is_allowed = |told: Told| refusal(told).is_none();
        assert_eq!(is_allowed(world.call(use_of(&key)).await), direct, "{condition}");
        assert_eq!(is_allowed(world.through(&disk, OWNER, Some(VOLUME), use_of(&key)).await), through, "{condition}");
        let allow = statement("Allow", r#""kms:Encrypt""#, "{}");
        let key = world.key_under(&(allow + &statement("Deny", r#""kms:Encrypt""#, condition))).await;
        assert_eq!(is_allowed(world.call(use_of(&key)).await), !direct, "Deny {condition}");
        assert_eq!(is_allowed(world.through(&disk, OWNER, Some(VOLUME), use_of(&key)).await), !through, "{condition}");
    }
}

fn grants_of(key: &str) -> Request {
    request!(ListGrants, ListGrantsRequest { key_id: arn(key), ..ListGrantsRequest::default() })
}

/// As EBS does it: the user may let the volume use the key as long as it is attached, and nobody else.
#[tokio::test]
async fn grants_for_resources_of_services_only() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let actions = r#"["kms:CreateGrant","kms:ListGrants","kms:RevokeGrant"]"#;
    for (value, direct, through) in [("true", Some(DENIED), None), ("false", None, Some(DENIED))] {
        let condition = format!(r#"{{"Bool":{{"kms:GrantIsForAWSResource":"{value}"}}}}"#);
        let administration = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"kms:PutKeyPolicy","Resource":"*"}}{}]}}"#,
            root(OWNER),
            statement("Allow", actions, &condition)
        );
        let request = CreateKeyRequest {
            policy: Some(administration),
            bypass_policy_lockout_safety_check: Some(true),
            ..CreateKeyRequest::default()
        };
        let key = world.create_from(request).await.unwrap().key_id;
        let make = || request!(CreateGrant, grant(&key, &root(THIRD), &[GrantOperation::Decrypt]));
        assert_eq!(refusal(world.call(make()).await), direct, "{value}");
        assert_eq!(refusal(world.call(grants_of(&key)).await), direct, "{value}");
        let made = world.through(&disk, OWNER, None, make()).await;
        assert_eq!(made.as_ref().err().map(|error| error.code), through, "{value}");
        assert_eq!(refusal(world.through(&disk, OWNER, None, grants_of(&key)).await), through, "{value}");
        let grant_id = match made {
            Ok(Response::CreateGrant(made)) => made.grant_id.unwrap(),
            _ => "0".repeat(64),
        };
        let revoke = || {
            request!(RevokeGrant, RevokeGrantRequest { key_id: arn(&key), grant_id: grant_id.clone(), dry_run: None })
        };
        assert_eq!(refusal(world.call(revoke()).await), direct.or(Some("NotFoundException")), "{value}");
        assert_eq!(refusal(world.through(&disk, OWNER, None, revoke()).await), through, "{value}");
    }
}

fn for_source(source: &str, request: CreateGrantRequest) -> CreateGrantRequest {
    let source_arn = Some(source.to_owned());
    let constraints = GrantConstraints { source_arn, ..request.constraints.unwrap_or_default() };
    CreateGrantRequest { constraints: Some(constraints), ..request }
}

const OTHER_VOLUME: &str = "arn:aws:disk:eu-central-1:111122223333:volume/2";

#[tokio::test]
async fn a_grant_with_a_source_serves_that_source_only() {
    let people = Arc::new(People::default());
    people.user(OWNER, "alice");
    people.identity("alice", r#"{"Statement":{"Effect":"Allow","Action":"disk:*","Resource":"*"}}"#);
    let world = Base::over(Arc::new(claviger_store::Memory::new()), 1).open_with(&people).await;
    let disk = disk(&world);
    let key = world.key_under("").await;
    let operations = [GrantOperation::Encrypt, GrantOperation::DescribeKey, GrantOperation::RetireGrant];
    let id = world.grant(for_source(VOLUME, grant(&key, &user_arn(OWNER, "alice"), &operations))).await;
    let describe = || request!(DescribeKey, DescribeKeyRequest { key_id: arn(&key), ..DescribeKeyRequest::default() });
    for request in [use_of as fn(&str) -> Request, |key: &str| {
        request!(DescribeKey, DescribeKeyRequest { key_id: arn(key), ..DescribeKeyRequest::default() })
    }] {
        assert_eq!(refusal(world.call_as("alice", request(&key)).await), Some(DENIED));
        assert_eq!(refusal(world.through(&disk, "alice", None, request(&key)).await), Some(DENIED));
        assert_eq!(refusal(world.through(&disk, "alice", Some(OTHER_VOLUME), request(&key)).await), Some(DENIED));
        assert_eq!(refusal(world.through(&disk, "alice", Some(VOLUME), request(&key)).await), None);
    }
    assert_eq!(refusal(world.through(&disk, OWNER, Some(VOLUME), describe()).await), Some(DENIED), "not the grantee");
    // To give the grant up needs no service.
    let retire = RetireGrantRequest { key_id: Some(arn(&key)), grant_id: Some(id), ..RetireGrantRequest::default() };
    assert_eq!(refusal(world.call_as("alice", request!(RetireGrant, retire)).await), None);
    assert_eq!(refusal(world.through(&disk, "alice", Some(VOLUME), use_of(&key)).await), Some(DENIED));
}

/// A source and an encryption context are both demanded; a grant without a source serves services too.
#[tokio::test]
async fn sources_and_contexts_together() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let (key, plain) = (world.key_under("").await, world.key_under("").await);
    let context = pairs(&[("volume", "1")]);
    let constrained =
        CreateGrantRequest { constraints: equals(&context), ..grant(&key, &root(OTHER), &[GrantOperation::Encrypt]) };
    world.grant(for_source(VOLUME, constrained)).await;
    world.grant(grant(&plain, &root(OTHER), &[GrantOperation::Encrypt])).await;
    let with = |context: Option<_>| {
        let request =
            claviger_api::kms::EncryptRequest { encryption_context: context, ..encrypt(&arn(&key), b"plain") };
        request!(Encrypt, request)
    };
    assert_eq!(refusal(world.through(&disk, OTHER, Some(VOLUME), with(Some(context.clone()))).await), None);
    assert_eq!(refusal(world.through(&disk, OTHER, Some(VOLUME), with(None)).await), Some(DENIED));
    assert_eq!(refusal(world.call_as(OTHER, with(Some(context.clone()))).await), Some(DENIED));
    assert_eq!(refusal(world.through(&disk, OTHER, Some(OTHER_VOLUME), with(Some(context))).await), Some(DENIED));
    for source in [None, Some(VOLUME)] {
        assert_eq!(refusal(world.through(&disk, OTHER, source, use_of(&plain)).await), None);
    }
}

/// Whoever holds a grant for one resource hands on no more than that.
#[tokio::test]
async fn a_grant_with_a_source_begets_only_such() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let key = world.key_under("").await;
    let operations = [GrantOperation::Encrypt, GrantOperation::CreateGrant];
    world.grant(for_source(VOLUME, grant(&key, &root(OTHER), &operations))).await;
    let child = || grant(&key, &root(THIRD), &[GrantOperation::Encrypt]);
    let make = |request: CreateGrantRequest| request!(CreateGrant, request);
    for (source, request, told) in [
        (Some(VOLUME), for_source(VOLUME, child()), None),
        (Some(VOLUME), child(), Some(DENIED)),
        (Some(VOLUME), for_source(OTHER_VOLUME, child()), Some(DENIED)),
        (Some(OTHER_VOLUME), for_source(OTHER_VOLUME, child()), Some(DENIED)),
        (None, for_source(VOLUME, child()), Some(DENIED)),
    ] {
        assert_eq!(refusal(world.through(&disk, OTHER, source, make(request)).await), told, "{source:?}");
    }
    assert_eq!(refusal(world.call_as(OTHER, make(for_source(VOLUME, child()))).await), Some(DENIED));
    assert_eq!(refusal(world.through(&disk, THIRD, Some(VOLUME), use_of(&key)).await), None);
    assert_eq!(refusal(world.through(&disk, THIRD, None, use_of(&key)).await), Some(DENIED));
}

/// Grants on both keys that carry a source must carry the same.
#[tokio::test]
async fn reencryption_is_for_one_source() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    for (from_source, to_source, told) in [
        (Some(VOLUME), Some(VOLUME), None),
        (Some(VOLUME), None, None),
        (None, Some(VOLUME), None),
        (Some(VOLUME), Some(OTHER_VOLUME), Some(DENIED)),
        (Some(OTHER_VOLUME), Some(VOLUME), Some(DENIED)),
        (Some(OTHER_VOLUME), Some(OTHER_VOLUME), Some(DENIED)),
    ] {
        let allow = statement("Allow", r#""kms:Encrypt""#, "{}");
        let (from, to) = (world.key_under(&allow).await, world.key_under("").await);
        for (key, operation, source) in
            [(&from, GrantOperation::ReEncryptFrom, from_source), (&to, GrantOperation::ReEncryptTo, to_source)]
        {
            let request = grant(key, &root(OTHER), &[operation]);
            world.grant(source.map_or(request.clone(), |source| for_source(source, request))).await;
        }
        let blob = world.encrypt(&from, b"plain").await.unwrap();
        let request = ReEncryptRequest {
            ciphertext_blob: Some(blob),
            source_key_id: Some(arn(&from)),
            destination_key_id: arn(&to),
            ..ReEncryptRequest::default()
        };
        let request = || request!(ReEncrypt, request.clone());
        let found = refusal(world.through(&disk, OTHER, Some(VOLUME), request()).await);
        assert_eq!(found, told, "{from_source:?} {to_source:?}");
        assert_eq!(refusal(world.call_as(OTHER, request()).await), Some(DENIED));
    }
}

fn member<'l>(line: &'l str, name: &str) -> &'l str {
    let rest = line.split_once(&format!("\"{name}\":\"")).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[tokio::test]
async fn both_calls_are_recorded_and_the_outer_names_the_inner() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let key = world.key_under(&of_service("disk.eu-central-1.amazonaws.com")).await;
    let shut = world.key_under("").await;
    for (key, failure) in [(&key, false), (&shut, true)] {
        let before = world.engine.audit().lines().len();
        let told = world.through(&disk, OWNER, Some(VOLUME), use_of(key)).await;
        assert_eq!(told.is_err(), failure);
        let lines = world.engine.audit().lines().split_off(before);
        let [inner, outer] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((member(inner, "eventName"), member(outer, "eventName")), ("Encrypt", "AttachVolume"));
        assert_eq!(member(inner, "invokedBy"), "disk.amazonaws.com");
        assert_eq!(member(inner, "sourceIPAddress"), "disk.amazonaws.com");
        assert_eq!(member(inner, "userAgent"), "disk.amazonaws.com");
        assert_eq!(member(outer, "sourceIPAddress"), "127.0.0.1");
        assert!(!outer.contains("invokedBy"), "{outer}");
        assert_eq!(inner.contains("\"errorCode\":\"AccessDenied"), failure, "{inner}");
        assert_eq!(inner.matches("clavigerDecision").count(), 1);
        assert!(member(inner, "requestID").len() == 36 && member(inner, "eventID") != member(outer, "eventID"));
        for name in ["arn", "recipientAccountId"] {
            assert_eq!(member(inner, name), member(outer, name), "{name}");
        }
        let named = format!(
            r#""additionalEventData":{{"volume":"{VOLUME}","innerRequestIDs":["{}"]}}"#,
            member(inner, "requestID")
        );
        assert!(outer.contains(&named), "{named} in {outer}");
    }
}

/// Whatever a request brings, it stays the user's own.
#[tokio::test]
async fn nothing_in_a_request_stands_for_a_service() {
    let (_, world) = World::new().await;
    let _held = disk(&world);
    let via = "disk.eu-central-1.amazonaws.com";
    let tag = |name: &str| Tag { tag_key: name.to_owned(), tag_value: via.to_owned() };
    let tagged = CreateKeyRequest {
        policy: Some(format!(r#"{{"Statement":[{}]}}"#, of_service(via).trim_start_matches(','))),
        bypass_policy_lockout_safety_check: Some(true),
        tags: Some(vec![tag("kms:ViaService"), tag("ViaService"), tag("kms:GrantIsForAWSResource")]),
        ..CreateKeyRequest::default()
    };
    let key = world.create_from(tagged).await.unwrap().key_id;
    let context = pairs(&[
        ("kms:ViaService", via),
        ("aws:ViaAWSService", "true"),
        ("aws:SourceArn", VOLUME),
        ("kms:GrantIsForAWSResource", "true"),
    ]);
    let request =
        claviger_api::kms::EncryptRequest { encryption_context: Some(context), ..encrypt(&arn(&key), b"plain") };
    let caller = world.caller(OWNER, REGION).await;
    let meta = CallMeta {
        user_agent: LogText::new("disk.amazonaws.com"),
        referer: LogText::new("disk.amazonaws.com"),
        request_id: "disk.amazonaws.com".to_owned(),
        ..CallMeta::system()
    };
    let request = Request::Encrypt(Valid::new(request).unwrap());
    let told = claviger_kms::dispatch(&world.engine, &world.kms, &caller, &meta, &request).await.unwrap().into_inner();
    assert_eq!(refusal(told), Some(DENIED));
    // Nor does the name of an access key.
    assert_eq!(refusal(world.call_as("disk.amazonaws.com", use_of(&key)).await), Some(DENIED));
}

#[tokio::test]
async fn a_service_is_registered_once_by_its_name() {
    let (_, world) = World::new().await;
    let register = |name: &str| {
        let services = Arc::new(OnlyKms(Kms::default()));
        world.engine.register(name, services).map(drop)
    };
    assert_eq!(register("disk.amazonaws.com"), Ok(()));
    assert_eq!(register("disk.amazonaws.com"), Err(RegisterError::Taken("disk.amazonaws.com".to_owned())));
    assert_eq!(register("vault.amazonaws.com"), Ok(()));
    for name in
        ["", "disk", ".amazonaws.com", "disk.eu-central-1.amazonaws.com", "Disk.amazonaws.com", "*.amazonaws.com"]
    {
        assert_eq!(register(name), Err(RegisterError::Name(name.to_owned())));
    }
}

/// Work that nobody signed has nobody to call for.
#[tokio::test]
async fn background_work_calls_for_nobody() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let key = world.key_under(&statement("Allow", r#""kms:Encrypt""#, "{}")).await;
    let request = claviger_api::Request::Kms(use_of(&key));
    let before = world.engine.audit().lines().len();
    let mut told = None;
    Seed::new(&world.engine, REGION, OWNER)
        .run::<Fault>(async |call| {
            told = Some(call.call_as(&disk.0[0], None, &request).await.map(drop));
            Ok(Writes::default())
        })
        .await
        .unwrap();
    assert!(matches!(told, Some(Err(CommonError::AccessDenied(_)))));
    assert_eq!(world.engine.audit().lines().len(), before);
    assert_eq!(refusal(world.through(&disk, OWNER, None, use_of(&key)).await), None);
}

#[tokio::test]
async fn calls_of_services_are_charged_to_the_user() {
    let (_, world) = World::new().await;
    let disk = disk(&world);
    let key = world.key_under(&statement("Allow", r#""kms:Encrypt""#, "{}")).await;
    let mut quotas = Quotas::new(&[REQUEST_QUOTAS]);
    let group = (REQUEST_QUOTAS.groups)().into_iter().find(|group| group.name.contains("ymmetric")).unwrap();
    quotas.set_account_rate(OWNER, group.name, 2).unwrap();
    world.engine.set_quotas(quotas);
    assert_eq!(refusal(world.through(&disk, OWNER, None, use_of(&key)).await), None);
    assert_eq!(refusal(world.call(use_of(&key)).await), None);
    assert_eq!(refusal(world.through(&disk, OWNER, None, use_of(&key)).await), Some("ThrottlingException"));
    assert_eq!(refusal(world.call(use_of(&key)).await), Some("ThrottlingException"));
}
