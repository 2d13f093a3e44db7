//! Rotation: by itself, on demand, across states, delays and crashes. The clock is the test's.

use std::sync::Arc;

use claviger_api::ServiceError;
use claviger_api::kms::{
    CancelKeyDeletionRequest, CreateKeyRequest, DecryptRequest, DisableKeyRotationRequest, EnableKeyRequest,
    EnableKeyRotationRequest, GetKeyRotationStatusRequest, GetKeyRotationStatusResponse, IncludeKeyMaterial,
    KeyMaterialState, KeySpec, KeyUsageType, ListKeyRotationsRequest, ListKeyRotationsResponse, Response,
    RotateKeyOnDemandRequest, RotationType, RotationsListEntry,
};
use claviger_store::{Action, Faulty, Memory, Point};

use crate::{Base, DAY, OTHER, OWNER, START, Told, World, arn, request};

impl World {
    async fn rotate_every(&self, key: &str, days: Option<i32>) -> Told {
        let request = EnableKeyRotationRequest { key_id: key.to_owned(), rotation_period_in_days: days };
        self.call(request!(EnableKeyRotation, request)).await
    }

    async fn rotate_no_more(&self, key: &str) -> Told {
        self.call(request!(DisableKeyRotation, DisableKeyRotationRequest { key_id: key.to_owned() })).await
    }

    async fn rotation(&self, key: &str) -> Result<GetKeyRotationStatusResponse, ServiceError> {
        let request = GetKeyRotationStatusRequest { key_id: key.to_owned() };
        match self.call(request!(GetKeyRotationStatus, request)).await? {
            Response::GetKeyRotationStatus(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    /// Period and days from the start to the next rotation; nothing while it is off.
    async fn schedule_of(&self, key: &str) -> Option<(i32, i64)> {
        let status = self.rotation(key).await.unwrap();
        assert_eq!(status.key_id.as_deref(), Some(key));
        assert_eq!(status.on_demand_rotation_start_date, None);
        let next = status.next_rotation_date.map(|next| (next.millis() - START) / DAY);
        assert_eq!(status.key_rotation_enabled, Some(next.is_some()));
        status.rotation_period_in_days.zip(next)
    }

    async fn rotate_now(&self, key: &str) -> Told {
        self.call(request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: key.to_owned() })).await
    }

    async fn rotations_page(
        &self,
        key: &str,
        include: Option<IncludeKeyMaterial>,
        (limit, marker): (Option<i32>, Option<String>),
    ) -> Result<ListKeyRotationsResponse, ServiceError> {
        let request = ListKeyRotationsRequest { key_id: key.to_owned(), include_key_material: include, limit, marker };
        match self.call(request!(ListKeyRotations, request)).await? {
            Response::ListKeyRotations(response) => Ok(response),
            _ => panic!("another response"),
        }
    }

    async fn rotations(&self, key: &str, include: Option<IncludeKeyMaterial>) -> Vec<RotationsListEntry> {
        let page = self.rotations_page(key, include, (Some(1_000), None)).await.unwrap();
        assert_eq!((page.truncated, page.next_marker), (Some(false), None));
        page.rotations.unwrap()
    }

    async fn enable(&self, key: &str) -> Told {
        self.call(request!(EnableKey, EnableKeyRequest { key_id: key.to_owned() })).await
    }

    async fn opened_by(&self, blob: &[u8]) -> String {
        let request = DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() };
        match self.call(request!(Decrypt, request)).await.unwrap() {
            Response::Decrypt(response) => response.key_material_id.unwrap(),
            _ => panic!("another response"),
        }
    }

    async fn current(&self, key: &str) -> String {
        self.describe(key).await.unwrap().current_key_material_id.unwrap()
    }

    async fn run(&self) -> u64 {
        self.engine.run_due(&self.kms).await.unwrap()
    }

    fn events(&self, text: &str) -> usize {
        self.engine.audit().lines().iter().filter(|line| line.contains(text)).count()
    }
}

const ALL: Option<IncludeKeyMaterial> = Some(IncludeKeyMaterial::AllKeyMaterial);

