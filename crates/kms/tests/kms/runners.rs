//! Two runners of due jobs on two engines over one store, each killed at any of its commits: nothing goes early,
//! nothing rotates twice, nothing is left of what is gone, and each job is in the log once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use claviger_api::Timestamp;
use claviger_api::kms::{
    CreateKeyRequest, DecryptRequest, EnableKeyRotationRequest, GrantOperation, ImportKeyMaterialRequest, ImportType,
    KeySpec, KeyState, KeyUsageType, ListKeyRotationsRequest, OriginType, ReplicateKeyRequest, Request, Response,
    RotateKeyOnDemandRequest, RotationType, ScheduleKeyDeletionRequest,
};
use claviger_audit::{Log, Settings};
use claviger_crypto::{OaepHash, SigningKey};
use claviger_engine::{Authentication, ClockRule};
use claviger_policy::AccountId;
use claviger_secret::SecretArray;
use claviger_store::{
    Action, Batch, BoxFuture, CommitError, Faulty, Memory, Plan, Point, Revision, Script, Store, StoreError, View,
    Watch,
};

use crate::grants::{grant, root};
use crate::lives::Ring;
use crate::{Base, DAY, Dice, OTHER, OWNER, REGION, START, Told, World, encrypt, request};

const EAST: &str = "us-east-1";
const NODES: [&str; 2] = ["node-a", "node-b"];

/// One store for several engines; whoever reads lets the others go first.
#[derive(Clone)]
struct Shared(Arc<Memory>);

impl Store for Shared {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.0.snapshot().await
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let done = self.0.commit(batch);
        Box::pin(async {
            tokio::task::yield_now().await;
            done.await
        })
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        self.0.watch(prefix, after)
    }

    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.erase()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.close()
    }
}

/// How an engine dies at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Before the commit is made.
    Before,
    /// After it, and without learning of it.
    After,
}

/// Kills at this commit, counted from when it is set; never while it is negative.
fn plan(left: Arc<AtomicI64>, death: Death) -> Plan {
    Box::new(move |point, _| {
        if point != Point::Commit {
            return if left.load(Ordering::SeqCst) == -2 { Action::Crash } else { Action::Pass };
        }
        match left.load(Ordering::SeqCst) {
            -1 => Action::Pass,
            0 => {
                left.store(-2, Ordering::SeqCst);
                if death == Death::Before { Action::Crash } else { Action::LoseAnswer }
            }
            -2 => Action::Crash,
            more => {
                left.store(more - 1, Ordering::SeqCst);
                Action::Pass
            }
        }
    })
}

/// One of the engines, with its way to the store and its log.
struct Node {
    name: &'static str,
    store: Arc<dyn Store>,
    script: Script,
    left: Arc<AtomicI64>,
    world: Option<World>,
}

impl Node {
    fn new(name: &'static str, store: Shared, death: Death) -> Self {
        let left = Arc::new(AtomicI64::new(-1));
        let store = Faulty::new(store, plan(Arc::clone(&left), death));
        let script = store.script();
        Self { name, store: Arc::new(store), script, left, world: None }
    }

    /// A fresh engine, as a process that was started again.
    async fn start(&mut self, base: &Base) {
        self.world = None;
        self.left.store(-1, Ordering::SeqCst);
        self.script.revive();
        let key = SigningKey::from_seed(SecretArray::new([7; 32])).unwrap();
        let path = base.disk.as_ref().unwrap().path().join(self.name);
        let log = Log::open(&path, key, self.name, Settings::default()).unwrap();
        let default_account = AccountId::parse(OWNER).unwrap();
        let any = Authentication::DangerAnyCredential { default_account };
        self.world = Some(base.open_node(any, ClockRule::ALWAYS, (self.name, &self.store, log)).await.unwrap());
    }

    fn kill_at(&self, commit: i64) {
        self.left.store(commit, Ordering::SeqCst);
    }

    fn was_killed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == -2
    }

    /// Whether everything that is due is done.
    async fn run(&mut self, base: &Base) -> bool {
        if self.world.is_none() {
            self.start(base).await;
        }
        let world = self.world.as_ref().unwrap();
        let done = world.engine.run_due(&world.kms).await;
        if self.was_killed() {
            self.start(base).await;
            return false;
        }
        done == Ok(0)
    }
}

