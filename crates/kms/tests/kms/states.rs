//! Key state x operation, transcribed from reference/key-states.md (not from the code's own table).

use claviger_api::kms::{
    CancelKeyDeletionRequest, DecryptRequest, DeleteAliasRequest, DescribeKeyRequest, EnableKeyRequest,
    GenerateDataKeyRequest, GenerateDataKeyWithoutPlaintextRequest, GetKeyPolicyRequest, ListAliasesRequest,
    ListKeyPoliciesRequest, ListResourceTagsRequest, PutKeyPolicyRequest, ReEncryptRequest, Request,
    ScheduleKeyDeletionRequest, Tag, TagResourceRequest, UntagResourceRequest, UpdateAliasRequest,
    UpdateKeyDescriptionRequest,
};
use claviger_api::kms::{CreateAliasRequest, DataKeySpec, DisableKeyRequest};

use crate::{World, arn, encrypt, request};

/// Operation, then the result for a key that is Enabled, Disabled, PendingDeletion. A name behind a slash is a
/// variant: which of two keys or aliases the state is of.
const TABLE: &str = "
    CancelKeyDeletion                N4  N4  ok
    CreateAlias                      ok  ok  S3
    Decrypt                          ok  D1  P
    DeleteAlias                      ok  ok  ok
    DescribeKey                      ok  ok  ok
    DisableKey                       ok  ok  S3
    EnableKey                        ok  ok  S3
    Encrypt                          ok  D1  P
    GenerateDataKey                  ok  D1  P
    GenerateDataKeyWithoutPlaintext  ok  D1  P
    GetKeyPolicy                     ok  ok  ok
    ListAliases                      ok  ok  ok
    ListKeyPolicies                  ok  ok  ok
    ListResourceTags                 ok  ok  ok
    PutKeyPolicy                     ok  ok  ok
    ReEncrypt/source                 ok  D1  P
    ReEncrypt/destination            ok  D1  P
    ScheduleKeyDeletion              ok  ok  S3
    TagResource                      ok  ok  S3
    UntagResource                    ok  ok  S3
    UpdateAlias/to                   ok  ok  S3
    UpdateAlias/from                 ok  ok  ok
    UpdateKeyDescription             ok  ok  S3
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
struct Stage {
    key: String,
    other: String,
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

fn ask(operation: &str, stage: &Stage) -> Request {
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
        _ => panic!("no such operation: {operation}"),
    }
}

async fn stage(world: &World, state: usize) -> Stage {
    let (key, other) = (world.create().await, world.create().await);
    world.alias("alias/its", &key).await.unwrap();
    world.alias("alias/others", &other).await.unwrap();
    let blob = world.encrypt(&key, b"its").await.unwrap();
    let other_blob = world.encrypt(&other, b"other's").await.unwrap();
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
            let stage = stage(&world, state).await;
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