#[tokio::test]
async fn ten_years_of_rotations() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    assert_eq!(world.schedule_of(&key).await, None);
    world.rotate_every(&key, None).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((365, 365)));
    let (mut blobs, mut rotated) = (Vec::new(), 0);
    for year in 1..=10 {
        let current = world.current(&key).await;
        blobs.push((world.encrypt(&key, b"kept").await.unwrap(), current.clone()));
        base.advance(365 * DAY - 1);
        assert_eq!(world.run().await, 0, "not before its time");
        assert_eq!(world.current(&key).await, current);
        base.advance(1);
        rotated += world.run().await;
        assert_eq!(world.schedule_of(&key).await, Some((365, 365 * (year + 1))), "the dates do not drift");
    }
    assert_eq!(rotated, 10);
    for (blob, material) in &blobs {
        assert_eq!(world.opened_by(blob).await, *material);
    }
    let list = world.rotations(&key, None).await;
    assert_eq!(list.len(), 10);
    for (year, entry) in (1..).zip(&list) {
        assert_eq!(entry.key_id.as_deref(), Some(&*key));
        assert_eq!(entry.rotation_date.map(|at| (at.millis() - START) / DAY), Some(365 * year));
        assert_eq!((entry.rotation_type, &entry.import_state), (Some(RotationType::Automatic), &None));
        assert!(entry.valid_to.is_none() && entry.expiration_model.is_none());
    }
    let states: Vec<_> = list.iter().map(|entry| entry.key_material_state.unwrap()).collect();
    assert_eq!(states[..9], [KeyMaterialState::NonCurrent; 9]);
    assert_eq!(states[9], KeyMaterialState::Current);
    let all = world.rotations(&key, ALL).await;
    assert_eq!(all.len(), 11);
    assert_eq!(all[0].key_material_id.as_ref(), Some(&blobs[0].1));
    assert_eq!((all[0].rotation_date, all[0].rotation_type), (None, None), "the first one came by no rotation");
    assert_eq!(all[1..], list[..]);
    world.engine.sync_audit().await.unwrap();
    assert_eq!(world.events("\"eventName\":\"RotateKey\""), 10);
    let shown = world.engine.audit().lines();
    let last = shown.iter().rev().find(|line| line.contains("\"eventName\":\"RotateKey\"")).unwrap();
    for part in ["AwsServiceEvent", "\"rotationType\":\"AUTOMATIC\"", "\"keyOrigin\":\"AWS_KMS\"", &arn(&key)] {
        assert!(last.contains(part), "{part} in {last}");
    }
    let materials = ["previous", "current"].map(|which| format!("\"{which}KeyMaterialId\":\""));
    assert!(last.contains(&format!("{}{}", materials[0], list[8].key_material_id.as_ref().unwrap())), "{last}");
    assert!(last.contains(&format!("{}{}", materials[1], list[9].key_material_id.as_ref().unwrap())), "{last}");
    world.schedule(&key).await.unwrap();
    base.advance(8 * DAY);
    world.run().await;
    let left = crate::rows(&*base.store).await;
    let named =
        left.iter().filter(|(row, _)| String::from_utf8_lossy(row).contains(&format!("key/eu-central-1.{key}")));
    assert_eq!(named.count(), 0, "every material goes with the key");
}

#[tokio::test]
async fn another_period_counts_from_the_last_rotation() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.rotate_every(&key, Some(90)).await.unwrap();
    base.advance(10 * DAY);
    world.rotate_every(&key, Some(90)).await.unwrap();
    world.rotate_every(&key, None).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((90, 90)), "the same again changes nothing");
    world.rotate_every(&key, Some(200)).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((200, 200)));
    base.advance(90 * DAY);
    assert_eq!(world.run().await, 0, "the old date is no more");
    base.advance(100 * DAY);
    assert_eq!(world.run().await, 1);
    assert_eq!(world.schedule_of(&key).await, Some((200, 400)));
    base.advance(120 * DAY);
    world.rotate_every(&key, Some(90)).await.unwrap();
    assert_eq!(world.run().await, 1, "overdue by the shorter period");
    assert_eq!(world.schedule_of(&key).await, Some((90, 320 + 90)));
    world.rotate_no_more(&key).await.unwrap();
    world.rotate_no_more(&key).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, None);
    base.advance(1_000 * DAY);
    assert_eq!(world.run().await, 0);
    world.rotate_every(&key, Some(2560)).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((2560, 1_320 + 2_560)), "from when it was switched on again");
    assert_eq!(world.rotations(&key, None).await.len(), 2);
}

#[tokio::test]
async fn periods_have_bounds() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    for (days, fits) in [(89, false), (90, true), (2560, true), (2561, false)] {
        let request = EnableKeyRotationRequest { key_id: key.clone(), rotation_period_in_days: Some(days) };
        assert_eq!(claviger_api::Valid::new(request).is_ok(), fits, "{days}");
    }
}

#[tokio::test]
async fn a_disabled_key_waits_for_its_rotation() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.rotate_every(&key, Some(90)).await.unwrap();
    world.disable(&key).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((90, 90)), "it can be read");
    for told in
        [world.rotate_every(&key, Some(90)).await, world.rotate_no_more(&key).await, world.rotate_now(&key).await]
    {
        let error = told.map(drop).unwrap_err();
        assert_eq!((error.code, error.message), ("DisabledException", Some(format!("{} is disabled.", arn(&key)))));
    }
    base.advance(50 * DAY);
    world.enable(&key).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((90, 90)), "the old schedule goes on");
    world.disable(&key).await.unwrap();
    base.advance(250 * DAY);
    world.run().await;
    assert_eq!(world.rotations(&key, None).await, []);
    world.enable(&key).await.unwrap();
    assert_eq!(world.run().await, 1, "overdue: at once");
    assert_eq!(world.schedule_of(&key).await, Some((90, 390)));
    assert_eq!(world.run().await, 0);
    base.advance(90 * DAY);
    assert_eq!(world.run().await, 1);
    assert_eq!(world.rotations(&key, None).await.len(), 2);
}

