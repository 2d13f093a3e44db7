//! What authorization asks of identities, and what holds when calls meet.

#![expect(clippy::unwrap_used, clippy::panic, clippy::needless_update, reason = "tests")]

use std::sync::Arc;

use claviger_api::iam::{
    AddUserToGroupRequest, AttachUserPolicyRequest, CreateAccessKeyRequest, CreateGroupRequest, CreatePolicyRequest,
    CreateRoleRequest, CreateUserRequest, CreateVirtualMFADeviceRequest, DeletePolicyRequest, DeleteUserPolicyRequest,
    DeleteUserRequest, DeleteVirtualMFADeviceRequest, EnableMFADeviceRequest, PutGroupPolicyRequest,
    PutRolePolicyRequest, PutUserPermissionsBoundaryRequest, PutUserPolicyRequest, Request, Response,
};
use claviger_api::{ServiceError, SignatureClaim, Timestamp, Valid};
use claviger_audit::Log;
use claviger_crypto::{DomainKeys, Random, SystemRandom};
use claviger_engine::{Authentication, CallMeta, Caller, Chance, Clock, Engine, Fault, Parts, Seed, Writes};
use claviger_iam::{Iam, PoliciesOf, policies_of, policies_of_id, spend_code};
use claviger_policy::{AccountId, NoContext, Principal, Question, Sources, decide};
use claviger_store::{Action, Faulty, Gate, Memory, Point, Store};

const NOW: i64 = 1_790_000_000_000;
const OWNER: &str = "111122223333";
const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}"#;
const DENY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}"#;
const TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;

struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
}

struct Library;

impl Chance for Library {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        SystemRandom.fill(buffer).map_err(|_| Fault::Randomness)
    }
}

/// An engine that takes any credentials, with the root of an account as caller.
async fn world(store: Arc<dyn Store>) -> (Arc<Engine>, Caller) {
    let account = AccountId::parse(OWNER).unwrap();
    let parts = Parts {
        store,
        keys: Arc::new(DomainKeys::generate().unwrap()),
        audit: Log::in_memory(1_000),
        clock: Arc::new(Still),
        chance: Arc::new(Library),
        authentication: Authentication::DangerAnyCredential { default_account: account },
        principals_must_exist: true,
        node: "node-1".to_owned(),
        clock_rule: claviger_engine::ClockRule::default(),
        regions: claviger_engine::Regions::EVERY,
    };
    let engine = Engine::open(parts).await.unwrap();
    let claim = SignatureClaim {
        access_key_id: OWNER.to_owned(),
        date: "20260921".to_owned(),
        region: "us-east-1".to_owned(),
        service: "iam".to_owned(),
        session_token: None,
        signed_at: Timestamp::from_millis(NOW),
        expires_seconds: None,
        signature: [0; 32],
        string_to_sign: Vec::new(),
    };
    let caller = engine.authenticate(&claim, &CallMeta::system()).await.unwrap();
    (Arc::new(engine), caller)
}

async fn call(engine: &Engine, caller: &Caller, request: Request) -> Result<Response, ServiceError> {
    let iam = Iam::default();
    let answer = claviger_iam::dispatch_iam(engine, &iam, caller, &CallMeta::system(), &request).await;
    answer.unwrap().into_inner()
}

macro_rules! ask {
    ($world:expr, $name:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        call(
            &$world.0,
            &$world.1,
            Request::$name(Valid::new($request { $($field: $value.into(),)* ..Default::default() }).unwrap()),
        )
        .await
    };
}

async fn create_user(world: &(Arc<Engine>, Caller), name: &str) -> String {
    let Ok(Response::CreateUser(made)) = ask!(world, CreateUser, CreateUserRequest { user_name: name }) else {
        panic!("no user")
    };
    made.user.unwrap().user_id
}

async fn create_policy(world: &(Arc<Engine>, Caller), name: &str, text: &str) -> String {
    let made = ask!(world, CreatePolicy, CreatePolicyRequest { policy_name: name, policy_document: text });
    let Ok(Response::CreatePolicy(made)) = made else { panic!("no policy") };
    made.policy.unwrap().arn.unwrap()
}

async fn policies(engine: &Engine, principal: &Principal) -> Option<PoliciesOf> {
    let mut found = None;
    let mut seed = Seed::new(engine, "us-east-1", OWNER);
    seed.run::<Fault>(async |call| {
        found = policies_of(call, principal).await?;
        Ok(Writes::default())
    })
    .await
    .unwrap();
    found
}

