//! What a decision reads of the store, with thousands of grants on the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use claviger_api::kms::{CreateGrantRequest, GrantOperation, ListGrantsRequest};
use claviger_store::{Batch, BoxFuture, CommitError, Memory, Range, Revision, Row, Store, StoreError, View, Watch};

use crate::grants::{DENIED, Pairs, THIRD, equals, grant, pairs, root, subset};
use crate::{Base, OTHER, OWNER, World};

/// Counts the rows that are read.
struct Counting {
    inner: Memory,
    rows: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

struct CountingView {
    inner: Box<dyn View>,
    rows: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl Store for Counting {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            let (rows, reads) = (Arc::clone(&self.rows), Arc::clone(&self.reads));
            let inner = self.inner.snapshot().await?;
            Ok(Box::new(CountingView { inner, rows, reads }) as Box<dyn View>)
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

impl View for CountingView {
    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.rows.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key)
    }

    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>> {
        Box::pin(async move {
            let found = self.inner.scan(range, after, limit).await?;
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.rows.fetch_add(found.len(), Ordering::SeqCst);
            Ok(found)
        })
    }
}

const MANY: usize = 5_000;

/// A world that counts what a call reads.
struct Counted {
    world: World,
    rows: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl Counted {
    async fn new() -> Self {
        let (rows, reads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let store = Counting { inner: Memory::new(), rows: Arc::clone(&rows), reads: Arc::clone(&reads) };
        let world = Base::over(Arc::new(store), 1).open().await.unwrap();
        Self { world, rows, reads }
    }

    /// Whether the caller may encrypt, and how many rows in how many looks that took.
    async fn cost(&self, caller: &str, key: &str, context: &Pairs) -> (bool, usize, usize) {
        let (rows, reads) = (self.rows.load(Ordering::SeqCst), self.reads.load(Ordering::SeqCst));
        let allowed = self.world.encrypts(caller, key, context).await;
        (allowed, self.rows.load(Ordering::SeqCst) - rows, self.reads.load(Ordering::SeqCst) - reads)
    }
}

fn tenant(number: usize) -> Pairs {
    pairs(&[("app", "x"), ("tenant", &number.to_string())])
}

const DELEGABLE: [GrantOperation; 2] = [GrantOperation::Encrypt, GrantOperation::CreateGrant];

/// A decision reads no more of the store with thousands of grants to one grantee than with one, whatever their
/// constraints have in common.
#[tokio::test]
async fn many_grants_to_one_grantee_cost_no_more() {
    let counted = Counted::new().await;
    let world = &counted.world;
    let key = world.create().await;
    assert_eq!(counted.cost(OTHER, &key, &tenant(7)).await, (false, 0, 0), "without grants nothing is looked for");
    for number in 0..MANY {
        let constraints = if number % 2 == 0 { subset(&tenant(number)) } else { equals(&tenant(number)) };
        world.grant(CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &DELEGABLE) }).await;
    }
    for number in [0, 1, MANY / 2, MANY / 2 + 1, MANY - 1, MANY, MANY + 1] {
        let (allowed, rows, looks) = counted.cost(OTHER, &key, &tenant(number)).await;
        assert_eq!(allowed, number < MANY, "{number}");
        assert!(rows <= 10 && looks <= 10, "{number}: {rows} rows in {looks} looks");
    }
    let (allowed, rows, looks) = counted.cost(THIRD, &key, &tenant(0)).await;
    assert!(!allowed && rows == 0 && looks <= 4, "a stranger: {rows} rows in {looks} looks");
    for (number, made) in [(8, Ok(())), (9, Ok(())), (MANY, Err(DENIED))] {
        let constraints = equals(&tenant(number));
        let child = CreateGrantRequest { constraints, ..grant(&key, &root(THIRD), &DELEGABLE) };
        let before = counted.rows.load(Ordering::SeqCst);
        assert_eq!(world.grant_as(OTHER, child).await.map(drop), made, "{number}");
        let rows = counted.rows.load(Ordering::SeqCst) - before;
        assert!(rows <= 24, "{number}: {rows} rows, with those that are to be written");
    }
}

#[tokio::test]
async fn many_grantees_cost_no_more() {
    let counted = Counted::new().await;
    let world = &counted.world;
    let key = world.create().await;
    let account = |number: usize| format!("{:012}", 500_000_000_000_usize + number);
    for number in 0..MANY {
        world.grant(grant(&key, &root(&account(number)), &DELEGABLE)).await;
    }
    for number in [0, MANY / 2, MANY - 1, MANY] {
        let (allowed, rows, looks) = counted.cost(&account(number), &key, &tenant(number)).await;
        assert_eq!(allowed, number < MANY, "{number}");
        assert!(rows <= 2 && looks <= 5, "{number}: {rows} rows in {looks} looks");
    }
    let grantee_principal = Some(root(&account(9)));
    let before = counted.rows.load(Ordering::SeqCst);
    let list = ListGrantsRequest { grantee_principal, key_id: key, ..ListGrantsRequest::default() };
    assert_eq!(world.list_as(OWNER, list).await.unwrap().grants.unwrap().len(), 1);
    assert!(counted.rows.load(Ordering::SeqCst) - before <= 2, "a list of one grantee's");
}

/// Who makes grants in order to make a search long makes it end.
#[tokio::test]
async fn a_search_has_an_end() {
    const STEPS: usize = 400;
    let counted = Counted::new().await;
    let world = &counted.world;
    let key = world.create().await;
    // Each begins with a pair that the request has, and goes on with one that it has not.
    for number in 0..STEPS {
        let constraints = subset(&pairs(&[(&format!("p{number}"), ""), (&format!("q{number}"), "")]));
        let request = CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &DELEGABLE) };
        world.grant(request).await;
    }
    let context: Pairs = (0..STEPS).map(|number| (format!("p{number}"), String::new())).collect();
    let (allowed, rows, looks) = counted.cost(OTHER, &key, &context).await;
    assert!(!allowed && rows <= 520 && looks <= 520, "{rows} rows in {looks} looks");
    // Below the limit, pairs that have nothing to do with any grant cost little.
    let (few, many) = (tenant(1), (0..300).map(|number| (format!("x{number}"), String::new())).collect::<Pairs>());
    world.grant(CreateGrantRequest { constraints: subset(&few), ..grant(&key, &root(THIRD), &DELEGABLE) }).await;
    let (allowed, _, looks) = counted.cost(THIRD, &key, &few.into_iter().chain(many).collect()).await;
    assert!(allowed && looks <= 10, "{looks} looks");
}
