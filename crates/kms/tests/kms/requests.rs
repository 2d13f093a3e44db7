//! What is asked and not built is refused, not ignored; DryRun does nothing.

use std::collections::BTreeMap;

use claviger_api::kms::{
    CreateKeyRequest, DataKeySpec, DecryptRequest, DescribeKeyRequest, DryRunModifierType, EncryptRequest,
    EncryptionAlgorithmSpec, GenerateDataKeyRequest, GenerateDataKeyWithoutPlaintextRequest, GenerateRandomRequest,
    KeySpec, KeyUsageType, OriginType, ReEncryptRequest, RecipientInfo, Request, Response, SignRequest, Tag,
};

use crate::{World, encrypt, request};

async fn refused(world: &World, request: Request) -> &'static str {
    match world.call(request).await {
        Ok(_) => "accepted",
        Err(error) => error.code,
    }
}

fn data_key(key: &str) -> GenerateDataKeyRequest {
    GenerateDataKeyRequest {
        key_id: key.to_owned(),
        key_spec: Some(DataKeySpec::Aes256),
        ..GenerateDataKeyRequest::default()
    }
}

fn hidden_data_key(key: &str) -> GenerateDataKeyWithoutPlaintextRequest {
    GenerateDataKeyWithoutPlaintextRequest {
        key_id: key.to_owned(),
        key_spec: Some(DataKeySpec::Aes256),
        ..GenerateDataKeyWithoutPlaintextRequest::default()
    }
}

fn decrypt(blob: &[u8]) -> DecryptRequest {
    DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() }
}

fn re_encrypt(blob: &[u8], to: &str) -> ReEncryptRequest {
    ReEncryptRequest {
        ciphertext_blob: Some(blob.to_vec()),
        destination_key_id: to.to_owned(),
        ..ReEncryptRequest::default()
    }
}

#[tokio::test]
async fn a_recipient_never_gets_plaintext() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    for recipient in
        [RecipientInfo::default(), RecipientInfo { attestation_document: Some(vec![1]), ..RecipientInfo::default() }]
    {
        let recipient = Some(recipient);
        let requests = [
            request!(Decrypt, DecryptRequest { recipient: recipient.clone(), ..decrypt(&blob) }),
            request!(GenerateDataKey, GenerateDataKeyRequest { recipient: recipient.clone(), ..data_key(&key) }),
            request!(
                GenerateRandom,
                GenerateRandomRequest { number_of_bytes: Some(8), recipient, ..GenerateRandomRequest::default() }
            ),
        ];
        for request in requests {
            assert_eq!(refused(&world, request).await, "UnsupportedOperationException");
        }
    }
}

#[tokio::test]
async fn grant_tokens_are_refused() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    let grant_tokens = Some(vec!["token".to_owned()]);
    let requests = [
        request!(Encrypt, EncryptRequest { grant_tokens: grant_tokens.clone(), ..encrypt(&key, b"x") }),
        request!(Decrypt, DecryptRequest { grant_tokens: grant_tokens.clone(), ..decrypt(&blob) }),
        request!(ReEncrypt, ReEncryptRequest { grant_tokens: grant_tokens.clone(), ..re_encrypt(&blob, &key) }),
        request!(GenerateDataKey, GenerateDataKeyRequest { grant_tokens: grant_tokens.clone(), ..data_key(&key) }),
        request!(
            GenerateDataKeyWithoutPlaintext,
            GenerateDataKeyWithoutPlaintextRequest { grant_tokens: grant_tokens.clone(), ..hidden_data_key(&key) }
        ),
        request!(DescribeKey, DescribeKeyRequest { key_id: key.clone(), grant_tokens }),
    ];
    for request in requests {
        assert_eq!(refused(&world, request).await, "InvalidGrantTokenException");
    }
}

#[tokio::test]
async fn dry_run_says_so_and_writes_nothing() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    let dry_run = Some(true);
    let requests = |key: &str| {
        [
            request!(Encrypt, EncryptRequest { dry_run, ..encrypt(key, b"x") }),
            request!(Decrypt, DecryptRequest { dry_run, ..decrypt(&blob) }),
            request!(ReEncrypt, ReEncryptRequest { dry_run, ..re_encrypt(&blob, key) }),
            request!(GenerateDataKey, GenerateDataKeyRequest { dry_run, ..data_key(key) }),
            request!(
                GenerateDataKeyWithoutPlaintext,
                GenerateDataKeyWithoutPlaintextRequest { dry_run, ..hidden_data_key(key) }
            ),
        ]
    };
    let before = crate::rows(&*base.store).await;
    for request in requests(&key) {
        assert_eq!(refused(&world, request).await, "DryRunOperationException");
    }
    assert!(before == crate::rows(&*base.store).await);
    world.disable(&key).await.unwrap();
    for request in requests(&key) {
        assert_eq!(refused(&world, request).await, "DisabledException", "a dry run meets the same refusals");
    }
    let dry_run_modifiers = Some(vec![DryRunModifierType::IgnoreCiphertext]);
    let modified = DecryptRequest { dry_run, dry_run_modifiers, ..decrypt(&blob) };
    assert_eq!(refused(&world, request!(Decrypt, modified)).await, "UnsupportedOperationException");
}

