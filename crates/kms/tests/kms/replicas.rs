//! Multi-Region keys: one id and one material in several Regions, everything else apart.

use std::sync::Arc;

use claviger_api::ServiceError;
use claviger_api::kms::{
    AlgorithmSpec, CancelKeyDeletionRequest, CreateKeyRequest, DecryptRequest, DeleteImportedKeyMaterialRequest,
    DescribeKeyRequest, EnableKeyRequest, EnableKeyRotationRequest, ExpirationModelType, GenerateMacRequest,
    GetKeyPolicyRequest, GetParametersForImportRequest, ImportKeyMaterialRequest, ImportType, KeyMetadata, KeySpec,
    KeyState, KeyUsageType, ListResourceTagsRequest, MacAlgorithmSpec, MultiRegionKeyType, OriginType,
    PutKeyPolicyRequest, ReplicateKeyRequest, ReplicateKeyResponse, Response, RotateKeyOnDemandRequest,
    ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, Tag, UpdateKeyDescriptionRequest,
    UpdatePrimaryRegionRequest, WrappingKeySpec,
};
use claviger_crypto::{OaepHash, PairSpec, PublicKey};
use claviger_engine::Regions;
use claviger_store::Memory;

use crate::people::{People, user_arn};
use crate::{Base, DAY, OTHER, OWNER, REGION, Told, World, encrypt, request};

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

fn multi_region() -> CreateKeyRequest {
    CreateKeyRequest { multi_region: Some(true), ..CreateKeyRequest::default() }
}

fn to(key: &str, region: &str) -> ReplicateKeyRequest {
    ReplicateKeyRequest { key_id: key.to_owned(), replica_region: region.to_owned(), ..ReplicateKeyRequest::default() }
}

fn arn_in(region: &str, key: &str) -> String {
    format!("arn:aws:kms:{region}:{OWNER}:key/{key}")
}

fn code<T>(told: Result<T, ServiceError>) -> &'static str {
    told.err().unwrap().code
}

