//! Random KMS operations against a model, over a store that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_api::kms::{
    CancelKeyDeletionRequest, CreateAliasRequest, CreateGrantRequest, CreateKeyRequest, DeleteAliasRequest,
    DisableKeyRequest, EnableKeyRequest, EncryptRequest, GrantOperation, KeyState, ListAliasesRequest,
    ListGrantsRequest, ListKeysRequest, ListResourceTagsRequest, ListRetirableGrantsRequest, Request, Response,
    RevokeGrantRequest, ScheduleKeyDeletionRequest, Tag, TagResourceRequest, UntagResourceRequest, UpdateAliasRequest,
    UpdateKeyDescriptionRequest,
};
use claviger_store::{Action, Faulty, Memory, Plan, Point};

use crate::grants::{grant, root, subset};
use crate::{Base, DAY, Dice, OTHER, OWNER, START, World, request};

const INTERNAL: &str = "KMSInternalException";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    state: KeyState,
    deleted_at: Option<i64>,
    description: String,
    tags: BTreeMap<String, String>,
}

/// What the service should show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, String>,
    /// Keys with the names of their grants.
    grants: BTreeSet<(String, String)>,
}

#[derive(Clone, Debug)]
enum Step {
    Enable(String),
    Disable(String),
    Describe(String, String),
    Tag(String, String, String),
    Untag(String, String),
    Schedule(String),
    Cancel(String),
    Alias(String, String),
    Move(String, String),
    Unalias(String),
    Grant(String, String),
    /// A key, the name of a grant, and its id as far as it is known.
    Revoke(String, String, String),
}

impl Model {
    fn key(&mut self, id: &str) -> Result<&mut Key, &'static str> {
        self.keys.get_mut(id).ok_or("NotFoundException")
    }

    fn changeable(&mut self, id: &str) -> Result<&mut Key, &'static str> {
        let key = self.key(id)?;
        if key.state == KeyState::PendingDeletion { Err("KMSInvalidStateException") } else { Ok(key) }
    }

    /// What the step should make of it.
    fn after(&self, step: &Step, now: i64) -> Result<Self, &'static str> {
        let mut next = self.clone();
        match step.clone() {
            Step::Enable(id) => next.changeable(&id)?.state = KeyState::Enabled,
            Step::Disable(id) => next.changeable(&id)?.state = KeyState::Disabled,
            Step::Describe(id, text) => next.changeable(&id)?.description = text,
            Step::Tag(id, key, value) => drop(next.changeable(&id)?.tags.insert(key, value)),
            Step::Untag(id, key) => drop(next.changeable(&id)?.tags.remove(&key)),
            Step::Schedule(id) => {
                let key = next.changeable(&id)?;
                (key.state, key.deleted_at) = (KeyState::PendingDeletion, Some(now + 7 * DAY));
            }
            Step::Cancel(id) => {
                let key = next.key(&id)?;
                if key.state != KeyState::PendingDeletion {
                    return Err("KMSInvalidStateException");
                }
                (key.state, key.deleted_at) = (KeyState::Disabled, None);
            }
            Step::Alias(name, id) => {
                next.key(&id)?;
                if next.aliases.contains_key(&name) {
                    return Err("AlreadyExistsException");
                }
                next.changeable(&id)?;
                next.aliases.insert(name, id);
            }
            Step::Move(name, id) => {
                next.key(&id)?;
                if !next.aliases.contains_key(&name) {
                    return Err("NotFoundException");
                }
                next.changeable(&id)?;
                next.aliases.insert(name, id);
            }
            Step::Unalias(name) => drop(next.aliases.remove(&name).ok_or("NotFoundException")?),
            Step::Grant(id, name) => {
                if next.changeable(&id)?.state == KeyState::Disabled {
                    return Err("DisabledException");
                }
                next.grants.insert((id, name));
            }
            Step::Revoke(id, name, _) => {
                next.key(&id)?;
                if !next.grants.remove(&(id, name)) {
                    return Err("NotFoundException");
                }
            }
        }
        Ok(next)
    }

    /// What is left when everything that is due has been done.
    fn due(&mut self, now: i64) {
        self.keys.retain(|_, key| key.deleted_at.is_none_or(|at| at > now));
        let keys: BTreeSet<&String> = self.keys.keys().collect();
        self.aliases.retain(|_, id| keys.contains(id));
        self.grants.retain(|(id, _)| keys.contains(id));
    }
}

