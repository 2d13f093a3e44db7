//! The contract on every backend, random histories against a model, and what is the embedded store's own.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod embedded;
mod faulty;
mod model;

use claviger_store::{Action, Embedded, Faulty, Memory, Point, Store, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    conformance::check(&|| Box::new(Memory::new())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let fresh = || -> Box<dyn Store> {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::new(Embedded::open(&directory.path().join(number.to_string())).unwrap())
    };
    conformance::check(&fresh).await.unwrap();
}

#[tokio::test]
async fn a_faulty_store_without_faults_keeps_the_contract() {
    conformance::check(&|| Box::new(Faulty::scripted(Memory::new()))).await.unwrap();
}

/// The suite is worth something only if it notices: a store that misbehaves once must fail it.
#[tokio::test]
async fn the_contract_notices_a_store_that_breaks_it() {
    let faults = [Action::LoseCommit, Action::Conflict, Action::Tear(0), Action::Refuse];
    for fault in faults {
        let broken = || -> Box<dyn Store> {
            let fault = fault.clone();
            let plan = move |point, count| match (point, count) {
                (Point::Commit, 1) => fault.clone(),
                _ => Action::Pass,
            };
            Box::new(Faulty::new(Memory::new(), Box::new(plan)))
        };
        conformance::check(&broken).await.unwrap_err();
    }
}
