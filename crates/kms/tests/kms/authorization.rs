//! Who may use a key: its policy decides, for its own account's root too, and across accounts.

use claviger_api::kms::{CreateAliasRequest, DisableKeyRequest, ListAliasesRequest, TagResourceRequest};
use claviger_api::kms::{
    CreateKeyRequest, DecryptRequest, DescribeKeyRequest, GetKeyPolicyRequest, PutKeyPolicyRequest, Request,
    ScheduleKeyDeletionRequest,
};

use crate::{OTHER, OWNER, World, arn, request};

fn statement(effect: &str, account: &str, actions: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":{actions},"Resource":"*"}}"#
    )
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

async fn put(world: &World, key: &str, policy: String, bypass: bool) -> Result<(), &'static str> {
    let request = PutKeyPolicyRequest {
        key_id: key.to_owned(),
        policy,
        policy_name: None,
        bypass_policy_lockout_safety_check: Some(bypass),
    };
    world.call(request!(PutKeyPolicy, request)).await.map(drop).map_err(|error| error.code)
}

/// Every request that names the key, as somebody would make it.
fn on_key(key: &str, blob: &[u8]) -> Vec<Request> {
    let key_id = key.to_owned();
    vec![
        request!(DescribeKey, DescribeKeyRequest { key_id: key_id.clone(), ..DescribeKeyRequest::default() }),
        request!(Encrypt, crate::encrypt(key, b"x")),
        request!(Decrypt, DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() }),
        request!(GetKeyPolicy, GetKeyPolicyRequest { key_id: key_id.clone(), ..GetKeyPolicyRequest::default() }),
        request!(DisableKey, DisableKeyRequest { key_id: key_id.clone() }),
        request!(
            ScheduleKeyDeletion,
            ScheduleKeyDeletionRequest { key_id: key_id.clone(), pending_window_in_days: None }
        ),
        request!(
            TagResource,
            TagResourceRequest {
                key_id: key_id.clone(),
                tags: vec![claviger_api::kms::Tag { tag_key: "a".to_owned(), tag_value: "b".to_owned() }]
            }
        ),
        request!(CreateAlias, CreateAliasRequest { alias_name: "alias/x".to_owned(), target_key_id: key_id.clone() }),
        request!(
            PutKeyPolicy,
            PutKeyPolicyRequest {
                key_id,
                policy: policy(&[statement("Allow", OWNER, r#""kms:*""#)]),
                ..PutKeyPolicyRequest::default()
            }
        ),
    ]
}

#[tokio::test]
async fn a_policy_without_the_account_locks_its_root_out() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    let locked = policy(&[statement("Allow", OTHER, r#"["kms:Encrypt","kms:Decrypt"]"#)]);
    assert_eq!(put(&world, &key, locked.clone(), false).await, Err("MalformedPolicyDocumentException"));
    put(&world, &key, locked, true).await.unwrap();
    let before = crate::rows(&*base.store).await;
    for request in on_key(&key, &blob) {
        let name = request.operation().name();
        let error = world.call(request).await.map(drop).unwrap_err();
        assert_eq!((error.code, error.status), ("AccessDeniedException", 400), "{name}");
        assert!(error.message.unwrap().contains("arn:aws:iam::111122223333:root"), "{name} names the caller");
    }
    assert!(before == crate::rows(&*base.store).await);
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap(), b"secret");
    // And over a start.
    drop(world);
    let world = base.open().await.unwrap();
    assert!(world.encrypt(&key, b"x").await.is_err());
}

#[tokio::test]
async fn an_explicit_deny_wins() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let all = statement("Allow", OWNER, r#""kms:*""#);
    put(&world, &key, policy(&[all, statement("Deny", OWNER, r#""kms:Encrypt""#)]), false).await.unwrap();
    assert_eq!(world.encrypt(&key, b"x").await.unwrap_err().code, "AccessDeniedException");
    world.describe(&key).await.unwrap();
}

#[tokio::test]
async fn another_account_needs_to_be_named() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    let arn = arn(&key);
    for request in on_key(&arn, &blob) {
        let name = request.operation().name();
        let code = world.call_as(OTHER, request).await.map(drop).unwrap_err().code;
        assert_eq!(code, "AccessDeniedException", "{name}");
    }
    let all = statement("Allow", OWNER, r#""kms:*""#);
    put(&world, &key, policy(&[all, statement("Allow", OTHER, r#""kms:*""#)]), false).await.unwrap();
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap(), b"secret");
    let theirs = world.encrypt_as(OTHER, &arn, b"theirs").await.unwrap();
    assert_eq!(world.decrypt(&theirs).await.unwrap(), b"theirs");
    // By its bare id, the key is looked for in the caller's own account.
    assert_eq!(world.encrypt_as(OTHER, &key, b"x").await.unwrap_err().code, "NotFoundException");
    // What may not be done across accounts stays so, whatever the policy says.
    for request in on_key(&arn, &blob).into_iter().skip(3) {
        let name = request.operation().name();
        let code = world.call_as(OTHER, request).await.map(drop).unwrap_err().code;
        assert_eq!(code, "AccessDeniedException", "{name}");
    }
}

#[tokio::test]
async fn what_is_not_there_in_another_account_is_not_told() {
    let (_, world) = World::new().await;
    let missing = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000";
    assert_eq!(world.encrypt(missing, b"x").await.unwrap_err().code, "NotFoundException");
    assert_eq!(world.encrypt_as(OTHER, missing, b"x").await.unwrap_err().code, "AccessDeniedException");
    let alias = "arn:aws:kms:eu-central-1:111122223333:alias/none";
    assert_eq!(world.encrypt(alias, b"x").await.unwrap_err().code, "NotFoundException");
    assert_eq!(world.encrypt_as(OTHER, alias, b"x").await.unwrap_err().code, "AccessDeniedException");
    let elsewhere = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000";
    assert_eq!(world.encrypt(elsewhere, b"x").await.unwrap_err().code, "NotFoundException");
}

#[tokio::test]
async fn accounts_have_aliases_and_lists_of_their_own() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    world.alias("alias/mine", &key).await.unwrap();
    assert_eq!(world.encrypt_as(OTHER, "alias/mine", b"x").await.unwrap_err().code, "NotFoundException");
    let listed = world.call_as(OTHER, request!(ListAliases, ListAliasesRequest::default())).await.unwrap();
    let claviger_api::kms::Response::ListAliases(listed) = listed else { panic!("another response") };
    assert_eq!(listed.aliases.unwrap().len(), 0);
}

#[tokio::test]
async fn a_policy_that_cannot_be_evaluated_is_refused() {
    let (_, world) = World::new().await;
    for text in [
        "",
        "{",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Wish":1}]}"#,
    ] {
        if text.is_empty() {
            continue;
        }
        let request = CreateKeyRequest { policy: Some(text.to_owned()), ..CreateKeyRequest::default() };
        assert_eq!(world.create_from(request).await.unwrap_err().code, "MalformedPolicyDocumentException", "{text}");
    }
}
