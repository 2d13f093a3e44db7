//! A call that runs to its end though its client goes away, and a panic that stays one failed call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// The call panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// A future that is finished in any case.
///
/// It runs in the task that awaits it, which costs nothing. When that task drops it half way (the client closed its
/// connection or reset its stream), what is left moves into a task of its own, so that what the call did gets its
/// record. Only the end of the runtime ends it early.
#[must_use]
pub(crate) struct Finish<F: Future + Send + 'static>
where
    F::Output: Send,
{
    future: Option<Pin<Box<F>>>,
    polled: bool,
}

impl<F: Future + Send + 'static> Finish<F>
where
    F::Output: Send,
{
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(Box::pin(future)), polled: false }
    }
}

impl<F: Future + Send + 'static> Future for Finish<F>
where
    F::Output: Send,
{
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polled = true;
        let Some(future) = self.future.as_mut() else { return Poll::Ready(Err(Panicked)) };
        // A future that panicked is dropped and never polled again, so no broken state is seen.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(_) => Err(Panicked),
        };
        self.future = None;
        Poll::Ready(output)
    }
}

impl<F: Future + Send + 'static> Drop for Finish<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        // What was never polled has done nothing yet.
        if !self.polled {
            return;
        }
        if let (Some(future), Ok(runtime)) = (self.future.take(), Handle::try_current()) {
            drop(runtime.spawn(async move {
                let _ = future.await;
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_dropped_call_still_finishes() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let call = Finish::new(async move {
            gone.await.unwrap();
            done.send(7).unwrap();
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), call).await.is_err());
        go.send(()).unwrap();
        assert_eq!(finished.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_a_value() {
        let call = Finish::new(async { panic!("as intended by the test") });
        assert_eq!(call.await, Err::<(), _>(Panicked));
    }
}