impl World {
    async fn ok(&self, region: &str, request: Request) -> Response {
        self.call_in(region, OWNER, request).await.unwrap()
    }

    async fn end(&self, region: &str, key: &str, days: i32) {
        let pending_window_in_days = Some(days);
        let request = ScheduleKeyDeletionRequest { key_id: key.to_owned(), pending_window_in_days };
        self.ok(region, request!(ScheduleKeyDeletion, request)).await;
    }

    /// New material this many times, and the records of it.
    async fn renew(&self, key: &str, times: usize) {
        for _ in 0..times {
            let request = RotateKeyOnDemandRequest { key_id: key.to_owned() };
            self.ok(REGION, request!(RotateKeyOnDemand, request)).await;
        }
    }

    async fn copy(&self, key: &str, region: &str) -> Told {
        let request = ReplicateKeyRequest {
            key_id: key.to_owned(),
            replica_region: region.to_owned(),
            ..ReplicateKeyRequest::default()
        };
        self.call_in(REGION, OWNER, request!(ReplicateKey, request)).await
    }

    async fn import_by(
        &self,
        ring: &Ring,
        base: &Base,
        region: &'static str,
        key: &str,
        bytes: u8,
        until: Option<i64>,
    ) {
        let now = claviger_engine::Clock::now(&*base.clock).millis();
        let known = region != REGION;
        let never = claviger_api::kms::ExpirationModelType::KeyMaterialDoesNotExpire;
        let request = ImportKeyMaterialRequest {
            key_id: key.to_owned(),
            import_token: ring.token(base, key, region, now + DAY),
            encrypted_key_material: ring.public.encrypt(OaepHash::Sha256, &[bytes; 32]).unwrap(),
            expiration_model: until.is_none().then_some(never),
            valid_to: until.map(Timestamp::from_millis),
            import_type: (!known).then_some(ImportType::NewKeyMaterial),
            ..ImportKeyMaterialRequest::default()
        };
        self.ok(region, request!(ImportKeyMaterial, request)).await;
    }

    async fn shown(&self, region: &str, key: &str) -> Result<claviger_api::kms::KeyMetadata, &'static str> {
        let request = claviger_api::kms::DescribeKeyRequest {
            key_id: key.to_owned(),
            ..claviger_api::kms::DescribeKeyRequest::default()
        };
        match self.call_in(region, OWNER, request!(DescribeKey, request)).await.map_err(|error| error.code)? {
            Response::DescribeKey(told) => Ok(told.key_metadata.unwrap()),
            _ => panic!("another response"),
        }
    }

    async fn kinds_of_rotation(&self, key: &str) -> Vec<RotationType> {
        let request = ListKeyRotationsRequest { key_id: key.to_owned(), ..ListKeyRotationsRequest::default() };
        match self.ok(REGION, request!(ListKeyRotations, request)).await {
            Response::ListKeyRotations(told) => {
                told.rotations.unwrap().iter().filter_map(|it| it.rotation_type).collect()
            }
            _ => panic!("another response"),
        }
    }

    async fn sealed(&self, key: &str) -> Vec<u8> {
        match self.ok(REGION, request!(Encrypt, encrypt(key, b"kept"))).await {
            Response::Encrypt(told) => told.ciphertext_blob.unwrap(),
            _ => panic!("another response"),
        }
    }

    async fn opens(&self, region: &str, blob: &[u8]) {
        let request = DecryptRequest { ciphertext_blob: Some(blob.to_vec()), ..DecryptRequest::default() };
        match self.ok(region, request!(Decrypt, request)).await {
            Response::Decrypt(told) => assert_eq!(told.plaintext.unwrap().expose(), b"kept"),
            _ => panic!("another response"),
        }
    }
}

fn multi_region() -> CreateKeyRequest {
    CreateKeyRequest { multi_region: Some(true), ..CreateKeyRequest::default() }
}

fn external(multi_region: bool) -> CreateKeyRequest {
    CreateKeyRequest {
        origin: Some(OriginType::External),
        key_spec: Some(KeySpec::SymmetricDefault),
        key_usage: Some(KeyUsageType::EncryptDecrypt),
        multi_region: Some(multi_region),
        ..CreateKeyRequest::default()
    }
}

