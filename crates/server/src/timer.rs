//! Work that repeats.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// A repeating timer; dropping it stops the timer at the callback's next await.
#[must_use = "the timer stops when this is dropped"]
#[derive(Debug)]
pub struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `callback` again and again, for the first time after one `period`. Runs never overlap: one that takes longer
/// than the period delays the next by a whole period, so a slow callback is never called in a burst.
///
/// Must be called within the tokio runtime.
pub fn every<C, F>(period: Duration, mut callback: C) -> Timer
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    Timer(tokio::spawn(async move {
        // A period of zero is refused by tokio's interval with a panic.
        let period = period.max(Duration::from_millis(1));
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            callback().await;
        }
    }))
}

/// What the future gives, or `None` when it takes longer. The timer is set only when the future has to wait, so one that
/// is ready at once costs none.
pub(crate) async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let at_once = poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    });
    match at_once.await {
        Some(output) => Some(output),
        None => tokio::time::timeout(time, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{every, within};

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        assert_eq!(within(Duration::ZERO, async { 7 }).await, Some(7), "what is ready takes no time");
        assert_eq!(within(Duration::from_secs(60), tokio::task::yield_now()).await, Some(()));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn it_repeats_until_dropped() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let timer = every(Duration::from_millis(5), move || {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        while count.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(timer);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let stopped = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(count.load(Ordering::Relaxed), stopped);
    }
}
