//! Request quotas: which operations share one, and to whom a call is charged.

use std::sync::atomic::Ordering;

use claviger_api::kms::{
    CreateKeyRequest, DataKeyPairSpec, GenerateDataKeyPairRequest, GenerateMacRequest, GenerateRandomRequest, KeySpec,
    KeyUsageType, MacAlgorithmSpec, MessageType, PutKeyPolicyRequest, ReEncryptRequest, ReplicateKeyRequest, Request,
    SignRequest, SigningAlgorithmSpec,
};
use claviger_engine::Quotas;
use claviger_kms::REQUEST_QUOTAS;
use claviger_secret::SecretBytes;

use crate::{Base, OTHER, OWNER, World, arn, encrypt, request};

const THROTTLED: &str = "ThrottlingException";

/// A world whose quotas count from now on, with these rates.
fn limited(world: &World, rates: &[(&str, u32)]) {
    let mut quotas = Quotas::new(&[REQUEST_QUOTAS]);
    for (group, rate) in rates {
        quotas.set_rate(group, *rate).unwrap();
    }
    world.engine.set_quotas(quotas);
}

/// How many of 30 such calls are not throttled.
async fn passed(world: &World, account: &str, request: impl Fn() -> Request) -> usize {
    let mut passed = 0;
    for _ in 0..30 {
        let told = world.call_as(account, request()).await;
        passed += usize::from(told.err().is_none_or(|error| error.code != THROTTLED));
    }
    passed
}

async fn made(world: &World, spec: KeySpec, usage: KeyUsageType) -> String {
    let request = CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..CreateKeyRequest::default() };
    world.create_from(request).await.unwrap().key_id
}

fn random() -> Request {
    request!(GenerateRandom, GenerateRandomRequest { number_of_bytes: Some(8), ..GenerateRandomRequest::default() })
}

fn sign(key: &str) -> Request {
    let request = SignRequest {
        key_id: key.to_owned(),
        message: SecretBytes::from_slice(b"message"),
        message_type: Some(MessageType::Raw),
        signing_algorithm: SigningAlgorithmSpec::EcdsaSha256,
        grant_tokens: None,
        dry_run: None,
    };
    request!(Sign, request)
}

fn pair(key: &str, spec: DataKeyPairSpec) -> Request {
    let request = GenerateDataKeyPairRequest {
        key_id: key.to_owned(),
        key_pair_spec: spec,
        encryption_context: None,
        grant_tokens: None,
        recipient: None,
        dry_run: Some(true),
    };
    request!(GenerateDataKeyPair, request)
}

fn wall(base: &Base, millis: i64) {
    base.clock.wall.fetch_add(millis, Ordering::SeqCst);
}

#[tokio::test]
async fn create_key_has_five_a_second() {
    let (base, world) = World::new().await;
    limited(&world, &[]);
    for _ in 0..5 {
        world.create().await;
    }
    let error = world.create_from(CreateKeyRequest::default()).await.unwrap_err();
    assert_eq!((error.code, error.status), (THROTTLED, 400));
    let text = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
    assert_eq!(error.message.as_deref(), Some(text));
    assert!(world.engine.audit().lines().iter().any(|line| line.contains(THROTTLED)));
    wall(&base, 200);
    let key = world.create().await;
    assert!(world.create_from(CreateKeyRequest::default()).await.is_err());
    world.describe(&key).await.unwrap();
}

#[tokio::test]
async fn symmetric_requests_share_and_others_do_not() {
    let (_base, world) = World::new().await;
    let key = world.create().await;
    let mac = made(&world, KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac).await;
    let signing = made(&world, KeySpec::EccNistP256, KeyUsageType::SignVerify).await;
    limited(&world, &[("Symmetric", 5), ("ECC", 3)]);
    let blob = world.encrypt(&key, b"x").await.unwrap();
    world.decrypt(&blob).await.unwrap();
    world.call(random()).await.unwrap();
    let mac = GenerateMacRequest {
        message: SecretBytes::from_slice(b"m"),
        key_id: mac,
        mac_algorithm: MacAlgorithmSpec::HmacSha256,
        grant_tokens: None,
        dry_run: None,
    };
    world.call(request!(GenerateMac, mac)).await.unwrap();
    let again = ReEncryptRequest {
        ciphertext_blob: Some(blob.clone()),
        destination_key_id: key.clone(),
        ..ReEncryptRequest::default()
    };
    world.call(request!(ReEncrypt, again)).await.unwrap();
    assert_eq!(world.decrypt(&blob).await.unwrap_err().code, THROTTLED);
    assert_eq!(world.encrypt(&key, b"x").await.unwrap_err().code, THROTTLED);
    assert_eq!(world.call(random()).await.err().unwrap().code, THROTTLED);
    assert_eq!(passed(&world, OWNER, || sign(&signing)).await, 3);
    assert_eq!(passed(&world, OTHER, random).await, 5, "another account has its own");
}