async fn policies_by_id(engine: &Engine, id: &str) -> Option<PoliciesOf> {
    let mut found = None;
    let mut seed = Seed::new(engine, "us-east-1", OWNER);
    seed.run::<Fault>(async |call| {
        found = policies_of_id(call, id).await?;
        Ok(Writes::default())
    })
    .await
    .unwrap();
    found
}

fn user(path: &str, name: &str) -> Principal {
    Principal::user(AccountId::parse(OWNER).unwrap(), path, name)
}

fn names(found: &PoliciesOf) -> Vec<&str> {
    found.policies.iter().map(|policy| policy.name.as_str()).collect()
}

/// Whether these policies let the principal encrypt.
fn may_encrypt(principal: &Principal, found: &PoliciesOf) -> bool {
    let documents: Vec<_> = found.policies.iter().map(|policy| &*policy.document).collect();
    let boundary = found.boundary.as_ref().map(|policy| &*policy.document);
    let question = Question {
        principal,
        action: "kms:Encrypt",
        resource_arn: "arn:aws:kms:us-east-1:111122223333:key/k",
        resource_account: AccountId::parse(OWNER).unwrap(),
        cross_account_capable: false,
        context: &NoContext,
    };
    decide(&question, &Sources { identity_policies: &documents, boundary, ..Sources::default() }).is_allowed()
}

#[tokio::test]
async fn a_user_has_its_own_policies_and_its_groups() {
    let world = world(Arc::new(Memory::new())).await;
    let id = create_user(&world, "alice").await;
    let alice = user("/", "alice");
    let none = policies(&world.0, &alice).await.unwrap();
    assert_eq!((none.unique_id.as_str(), names(&none)), (id.as_str(), vec![]));
    assert!(!may_encrypt(&alice, &none));
    let managed = create_policy(&world, "managed", ALLOW).await;
    ask!(world, CreateGroup, CreateGroupRequest { group_name: "staff" }).map(drop).unwrap();
    ask!(world, AddUserToGroup, AddUserToGroupRequest { group_name: "staff", user_name: "alice" }).map(drop).unwrap();
    let put = PutGroupPolicyRequest {
        group_name: "staff".to_owned(),
        policy_name: "of-the-group".to_owned(),
        policy_document: ALLOW.to_owned(),
    };
    call(&world.0, &world.1, Request::PutGroupPolicy(Valid::new(put).unwrap())).await.map(drop).unwrap();
    let by_group = policies(&world.0, &alice).await.unwrap();
    assert_eq!(names(&by_group), ["of-the-group"]);
    assert!(may_encrypt(&alice, &by_group));
    ask!(world, AttachUserPolicy, AttachUserPolicyRequest { user_name: "alice", policy_arn: managed.as_str() })
        .map(drop)
        .unwrap();
    ask!(world, PutUserPolicy, PutUserPolicyRequest { user_name: "alice", policy_name: "no", policy_document: DENY })
        .map(drop)
        .unwrap();
    let all = policies(&world.0, &alice).await.unwrap();
    assert_eq!(names(&all), ["no", managed.as_str(), "of-the-group"]);
    assert!(!may_encrypt(&alice, &all), "a deny beats what allows");
    ask!(world, DeleteUserPolicy, DeleteUserPolicyRequest { user_name: "alice", policy_name: "no" }).map(drop).unwrap();
    assert!(may_encrypt(&alice, &policies(&world.0, &alice).await.unwrap()));
    let bound = create_policy(&world, "bound", &ALLOW.replace("kms:Encrypt", "kms:Decrypt")).await;
    ask!(
        world,
        PutUserPermissionsBoundary,
        PutUserPermissionsBoundaryRequest { user_name: "alice", permissions_boundary: bound.as_str() }
    )
    .map(drop)
    .unwrap();
    let bounded = policies(&world.0, &alice).await.unwrap();
    assert_eq!(bounded.boundary.as_ref().map(|policy| policy.name.as_str()), Some(bound.as_str()));
    assert!(!may_encrypt(&alice, &bounded), "beyond the boundary");
}

