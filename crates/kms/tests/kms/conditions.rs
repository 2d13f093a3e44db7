//! Conditions of key policies, through the engine: every condition key of the operations that are built, written from
//! reference/condition-keys.md, with what a client might try to slip past them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use claviger_api::kms::{
    CreateKeyRequest, DataKeyPairSpec, DecryptRequest, DeleteAliasRequest, DeriveSharedSecretRequest,
    DescribeKeyRequest, DryRunModifierType, EnableKeyRequest, EncapsulateRequest, EncapsulationAlgorithmSpec,
    EncryptRequest, EncryptionAlgorithmSpec, GenerateDataKeyPairRequest, GenerateDataKeyPairWithoutPlaintextRequest,
    GenerateDataKeyRequest, GenerateDataKeyWithoutPlaintextRequest, GenerateMacRequest, GetKeyPolicyRequest,
    GetPublicKeyRequest, KeyAgreementAlgorithmSpec, KeySpec, KeyUsageType, ListAliasesRequest, ListKeyPoliciesRequest,
    ListResourceTagsRequest, MacAlgorithmSpec, MessageType, PutKeyPolicyRequest, ReEncryptRequest, RecipientInfo,
    Request, ScheduleKeyDeletionRequest, SignRequest, SigningAlgorithmSpec, Tag, TagResourceRequest,
    UntagResourceRequest, UpdateAliasRequest, UpdateKeyDescriptionRequest, VerifyMacRequest, VerifyRequest,
};
use claviger_crypto::AttestationRoots;
use claviger_kms::Kms;
use claviger_secret::SecretBytes;

use crate::{OTHER, OWNER, World, encrypt, request};

/// The account's root may do everything, and this only under the condition.
fn only_if(action: &str, condition: &str) -> String {
    statements(&[("Allow", "NotAction", action, "{}".to_owned()), ("Allow", "Action", action, condition.to_owned())])
}

/// The account's root may do everything, but not this under the condition.
fn unless(action: &str, condition: &str) -> String {
    statements(&[("Allow", "Action", "kms:*", "{}".to_owned()), ("Deny", "Action", action, condition.to_owned())])
}

fn statements(parts: &[(&str, &str, &str, String)]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|(effect, element, action, condition)| {
            format!(
                r#"{{"Effect":"{effect}","Principal":{{"AWS":"arn:aws:iam::{OWNER}:root"}},"{element}":"{action}","Resource":"*","Condition":{condition}}}"#
            )
        })
        .collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, parts.join(","))
}

fn condition(operator: &str, key: &str, value: &str) -> String {
    format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)
}

/// A key under this policy.
async fn key_under(world: &World, kind: &CreateKeyRequest, policy: String) -> String {
    let bypass_policy_lockout_safety_check = Some(true);
    let request = CreateKeyRequest { policy: Some(policy), bypass_policy_lockout_safety_check, ..kind.clone() };
    world.create_from(request).await.unwrap().key_id
}

/// Whether the call is let through to its work, whatever comes of it there.
async fn may(world: &World, request: Request) -> bool {
    !matches!(world.call(request).await, Err(error) if error.code == "AccessDeniedException")
}

/// Whether the condition holds for the request: an Allow under it then allows, and a Deny denies.
async fn holds(
    world: &World,
    kind: &CreateKeyRequest,
    action: &str,
    condition: &str,
    ask: &dyn Fn(&str) -> Request,
) -> bool {
    let allows = may(world, ask(&key_under(world, kind, only_if(action, condition)).await)).await;
    let denies = !may(world, ask(&key_under(world, kind, unless(action, condition)).await)).await;
    assert_eq!(allows, denies, "{action} under {condition}");
    allows
}

/// What each line says: an operator, a key, a value, and whether that holds.
async fn check(
    world: &World,
    kind: &CreateKeyRequest,
    action: &str,
    ask: &dyn Fn(&str) -> Request,
    lines: &[(&str, &str, &str, bool)],
) {
    for (operator, key, value, expected) in lines {
        let condition = condition(operator, key, value);
        assert_eq!(holds(world, kind, action, &condition, ask).await, *expected, "{action}: {condition}");
    }
}

fn symmetric() -> CreateKeyRequest {
    CreateKeyRequest::default()
}

fn kind(spec: KeySpec, usage: KeyUsageType) -> CreateKeyRequest {
    CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..CreateKeyRequest::default() }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { tag_key: key.to_owned(), tag_value: value.to_owned() }
}