fn ask(step: &Step) -> Request {
    match step.clone() {
        Step::Enable(key_id) => request!(EnableKey, EnableKeyRequest { key_id }),
        Step::Disable(key_id) => request!(DisableKey, DisableKeyRequest { key_id }),
        Step::Describe(key_id, description) => {
            request!(UpdateKeyDescription, UpdateKeyDescriptionRequest { key_id, description })
        }
        Step::Tag(key_id, tag_key, tag_value) => {
            request!(TagResource, TagResourceRequest { key_id, tags: vec![Tag { tag_key, tag_value }] })
        }
        Step::Untag(key_id, key) => request!(UntagResource, UntagResourceRequest { key_id, tag_keys: vec![key] }),
        Step::Schedule(key_id) => {
            request!(ScheduleKeyDeletion, ScheduleKeyDeletionRequest { key_id, pending_window_in_days: Some(7) })
        }
        Step::Cancel(key_id) => request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id }),
        Step::Alias(alias_name, target_key_id) => {
            request!(CreateAlias, CreateAliasRequest { alias_name, target_key_id })
        }
        Step::Move(alias_name, target_key_id) => {
            request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id })
        }
        Step::Unalias(alias_name) => request!(DeleteAlias, DeleteAliasRequest { alias_name }),
        Step::Grant(key_id, name) => {
            let grant = CreateGrantRequest {
                constraints: subset(&BTreeMap::from([("grant".to_owned(), name.clone())])),
                retiring_principal: Some(root(OWNER)),
                name: Some(name),
                ..grant(&key_id, &root(OTHER), &[GrantOperation::Encrypt])
            };
            request!(CreateGrant, grant)
        }
        Step::Revoke(key_id, _, grant_id) => {
            request!(RevokeGrant, RevokeGrantRequest { key_id, grant_id, dry_run: None })
        }
    }
}

/// The names that grants have.
const GRANTS: [&str; 3] = ["g0", "g1", "g2"];

/// How many alias names there are.
const NAMES: usize = 5;

fn names() -> impl Iterator<Item = String> {
    (0..NAMES).map(|number| format!("alias/n{number}"))
}

/// A policy that lets everything through but the question whether the key has an alias of this name.
fn probed() -> String {
    r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
        {"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":
            {"ForAnyValue:StringEquals":{"kms:ResourceAliases":"${kms:EncryptionContext:probe}"}}}]}"#
        .to_owned()
}

fn plan(seed: u64, calm: Arc<AtomicBool>) -> Plan {
    let dice = Dice::new(seed ^ 0x5eed);
    Box::new(move |point, _| match (point, dice.below(100)) {
        _ if calm.load(Ordering::SeqCst) => Action::Pass,
        (Point::Commit, 0..5) => Action::Conflict,
        (Point::Commit, 5..9) => Action::LoseCommit,
        (Point::Commit, 9..14) => Action::LoseAnswer,
        (Point::Commit, 14..17) => Action::Refuse,
        (Point::Commit, 17) => Action::Crash,
        (Point::Snapshot | Point::Read, 0..2) => Action::Refuse,
        _ => Action::Pass,
    })
}

