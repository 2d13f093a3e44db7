//! Key state x operation, transcribed from reference/key-states.md (not from the code's own table).

use claviger_api::kms::{
    CancelKeyDeletionRequest, DataKeyPairSpec, DecapsulateRequest, DecryptRequest, DeleteAliasRequest,
    DeriveSharedSecretRequest, DescribeKeyRequest, EnableKeyRequest, EncapsulateRequest, EncapsulationAlgorithmSpec,
    GenerateDataKeyPairRequest, GenerateDataKeyPairWithoutPlaintextRequest, GenerateDataKeyRequest,
    GenerateDataKeyWithoutPlaintextRequest, GenerateMacRequest, GetKeyLastUsageRequest, GetKeyPolicyRequest,
    GetPublicKeyRequest, KeyAgreementAlgorithmSpec, KeySpec, KeyUsageType, ListAliasesRequest, ListKeyPoliciesRequest,
    ListResourceTagsRequest, MacAlgorithmSpec, PutKeyPolicyRequest, ReEncryptRequest, Request, Response,
    ScheduleKeyDeletionRequest, SignRequest, SigningAlgorithmSpec, Tag, TagResourceRequest, UntagResourceRequest,
    UpdateAliasRequest, UpdateKeyDescriptionRequest, VerifyMacRequest, VerifyRequest,
};
use claviger_api::kms::{CreateAliasRequest, CreateKeyRequest, DataKeySpec, DisableKeyRequest};
use claviger_secret::SecretBytes;

use crate::{World, arn, encrypt, request};

/// Operation, then the result for a key that is Enabled, Disabled, PendingDeletion. A name behind a slash is a
/// variant: which of two keys or aliases the state is of.
const TABLE: &str = "
    CancelKeyDeletion                N4  N4  ok
    CreateAlias                      ok  ok  S3
    Decapsulate                      ok  D1  P
    Decrypt                          ok  D1  P
    DeleteAlias                      ok  ok  ok
    DeriveSharedSecret               ok  D1  P
    DescribeKey                      ok  ok  ok
    DisableKey                       ok  ok  S3
    EnableKey                        ok  ok  S3
    Encapsulate                      ok  D1  P
    Encrypt                          ok  D1  P
    GenerateDataKey                  ok  D1  P
    GenerateDataKeyPair              ok  D1  P
    GenerateDataKeyPairWithoutPlaintext ok D1 P
    GenerateDataKeyWithoutPlaintext  ok  D1  P
    GenerateMac                      ok  D1  P
    GetKeyLastUsage                  ok  ok  ok
    GetKeyPolicy                     ok  ok  ok
    GetPublicKey                     ok  ok  S3
    ListAliases                      ok  ok  ok
    ListKeyPolicies                  ok  ok  ok
    ListResourceTags                 ok  ok  ok
    PutKeyPolicy                     ok  ok  ok
    ReEncrypt/source                 ok  D1  P
    ReEncrypt/destination            ok  D1  P
    ScheduleKeyDeletion              ok  ok  S3
    Sign                             ok  D1  P
    TagResource                      ok  ok  S3
    UntagResource                    ok  ok  S3
    UpdateAlias/to                   ok  ok  S3
    UpdateAlias/from                 ok  ok  ok
    UpdateKeyDescription             ok  ok  S3
    Verify                           ok  D1  P
    VerifyMac                        ok  D1  P
";

/// The code and text behind a cell.
fn expected(cell: &str, key: &str) -> Option<(&'static str, String)> {
    let arn = arn(key);
    match cell {
        "ok" => None,
        "D1" => Some(("DisabledException", format!("{arn} is disabled."))),
        "P" | "S3" => Some(("KMSInvalidStateException", format!("{arn} is pending deletion."))),
        "N4" => Some(("KMSInvalidStateException", format!("{arn} is not pending deletion."))),
        _ => panic!("no such code: {cell}"),
    }
}

/// What the operations need besides the key.
pub(crate) struct Stage {
    pub(crate) key: String,
    pub(crate) other: String,
    blob: Vec<u8>,
    other_blob: Vec<u8>,
    policy: String,
}