/// Keys whose time has come, each in its own way.
struct Scene {
    base: Base,
    store: Shared,
    /// Goes, with more materials, aliases and grants than one commit takes.
    large: String,
    /// Its replica in the east goes, and it stays.
    parted: String,
    blob: Vec<u8>,
    /// Its replica in the east goes, and its own window begins.
    waiting: String,
    /// Rotates, once, though three periods have passed.
    turning: String,
    /// Was rotated on demand, which is to be recorded.
    turned: String,
    /// Its material has expired.
    expired: String,
    /// Goes one millisecond later.
    late: String,
}

impl Scene {
    /// Everything is due but `late`, and nothing was done.
    async fn new(ring: &Ring) -> Self {
        let store = Shared(Arc::new(Memory::new()));
        let disk = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = Base { disk: Some(disk), ..Base::over(Arc::new(store.clone()), 1) };
        let world = base.open().await.unwrap();
        let create = async |request| world.create_from(request).await.unwrap().key_id;
        let (large, late) = (create(CreateKeyRequest::default()).await, create(CreateKeyRequest::default()).await);
        let (parted, waiting) = (create(multi_region()).await, create(multi_region()).await);
        let (turning, turned) = (create(CreateKeyRequest::default()).await, create(CreateKeyRequest::default()).await);
        let expired = create(external(false)).await;
        for key in [&large, &parted, &waiting] {
            world.renew(key, 10).await;
        }
        let blob = world.sealed(&parted).await;
        for number in 0..18 {
            world.alias(&format!("alias/n{number}"), &large).await.unwrap();
            let retiring_principal = Some(root(OWNER));
            let name = Some(format!("g{number}"));
            let asked = grant(&large, &root(OTHER), &[GrantOperation::Encrypt]);
            world.grant(claviger_api::kms::CreateGrantRequest { retiring_principal, name, ..asked }).await;
        }
        for key in [&parted, &waiting] {
            drop(world.copy(key, EAST).await.unwrap());
            world.end(EAST, key, 7).await;
        }
        world.end(REGION, &waiting, 9).await;
        world.end(REGION, &large, 7).await;
        let request = EnableKeyRotationRequest { key_id: turning.clone(), rotation_period_in_days: Some(90) };
        world.ok(REGION, request!(EnableKeyRotation, request)).await;
        world.import_by(ring, &base, REGION, &expired, 1, Some(START + 7 * DAY)).await;
        // Of the rotations so far; nothing else is due yet.
        world.engine.run_due(&world.kms).await.unwrap();
        base.advance(293 * DAY + 1);
        world.end(REGION, &late, 7).await;
        base.advance(7 * DAY - 1);
        world.renew(&turned, 1).await;
        drop(world);
        Self { base, store, large, parted, blob, waiting, turning, turned, expired, late }
    }

    fn now(&self) -> i64 {
        claviger_engine::Clock::now(&*self.base.clock).millis()
    }

