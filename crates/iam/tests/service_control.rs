//! Service control policies: units that nest, what binds whom, what is refused; and no call is decided by what was.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_api::Timestamp;
use claviger_audit::Log;
use claviger_crypto::{DomainKeys, Random, SystemRandom};
use claviger_engine::{
    Authentication, Chance, Clock, Command, CommandError, Engine, Fault, Identities as _, Operator, Parts, Seed, Value,
    Writes,
};
use claviger_iam::{
    Iam, OrganizationAnswer as Answer, OrganizationOrder as Order, PolicySummary, create_account, set_account_open,
};
use claviger_policy::{AccountId, Document, NoContext, Principal, Question, Reason, ResourcePolicy, Source, Sources};
use claviger_store::{Action, Faulty, Gate, Memory, Point, Script, Store};

const ONE: &str = "111122223333";
const TWO: &str = "444455556666";
const ROOT: &str = "r-root";
const FULL: &str = "FullAWSAccess";

struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }

    fn now(&self) -> Timestamp {
        self.wall()
    }
}

impl Chance for Still {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        SystemRandom.fill(buffer).map_err(|_| Fault::Randomness)
    }
}

/// An engine and the service on it.
#[derive(Clone)]
struct World {
    engine: Arc<Engine>,
    iam: Arc<Iam>,
    script: Script,
    store: Arc<dyn Store>,
    keys: Arc<DomainKeys>,
}

fn id(digits: &str) -> AccountId {
    AccountId::parse(digits).unwrap()
}

fn command(account: Option<&str>) -> Command {
    Command {
        name: "AnOrder",
        read_only: false,
        operator: Operator { uid: 7, process: Some(8) },
        request_id: "a-request".to_owned(),
        account: account.map(id),
        facts: Value::Null,
    }
}

fn policy(effect: &str, action: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}]}}"#)
}

impl World {
    async fn over(store: Arc<dyn Store>, script: Script, keys: Arc<DomainKeys>) -> Self {
        let iam = Arc::new(Iam::default());
        let parts = Parts {
            store: Arc::clone(&store),
            keys: Arc::clone(&keys),
            audit: Log::in_memory(1_000),
            clock: Arc::new(Still),
            chance: Arc::new(Still),
            authentication: Authentication::Verify(Arc::clone(&iam) as _),
            principals_must_exist: true,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        Self { engine: Arc::new(Engine::open(parts).await.unwrap()), iam, script, store, keys }
    }

    /// With two accounts.
    async fn new() -> Self {
        let store = Faulty::scripted(Memory::new());
        let script = store.script();
        let keys = Arc::new(DomainKeys::generate().unwrap());
        let world = Self::over(Arc::new(store), script, keys).await;
        for account in [ONE, TWO] {
            create_account(&world.engine, id(account), None).await.unwrap();
        }
        world
    }

    /// The same after a restart.
    async fn again(self) -> Self {
        let Self { engine, iam, script, store, keys } = self;
        drop((engine, iam));
        Self::over(store, script, keys).await
    }

    async fn order(&self, order: Order) -> Result<Answer, CommandError> {
        self.iam.order_organization(&self.engine, &command(None), &order).await.unwrap().into_inner()
    }

    /// The refusal's name.
    async fn refused(&self, order: Order) -> &'static str {
        match self.order(order).await {
            Err(CommandError::Refused { code, .. }) => code,
            Err(CommandError::Fault(fault)) => panic!("{fault}"),
            Ok(_) => panic!("not refused"),
        }
    }

    async fn unit(&self, name: &str, parent: &str) -> String {
        let order = Order::CreateUnit { name: name.to_owned(), parent: Some(parent.to_owned()) };
        let Answer::Units(made) = self.order(order).await.unwrap() else { panic!("another answer") };
        made[0].unit.clone()
    }

    async fn policy(&self, name: &str, effect: &str, action: &str) {
        self.order(create(name, &policy(effect, action))).await.unwrap();
    }

