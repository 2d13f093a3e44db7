//! The KMS service through its door, over a store in memory.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod authorization;
mod capture;
mod conditions;
mod deletion;
mod foreign;
mod grant_costs;
mod grant_model;
mod grants;
mod import;
mod key_count;
mod last_usage;
mod life_model;
mod lives;
mod older;
mod people;
mod quotas;
mod replicas;
mod requests;
mod rotation;
mod runners;
mod service_calls;
mod simulation;
mod states;
mod tamper;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use claviger_api::kms::{
    CreateAliasRequest, CreateKeyRequest, DecryptRequest, DescribeKeyRequest, DisableKeyRequest, EncryptRequest,
    KeyMetadata, Request, Response, ScheduleKeyDeletionRequest,
};
use claviger_api::{ServiceError, SignatureClaim, Timestamp, Valid};
use claviger_audit::{Log, Settings};
use claviger_crypto::{DomainKeys, SigningKey, hmac_sha256};
use claviger_engine::{
    Authentication, CallMeta, Caller, Chance, Clock, ClockRule, Engine, Fault, Identities, Parts, Regions,
};
use claviger_kms::Kms;
use claviger_policy::AccountId;
use claviger_secret::{SecretArray, SecretBytes};
use claviger_store::Store;

pub(crate) const START: i64 = 1_790_000_000_000;
pub(crate) const DAY: i64 = 86_400_000;
pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const OWNER: &str = "111122223333";
pub(crate) const OTHER: &str = "444455556666";

/// A request whose constraints hold.
macro_rules! request {
    ($name:ident, $value:expr) => {
        claviger_api::kms::Request::$name(claviger_api::Valid::new($value).unwrap())
    };
}
pub(crate) use request;

pub(crate) struct TestClock {
    pub(crate) now: AtomicI64,
    pub(crate) wall: AtomicI64,
    /// How far `now` was moved without a cause.
    pub(crate) leapt: AtomicI64,
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.wall.load(Ordering::SeqCst))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn steady(&self) -> i64 {
        self.now.load(Ordering::SeqCst) - self.leapt.load(Ordering::SeqCst)
    }
}