fn re_encrypt(blob: &[u8], to: &str) -> Request {
    request!(
        ReEncrypt,
        ReEncryptRequest {
            ciphertext_blob: Some(blob.to_vec()),
            destination_key_id: to.to_owned(),
            ..ReEncryptRequest::default()
        }
    )
}

pub(crate) fn ask(operation: &str, stage: &Stage) -> Request {
    let key_id = stage.key.clone();
    match operation {
        "CancelKeyDeletion" => request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id }),
        "CreateAlias" => {
            request!(CreateAlias, CreateAliasRequest { alias_name: "alias/new".to_owned(), target_key_id: key_id })
        }
        "Decrypt" => {
            let ciphertext_blob = Some(stage.blob.clone());
            request!(Decrypt, DecryptRequest { ciphertext_blob, ..DecryptRequest::default() })
        }
        "DeleteAlias" => request!(DeleteAlias, DeleteAliasRequest { alias_name: "alias/its".to_owned() }),
        "DescribeKey" => request!(DescribeKey, DescribeKeyRequest { key_id, ..DescribeKeyRequest::default() }),
        "DisableKey" => request!(DisableKey, DisableKeyRequest { key_id }),
        "EnableKey" => request!(EnableKey, EnableKeyRequest { key_id }),
        "Encrypt" => request!(Encrypt, encrypt(&key_id, b"x")),
        "GenerateDataKey" => {
            let key_spec = Some(DataKeySpec::Aes256);
            request!(GenerateDataKey, GenerateDataKeyRequest { key_id, key_spec, ..GenerateDataKeyRequest::default() })
        }
        "GenerateDataKeyWithoutPlaintext" => {
            let rest = GenerateDataKeyWithoutPlaintextRequest::default();
            let number_of_bytes = Some(7);
            let asked = GenerateDataKeyWithoutPlaintextRequest { key_id, number_of_bytes, ..rest };
            request!(GenerateDataKeyWithoutPlaintext, asked)
        }
        "GetKeyLastUsage" => request!(GetKeyLastUsage, GetKeyLastUsageRequest { key_id }),
        "GetKeyPolicy" => request!(GetKeyPolicy, GetKeyPolicyRequest { key_id, ..GetKeyPolicyRequest::default() }),
        "ListAliases" => {
            request!(ListAliases, ListAliasesRequest { key_id: Some(key_id), ..ListAliasesRequest::default() })
        }
        "ListKeyPolicies" => {
            request!(ListKeyPolicies, ListKeyPoliciesRequest { key_id, ..ListKeyPoliciesRequest::default() })
        }
        _ => ask_more(operation, stage),
    }
}

fn ask_more(operation: &str, stage: &Stage) -> Request {
    let key_id = stage.key.clone();
    match operation {
        "ListResourceTags" => {
            request!(ListResourceTags, ListResourceTagsRequest { key_id, ..ListResourceTagsRequest::default() })
        }
        "PutKeyPolicy" => {
            let policy = stage.policy.clone();
            request!(PutKeyPolicy, PutKeyPolicyRequest { key_id, policy, ..PutKeyPolicyRequest::default() })
        }
        "ReEncrypt/source" => re_encrypt(&stage.blob, &stage.other),
        "ReEncrypt/destination" => re_encrypt(&stage.other_blob, &stage.key),
        "ScheduleKeyDeletion" => {
            let rest = ScheduleKeyDeletionRequest::default();
            request!(ScheduleKeyDeletion, ScheduleKeyDeletionRequest { key_id, ..rest })
        }
        "TagResource" => {
            let tags = vec![Tag { tag_key: "a".to_owned(), tag_value: "b".to_owned() }];
            request!(TagResource, TagResourceRequest { key_id, tags })
        }
        "UntagResource" => {
            request!(UntagResource, UntagResourceRequest { key_id, tag_keys: vec!["a".to_owned()] })
        }
        "UpdateAlias/to" => {
            let alias_name = "alias/others".to_owned();
            request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id: key_id })
        }
        "UpdateAlias/from" => {
            let alias_name = "alias/its".to_owned();
            request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id: stage.other.clone() })
        }
        "UpdateKeyDescription" => {
            let description = "new".to_owned();
            request!(UpdateKeyDescription, UpdateKeyDescriptionRequest { key_id, description })
        }
        _ => ask_of_pairs(operation, stage),
    }
}

