//! Accounts at run time: made, closed, opened again, given new root credentials, each with its record.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use claviger_api::{Refusal, SignatureClaim, Timestamp};
use claviger_audit::Log;
use claviger_crypto::{DomainKeys, Random, SystemRandom, UnsealSecret, hmac_sha256};
use claviger_engine::{
    Authentication, CallMeta, Chance, Clock, Command, CommandError, Deployment, Engine, Fault, Operator, Parts, Value,
};
use claviger_iam::{
    Iam, RootCredential, complete_accounts, create_account, list_accounts, make_account, make_root_credentials,
    set_account_open,
};
use claviger_policy::AccountId;
use claviger_secret::SecretBytes;
use claviger_store::{Batch, Memory, Store};

const NOW: i64 = 1_790_000_000_000;

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

async fn open(store: Arc<dyn Store>, keys: Arc<DomainKeys>) -> Engine {
    let parts = Parts {
        store,
        keys,
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

async fn engine() -> Engine {
    open(Arc::new(Memory::new()), Arc::new(DomainKeys::generate().unwrap())).await
}

fn id(digits: &str) -> AccountId {
    AccountId::parse(digits).unwrap()
}

fn command(name: &'static str, account: &str) -> Command {
    Command {
        name,
        read_only: false,
        operator: Operator { uid: 7, process: Some(8) },
        request_id: "a-request".to_owned(),
        account: Some(id(account)),
        facts: Value::object([("accountId", Value::public_text(account))]),
    }
}

async fn made(engine: &Engine, account: &str, name: &str) -> Result<RootCredential, CommandError> {
    make_account(engine, &command("CreateAccount", account), id(account), name).await.unwrap().into_inner()
}

async fn set_open(engine: &Engine, account: &str, open: bool) -> Result<bool, CommandError> {
    let done = set_account_open(engine, &command("SetAccountOpen", account), id(account), open).await;
    done.unwrap().into_inner().map(|account| account.closed.is_none())
}

async fn credentials(
    engine: &Engine,
    account: &str,
    proven: bool,
    replace: bool,
) -> Result<RootCredential, CommandError> {
    let command = command("CreateRootCredentials", account);
    make_root_credentials(engine, &command, id(account), proven, replace).await.unwrap().into_inner()
}

/// The refusal's name.
fn refused<T>(result: Result<T, CommandError>) -> &'static str {
    match result {
        Err(CommandError::Refused { code, .. }) => code,
        Err(CommandError::Fault(fault)) => panic!("{fault}"),
        Ok(_) => panic!("not refused"),
    }
}

async fn authenticate(engine: &Engine, root: &RootCredential) -> Result<String, Refusal> {
    let string_to_sign = b"AWS4-HMAC-SHA256\n20260921T000000Z\n...".to_vec();
    let mut key = hmac_sha256(&[b"AWS4", root.secret_access_key.expose()].concat(), b"20260921");
    for part in [&b"us-east-1"[..], b"iam", b"aws4_request"] {
        key = hmac_sha256(&key, part);
    }
    let claim = SignatureClaim {
        access_key_id: root.access_key_id.clone(),
        date: "20260921".to_owned(),
        region: "us-east-1".to_owned(),
        service: "iam".to_owned(),
        session_token: None,
        signed_at: Timestamp::from_millis(NOW),
        expires_seconds: None,
        signature: hmac_sha256(&key, &string_to_sign),
        string_to_sign,
    };
    engine.authenticate(&claim, &CallMeta::system()).await.map(|caller| caller.account().to_owned())
}

const ONE: &str = "111122223333";
const TWO: &str = "444455556666";

#[tokio::test]
async fn an_account_is_made_once_and_its_root_can_call() {
    let engine = engine().await;
    let root = made(&engine, ONE, "one").await.unwrap();
    assert_eq!(authenticate(&engine, &root).await, Ok(ONE.to_owned()));
    assert_eq!(refused(made(&engine, ONE, "again").await), "AccountAlreadyExists");
    assert_eq!(refused(made(&engine, TWO, &"x".repeat(51)).await), "InvalidName");
    assert_eq!(refused(made(&engine, TWO, "a\nb").await), "InvalidName");
    made(&engine, TWO, &"é".repeat(50)).await.unwrap();
    let listed = list_accounts(&engine, &command("ListAccounts", ONE), None).await.unwrap().into_inner().unwrap();
    let listed: Vec<_> = listed.iter().map(|account| (account.account.as_str(), account.name.as_str())).collect();
    assert_eq!(listed, [(ONE, "one"), (TWO, "é".repeat(50).as_str())]);
    let behind = list_accounts(&engine, &command("ListAccounts", ONE), Some(ONE)).await.unwrap().into_inner().unwrap();
    assert_eq!(behind.len(), 1);
}

#[tokio::test]
async fn a_closed_account_cannot_call_until_it_is_opened_again() {
    let engine = engine().await;
    let (one, two) = (made(&engine, ONE, "").await.unwrap(), made(&engine, TWO, "").await.unwrap());
    assert_eq!(set_open(&engine, ONE, false).await, Ok(false));
    assert_eq!(set_open(&engine, ONE, false).await, Ok(false), "closing twice is harmless");
    assert_eq!(authenticate(&engine, &one).await, Err(Refusal::UnrecognizedClient));
    assert_eq!(authenticate(&engine, &two).await, Ok(TWO.to_owned()));
    let newer = credentials(&engine, ONE, true, false).await.unwrap();
    assert_eq!(authenticate(&engine, &newer).await, Err(Refusal::UnrecognizedClient), "new credentials open nothing");
    assert_eq!(set_open(&engine, ONE, true).await, Ok(true));
    for root in [&one, &newer] {
        assert_eq!(authenticate(&engine, root).await, Ok(ONE.to_owned()));
    }
    assert_eq!(refused(set_open(&engine, "999999999999", false).await), "NoSuchAccount");
}

#[tokio::test]
async fn root_credentials_need_proof_and_room() {
    let engine = engine().await;
    let first = made(&engine, ONE, "").await.unwrap();
    assert_eq!(refused(credentials(&engine, ONE, false, true).await), "WrongUnsealSecret");
    assert_eq!(refused(credentials(&engine, TWO, true, false).await), "NoSuchAccount");
    let second = credentials(&engine, ONE, true, false).await.unwrap();
    assert_eq!(refused(credentials(&engine, ONE, true, false).await), "TooManyAccessKeys");
    for root in [&first, &second] {
        assert_eq!(authenticate(&engine, root).await, Ok(ONE.to_owned()));
    }
    let third = credentials(&engine, ONE, true, true).await.unwrap();
    for root in [&first, &second] {
        assert_eq!(authenticate(&engine, root).await, Err(Refusal::UnrecognizedClient));
    }
    assert_eq!(authenticate(&engine, &third).await, Ok(ONE.to_owned()));
}

#[tokio::test]
async fn every_command_is_recorded_with_its_operator_in_the_accounts_log() {
    let engine = engine().await;
    let root = made(&engine, ONE, "").await.unwrap();
    let secret = String::from_utf8(root.secret_access_key.expose().to_vec()).unwrap();
    drop(credentials(&engine, ONE, false, false).await);
    drop(set_open(&engine, ONE, false).await);
    let lines: Vec<String> =
        engine.audit().lines().into_iter().filter(|line| line.contains("\"ClavigerEvent\"")).collect();
    for (line, name, more) in [
        (0, "CreateAccount", root.access_key_id.as_str()),
        (1, "CreateRootCredentials", "\"errorCode\":\"WrongUnsealSecret\""),
        (2, "SetAccountOpen", "\"readOnly\":false"),
    ] {
        let line: &String = lines.get(line).unwrap();
        assert!(line.contains(&format!("\"eventName\":\"{name}\"")) && line.contains(more), "{line}");
        assert!(line.contains("\"userIdentity\":{\"type\":\"Operator\",\"uid\":7,\"processId\":8}"), "{line}");
        assert!(line.contains(&format!("\"recipientAccountId\":\"{ONE}\"")), "{line}");
        assert!(!line.contains(&secret));
    }
    // What wrote has its record in the commit too.
    let committed: Vec<bool> = lines.iter().map(|line| line.contains("\"commit\":")).collect();
    assert_eq!(committed, [true, false, true]);
}

#[tokio::test]
async fn whoever_drops_the_row_that_closes_an_account_does_not_open_it() {
    let (store, keys) = (Arc::new(Memory::new()), Arc::new(DomainKeys::generate().unwrap()));
    let engine = open(Arc::clone(&store) as _, Arc::clone(&keys)).await;
    let one = made(&engine, ONE, "").await.unwrap();
    set_open(&engine, ONE, false).await.unwrap();
    drop(engine);
    let mut batch = Batch::new();
    batch.delete(format!("account-facts/{ONE}/"));
    store.commit(batch).await.unwrap();
    let engine = open(Arc::clone(&store) as _, keys).await;
    assert_eq!(authenticate(&engine, &one).await, Err(Refusal::InternalFailure));
}

#[tokio::test]
async fn accounts_of_an_older_release_are_open_and_get_their_facts() {
    let engine = engine().await;
    let one = create_account(&engine, id(ONE), None).await.unwrap();
    assert_eq!(authenticate(&engine, &one).await, Ok(ONE.to_owned()));
    complete_accounts(&engine).await.unwrap();
    set_open(&engine, ONE, false).await.unwrap();
    complete_accounts(&engine).await.unwrap();
    assert_eq!(authenticate(&engine, &one).await, Err(Refusal::UnrecognizedClient), "completing changes nothing");
}

fn secret(text: &str) -> UnsealSecret {
    UnsealSecret::file(SecretBytes::from_slice(text.as_bytes())).unwrap()
}

#[tokio::test]
async fn only_the_secret_that_opens_the_keys_in_use_is_the_unseal_secret() {
    let (right, wrong) = ("the right unseal secret, 32 bytes", "another unseal secret of 32 bytes");
    let store = Arc::new(Memory::new());
    let keys = Deployment::initialise(&*store, &secret(right)).await.unwrap().keys;
    let engine = open(Arc::clone(&store) as _, keys).await;
    assert_eq!(engine.is_unseal_secret(secret(right)).await, Ok(true));
    assert_eq!(engine.is_unseal_secret(secret(wrong)).await, Ok(false));
    // Who can write the database puts keys of their own there, under a secret of their own.
    let other = Memory::new();
    Deployment::initialise(&other, &secret(wrong)).await.unwrap();
    let row = other.snapshot().await.unwrap().get(b"deployment/keys").await.unwrap().unwrap();
    let mut batch = Batch::new();
    batch.put("deployment/keys", row.value);
    store.commit(batch).await.unwrap();
    assert_eq!(engine.is_unseal_secret(secret(wrong)).await, Ok(false));
}