    async fn attach(&self, policy: &str, target: &str) {
        self.order(attach(policy, target)).await.unwrap();
    }

    async fn detach(&self, policy: &str, target: &str) {
        self.order(detach(policy, target)).await.unwrap();
    }

    async fn move_to(&self, account: &str, unit: &str) {
        self.order(Order::MoveAccount { account: id(account), unit: unit.to_owned() }).await.unwrap();
    }

    /// What binds whoever calls from this account.
    async fn controls(&self, account: &str) -> Result<Vec<Vec<Arc<Document>>>, Fault> {
        let mut found = Vec::new();
        Seed::new(&self.engine, "us-east-1", account)
            .run::<Fault>(async |call| {
                found = self.iam.policies(call).await?.service_control;
                Ok(Writes::default())
            })
            .await?;
        Ok(found)
    }

    /// The same as an explanation shows it: the targets with the names of their policies.
    async fn explained(&self, account: &str) -> Vec<(String, Vec<String>)> {
        let mut named = Vec::new();
        let mut seed = Seed::new(&self.engine, "us-east-1", account);
        let explaining = seed.run::<Fault>(async |call| {
            named = self.iam.service_control_levels(call).await?;
            Ok(Writes::default())
        });
        explaining.await.unwrap();
        let controls = self.controls(account).await.unwrap();
        assert_eq!(named.len(), controls.len());
        for (level, documents) in named.iter().zip(controls) {
            let texts = level.policies.iter().map(|policy| policy.document.text().to_owned());
            assert!(texts.eq(documents.iter().map(|document| document.text().to_owned())), "the order of what decides");
        }
        let names = |level: claviger_iam::ServiceControlLevel| {
            (level.target, level.policies.into_iter().map(|policy| policy.name).collect())
        };
        named.into_iter().map(names).collect()
    }

    /// Why the root of this account may or may not use a key of account TWO whose policy lets everybody.
    async fn reason(&self, account: &str, action: &str) -> Reason {
        reason(&self.controls(account).await.unwrap(), account, action)
    }
}

fn reason(controls: &[Vec<Arc<Document>>], account: &str, action: &str) -> Reason {
    let open =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    let open = Document::parse_key_policy(open, &claviger_policy::Limits::KEY_POLICY).unwrap();
    let levels: Vec<Vec<&Document>> = controls.iter().map(|level| level.iter().map(AsRef::as_ref).collect()).collect();
    let levels: Vec<&[&Document]> = levels.iter().map(Vec::as_slice).collect();
    let question = Question {
        principal: &Principal::root(id(account)),
        action,
        resource_arn: "arn:aws:kms:eu-central-1:444455556666:key/k",
        resource_account: id(TWO),
        cross_account_capable: true,
        context: &NoContext,
    };
    let sources = Sources {
        resource_policy: ResourcePolicy::MustAgree(&open),
        service_control_policies: &levels,
        ..Sources::default()
    };
    claviger_policy::decide(&question, &sources).reason
}

const DENIED: Reason = Reason::ExplicitDeny(Source::ServiceControlPolicy);
const NOT_ALLOWED: Reason = Reason::NoAllow(Source::ServiceControlPolicy);
const ALLOWED: Reason = Reason::ResourcePolicyAllows;

fn create(name: &str, text: &str) -> Order {
    Order::CreatePolicy { name: name.to_owned(), text: text.to_owned() }
}

fn update(policy: &str, text: &str) -> Order {
    Order::UpdatePolicy { policy: policy.to_owned(), text: text.to_owned() }
}

fn attach(policy: &str, target: &str) -> Order {
    Order::AttachPolicy { policy: policy.to_owned(), target: target.to_owned() }
}

fn detach(policy: &str, target: &str) -> Order {
    Order::DetachPolicy { policy: policy.to_owned(), target: target.to_owned() }
}

