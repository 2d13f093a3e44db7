//! Root access keys: made, listed, deleted, and believed only with a right and fresh signature.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger_api::iam::{CreateAccessKeyRequest, DeleteAccessKeyRequest, ListAccessKeysRequest, Request, Response};
use claviger_api::sts::GetCallerIdentityRequest;
use claviger_api::{Refusal, ServiceError, SignatureClaim, Timestamp, Valid};
use claviger_audit::Log;
use claviger_crypto::{DomainKeys, Random, SystemRandom, hmac_sha256};
use claviger_engine::{Authentication, CallMeta, Caller, Chance, Clock, Engine, Fault, Parts};
use claviger_iam::{Iam, RootCredential, create_account};
use claviger_policy::AccountId;
use claviger_secret::SecretBytes;
use claviger_store::{Action, Faulty, Gate, Memory, Point, Store};

const NOW: i64 = 1_790_000_000_000;
const OWNER: &str = "111122223333";

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

async fn engine() -> Engine {
    engine_over(Arc::new(Memory::new())).await
}

async fn engine_over(store: Arc<dyn Store>) -> Engine {
    let parts = Parts {
        store,
        keys: Arc::new(DomainKeys::generate().unwrap()),
        audit: Log::in_memory(1_000),
        clock: Arc::new(Still),
        chance: Arc::new(Library),
        authentication: Authentication::Verify(Arc::new(Iam::default())),
        principals_must_exist: true,
        node: "node-1".to_owned(),
        clock_rule: claviger_engine::ClockRule::default(),
        regions: claviger_engine::Regions::EVERY,
    };
    Engine::open(parts).await.unwrap()
}

/// Signed as reference SigV4 says, with the secret given.
fn signed(access_key_id: &str, secret: &[u8]) -> SignatureClaim {
    let string_to_sign = b"AWS4-HMAC-SHA256\n20260921T000000Z\n...".to_vec();
    let mut key = hmac_sha256(&[b"AWS4", secret].concat(), b"20260921");
    for part in [&b"us-east-1"[..], b"iam", b"aws4_request"] {
        key = hmac_sha256(&key, part);
    }
    SignatureClaim {
        access_key_id: access_key_id.to_owned(),
        date: "20260921".to_owned(),
        region: "us-east-1".to_owned(),
        service: "iam".to_owned(),
        session_token: None,
        signed_at: Timestamp::from_millis(NOW),
        expires_seconds: None,
        signature: hmac_sha256(&key, &string_to_sign),
        string_to_sign,
    }
}

async fn root_of(engine: &Engine, account: &str) -> (RootCredential, Caller) {
    let made = create_account(engine, AccountId::parse(account).unwrap(), None).await.unwrap();
    let claim = signed(&made.access_key_id, made.secret_access_key.expose());
    let caller = engine.authenticate(&claim, &CallMeta::system()).await.unwrap();
    (made, caller)
}

async fn call(engine: &Engine, caller: &Caller, request: Request) -> Result<Response, ServiceError> {
    let answer = claviger_iam::dispatch_iam(engine, &Iam::default(), caller, &CallMeta::system(), &request).await;
    answer.unwrap().into_inner()
}

fn create() -> Request {
    Request::CreateAccessKey(Valid::new(CreateAccessKeyRequest::default()).unwrap())
}

fn delete(id: &str) -> Request {
    let request = DeleteAccessKeyRequest { access_key_id: id.to_owned(), user_name: None };
    Request::DeleteAccessKey(Valid::new(request).unwrap())
}

async fn listed(engine: &Engine, caller: &Caller) -> BTreeSet<String> {
    let request = Request::ListAccessKeys(Valid::new(ListAccessKeysRequest::default()).unwrap());
    let Ok(Response::ListAccessKeys(response)) = call(engine, caller, request).await else { panic!("not listed") };
    response.access_key_metadata.into_iter().filter_map(|key| key.access_key_id).collect()
}

#[tokio::test]
async fn a_right_signature_names_the_root() {
    let engine = engine().await;
    let (_, caller) = root_of(&engine, OWNER).await;
    assert_eq!((caller.account(), caller.principal().arn()), (OWNER, "arn:aws:iam::111122223333:root"));
    let request = claviger_api::sts::Request::GetCallerIdentity(Valid::new(GetCallerIdentityRequest {}).unwrap());
    let answer =
        claviger_iam::dispatch_sts(&engine, &Iam::default(), &caller, &CallMeta::system(), &request).await.unwrap();
    let Ok(claviger_api::sts::Response::GetCallerIdentity(who)) = answer.into_inner() else { panic!("not told") };
    assert_eq!((who.account.as_deref(), who.user_id.as_deref()), (Some(OWNER), Some(OWNER)));
    assert_eq!(who.arn.as_deref(), Some("arn:aws:iam::111122223333:root"));
}

