//! What is asked and not built is refused, not ignored; DryRun does nothing.

use std::collections::BTreeMap;

use claviger_api::kms::{
    CreateKeyRequest, DataKeyPairSpec, DataKeySpec, DecapsulateRequest, DecryptRequest, DeriveSharedSecretRequest,
    DescribeCustomKeyStoresRequest, DescribeKeyRequest, DryRunModifierType, EncapsulateRequest,
    EncapsulationAlgorithmSpec, EncryptRequest, EncryptionAlgorithmSpec, GenerateDataKeyPairRequest,
    GenerateDataKeyRequest, GenerateDataKeyWithoutPlaintextRequest, GenerateMacRequest, GenerateRandomRequest,
    GetPublicKeyRequest, KeyAgreementAlgorithmSpec, KeySpec, KeyUsageType, MacAlgorithmSpec, MessageType, OriginType,
    ReEncryptRequest, RecipientInfo, Request, Response, SignRequest, SigningAlgorithmSpec, Tag,
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
            request!(GenerateDataKeyPair, pair(&key, recipient.clone())),
            request!(DeriveSharedSecret, derive(&key, recipient.clone())),
            request!(
                GenerateRandom,
                GenerateRandomRequest { number_of_bytes: Some(8), recipient, ..GenerateRandomRequest::default() }
            ),
        ];
        for request in requests {
            let error = world.call(request).await.map(drop).unwrap_err();
            assert_eq!(error.code, "ValidationException");
            assert_eq!(error.message.as_deref(), Some("The attestation document is not valid."), "and no reason");
        }
    }
}

fn pair(key: &str, recipient: Option<RecipientInfo>) -> GenerateDataKeyPairRequest {
    GenerateDataKeyPairRequest {
        encryption_context: None,
        key_id: key.to_owned(),
        key_pair_spec: DataKeyPairSpec::EccNistP256,
        grant_tokens: None,
        recipient,
        dry_run: None,
    }
}

fn derive(key: &str, recipient: Option<RecipientInfo>) -> DeriveSharedSecretRequest {
    DeriveSharedSecretRequest {
        key_id: key.to_owned(),
        key_agreement_algorithm: KeyAgreementAlgorithmSpec::Ecdh,
        public_key: vec![1; 91],
        grant_tokens: None,
        dry_run: None,
        recipient,
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
}

#[tokio::test]
async fn a_dry_run_may_leave_the_ciphertext_out_of_account() {
    let (_, world) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    let blob = world.encrypt(&other, b"secret").await.unwrap();
    let dry_run_modifiers = Some(vec![DryRunModifierType::IgnoreCiphertext]);
    let ask = |dry_run: Option<bool>, key_id: Option<&str>, ciphertext_blob: Option<&[u8]>| {
        let (key_id, ciphertext_blob) = (key_id.map(str::to_owned), ciphertext_blob.map(<[u8]>::to_vec));
        let asked = DecryptRequest {
            dry_run,
            dry_run_modifiers: dry_run_modifiers.clone(),
            key_id: key_id.clone(),
            ciphertext_blob: ciphertext_blob.clone(),
            ..DecryptRequest::default()
        };
        let moved = ReEncryptRequest {
            dry_run,
            dry_run_modifiers: dry_run_modifiers.clone(),
            source_key_id: key_id,
            ciphertext_blob,
            destination_key_id: other.clone(),
            ..ReEncryptRequest::default()
        };
        [request!(Decrypt, asked), request!(ReEncrypt, moved)]
    };
    let cases = [
        (ask(Some(true), Some(&key), None), "DryRunOperationException"),
        // Even one that the key cannot open.
        (ask(Some(true), Some(&key), Some(&blob)), "DryRunOperationException"),
        (ask(Some(true), None, Some(&blob)), "ValidationException"),
        (ask(None, Some(&key), Some(&blob)), "ValidationException"),
        (ask(Some(false), Some(&key), None), "ValidationException"),
    ];
    for (requests, code) in cases {
        for request in requests {
            assert_eq!(refused(&world, request).await, code);
        }
    }
    let nothing = DecryptRequest { dry_run: Some(true), ..DecryptRequest::default() };
    assert_eq!(refused(&world, request!(Decrypt, nothing)).await, "ValidationException");
    world.disable(&key).await.unwrap();
    for request in ask(Some(true), Some(&key), None) {
        assert_eq!(refused(&world, request).await, "DisabledException");
    }
    let signing = world.create_from(kind(KeySpec::EccNistP256, KeyUsageType::SignVerify)).await.unwrap().key_id;
    for request in ask(Some(true), Some(&signing), None) {
        assert_eq!(refused(&world, request).await, "InvalidKeyUsageException");
    }
}

fn kind(spec: KeySpec, usage: KeyUsageType) -> CreateKeyRequest {
    CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..CreateKeyRequest::default() }
}