#[tokio::test]
async fn keys_that_are_not_built_are_refused() {
    let (base, world) = World::new().await;
    let rest = CreateKeyRequest::default;
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (CreateKeyRequest { multi_region: Some(true), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { origin: Some(OriginType::External), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { origin: Some(OriginType::ExternalKeyStore), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { custom_key_store_id: text("cks-1"), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { xks_key_id: text("xks"), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { key_spec: Some(KeySpec::Rsa2048), ..rest() }, "ValidationException"),
        (CreateKeyRequest { key_usage: Some(KeyUsageType::SignVerify), ..rest() }, "ValidationException"),
        (
            CreateKeyRequest { key_spec: Some(KeySpec::Rsa2048), key_usage: Some(KeyUsageType::SignVerify), ..rest() },
            "UnsupportedOperationException",
        ),
        (CreateKeyRequest { policy: text("{}"), ..rest() }, "MalformedPolicyDocumentException"),
        (CreateKeyRequest { tags: Some(vec![tag("aws:x")]), ..rest() }, "TagException"),
        (CreateKeyRequest { tags: Some(vec![tag("a"), tag("a")]), ..rest() }, "TagException"),
    ];
    let before = crate::rows(&*base.store).await;
    for (request, code) in cases {
        let shown = format!("{request:?}");
        assert_eq!(world.create_from(request).await.map_err(|error| error.code).err(), Some(code), "{shown}");
    }
    assert!(before == crate::rows(&*base.store).await);
    let plain = CreateKeyRequest {
        multi_region: Some(false),
        origin: Some(OriginType::AwsKms),
        key_spec: Some(KeySpec::SymmetricDefault),
        key_usage: Some(KeyUsageType::EncryptDecrypt),
        ..rest()
    };
    world.create_from(plain).await.unwrap();
}

fn tag(key: &str) -> Tag {
    Tag { tag_key: key.to_owned(), tag_value: "v".to_owned() }
}

#[tokio::test]
async fn other_algorithms_and_operations_are_refused() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let encryption_algorithm = Some(EncryptionAlgorithmSpec::RsaesOaepSha256);
    let request = request!(Encrypt, EncryptRequest { encryption_algorithm, ..encrypt(&key, b"x") });
    assert_eq!(refused(&world, request).await, "InvalidKeyUsageException");
    let sign = SignRequest {
        key_id: key,
        message: claviger_secret::SecretBytes::from_slice(b"m"),
        message_type: None,
        grant_tokens: None,
        signing_algorithm: claviger_api::kms::SigningAlgorithmSpec::RsassaPssSha256,
        dry_run: None,
    };
    assert_eq!(refused(&world, request!(Sign, sign)).await, "UnsupportedOperationException");
    let neither = GenerateDataKeyRequest { key_spec: None, ..data_key("alias/x") };
    assert_eq!(refused(&world, request!(GenerateDataKey, neither)).await, "ValidationException");
}

#[tokio::test]
async fn a_context_or_a_blob_that_is_not_the_same_opens_nothing() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>())
    };
    let asked = EncryptRequest { encryption_context: pairs(&[("a", "bc"), ("d", "e")]), ..encrypt(&key, b"secret") };
    let Ok(Response::Encrypt(made)) = world.call(request!(Encrypt, asked)).await else { panic!("not encrypted") };
    let blob = made.ciphertext_blob.unwrap();
    for wrong in [None, pairs(&[("ab", "c"), ("d", "e")]), pairs(&[("a", "bc")]), pairs(&[("A", "bc"), ("d", "e")])] {
        let request = DecryptRequest { encryption_context: wrong, ..decrypt(&blob) };
        assert_eq!(refused(&world, request!(Decrypt, request)).await, "InvalidCiphertextException");
    }
    let right = DecryptRequest { encryption_context: pairs(&[("d", "e"), ("a", "bc")]), ..decrypt(&blob) };
    assert!(world.call(request!(Decrypt, right.clone())).await.is_ok());
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        let request = DecryptRequest { ciphertext_blob: Some(changed), ..right.clone() };
        let code = refused(&world, request!(Decrypt, request)).await;
        // A changed key id names a key that does not exist.
        assert!(["InvalidCiphertextException", "AccessDeniedException"].contains(&code), "byte {at}: {code}");
    }
    let other = world.create().await;
    let request = DecryptRequest { key_id: Some(other), ..right };
    assert_eq!(refused(&world, request!(Decrypt, request)).await, "IncorrectKeyException");
}