fn message() -> SecretBytes {
    SecretBytes::from_slice(b"message")
}

fn ask_of_pairs(operation: &str, stage: &Stage) -> Request {
    let (key_id, made) = (stage.key.clone(), stage.blob.clone());
    let (encryption_context, grant_tokens, dry_run) = (None, None, None);
    match operation {
        "GenerateDataKeyPair" => {
            let (key_pair_spec, recipient) = (DataKeyPairSpec::EccNistP256, None);
            request!(
                GenerateDataKeyPair,
                GenerateDataKeyPairRequest {
                    encryption_context,
                    key_id,
                    key_pair_spec,
                    grant_tokens,
                    recipient,
                    dry_run
                }
            )
        }
        "GenerateDataKeyPairWithoutPlaintext" => {
            let key_pair_spec = DataKeyPairSpec::EccNistP256;
            request!(
                GenerateDataKeyPairWithoutPlaintext,
                GenerateDataKeyPairWithoutPlaintextRequest {
                    encryption_context,
                    key_id,
                    key_pair_spec,
                    grant_tokens,
                    dry_run
                }
            )
        }
        "GetPublicKey" => request!(GetPublicKey, GetPublicKeyRequest { key_id, grant_tokens }),
        "Sign" => {
            let (message, message_type, signing_algorithm) = (message(), None, SigningAlgorithmSpec::EcdsaSha256);
            request!(Sign, SignRequest { key_id, message, message_type, grant_tokens, signing_algorithm, dry_run })
        }
        "Verify" => {
            let (message, message_type, signing_algorithm) = (message(), None, SigningAlgorithmSpec::EcdsaSha256);
            let signature = made;
            request!(
                Verify,
                VerifyRequest { key_id, message, message_type, signature, signing_algorithm, grant_tokens, dry_run }
            )
        }
        "GenerateMac" => {
            let (message, mac_algorithm) = (message(), MacAlgorithmSpec::HmacSha256);
            request!(GenerateMac, GenerateMacRequest { message, key_id, mac_algorithm, grant_tokens, dry_run })
        }
        "VerifyMac" => {
            let (message, mac_algorithm, mac) = (message(), MacAlgorithmSpec::HmacSha256, made);
            request!(VerifyMac, VerifyMacRequest { message, key_id, mac_algorithm, mac, grant_tokens, dry_run })
        }
        "DeriveSharedSecret" => {
            let (key_agreement_algorithm, public_key) = (KeyAgreementAlgorithmSpec::Ecdh, stage.other_blob.clone());
            let recipient = None;
            request!(
                DeriveSharedSecret,
                DeriveSharedSecretRequest {
                    key_id,
                    key_agreement_algorithm,
                    public_key,
                    grant_tokens,
                    dry_run,
                    recipient
                }
            )
        }
        "Encapsulate" => {
            let encapsulation_algorithm = EncapsulationAlgorithmSpec::MlKem;
            request!(Encapsulate, EncapsulateRequest { key_id, encapsulation_algorithm, grant_tokens, dry_run })
        }
        "Decapsulate" => {
            let (shared_secret_ciphertext_blob, encapsulation_algorithm) = (made, EncapsulationAlgorithmSpec::MlKem);
            request!(
                Decapsulate,
                DecapsulateRequest {
                    key_id,
                    shared_secret_ciphertext_blob,
                    encapsulation_algorithm,
                    grant_tokens,
                    dry_run
                }
            )
        }
        _ => panic!("no such operation: {operation}"),
    }
}

/// Which kind of key the operation is for.
fn kind(operation: &str) -> (KeySpec, KeyUsageType) {
    match operation {
        "Sign" | "Verify" | "GetPublicKey" => (KeySpec::EccNistP256, KeyUsageType::SignVerify),
        "GenerateMac" | "VerifyMac" => (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac),
        "DeriveSharedSecret" => (KeySpec::EccNistP256, KeyUsageType::KeyAgreement),
        "Encapsulate" | "Decapsulate" => (KeySpec::MlKem512, KeyUsageType::EncapsulateDecapsulate),
        _ => (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt),
    }
}