#[tokio::test]
async fn keys_that_are_not_built_are_refused() {
    let (base, world) = World::new().await;
    let rest = CreateKeyRequest::default;
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (CreateKeyRequest { origin: Some(OriginType::AwsCloudhsm), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { origin: Some(OriginType::ExternalKeyStore), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { custom_key_store_id: text("cks-1"), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { xks_key_id: text("xks"), ..rest() }, "UnsupportedOperationException"),
        (CreateKeyRequest { key_spec: Some(KeySpec::Rsa2048), ..rest() }, "ValidationException"),
        (CreateKeyRequest { key_usage: Some(KeyUsageType::SignVerify), ..rest() }, "ValidationException"),
        (kind(KeySpec::Sm2, KeyUsageType::SignVerify), "UnsupportedOperationException"),
        (kind(KeySpec::Hmac256, KeyUsageType::SignVerify), "ValidationException"),
        (kind(KeySpec::EccSecgP256k1, KeyUsageType::KeyAgreement), "ValidationException"),
        (kind(KeySpec::MlDsa65, KeyUsageType::EncapsulateDecapsulate), "ValidationException"),
        (
            CreateKeyRequest {
                customer_master_key_spec: Some(claviger_api::kms::CustomerMasterKeySpec::SymmetricDefault),
                key_spec: Some(KeySpec::SymmetricDefault),
                ..rest()
            },
            "ValidationException",
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

fn sign(key: &str, algorithm: SigningAlgorithmSpec, kind: Option<MessageType>, message: &[u8]) -> Request {
    let request = SignRequest {
        key_id: key.to_owned(),
        message: claviger_secret::SecretBytes::from_slice(message),
        message_type: kind,
        grant_tokens: None,
        signing_algorithm: algorithm,
        dry_run: None,
    };
    request!(Sign, request)
}

/// Every kind of use, on a key that was made for the first of them.
fn uses(key: &str) -> Vec<(KeyUsageType, Request)> {
    let mac = GenerateMacRequest {
        message: claviger_secret::SecretBytes::from_slice(b"m"),
        key_id: key.to_owned(),
        mac_algorithm: MacAlgorithmSpec::HmacSha256,
        grant_tokens: None,
        dry_run: None,
    };
    let encapsulate = EncapsulateRequest {
        key_id: key.to_owned(),
        encapsulation_algorithm: EncapsulationAlgorithmSpec::MlKem,
        grant_tokens: None,
        dry_run: None,
    };
    let decapsulate = DecapsulateRequest {
        key_id: key.to_owned(),
        shared_secret_ciphertext_blob: vec![1; 768],
        encapsulation_algorithm: EncapsulationAlgorithmSpec::MlKem,
        grant_tokens: None,
        dry_run: None,
    };
    vec![
        (KeyUsageType::EncryptDecrypt, request!(Encrypt, encrypt(key, b"x"))),
        (KeyUsageType::EncryptDecrypt, request!(GenerateDataKey, data_key(key))),
        (KeyUsageType::EncryptDecrypt, request!(GenerateDataKeyPair, pair(key, None))),
        (KeyUsageType::SignVerify, sign(key, SigningAlgorithmSpec::EcdsaSha256, None, b"m")),
        (KeyUsageType::GenerateVerifyMac, request!(GenerateMac, mac)),
        (KeyUsageType::KeyAgreement, request!(DeriveSharedSecret, derive(key, None))),
        (KeyUsageType::EncapsulateDecapsulate, request!(Encapsulate, encapsulate)),
        (KeyUsageType::EncapsulateDecapsulate, request!(Decapsulate, decapsulate)),
    ]
}

#[tokio::test]
async fn a_key_is_only_for_what_it_was_made_for() {
    let (_, world) = World::new().await;
    for (spec, usage) in [
        (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt),
        (KeySpec::EccNistP256, KeyUsageType::SignVerify),
        (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac),
        (KeySpec::EccNistP256, KeyUsageType::KeyAgreement),
        (KeySpec::MlKem512, KeyUsageType::EncapsulateDecapsulate),
    ] {
        let key = world.create_from(kind(spec, usage)).await.unwrap().key_id;
        for (of, request) in uses(&key) {
            let name = request.operation().name();
            let code = refused(&world, request).await;
            match (of == usage, name) {
                // The public key of the request is none.
                (true, "DeriveSharedSecret") => assert_eq!(code, "ValidationException"),
                (true, _) => assert_eq!(code, "accepted", "{name}"),
                (false, _) => assert_eq!(code, "InvalidKeyUsageException", "{name} on {}", spec.as_str()),
            }
        }
        let asked = GetPublicKeyRequest { key_id: key, grant_tokens: None };
        let expected = match spec {
            KeySpec::SymmetricDefault | KeySpec::Hmac256 => "UnsupportedOperationException",
            _ => "accepted",
        };
        assert_eq!(refused(&world, request!(GetPublicKey, asked)).await, expected);
    }
}

#[tokio::test]
async fn algorithms_and_messages_that_do_not_fit_are_refused() {
    use SigningAlgorithmSpec::{EcdsaSha256, EcdsaSha384, Ed25519PhSha512, Ed25519Sha512, RsassaPssSha256};
    let (_, world) = World::new().await;
    let key = world.create().await;
    let encryption_algorithm = Some(EncryptionAlgorithmSpec::RsaesOaepSha256);
    let request = request!(Encrypt, EncryptRequest { encryption_algorithm, ..encrypt(&key, b"x") });
    assert_eq!(refused(&world, request).await, "InvalidKeyUsageException");
    let blob = world.encrypt(&key, b"x").await.unwrap();
    let nameless = DecryptRequest { encryption_algorithm, ..decrypt(&blob) };
    assert_eq!(refused(&world, request!(Decrypt, nameless)).await, "ValidationException");
    let neither = GenerateDataKeyRequest { key_spec: None, ..data_key("alias/x") };
    assert_eq!(refused(&world, request!(GenerateDataKey, neither)).await, "ValidationException");
    let (raw, digest, mu) = (None, Some(MessageType::Digest), Some(MessageType::ExternalMu));
    let curve = world.create_from(kind(KeySpec::EccNistP256, KeyUsageType::SignVerify)).await.unwrap().key_id;
    let edwards = world.create_from(kind(KeySpec::EccNistEdwards25519, KeyUsageType::SignVerify)).await.unwrap().key_id;
    for (key, algorithm, kind, length, expected) in [
        (&curve, EcdsaSha256, raw, 4096, "accepted"),
        (&curve, EcdsaSha256, digest, 32, "accepted"),
        (&curve, EcdsaSha256, digest, 31, "ValidationException"),
        (&curve, EcdsaSha256, digest, 33, "ValidationException"),
        (&curve, EcdsaSha256, mu, 64, "ValidationException"),
        (&curve, EcdsaSha384, raw, 1, "InvalidKeyUsageException"),
        (&curve, RsassaPssSha256, raw, 1, "InvalidKeyUsageException"),
        (&curve, SigningAlgorithmSpec::Sm2dsa, raw, 1, "InvalidKeyUsageException"),
        (&edwards, Ed25519Sha512, raw, 1, "accepted"),
        (&edwards, Ed25519Sha512, digest, 64, "ValidationException"),
        (&edwards, Ed25519PhSha512, digest, 64, "accepted"),
        (&edwards, Ed25519PhSha512, raw, 64, "ValidationException"),
    ] {
        let code = refused(&world, sign(key, algorithm, kind, &vec![7; length])).await;
        assert_eq!(code, expected, "{} of {length} bytes", algorithm.as_str());
    }
}

#[tokio::test]
async fn operations_that_are_not_built_say_so() {
    let (_, world) = World::new().await;
    let stores = DescribeCustomKeyStoresRequest::default();
    assert_eq!(refused(&world, request!(DescribeCustomKeyStores, stores)).await, "UnsupportedOperationException");
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