fn pairs(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn describe(key: &str) -> Request {
    request!(DescribeKey, DescribeKeyRequest { key_id: key.to_owned(), ..DescribeKeyRequest::default() })
}

fn encrypt_in(key: &str, context: &[(&str, &str)]) -> Request {
    request!(Encrypt, EncryptRequest { encryption_context: pairs(context), ..encrypt(key, b"x") })
}

fn message(bytes: &[u8]) -> SecretBytes {
    SecretBytes::from_slice(bytes)
}

fn sign(key: &str, message_type: Option<MessageType>) -> Request {
    let request = SignRequest {
        key_id: key.to_owned(),
        message: message(&[7; 32]),
        message_type,
        grant_tokens: None,
        signing_algorithm: SigningAlgorithmSpec::EcdsaSha256,
        dry_run: None,
    };
    request!(Sign, request)
}

/// A trial without ciphertext, on a key named by the request.
fn trial_decrypt(key: &str) -> DecryptRequest {
    DecryptRequest {
        key_id: Some(key.to_owned()),
        dry_run: Some(true),
        dry_run_modifiers: Some(vec![DryRunModifierType::IgnoreCiphertext]),
        ..DecryptRequest::default()
    }
}

fn trial_re_encrypt(from: &str, to: &str) -> ReEncryptRequest {
    ReEncryptRequest {
        source_key_id: Some(from.to_owned()),
        destination_key_id: to.to_owned(),
        dry_run: Some(true),
        dry_run_modifiers: Some(vec![DryRunModifierType::IgnoreCiphertext]),
        ..ReEncryptRequest::default()
    }
}

#[tokio::test]
async fn what_a_key_is() {
    let (_, world) = World::new().await;
    let lines = [
        ("StringEquals", "kms:CallerAccount", OWNER, true),
        ("StringEquals", "kms:CallerAccount", OTHER, false),
        ("StringEquals", "KMS:callerACCOUNT", OWNER, true),
        ("StringEquals", "kms:KeySpec", "ECC_NIST_P256", true),
        ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT", false),
        ("StringEquals", "kms:CustomerMasterKeySpec", "ECC_NIST_P256", true),
        ("StringEquals", "kms:CustomerMasterKeySpec", "RSA_2048", false),
        ("StringEquals", "kms:KeyUsage", "SIGN_VERIFY", true),
        ("StringEquals", "kms:KeyUsage", "KEY_AGREEMENT", false),
        ("StringEquals", "kms:CustomerMasterKeyUsage", "SIGN_VERIFY", true),
        ("StringEquals", "kms:CustomerMasterKeyUsage", "KEY_AGREEMENT", false),
        ("StringEquals", "kms:KeyOrigin", "AWS_KMS", true),
        ("StringEquals", "kms:KeyOrigin", "EXTERNAL", false),
        ("Bool", "kms:MultiRegion", "false", true),
        ("Bool", "kms:MultiRegion", "true", false),
        ("Null", "kms:MultiRegionKeyType", "true", true),
        ("Null", "kms:ViaService", "true", true),
        ("Null", "kms:ResourceAliases", "true", true),
        ("Null", "kms:RequestAlias", "true", true),
        ("StringNotEquals", "kms:ViaService", "s3.eu-central-1.amazonaws.com", true),
        ("StringEqualsIfExists", "kms:MultiRegionKeyType", "PRIMARY", true),
    ];
    check(&world, &kind(KeySpec::EccNistP256, KeyUsageType::SignVerify), "kms:DescribeKey", &describe, &lines).await;
}

/// The request of an operation on a symmetric key that is there for it alone.
fn every_request(action: &str, key: &str, other: &str) -> Request {
    let key_id = key.to_owned();
    match action {
        "kms:DescribeKey" => describe(key),
        "kms:Encrypt" => request!(Encrypt, encrypt(key, b"x")),
        "kms:Decrypt" => request!(Decrypt, trial_decrypt(key)),
        "kms:ReEncryptFrom" => request!(ReEncrypt, trial_re_encrypt(key, other)),
        "kms:ReEncryptTo" => request!(ReEncrypt, trial_re_encrypt(other, key)),
        "kms:GenerateDataKey" => {
            let number_of_bytes = Some(5);
            let rest = GenerateDataKeyRequest::default();
            request!(GenerateDataKey, GenerateDataKeyRequest { key_id, number_of_bytes, ..rest })
        }
        "kms:GetPublicKey" => request!(GetPublicKey, GetPublicKeyRequest { key_id, grant_tokens: None }),
        "kms:EnableKey" => request!(EnableKey, EnableKeyRequest { key_id }),
        "kms:UpdateKeyDescription" => {
            request!(UpdateKeyDescription, UpdateKeyDescriptionRequest { key_id, description: String::new() })
        }
        "kms:TagResource" => request!(TagResource, TagResourceRequest { key_id, tags: vec![tag("a", "b")] }),
        "kms:UntagResource" => {
            request!(UntagResource, UntagResourceRequest { key_id, tag_keys: vec!["a".to_owned()] })
        }
        "kms:ListResourceTags" => {
            request!(ListResourceTags, ListResourceTagsRequest { key_id, ..ListResourceTagsRequest::default() })
        }
        "kms:GetKeyPolicy" => request!(GetKeyPolicy, GetKeyPolicyRequest { key_id, policy_name: None }),
        "kms:ListKeyPolicies" => {
            request!(ListKeyPolicies, ListKeyPoliciesRequest { key_id, ..ListKeyPoliciesRequest::default() })
        }
        "kms:CreateAlias" => {
            let alias_name = format!("alias/{key}");
            request!(CreateAlias, claviger_api::kms::CreateAliasRequest { alias_name, target_key_id: key_id })
        }
        _ => panic!("no such action: {action}"),
    }
}

#[tokio::test]
async fn every_operation_on_a_key_says_what_the_key_is() {
    let (_, world) = World::new().await;
    let other = world.create().await;
    let tagged = CreateKeyRequest { tags: Some(vec![tag("Team", "blue")]), ..symmetric() };
    for action in [
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:GenerateDataKey",
        "kms:GetPublicKey",
        "kms:EnableKey",
        "kms:UpdateKeyDescription",
        "kms:TagResource",
        "kms:UntagResource",
        "kms:ListResourceTags",
        "kms:GetKeyPolicy",
        "kms:ListKeyPolicies",
        "kms:CreateAlias",
    ] {
        let lines = [
            ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT", true),
            ("StringEquals", "kms:KeySpec", "RSA_2048", false),
            ("StringEquals", "kms:CallerAccount", OWNER, true),
            ("StringEquals", "aws:ResourceTag/team", "blue", true),
            ("StringEquals", "aws:ResourceTag/team", "red", false),
        ];
        check(&world, &tagged, action, &|key| every_request(action, key, &other), &lines).await;
    }
}

#[tokio::test]
async fn how_something_is_encrypted() {
    let (_, world) = World::new().await;
    let lines = [
        ("StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", true),
        ("StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256", false),
        ("StringEquals", "kms:EncryptionContext:app", "bank", true),
        ("StringEquals", "kms:EncryptionContext:app", "Bank", false),
        ("StringEquals", "kms:EncryptionContext:other", "bank", false),
        ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "app", true),
        ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "App", false),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "app", false),
        ("Null", "kms:EncryptionContext:app", "false", true),
    ];
    let context = [("app", "bank"), ("stage", "test")];
    let encryption_context = || pairs(&context);
    check(&world, &symmetric(), "kms:Encrypt", &|key| encrypt_in(key, &context), &lines).await;
    let decrypt = |key: &str| {
        request!(Decrypt, DecryptRequest { encryption_context: encryption_context(), ..trial_decrypt(key) })
    };
    check(&world, &symmetric(), "kms:Decrypt", &decrypt, &lines).await;
    let data_key = |key: &str| {
        let request = GenerateDataKeyRequest {
            key_id: key.to_owned(),
            number_of_bytes: Some(9),
            encryption_context: encryption_context(),
            ..GenerateDataKeyRequest::default()
        };
        request!(GenerateDataKey, request)
    };
    check(&world, &symmetric(), "kms:GenerateDataKey", &data_key, &lines).await;
    let pair = |key: &str| {
        let request = GenerateDataKeyPairRequest {
            encryption_context: encryption_context(),
            ..data_key_pair(key, DataKeyPairSpec::EccNistP256)
        };
        request!(GenerateDataKeyPair, request)
    };
    check(&world, &symmetric(), "kms:GenerateDataKeyPair", &pair, &lines).await;
    let hidden = |key: &str| {
        let request = GenerateDataKeyWithoutPlaintextRequest {
            key_id: key.to_owned(),
            number_of_bytes: Some(9),
            encryption_context: encryption_context(),
            ..GenerateDataKeyWithoutPlaintextRequest::default()
        };
        request!(GenerateDataKeyWithoutPlaintext, request)
    };
    check(&world, &symmetric(), "kms:GenerateDataKeyWithoutPlaintext", &hidden, &lines).await;
    let hidden_pair = |key: &str| {
        let request = GenerateDataKeyPairWithoutPlaintextRequest {
            encryption_context: encryption_context(),
            key_id: key.to_owned(),
            key_pair_spec: DataKeyPairSpec::EccNistP256,
            grant_tokens: None,
            dry_run: None,
        };
        request!(GenerateDataKeyPairWithoutPlaintext, request)
    };
    check(&world, &symmetric(), "kms:GenerateDataKeyPairWithoutPlaintext", &hidden_pair, &lines).await;
    let lines = [
        ("StringEquals", "kms:DataKeyPairSpec", "ECC_NIST_P256", true),
        ("StringEquals", "kms:DataKeyPairSpec", "RSA_2048", false),
    ];
    check(&world, &symmetric(), "kms:GenerateDataKeyPair", &pair, &lines).await;
    check(&world, &symmetric(), "kms:GenerateDataKeyPairWithoutPlaintext", &hidden_pair, &lines).await;
    // The algorithm that is asked for counts, also where the key cannot do it.
    let oaep = Some(EncryptionAlgorithmSpec::RsaesOaepSha256);
    let ask = |key: &str| request!(Encrypt, EncryptRequest { encryption_algorithm: oaep, ..encrypt(key, b"x") });
    let lines = [("StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256", true)];
    check(&world, &symmetric(), "kms:Encrypt", &ask, &lines).await;
}