#[tokio::test]
async fn anything_else_is_refused() {
    let engine = engine().await;
    let (made, _) = root_of(&engine, OWNER).await;
    let right = signed(&made.access_key_id, made.secret_access_key.expose());
    let moved = |millis: i64| Timestamp::from_millis(NOW + millis);
    let mut other_text = right.clone();
    other_text.string_to_sign.push(b'x');
    let cases = [
        ("wrong secret", signed(&made.access_key_id, b"wrong"), "InvalidSignature"),
        ("unknown key", signed("AKIAUNKNOWNUNKNOWN00", made.secret_access_key.expose()), "UnrecognizedClient"),
        ("another text", other_text, "InvalidSignature"),
        ("another date", SignatureClaim { date: "20260922".to_owned(), ..right.clone() }, "InvalidSignature"),
        ("another Region", SignatureClaim { region: "eu-west-1".to_owned(), ..right.clone() }, "InvalidSignature"),
        ("another service", SignatureClaim { service: "kms".to_owned(), ..right.clone() }, "InvalidSignature"),
        ("no Region", SignatureClaim { region: "../x".to_owned(), ..right.clone() }, "ScopeRegion"),
        ("a token", SignatureClaim { session_token: Some("t".to_owned()), ..right.clone() }, "UnrecognizedClient"),
        ("too old", SignatureClaim { signed_at: moved(-300_001), ..right.clone() }, "SignatureExpired"),
        ("too new", SignatureClaim { signed_at: moved(300_001), ..right.clone() }, "SignatureNotYetCurrent"),
        (
            "presigned too long ago",
            SignatureClaim { signed_at: moved(-61_000), expires_seconds: Some(60), ..right.clone() },
            "SignatureExpired",
        ),
        (
            "presigned for too long",
            SignatureClaim { expires_seconds: Some(604_801), ..right.clone() },
            "InvalidSignature",
        ),
    ];
    for (what, claim, expected) in cases {
        let refusal: Refusal = engine.authenticate(&claim, &CallMeta::system()).await.unwrap_err();
        let shown = format!("{refusal:?}");
        assert!(shown.starts_with(expected), "{what}: {shown}");
    }
    for millis in [-300_000, 300_000] {
        let claim = SignatureClaim { signed_at: moved(millis), ..right.clone() };
        assert!(engine.authenticate(&claim, &CallMeta::system()).await.is_ok(), "{millis} ms off is fresh");
    }
    let log = engine.audit().lines().join("\n");
    assert!(log.contains("InvalidSignature") && !log.contains("wrong secret"));
}

#[tokio::test]
async fn access_keys_come_and_go() {
    let engine = engine().await;
    let (made, caller) = root_of(&engine, OWNER).await;
    let Ok(Response::CreateAccessKey(second)) = call(&engine, &caller, create()).await else { panic!("not made") };
    let second = second.access_key;
    assert_eq!((second.access_key_id.len(), second.secret_access_key.expose().len()), (20, 40));
    let claim = signed(&second.access_key_id, second.secret_access_key.expose());
    engine.authenticate(&claim, &CallMeta::system()).await.unwrap();
    let both = BTreeSet::from([made.access_key_id.clone(), second.access_key_id.clone()]);
    assert_eq!(listed(&engine, &caller).await, both);
    let refused = call(&engine, &caller, create()).await.map(drop).unwrap_err();
    assert_eq!((refused.code, refused.status), ("LimitExceeded", 409));
    call(&engine, &caller, delete(&second.access_key_id)).await.map(drop).unwrap();
    let refusal = engine.authenticate(&claim, &CallMeta::system()).await.unwrap_err();
    assert_eq!(format!("{refusal:?}"), "UnrecognizedClient", "a deleted key signs nothing, at once");
    let again = call(&engine, &caller, delete(&second.access_key_id)).await.map(drop).unwrap_err();
    assert_eq!((again.code, again.status), ("NoSuchEntity", 404));
    call(&engine, &caller, create()).await.map(drop).unwrap();
    let log = engine.audit().lines().join("\n");
    let secret = String::from_utf8_lossy(second.secret_access_key.expose()).into_owned();
    assert!(!log.contains(&secret), "no secret in the audit log");
}

#[tokio::test]
async fn another_account_has_its_own() {
    let engine = engine().await;
    let (mine, _) = root_of(&engine, OWNER).await;
    let (_, other) = root_of(&engine, "444455556666").await;
    let refused = call(&engine, &other, delete(&mine.access_key_id)).await.map(drop).unwrap_err();
    assert_eq!(refused.code, "NoSuchEntity");
    assert!(!listed(&engine, &other).await.contains(&mine.access_key_id));
    let accounts = claviger_iam::accounts(&engine).await.unwrap();
    assert_eq!(accounts, BTreeSet::from([OWNER.to_owned(), "444455556666".to_owned()]));
}

#[tokio::test]
async fn a_given_root_key_is_kept_over_starts_and_not_taken_over() {
    let engine = engine().await;
    let given = || RootCredential {
        access_key_id: "AKIAGIVENGIVENGIVEN0".to_owned(),
        secret_access_key: SecretBytes::from_slice(b"given secret"),
    };
    let owner = AccountId::parse(OWNER).unwrap();
    create_account(&engine, owner, Some(given())).await.unwrap();
    create_account(&engine, owner, Some(given())).await.unwrap();
    let claim = signed("AKIAGIVENGIVENGIVEN0", b"given secret");
    assert_eq!(engine.authenticate(&claim, &CallMeta::system()).await.unwrap().account(), OWNER);
    let other = AccountId::parse("444455556666").unwrap();
    assert!(create_account(&engine, other, Some(given())).await.is_err(), "the key is another account's");
}

/// The first commit is held until all have read how many keys there are.
#[tokio::test]
async fn the_quota_holds_when_many_ask_at_once() {
    let store = Faulty::scripted(Memory::new());
    let script = store.script();
    let engine = Arc::new(engine_over(Arc::new(store)).await);
    let (made, caller) = root_of(&engine, OWNER).await;
    call(&engine, &caller, delete(&made.access_key_id)).await.map(drop).unwrap();
    let gate = Gate::new();
    script.next(Point::Commit, Action::Hold(gate.clone()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (engine, caller) = (Arc::clone(&engine), caller.clone());
            tokio::spawn(async move { call(&engine, &caller, create()).await.map(drop).map_err(|error| error.code) })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.open();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => done += 1,
            Err(code) => assert_eq!(code, "LimitExceeded"),
        }
    }
    assert_eq!((done, listed(&engine, &caller).await.len()), (2, 2));
}
