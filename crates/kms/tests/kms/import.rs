//! Imported key material: tokens, re-import, expiry, deletion, several materials of one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger_api::kms::{
    AlgorithmSpec, CreateKeyRequest, DeleteImportedKeyMaterialRequest, DeleteImportedKeyMaterialResponse,
    ExpirationModelType, GenerateMacRequest, GetParametersForImportRequest, GetParametersForImportResponse,
    GetPublicKeyRequest, ImportKeyMaterialRequest, ImportKeyMaterialResponse, ImportType, KeySpec, KeyState,
    KeyUsageType, MacAlgorithmSpec, OriginType, Response, RotateKeyOnDemandRequest, WrappingKeySpec,
};
use claviger_api::kms::{
    CancelKeyDeletionRequest, DisableKeyRequest, EnableKeyRequest, ScheduleKeyDeletionRequest,
    UpdateKeyDescriptionRequest,
};
use claviger_api::{ServiceError, Timestamp};
use claviger_crypto::{OaepHash, PairSpec, PublicKey};
use claviger_engine::Regions;
use claviger_secret::SecretBytes;
use claviger_store::{Batch, BoxFuture, CommitError, Memory, Revision, Store, StoreError, View, Watch};

use crate::{Base, DAY, OTHER, START, World, arn, request};

type Failed = ServiceError;

/// What GetParametersForImport answered, ready for wrapping.
#[derive(Clone)]
struct Parameters {
    token: Vec<u8>,
    public_key: Vec<u8>,
    valid_to: i64,
}

impl Parameters {
    fn wrap(&self, plain: &[u8]) -> Vec<u8> {
        let key = PublicKey::from_spki(PairSpec::Rsa2048, &self.public_key).unwrap();
        key.encrypt(OaepHash::Sha256, plain).unwrap()
    }
}

fn external(spec: KeySpec, usage: KeyUsageType) -> CreateKeyRequest {
    CreateKeyRequest {
        origin: Some(OriginType::External),
        key_spec: Some(spec),
        key_usage: Some(usage),
        ..CreateKeyRequest::default()
    }
}

fn asked(key: &str, parameters: &Parameters, plain: &[u8]) -> ImportKeyMaterialRequest {
    ImportKeyMaterialRequest {
        key_id: key.to_owned(),
        import_token: parameters.token.clone(),
        encrypted_key_material: parameters.wrap(plain),
        expiration_model: Some(ExpirationModelType::KeyMaterialDoesNotExpire),
        ..ImportKeyMaterialRequest::default()
    }
}

fn expiring(request: ImportKeyMaterialRequest, at: i64) -> ImportKeyMaterialRequest {
    let model = Some(ExpirationModelType::KeyMaterialExpires);
    ImportKeyMaterialRequest { expiration_model: model, valid_to: Some(Timestamp::from_millis(at)), ..request }
}

fn new(request: ImportKeyMaterialRequest) -> ImportKeyMaterialRequest {
    ImportKeyMaterialRequest { import_type: Some(ImportType::NewKeyMaterial), ..request }
}

fn code<T>(told: Result<T, Failed>) -> &'static str {
    told.err().map_or("done", |error| error.code)
}

fn text<T>(told: Result<T, Failed>) -> String {
    told.err().and_then(|error| error.message).unwrap_or_default()
}

impl World {
    async fn create_external(&self) -> String {
        let made = self.create_from(external(KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt)).await;
        made.unwrap().key_id
    }