fn data_key_pair(key: &str, key_pair_spec: DataKeyPairSpec) -> GenerateDataKeyPairRequest {
    GenerateDataKeyPairRequest {
        encryption_context: None,
        key_id: key.to_owned(),
        key_pair_spec,
        grant_tokens: None,
        recipient: None,
        dry_run: None,
    }
}

#[tokio::test]
async fn the_two_sides_of_a_re_encryption() {
    let (_, world) = World::new().await;
    let other = world.create().await;
    let moved = |from: &str, to: &str| {
        let request = ReEncryptRequest {
            source_encryption_context: pairs(&[("side", "from")]),
            destination_encryption_context: pairs(&[("side", "to"), ("more", "x")]),
            ..trial_re_encrypt(from, to)
        };
        request!(ReEncrypt, request)
    };
    let lines = [
        ("StringEquals", "kms:EncryptionContext:side", "from", true),
        ("StringEquals", "kms:EncryptionContext:side", "to", false),
        ("Null", "kms:EncryptionContext:more", "true", true),
        ("Bool", "kms:ReEncryptOnSameKey", "false", true),
        ("StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", true),
    ];
    check(&world, &symmetric(), "kms:ReEncryptFrom", &|key| moved(key, &other), &lines).await;
    let lines = [
        ("StringEquals", "kms:EncryptionContext:side", "to", true),
        ("StringEquals", "kms:EncryptionContext:side", "from", false),
        ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "more", true),
        ("Bool", "kms:ReEncryptOnSameKey", "true", false),
    ];
    check(&world, &symmetric(), "kms:ReEncryptTo", &|key| moved(&other, key), &lines).await;
    let lines = [("Bool", "kms:ReEncryptOnSameKey", "true", true), ("Bool", "kms:ReEncryptOnSameKey", "false", false)];
    check(&world, &symmetric(), "kms:ReEncryptFrom", &|key| moved(key, key), &lines).await;
    check(&world, &symmetric(), "kms:ReEncryptTo", &|key| moved(key, key), &lines).await;
    let mixed = |key: &str| {
        let request = ReEncryptRequest {
            source_encryption_algorithm: Some(EncryptionAlgorithmSpec::RsaesOaepSha1),
            ..trial_re_encrypt(key, &other)
        };
        request!(ReEncrypt, request)
    };
    let lines = [("StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_1", true)];
    check(&world, &symmetric(), "kms:ReEncryptFrom", &mixed, &lines).await;
}

