//! Temporary credentials against a clock that the test moves: what a token is worth, and until when.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use claviger_api::iam::{self, StatusType, UpdateAccessKeyRequest};
use claviger_api::sts::{
    AssumeRoleRequest, Credentials, GetFederationTokenRequest, GetSessionTokenRequest, Request, Response,
};
use claviger_api::{Refusal, ServiceError, SignatureClaim, Timestamp, Valid};
use claviger_audit::Log;
use claviger_crypto::{DomainKeys, Random, SystemRandom, UnsealSecret, hmac_sha256};
use claviger_engine::{
    Authentication, CallMeta, Caller, Chance, Clock, Command, Deployment, Engine, Fault, Operator, Parts, Value,
};
use claviger_iam::{Iam, RootCredential, create_account, make_root_credentials};
use claviger_policy::{AccountId, PrincipalKind};
use claviger_secret::SecretBytes;
use claviger_store::{Batch, Memory, Store as _};

const START: i64 = 1_790_000_000_000;
const OWNER: &str = "111122223333";

/// The wall clock moves; the movable clock stands still, as tokens do not follow it.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(START + self.0.load(Ordering::SeqCst))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

struct Library;

impl Chance for Library {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        SystemRandom.fill(buffer).map_err(|_| Fault::Randomness)
    }
}

struct World {
    engine: Engine,
    iam: Iam,
    hands: Arc<Hands>,
}

impl World {
    async fn new() -> Self {
        Self::with(DomainKeys::generate().map(Arc::new).unwrap()).await
    }

