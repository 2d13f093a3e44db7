//! The pool for heavy cryptography: RSA, post-quantum work, key generation. Calls that need none of it never wait for
//! it, and no account waits for another's queue: accounts take turns, one piece of work each.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::{CommonError, Fault};

/// How many pieces of work of one account may wait.
const ACCOUNT_WAITING_MAX: usize = 1_024;
/// How many pieces of work may wait in all.
const WAITING_MAX: usize = 32_768;
/// No account may wait with more than this part of what is still free, so that busy accounts leave room for others.
const FREE_PARTS: usize = 16;

/// The workers and what waits for them. Dropping it waits for the work in progress and forgets the rest.
pub(crate) struct Heavy {
    pool: Arc<Pool>,
    workers: Vec<JoinHandle<()>>,
}

struct Pool {
    queues: Mutex<Queues>,
    /// Told once for each piece of work that finds a worker asleep: that one takes it at once and the others sleep on.
    work_came: Condvar,
}

/// What waits, by account.
#[derive(Default)]
struct Queues {
    waiting: HashMap<Box<str>, VecDeque<Box<dyn Work>>>,
    /// The accounts that have work waiting, each once; the first is served next and goes to the end.
    turns: VecDeque<Box<str>>,
    length: usize,
    /// Workers that sleep and have not been told of work yet. Counts one too many for each that woke by itself, never
    /// one too few: being zero means that nobody need be told.
    asleep: usize,
    ended: bool,
}

/// A piece of work with the place for its result.
trait Work: Send {
    /// Whether nobody waits for the result any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work and hands the result over.
    fn run(self: Box<Self>);
}

struct Task<T, W> {
    work: W,
    result: oneshot::Sender<T>,
}

impl<T: Send, W: FnOnce() -> T + Send> Work for Task<T, W> {
    fn is_abandoned(&self) -> bool {
        self.result.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self { work, result } = *self;
        // Whoever has gone needs no result.
        let _ = result.send(work());
    }
}

impl Heavy {
    /// Starts this many threads.
    ///
    /// # Errors
    /// [`Fault::Threads`] when the operating system does not give them.
    pub(crate) fn start(workers: usize) -> Result<Self, Fault> {
        let pool = Arc::new(Pool { queues: Mutex::default(), work_came: Condvar::new() });
        // Made first: when a thread cannot be started, dropping this ends those that were.
        let mut heavy = Self { pool, workers: Vec::with_capacity(workers) };
        for number in 0..workers {
            let pool = Arc::clone(&heavy.pool);
            let thread = std::thread::Builder::new().name(format!("heavy-{number}")).spawn(move || pool.serve());
            heavy.workers.push(thread.map_err(|_| Fault::Threads)?);
        }
        Ok(heavy)
    }