    async fn parameters_by(
        &self,
        key: &str,
        algorithm: AlgorithmSpec,
        spec: WrappingKeySpec,
    ) -> Result<GetParametersForImportResponse, Failed> {
        let request = GetParametersForImportRequest {
            key_id: key.to_owned(),
            wrapping_algorithm: algorithm,
            wrapping_key_spec: spec,
        };
        match self.call(request!(GetParametersForImport, request)).await? {
            Response::GetParametersForImport(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn parameters(&self, key: &str) -> Parameters {
        let told = self.parameters_by(key, AlgorithmSpec::RsaesOaepSha256, WrappingKeySpec::Rsa2048).await.unwrap();
        assert_eq!(told.key_id, Some(arn(key)));
        Parameters {
            token: told.import_token.unwrap(),
            public_key: told.public_key.unwrap().expose().to_vec(),
            valid_to: told.parameters_valid_to.unwrap().millis(),
        }
    }

    async fn import(&self, request: ImportKeyMaterialRequest) -> Result<ImportKeyMaterialResponse, Failed> {
        match self.call(request!(ImportKeyMaterial, request)).await? {
            Response::ImportKeyMaterial(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn import_id(&self, request: ImportKeyMaterialRequest) -> String {
        self.import(request).await.unwrap().key_material_id.unwrap()
    }

    async fn remove(&self, key: &str, material: Option<&str>) -> Result<DeleteImportedKeyMaterialResponse, Failed> {
        let key_material_id = material.map(str::to_owned);
        let request = DeleteImportedKeyMaterialRequest { key_id: key.to_owned(), key_material_id };
        match self.call(request!(DeleteImportedKeyMaterial, request)).await? {
            Response::DeleteImportedKeyMaterial(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn state(&self, key: &str) -> KeyState {
        self.describe(key).await.unwrap().key_state.unwrap()
    }

    async fn log(&self) -> Vec<String> {
        self.engine.sync_audit().await.unwrap();
        self.engine.audit().lines()
    }
}

async fn material_rows(base: &Base) -> usize {
    let rows = crate::rows(&*base.store).await;
    rows.iter().filter(|(key, _)| String::from_utf8_lossy(key).contains("/material/")).count()
}

#[tokio::test]
async fn a_key_waits_for_its_material_and_then_works() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let fresh = world.describe(&key).await.unwrap();
    assert_eq!((fresh.key_state, fresh.enabled), (Some(KeyState::PendingImport), Some(false)));
    assert_eq!((fresh.origin, fresh.valid_to), (Some(OriginType::External), None));
    assert_eq!((fresh.expiration_model, fresh.current_key_material_id), (None, None));
    assert_eq!(material_rows(&base).await, 0);
    let pending = format!("{} is pending import.", arn(&key));
    assert_eq!(text(world.encrypt(&key, b"x").await), pending);
    let enable = request!(EnableKey, EnableKeyRequest { key_id: key.clone() });
    assert_eq!(text(world.call(enable).await), pending);
    let parameters = world.parameters(&key).await;
    assert_eq!(parameters.valid_to, START + DAY);
    let told = world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    assert_eq!(told.key_id, Some(arn(&key)));
    let known = world.describe(&key).await.unwrap();
    assert_eq!((known.key_state, known.enabled), (Some(KeyState::Enabled), Some(true)));
    assert_eq!(known.expiration_model, Some(ExpirationModelType::KeyMaterialDoesNotExpire));
    assert_eq!((known.valid_to, known.current_key_material_id), (None, told.key_material_id));
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    drop(world);
    let world = base.open().await.unwrap();
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
}

#[tokio::test]
async fn the_log_shows_what_was_asked_but_neither_token_nor_material() {
    let (_, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    let described = Some("from the safe".to_owned());
    let request =
        ImportKeyMaterialRequest { key_material_description: described, ..asked(&key, &parameters, &[9; 32]) };
    let id = world.import_id(request).await;
    world.remove(&key, None).await.unwrap();
    let log = world.log().await;
    let of = |name: &str| log.iter().find(|line| line.contains(&format!("\"eventName\":\"{name}\""))).unwrap().clone();
    assert!(
        of("GetParametersForImport").contains("RSAES_OAEP_SHA_256")
            && of("GetParametersForImport").contains("RSA_2048")
    );
    for part in ["KEY_MATERIAL_DOES_NOT_EXPIRE", "from the safe", &id] {
        assert!(of("ImportKeyMaterial").contains(part), "{part}");
    }
    assert!(of("DeleteImportedKeyMaterial").contains(&id));
    assert!(!log.iter().any(|line| line.to_lowercase().contains("importtoken")));
}

#[tokio::test]
async fn foreign_altered_and_expired_tokens_are_refused() {
    let (base, world) = World::new().await;
    let (key, other) = (world.create_external().await, world.create_external().await);
    let parameters = world.parameters(&key).await;
    let with = |token: Vec<u8>| ImportKeyMaterialRequest { import_token: token, ..asked(&key, &parameters, &[9; 32]) };
    let invalid = "InvalidImportTokenException";
    let foreign = world.parameters(&other).await;
    assert_eq!(code(world.import(asked(&key, &foreign, &[9; 32])).await), invalid, "another key's token");
    for at in (0..parameters.token.len()).step_by(13).chain(0..60) {
        let mut token = parameters.token.clone();
        token[at] ^= 1;
        assert_eq!(code(world.import(with(token)).await), invalid, "byte {at}");
    }
    for token in [vec![0], parameters.token[..100].to_vec(), [&parameters.token[..], &[0]].concat()] {
        assert_eq!(code(world.import(with(token)).await), invalid);
    }
    let (_, elsewhere) = World::new().await;
    let copy = elsewhere.create_external().await;
    let theirs = elsewhere.parameters(&copy).await;
    assert_eq!(code(world.import(asked(&key, &theirs, &[9; 32])).await), invalid, "another deployment's token");
    // The wrapping key of another token of the same key.
    let second = world.parameters(&key).await;
    let mixed = ImportKeyMaterialRequest { import_token: second.token.clone(), ..asked(&key, &parameters, &[9; 32]) };
    assert_eq!(code(world.import(mixed).await), "InvalidCiphertextException");
    assert_eq!(world.state(&key).await, KeyState::PendingImport);

    base.advance(DAY - 1);
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    base.advance(1);
    assert_eq!(code(world.import(asked(&key, &parameters, &[9; 32])).await), "ExpiredImportTokenException");
    base.advance(-DAY);
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
}

#[tokio::test]
async fn what_is_wrapped_must_be_material_of_the_key() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    for length in [1, 16, 31, 33, 48] {
        let told = world.import(asked(&key, &parameters, &vec![9; length])).await;
        assert_eq!(code(told), "IncorrectKeyMaterialException", "{length} bytes");
    }
    for length in [1, 255, 257, 384] {
        let request =
            ImportKeyMaterialRequest { encrypted_key_material: vec![1; length], ..asked(&key, &parameters, &[9; 32]) };
        let told = world.import(request).await;
        assert_eq!(
            (code(told.as_ref().map(drop).map_err(Clone::clone)), text(told)),
            ("ValidationException", "Invalid encrypted key size.".to_owned())
        );
    }
    let mut request = asked(&key, &parameters, &[9; 32]);
    request.encrypted_key_material[7] ^= 1;
    assert_eq!(code(world.import(request).await), "InvalidCiphertextException");
    assert_eq!((world.state(&key).await, material_rows(&base).await), (KeyState::PendingImport, 0));
}

#[tokio::test]
async fn the_expiration_model_and_its_date() {
    let (_, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    let plain = || asked(&key, &parameters, &[9; 32]);
    let without = ImportKeyMaterialRequest { expiration_model: None, ..plain() };
    assert_eq!(
        text(world.import(without.clone()).await),
        "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    );
    let both = ImportKeyMaterialRequest { valid_to: Some(Timestamp::from_millis(START + DAY)), ..plain() };
    assert_eq!(code(world.import(both.clone()).await), "ValidationException");
    for at in [START, START - 1, 0, START + 365 * DAY + 1] {
        assert_eq!(code(world.import(expiring(plain(), at)).await), "ValidationException", "{at}");
    }
    assert_eq!(text(world.import(expiring(plain(), START)).await), "ValidTo must be in the future");
    let named = ImportKeyMaterialRequest { key_material_id: Some("0".repeat(64)), ..new(plain()) };
    assert_eq!(code(world.import(named).await), "ValidationException");
    // Without a model, the one that expires.
    world.import(ImportKeyMaterialRequest { expiration_model: None, ..both }).await.unwrap();
    let known = world.describe(&key).await.unwrap();
    assert_eq!(known.expiration_model, Some(ExpirationModelType::KeyMaterialExpires));
    assert_eq!(known.valid_to, Some(Timestamp::from_millis(START + DAY)));
    world.import(expiring(plain(), START + 365 * DAY)).await.unwrap();
}

#[tokio::test]
async fn deleted_material_is_gone_until_the_same_comes_back() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    assert_eq!(world.remove(&key, None).await.unwrap().key_material_id, None, "nothing to delete");
    let parameters = world.parameters(&key).await;
    let id = world.import_id(asked(&key, &parameters, &[9; 32])).await;
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    let told = world.remove(&key, None).await.unwrap();
    assert_eq!((told.key_id, told.key_material_id), (Some(arn(&key)), Some(id.clone())));
    assert_eq!(material_rows(&base).await, 0);
    let gone = world.describe(&key).await.unwrap();
    assert_eq!((gone.key_state, gone.expiration_model), (Some(KeyState::PendingImport), None));
    let pending = format!("{} is pending import.", arn(&key));
    assert_eq!((text(world.decrypt(&blob).await), text(world.encrypt(&key, b"x").await)), (pending.clone(), pending));
    assert_eq!(world.remove(&key, Some(&id)).await.unwrap().key_material_id, Some(id.clone()), "once more");
    assert_eq!(code(world.remove(&key, Some(&"0".repeat(64))).await), "NotFoundException");

    let incorrect = "IncorrectKeyMaterialException";
    let other = asked(&key, &parameters, &[8; 32]);
    assert_eq!(code(world.import(other.clone()).await), incorrect, "other material than the first");
    let again = asked(&key, &parameters, &[9; 32]);
    assert_eq!(code(world.import(new(again.clone())).await), incorrect, "not new any more");
    let named = |id: &str| ImportKeyMaterialRequest { key_material_id: Some(id.to_owned()), ..again.clone() };
    assert_eq!(code(world.import(named(&"0".repeat(64))).await), incorrect, "another id");
    assert_eq!(world.state(&key).await, KeyState::PendingImport);
    assert_eq!(world.import_id(named(&id)).await, id);
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn material_expires_when_its_time_has_come_and_not_before() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    let plain = || asked(&key, &parameters, &[9; 32]);
    let id = world.import_id(expiring(plain(), START + 2 * DAY)).await;
    // A second import moves the date, so that the first one's job finds nothing to do.
    world.import(expiring(plain(), START + 3 * DAY)).await.unwrap();
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    base.advance(3 * DAY - 1);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
    base.advance(1);
    // The job has not run yet.
    let pending = format!("{} is pending import.", arn(&key));
    assert_eq!(
        (text(world.decrypt(&blob).await), text(world.encrypt(&key, b"x").await)),
        (pending.clone(), pending.clone())
    );
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!((world.state(&key).await, material_rows(&base).await), (KeyState::PendingImport, 0));
    assert_eq!(text(world.decrypt(&blob).await), pending);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    let log = world.log().await;
    let events: Vec<_> = log.iter().filter(|line| line.contains("DeleteExpiredKeyMaterial")).collect();
    assert_eq!(events.len(), 1);
    for part in ["serviceEventDetails", "AwsServiceEvent", id.as_str(), arn(&key).as_str()] {
        assert!(events[0].contains(part), "{part}");
    }
    let parameters = world.parameters(&key).await;
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    base.advance(400 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
}

#[tokio::test]
async fn a_deletion_takes_the_expiry_back() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(expiring(asked(&key, &parameters, &[9; 32]), START + DAY)).await.unwrap();
    world.remove(&key, None).await.unwrap();
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    base.advance(2 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1), "the clearing of the store's files alone");
    assert_eq!(world.state(&key).await, KeyState::Enabled);
}

/// Counts how often the store was asked to clear its files.
struct Clearing {
    inner: Memory,
    cleared: AtomicUsize,
}

impl Store for Clearing {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.inner.commit(batch)
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, after)
    }

    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.cleared.fetch_add(1, Ordering::SeqCst);
        self.inner.erase()
    }
}

#[tokio::test]
async fn the_store_is_asked_to_clear_its_files() {
    let store = Arc::new(Clearing { inner: Memory::new(), cleared: AtomicUsize::new(0) });
    let base = Base::over(Arc::clone(&store) as Arc<dyn Store>, 1);
    let world = base.open().await.unwrap();
    let cleared = || store.cleared.load(Ordering::SeqCst);
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(expiring(asked(&key, &parameters, &[9; 32]), START + DAY)).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    // Once after a start.
    assert_eq!(cleared(), 1);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(cleared(), 1, "nothing was destroyed");
    base.advance(2 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(cleared(), 2, "after an expiry");
    let parameters = world.parameters(&key).await;
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    // The clock was set back for years: the files are cleared all the same.
    base.advance(-1_000 * DAY);
    world.remove(&key, None).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(cleared(), 3, "after a deletion");
}

#[tokio::test]
async fn several_materials_and_rotation_by_import() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    let one = world.import_id(asked(&key, &parameters, &[1; 32])).await;
    let first = world.encrypt(&key, b"first").await.unwrap();
    let two = world.import_id(new(asked(&key, &parameters, &[2; 32]))).await;
    assert_eq!(world.import_id(new(asked(&key, &parameters, &[2; 32]))).await, two, "asked once more");
    assert_eq!(world.describe(&key).await.unwrap().current_key_material_id, Some(one.clone()), "not before it rotates");
    let told = world.import(new(asked(&key, &parameters, &[3; 32]))).await;
    assert_eq!(code(told.as_ref().map(drop).map_err(Clone::clone)), "KMSInvalidStateException");
    let told = text(told);
    assert!(
        told.contains("because another key material") && told.ends_with(&format!("(id: {two}) is pending rotation."))
    );
    // What waits can be deleted without harm, and is forgotten.
    assert_eq!(world.remove(&key, Some(&two)).await.unwrap().key_material_id, Some(two.clone()));
    assert_eq!((world.state(&key).await, material_rows(&base).await), (KeyState::Enabled, 1));
    assert_eq!(code(world.import(asked(&key, &parameters, &[2; 32])).await), "IncorrectKeyMaterialException");
    world.import(new(expiring(asked(&key, &parameters, &[2; 32]), START + 9 * DAY))).await.unwrap();

    world.call(request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: key.clone() })).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    let known = world.describe(&key).await.unwrap();
    assert_eq!(known.current_key_material_id, Some(two.clone()));
    assert_eq!(known.valid_to, Some(Timestamp::from_millis(START + 9 * DAY)), "the earliest of all");
    let second = world.encrypt(&key, b"second").await.unwrap();
    assert_eq!(
        (world.decrypt(&first).await.unwrap(), world.decrypt(&second).await.unwrap()),
        (b"first".to_vec(), b"second".to_vec())
    );
    // From now on, the key cannot do without either.
    world.remove(&key, Some(&one)).await.unwrap();
    assert_eq!(world.state(&key).await, KeyState::PendingImport);
    assert_eq!(code(world.decrypt(&second).await), "KMSInvalidStateException");
    let named = ImportKeyMaterialRequest { key_material_id: Some(one.clone()), ..asked(&key, &parameters, &[2; 32]) };
    assert_eq!(code(world.import(named).await), "IncorrectKeyMaterialException");
    world.import(asked(&key, &parameters, &[1; 32])).await.unwrap();
    assert_eq!(world.describe(&key).await.unwrap().current_key_material_id, Some(two), "still the current one");
    assert_eq!(world.decrypt(&first).await.unwrap(), b"first");
    base.advance(10 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!((world.state(&key).await, material_rows(&base).await), (KeyState::PendingImport, 1));
}

#[tokio::test]
async fn a_key_pending_deletion_keeps_its_state() {
    let (_, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    world.schedule(&key).await.unwrap();
    let pending = format!("{} is pending deletion.", arn(&key));
    assert_eq!(text(world.import(asked(&key, &parameters, &[9; 32])).await), pending);
    let parameters_by = world.parameters_by(&key, AlgorithmSpec::RsaesOaepSha1, WrappingKeySpec::Rsa2048).await;
    assert_eq!(text(parameters_by), pending);
    world.remove(&key, None).await.unwrap();
    assert_eq!(world.state(&key).await, KeyState::PendingDeletion);
    world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: key.clone() })).await.unwrap();
    assert_eq!(world.state(&key).await, KeyState::PendingImport);
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    world.disable(&key).await.unwrap();
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    assert_eq!(world.state(&key).await, KeyState::Disabled, "an import does not switch a key on");
}

#[tokio::test]
async fn keys_whose_material_is_made_here_take_none() {
    let (_, world) = World::new().await;
    let (key, external) = (world.create().await, world.create_external().await);
    let parameters = world.parameters(&external).await;
    let origin = format!("{} origin is AWS_KMS which is not valid for this operation.", arn(&key));
    for _ in 0..2 {
        let told = world.parameters_by(&key, AlgorithmSpec::RsaesOaepSha256, WrappingKeySpec::Rsa2048).await;
        assert_eq!(text(told), origin);
        let told = world.import(asked(&key, &parameters, &[9; 32])).await;
        assert_eq!(
            (code(told.as_ref().map(drop).map_err(Clone::clone)), text(told)),
            ("UnsupportedOperationException", origin.clone())
        );
        assert_eq!(text(world.remove(&key, None).await), origin);
        // The same while it is pending deletion.
        let _ = world.schedule(&key).await;
    }
    let request = GetParametersForImportRequest {
        key_id: arn(&external),
        wrapping_algorithm: AlgorithmSpec::RsaesOaepSha256,
        wrapping_key_spec: WrappingKeySpec::Rsa2048,
    };
    assert_eq!(code(world.call_as(OTHER, request!(GetParametersForImport, request)).await), "AccessDeniedException");
}

/// Which wrappings AWS's table offers for a kind of key: OAEP, and the AES key in between.
const OFFERED: [(KeySpec, KeyUsageType, &str); 10] = [
    (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt, "oaep"),
    (KeySpec::Hmac224, KeyUsageType::GenerateVerifyMac, "oaep"),
    (KeySpec::Hmac512, KeyUsageType::GenerateVerifyMac, "oaep"),
    (KeySpec::Rsa2048, KeyUsageType::SignVerify, "wrap"),
    (KeySpec::Rsa4096, KeyUsageType::EncryptDecrypt, "wrap"),
    (KeySpec::EccNistP256, KeyUsageType::KeyAgreement, "oaep wrap"),
    (KeySpec::EccNistP384, KeyUsageType::SignVerify, "oaep wrap"),
    (KeySpec::EccNistP521, KeyUsageType::SignVerify, "oaep>2048 wrap"),
    (KeySpec::EccSecgP256k1, KeyUsageType::SignVerify, "oaep wrap"),
    (KeySpec::EccNistEdwards25519, KeyUsageType::SignVerify, "oaep wrap"),
];

/// What is refused is so before any wrapping key is made; what is offered is made once for the smallest size.
#[tokio::test]
async fn the_wrapping_matrix() {
    let (_, world) = World::new().await;
    for (spec, usage, offered) in OFFERED {
        let key = world.create_from(external(spec, usage)).await.unwrap().key_id;
        for algorithm in AlgorithmSpec::ALL {
            for size in WrappingKeySpec::ALL {
                let family = match algorithm {
                    AlgorithmSpec::RsaesOaepSha1 | AlgorithmSpec::RsaesOaepSha256 => "oaep",
                    AlgorithmSpec::RsaAesKeyWrapSha1 | AlgorithmSpec::RsaAesKeyWrapSha256 => "wrap",
                    AlgorithmSpec::RsaesPkcs1V15 | AlgorithmSpec::Sm2pke => "never",
                };
                let small = *size == WrappingKeySpec::Rsa2048;
                let word =
                    if family == "oaep" && offered.contains("oaep>2048") && !small { "oaep>2048" } else { family };
                let fits = *size != WrappingKeySpec::Sm2 && offered.split(' ').any(|offered| offered == word);
                if fits && !small {
                    continue;
                }
                let told = world.parameters_by(&key, *algorithm, *size).await;
                let expected = if fits { "done" } else { "UnsupportedOperationException" };
                assert_eq!(code(told), expected, "{spec:?} {algorithm:?} {size:?}");
            }
        }
    }
    for (spec, usage) in
        [(KeySpec::MlDsa44, KeyUsageType::SignVerify), (KeySpec::MlKem768, KeyUsageType::EncapsulateDecapsulate)]
    {
        let told = text(world.create_from(external(spec, usage)).await);
        assert_eq!(told, format!("KeySpec {} is not supported for Origin EXTERNAL", spec.as_str()));
    }
}

#[tokio::test]
async fn keys_of_other_kinds_have_one_material_for_life() {
    let (_, world) = World::new().await;
    let mac = world.create_from(external(KeySpec::Hmac384, KeyUsageType::GenerateVerifyMac)).await.unwrap().key_id;
    let parameters = world.parameters(&mac).await;
    let plain = || asked(&mac, &parameters, &[9; 48]);
    for request in [
        new(plain()),
        ImportKeyMaterialRequest { key_material_description: Some("x".to_owned()), ..plain() },
        ImportKeyMaterialRequest { key_material_id: Some("0".repeat(64)), ..plain() },
    ] {
        assert_eq!(code(world.import(request).await), "ValidationException");
    }
    let told = world.import(plain()).await.unwrap();
    assert_eq!((told.key_id, told.key_material_id), (Some(arn(&mac)), None));
    assert_eq!(code(world.import(asked(&mac, &parameters, &[8; 48])).await), "IncorrectKeyMaterialException");
    let request = GenerateMacRequest {
        key_id: mac.clone(),
        message: SecretBytes::from_slice(b"message"),
        mac_algorithm: MacAlgorithmSpec::HmacSha384,
        grant_tokens: None,
        dry_run: None,
    };
    world.call(request!(GenerateMac, request)).await.unwrap();

    let pair = world.create_from(external(KeySpec::EccNistP256, KeyUsageType::SignVerify)).await.unwrap().key_id;
    let public = || request!(GetPublicKey, GetPublicKeyRequest { key_id: pair.clone(), grant_tokens: None });
    assert_eq!(text(world.call(public()).await), format!("{} is pending import.", arn(&pair)));
    let parameters = world.parameters(&pair).await;
    let pkcs8 = include_bytes!("../../../crypto/testdata/keys/p256.der");
    let other = include_bytes!("../../../crypto/testdata/keys/secp256k1.der");
    assert_eq!(code(world.import(asked(&pair, &parameters, other)).await), "IncorrectKeyMaterialException");
    world.import(asked(&pair, &parameters, pkcs8)).await.unwrap();
    assert!(matches!(world.call(public()).await, Ok(Response::GetPublicKey(told)) if told.public_key.is_some()));
}

/// Whoever puts back what the database held before a deletion does not bring the material back into service.
#[tokio::test]
async fn an_older_state_of_the_rows_does_not_serve_again() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    let old = crate::rows(&*base.store).await;
    world.remove(&key, None).await.unwrap();
    drop(world);
    let now = crate::rows(&*base.store).await;
    let of_key = |row: &(bytes::Bytes, bytes::Bytes)| String::from_utf8_lossy(&row.0).contains(&key);
    let material = |row: &(bytes::Bytes, bytes::Bytes)| String::from_utf8_lossy(&row.0).contains("/material/");
    for put_back in [
        old.iter().filter(|row| material(row)).cloned().collect::<Vec<_>>(),
        old.iter().filter(|row| of_key(row)).cloned().collect(),
    ] {
        assert!(!put_back.is_empty());
        let store = Memory::new();
        for (name, value) in now.iter().chain(&put_back) {
            let mut batch = Batch::new();
            batch.put(name.clone(), value.clone());
            store.commit(batch).await.unwrap();
        }
        let (keys, clock) = (Arc::clone(&base.keys), Arc::clone(&base.clock));
        let again = Base {
            store: Arc::new(store),
            keys,
            clock,
            dice: Arc::clone(&base.dice),
            disk: None,
            regions: Regions::EVERY,
        };
        let world = again.open().await.unwrap();
        assert_eq!(code(world.decrypt(&blob).await), "KMSInternalException");
        assert_eq!(code(world.encrypt(&key, b"x").await), "KMSInternalException");
    }
}

/// A backup of the database that is older than the deletion is refused beside the audit log, which knows how far the
/// database had come.
#[tokio::test]
async fn an_older_database_does_not_start_beside_the_log() {
    let mut base = Base::over(Arc::new(Memory::new()), 1);
    base.disk = Some(tempfile::tempdir().unwrap());
    let world = base.open().await.unwrap();
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(asked(&key, &parameters, &[9; 32])).await.unwrap();
    world.engine.sync_audit().await.unwrap();
    drop(world);
    let old = crate::rows(&*base.store).await;
    let world = base.open().await.unwrap();
    world.remove(&key, None).await.unwrap();
    world.engine.sync_audit().await.unwrap();
    drop(world);
    base.open().await.unwrap();
    let store = Memory::new();
    for (name, value) in old {
        let mut batch = Batch::new();
        batch.put(name, value);
        store.commit(batch).await.unwrap();
    }
    base.store = Arc::new(store);
    assert!(base.open().await.is_err());
}

#[tokio::test]
async fn a_clock_that_leaps_closes_expiring_material_and_erases_none() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(expiring(asked(&key, &parameters, &[9; 32]), START + 30 * DAY)).await.unwrap();
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    base.leap(3_650 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert_eq!(text(world.decrypt(&blob).await), format!("{} is pending import.", arn(&key)));
    assert_eq!(material_rows(&base).await, 1);
    drop(world);
    let world = base.open().await.unwrap();
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert_eq!((code(world.decrypt(&blob).await), material_rows(&base).await), ("KMSInvalidStateException", 1));
    base.leap(-3_650 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
    base.advance(30 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!(material_rows(&base).await, 0);
}

/// What only follows from the time is not stored: keys that are changed while the clock has leapt are as before once it
/// is back.
#[tokio::test]
async fn a_change_under_a_clock_that_leapt_closes_no_key() {
    let (base, world) = World::new().await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let key = world.create_external().await;
        let parameters = world.parameters(&key).await;
        world.import(expiring(asked(&key, &parameters, &[9; 32]), START + 300 * DAY)).await.unwrap();
        keys.push(key);
    }
    let [enabled, disabled, leaving] = keys.try_into().unwrap();
    let blob = world.encrypt(&enabled, b"plain").await.unwrap();
    world.call(request!(DisableKey, DisableKeyRequest { key_id: disabled.clone() })).await.unwrap();
    let window = ScheduleKeyDeletionRequest { key_id: leaving.clone(), pending_window_in_days: Some(30) };
    world.call(request!(ScheduleKeyDeletion, window)).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    base.leap(3_650 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    for key_id in [&enabled, &disabled] {
        assert_eq!(world.describe(key_id).await.unwrap().key_state, Some(KeyState::PendingImport));
        let description = "changed".to_owned();
        let change = UpdateKeyDescriptionRequest { key_id: key_id.clone(), description };
        world.call(request!(UpdateKeyDescription, change)).await.unwrap();
    }
    world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: leaving.clone() })).await.unwrap();
    assert_eq!(world.describe(&leaving).await.unwrap().key_state, Some(KeyState::PendingImport));
    base.leap(-3_650 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    for (key, state) in [(&enabled, KeyState::Enabled), (&disabled, KeyState::Disabled), (&leaving, KeyState::Disabled)]
    {
        assert_eq!(world.describe(key).await.unwrap().key_state, Some(state));
    }
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
}

#[tokio::test]
async fn a_clock_put_back_revives_nothing() {
    let (base, world) = World::new().await;
    let key = world.create_external().await;
    let parameters = world.parameters(&key).await;
    world.import(expiring(asked(&key, &parameters, &[9; 32]), START + 30 * DAY)).await.unwrap();
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    base.advance(29 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    let stale = world.parameters(&key).await;
    base.advance(DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    base.leap(-20 * DAY);
    assert_eq!(code(world.decrypt(&blob).await), "KMSInvalidStateException");
    let again = expiring(asked(&key, &stale, &[9; 32]), START + 50 * DAY);
    assert_eq!(code(world.import(again).await), "ExpiredImportTokenException", "the token's day is over");
}