#[tokio::test]
async fn signatures_macs_and_agreements() {
    let (_, world) = World::new().await;
    let signing = kind(KeySpec::EccNistP256, KeyUsageType::SignVerify);
    let lines = [
        ("StringEquals", "kms:SigningAlgorithm", "ECDSA_SHA_256", true),
        ("StringEquals", "kms:SigningAlgorithm", "ECDSA_SHA_384", false),
        ("StringEquals", "kms:MessageType", "RAW", true),
        ("StringEquals", "kms:MessageType", "DIGEST", false),
    ];
    check(&world, &signing, "kms:Sign", &|key| sign(key, None), &lines).await;
    let verify = |key: &str| {
        let request = VerifyRequest {
            key_id: key.to_owned(),
            message: message(&[7; 32]),
            message_type: None,
            signature: vec![1; 70],
            signing_algorithm: SigningAlgorithmSpec::EcdsaSha256,
            grant_tokens: None,
            dry_run: None,
        };
        request!(Verify, request)
    };
    check(&world, &signing, "kms:Verify", &verify, &lines).await;
    let lines = [("StringEquals", "kms:MessageType", "DIGEST", true)];
    check(&world, &signing, "kms:Sign", &|key| sign(key, Some(MessageType::Digest)), &lines).await;

    let mac = |key: &str| {
        let request = GenerateMacRequest {
            message: message(b"m"),
            key_id: key.to_owned(),
            mac_algorithm: MacAlgorithmSpec::HmacSha256,
            grant_tokens: None,
            dry_run: None,
        };
        request!(GenerateMac, request)
    };
    let lines = [
        ("StringEquals", "kms:MacAlgorithm", "HMAC_SHA_256", true),
        ("StringEquals", "kms:MacAlgorithm", "HMAC_SHA_512", false),
    ];
    let macs = kind(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac);
    check(&world, &macs, "kms:GenerateMac", &mac, &lines).await;
    let verify_mac = |key: &str| {
        let request = VerifyMacRequest {
            message: message(b"m"),
            key_id: key.to_owned(),
            mac_algorithm: MacAlgorithmSpec::HmacSha256,
            mac: vec![1; 32],
            grant_tokens: None,
            dry_run: None,
        };
        request!(VerifyMac, request)
    };
    check(&world, &macs, "kms:VerifyMac", &verify_mac, &lines).await;

    let lines = [
        ("StringEquals", "kms:KeyAgreementAlgorithm", "ECDH", true),
        ("StringEquals", "kms:KeyAgreementAlgorithm", "SM2", false),
    ];
    let agreement = kind(KeySpec::EccNistP256, KeyUsageType::KeyAgreement);
    check(&world, &agreement, "kms:DeriveSharedSecret", &|key| derive(key, None), &lines).await;

    let encapsulate = |key: &str| {
        let request = EncapsulateRequest {
            key_id: key.to_owned(),
            encapsulation_algorithm: EncapsulationAlgorithmSpec::MlKem,
            grant_tokens: None,
            dry_run: None,
        };
        request!(Encapsulate, request)
    };
    let lines =
        [("StringEquals", "kms:KeySpec", "ML_KEM_512", true), ("StringEquals", "kms:KeyUsage", "KEY_AGREEMENT", false)];
    let kem = kind(KeySpec::MlKem512, KeyUsageType::EncapsulateDecapsulate);
    check(&world, &kem, "kms:Encapsulate", &encapsulate, &lines).await;
}

