//! Request quotas through the door.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger_engine::{CallMeta, Engine, NoQuotaGroup, Quotas, ServiceQuotas};

use crate::toy::{Ask, QUOTAS, Toy, ToyOperation};
use crate::{Kit, START, caller_in, caller_of};

const A: &str = "111122223333";
const B: &str = "444455556666";

/// The code of the refusal, or nothing.
async fn asked(engine: &Engine, account: &str, ask: Ask) -> &'static str {
    let caller = caller_of(engine, account).await;
    let answer = engine.call::<ToyOperation>(&Toy, &caller, &CallMeta::system(), &ask).await.unwrap();
    answer.into_inner().err().map_or("", |error| error.code)
}

/// How many of a hundred calls are let through.
async fn passed(engine: &Engine, account: &str, ask: impl Fn() -> Ask) -> usize {
    let mut passed = 0;
    for _ in 0..100 {
        passed += usize::from(asked(engine, account, ask()).await != "Throttling");
    }
    passed
}

fn get() -> Ask {
    Ask::Get("n".to_owned())
}

fn limited(kit: &Kit, engine: &Engine) {
    kit.clock.1.store(START, Ordering::SeqCst);
    engine.set_quotas(Quotas::new(&[QUOTAS]));
}

#[tokio::test]
async fn nobody_is_limited_unless_asked_for() {
    let kit = Kit::new();
    let engine = kit.open().await;
    assert_eq!(passed(&engine, A, get).await, 100);
}

#[tokio::test]
async fn an_account_that_floods_leaves_others_their_rate() {
    let kit = Kit::new();
    let engine = kit.open().await;
    limited(&kit, &engine);
    let mut of_b = 0;
    for second in 0..5 {
        kit.clock.1.store(START + second * 1_000, Ordering::SeqCst);
        // A asks ten times as often as it may, before and between the calls of B, which keeps to its rate.
        for _ in 0..10 {
            assert!(passed(&engine, A, get).await <= 10);
            of_b += usize::from(asked(&engine, B, get()).await.is_empty());
        }
    }
    assert_eq!(of_b, 50);
}

#[tokio::test]
async fn the_rate_follows_the_wall_clock() {
    let kit = Kit::new();
    let engine = kit.open().await;
    limited(&kit, &engine);
    assert_eq!(passed(&engine, A, get).await, 10);
    kit.clock.0.fetch_add(10 * 86_400_000, Ordering::SeqCst);
    assert_eq!(passed(&engine, A, get).await, 0, "the movable clock gives no requests");
    kit.clock.1.fetch_add(300, Ordering::SeqCst);
    assert_eq!(passed(&engine, A, get).await, 3);
}

#[tokio::test]
async fn the_group_may_depend_on_what_is_named() {
    let kit = Kit::new();
    let engine = kit.open().await;
    limited(&kit, &engine);
    assert_eq!(passed(&engine, A, || Ask::Reckon(Some(7))).await, 2);
    assert_eq!(passed(&engine, A, get).await, 10);
}

#[tokio::test]
async fn what_is_refused_counts() {
    let kit = Kit::new();
    let engine = kit.open().await;
    limited(&kit, &engine);
    assert_eq!(passed(&engine, A, || Ask::Nothing).await, 10, "nothing that is named is there");
    assert_eq!(asked(&engine, A, get()).await, "Throttling");
    assert!(kit.lines().iter().any(|line| line.contains("\"errorCode\":\"Throttling\"")), "it is recorded");
}

/// A call that is run again because another was faster costs one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_costs_once_however_often_it_is_run() {
    let kit = Kit::new();
    let engine = kit.open().await;
    limited(&kit, &engine);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { asked(&engine, A, Ask::Add("n".to_owned())).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "");
    }
    assert_eq!(asked(&engine, A, get()).await, "Throttling");
}

#[tokio::test]
async fn a_service_of_one_region_counts_everything_there() {
    for (region, expected) in [(None, 11), (Some("us-east-1"), 10)] {
        let kit = Kit::new();
        let engine = kit.open().await;
        kit.clock.1.store(START, Ordering::SeqCst);
        let mut quotas =
            Quotas::new(&[ServiceQuotas { event_source: "other.test", ..QUOTAS }, ServiceQuotas { region, ..QUOTAS }]);
        quotas.set_rate("light", 10).unwrap();
        engine.set_quotas(quotas);
        assert_eq!(passed(&engine, A, get).await, 10);
        let elsewhere = caller_in(&engine, A, "eu-north-1").await;
        let answer = engine.call::<ToyOperation>(&Toy, &elsewhere, &CallMeta::system(), &get()).await.unwrap();
        let passed = answer.into_inner().err().is_none_or(|error| error.code != "Throttling");
        assert_eq!(10 + usize::from(passed), expected, "{region:?}");
    }
}

#[tokio::test]
async fn rates_are_set_for_all_and_for_one_account() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let mut quotas = Quotas::new(&[QUOTAS]);
    quotas.set_rate("light", 30).unwrap();
    quotas.set_account_rate(B, "light", 3).unwrap();
    assert_eq!(quotas.set_rate("dark", 1), Err(NoQuotaGroup("dark".to_owned())));
    assert_eq!(quotas.set_account_rate(A, "dark", 1), Err(NoQuotaGroup("dark".to_owned())));
    engine.set_quotas(quotas);
    assert_eq!((passed(&engine, A, get).await, passed(&engine, B, get).await), (30, 3));
    assert_eq!(passed(&engine, B, || Ask::Reckon(Some(1))).await, 2, "the other group is as it was");
}