#[tokio::test]
async fn a_namesake_inherits_nothing() {
    let world = world(Arc::new(Memory::new())).await;
    let old = create_user(&world, "alice").await;
    ask!(world, PutUserPolicy, PutUserPolicyRequest { user_name: "alice", policy_name: "p", policy_document: ALLOW })
        .map(drop)
        .unwrap();
    assert_eq!(names(&policies_by_id(&world.0, &old).await.unwrap()), ["p"]);
    ask!(world, DeleteUserPolicy, DeleteUserPolicyRequest { user_name: "alice", policy_name: "p" }).map(drop).unwrap();
    ask!(world, DeleteUser, DeleteUserRequest { user_name: "alice" }).map(drop).unwrap();
    assert!(policies(&world.0, &user("/", "alice")).await.is_none());
    let new = create_user(&world, "alice").await;
    assert_ne!(old, new);
    let found = policies(&world.0, &user("/", "alice")).await.unwrap();
    assert_eq!((found.unique_id, found.policies.len()), (new, 0));
    assert!(policies_by_id(&world.0, &old).await.is_none());
}

#[tokio::test]
async fn a_session_has_the_policies_of_its_role() {
    let world = world(Arc::new(Memory::new())).await;
    let role = CreateRoleRequest {
        role_name: "deploy".to_owned(),
        path: Some("/ci/".to_owned()),
        assume_role_policy_document: TRUST.to_owned(),
        ..CreateRoleRequest::default()
    };
    let Ok(Response::CreateRole(made)) = call(&world.0, &world.1, Request::CreateRole(Valid::new(role).unwrap())).await
    else {
        panic!("no role")
    };
    ask!(world, PutRolePolicy, PutRolePolicyRequest { role_name: "deploy", policy_name: "p", policy_document: ALLOW })
        .map(drop)
        .unwrap();
    let account = AccountId::parse(OWNER).unwrap();
    let session = Principal::role_session(account, "/ci/", "deploy", "session");
    let found = policies(&world.0, &session).await.unwrap();
    assert_eq!((found.unique_id.as_str(), names(&found)), (made.role.role_id.as_str(), vec!["p"]));
    assert!(may_encrypt(&session, &found));
    for other in [
        Principal::root(account),
        Principal::role_session(account, "/", "deploy", "session"),
        Principal::role_session(account, "/ci/", "Deploy", "session"),
        Principal::role_session(AccountId::parse("444455556666").unwrap(), "/ci/", "deploy", "session"),
        user("/ci/", "deploy"),
    ] {
        assert!(policies(&world.0, &other).await.is_none(), "{other}");
    }
}

/// The code of the window of thirty seconds that is `windows` after now, from a seed as it is shown.
fn code(base32: &[u8], windows: i64) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut seed, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in base32 {
        let five = alphabet.iter().position(|known| known == letter).unwrap();
        bits = ((bits << 5) | u32::try_from(five).unwrap()) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            seed.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    let hash = claviger_crypto::hmac_sha1(&seed, &(NOW / 30_000 + windows).to_be_bytes());
    let at = usize::from(hash.last().unwrap() & 15);
    let four: [u8; 4] = hash.get(at..at + 4).unwrap().try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

async fn spend(engine: &Engine, user: &str, serial: &str, code: &str) -> bool {
    let mut right = false;
    let mut seed = Seed::new(engine, "us-east-1", OWNER);
    seed.run::<Fault>(async |call| {
        let mut writes = Writes::default();
        right = spend_code(call, &mut writes, (OWNER, user), serial, code).await?;
        Ok(writes)
    })
    .await
    .unwrap();
    right
}

#[tokio::test]
async fn a_code_proves_a_second_factor_once() {
    let world = world(Arc::new(Memory::new())).await;
    let (alice, bob) = (create_user(&world, "alice").await, create_user(&world, "bob").await);
    let made = ask!(world, CreateVirtualMFADevice, CreateVirtualMFADeviceRequest { virtual_mfa_device_name: "phone" });
    let Ok(Response::CreateVirtualMFADevice(made)) = made else { panic!("no device") };
    let (serial, seed) = (made.virtual_mfa_device.serial_number, made.virtual_mfa_device.base32_string_seed.unwrap());
    let seed = seed.expose();
    assert!(!spend(&world.0, &alice, &serial, &code(seed, 0)).await, "the device is nobody's yet");
    let enable = EnableMFADeviceRequest {
        user_name: "alice".to_owned(),
        serial_number: serial.clone(),
        authentication_code1: code(seed, -3),
        authentication_code2: code(seed, -2),
    };
    call(&world.0, &world.1, Request::EnableMFADevice(Valid::new(enable).unwrap())).await.map(drop).unwrap();
    // It stands two windows behind, and that is known now.
    assert!(!spend(&world.0, &alice, &serial, &code(seed, -2)).await, "used up when the device was enabled");
    assert!(!spend(&world.0, &bob, &serial, &code(seed, -1)).await, "another user's");
    assert!(!spend(&world.0, &alice, &serial, &code(seed, 0)).await, "too far ahead of the device");
    assert!(!spend(&world.0, &alice, &serial.replace("phone", "Phone"), &code(seed, -1)).await);
    assert!(spend(&world.0, &alice, &serial, &code(seed, -1)).await);
    assert!(!spend(&world.0, &alice, &serial, &code(seed, -1)).await, "a code works once");
    assert!(spend(&world.0, &alice, &serial, &code(seed, 0)).await, "the device is not so far behind any more");
}

/// The first commit is held until all have read what is there.
async fn at_once(script: &claviger_store::Script, tasks: Vec<Held>) -> Vec<Result<(), &'static str>> {
    let gate = Gate::new();
    script.next(Point::Commit, Action::Hold(gate.clone()));
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.open();
    let mut done = Vec::new();
    for task in running {
        done.push(task.await.unwrap());
    }
    done
}