    /// See [`crate::Call::heavy`].
    pub(crate) fn submit<T, W>(
        &self,
        account: &str,
        work: W,
    ) -> impl Future<Output = Result<T, CommonError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (result, waits) = oneshot::channel();
        let accepted = self.pool.put(account, Box::new(Task { work, result }));
        async move {
            if !accepted {
                return Err(CommonError::Throttled);
            }
            // The other end went away without a word: the work panicked, or the pool ended.
            waits.await.map_err(|_| Fault::WorkLost.into())
        }
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        let forgotten = {
            let mut queues = self.pool.lock();
            queues.ended = true;
            queues.take_all()
        };
        self.pool.work_came.notify_all();
        // Whoever waits for these learns it now, not after the work in progress.
        drop(forgotten);
        for worker in self.workers.drain(..) {
            // Work may own the last reference to the engine; its thread cannot wait for itself.
            if worker.thread().id() != std::thread::current().id() {
                // A worker does not panic.
                let _ = worker.join();
            }
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room for it.
    fn put(&self, account: &str, work: Box<dyn Work>) -> bool {
        let (accepted, wakes) = {
            let mut queues = self.lock();
            let accepted = queues.put(account, work);
            // While all are busy there is nobody to wake, and the call to the operating system is saved.
            let wakes = accepted && queues.asleep > 0;
            queues.asleep = queues.asleep.saturating_sub(usize::from(wakes));
            (accepted, wakes)
        };
        if wakes {
            self.work_came.notify_one();
        }
        accepted
    }

    /// A worker's life.
    fn serve(&self) {
        while let Some(work) = self.next() {
            // A panic ends this piece of work and nothing else: its result's sender is dropped, which its caller sees.
            drop(catch_unwind(AssertUnwindSafe(|| {
                if !work.is_abandoned() {
                    work.run();
                }
            })));
        }
    }

    /// Sleeps until there is work; `None` at the end.
    fn next(&self) -> Option<Box<dyn Work>> {
        let mut queues = self.lock();
        loop {
            if queues.ended {
                return None;
            }
            if let Some(work) = queues.next() {
                return Some(work);
            }
            queues.asleep = queues.asleep.saturating_add(1);
            queues = self.work_came.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queues {
    fn put(&mut self, account: &str, work: Box<dyn Work>) -> bool {
        let most = WAITING_MAX.saturating_sub(self.length).div_ceil(FREE_PARTS).min(ACCOUNT_WAITING_MAX);
        match self.waiting.get_mut(account) {
            Some(queue) if queue.len() < most => queue.push_back(work),
            None if most > 0 => {
                self.waiting.insert(account.into(), VecDeque::from([work]));
                self.turns.push_back(account.into());
            }
            _ => return false,
        }
        self.length = self.length.saturating_add(1);
        true
    }

    fn next(&mut self) -> Option<Box<dyn Work>> {
        let account = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&account)?;
        let work = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&account);
        } else {
            self.turns.push_back(account);
        }
        self.length = self.length.saturating_sub(1);
        work
    }

    fn take_all(&mut self) -> HashMap<Box<str>, VecDeque<Box<dyn Work>>> {
        self.turns.clear();
        self.length = 0;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};

    use super::*;

    const A: &str = "111122223333";
    const B: &str = "444455556666";

    /// Work that tells when it starts and then waits to be let go.
    struct Gate {
        started: mpsc::Sender<&'static str>,
        let_go: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    fn gate() -> (Gate, mpsc::Receiver<&'static str>, mpsc::Sender<()>) {
        let (started, starts) = mpsc::channel();
        let (opener, let_go) = mpsc::channel();
        (Gate { started, let_go: Arc::new(Mutex::new(let_go)) }, starts, opener)
    }

    impl Gate {
        fn work(&self, name: &'static str) -> impl FnOnce() -> &'static str + Send + use<> {
            let (started, let_go) = (self.started.clone(), Arc::clone(&self.let_go));
            move || {
                started.send(name).unwrap();
                // Once the opener is dropped, everything passes.
                let _ = let_go.lock().unwrap().recv();
                name
            }
        }
    }

    fn is_throttled<T: Send + 'static>(waits: impl Future<Output = Result<T, CommonError>>) -> bool {
        let mut waits = std::pin::pin!(waits);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(waits.as_mut().poll(&mut context), std::task::Poll::Ready(Err(CommonError::Throttled)))
    }

    #[tokio::test]
    async fn accounts_take_turns() {
        for workers in 1..=3 {
            let heavy = Heavy::start(workers).unwrap();
            let (gate, starts, opener) = gate();
            let flood: Vec<_> = (0..1_000).map(|_| heavy.submit(A, gate.work("a"))).collect();
            for _ in 0..workers {
                assert_eq!(starts.recv().unwrap(), "a");
            }
            let one = heavy.submit(B, gate.work("b"));
            let mut completions = 0;
            loop {
                opener.send(()).unwrap();
                completions += 1;
                if starts.recv().unwrap() == "b" {
                    break;
                }
            }
            assert!(completions <= workers + 1, "{completions} completions with {workers} workers");
            drop(opener);
            assert_eq!(one.await, Ok("b"));
            for work in flood {
                assert_eq!(work.await, Ok("a"));
            }
        }
    }

    #[tokio::test]
    async fn an_idle_worker_starts_at_once() {
        let heavy = Heavy::start(3).unwrap();
        let meeting = Arc::new(Barrier::new(3));
        for _ in 0..100 {
            let works: Vec<_> = (0..3)
                .map(|_| {
                    let meeting = Arc::clone(&meeting);
                    heavy.submit(A, move || meeting.wait().is_leader())
                })
                .collect();
            let mut leaders = 0;
            for work in works {
                leaders += usize::from(work.await.unwrap());
            }
            assert_eq!(leaders, 1);
        }
    }

    #[test]
    fn an_account_has_a_bound_of_its_own() {
        let heavy = Heavy::start(0).unwrap();
        let kept: Vec<_> = (0..ACCOUNT_WAITING_MAX).map(|_| heavy.submit(A, || ())).collect();
        assert_eq!(heavy.pool.lock().length, ACCOUNT_WAITING_MAX);
        assert!(is_throttled(heavy.submit(A, || ())));
        assert!(!is_throttled(heavy.submit(B, || ())));
        assert_eq!(heavy.pool.lock().length, ACCOUNT_WAITING_MAX + 1);
        drop(kept);
    }

    #[test]
    fn many_busy_accounts_leave_room_for_one_more() {
        let heavy = Heavy::start(0).unwrap();
        for account in 0..100 {
            for _ in 0..ACCOUNT_WAITING_MAX {
                drop(heavy.submit(&account.to_string(), || ()));
            }
        }
        assert!(heavy.pool.lock().length < WAITING_MAX);
        assert!(!is_throttled(heavy.submit("one more", || ())));
    }

    #[test]
    fn there_is_a_bound_in_all() {
        let heavy = Heavy::start(0).unwrap();
        let accepted = (0..WAITING_MAX + 10).filter(|account| !is_throttled(heavy.submit(&account.to_string(), || ())));
        assert_eq!(accepted.count(), WAITING_MAX);
        assert_eq!(heavy.pool.lock().length, WAITING_MAX);
    }

    #[tokio::test]
    async fn what_is_served_makes_room() {
        let heavy = Heavy::start(2).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 * ACCOUNT_WAITING_MAX {
            let done = Arc::clone(&done);
            heavy.submit(A, move || done.fetch_add(1, Ordering::SeqCst)).await.unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 2 * ACCOUNT_WAITING_MAX);
        let queues = heavy.pool.lock();
        assert!(queues.length == 0 && queues.waiting.is_empty() && queues.turns.is_empty());
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_not_done() {
        let heavy = Heavy::start(1).unwrap();
        let (gate, starts, opener) = gate();
        let first = heavy.submit(A, gate.work("first"));
        starts.recv().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        drop(heavy.submit(A, move || flag.store(true, Ordering::SeqCst)));
        let last = heavy.submit(A, gate.work("last"));
        drop(opener);
        assert_eq!((first.await, last.await), (Ok("first"), Ok("last")));
        assert!(!done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_and_ends_no_worker() {
        let heavy = Heavy::start(1).unwrap();
        let lost = heavy.submit(A, || -> u8 { panic!("on purpose") }).await;
        assert_eq!(lost, Err(CommonError::Internal(Fault::WorkLost)));
        assert_eq!(heavy.submit(A, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn the_end_waits_for_work_in_progress_only() {
        let heavy = Heavy::start(1).unwrap();
        let (gate, starts, opener) = gate();
        let first = heavy.submit(A, gate.work("first"));
        starts.recv().unwrap();
        let second = heavy.submit(B, gate.work("second"));
        let end = std::thread::spawn(move || drop(heavy));
        assert_eq!(second.await, Err(CommonError::Internal(Fault::WorkLost)));
        assert!(!end.is_finished());
        drop(opener);
        assert_eq!(first.await, Ok("first"));
        end.join().unwrap();
        assert!(starts.try_recv().is_err());
    }

    #[tokio::test]
    async fn work_may_own_the_pool() {
        let heavy = Arc::new(Heavy::start(2).unwrap());
        let (gate, starts, opener) = gate();
        let (held, wait) = (Arc::clone(&heavy), gate.work("done"));
        let work = heavy.submit(A, move || {
            let name = wait();
            drop(held);
            name
        });
        starts.recv().unwrap();
        drop(heavy);
        drop(opener);
        assert_eq!(work.await, Ok("done"));
    }
}