fn derive(key: &str, recipient: Option<RecipientInfo>) -> Request {
    let request = DeriveSharedSecretRequest {
        key_id: key.to_owned(),
        key_agreement_algorithm: KeyAgreementAlgorithmSpec::Ecdh,
        public_key: vec![1; 91],
        grant_tokens: None,
        dry_run: None,
        recipient,
    };
    request!(DeriveSharedSecret, request)
}

#[tokio::test]
async fn policies_and_deletions() {
    let (_, world) = World::new().await;
    let get = |name: Option<&str>| {
        let policy_name = name.map(str::to_owned);
        move |key: &str| {
            let (key_id, policy_name) = (key.to_owned(), policy_name.clone());
            request!(GetKeyPolicy, GetKeyPolicyRequest { key_id, policy_name })
        }
    };
    let lines =
        [("StringEquals", "kms:PolicyName", "default", true), ("StringEquals", "kms:PolicyName", "other", false)];
    check(&world, &symmetric(), "kms:GetKeyPolicy", &get(None), &lines).await;
    check(&world, &symmetric(), "kms:GetKeyPolicy", &get(Some("default")), &lines).await;
    let lines = [("StringEquals", "kms:PolicyName", "other", true)];
    check(&world, &symmetric(), "kms:GetKeyPolicy", &get(Some("other")), &lines).await;

    let put = |bypass: Option<bool>| {
        move |key: &str| {
            let request = PutKeyPolicyRequest {
                key_id: key.to_owned(),
                policy: only_if("kms:Encrypt", "{}"),
                policy_name: None,
                bypass_policy_lockout_safety_check: bypass,
            };
            request!(PutKeyPolicy, request)
        }
    };
    let name = "kms:BypassPolicyLockoutSafetyCheck";
    let action = "kms:PutKeyPolicy";
    check(&world, &symmetric(), action, &put(Some(true)), &[("Bool", name, "true", true)]).await;
    check(&world, &symmetric(), action, &put(Some(false)), &[("Bool", name, "true", false)]).await;
    let lines = [("Null", name, "true", true), ("StringEquals", "kms:PolicyName", "default", true)];
    check(&world, &symmetric(), action, &put(None), &lines).await;

    let schedule = |days: Option<i32>| {
        move |key: &str| {
            let request = ScheduleKeyDeletionRequest { key_id: key.to_owned(), pending_window_in_days: days };
            request!(ScheduleKeyDeletion, request)
        }
    };
    let name = "kms:ScheduleKeyDeletionPendingWindowInDays";
    let lines = [("NumericLessThan", name, "14", true), ("NumericEquals", name, "7", true)];
    check(&world, &symmetric(), "kms:ScheduleKeyDeletion", &schedule(Some(7)), &lines).await;
    let lines = [("NumericLessThan", name, "14", false), ("NumericEquals", name, "30", true)];
    check(&world, &symmetric(), "kms:ScheduleKeyDeletion", &schedule(None), &lines).await;
}

#[tokio::test]
async fn tags_of_keys_and_requests() {
    let (_, world) = World::new().await;
    let put = |tags: &[(&str, &str)]| {
        let tags: Vec<_> = tags.iter().map(|(key, value)| tag(key, value)).collect();
        move |key: &str| request!(TagResource, TagResourceRequest { key_id: key.to_owned(), tags: tags.clone() })
    };
    let lines = [
        ("StringEquals", "aws:RequestTag/Team", "blue", true),
        ("StringEquals", "aws:RequestTag/Team", "red", false),
        ("Null", "aws:RequestTag/cost", "true", true),
        ("ForAnyValue:StringEquals", "aws:TagKeys", "team", true),
        ("ForAllValues:StringEquals", "aws:TagKeys", "team", false),
        ("Null", "aws:ResourceTag/team", "true", true),
    ];
    check(&world, &symmetric(), "kms:TagResource", &put(&[("team", "blue"), ("x", "")]), &lines).await;
    let untag = |key: &str| {
        let tag_keys = vec!["team".to_owned(), "x".to_owned()];
        request!(UntagResource, UntagResourceRequest { key_id: key.to_owned(), tag_keys })
    };
    let lines = [
        ("ForAnyValue:StringEquals", "aws:TagKeys", "team", true),
        ("ForAllValues:StringEquals", "aws:TagKeys", "team", false),
        ("Null", "aws:RequestTag/team", "true", true),
    ];
    check(&world, &symmetric(), "kms:UntagResource", &untag, &lines).await;
    // A tag counts from the moment it is there until the moment it is not.
    let key = key_under(
        &world,
        &symmetric(),
        only_if("kms:Encrypt", &condition("StringEquals", "aws:ResourceTag/team", "blue")),
    )
    .await;
    for (request, after) in [
        (None, false),
        (Some(put(&[("team", "blue")])(&key)), true),
        (Some(put(&[("team", "red")])(&key)), false),
        (Some(put(&[("team", "blue")])(&key)), true),
        // Two tags that only differ in letter case: it cannot be told which counts, so nothing is allowed by it.
        (Some(put(&[("TEAM", "red")])(&key)), false),
        (Some(untag(&key)), false),
    ] {
        if let Some(request) = request {
            world.call(request).await.unwrap();
        }
        assert_eq!(may(&world, request!(Encrypt, encrypt(&key, b"x"))).await, after);
    }
}

