//! Another account's key looks the same whether it exists or not, whatever else is wrong with the request.

use claviger_api::kms::{
    DataKeyPairSpec, DecryptRequest, DeriveSharedSecretRequest, GenerateDataKeyPairRequest, GenerateDataKeyRequest,
    PutKeyPolicyRequest, ReEncryptRequest, RecipientInfo, Request, UpdateAliasRequest,
};

use crate::{OTHER, World, arn, request};

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

/// What the other account is told.
async fn told(world: &World, request: Request) -> (&'static str, Option<String>) {
    let error = world.call_as(OTHER, request).await.map(drop).unwrap_err();
    (error.code, error.message)
}

/// Every request that takes a recipient, with a document that is none.
fn with_recipient(key: &str) -> [Request; 4] {
    let recipient = || Some(RecipientInfo { attestation_document: Some(vec![1]), ..RecipientInfo::default() });
    let key_id = || key.to_owned();
    [
        request!(
            Decrypt,
            DecryptRequest {
                key_id: Some(key_id()),
                ciphertext_blob: Some(vec![1]),
                recipient: recipient(),
                ..DecryptRequest::default()
            }
        ),
        request!(
            GenerateDataKey,
            GenerateDataKeyRequest {
                key_id: key_id(),
                number_of_bytes: Some(8),
                recipient: recipient(),
                ..GenerateDataKeyRequest::default()
            }
        ),
        request!(
            GenerateDataKeyPair,
            GenerateDataKeyPairRequest {
                encryption_context: None,
                key_id: key_id(),
                key_pair_spec: DataKeyPairSpec::EccNistP256,
                grant_tokens: None,
                recipient: recipient(),
                dry_run: None,
            }
        ),
        request!(
            DeriveSharedSecret,
            DeriveSharedSecretRequest {
                key_id: key_id(),
                key_agreement_algorithm: claviger_api::kms::KeyAgreementAlgorithmSpec::Ecdh,
                public_key: vec![1; 91],
                grant_tokens: None,
                dry_run: None,
                recipient: recipient(),
            }
        ),
    ]
}

#[tokio::test]
async fn a_bad_attestation_document_does_not_tell_whether_a_key_exists() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    for (there, missing) in with_recipient(&arn(&key)).into_iter().zip(with_recipient(&arn(MISSING))) {
        let name = there.operation().name();
        assert_eq!(told(&world, there).await, told(&world, missing).await, "{name}");
    }
    let blob = world.encrypt(&key, b"x").await.unwrap();
    let mut forged = blob.clone();
    forged[5] ^= 1;
    let by_ciphertext = |blob: Vec<u8>| {
        let recipient = Some(RecipientInfo { attestation_document: Some(vec![1]), ..RecipientInfo::default() });
        request!(Decrypt, DecryptRequest { ciphertext_blob: Some(blob), recipient, ..DecryptRequest::default() })
    };
    assert_eq!(told(&world, by_ciphertext(blob)).await, told(&world, by_ciphertext(forged)).await);
}

#[tokio::test]
async fn the_two_keys_of_re_encrypt_do_not_betray_each_other() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let create = Request::CreateKey(claviger_api::Valid::new(Default::default()).unwrap());
    let Ok(claviger_api::kms::Response::CreateKey(made)) = world.call_as(OTHER, create).await else {
        panic!("no key was made")
    };
    let own = made.key_metadata.unwrap().key_id;
    let own_arn = arn(&own).replace(crate::OWNER, OTHER);
    let re_encrypt = |source: &str, destination: &str| {
        let request = ReEncryptRequest {
            ciphertext_blob: Some(vec![1]),
            source_key_id: Some(source.to_owned()),
            destination_key_id: destination.to_owned(),
            ..ReEncryptRequest::default()
        };
        request!(ReEncrypt, request)
    };
    let (there, missing, own_missing) = (arn(&key), arn(MISSING), arn(MISSING).replace(crate::OWNER, OTHER));
    for locked in [false, true] {
        if locked {
            let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:PutKeyPolicy","Resource":"*"}]}"#;
            let put = PutKeyPolicyRequest {
                key_id: own.clone(),
                policy: policy.to_owned(),
                bypass_policy_lockout_safety_check: Some(true),
                ..PutKeyPolicyRequest::default()
            };
            world.call_as(OTHER, request!(PutKeyPolicy, put)).await.unwrap();
        }
        for other in [&own_arn, &own_missing, &there, &missing] {
            assert_eq!(
                told(&world, re_encrypt(&there, other)).await,
                told(&world, re_encrypt(&missing, other)).await,
                "source, with {other}"
            );
            assert_eq!(
                told(&world, re_encrypt(other, &there)).await,
                told(&world, re_encrypt(other, &missing)).await,
                "destination, with {other}"
            );
        }
    }
}

#[tokio::test]
async fn an_alias_that_is_not_there_does_not_tell_whether_its_new_key_exists() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let update = |key: &str| {
        let request = UpdateAliasRequest { alias_name: "alias/none".to_owned(), target_key_id: arn(key) };
        request!(UpdateAlias, request)
    };
    assert_eq!(told(&world, update(&key)).await, told(&world, update(MISSING)).await);
}