impl World {
    async fn replicate_as(
        &self,
        caller: &str,
        asked: ReplicateKeyRequest,
    ) -> Result<ReplicateKeyResponse, ServiceError> {
        match self.call_as(caller, request!(ReplicateKey, asked)).await? {
            Response::ReplicateKey(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn replicate(&self, key: &str, region: &str) -> Result<ReplicateKeyResponse, ServiceError> {
        self.replicate_as(OWNER, to(key, region)).await
    }

    async fn describe_in(&self, region: &str, key: &str) -> Result<KeyMetadata, ServiceError> {
        let request = DescribeKeyRequest { key_id: key.to_owned(), ..DescribeKeyRequest::default() };
        match self.call_in(region, OWNER, request!(DescribeKey, request)).await? {
            Response::DescribeKey(response) => Ok(response.key_metadata.unwrap()),
            _ => panic!("another response"),
        }
    }

    async fn state_in(&self, region: &str, key: &str) -> KeyState {
        self.describe_in(region, key).await.unwrap().key_state.unwrap()
    }

    async fn encrypt_in(&self, region: &str, key: &str, plain: &[u8]) -> Result<Vec<u8>, ServiceError> {
        match self.call_in(region, OWNER, request!(Encrypt, encrypt(key, plain))).await? {
            Response::Encrypt(response) => Ok(response.ciphertext_blob.unwrap()),
            _ => panic!("another response"),
        }
    }

    /// The plaintext, with the key that opened it and the material.
    async fn decrypt_in(
        &self,
        region: &str,
        key: Option<String>,
        blob: &[u8],
    ) -> Result<(Vec<u8>, String, String), ServiceError> {
        let request = DecryptRequest { ciphertext_blob: Some(blob.to_vec()), key_id: key, ..DecryptRequest::default() };
        match self.call_in(region, OWNER, request!(Decrypt, request)).await? {
            Response::Decrypt(told) => {
                let plain = told.plaintext.unwrap().expose().to_vec();
                Ok((plain, told.key_id.unwrap(), told.key_material_id.unwrap()))
            }
            _ => panic!("another response"),
        }
    }

    async fn move_primary(&self, from: &str, key: &str, to: &str) -> Told {
        let request = UpdatePrimaryRegionRequest { key_id: key.to_owned(), primary_region: to.to_owned() };
        self.call_in(from, OWNER, request!(UpdatePrimaryRegion, request)).await
    }

    async fn schedule_in(
        &self,
        region: &str,
        key: &str,
        days: i32,
    ) -> Result<ScheduleKeyDeletionResponse, ServiceError> {
        let request = ScheduleKeyDeletionRequest { key_id: key.to_owned(), pending_window_in_days: Some(days) };
        match self.call_in(region, OWNER, request!(ScheduleKeyDeletion, request)).await? {
            Response::ScheduleKeyDeletion(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn cancel_in(&self, region: &str, key: &str) -> Told {
        self.call_in(region, OWNER, request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: key.to_owned() }))
            .await
    }

    async fn enable_in(&self, region: &str, key: &str) -> Told {
        self.call_in(region, OWNER, request!(EnableKey, EnableKeyRequest { key_id: key.to_owned() })).await
    }

    /// Who is the primary and where the replicas are, as the key of this Region says it; its own kind first.
    async fn family(&self, region: &str, key: &str) -> (MultiRegionKeyType, String, Vec<String>) {
        let shown = self.describe_in(region, key).await.unwrap();
        assert_eq!(shown.multi_region, Some(true));
        let config = shown.multi_region_configuration.unwrap();
        let primary = config.primary_key.unwrap();
        let replicas = config.replica_keys.unwrap();
        for related in replicas.iter().chain([&primary]) {
            assert_eq!(related.arn.as_deref(), Some(&*arn_in(related.region.as_deref().unwrap(), key)));
        }
        let regions = replicas.into_iter().map(|replica| replica.region.unwrap()).collect();
        (config.multi_region_key_type.unwrap(), primary.region.unwrap(), regions)
    }

    async fn demand_family(&self, key: &str, primary: &str, replicas: &[&str]) {
        for region in replicas.iter().chain([&primary]) {
            let kind = if *region == primary { MultiRegionKeyType::Primary } else { MultiRegionKeyType::Replica };
            let expected = (kind, primary.to_owned(), replicas.iter().map(|&region| region.to_owned()).collect());
            assert_eq!(self.family(region, key).await, expected, "{region}");
        }
    }

    async fn text_of_policy(&self, region: &str, key: &str) -> String {
        let request = GetKeyPolicyRequest { key_id: key.to_owned(), ..GetKeyPolicyRequest::default() };
        match self.call_in(region, OWNER, request!(GetKeyPolicy, request)).await.unwrap() {
            Response::GetKeyPolicy(response) => response.policy.unwrap(),
            _ => panic!("another response"),
        }
    }

    async fn tags_in(&self, region: &str, key: &str) -> Vec<Tag> {
        let request = ListResourceTagsRequest { key_id: key.to_owned(), ..ListResourceTagsRequest::default() };
        match self.call_in(region, OWNER, request!(ListResourceTags, request)).await.unwrap() {
            Response::ListResourceTags(response) => response.tags.unwrap(),
            _ => panic!("another response"),
        }
    }
}

#[tokio::test]
async fn a_new_multi_region_key_is_a_lone_primary() {
    let (_, world) = World::new().await;
    let made = world.create_from(multi_region()).await.unwrap();
    let key = made.key_id.as_str();
    assert!(key.starts_with("mrk-") && key.len() == 36, "{key}");
    assert_eq!(made.arn.as_deref(), Some(&*arn_in(REGION, key)));
    world.demand_family(key, REGION, &[]).await;
    assert_eq!(world.describe(key).await.unwrap(), made);
    let blob = world.encrypt(key, b"plain").await.unwrap();
    assert_eq!(world.decrypt(&blob).await.unwrap(), b"plain");
    let single = world.describe(&world.create().await).await.unwrap();
    assert_eq!((single.multi_region, single.multi_region_configuration), (Some(false), None));
}

#[tokio::test]
async fn a_replica_shares_the_material_and_nothing_else() {
    let (base, world) = World::new().await;
    let made = CreateKeyRequest {
        description: Some("of the primary".to_owned()),
        tags: Some(vec![Tag { tag_key: "team".to_owned(), tag_value: "blue".to_owned() }]),
        ..multi_region()
    };
    let primary = world.create_from(made).await.unwrap();
    let key = primary.key_id.as_str();
    world.alias("alias/one", key).await.unwrap();
    let statement = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    let put =
        PutKeyPolicyRequest { key_id: key.to_owned(), policy: statement.clone(), ..PutKeyPolicyRequest::default() };
    world.call(request!(PutKeyPolicy, put)).await.unwrap();
    base.advance(DAY);
    let told = world.replicate(key, EAST).await.unwrap();
    let shown = told.replica_key_metadata.unwrap();
    assert_eq!((shown.key_state, shown.enabled), (Some(KeyState::Creating), Some(false)));
    assert_eq!((shown.arn, shown.current_key_material_id), (Some(arn_in(EAST, key)), None));
    assert_eq!((shown.description.as_deref(), told.replica_tags), (Some(""), Some(Vec::new())));
    let policy = told.replica_policy.unwrap();
    assert!(policy.contains("Enable IAM User Permissions"), "{policy}");
    assert_eq!(world.text_of_policy(EAST, key).await, policy);
    assert_eq!(world.text_of_policy(REGION, key).await, statement);
    let replica = world.describe_in(EAST, key).await.unwrap();
    assert_eq!((replica.key_state, replica.enabled), (Some(KeyState::Enabled), Some(true)));
    assert_eq!(replica.current_key_material_id, primary.current_key_material_id);
    assert!(replica.creation_date > primary.creation_date, "it is a key of its own");
    assert!(world.tags_in(EAST, key).await.is_empty());
    assert_eq!(code(world.describe_in(EAST, "alias/one").await), "NotFoundException");
    world.demand_family(key, REGION, &[EAST]).await;
    // What one Region changes later, the other does not see.
    let described = UpdateKeyDescriptionRequest { key_id: key.to_owned(), description: "of the replica".to_owned() };
    world.call_in(EAST, OWNER, request!(UpdateKeyDescription, described)).await.unwrap();
    world.disable(key).await.unwrap();
    assert_eq!(world.describe(key).await.unwrap().description.as_deref(), Some("of the primary"));
    assert_eq!(world.state_in(EAST, key).await, KeyState::Enabled);
    world.encrypt_in(EAST, key, b"x").await.unwrap();
    assert_eq!(code(world.encrypt(key, b"x").await), "DisabledException");
}

#[tokio::test]
async fn a_replica_is_what_the_request_makes_it() {
    let (_, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let policy = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    let tag = |name: &str| Tag { tag_key: name.to_owned(), tag_value: "1".to_owned() };
    let asked = ReplicateKeyRequest {
        policy: Some(policy.clone()),
        description: Some("for the east".to_owned()),
        tags: Some(vec![tag("b"), tag("a")]),
        ..to(&key, EAST)
    };
    let told = world.replicate_as(OWNER, asked.clone()).await.unwrap();
    assert_eq!(told.replica_policy.as_deref(), Some(&*policy));
    assert_eq!(told.replica_tags, Some(vec![tag("a"), tag("b")]));
    assert_eq!(world.text_of_policy(EAST, &key).await, policy);
    assert_eq!(world.tags_in(EAST, &key).await, [tag("a"), tag("b")]);
    assert_eq!(world.describe_in(EAST, &key).await.unwrap().description.as_deref(), Some("for the east"));
    let locked = policy.replace(OWNER, OTHER);
    let refused = [
        (ReplicateKeyRequest { policy: Some(locked), ..to(&key, WEST) }, "MalformedPolicyDocumentException"),
        (ReplicateKeyRequest { tags: Some(vec![tag("aws:x")]), ..to(&key, WEST) }, "TagException"),
        (ReplicateKeyRequest { tags: Some(vec![tag("a"), tag("a")]), ..to(&key, WEST) }, "TagException"),
        (asked, "AlreadyExistsException"),
    ];
    for (asked, expected) in refused {
        assert_eq!(code(world.replicate_as(OWNER, asked.clone()).await), expected, "{asked:?}");
    }
    world.demand_family(&key, REGION, &[EAST]).await;
    assert_eq!(code(world.describe_in(WEST, &key).await), "NotFoundException");
}

#[tokio::test]
async fn only_an_enabled_primary_is_replicated() {
    let (_, world) = World::new().await;
    let single = world.create().await;
    let refused = world.replicate(&single, EAST).await.unwrap_err();
    assert_eq!(refused.code, "UnsupportedOperationException");
    assert_eq!(refused.message, Some(format!("{} is not a multi-region primary key.", arn_in(REGION, &single))));
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    assert_eq!(code(world.replicate(&key, REGION).await), "AlreadyExistsException");
    world.replicate(&key, EAST).await.unwrap();
    // Not from a replica, nor by its ARN.
    let from_replica = world.call_in(EAST, OWNER, request!(ReplicateKey, to(&key, WEST))).await;
    assert_eq!(code(from_replica), "UnsupportedOperationException");
    assert_eq!(code(world.replicate(&arn_in(EAST, &key), WEST).await), "NotFoundException");
    world.disable(&key).await.unwrap();
    assert_eq!(code(world.replicate(&key, WEST).await), "DisabledException");
    world.enable_in(REGION, &key).await.unwrap();
    world.schedule(&key).await.unwrap();
    assert_eq!(code(world.replicate(&key, WEST).await), "KMSInvalidStateException");
    world.cancel_in(REGION, &key).await.unwrap();
    assert_eq!(code(world.replicate(&key, WEST).await), "DisabledException");
    // Another account has no say, whatever the id.
    assert_eq!(code(world.replicate_as(OTHER, to(&arn_in(REGION, &key), WEST)).await), "AccessDeniedException");
    world.demand_family(&key, REGION, &[EAST]).await;
}

#[tokio::test]
async fn what_one_region_encrypts_another_opens() {
    let (base, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let older = world.encrypt(&key, b"older than the replica").await.unwrap();
    assert_eq!(code(world.decrypt_in(EAST, None, &older).await), "AccessDeniedException");
    world.replicate(&key, EAST).await.unwrap();
    world.replicate(&key, WEST).await.unwrap();
    let from_east = world.encrypt_in(EAST, &key, b"from the east").await.unwrap();
    let material = world.describe(&key).await.unwrap().current_key_material_id.unwrap();
    // Also after a start, when every material is unwrapped anew.
    drop(world);
    let world = base.open().await.unwrap();
    for region in [REGION, EAST, WEST] {
        for (blob, plain) in [(&older, &b"older than the replica"[..]), (&from_east, b"from the east")] {
            let expected = (plain.to_vec(), arn_in(region, &key), material.clone());
            assert_eq!(world.decrypt_in(region, None, blob).await.unwrap(), expected, "{region}");
            assert_eq!(world.decrypt_in(region, Some(key.clone()), blob).await.unwrap(), expected, "{region}");
        }
    }
    assert_eq!(code(world.decrypt_in(EAST, Some(arn_in(REGION, &key)), &older).await), "NotFoundException");
    // A key that is not related stays shut.
    let single = world.create().await;
    let blob = world.encrypt(&single, b"here only").await.unwrap();
    assert_eq!(code(world.decrypt_in(EAST, None, &blob).await), "AccessDeniedException");
    assert_eq!(code(world.decrypt_in(EAST, Some(key), &blob).await), "IncorrectKeyException");
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn every_kind_of_key_can_have_several_regions() {
    let (_, world) = World::new().await;
    let request = CreateKeyRequest {
        key_spec: Some(KeySpec::Hmac256),
        key_usage: Some(KeyUsageType::GenerateVerifyMac),
        ..multi_region()
    };
    let key = world.create_from(request).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    let mut macs = Vec::new();
    for region in [REGION, EAST] {
        let request = GenerateMacRequest {
            key_id: key.clone(),
            message: claviger_secret::SecretBytes::from_slice(b"message"),
            mac_algorithm: MacAlgorithmSpec::HmacSha256,
            grant_tokens: None,
            dry_run: None,
        };
        match world.call_in(region, OWNER, request!(GenerateMac, request)).await.unwrap() {
            Response::GenerateMac(response) => macs.push(response.mac.unwrap()),
            _ => panic!("another response"),
        }
    }
    assert_eq!(macs[0], macs[1]);
    let shown = world.describe_in(EAST, &key).await.unwrap();
    assert_eq!((shown.key_spec, shown.origin), (Some(KeySpec::Hmac256), Some(OriginType::AwsKms)));
    assert_eq!((shown.key_usage, shown.current_key_material_id), (Some(KeyUsageType::GenerateVerifyMac), None));
}

#[tokio::test]
async fn the_primary_moves_to_a_replica() {
    let (_, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    world.replicate(&key, WEST).await.unwrap();
    assert_eq!(code(world.move_primary(EAST, &key, WEST).await), "UnsupportedOperationException");
    assert_eq!(code(world.move_primary(REGION, &key, "eu-west-1").await), "NotFoundException");
    assert_eq!(code(world.move_primary(REGION, &key, REGION).await), "ValidationException");
    world.demand_family(&key, REGION, &[EAST, WEST]).await;
    let blob = world.encrypt(&key, b"before").await.unwrap();
    world.move_primary(REGION, &key, EAST).await.unwrap();
    world.demand_family(&key, EAST, &[REGION, WEST]).await;
    assert_eq!(world.decrypt_in(WEST, None, &blob).await.unwrap().0, b"before");
    for region in [REGION, EAST, WEST] {
        assert_eq!(world.state_in(region, &key).await, KeyState::Enabled);
    }
    // The rights of a primary moved too.
    assert_eq!(code(world.replicate(&key, "eu-west-1").await), "UnsupportedOperationException");
    world.call_in(EAST, OWNER, request!(ReplicateKey, to(&key, "eu-west-1"))).await.unwrap();
    world.demand_family(&key, EAST, &["eu-central-1", "eu-west-1", "us-west-2"]).await;
    // There and back, and neither end disabled.
    world.disable(&key).await.unwrap();
    assert_eq!(code(world.move_primary(EAST, &key, REGION).await), "DisabledException");
    world.enable_in(REGION, &key).await.unwrap();
    world.move_primary(EAST, &key, REGION).await.unwrap();
    world.demand_family(&key, REGION, &["eu-west-1", "us-east-1", "us-west-2"]).await;
}

#[tokio::test]
async fn a_primary_outlives_its_replicas() {
    let (base, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    world.replicate(&key, WEST).await.unwrap();
    let blob = world.encrypt(&key, b"kept").await.unwrap();
    let told = world.schedule_in(REGION, &key, 10).await.unwrap();
    assert_eq!((told.key_state, told.deletion_date), (Some(KeyState::PendingReplicaDeletion), None));
    assert_eq!(told.pending_window_in_days, Some(10));
    let shown = world.describe(&key).await.unwrap();
    assert_eq!((shown.key_state, shown.deletion_date), (Some(KeyState::PendingReplicaDeletion), None));
    assert_eq!((shown.pending_deletion_window_in_days, shown.enabled), (Some(10), Some(false)));
    let refused = world.encrypt(&key, b"x").await.unwrap_err();
    let text = format!("{} is pending replica deletion.", arn_in(REGION, &key));
    assert_eq!((refused.code, refused.message), ("KMSInvalidStateException", Some(text)));
    assert_eq!(code(world.schedule(&key).await), "KMSInvalidStateException");
    assert_eq!(code(world.move_primary(REGION, &key, EAST).await), "KMSInvalidStateException");
    // While a replica is left, time does nothing to the primary.
    let told = world.schedule_in(EAST, &key, 7).await.unwrap();
    assert_eq!(told.key_state, Some(KeyState::PendingDeletion));
    base.advance(100 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!(code(world.describe_in(EAST, &key).await), "NotFoundException");
    assert_eq!(world.state_in(REGION, &key).await, KeyState::PendingReplicaDeletion);
    assert_eq!(world.family(WEST, &key).await, (MultiRegionKeyType::Replica, REGION.to_owned(), vec![WEST.to_owned()]));
    assert_eq!(world.decrypt_in(WEST, None, &blob).await.unwrap().0, b"kept");
    // With the last one gone its own window begins.
    world.schedule_in(WEST, &key, 7).await.unwrap();
    base.advance(7 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    let shown = world.describe(&key).await.unwrap();
    assert_eq!(shown.key_state, Some(KeyState::PendingDeletion));
    let left = shown.deletion_date.unwrap().millis() - crate::START;
    assert_eq!((left, shown.pending_deletion_window_in_days), ((107 + 10) * DAY, None));
    base.advance(10 * DAY - 1);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    base.advance(1);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!(code(world.describe(&key).await), "NotFoundException");
    world.engine.sync_audit().await.unwrap();
    let rows = crate::rows(&*base.store).await;
    assert!(!rows.iter().any(|(row, _)| String::from_utf8_lossy(row).contains(&key)), "nothing is left of it");
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn a_deletion_that_waits_for_replicas_is_cancelled() {
    let (base, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    assert_eq!(code(world.cancel_in(REGION, &key).await), "KMSInvalidStateException");
    world.schedule(&key).await.unwrap();
    world.cancel_in(REGION, &key).await.unwrap();
    let shown = world.describe(&key).await.unwrap();
    assert_eq!((shown.key_state, shown.pending_deletion_window_in_days), (Some(KeyState::Disabled), None));
    // The end of its replica does nothing to it now.
    world.schedule_in(EAST, &key, 7).await.unwrap();
    base.advance(400 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    assert_eq!(world.state_in(REGION, &key).await, KeyState::Disabled);
    world.demand_family(&key, REGION, &[]).await;
    // A replica can be made again, and opens what was there before.
    world.enable_in(REGION, &key).await.unwrap();
    let blob = world.encrypt(&key, b"again").await.unwrap();
    world.replicate(&key, EAST).await.unwrap();
    assert_eq!(world.decrypt_in(EAST, None, &blob).await.unwrap().0, b"again");
    // A lone primary has its window at once, and a cancelled replica stays.
    world.schedule_in(EAST, &key, 7).await.unwrap();
    world.cancel_in(EAST, &key).await.unwrap();
    base.advance(400 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    world.demand_family(&key, REGION, &[EAST]).await;
}

#[tokio::test]
async fn replicating_asks_in_both_regions() {
    let people = Arc::new(People::default());
    let base = Base::over(Arc::new(Memory::new()), 1);
    let world = base.open_with(&people).await;
    people.user(OWNER, "alice");
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let statement = |effect: &str, action: &str, condition: &str| {
        format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"*"{condition}}}"#)
    };
    let policy =
        |statements: &[String]| format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    let all = statement("Allow", "kms:*", "");
    let only = |action: &str| statement("Allow", action, "");
    let deny = |action: &str, operator: &str, name: &str, value: &str| {
        statement("Deny", action, &format!(r#","Condition":{{"{operator}":{{"{name}":"{value}"}}}}"#))
    };
    let tagged = ReplicateKeyRequest {
        tags: Some(vec![Tag { tag_key: "team".to_owned(), tag_value: "blue".to_owned() }]),
        ..to(&key, EAST)
    };
    let refused = [
        vec![only("kms:ReplicateKey")],
        vec![only("kms:CreateKey")],
        vec![only("kms:ReplicateKey"), only("kms:CreateKey")],
        vec![all.clone(), deny("kms:ReplicateKey", "StringEquals", "kms:ReplicaRegion", EAST)],
        vec![all.clone(), deny("kms:ReplicateKey", "StringEquals", "kms:MultiRegionKeyType", "PRIMARY")],
        vec![all.clone(), deny("kms:ReplicateKey", "Bool", "kms:MultiRegion", "true")],
        vec![all.clone(), deny("kms:ReplicateKey", "StringEquals", "aws:RequestedRegion", REGION)],
        vec![all.clone(), deny("kms:CreateKey", "StringEquals", "kms:MultiRegionKeyType", "REPLICA")],
        vec![all.clone(), deny("kms:CreateKey", "Bool", "kms:MultiRegion", "true")],
        vec![all.clone(), deny("kms:CreateKey", "StringEquals", "aws:RequestedRegion", EAST)],
        vec![all.clone(), deny("kms:TagResource", "StringEquals", "aws:RequestTag/team", "blue")],
    ];
    for statements in refused {
        people.identity("alice", &policy(&statements));
        assert_eq!(code(world.replicate_as("alice", tagged.clone()).await), "AccessDeniedException", "{statements:?}");
    }
    assert_eq!(code(world.describe_in(EAST, &key).await), "NotFoundException");
    // These say something of another question.
    let allowed = [
        vec![only("kms:ReplicateKey"), only("kms:CreateKey"), only("kms:TagResource")],
        vec![all.clone(), deny("kms:ReplicateKey", "StringEquals", "aws:RequestedRegion", WEST)],
        vec![all, deny("kms:CreateKey", "StringEquals", "aws:RequestedRegion", REGION)],
    ];
    for (statements, region) in allowed.iter().zip([EAST, "ap-south-1", WEST]) {
        people.identity("alice", &policy(statements));
        let asked = ReplicateKeyRequest { replica_region: region.to_owned(), ..tagged.clone() };
        world.replicate_as("alice", asked).await.unwrap();
    }
}

#[tokio::test]
async fn moving_the_primary_asks_both_keys() {
    let people = Arc::new(People::default());
    let base = Base::over(Arc::new(Memory::new()), 1);
    let world = base.open_with(&people).await;
    people.user(OWNER, "alice");
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    let policy = |more: &str| {
        let owner = format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},"Action":"kms:*","Resource":"*"}}"#);
        format!(r#"{{"Statement":[{owner}{more}]}}"#)
    };
    let alice = user_arn(OWNER, "alice");
    let update = |extra: &str| {
        let principal = format!(r#""Principal":{{"AWS":"{alice}"}}"#);
        format!(r#",{{"Effect":"Allow",{principal},"Action":"kms:UpdatePrimaryRegion","Resource":"*"{extra}}}"#)
    };
    let when = |name: &str, value: &str| update(&format!(r#","Condition":{{"StringEquals":{{"{name}":"{value}"}}}}"#));
    let put = async |region: &str, policy: String| {
        let request = PutKeyPolicyRequest { key_id: key.clone(), policy, ..PutKeyPolicyRequest::default() };
        world.call_in(region, OWNER, request!(PutKeyPolicy, request)).await.unwrap();
    };
    let attempt = async || {
        let request = UpdatePrimaryRegionRequest { key_id: key.clone(), primary_region: EAST.to_owned() };
        world.call_in(REGION, "alice", request!(UpdatePrimaryRegion, request)).await
    };
    let none = String::new();
    for (here, there) in [
        (&none, &none),
        (&update(""), &none),
        (&none, &update("")),
        (&when("kms:PrimaryRegion", REGION), &update("")),
        (&when("kms:MultiRegionKeyType", "REPLICA"), &update("")),
        (&update(""), &when("kms:MultiRegionKeyType", "PRIMARY")),
        (&update(""), &when("aws:RequestedRegion", REGION)),
    ] {
        put(REGION, policy(here)).await;
        put(EAST, policy(there)).await;
        assert_eq!(code(attempt().await), "AccessDeniedException", "{here} {there}");
    }
    put(REGION, policy(&when("kms:PrimaryRegion", EAST))).await;
    put(EAST, policy(&when("kms:MultiRegionKeyType", "REPLICA"))).await;
    attempt().await.unwrap();
    world.demand_family(&key, EAST, &[REGION]).await;
}

const ELSEWHERE: &[&str] = &["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3"];

#[tokio::test]
async fn rotation_belongs_to_the_primary_and_reaches_every_region() {
    let (base, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    let enable = || EnableKeyRotationRequest { key_id: key.clone(), rotation_period_in_days: Some(90) };
    world.call(request!(EnableKeyRotation, enable())).await.unwrap();
    let refused = world.call_in(EAST, OWNER, request!(EnableKeyRotation, enable())).await;
    assert_eq!(code(refused), "UnsupportedOperationException");
    let mut blobs = vec![world.encrypt(&key, b"plain").await.unwrap()];
    let mut used = vec![world.material_in(REGION, &key).await];
    for round in 0..4 {
        if round == 2 {
            // The work goes where the primary goes.
            world.move_primary(REGION, &key, EAST).await.unwrap();
        }
        base.advance(90 * DAY);
        assert_eq!(world.engine.run_due(&world.kms).await, Ok(1), "round {round}");
        let material = world.material_in(REGION, &key).await;
        assert_eq!(world.material_in(EAST, &key).await, material);
        assert!(!used.contains(&material), "round {round}");
        used.push(material);
        blobs.push(world.encrypt_in(EAST, &key, b"plain").await.unwrap());
    }
    let rotate = || request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: key.clone() });
    assert_eq!(code(world.call(rotate()).await), "UnsupportedOperationException");
    world.call_in(EAST, OWNER, rotate()).await.unwrap();
    world.engine.run_due(&world.kms).await.unwrap();
    assert_ne!(world.material_in(REGION, &key).await, used[4]);
    // A replica that is made now opens all there ever was, in rows of its own.
    world.call_in(EAST, OWNER, request!(ReplicateKey, to(&key, WEST))).await.unwrap();
    drop(world);
    let world = base.open().await.unwrap();
    for region in [REGION, EAST, WEST] {
        for (blob, material) in blobs.iter().zip(&used) {
            assert_eq!(&world.decrypt_in(region, None, blob).await.unwrap().2, material, "{region}");
        }
    }
    // Rotated once a period, not once in each Region.
    base.advance(90 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    let rows = crate::rows(&*base.store).await;
    let materials = rows.iter().filter(|(row, _)| row.windows(9).any(|part| part == b"material/"));
    assert_eq!(materials.count(), 3 * 7);
}

impl World {
    async fn material_in(&self, region: &str, key: &str) -> String {
        self.describe_in(region, key).await.unwrap().current_key_material_id.unwrap()
    }

    async fn import_in(&self, region: &str, key: &str, secret: &[u8; 32], kind: Option<ImportType>) -> Told {
        let request = GetParametersForImportRequest {
            key_id: key.to_owned(),
            wrapping_algorithm: AlgorithmSpec::RsaesOaepSha256,
            wrapping_key_spec: WrappingKeySpec::Rsa2048,
        };
        let Response::GetParametersForImport(parameters) =
            self.call_in(region, OWNER, request!(GetParametersForImport, request)).await?
        else {
            panic!("another response")
        };
        let public = PublicKey::from_spki(PairSpec::Rsa2048, parameters.public_key.unwrap().expose()).unwrap();
        let request = ImportKeyMaterialRequest {
            key_id: key.to_owned(),
            import_token: parameters.import_token.unwrap(),
            encrypted_key_material: public.encrypt(OaepHash::Sha256, secret).unwrap(),
            expiration_model: Some(ExpirationModelType::KeyMaterialDoesNotExpire),
            import_type: kind,
            ..ImportKeyMaterialRequest::default()
        };
        self.call_in(region, OWNER, request!(ImportKeyMaterial, request)).await
    }
}

#[tokio::test]
async fn imported_material_is_imported_in_every_region() {
    let (_, world) = World::new().await;
    let request = CreateKeyRequest { origin: Some(OriginType::External), ..multi_region() };
    let key = world.create_from(request).await.unwrap().key_id;
    assert_eq!(code(world.replicate(&key, EAST).await), "KMSInvalidStateException");
    world.import_in(REGION, &key, &[1; 32], None).await.unwrap();
    let blob = world.encrypt(&key, b"plain").await.unwrap();
    world.replicate(&key, EAST).await.unwrap();
    assert_eq!(world.state_in(EAST, &key).await, KeyState::PendingImport);
    assert_eq!(code(world.decrypt_in(EAST, None, &blob).await), "KMSInvalidStateException");
    // Only what the primary has, and nothing new through a replica.
    assert_eq!(code(world.import_in(EAST, &key, &[2; 32], None).await), "IncorrectKeyMaterialException");
    let new = Some(ImportType::NewKeyMaterial);
    assert_eq!(code(world.import_in(EAST, &key, &[2; 32], new).await), "UnsupportedOperationException");
    world.import_in(EAST, &key, &[1; 32], None).await.unwrap();
    assert_eq!(world.state_in(EAST, &key).await, KeyState::Enabled);
    assert_eq!(world.decrypt_in(EAST, None, &blob).await.unwrap().0, b"plain");
    // Rotation waits until every Region has the next one.
    let rotate = || request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: key.clone() });
    world.import_in(REGION, &key, &[2; 32], new).await.unwrap();
    assert_eq!(code(world.call(rotate()).await), "KMSInvalidStateException");
    assert_eq!(world.state_in(EAST, &key).await, KeyState::Enabled, "what waits is not needed yet");
    world.import_in(EAST, &key, &[2; 32], None).await.unwrap();
    world.call(rotate()).await.unwrap();
    let material = world.material_in(REGION, &key).await;
    assert_eq!(world.material_in(EAST, &key).await, material);
    let rotated = world.encrypt_in(EAST, &key, b"rotated").await.unwrap();
    assert_eq!(world.decrypt(&rotated).await.unwrap(), b"rotated");
    assert_eq!(world.decrypt_in(EAST, None, &blob).await.unwrap().0, b"plain");
    // What the primary takes back before its rotation goes everywhere; what is in use, in its own Region only.
    let delete = |id: Option<String>| DeleteImportedKeyMaterialRequest { key_id: key.clone(), key_material_id: id };
    let Response::ImportKeyMaterial(told) = world.import_in(REGION, &key, &[3; 32], new).await.unwrap() else {
        panic!("another response")
    };
    world.import_in(EAST, &key, &[3; 32], None).await.unwrap();
    let id = told.key_material_id.unwrap();
    world.call(request!(DeleteImportedKeyMaterial, delete(Some(id.clone())))).await.unwrap();
    let gone = world.call_in(EAST, OWNER, request!(DeleteImportedKeyMaterial, delete(Some(id)))).await;
    assert_eq!(code(gone), "NotFoundException");
    world.call(request!(DeleteImportedKeyMaterial, delete(None))).await.unwrap();
    assert_eq!(world.state_in(REGION, &key).await, KeyState::PendingImport);
    assert_eq!(world.decrypt_in(EAST, None, &rotated).await.unwrap().0, b"rotated");
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn the_log_tells_what_was_done_where() {
    let (_, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    world.replicate(&key, EAST).await.unwrap();
    world.move_primary(REGION, &key, EAST).await.unwrap();
    world.schedule_in(EAST, &key, 9).await.unwrap();
    let lines = world.engine.audit().lines();
    let of = |name: &str| {
        let named = format!(r#""eventName":"{name}""#);
        lines.iter().find(|line| line.contains(&named)).unwrap().clone()
    };
    let replicated = of("ReplicateKey");
    let parts = [r#""awsRegion":"eu-central-1""#, r#""replicaRegion":"us-east-1""#, r#""replicaKeyMetadata":{"#];
    for part in parts.map(str::to_owned).iter().chain([&arn_in(EAST, &key)]) {
        assert!(replicated.contains(part), "{part}: {replicated}");
    }
    let updated = of("UpdatePrimaryRegion");
    for part in [r#""primaryRegion":"us-east-1""#.to_owned(), format!(r#""keyId":"{}""#, arn_in(REGION, &key))] {
        assert!(updated.contains(&part), "{part}: {updated}");
    }
    let scheduled = of("ScheduleKeyDeletion");
    assert!(scheduled.contains(r#""keyState":"PendingReplicaDeletion""#), "{scheduled}");
    assert!(!scheduled.contains("deletionDate"), "{scheduled}");
}

/// There are limits, so that whatever changes all related keys fits one commit.
#[tokio::test]
async fn a_family_of_any_permitted_size_can_be_changed() {
    let (base, world) = World::new().await;
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let regions: Vec<String> = (1..=14).map(|number| format!("eu-test-{number}")).collect();
    for region in &regions {
        world.replicate(&key, region).await.unwrap();
    }
    assert_eq!(code(world.replicate(&key, EAST).await), "LimitExceededException");
    let rotate = || request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: key.clone() });
    for _ in 0..18 {
        world.call(rotate()).await.unwrap();
    }
    world.move_primary(REGION, &key, &regions[3]).await.unwrap();
    world.schedule_in(REGION, &key, 7).await.unwrap();
    base.advance(8 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(code(world.describe(&key).await), "NotFoundException");
    let rows = crate::rows(&*base.store).await;
    let of_gone = format!("{REGION}.{key}");
    assert!(!rows.iter().any(|(row, _)| String::from_utf8_lossy(row).contains(&of_gone)), "swept whole");
    let enable = EnableKeyRotationRequest { key_id: key.clone(), rotation_period_in_days: Some(90) };
    world.call_in(&regions[3], OWNER, request!(EnableKeyRotation, enable)).await.unwrap();
    base.advance(90 * DAY);
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(1));
    // Fourteen Regions and nineteen materials.
    let again = request!(ReplicateKey, to(&key, EAST));
    assert_eq!(code(world.call_in(&regions[3], OWNER, again).await), "LimitExceededException");
    let lone = world.create_from(multi_region()).await.unwrap().key_id;
    let rotate = || request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: lone.clone() });
    for _ in 0..25 {
        world.call(rotate()).await.unwrap();
    }
    for region in regions.iter().take(2) {
        world.replicate(&lone, region).await.unwrap();
    }
    assert_eq!(code(world.replicate(&lone, EAST).await), "LimitExceededException");
}

/// Replicas made and promoted at once leave one family that agrees with itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hands_leave_one_family() {
    let (_, world) = World::new().await;
    let world = Arc::new(world);
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let tasks: Vec<_> = ELSEWHERE
        .iter()
        .chain(ELSEWHERE)
        .map(|region| {
            let (world, key) = (Arc::clone(&world), key.clone());
            tokio::spawn(async move { world.replicate(&key, region).await.map(drop).map_err(|error| error.code) })
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        told.push(task.await.unwrap());
    }
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), ELSEWHERE.len(), "{told:?}");
    assert!(told.iter().all(|told| matches!(told, Ok(()) | Err("AlreadyExistsException"))), "{told:?}");
    let mut sorted = ELSEWHERE.to_vec();
    sorted.sort_unstable();
    world.demand_family(&key, REGION, &sorted).await;
    let tasks: Vec<_> = ELSEWHERE
        .iter()
        .map(|region| {
            let (world, key) = (Arc::clone(&world), key.clone());
            tokio::spawn(async move { world.move_primary(REGION, &key, region).await.is_ok() })
        })
        .collect();
    let mut moved = 0;
    for task in tasks {
        moved += usize::from(task.await.unwrap());
    }
    assert_eq!(moved, 1, "only the first found the primary where it was");
    let primary = world.family(REGION, &key).await.1;
    let mut left: Vec<&str> = ELSEWHERE.iter().copied().chain([REGION]).filter(|region| **region != primary).collect();
    left.sort_unstable();
    world.demand_family(&key, &primary, &left).await;
}

#[tokio::test]
async fn a_key_goes_to_regions_that_are_served() {
    let mut base = Base::over(Arc::new(Memory::new()), 1);
    base.regions = Regions::these([REGION, EAST].map(str::to_owned)).unwrap();
    let world = base.open().await.unwrap();
    let key = world.create_from(multi_region()).await.unwrap().key_id;
    let told = world.replicate(&key, WEST).await.unwrap_err();
    assert_eq!(told.code, "UnsupportedOperationException");
    assert_eq!(told.message.as_deref(), Some("us-west-2 is not a supported Region."));
    world.replicate(&key, EAST).await.unwrap();
    // A Region is taken out: its replica stays, and is out of reach.
    drop(world);
    base.regions = Regions::these([REGION.to_owned()]).unwrap();
    let world = base.open().await.unwrap();
    let primary = UpdatePrimaryRegionRequest { key_id: key.clone(), primary_region: EAST.to_owned() };
    let told = world.call(request!(UpdatePrimaryRegion, primary)).await;
    assert_eq!(code(told), "UnsupportedOperationException");
    assert!(crate::rows(&*base.store).await.iter().any(|(row, _)| row.starts_with(b"key/us-east-1.")));
}