    async fn with(keys: Arc<DomainKeys>) -> Self {
        let hands = Arc::new(Hands::default());
        let parts = Parts {
            store: Arc::new(Memory::new()),
            keys,
            audit: Log::in_memory(1_000),
            clock: Arc::clone(&hands) as _,
            chance: Arc::new(Library),
            authentication: Authentication::Verify(Arc::new(Iam::default())),
            principals_must_exist: true,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        let engine = Engine::open(parts).await.unwrap();
        Self { engine, iam: Iam::default(), hands }
    }

    fn move_to(&self, millis: i64) {
        self.hands.0.store(millis, Ordering::SeqCst);
    }

    async fn root(&self, account: &str) -> Caller {
        let made = create_account(&self.engine, AccountId::parse(account).unwrap(), None).await.unwrap();
        let claim = self.signed(&made.access_key_id, made.secret_access_key.expose(), None);
        self.engine.authenticate(&claim, &CallMeta::system()).await.unwrap()
    }

    fn signed(&self, access_key_id: &str, secret: &[u8], session_token: Option<&str>) -> SignatureClaim {
        let string_to_sign = b"AWS4-HMAC-SHA256\n...".to_vec();
        let mut key = hmac_sha256(&[b"AWS4", secret].concat(), b"20260921");
        for part in [&b"us-east-1"[..], b"sts", b"aws4_request"] {
            key = hmac_sha256(&key, part);
        }
        SignatureClaim {
            access_key_id: access_key_id.to_owned(),
            date: "20260921".to_owned(),
            region: "us-east-1".to_owned(),
            service: "sts".to_owned(),
            session_token: session_token.map(str::to_owned),
            signed_at: self.hands.wall(),
            expires_seconds: None,
            signature: hmac_sha256(&key, &string_to_sign),
            string_to_sign,
        }
    }

    async fn enter(&self, credentials: &Credentials) -> Result<Caller, Refusal> {
        let token = Some(credentials.session_token.as_str());
        let claim = self.signed(&credentials.access_key_id, credentials.secret_access_key.expose(), token);
        self.engine.authenticate(&claim, &CallMeta::system()).await
    }

    async fn call(&self, caller: &Caller, request: Request) -> Result<Response, ServiceError> {
        let answer = claviger_iam::dispatch_sts(&self.engine, &self.iam, caller, &CallMeta::system(), &request).await;
        answer.unwrap().into_inner()
    }

    async fn session_of(&self, caller: &Caller, seconds: i32) -> Credentials {
        let request = GetSessionTokenRequest { duration_seconds: Some(seconds), ..GetSessionTokenRequest::default() };
        let request = Request::GetSessionToken(Valid::new(request).unwrap());
        let Ok(Response::GetSessionToken(answer)) = self.call(caller, request).await else { panic!("not given") };
        answer.credentials.unwrap()
    }
}

#[tokio::test]
async fn a_session_ends_with_its_last_second_by_the_wall_clock() {
    let world = World::new().await;
    let root = world.root(OWNER).await;
    world.move_to(400);
    let credentials = world.session_of(&root, 900).await;
    // Times of issue have whole seconds.
    assert_eq!(credentials.expiration, Timestamp::from_millis(START + 900_000));
    let caller = world.enter(&credentials).await.unwrap();
    assert_eq!((caller.principal().kind(), caller.account()), (PrincipalKind::Root, OWNER));
    assert_eq!(caller.traits().session.as_ref().unwrap().issued_at, Timestamp::from_millis(START));
    for (millis, expected) in [
        (899_999, None),
        (900_000, Some(Refusal::ExpiredToken)),
        (i64::MAX / 2, Some(Refusal::ExpiredToken)),
        (0, None),
    ] {
        world.move_to(millis);
        assert_eq!(world.enter(&credentials).await.err(), expected, "{millis}");
    }
}

#[tokio::test]
async fn an_expired_token_says_so_only_for_its_own_access_key() {
    let world = World::new().await;
    let root = world.root(OWNER).await;
    let (one, two) = (world.session_of(&root, 900).await, world.session_of(&root, 900).await);
    world.move_to(900_000);
    let token = Some(two.session_token.as_str());
    let mixed = world.signed(&one.access_key_id, one.secret_access_key.expose(), token);
    let mixed = world.engine.authenticate(&mixed, &CallMeta::system()).await;
    assert_eq!(mixed.err(), Some(Refusal::UnrecognizedClient));
    assert_eq!(world.enter(&one).await.err(), Some(Refusal::ExpiredToken));
    assert_eq!(world.enter(&two).await.err(), Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn a_token_of_another_deployment_is_none() {
    let (world, other) = (World::new().await, World::new().await);
    let credentials = world.session_of(&world.root(OWNER).await, 900).await;
    other.root(OWNER).await;
    assert_eq!(other.enter(&credentials).await.err(), Some(Refusal::UnrecognizedClient));
    assert!(world.enter(&credentials).await.is_ok());
}

#[tokio::test]
async fn a_root_takes_no_role_and_a_session_gives_no_session() {
    let world = World::new().await;
    let root = world.root(OWNER).await;
    let request = || {
        let role_arn = format!("arn:aws:iam::{OWNER}:role/any");
        let request =
            AssumeRoleRequest { role_arn, role_session_name: "session".to_owned(), ..AssumeRoleRequest::default() };
        Request::AssumeRole(Valid::new(request).unwrap())
    };
    let session = world.enter(&world.session_of(&root, 900).await).await.unwrap();
    for caller in [&root, &session] {
        let refused = world.call(caller, request()).await.err().unwrap();
        assert_eq!((refused.code, refused.status), ("AccessDenied", 403));
        assert_eq!(refused.message.as_deref(), Some("Roles may not be assumed by root accounts."));
    }
    let again = Request::GetSessionToken(Valid::new(GetSessionTokenRequest::default()).unwrap());
    let refused = world.call(&session, again).await.err().unwrap();
    assert_eq!(refused.message.as_deref(), Some("Cannot call GetSessionToken with session credentials"));
}

/// A session of a root and one that the root vouched for.
async fn of_root(world: &World, root: &Caller) -> [Credentials; 2] {
    let request = GetFederationTokenRequest { name: "guest".to_owned(), ..GetFederationTokenRequest::default() };
    let request = Request::GetFederationToken(Valid::new(request).unwrap());
    let Ok(Response::GetFederationToken(answer)) = world.call(root, request).await else { panic!("not given") };
    [world.session_of(root, 900).await, answer.credentials.unwrap()]
}

async fn entered(world: &World, sessions: &[Credentials]) -> Vec<Option<Refusal>> {
    let mut refusals = Vec::new();
    for session in sessions {
        refusals.push(world.enter(session).await.err());
    }
    refusals
}

#[tokio::test]
async fn sessions_of_a_root_end_with_the_access_key_that_made_them() {
    const REFUSED: [Option<Refusal>; 2] = [Some(Refusal::UnrecognizedClient), Some(Refusal::UnrecognizedClient)];
    let world = World::new().await;
    let root = world.root(OWNER).await;
    let sessions = of_root(&world, &root).await;
    assert_eq!(entered(&world, &sessions).await, [None, None]);
    let set = async |status| {
        let access_key_id = root.access_key_id().to_owned();
        let request = UpdateAccessKeyRequest { user_name: None, access_key_id, status };
        let request = iam::Request::UpdateAccessKey(Valid::new(request).unwrap());
        let meta = CallMeta::system();
        let answer = claviger_iam::dispatch_iam(&world.engine, &world.iam, &root, &meta, &request).await;
        assert!(answer.unwrap().into_inner().is_ok());
    };
    set(StatusType::Inactive).await;
    assert_eq!(entered(&world, &sessions).await, REFUSED);
    set(StatusType::Active).await;
    assert_eq!(entered(&world, &sessions).await, [None, None]);
    let command = Command {
        name: "MakeRootCredentials",
        read_only: false,
        operator: Operator { uid: 7, process: None },
        request_id: "a-request".to_owned(),
        account: AccountId::parse(OWNER),
        facts: Value::Null,
    };
    let account = AccountId::parse(OWNER).unwrap();
    let replace = async |replace| {
        let made = make_root_credentials(&world.engine, &command, account, true, replace).await.unwrap();
        made.into_inner().unwrap()
    };
    replace(false).await;
    assert_eq!(entered(&world, &sessions).await, [None, None], "another key beside it changes nothing");
    replace(true).await;
    assert_eq!(entered(&world, &sessions).await, REFUSED);
}

fn golden(path: &str) -> Vec<u8> {
    let path = format!("{}/{path}.hex", env!("CARGO_MANIFEST_DIR"));
    hex::decode(std::fs::read_to_string(path).unwrap().trim()).unwrap()
}

/// The tokens of earlier releases hold, but not those of roots, which do not say by which access key they were made.
#[tokio::test]
async fn sessions_of_earlier_releases() {
    use base64::Engine as _;
    let store = Memory::new();
    let mut batch = Batch::new();
    batch.put("deployment/keys", golden("../engine/testdata/golden/deployment"));
    store.commit(batch).await.unwrap();
    let secret = SecretBytes::from_slice(b"golden unseal secret, 32 bytes..");
    let keys = Deployment::unseal(&store, &UnsealSecret::file(secret).unwrap()).await.unwrap().keys;
    let world = World::with(keys).await;
    let given =
        RootCredential { access_key_id: "AKIAABCDEFGHIJKLMNOP".to_owned(), secret_access_key: SecretBytes::zeroed(40) };
    create_account(&world.engine, AccountId::parse(OWNER).unwrap(), Some(given)).await.unwrap();
    let credentials = |name: &str| Credentials {
        access_key_id: "ASIAABCDEFGHIJKLMNOP".to_owned(),
        secret_access_key: SecretBytes::from_slice(b"the secret access key of 40 characters.."),
        session_token: base64::engine::general_purpose::STANDARD.encode(golden(&format!("testdata/golden/{name}"))),
        expiration: Timestamp::from_millis(START),
    };
    for (name, expected) in [
        ("session-root", Some(Refusal::UnrecognizedClient)),
        ("session-root-2", Some(Refusal::UnrecognizedClient)),
        ("session-root-key-2", None),
    ] {
        assert_eq!(world.enter(&credentials(name)).await.err(), expected, "{name}");
    }
    world.move_to(3_600_000);
    assert_eq!(world.enter(&credentials("session-root-key-2")).await.err(), Some(Refusal::ExpiredToken));
}