#[tokio::test]
async fn by_which_alias() {
    let (_, world) = World::new().await;
    let by_name = condition("StringEquals", "kms:RequestAlias", "alias/front");
    for (policy, by_front) in [(only_if("kms:Encrypt", &by_name), true), (unless("kms:Encrypt", &by_name), false)] {
        let key = key_under(&world, &symmetric(), policy).await;
        world.alias("alias/front", &key).await.unwrap();
        world.alias("alias/back", &key).await.unwrap();
        let arn = |name: &str| format!("arn:aws:kms:{}:{OWNER}:{name}", crate::REGION);
        for (named, front) in [
            ("alias/front".to_owned(), true),
            (arn("alias/front"), true),
            ("alias/back".to_owned(), false),
            (arn("alias/back"), false),
            (key.clone(), false),
            (crate::arn(&key), false),
        ] {
            let allowed = may(&world, request!(Encrypt, encrypt(&named, b"x"))).await;
            assert_eq!(allowed, front == by_front, "{named}");
        }
        for alias_name in ["alias/front", "alias/back"] {
            let request = DeleteAliasRequest { alias_name: alias_name.to_owned() };
            world.call(request!(DeleteAlias, request)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn which_aliases_a_key_has() {
    let (base, world) = World::new().await;
    let prod = condition("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/prod*");
    let one = key_under(&world, &symmetric(), only_if("kms:Encrypt", &prod)).await;
    let two = key_under(&world, &symmetric(), unless("kms:Encrypt", &prod)).await;
    let both = async |world: &World, allowed: (bool, bool)| {
        let (first, second) = (encrypt(&one, b"x"), encrypt(&two, b"x"));
        let told = (may(world, request!(Encrypt, first)).await, may(world, request!(Encrypt, second)).await);
        assert_eq!(told, allowed);
    };
    both(&world, (false, true)).await;
    world.alias("alias/production", &one).await.unwrap();
    world.alias("alias/other", &two).await.unwrap();
    both(&world, (true, true)).await;
    let moved = |to: &str| {
        let (alias_name, target_key_id) = ("alias/production".to_owned(), to.to_owned());
        request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id })
    };
    world.call(moved(&two)).await.unwrap();
    both(&world, (false, false)).await;
    // To where it is already.
    world.call(moved(&two)).await.unwrap();
    both(&world, (false, false)).await;
    drop(world);
    let world = base.open().await.unwrap();
    both(&world, (false, false)).await;
    let request = DeleteAliasRequest { alias_name: "alias/production".to_owned() };
    world.call(request!(DeleteAlias, request)).await.unwrap();
    both(&world, (false, true)).await;
}

/// A move of an alias asks both keys, each about itself.
#[tokio::test]
async fn both_keys_of_an_alias_that_moves() {
    let (_, world) = World::new().await;
    let moved = |name: &str, to: &str| {
        let (alias_name, target_key_id) = (name.to_owned(), to.to_owned());
        request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id })
    };
    let kept = condition("ForAnyValue:StringEquals", "kms:ResourceAliases", "alias/kept");
    let fixed = key_under(&world, &symmetric(), unless("kms:UpdateAlias", &kept)).await;
    let bare = condition("Null", "kms:ResourceAliases", "true");
    let closed = key_under(&world, &symmetric(), unless("kms:UpdateAlias", &bare)).await;
    let open = world.create().await;
    world.alias("alias/kept", &fixed).await.unwrap();
    world.alias("alias/loose", &open).await.unwrap();
    assert!(!may(&world, moved("alias/kept", &open)).await, "the key that it leaves");
    assert!(!may(&world, moved("alias/loose", &closed)).await, "the key that it comes to");
    world.alias("alias/first", &closed).await.unwrap();
    assert!(may(&world, moved("alias/loose", &closed)).await);
    assert!(may(&world, moved("alias/loose", &open)).await);
    let request = |alias_name: &str| request!(DeleteAlias, DeleteAliasRequest { alias_name: alias_name.to_owned() });
    let kept = key_under(&world, &symmetric(), unless("kms:DeleteAlias", &kept)).await;
    world.call(request("alias/kept")).await.unwrap();
    world.alias("alias/kept", &kept).await.unwrap();
    assert!(!may(&world, request("alias/kept")).await);
}