    /// Lines of all logs with all of these texts.
    fn logged(&self, texts: &[&str]) -> usize {
        let mut files = Vec::new();
        let mut folders = vec![self.base.disk.as_ref().unwrap().path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        let lines = files.iter().flat_map(|file| {
            let bytes = std::fs::read(file).unwrap();
            String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.filter(|line| texts.iter().all(|text| line.contains(text))).count()
    }

    async fn demand_nothing_left(&self, region: &str, key: &str, how: &str) {
        for (row, value) in crate::rows(&*self.base.store).await {
            let row = String::from_utf8_lossy(&row).into_owned();
            let there = row.contains(region) && row.contains(key);
            assert!(!there || row.starts_with("outbox"), "{how}: {row} ({} bytes) is left", value.len());
        }
    }

    /// What must be so when all that was due is done.
    async fn demand_done(&self, world: &World, how: &str) {
        let gone = [(REGION, &self.large), (EAST, &self.parted), (EAST, &self.waiting)];
        for (region, key) in gone {
            assert_eq!(world.shown(region, key).await.err(), Some("NotFoundException"), "{how}");
            self.demand_nothing_left(region, key, how).await;
            let arn = format!("arn:aws:kms:{region}:{OWNER}:key/{key}");
            assert_eq!(self.logged(&["\"DeleteKey\"", &arn]), 1, "{how}: the record of {arn}");
        }
        let rows = crate::rows(&*self.base.store).await;
        let text = |row: &bytes::Bytes| String::from_utf8_lossy(row).into_owned();
        for (row, _) in &rows {
            assert!(!text(row).contains("grant/") && !text(row).contains("alias/n"), "{how}: {} is left", text(row));
        }
        let shown = world.shown(REGION, &self.late).await.unwrap();
        assert_eq!(shown.key_state, Some(KeyState::PendingDeletion), "{how}: not one millisecond early");
        let shown = world.shown(REGION, &self.waiting).await.unwrap();
        let at = shown.deletion_date.map(Timestamp::millis);
        assert_eq!((shown.key_state, at), (Some(KeyState::PendingDeletion), Some(self.now() + 9 * DAY)), "{how}");
        assert_eq!(world.shown(REGION, &self.parted).await.unwrap().key_state, Some(KeyState::Enabled), "{how}");
        assert_eq!(world.kinds_of_rotation(&self.turning).await, [RotationType::Automatic], "{how}");
        assert_eq!(world.kinds_of_rotation(&self.turned).await, [RotationType::OnDemand], "{how}");
        for key in [&self.turning, &self.turned] {
            assert_eq!(self.logged(&["\"eventName\":\"RotateKey\"", key]), 1, "{how}: the record of a rotation");
        }
        let shown = world.shown(REGION, &self.expired).await.unwrap();
        assert_eq!((shown.key_state, shown.expiration_model), (Some(KeyState::PendingImport), None), "{how}");
        assert_eq!(self.logged(&["\"DeleteExpiredKeyMaterial\"", &self.expired]), 1, "{how}");
        assert!(!rows.iter().any(|(row, _)| text(row).contains(&format!("{}/material", self.expired))), "{how}");
        assert!(world.engine.scrub().await.unwrap().broken.is_empty(), "{how}");
    }

    /// And what comes later.
    async fn demand_later(&self, world: &World, how: &str) {
        self.base.advance(1);
        world.engine.run_due(&world.kms).await.unwrap();
        assert_eq!(world.shown(REGION, &self.late).await.err(), Some("NotFoundException"), "{how}");
        assert!(world.shown(REGION, &self.waiting).await.is_ok(), "{how}");
        drop(world.copy(&self.parted, EAST).await.unwrap());
        world.opens(EAST, &self.blob).await;
        self.base.advance(9 * DAY - 2);
        world.engine.run_due(&world.kms).await.unwrap();
        assert!(world.shown(REGION, &self.waiting).await.is_ok(), "{how}: not one millisecond early");
        self.base.advance(1);
        world.engine.run_due(&world.kms).await.unwrap();
        self.demand_nothing_left(REGION, &self.waiting, how).await;
        self.demand_nothing_left(REGION, &self.late, how).await;
    }

    /// Runs both until nothing is due; the other one only when the first was killed, if it is not `at_once`. Whether
    /// the kill came.
    async fn run(&self, death: Death, (kill, other_kill): (i64, i64), at_once: bool) -> bool {
        let how = format!("{death:?} commit {kill} and {other_kill}, at once {at_once}");
        let mut nodes = NODES.map(|name| Node::new(name, self.store.clone(), death));
        for node in &mut nodes {
            node.start(&self.base).await;
        }
        let [first, second] = &mut nodes;
        first.kill_at(kill);
        if at_once {
            second.kill_at(other_kill);
        }
        let mut came = false;
        for _ in 0..60 {
            let done = if at_once {
                let (one, two) = tokio::join!(first.run(&self.base), second.run(&self.base));
                came |= first.left.load(Ordering::SeqCst) == -1;
                one && two
            } else if came {
                second.run(&self.base).await
            } else {
                let done = first.run(&self.base).await;
                came = first.left.load(Ordering::SeqCst) == -1;
                done
            };
            if done {
                // A start brings into the log what was committed and not recorded.
                first.start(&self.base).await;
                second.start(&self.base).await;
                let world = second.world.as_ref().unwrap();
                self.demand_done(world, &how).await;
                self.demand_later(world, &how).await;
                return came;
            }
        }
        panic!("{how}: never done");
    }
}

#[tokio::test]
async fn a_runner_is_killed_at_each_of_its_commits() {
    let ring = Ring::new().await;
    for death in [Death::Before, Death::After] {
        let mut commit = 0;
        while Scene::new(&ring).await.run(death, (commit, -1), false).await {
            commit += 1;
        }
        assert!(commit >= 10, "{commit} commits");
    }
}

#[tokio::test]
async fn two_runners_at_once_are_killed_anywhere() {
    let ring = Ring::new().await;
    let dice = Dice::new(5);
    for round in 0..16 {
        let death = if round % 2 == 0 { Death::Before } else { Death::After };
        let kills = [dice.below(12), dice.below(12)].map(|commit| i64::try_from(commit).unwrap());
        Scene::new(&ring).await.run(death, (kills[0], kills[1]), true).await;
    }
}

/// Between the end of a replica and that of its last materials no other takes its place.
#[tokio::test]
async fn a_crash_between_a_replica_and_its_materials() {
    let ring = Ring::new().await;
    let mut between = 0;
    for commit in 0..12 {
        let scene = Scene::new(&ring).await;
        let mut node = Node::new("node-a", scene.store.clone(), Death::After);
        node.start(&scene.base).await;
        node.kill_at(commit);
        node.run(&scene.base).await;
        let world = node.world.as_ref().unwrap();
        let rows = crate::rows(&*scene.base.store).await;
        let east = |row: &str| row.contains(EAST) && row.contains(&scene.parted) && row.contains("/material/");
        let left = rows.iter().filter(|(row, _)| east(&String::from_utf8_lossy(row))).count();
        if world.shown(EAST, &scene.parted).await.is_err() && left > 0 {
            between += 1;
            let told = world.copy(&scene.parted, EAST).await.map(drop).map_err(|error| error.code);
            assert_eq!(told, Err("AlreadyExistsException"), "commit {commit}, {left} materials left");
        }
        while !node.run(&scene.base).await {}
        node.start(&scene.base).await;
        let world = node.world.as_ref().unwrap();
        scene.demand_done(world, "between").await;
        scene.demand_later(world, "between").await;
    }
    assert!(between > 0, "no crash came between");
}

/// What falls due while the store is away is done once, when it is back.
#[tokio::test]
async fn the_store_is_away_when_jobs_fall_due() {
    let scene = Scene::new(&Ring::new().await).await;
    let mut node = Node::new("node-a", scene.store.clone(), Death::Before);
    node.start(&scene.base).await;
    node.script.crash();
    for _ in 0..3 {
        let world = node.world.as_ref().unwrap();
        assert!(world.engine.run_due(&world.kms).await.is_err());
        assert_eq!(world.shown(REGION, &scene.large).await.err(), Some("KMSInternalException"));
    }
    node.script.revive();
    assert!(!node.run(&scene.base).await, "there was something to do");
    assert!(node.run(&scene.base).await);
    node.start(&scene.base).await;
    scene.demand_done(node.world.as_ref().unwrap(), "away").await;
}

/// The largest deletion there is fits one commit: a replica of many, with as many materials as a commit takes, all of
/// which expire.
#[tokio::test]
async fn the_largest_replica_goes() {
    let ring = Ring::new().await;
    let (base, world) = World::new().await;
    let key = world.create_from(external(true)).await.unwrap().key_id;
    for bytes in 1..=10 {
        world.import_by(&ring, &base, REGION, &key, bytes, None).await;
        if bytes > 1 {
            world.renew(&key, 1).await;
        }
    }
    for number in 0..14 {
        let region = if number == 0 { EAST.to_owned() } else { format!("eu-west-{number}") };
        drop(world.copy(&key, &region).await.unwrap());
    }
    for bytes in 1..=10 {
        world.import_by(&ring, &base, EAST, &key, bytes, Some(START + 300 * DAY + i64::from(bytes))).await;
    }
    world.end(EAST, &key, 7).await;
    base.advance(7 * DAY);
    world.engine.run_due(&world.kms).await.unwrap();
    assert_eq!(world.shown(EAST, &key).await.err(), Some("NotFoundException"));
    world.engine.sync_audit().await.unwrap();
    for (row, _) in crate::rows(&*base.store).await {
        let row = String::from_utf8_lossy(&row).into_owned();
        // The jobs of materials beyond those that went with the key do nothing when they come.
        let left = row.contains(EAST) && row.contains(&key);
        assert!(!left || row.starts_with("due/"), "{row} is left");
    }
}