#[tokio::test]
async fn each_spec_of_a_data_key_pair_has_its_own() {
    let (_base, world) = World::new().await;
    let key = world.create().await;
    limited(&world, &[]);
    for (spec, rate) in [(DataKeyPairSpec::Rsa4096, 1), (DataKeyPairSpec::Rsa3072, 4), (DataKeyPairSpec::Rsa2048, 20)] {
        assert_eq!(passed(&world, OWNER, || pair(&key, spec)).await, rate, "a dry run counts: {}", spec.as_str());
    }
}

#[tokio::test]
async fn what_is_refused_counts_against_the_caller() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    limited(&world, &[("Symmetric", 4)]);
    let ask = || request!(Encrypt, encrypt(&arn(&key), b"x"));
    assert_eq!(world.call_as(OTHER, ask()).await.err().unwrap().code, "AccessDeniedException");
    assert_eq!(passed(&world, OTHER, ask).await, 3);
    assert_eq!(passed(&world, OWNER, ask).await, 4, "the key's owner is not charged");
    wall(&base, 1_000);
    let absent = arn("1234abcd-12ab-34cd-56ef-1234567890ab");
    let ask = || request!(Encrypt, encrypt(&absent, b"x"));
    assert_eq!(passed(&world, OTHER, ask).await, 4, "nor is a key that is not there free");
}

#[tokio::test]
async fn a_shared_key_is_charged_to_who_uses_it() {
    let (_base, world) = World::new().await;
    let key = world.create().await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["{OWNER}","{OTHER}"]}},
        "Action":"kms:*","Resource":"*"}}]}}"#
    );
    let put = PutKeyPolicyRequest { key_id: key.clone(), policy, ..PutKeyPolicyRequest::default() };
    world.call(request!(PutKeyPolicy, put)).await.unwrap();
    limited(&world, &[("Symmetric", 4)]);
    for _ in 0..4 {
        world.encrypt_as(OTHER, &arn(&key), b"x").await.unwrap();
    }
    assert_eq!(world.encrypt_as(OTHER, &arn(&key), b"x").await.unwrap_err().code, THROTTLED);
    world.encrypt(&key, b"x").await.unwrap();
}

#[tokio::test]
async fn a_replica_costs_two_keys_where_it_is_made() {
    let (_base, world) = World::new().await;
    let request = CreateKeyRequest { multi_region: Some(true), ..CreateKeyRequest::default() };
    let key = world.create_from(request).await.unwrap().key_id;
    limited(&world, &[]);
    let replica = || ReplicateKeyRequest {
        key_id: key.clone(),
        replica_region: "eu-west-1".to_owned(),
        ..ReplicateKeyRequest::default()
    };
    assert!(world.call(request!(ReplicateKey, replica())).await.is_ok());
    assert_eq!(
        passed(&world, OWNER, || request!(ReplicateKey, replica())).await,
        1,
        "five keys a second are two replicas"
    );
    let create = || request!(CreateKey, CreateKeyRequest::default());
    assert!(world.call_in("eu-west-1", OWNER, create()).await.is_ok());
    assert!(world.call_in("eu-west-1", OWNER, create()).await.is_err());
    assert_eq!(passed(&world, OWNER, create).await, 5, "the primary's Region paid for none");
}

#[tokio::test]
async fn regions_are_apart() {
    let (_base, world) = World::new().await;
    limited(&world, &[("Symmetric", 2)]);
    assert_eq!(passed(&world, OWNER, random).await, 2);
    assert!(world.call_in("us-east-1", OWNER, random()).await.is_ok());
}