#[tokio::test]
async fn a_key_to_be_deleted_does_not_rotate() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.rotate_every(&key, Some(90)).await.unwrap();
    base.advance(85 * DAY);
    world.schedule(&key).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, None);
    for told in [world.rotate_every(&key, None).await, world.rotate_no_more(&key).await, world.rotate_now(&key).await] {
        let error = told.map(drop).unwrap_err();
        let text = format!("{} is pending deletion.", arn(&key));
        assert_eq!((error.code, error.message), ("KMSInvalidStateException", Some(text)));
    }
    base.advance(6 * DAY);
    world.run().await;
    world.call(request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id: key.clone() })).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((90, 90)), "as it was before");
    assert_eq!(world.rotations(&key, None).await, []);
    assert_eq!(world.run().await, 0);
    world.enable(&key).await.unwrap();
    assert_eq!(world.run().await, 1);
    assert_eq!(world.schedule_of(&key).await, Some((90, 91 + 90)));
}

#[tokio::test]
async fn what_fell_due_while_nobody_ran_happens_once() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.rotate_every(&key, Some(90)).await.unwrap();
    drop(world);
    base.advance(1_000 * DAY);
    let world = base.open().await.unwrap();
    assert_eq!(world.run().await, 1);
    assert_eq!(world.rotations(&key, None).await.len(), 1);
    assert_eq!(world.schedule_of(&key).await, Some((90, 1_090)));
    base.advance(-500 * DAY);
    assert_eq!(world.run().await, 0, "a clock set back rotates nothing");
    base.advance(590 * DAY);
    assert_eq!(world.run().await, 1);
}

#[tokio::test]
async fn on_demand_and_by_itself_do_not_meet() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    world.rotate_every(&key, Some(90)).await.unwrap();
    let minute = 60_000;
    base.advance(90 * DAY - 20 * minute - 1);
    let blob = world.encrypt(&key, b"before").await.unwrap();
    let first = world.current(&key).await;
    match world.rotate_now(&key).await.unwrap() {
        Response::RotateKeyOnDemand(response) => assert_eq!(response.key_id, Some(arn(&key))),
        _ => panic!("another response"),
    }
    assert_ne!(world.current(&key).await, first);
    assert_eq!(world.opened_by(&blob).await, first);
    assert_eq!(world.schedule_of(&key).await, Some((90, 90)), "the next date stays");
    assert_eq!(world.run().await, 1, "the record of it");
    base.advance(1);
    let error = world.rotate_now(&key).await.map(drop).unwrap_err();
    assert_eq!(error.code, "ConflictException");
    base.advance(20 * minute);
    assert_eq!(world.run().await, 1);
    world.rotate_now(&key).await.unwrap();
    world.run().await;
    let kinds: Vec<_> = world.rotations(&key, None).await.iter().map(|entry| entry.rotation_type.unwrap()).collect();
    assert_eq!(kinds, [RotationType::OnDemand, RotationType::Automatic, RotationType::OnDemand]);
    world.engine.sync_audit().await.unwrap();
    assert_eq!(world.events("\"eventName\":\"RotateKey\""), 3);
    assert_eq!(world.events("\"rotationType\":\"ON_DEMAND\""), 2);
}

#[tokio::test]
async fn on_demand_has_a_limit_for_life() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    for _ in 0..25 {
        world.rotate_now(&key).await.unwrap();
    }
    base.advance(4_000 * DAY);
    let error = world.rotate_now(&key).await.map(drop).unwrap_err();
    let text = format!(
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be \
         performed for this key: {}",
        arn(&key)
    );
    assert_eq!((error.code, error.message), ("LimitExceededException", Some(text)));
    world.rotate_every(&key, Some(90)).await.unwrap();
    base.advance(90 * DAY);
    world.run().await;
    assert_eq!(world.rotations(&key, None).await.len(), 26, "by itself it goes on");
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    for _ in 0..5 {
        world.rotate_now(&key).await.unwrap();
    }
    let whole = world.rotations(&key, ALL).await;
    let (mut found, mut marker, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let page = world.rotations_page(&key, ALL, (Some(4), marker)).await.unwrap();
        let entries = page.rotations.unwrap();
        sizes.push(entries.len());
        found.extend(entries);
        assert_eq!(page.truncated, Some(page.next_marker.is_some()));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!((found, sizes), (whole, vec![4, 2]));
    let bad = world.rotations_page(&key, None, (None, Some("x".to_owned()))).await.unwrap_err();
    assert_eq!(bad.code, "InvalidMarkerException");
}