/// What a caller can write into an encryption context to get past a condition.
#[tokio::test]
async fn contexts_that_pretend() {
    let (_, world) = World::new().await;
    let encrypted = |context: &'static [(&'static str, &'static str)]| move |key: &str| encrypt_in(key, context);
    let action = "kms:Encrypt";
    let key = "kms:EncryptionContext:app";
    // Names are the same in any letter case; what only looks like a letter is none.
    check(&world, &symmetric(), action, &encrypted(&[("APP", "good")]), &[("StringEquals", key, "good", true)]).await;
    let kelvin = [("StringEquals", "kms:EncryptionContext:key", "good", false)];
    check(&world, &symmetric(), action, &encrypted(&[("\u{212a}ey", "good")]), &kelvin).await;
    // Values are text, never patterns and never variables.
    for value in ["*", "good*", "?ood", "${aws:PrincipalAccount}", "go\u{d}od"] {
        let context = [("app", value)];
        let lines = [("StringLike", key, "good", false), ("StringEquals", key, "good", false)];
        check(&world, &symmetric(), action, &|id| encrypt_in(id, &context), &lines).await;
    }
    let lines = [
        ("StringEquals", key, "good*", false),
        ("StringLike", key, "good*", true),
        ("StringEquals", key, "${aws:PrincipalAccount}", false),
    ];
    check(&world, &symmetric(), action, &encrypted(&[("app", "goodbye")]), &lines).await;
    let lines = [("StringEquals", key, "${aws:PrincipalAccount}", true)];
    check(&world, &symmetric(), action, &encrypted(&[("app", OWNER)]), &lines).await;
    // Absent: negations hold, and so does what only looks where something is.
    let lines = [
        ("StringNotEquals", key, "good", true),
        ("StringNotLike", key, "*", true),
        ("StringEquals", key, "good", false),
        ("StringLike", key, "*", false),
        ("StringEqualsIfExists", key, "good", true),
        ("Null", key, "true", true),
        ("Null", "kms:EncryptionContextKeys", "true", true),
        ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "app", false),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "app", true),
    ];
    check(&world, &symmetric(), action, &encrypted(&[]), &lines).await;
    // Two names that are one: it cannot be told which counts, so no Allow is met and every Deny is.
    let twice: &[(&str, &str)] = &[("app", "good"), ("APP", "bad")];
    for value in ["good", "bad", "neither"] {
        for operator in ["StringEquals", "StringNotEquals"] {
            let asked = condition(operator, key, value);
            for policy in [only_if(action, &asked), unless(action, &asked)] {
                let id = key_under(&world, &symmetric(), policy).await;
                assert!(!may(&world, encrypt_in(&id, twice)).await, "{asked}");
            }
        }
    }
}

/// Made by tests/support/attestation.py under a root of its own (crates/crypto/testdata/attestation/README.md).
const DOCUMENT: &[u8] = include_bytes!("../../../crypto/testdata/attestation/python.cose");
const ROOT: &str = "a87fee0e634d9deedfa731ba733163e73f2eb72aa5c4c48a9b0852e3b5c38a1d";
/// 15 June 2026, 12:00 UTC.
const SIGNED: i64 = 1_781_524_800_000;

#[tokio::test]
async fn whom_the_answer_is_for() {
    let (base, mut world) = World::new().await;
    base.clock.wall.store(SIGNED, Ordering::SeqCst);
    let root = hex::decode(ROOT).unwrap().try_into().unwrap();
    world.kms = Kms::new(AttestationRoots::from_fingerprints([root]));
    let recipient = Some(RecipientInfo { attestation_document: Some(DOCUMENT.to_vec()), ..RecipientInfo::default() });
    let image: String = (0..48).map(|byte| format!("{byte:02x}")).collect();
    let image = image.as_str();
    let attested = [
        ("StringEqualsIgnoreCase", "kms:RecipientAttestation:ImageSha384", image, true),
        ("StringEqualsIgnoreCase", "kms:RecipientAttestation:PCR0", image, true),
        ("StringEqualsIgnoreCase", "kms:RecipientAttestation:PCR8", image, false),
        ("Null", "kms:RecipientAttestation:PCR8", "false", true),
        ("Null", "kms:RecipientAttestation:PCR1", "true", true),
        ("Null", "kms:RecipientAttestation:NitroTPMPCR0", "true", true),
    ];
    let nobody = [
        ("Null", "kms:RecipientAttestation:ImageSha384", "true", true),
        ("StringEqualsIgnoreCase", "kms:RecipientAttestation:PCR0", image, false),
    ];
    for (recipient, lines) in [(recipient, &attested[..]), (None, &nobody[..])] {
        let recipient = || recipient.clone();
        let decrypt = |key: &str| request!(Decrypt, DecryptRequest { recipient: recipient(), ..trial_decrypt(key) });
        check(&world, &symmetric(), "kms:Decrypt", &decrypt, lines).await;
        let data_key = |key: &str| {
            let request = GenerateDataKeyRequest {
                key_id: key.to_owned(),
                number_of_bytes: Some(9),
                recipient: recipient(),
                ..GenerateDataKeyRequest::default()
            };
            request!(GenerateDataKey, request)
        };
        check(&world, &symmetric(), "kms:GenerateDataKey", &data_key, lines).await;
        let pair = |key: &str| {
            let asked = data_key_pair(key, DataKeyPairSpec::EccNistP256);
            request!(GenerateDataKeyPair, GenerateDataKeyPairRequest { recipient: recipient(), ..asked })
        };
        check(&world, &symmetric(), "kms:GenerateDataKeyPair", &pair, lines).await;
        let agreement = kind(KeySpec::EccNistP256, KeyUsageType::KeyAgreement);
        check(&world, &agreement, "kms:DeriveSharedSecret", &|key| derive(key, recipient()), lines).await;
    }
}