#[tokio::test]
async fn a_unit_binds_its_accounts_at_once_and_no_longer_than_they_are_in_it() {
    let world = World::new().await;
    assert!(world.controls(ONE).await.unwrap().is_empty(), "no policies, no levels");
    let outer = world.unit("Production", ROOT).await;
    let inner = world.unit("Payments", &outer).await;
    world.policy("no encryption", "Deny", "kms:Encrypt").await;
    world.move_to(ONE, &inner).await;
    assert!(world.controls(ONE).await.unwrap().is_empty(), "nothing is attached but FullAWSAccess");
    world.attach("no encryption", &outer).await;
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, ALLOWED);
    assert_eq!(world.reason(TWO, "kms:Encrypt").await, ALLOWED, "another account");
    // The text changes for all of them by one order too.
    world.order(update("no encryption", &policy("Deny", "kms:Decrypt"))).await.unwrap();
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, ALLOWED);
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, DENIED);
    let world = world.again().await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, DENIED, "after a restart");
    world.move_to(ONE, ROOT).await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, ALLOWED);
    world.attach("no encryption", ROOT).await;
    for account in [ONE, TWO] {
        assert_eq!(world.reason(account, "kms:Decrypt").await, DENIED, "the root is above all");
    }
    world.detach("no encryption", ROOT).await;
    world.attach("no encryption", TWO).await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, ALLOWED);
    assert_eq!(world.reason(TWO, "kms:Decrypt").await, DENIED);
}

#[tokio::test]
async fn every_level_must_allow_and_a_deny_beats_all() {
    let world = World::new().await;
    let unit = world.unit("Production", ROOT).await;
    world.move_to(ONE, &unit).await;
    world.policy("kms", "Allow", "kms:*").await;
    world.policy("decrypt", "Allow", "kms:Decrypt").await;
    world.policy("encrypt", "Allow", "kms:Encrypt").await;
    world.attach("kms", &unit).await;
    world.attach("decrypt", ONE).await;
    // FullAWSAccess is still there: an allow list begins when it goes.
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, ALLOWED);
    world.detach(FULL, ONE).await;
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, NOT_ALLOWED);
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, ALLOWED);
    // What one level allows another one need not.
    world.detach(FULL, &unit).await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, ALLOWED);
    assert_eq!(world.reason(ONE, "iam:ListUsers").await, NOT_ALLOWED);
    world.attach("encrypt", &unit).await;
    world.detach("kms", &unit).await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, NOT_ALLOWED, "allowed to the account, not to the unit");
    world.attach("kms", &unit).await;
    world.policy("nothing", "Deny", "kms:*").await;
    world.attach("nothing", ROOT).await;
    assert_eq!(world.reason(ONE, "kms:Decrypt").await, DENIED);
    let level = |target: &str, names: &[&str]| (target.to_owned(), names.iter().map(|name| (*name).into()).collect());
    let expected = [level(ROOT, &[FULL, "nothing"]), level(&unit, &["encrypt", "kms"]), level(ONE, &["decrypt"])];
    assert_eq!(world.explained(ONE).await, expected);
}

