//! A store that fails on command, for tests of whoever stands on a store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{Batch, BoxFuture, CommitError, Range, Revision, Row, Store, StoreError, View, Watch, WatchEvent};

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Point {
    /// [`Store::snapshot`].
    Snapshot,
    /// [`View::get`] and [`View::scan`].
    Read,
    /// [`Store::commit`].
    Commit,
    /// [`Store::watch`] and [`Watch::next`].
    Watch,
}

/// What happens at a point.
#[derive(Clone)]
pub enum Action {
    /// The store behaves.
    Pass,
    /// The call fails as unavailable, and nothing was done. A watch is lost.
    Refuse,
    /// A commit answers `Conflict` though its checks hold. Elsewhere as `Refuse`.
    Conflict,
    /// A commit is not applied, and answers `Unknown`. Elsewhere as `Refuse`.
    LoseCommit,
    /// A commit is applied, and answers `Unknown`. Elsewhere as `Refuse`.
    LoseAnswer,
    /// Only the first so many writes of a commit are applied, and it answers `Unknown`: what no sound store does,
    /// and what a broken disk may. Elsewhere as `Refuse`.
    Tear(usize),
    /// The call waits until the gate is opened, and then goes on.
    Hold(Gate),
    /// From here on everything is unavailable, until [`Script::revive`]. A commit was not applied.
    Crash,
}

/// Holds calls back until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everything through, what waits and what comes.
    pub fn open(&self) {
        self.0.close();
    }

    async fn wait(&self) {
        // It never has permits: the only way on is that it closes.
        let _: Result<_, _> = self.0.acquire().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Decides what happens: given the point and how many calls came to that point before.
pub type Plan = Box<dyn FnMut(Point, u64) -> Action + Send>;

/// A store around another one, whose faults follow a plan.
pub struct Faulty<S> {
    inner: S,
    script: Script,
}

/// The handle by which a test steers its [`Faulty`] store. Clones steer the same one.
#[derive(Clone)]
pub struct Script(Arc<Shared>);

struct Shared {
    crashed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    counts: [u64; 4],
    queued: VecDeque<(Point, Action)>,
}

impl<S: Store> Faulty<S> {
    /// Wraps `inner`. `plan` is asked at every point, for example with a seeded generator inside.
    pub fn new(inner: S, plan: Plan) -> Self {
        let state = State { plan, counts: [0; 4], queued: VecDeque::new() };
        Self { inner, script: Script(Arc::new(Shared { crashed: AtomicBool::new(false), state: Mutex::new(state) })) }
    }

    /// Wraps `inner`; nothing fails but what the script says.
    pub fn scripted(inner: S) -> Self {
        Self::new(inner, Box::new(|_, _| Action::Pass))
    }

    /// The handle that steers this store.
    #[must_use]
    pub fn script(&self) -> Script {
        self.script.clone()
    }
}

impl Script {
    /// Lets `action` happen at the next call that comes to `point`. Actions queue, and go before the plan.
    pub fn next(&self, point: Point, action: Action) {
        self.state().queued.push_back((point, action));
    }

    /// Makes everything unavailable.
    pub fn crash(&self) {
        self.0.crashed.store(true, Ordering::SeqCst);
    }

    /// Ends a crash.
    pub fn revive(&self) {
        self.0.crashed.store(false, Ordering::SeqCst);
    }

    /// How many calls came to `point`.
    #[must_use]
    pub fn count(&self, point: Point) -> u64 {
        self.state().counts.get(point as usize).copied().unwrap_or(0)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens at this call. A crash turns into a refusal here.
    fn decide(&self, point: Point) -> Action {
        let mut state = self.state();
        let before = match state.counts.get_mut(point as usize) {
            Some(count) => {
                let before = *count;
                *count = before.saturating_add(1);
                before
            }
            None => 0,
        };
        if self.0.crashed.load(Ordering::SeqCst) {
            return Action::Refuse;
        }
        let queued = state.queued.iter().position(|(queued, _)| *queued == point);
        let action = match queued.and_then(|index| state.queued.remove(index)) {
            Some((_, action)) => action,
            None => (state.plan)(point, before),
        };
        drop(state);
        if matches!(action, Action::Crash) {
            self.crash();
            return Action::Refuse;
        }
        action
    }

    /// The same for calls that can only pass, wait or fail.
    async fn pass(&self, point: Point) -> Result<(), StoreError> {
        match self.decide(point) {
            Action::Pass => Ok(()),
            Action::Hold(gate) => {
                gate.wait().await;
                Ok(())
            }
            _ => Err(StoreError::Unavailable),
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn View>, StoreError>> {
        Box::pin(async {
            self.script.pass(Point::Snapshot).await?;
            let inner = self.inner.snapshot().await?;
            Ok(Box::new(FaultyView { inner, script: self.script.clone() }) as Box<dyn View>)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        // Decided at the call, and handed on at the call, as the contract says; only a held commit comes late.
        match self.script.decide(Point::Commit) {
            Action::Pass => self.inner.commit(batch),
            Action::Hold(gate) => Box::pin(async move {
                gate.wait().await;
                self.inner.commit(batch).await
            }),
            Action::LoseAnswer => self.unknown(batch),
            Action::Tear(count) => self.unknown(batch.torn(count)),
            Action::LoseCommit => Box::pin(async { Err(CommitError::Unknown) }),
            Action::Conflict => Box::pin(async { Err(CommitError::Conflict) }),
            Action::Refuse | Action::Crash => Box::pin(async { Err(CommitError::Unavailable) }),
        }
    }

    fn watch<'a>(&'a self, prefix: &'a [u8], after: Revision) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            self.script.pass(Point::Watch).await?;
            let inner = self.inner.watch(prefix, after).await?;
            Ok(Box::new(FaultyWatch { inner, script: self.script.clone(), lost: false }) as Box<dyn Watch>)
        })
    }

    fn erase(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.erase()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}

impl<S: Store> Faulty<S> {
    fn unknown(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let applied = self.inner.commit(batch);
        Box::pin(async { applied.await.and(Err(CommitError::Unknown)) })
    }
}

struct FaultyView {
    inner: Box<dyn View>,
    script: Script,
}

impl View for FaultyView {
    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        Box::pin(async move {
            self.script.pass(Point::Read).await?;
            self.inner.get(key).await
        })
    }

    fn scan<'a>(
        &'a self,
        range: Range,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Bytes, Row)>, StoreError>> {
        Box::pin(async move {
            self.script.pass(Point::Read).await?;
            self.inner.scan(range, after, limit).await
        })
    }
}

struct FaultyWatch {
    inner: Box<dyn Watch>,
    script: Script,
    lost: bool,
}

impl Watch for FaultyWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async {
            if self.lost || self.script.pass(Point::Watch).await.is_err() {
                self.lost = true;
                return Ok(WatchEvent::Lost);
            }
            self.inner.next().await
        })
    }

    fn request_progress(&mut self) {
        self.inner.request_progress();
    }
}