#[tokio::test]
async fn the_record_names_the_material_also_when_the_answer_is_for_a_recipient() {
    let (base, mut world) = World::new().await;
    base.clock.wall.store(SIGNED, Ordering::SeqCst);
    let root = hex::decode(ROOT).unwrap().try_into().unwrap();
    world.kms = Kms::new(AttestationRoots::from_fingerprints([root]));
    let key = world.create().await;
    let material = world.describe(&key).await.unwrap().current_key_material_id.unwrap();
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    let recipient = Some(RecipientInfo { attestation_document: Some(DOCUMENT.to_vec()), ..RecipientInfo::default() });
    let request = DecryptRequest { ciphertext_blob: Some(blob), recipient, ..DecryptRequest::default() };
    world.call(request!(Decrypt, request)).await.unwrap();
    let line = world.engine.audit().lines().into_iter().rfind(|line| line.contains("\"Decrypt\"")).unwrap();
    assert!(line.contains("attestationDocumentModuleId"), "{line}");
    assert!(line.contains(&format!("\"keyMaterialId\":\"{material}\"")), "{line}");
}

#[tokio::test]
async fn conditions_that_are_refused_when_they_are_saved() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    for (asked, beginning) in [
        (condition("ForAllValues:StringEquals", "kms:EncryptionContext:app", "x"), "OverlyPermissiveCondition"),
        (condition("ForAllValues:StringLike", "aws:RequestTag/team", "x"), "OverlyPermissiveCondition"),
        (condition("NumericLessThan", "kms:TrailingDaysWithoutKeyUsages", "30"), ""),
        (condition("StringEquals", "kms:EncryptionContext:", "x"), ""),
        (condition("StringEquals", "kms:RecipientAttestation:PCR32", "x"), ""),
        (condition("StringEquals", "kms:Keyspec ", "x"), ""),
        (condition("StringSame", "kms:KeySpec", "x"), ""),
        (condition("NumericEquals", "kms:MultiRegion", "1"), ""),
    ] {
        let policy = unless("kms:Encrypt", &asked);
        let put = PutKeyPolicyRequest {
            key_id: key.clone(),
            policy: policy.clone(),
            policy_name: None,
            bypass_policy_lockout_safety_check: Some(true),
        };
        let told = [
            world.call(request!(PutKeyPolicy, put)).await.map(drop).unwrap_err(),
            world.create_from(CreateKeyRequest { policy: Some(policy), ..symmetric() }).await.unwrap_err(),
        ];
        for error in told {
            assert_eq!(error.code, "MalformedPolicyDocumentException", "{asked}");
            assert!(error.message.unwrap().starts_with(beginning), "{asked}");
        }
    }
}

/// Whether the next policy could be put is judged with the conditions of the new one.
#[tokio::test]
async fn a_condition_may_lock_its_author_out() {
    let (_, world) = World::new().await;
    let tags = Some(vec![tag("team", "blue")]);
    for (asked, keeps) in [
        (condition("StringEquals", "kms:CallerAccount", OWNER), true),
        (condition("StringEquals", "kms:CallerAccount", OTHER), false),
        (condition("StringEquals", "kms:PolicyName", "default"), true),
        (condition("StringEquals", "aws:ResourceTag/team", "blue"), true),
        (condition("StringEquals", "aws:ResourceTag/team", "red"), false),
        (condition("Bool", "kms:BypassPolicyLockoutSafetyCheck", "true"), false),
    ] {
        for (policy, kept) in [(only_if("kms:*", &asked), keeps), (unless("kms:*", &asked), !keeps)] {
            let request = CreateKeyRequest { policy: Some(policy.clone()), tags: tags.clone(), ..symmetric() };
            let told = world.create_from(request).await.map(drop).map_err(|error| error.code);
            assert_eq!(told.is_ok(), kept, "{policy}");
            let made = world.create_from(CreateKeyRequest { tags: tags.clone(), ..symmetric() }).await.unwrap();
            let put = PutKeyPolicyRequest {
                key_id: made.key_id,
                policy,
                policy_name: None,
                bypass_policy_lockout_safety_check: None,
            };
            assert_eq!(world.call(request!(PutKeyPolicy, put)).await.map(drop).map_err(|error| error.code), told);
        }
    }
}

#[tokio::test]
async fn lists_have_no_keys_to_ask_about() {
    let (_, world) = World::new().await;
    // The key's own policy has no say in a list of aliases, with the key's name or without.
    let policy = unless("kms:ListAliases", &condition("StringEquals", "kms:CallerAccount", OWNER));
    let key = key_under(&world, &symmetric(), policy).await;
    let request = ListAliasesRequest { key_id: Some(key), ..ListAliasesRequest::default() };
    assert!(may(&world, request!(ListAliases, request)).await);
}