#[tokio::test]
async fn a_closed_account_keeps_what_binds_it() {
    let world = World::new().await;
    let unit = world.unit("Production", ROOT).await;
    world.policy("no encryption", "Deny", "kms:Encrypt").await;
    world.attach("no encryption", &unit).await;
    set_account_open(&world.engine, &command(Some(ONE)), id(ONE), false).await.unwrap().into_inner().unwrap();
    world.move_to(ONE, &unit).await;
    set_account_open(&world.engine, &command(Some(ONE)), id(ONE), true).await.unwrap().into_inner().unwrap();
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let unit = world.unit("Production", ROOT).await;
    world.policy("a", "Deny", "kms:Encrypt").await;
    world.attach("a", &unit).await;
    world.move_to(ONE, &unit).await;
    let unit_named = |name: &str, parent: &str| Order::CreateUnit { name: name.into(), parent: Some(parent.into()) };
    let delete = |policy: &str| Order::DeletePolicy { policy: policy.to_owned() };
    let allow = policy("Allow", "kms:*");
    let refusals = [
        (unit_named("Production", ROOT), "DuplicateOrganizationalUnit"),
        (unit_named("", ROOT), "InvalidName"),
        (unit_named("a\nb", ROOT), "InvalidName"),
        (unit_named(&"x".repeat(129), ROOT), "InvalidName"),
        (unit_named("x", "ou-root-99999999"), "OrganizationalUnitNotFound"),
        (Order::DeleteUnit { unit: unit.clone() }, "OrganizationalUnitNotEmpty"),
        (Order::DeleteUnit { unit: ROOT.to_owned() }, "ConstraintViolation"),
        (Order::MoveAccount { account: id("999999999999"), unit: unit.clone() }, "NoSuchAccount"),
        (Order::MoveAccount { account: id(ONE), unit: "Production".to_owned() }, "OrganizationalUnitNotFound"),
        (create("a", &allow), "DuplicatePolicy"),
        (create(FULL, &allow), "DuplicatePolicy"),
        (create("p-00000077", &allow), "DuplicatePolicy"),
        (create("", &allow), "InvalidName"),
        (update("b", &allow), "PolicyNotFound"),
        (update(FULL, &allow), "PolicyNotChangeable"),
        (delete("a"), "PolicyInUse"),
        (delete(FULL), "PolicyInUse"),
        (attach("b", ONE), "PolicyNotFound"),
        (attach("a", "999999999999"), "NoSuchAccount"),
        (attach("a", "99999999999"), "OrganizationalUnitNotFound"),
        (attach("a", &unit), "DuplicatePolicyAttachment"),
        (attach(FULL, TWO), "DuplicatePolicyAttachment"),
        (detach("a", ONE), "PolicyNotAttached"),
        (detach(FULL, TWO), "ConstraintViolation"),
        (Order::ListPoliciesForTarget { target: "x".to_owned() }, "OrganizationalUnitNotFound"),
        (Order::DescribePolicy { policy: "x".to_owned() }, "PolicyNotFound"),
    ];
    let before = world.engine.state().await.unwrap().store_revision;
    for (order, code) in refusals {
        let shown = format!("{order:?}");
        assert_eq!(world.refused(order).await, code, "{shown}");
    }
    assert_eq!(world.engine.state().await.unwrap().store_revision, before);
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
}

