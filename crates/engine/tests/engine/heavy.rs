//! Heavy work, as an operation hands it over.

use crate::Kit;
use crate::toy::Ask;

#[tokio::test]
async fn an_operation_waits_for_its_work() {
    let kit = Kit::new();
    let engine = kit.open().await;
    let (id, answer) = kit.ask(&engine, Ask::Reckon(Some(7))).await;
    assert_eq!(answer.unwrap().as_deref(), Some("42"));
    assert_eq!(kit.recorded(&id), 1);
}

#[tokio::test]
async fn a_panic_in_the_work_is_an_internal_error_and_nothing_more() {
    let kit = Kit::new();
    let engine = kit.open().await;
    // More than there are workers.
    for _ in 0..100 {
        let (_, answer) = kit.ask(&engine, Ask::Reckon(None)).await;
        assert_eq!(answer.unwrap_err().code, "ToyFailure");
    }
    assert_eq!(kit.ask(&engine, Ask::Reckon(Some(7))).await.1.unwrap().as_deref(), Some("42"));
}
