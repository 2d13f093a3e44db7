//! The engine from outside, with a toy service over a store that fails on command.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod clock;
mod concurrency;
mod conditions;
mod due;
mod faults;
mod heavy;
mod operator;
mod outbox;
mod quota;
mod services;
mod tamper;
mod toy;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use claviger_api::{ServiceError, SignatureClaim, Timestamp};
use claviger_audit::{Log, Settings};
use claviger_crypto::{DomainKeys, SigningKey};
use claviger_engine::{Authentication, CallMeta, Caller, Chance, Clock, Engine, Fault, Parts};
use claviger_policy::AccountId;
use claviger_secret::SecretArray;
use claviger_store::{Faulty, Memory, Script};

use toy::{Ask, Toy, ToyOperation};

const START: i64 = 1_790_000_000_000;

/// Clocks that only move when they are told to: the movable one and the wall's, and how far the movable one was moved
/// without a cause.
pub(crate) struct TestClock(pub(crate) AtomicI64, pub(crate) AtomicI64, pub(crate) AtomicI64);

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.1.load(Ordering::SeqCst))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn steady(&self) -> i64 {
        self.0.load(Ordering::SeqCst) - self.2.load(Ordering::SeqCst)
    }
}

/// Small and repeatable.
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(2).wrapping_add(1)))
    }

    pub(crate) fn roll(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.roll() % bound
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

/// What outlives an engine: the store, the log's directory, the keys.
pub(crate) struct Kit {
    pub(crate) disk: tempfile::TempDir,
    pub(crate) store: Arc<Faulty<Memory>>,
    pub(crate) script: Script,
    pub(crate) clock: Arc<TestClock>,
    keys: Arc<DomainKeys>,
    next_request: AtomicU64,
}

impl Kit {
    pub(crate) fn new() -> Self {
        let store = Faulty::scripted(Memory::new());
        Self {
            disk: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(),
            script: store.script(),
            store: Arc::new(store),
            clock: Arc::new(TestClock(AtomicI64::new(START), AtomicI64::new(START), AtomicI64::new(0))),
            keys: Arc::new(DomainKeys::generate().unwrap()),
            next_request: AtomicU64::new(1),
        }
    }

    pub(crate) fn log(&self) -> Log {
        let key = SigningKey::from_seed(SecretArray::new([7; 32])).unwrap();
        Log::open(&self.disk.path().join("audit"), key, "node-1", Settings::default()).unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Arc<Engine>, Fault> {
        self.open_over(Arc::clone(&self.store) as Arc<dyn claviger_store::Store>).await
    }

    pub(crate) async fn open_over(&self, store: Arc<dyn claviger_store::Store>) -> Result<Arc<Engine>, Fault> {
        let parts = Parts {
            store,
            keys: Arc::clone(&self.keys),
            audit: self.log(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            chance: Arc::new(Dice::new(7)),
            authentication: Authentication::DangerAnyCredential {
                default_account: AccountId::parse("111122223333").unwrap(),
            },
            principals_must_exist: false,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        Engine::open(parts).await.map(Arc::new)
    }

    pub(crate) async fn open(&self) -> Arc<Engine> {
        self.try_open().await.unwrap()
    }

    /// One call of the toy service; gives its request id too.
    pub(crate) async fn ask(&self, engine: &Engine, ask: Ask) -> (String, Result<Option<String>, ServiceError>) {
        let id = format!("request-{:06}", self.next_request.fetch_add(1, Ordering::SeqCst));
        let caller = caller(engine).await;
        let meta = CallMeta { request_id: id.clone(), ..CallMeta::system() };
        let answer = engine.call::<ToyOperation>(&Toy, &caller, &meta, &ask).await.unwrap();
        (id, answer.into_inner())
    }

    pub(crate) async fn set(&self, engine: &Engine, name: &str, value: &str) -> String {
        let (id, result) = self.ask(engine, Ask::Set(vec![(name.to_owned(), value.to_owned())])).await;
        result.unwrap();
        id
    }

    pub(crate) async fn get(&self, engine: &Engine, name: &str) -> Option<String> {
        self.ask(engine, Ask::Get(name.to_owned())).await.1.unwrap()
    }

    /// Every line of the audit log that is on disk or with the operating system.
    pub(crate) fn lines(&self) -> Vec<String> {
        fn read(directory: &Path) -> String {
            let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect()
        }
        read(&self.disk.path().join("audit")).lines().map(str::to_owned).collect()
    }

    /// How many records of success there are for this request.
    pub(crate) fn recorded(&self, request_id: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(request_id) && !line.contains("errorCode")).count()
    }

    /// The outbox rows in the store.
    pub(crate) async fn outbox(&self) -> usize {
        use claviger_store::Store as _;
        let view = self.store.snapshot().await.unwrap();
        view.scan(claviger_store::Range::prefix(b"outbox/"), None, 1_000).await.unwrap().len()
    }
}

pub(crate) async fn caller(engine: &Engine) -> Caller {
    caller_of(engine, "111122223333").await
}

pub(crate) async fn caller_of(engine: &Engine, account: &str) -> Caller {
    caller_in(engine, account, "eu-central-1").await
}

pub(crate) async fn caller_in(engine: &Engine, account: &str, region: &str) -> Caller {
    let claim = SignatureClaim {
        access_key_id: account.to_owned(),
        date: "20260921".to_owned(),
        region: region.to_owned(),
        service: "kms".to_owned(),
        session_token: None,
        signed_at: Timestamp::from_millis(START),
        expires_seconds: None,
        string_to_sign: Vec::new(),
        signature: [0; 32],
    };
    engine.authenticate(&claim, &CallMeta::system()).await.unwrap()
}

/// Every row adds up, read from the store again.
pub(crate) async fn demand_whole(engine: &Engine) {
    let found = engine.scrub().await.unwrap();
    assert!(found.broken.is_empty(), "broken: {:?}", found.suspects);
}