/// Small and repeatable.
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1)))
    }

    pub(crate) fn roll(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

impl Chance for Dice {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        for chunk in buffer.chunks_mut(8) {
            for (to, from) in chunk.iter_mut().zip(self.roll().to_be_bytes()) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// What outlives an engine.
pub(crate) struct Base {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<DomainKeys>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) dice: Arc<Dice>,
    /// Where the audit log is kept; without it, each engine has a log of its own in memory.
    pub(crate) disk: Option<tempfile::TempDir>,
    pub(crate) regions: Regions,
}

impl Base {
    pub(crate) fn over(store: Arc<dyn Store>, seed: u64) -> Self {
        Self {
            store,
            keys: Arc::new(DomainKeys::generate().unwrap()),
            clock: Arc::new(TestClock {
                now: AtomicI64::new(START),
                wall: AtomicI64::new(START),
                leapt: AtomicI64::new(0),
            }),
            regions: Regions::EVERY,
            dice: Arc::new(Dice::new(seed)),
            disk: None,
        }
    }

    fn log(&self) -> Log {
        let Some(disk) = &self.disk else { return Log::in_memory(1_000) };
        let key = SigningKey::from_seed(SecretArray::new([7; 32])).unwrap();
        Log::open(&disk.path().join("audit"), key, "node-1", Settings::default()).unwrap()
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.clock.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Somebody sets the clock.
    pub(crate) fn leap(&self, millis: i64) {
        self.clock.leapt.fetch_add(millis, Ordering::SeqCst);
        self.advance(millis);
    }

    pub(crate) async fn open(&self) -> Result<World, Fault> {
        let default_account = AccountId::parse(OWNER).unwrap();
        self.open_as(Authentication::DangerAnyCredential { default_account }).await
    }

    /// With users and roles.
    pub(crate) async fn open_with(&self, people: &Arc<people::People>) -> World {
        self.open_as(Authentication::Verify(Arc::clone(people) as Arc<dyn Identities>)).await.unwrap()
    }

    async fn open_as(&self, authentication: Authentication) -> Result<World, Fault> {
        self.open_node(authentication, ClockRule::default(), ("node-1", &self.store, self.log())).await
    }

    /// An engine of its own over a store that may be another's too, with its own log.
    pub(crate) async fn open_node(
        &self,
        authentication: Authentication,
        clock_rule: ClockRule,
        (node, store, audit): (&str, &Arc<dyn Store>, Log),
    ) -> Result<World, Fault> {
        let parts = Parts {
            store: Arc::clone(store),
            keys: Arc::clone(&self.keys),
            audit,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            chance: Arc::clone(&self.dice) as Arc<dyn Chance>,
            principals_must_exist: matches!(authentication, Authentication::Verify(_)),
            authentication,
            node: node.to_owned(),
            clock_rule,
            regions: self.regions.clone(),
        };
        let clock = Arc::clone(&self.clock);
        Ok(World { engine: Engine::open(parts).await?, kms: Kms::default(), clock })
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) kms: Kms,
    clock: Arc<TestClock>,
}

pub(crate) type Told = Result<Response, ServiceError>;

impl World {
    pub(crate) async fn new() -> (Base, Self) {
        let base = Base::over(Arc::new(claviger_store::Memory::new()), 1);
        let world = base.open().await.unwrap();
        (base, world)
    }

    /// Lets last uses be known, as a start does; nothing is in the log.
    pub(crate) async fn track(&self) {
        let begun = self.kms.begin_uses(&self.engine).await.unwrap();
        self.kms.resume_uses(&self.engine, begun, claviger_kms::FoundUses::default());
    }

    async fn caller(&self, access_key_id: &str, region: &str) -> Caller {
        let date = self.clock.wall().to_iso8601()[..10].replace('-', "");
        let mut key = hmac_sha256(&[b"AWS4", people::SECRET].concat(), date.as_bytes());
        for part in [region, "kms", "aws4_request", "string to sign"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        let claim = SignatureClaim {
            access_key_id: access_key_id.to_owned(),
            date,
            region: region.to_owned(),
            service: "kms".to_owned(),
            session_token: None,
            signed_at: self.clock.wall(),
            expires_seconds: None,
            string_to_sign: b"string to sign".to_vec(),
            signature: key,
        };
        self.engine.authenticate(&claim, &CallMeta::system()).await.unwrap()
    }

    /// A call as the root of an account, or as whoever has the access key.
    pub(crate) async fn call_as(&self, access_key_id: &str, request: Request) -> Told {
        self.call_in(REGION, access_key_id, request).await
    }

    pub(crate) async fn call_in(&self, region: &str, access_key_id: &str, request: Request) -> Told {
        let caller = self.caller(access_key_id, region).await;
        let answer = claviger_kms::dispatch(&self.engine, &self.kms, &caller, &CallMeta::system(), &request).await;
        answer.unwrap().into_inner()
    }

    pub(crate) async fn call(&self, request: Request) -> Told {
        self.call_as(OWNER, request).await
    }

    pub(crate) async fn create(&self) -> String {
        self.create_from(CreateKeyRequest::default()).await.unwrap().key_id
    }

    pub(crate) async fn create_from(&self, request: CreateKeyRequest) -> Result<KeyMetadata, ServiceError> {
        match self.call(Request::CreateKey(Valid::new(request).unwrap())).await? {
            Response::CreateKey(response) => Ok(response.key_metadata.unwrap()),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn describe(&self, key: &str) -> Result<KeyMetadata, ServiceError> {
        let request = DescribeKeyRequest { key_id: key.to_owned(), ..DescribeKeyRequest::default() };
        match self.call(request!(DescribeKey, request)).await? {
            Response::DescribeKey(response) => Ok(response.key_metadata.unwrap()),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn alias(&self, name: &str, key: &str) -> Told {
        let request = CreateAliasRequest { alias_name: name.to_owned(), target_key_id: key.to_owned() };
        self.call(request!(CreateAlias, request)).await
    }

    pub(crate) async fn disable(&self, key: &str) -> Told {
        self.call(request!(DisableKey, DisableKeyRequest { key_id: key.to_owned() })).await
    }

    pub(crate) async fn schedule(&self, key: &str) -> Told {
        let request = ScheduleKeyDeletionRequest { key_id: key.to_owned(), pending_window_in_days: Some(7) };
        self.call(request!(ScheduleKeyDeletion, request)).await
    }

    pub(crate) async fn encrypt_as(&self, account: &str, key: &str, plain: &[u8]) -> Result<Vec<u8>, ServiceError> {
        match self.call_as(account, request!(Encrypt, encrypt(key, plain))).await? {
            Response::Encrypt(response) => Ok(response.ciphertext_blob.unwrap()),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn encrypt(&self, key: &str, plain: &[u8]) -> Result<Vec<u8>, ServiceError> {
        self.encrypt_as(OWNER, key, plain).await
    }

    pub(crate) async fn decrypt_as(&self, account: &str, blob: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let request = DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() };
        match self.call_as(account, request!(Decrypt, request)).await? {
            Response::Decrypt(response) => Ok(response.plaintext.unwrap().expose().to_vec()),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn decrypt(&self, blob: &[u8]) -> Result<Vec<u8>, ServiceError> {
        self.decrypt_as(OWNER, blob).await
    }
}

pub(crate) fn encrypt(key: &str, plain: &[u8]) -> EncryptRequest {
    EncryptRequest {
        key_id: key.to_owned(),
        plaintext: SecretBytes::from_slice(plain),
        encryption_context: None,
        grant_tokens: None,
        encryption_algorithm: None,
        dry_run: None,
    }
}

pub(crate) fn arn(key: &str) -> String {
    format!("arn:aws:kms:{REGION}:{OWNER}:key/{key}")
}

/// The rows of a store.
pub(crate) async fn rows(store: &dyn Store) -> Vec<(bytes::Bytes, bytes::Bytes)> {
    let view = store.snapshot().await.unwrap();
    let rows = view.scan(claviger_store::Range::all(), None, 10_000).await.unwrap();
    rows.into_iter().map(|(key, row)| (key, row.value)).collect()
}