struct Run {
    seed: u64,
    dice: Dice,
    calm: Arc<AtomicBool>,
    script: claviger_store::Script,
    base: Base,
    model: Model,
    /// Every key that ever was, so that steps meet deleted ones too.
    ids: Vec<String>,
    /// Blobs with the key that sealed them.
    blobs: Vec<(String, Vec<u8>)>,
    /// Ids of grants that are or were there, by key and name.
    grant_ids: std::sync::Mutex<BTreeMap<(String, String), String>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let calm = Arc::new(AtomicBool::new(false));
        let store = Faulty::new(Memory::new(), plan(seed, Arc::clone(&calm)));
        let script = store.script();
        let disk = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = Base { disk: Some(disk), ..Base::over(Arc::new(store), seed) };
        let dice = Dice::new(seed ^ 0xd1ce);
        let (model, grant_ids) = (Model::default(), std::sync::Mutex::default());
        Self { seed, dice, calm, script, base, model, ids: Vec::new(), blobs: Vec::new(), grant_ids }
    }

    fn quiet(&self, quiet: bool) {
        self.script.revive();
        self.calm.store(quiet, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        claviger_engine::Clock::now(&*self.base.clock).millis()
    }

    fn some_key(&self) -> String {
        self.ids.get(self.dice.below(self.ids.len())).cloned().unwrap_or_default()
    }

    fn some_step(&self) -> Step {
        let (id, name) = (self.some_key(), names().nth(self.dice.below(NAMES)).unwrap());
        let (tag, value) = (format!("t{}", self.dice.below(3)), format!("v{}", self.dice.below(9)));
        let grant = GRANTS[self.dice.below(GRANTS.len())].to_owned();
        match self.dice.below(17) {
            0 | 1 => Step::Enable(id),
            2 => Step::Disable(id),
            3 => Step::Describe(id, value),
            4 | 5 => Step::Tag(id, tag, value),
            6 => Step::Untag(id, tag),
            7 => Step::Schedule(id),
            8 => Step::Cancel(id),
            9 | 10 => Step::Alias(name, id),
            11 => Step::Move(name, id),
            12 => Step::Unalias(name),
            13 | 14 => Step::Grant(id, grant),
            _ => {
                let known = self.grant_ids.lock().unwrap().get(&(id.clone(), grant.clone())).cloned();
                Step::Revoke(id, grant, known.unwrap_or_else(|| "0".repeat(64)))
            }
        }
    }

    async fn open(&self) -> World {
        for attempt in 0..3 {
            self.quiet(attempt == 2);
            let opened = self.base.open().await;
            self.quiet(false);
            if let Ok(world) = opened {
                return world;
            }
        }
        panic!("seed {}: the engine does not open again", self.seed);
    }

    /// Everything that the service shows, read while nothing fails.
    async fn observe(&self, world: &World) -> Model {
        self.quiet(true);
        let mut seen = Model::default();
        let Ok(Response::ListKeys(listed)) = world.call(request!(ListKeys, ListKeysRequest::default())).await else {
            panic!("seed {}: keys cannot be listed", self.seed);
        };
        for id in listed.keys.unwrap().into_iter().filter_map(|entry| entry.key_id) {
            let data = world.describe(&id).await.unwrap();
            let tags = ListResourceTagsRequest { key_id: id.clone(), ..ListResourceTagsRequest::default() };
            let Ok(Response::ListResourceTags(tags)) = world.call(request!(ListResourceTags, tags)).await else {
                panic!("seed {}: tags cannot be listed", self.seed);
            };
            let key = Key {
                state: data.key_state.unwrap(),
                deleted_at: data.deletion_date.map(claviger_api::Timestamp::millis),
                description: data.description.unwrap(),
                tags: tags.tags.unwrap().into_iter().map(|tag| (tag.tag_key, tag.tag_value)).collect(),
            };
            seen.keys.insert(id.clone(), key);
            // An alias shows under its key as it does in the whole list.
            self.aliases(world, Some(id.clone())).await;
            seen.grants.extend(self.grants(world, &id).await.into_iter().map(|name| (id.clone(), name)));
        }
        self.demand_retirable(world, seen.grants.len()).await;
        seen.aliases = self.aliases(world, None).await;
        let mut by_key = BTreeMap::new();
        for id in seen.keys.keys() {
            by_key.extend(self.aliases(world, Some(id.clone())).await);
        }
        assert_eq!(seen.aliases, by_key, "seed {}", self.seed);
        for id in seen.keys.keys() {
            for name in names() {
                let listed = by_key.get(&name) == Some(id);
                assert_eq!(self.condition_sees(world, id, &name).await, listed, "seed {}: {name}", self.seed);
            }
        }
        assert!(world.engine.scrub().await.unwrap().broken.is_empty(), "seed {}", self.seed);
        self.quiet(false);
        seen
    }

    /// Whether the key's own list of aliases, which conditions see, has this one.
    async fn condition_sees(&self, world: &World, id: &str, name: &str) -> bool {
        let encryption_context = Some(BTreeMap::from([("probe".to_owned(), name.to_owned())]));
        let request = EncryptRequest { encryption_context, ..crate::encrypt(id, b"x") };
        matches!(world.call(request!(Encrypt, request)).await, Err(error) if error.code == "AccessDeniedException")
    }

    /// The names of the key's grants, each of which lets somebody encrypt, and no other.
    async fn grants(&self, world: &World, id: &str) -> BTreeSet<String> {
        let request = ListGrantsRequest { key_id: id.to_owned(), ..ListGrantsRequest::default() };
        let listed = world.list_as(OWNER, request).await.unwrap().grants.unwrap();
        let mut names = BTreeSet::new();
        for entry in listed {
            let name = entry.name.unwrap();
            self.grant_ids.lock().unwrap().insert((id.to_owned(), name.clone()), entry.grant_id.unwrap());
            assert!(names.insert(name.clone()), "seed {}: {name} twice", self.seed);
        }
        for name in GRANTS {
            let encryption_context = Some(BTreeMap::from([("grant".to_owned(), name.to_owned())]));
            let request = EncryptRequest { encryption_context, ..crate::encrypt(&crate::arn(id), b"x") };
            let told = world.call_as(OTHER, request!(Encrypt, request)).await.map_err(|error| error.code);
            let allowed = !matches!(told, Err("AccessDeniedException"));
            assert_eq!(allowed, names.contains(name), "seed {}: {name} of {names:?}", self.seed);
        }
        names
    }

    /// Every grant stands under its retiring principal, and none of a key that is gone.
    async fn demand_retirable(&self, world: &World, count: usize) {
        let (limit, retiring_principal) = (Some(100), Some(root(OWNER)));
        let request = ListRetirableGrantsRequest { limit, retiring_principal, ..ListRetirableGrantsRequest::default() };
        let Ok(Response::ListRetirableGrants(listed)) = world.call(request!(ListRetirableGrants, request)).await else {
            panic!("seed {}: retirable grants cannot be listed", self.seed);
        };
        assert_eq!(listed.grants.unwrap().len(), count, "seed {}", self.seed);
    }

    async fn aliases(&self, world: &World, key_id: Option<String>) -> BTreeMap<String, String> {
        let request = ListAliasesRequest { key_id, ..ListAliasesRequest::default() };
        let Ok(Response::ListAliases(listed)) = world.call(request!(ListAliases, request)).await else {
            panic!("seed {}: aliases cannot be listed", self.seed);
        };
        let pairs = listed.aliases.unwrap().into_iter();
        pairs.map(|alias| (alias.alias_name.unwrap(), alias.target_key_id.unwrap())).collect()
    }

    async fn step(&mut self, world: &World) {
        let step = self.some_step();
        let expected = self.model.after(&step, self.now());
        match (world.call(ask(&step)).await, expected) {
            (Ok(told), Ok(after)) => {
                if let (Response::CreateGrant(made), Step::Grant(id, name)) = (told, &step) {
                    self.grant_ids.lock().unwrap().insert((id.clone(), name.clone()), made.grant_id.unwrap());
                }
                self.model = after;
            }
            (Err(error), expected) if error.code == INTERNAL => {
                let seen = self.observe(world).await;
                let possible = seen == self.model || expected.as_ref() == Ok(&seen);
                assert!(possible, "seed {}: {step:?} failed and left {seen:?} of {:?}", self.seed, self.model);
                self.model = seen;
            }
            (Err(error), Err(code)) => assert_eq!(error.code, code, "seed {}: {step:?}", self.seed),
            (Ok(_), Err(code)) => panic!("seed {}: {step:?} should be refused with {code}", self.seed),
            (Err(error), Ok(_)) => panic!("seed {}: {step:?} was refused with {error:?}", self.seed),
        }
    }

    async fn create(&mut self, world: &World) {
        let new = |deleted_at| Key {
            state: KeyState::Enabled,
            deleted_at,
            description: String::new(),
            tags: BTreeMap::new(),
        };
        match world.create_from(CreateKeyRequest { policy: Some(probed()), ..CreateKeyRequest::default() }).await {
            Ok(data) => {
                self.model.keys.insert(data.key_id.clone(), new(None));
                self.ids.push(data.key_id);
            }
            Err(error) => {
                assert_eq!(error.code, INTERNAL, "seed {}", self.seed);
                let seen = self.observe(world).await;
                let made: Vec<_> = seen.keys.keys().filter(|id| !self.model.keys.contains_key(*id)).cloned().collect();
                assert!(made.len() <= 1, "seed {}: one call made {made:?}", self.seed);
                for id in made {
                    self.model.keys.insert(id.clone(), new(None));
                    self.ids.push(id);
                }
                assert_eq!(seen, self.model, "seed {}", self.seed);
            }
        }
    }

    async fn seal(&mut self, world: &World) {
        let id = self.some_key();
        let state = self.model.keys.get(&id).map(|key| key.state);
        match (world.encrypt(&id, id.as_bytes()).await, state) {
            (Ok(blob), Some(KeyState::Enabled)) => self.blobs.push((id, blob)),
            (Err(error), state) => demand_code(self.seed, error.code, state, "NotFoundException"),
            (Ok(_), state) => panic!("seed {}: sealed in state {state:?}", self.seed),
        }
    }

    async fn open_blob(&self, world: &World) {
        let Some((id, blob)) = self.blobs.get(self.dice.below(self.blobs.len())) else { return };
        let state = self.model.keys.get(id).map(|key| key.state);
        match (world.decrypt(blob).await, state) {
            (Ok(plain), Some(KeyState::Enabled)) => assert_eq!(plain, id.as_bytes(), "seed {}", self.seed),
            (Err(error), state) => demand_code(self.seed, error.code, state, "AccessDeniedException"),
            (Ok(_), state) => panic!("seed {}: opened in state {state:?}", self.seed),
        }
    }

    /// Time passes, and what is due is done; a fault leaves it due.
    async fn pass_time(&mut self, world: &World) {
        self.base.advance(i64::try_from(self.dice.below(5)).unwrap() * DAY + 1);
        drop(world.engine.run_due(&world.kms).await);
        self.quiet(true);
        world.engine.run_due(&world.kms).await.unwrap();
        self.model.due(self.now());
        assert_eq!(self.observe(world).await, self.model, "seed {}", self.seed);
    }

    async fn go(mut self) {
        let mut world = self.open().await;
        for turn in 0..100 {
            self.quiet(false);
            match self.dice.below(20) {
                _ if self.ids.is_empty() => self.create(&world).await,
                0 | 1 => self.create(&world).await,
                2..=4 => self.seal(&world).await,
                5..=7 => self.open_blob(&world).await,
                8 => drop(world.engine.sync_audit().await),
                9 if turn % 3 == 0 => self.pass_time(&world).await,
                10 if turn % 2 == 0 => {
                    drop(world);
                    world = self.open().await;
                }
                _ => self.step(&world).await,
            }
            if turn % 20 == 0 {
                assert_eq!(self.observe(&world).await, self.model, "seed {}, turn {turn}", self.seed);
            }
        }
        drop(world);
        let world = self.open().await;
        assert_eq!(self.observe(&world).await, self.model, "seed {}: after the last start", self.seed);
        assert!(self.now() >= START);
    }
}

fn demand_code(seed: u64, code: &str, state: Option<KeyState>, absent: &str) {
    let expected = match state {
        None => absent,
        Some(KeyState::Disabled) => "DisabledException",
        Some(KeyState::PendingDeletion) => "KMSInvalidStateException",
        Some(_) => INTERNAL,
    };
    assert!(code == expected || code == INTERNAL, "seed {seed}: {code} in state {state:?}");
}

#[tokio::test]
async fn random_operations_agree_with_the_model() {
    for seed in 0..120 {
        Run::new(seed).go().await;
    }
}