type Held = std::pin::Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

fn held(world: &(Arc<Engine>, Caller), request: Request) -> Held {
    let (engine, caller) = (Arc::clone(&world.0), world.1.clone());
    Box::pin(async move { call(&engine, &caller, request).await.map(drop).map_err(|error| error.code) })
}

#[tokio::test]
async fn quotas_hold_when_many_ask_at_once() {
    let store = Faulty::scripted(Memory::new());
    let script = store.script();
    let world = world(Arc::new(store)).await;
    create_user(&world, "alice").await;
    let request = || {
        let request = CreateAccessKeyRequest { user_name: Some("alice".to_owned()) };
        Request::CreateAccessKey(Valid::new(request).unwrap())
    };
    let done = at_once(&script, (0..6).map(|_| held(&world, request())).collect()).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 2, "{done:?}");
    assert!(done.iter().flat_map(|one| one.as_ref().err()).all(|code| *code == "LimitExceeded"));
}

#[tokio::test]
async fn one_name_is_given_once() {
    let store = Faulty::scripted(Memory::new());
    let script = store.script();
    let world = world(Arc::new(store)).await;
    let request = |name: &str| {
        let request = CreateUserRequest { user_name: name.to_owned(), ..CreateUserRequest::default() };
        Request::CreateUser(Valid::new(request).unwrap())
    };
    let names = ["alice", "Alice", "ALICE", "aLICE"];
    let done = at_once(&script, names.iter().map(|name| held(&world, request(name))).collect()).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1, "{done:?}");
    assert!(done.iter().flat_map(|one| one.as_ref().err()).all(|code| *code == "EntityAlreadyExists"));
}

#[tokio::test]
async fn a_policy_is_attached_or_deleted_but_not_both() {
    for attach_first in [true, false] {
        let store = Faulty::scripted(Memory::new());
        let script = store.script();
        let world = world(Arc::new(store)).await;
        create_user(&world, "alice").await;
        let arn = create_policy(&world, "p", ALLOW).await;
        let attach = AttachUserPolicyRequest { user_name: "alice".to_owned(), policy_arn: arn.clone() };
        let attach = held(&world, Request::AttachUserPolicy(Valid::new(attach).unwrap()));
        let delete = held(&world, Request::DeletePolicy(Valid::new(DeletePolicyRequest { policy_arn: arn }).unwrap()));
        let tasks = if attach_first { vec![attach, delete] } else { vec![delete, attach] };
        let done = at_once(&script, tasks).await;
        assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1, "{done:?}");
        let found = policies(&world.0, &user("/", "alice")).await.unwrap();
        let attached = done.get(usize::from(!attach_first)) == Some(&Ok(()));
        assert_eq!(found.policies.len(), usize::from(attached), "what is attached is there");
    }
}

#[tokio::test]
async fn an_account_has_as_many_devices_as_it_may_have_users() {
    let world = world(Arc::new(Memory::new())).await;
    let make = async |number: u32| {
        let name = format!("device{number}");
        ask!(world, CreateVirtualMFADevice, CreateVirtualMFADeviceRequest { virtual_mfa_device_name: name }).map(drop)
    };
    for number in 0..5_000 {
        make(number).await.unwrap();
    }
    let refused = make(5_000).await.err().unwrap();
    assert_eq!(refused.code, "LimitExceeded");
    assert_eq!(refused.message.as_deref(), Some("Cannot exceed quota for VirtualMFADevicesPerAccount: 5000"));
    let serial_number = format!("arn:aws:iam::{OWNER}:mfa/device7");
    ask!(world, DeleteVirtualMFADevice, DeleteVirtualMFADeviceRequest { serial_number: serial_number })
        .map(drop)
        .unwrap();
    make(5_000).await.unwrap();
}