#[tokio::test]
async fn keys_that_do_not_rotate() {
    let (_, world) = World::new().await;
    for (spec, usage) in
        [(KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac), (KeySpec::EccNistP256, KeyUsageType::SignVerify)]
    {
        let request = CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..CreateKeyRequest::default() };
        let key = world.create_from(request).await.unwrap().key_id;
        world.disable(&key).await.unwrap();
        let told = [
            world.rotate_every(&key, None).await.map(drop),
            world.rotate_no_more(&key).await.map(drop),
            world.rotate_now(&key).await.map(drop),
            world.rotations_page(&key, None, (None, None)).await.map(drop),
        ];
        for told in told {
            let error = told.map(drop).unwrap_err();
            assert_eq!((error.code, error.message), ("UnsupportedOperationException", None), "{spec:?}");
        }
        // As Terraform needs it, which asks every key.
        assert_eq!(world.schedule_of(&key).await, None, "{spec:?}");
    }
}

#[tokio::test]
async fn another_account_may_at_most_ask() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    for (request, refused) in [
        (
            request!(EnableKeyRotation, EnableKeyRotationRequest { key_id: arn(&key), rotation_period_in_days: None }),
            true,
        ),
        (request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id: arn(&key) }), true),
    ] {
        let told = world.call_as(OTHER, request).await;
        assert_eq!(told.map(drop).map_err(|error| error.code), Err("AccessDeniedException"), "{refused}");
    }
    assert_eq!(world.schedule_of(&key).await, None);
    assert_eq!(world.rotations(&key, None).await, []);
}

/// Several runners of one engine; two engines over one store are in `runners.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runners_rotate_once() {
    let (base, world) = World::new().await;
    let world = Arc::new(world);
    let mut keys = Vec::new();
    for _ in 0..6 {
        let key = world.create().await;
        world.rotate_every(&key, Some(90)).await.unwrap();
        keys.push(key);
    }
    for round in 1..=3 {
        base.advance(90 * DAY);
        let runners: Vec<_> = (0..4)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.run().await })
            })
            .collect();
        for runner in runners {
            runner.await.unwrap();
        }
        for key in &keys {
            assert_eq!(world.rotations(key, None).await.len(), round, "{key}");
        }
    }
    world.engine.sync_audit().await.unwrap();
    assert_eq!(world.events("\"eventName\":\"RotateKey\""), 18);
}

/// The commit of the job fails in every way, and the process ends.
#[tokio::test]
async fn a_job_whose_commit_fails() {
    for action in [Action::Refuse, Action::Conflict, Action::LoseCommit, Action::LoseAnswer, Action::Crash] {
        let store = Faulty::scripted(Memory::new());
        let script = store.script();
        let base = Base::over(Arc::new(store), 1);
        let world = base.open().await.unwrap();
        let key = world.create().await;
        world.rotate_every(&key, Some(90)).await.unwrap();
        let blob = world.encrypt(&key, b"kept").await.unwrap();
        base.advance(90 * DAY);
        script.next(Point::Commit, action);
        drop(world.engine.run_due(&world.kms).await);
        drop(world);
        script.revive();
        let world = base.open().await.unwrap();
        world.run().await;
        assert_eq!(world.rotations(&key, None).await.len(), 1);
        assert_eq!(world.run().await, 0);
        assert_eq!(world.decrypt(&blob).await.unwrap(), b"kept");
        let blob = world.encrypt(&key, b"new").await.unwrap();
        assert_eq!(world.opened_by(&blob).await, world.current(&key).await);
        assert_eq!(world.schedule_of(&key).await, Some((90, 180)));
    }
}

#[tokio::test]
async fn a_policy_can_bound_the_period() {
    let (_, world) = World::new().await;
    let policy = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},"Action":"kms:*","Resource":"*"}},
        {{"Effect":"Deny","Principal":"*","Action":"kms:EnableKeyRotation","Resource":"*",
        "Condition":{{"NumericGreaterThan":{{"kms:RotationPeriodInDays":"364"}}}}}}]}}"#
    );
    let request = CreateKeyRequest { policy: Some(policy), ..CreateKeyRequest::default() };
    let key = world.create_from(request).await.unwrap().key_id;
    for days in [None, Some(365), Some(2560)] {
        let told = world.rotate_every(&key, days).await.map(drop).unwrap_err();
        assert_eq!(told.code, "AccessDeniedException", "{days:?}");
    }
    world.rotate_every(&key, Some(364)).await.unwrap();
    assert_eq!(world.schedule_of(&key).await, Some((364, 364)));
}
