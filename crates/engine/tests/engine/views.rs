//! Views of the store are few: a call that waits for something else must not keep one from a call that could go on.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use claviger_store::{Batch, BoxFuture, CommitError, Range, Revision, Row, Store, StoreError, View, Watch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::toy::Ask;
use crate::{Kit, demand_whole};

/// Views at once.
const VIEWS: usize = 3;
/// Far longer than any of this takes; without it a deadlock would never end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with few views: who wants another waits until one is dropped.
struct FewViews {
    inner: Arc<dyn Store>,
    free: Arc<Semaphore>,
}

struct OneOfFew {
    inner: Box<dyn View>,
    _permit: OwnedSemaphorePermit,
}

impl Store for FewViews {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            Ok(Box::new(OneOfFew { inner: self.inner.snapshot().await?, _permit: permit }) as Box<dyn View>)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.inner.commit(batch)
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        self.inner.watch(prefix, after)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}

impl View for OneOfFew {
    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        self.inner.get(key)
    }

    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>> {
        self.inner.scan(range, after, limit)
    }
}

async fn few_views(kit: &Kit) -> Arc<claviger_engine::Engine> {
    let inner = Arc::clone(&kit.store) as Arc<dyn Store>;
    kit.open_over(Arc::new(FewViews { inner, free: Arc::new(Semaphore::new(VIEWS)) })).await.unwrap()
}

/// Each reads a row that is absent, for which it needs a view, and all want to change the same row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_on_a_row_all_end() {
    let kit = Arc::new(Kit::new());
    let engine = few_views(&kit).await;
    let calls: Vec<_> = (0..VIEWS * 30)
        .map(|number| {
            let (kit, engine) = (Arc::clone(&kit), Arc::clone(&engine));
            tokio::spawn(async move {
                let notes = vec![(format!("own-{number}"), "x".to_owned()), ("shared".to_owned(), number.to_string())];
                kit.ask(&engine, Ask::Set(notes)).await.1
            })
        })
        .collect();
    let mut done = 0;
    for call in calls {
        let answer = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
        done += usize::from(answer.is_ok());
    }
    assert!(done > VIEWS, "{done} calls went through");
    demand_whole(&engine).await;
}

#[tokio::test]
async fn a_call_that_waits_for_heavy_work_holds_no_view() {
    let kit = Arc::new(Kit::new());
    let engine = few_views(&kit).await;
    let (held, end) = mpsc::channel();
    let end = Arc::new(Mutex::new(end));
    let waiting: Vec<_> = (0..VIEWS * 3)
        .map(|number| {
            let (kit, engine, end) = (Arc::clone(&kit), Arc::clone(&engine), Arc::clone(&end));
            tokio::spawn(async move { kit.ask(&engine, Ask::ReadAndWait(format!("note-{number}"), end)).await.1 })
        })
        .collect();
    // One thread runs all of them: after a few turns each waits for its heavy work.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let read = tokio::time::timeout(PATIENCE, kit.get(&engine, "absent")).await;
    // It ends by itself only if a view is free.
    assert_eq!(read.unwrap(), None);
    drop(held);
    for call in waiting {
        tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap().unwrap();
    }
}