#[tokio::test]
async fn what_is_no_policy_is_refused() {
    let world = World::new().await;
    let with = |more: &str| {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"kms:*","Resource":"*"{more}}}]}}"#)
    };
    let exact = with("").replace("kms:*", &format!("kms:{}", "x".repeat(5_120 - with("").len() + 1)));
    assert_eq!(exact.len(), 5_120);
    world.order(create("longest", &exact)).await.unwrap();
    for bad in [
        "{}".to_owned(),
        String::new(),
        exact.replace("kms:x", "kms:xx"),
        with(r#","Principal":"*""#),
        with(r#","NotPrincipal":{"AWS":"*"}"#),
        with(r#","Condition":{"StringEquals":{"kms:NoSuchKey":"x"}}"#),
        with(r#","Condition":{"StringEquals":{"aws:NoSuchKey":"x"}}"#),
        // White space counts, as it does when AWS is not asked through its console.
        format!("{}{}", with(""), " ".repeat(5_120)),
    ] {
        assert_eq!(world.refused(create("bad", &bad)).await, "MalformedPolicyDocument", "{bad}");
        assert_eq!(world.refused(update("longest", &bad)).await, "MalformedPolicyDocument", "{bad}");
    }
    world
        .order(create("a condition", &with(r#","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#)))
        .await
        .unwrap();
    assert_eq!(shown(&world, "longest").await.text, Some(exact));
}

async fn shown(world: &World, policy: &str) -> PolicySummary {
    let Answer::Policies(found) = world.order(Order::DescribePolicy { policy: policy.to_owned() }).await.unwrap()
    else {
        panic!("another answer")
    };
    found[0].clone()
}

#[tokio::test]
async fn units_nest_five_deep_and_targets_have_five_policies() {
    let world = World::new().await;
    let mut unit = ROOT.to_owned();
    for depth in 1..=5 {
        unit = world.unit(&format!("depth {depth}"), &unit).await;
    }
    let deeper = Order::CreateUnit { name: "depth 6".to_owned(), parent: Some(unit.clone()) };
    assert_eq!(world.refused(deeper).await, "ConstraintViolation");
    world.move_to(ONE, &unit).await;
    for number in 1..=5 {
        world.policy(&format!("policy {number}"), "Deny", &format!("kms:Action{number}")).await;
    }
    for number in 1..=4 {
        world.attach(&format!("policy {number}"), &unit).await;
    }
    assert_eq!(world.refused(attach("policy 5", &unit)).await, "ConstraintViolation", "FullAWSAccess counts");
    assert_eq!(world.reason(ONE, "kms:Action4").await, DENIED);
    let Answer::Levels(levels) = world.order(Order::ListPoliciesForTarget { target: ONE.to_owned() }).await.unwrap()
    else {
        panic!("another answer")
    };
    assert_eq!(levels.len(), 7);
    assert_eq!((levels[0].target.as_str(), levels[0].path.as_str()), (ROOT, "Root"));
    assert_eq!(levels[5].path, "Root/depth 1/depth 2/depth 3/depth 4/depth 5");
    assert_eq!(levels[5].policies, [FULL, "policy 1", "policy 2", "policy 3", "policy 4"]);
    assert_eq!((levels[6].target.as_str(), levels[6].policies.as_slice()), (ONE, &[FULL.to_owned()][..]));
    // A unit that is gone leaves its policies free.
    world.move_to(ONE, ROOT).await;
    world.order(Order::DeleteUnit { unit }).await.unwrap();
    world.order(Order::DeletePolicy { policy: "policy 1".to_owned() }).await.unwrap();
    assert_eq!(world.refused(Order::DescribePolicy { policy: "policy 1".to_owned() }).await, "PolicyNotFound");
}

#[tokio::test]
async fn a_deployment_without_policies_asks_the_store_once() {
    let world = World::new().await;
    world.order(Order::ListUnits).await.unwrap();
    world.order(Order::ListPolicies).await.unwrap();
    world.controls(ONE).await.unwrap();
    let before = world.script.count(Point::Read);
    for account in [ONE, TWO] {
        assert!(world.controls(account).await.unwrap().is_empty());
    }
    assert_eq!(world.script.count(Point::Read), before);
    // And one with policies asks the cache.
    world.policy("a", "Deny", "kms:Encrypt").await;
    world.attach("a", ROOT).await;
    let before = world.script.count(Point::Read);
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
    assert_eq!(world.script.count(Point::Read), before);
}

/// A look-up that began before the first policy, and ends after it, must not be remembered.
#[tokio::test]
async fn a_look_up_that_is_overtaken_leaves_nothing_behind() {
    let world = World::new().await;
    let gate = Gate::new();
    world.script.next(Point::Read, Action::Hold(gate.clone()));
    let (slow, reads) = (world.clone(), world.script.count(Point::Read));
    let slow = tokio::spawn(async move { slow.controls(ONE).await });
    while world.script.count(Point::Read) == reads {
        tokio::task::yield_now().await;
    }
    world.policy("a", "Deny", "kms:Encrypt").await;
    world.attach("a", ONE).await;
    gate.open();
    drop(slow.await.unwrap());
    assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
}

/// Nobody knows whether it was done: then the store is asked.
#[tokio::test]
async fn an_order_whose_outcome_is_lost_binds_if_it_was_done() {
    for (action, expected) in [(Action::LoseAnswer, "PolicyNotAttached"), (Action::LoseCommit, "PolicyNotFound")] {
        let world = World::new().await;
        assert!(world.controls(ONE).await.unwrap().is_empty());
        world.script.next(Point::Commit, action);
        drop(world.order(create("a", &policy("Deny", "kms:Encrypt"))).await);
        assert!(world.controls(ONE).await.unwrap().is_empty());
        assert_eq!(world.refused(detach("a", ONE)).await, expected);
    }
}

/// The number that an order's acknowledgement promised is the least that a look-up after it may show.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_decided_by_what_was() {
    let world = World::new().await;
    let numbered = |number: u64| policy("Deny", &format!("kms:Number{number}"));
    let done = Arc::new(AtomicU64::new(0));
    let look = |world: World, done: Arc<AtomicU64>| async move {
        let mut looks = 0_u64;
        loop {
            let least = done.load(Ordering::SeqCst);
            let found = world.controls(ONE).await.unwrap();
            if least == u64::MAX {
                return looks;
            }
            let shown = found.iter().flatten().find_map(|document| {
                let (_, number) = document.text().split_once("kms:Number")?;
                number.split('"').next()?.parse::<u64>().ok()
            });
            assert!(shown.unwrap_or(0) >= least, "{shown:?} after {least} was acknowledged");
            looks += 1;
            tokio::task::yield_now().await;
        }
    };
    let looking: Vec<_> = (0..3).map(|_| tokio::spawn(look(world.clone(), Arc::clone(&done)))).collect();
    world.order(create("n", &numbered(0))).await.unwrap();
    world.attach("n", ROOT).await;
    for number in 1..200 {
        world.order(update("n", &numbered(number))).await.unwrap();
        done.store(number, Ordering::SeqCst);
    }
    done.store(u64::MAX, Ordering::SeqCst);
    for looking in looking {
        assert!(looking.await.unwrap() > 0);
    }
}

/// One of two units always denies, and the account is always in that one: no look-up may find it in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_look_up_sees_one_state_of_the_organization() {
    let world = World::new().await;
    let units = [world.unit("here", ROOT).await, world.unit("there", ROOT).await];
    for name in ["a", "b"] {
        world.policy(name, "Deny", "kms:Encrypt").await;
    }
    world.attach("a", &units[0]).await;
    world.move_to(ONE, &units[0]).await;
    let over = Arc::new(AtomicU64::new(0));
    let look = |world: World, over: Arc<AtomicU64>| async move {
        while over.load(Ordering::SeqCst) == 0 {
            assert_eq!(world.reason(ONE, "kms:Encrypt").await, DENIED);
            tokio::task::yield_now().await;
        }
    };
    let looking: Vec<_> = (0..3).map(|_| tokio::spawn(look(world.clone(), Arc::clone(&over)))).collect();
    for round in 0..50 {
        let (from, to) = (round % 2, (round + 1) % 2);
        world.attach(["a", "b"][to], &units[to]).await;
        world.move_to(ONE, &units[to]).await;
        world.detach(["a", "b"][from], &units[from]).await;
        world.order(update(["a", "b"][from], &policy("Allow", "kms:*"))).await.unwrap();
        world.order(update(["a", "b"][from], &policy("Deny", "kms:Encrypt"))).await.unwrap();
    }
    over.store(1, Ordering::SeqCst);
    for looking in looking {
        looking.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_ordered_is_recorded() {
    let world = World::new().await;
    world.policy("a", "Deny", "kms:Encrypt").await;
    assert_eq!(world.refused(attach("b", ONE)).await, "PolicyNotFound");
    let lines = world.engine.audit().lines();
    let orders: Vec<&String> = lines.iter().filter(|line| line.contains("\"eventName\":\"AnOrder\"")).collect();
    assert!(orders[0].contains("\"policyId\":\"p-00000001\"") && orders[0].contains("\"commit\":"), "{}", orders[0]);
    assert!(orders[1].contains("\"errorCode\":\"PolicyNotFound\""), "{}", orders[1]);
}