/// What the key makes, for the operation that takes it back: a ciphertext, signature, MAC or encapsulation.
async fn made_by(world: &World, key: &str, usage: KeyUsageType) -> Vec<u8> {
    let maker = match usage {
        KeyUsageType::EncryptDecrypt => return world.encrypt(key, b"its").await.unwrap(),
        KeyUsageType::SignVerify => "Sign",
        KeyUsageType::GenerateVerifyMac => "GenerateMac",
        KeyUsageType::EncapsulateDecapsulate => "Encapsulate",
        KeyUsageType::KeyAgreement => "GetPublicKey",
    };
    let none = || (String::new(), Vec::new());
    let ((other, blob), other_blob, policy) = (none(), Vec::new(), String::new());
    match world.call(ask_of_pairs(maker, &Stage { key: key.to_owned(), other, blob, other_blob, policy })).await {
        Ok(Response::Sign(made)) => made.signature.unwrap(),
        Ok(Response::GenerateMac(made)) => made.mac.unwrap(),
        Ok(Response::Encapsulate(made)) => made.shared_secret_ciphertext_blob.unwrap(),
        Ok(Response::GetPublicKey(made)) => made.public_key.unwrap(),
        _ => panic!("another response"),
    }
}

pub(crate) async fn stage(world: &World, operation: &str, state: usize) -> Stage {
    let (spec, usage) = kind(operation);
    let create = async || {
        let rest = CreateKeyRequest::default();
        let asked = CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..rest };
        world.create_from(asked).await.unwrap().key_id
    };
    let (key, other) = (create().await, create().await);
    world.alias("alias/its", &key).await.unwrap();
    world.alias("alias/others", &other).await.unwrap();
    let blob = made_by(world, &key, usage).await;
    let other_blob = made_by(world, &other, usage).await;
    match state {
        0 => {}
        1 => drop(world.disable(&key).await.unwrap()),
        _ => drop(world.schedule(&key).await.unwrap()),
    }
    let policy = claviger_policy::default_key_policy(claviger_policy::AccountId::parse(crate::OWNER).unwrap());
    Stage { key, other, blob, other_blob, policy }
}

#[tokio::test]
async fn every_operation_in_every_state() {
    for line in TABLE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (state, cell) in words[1..].iter().enumerate() {
            let (base, world) = World::new().await;
            world.track().await;
            let stage = stage(&world, words[0], state).await;
            let before = crate::rows(&*base.store).await;
            let told = world.call(ask(words[0], &stage)).await;
            let told = told.err().map(|error| (error.code, error.message.unwrap_or_default()));
            assert_eq!(told, expected(cell, &stage.key), "{} in state {state}", words[0]);
            if told.is_some() {
                assert!(before == crate::rows(&*base.store).await, "{} refused, yet wrote", words[0]);
            }
        }
    }
}

#[tokio::test]
async fn states_lead_to_states() {
    use claviger_api::kms::KeyState;
    let (_, world) = World::new().await;
    let key = world.create().await;
    let state = async || world.describe(&key).await.unwrap().key_state.unwrap();
    assert_eq!(state().await, KeyState::Enabled);
    world.schedule(&key).await.unwrap();
    let pending = world.describe(&key).await.unwrap();
    assert_eq!((pending.key_state, pending.enabled), (Some(KeyState::PendingDeletion), Some(false)));
    assert_eq!(pending.deletion_date.unwrap().millis(), crate::START + 7 * crate::DAY);
    let cancel = CancelKeyDeletionRequest { key_id: key.clone() };
    world.call(request!(CancelKeyDeletion, cancel)).await.unwrap();
    assert_eq!(state().await, KeyState::Disabled);
    assert_eq!(world.describe(&key).await.unwrap().deletion_date, None);
    world.call(request!(EnableKey, EnableKeyRequest { key_id: key.clone() })).await.unwrap();
    assert_eq!(state().await, KeyState::Enabled);
    world.encrypt(&key, b"x").await.unwrap();
}
