//! Is a connection alive? Knows when its client last made progress, without a timer per request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::Limits;

/// Progress of one connection. Written by its requests and its socket, read by a slow timer.
///
/// Times are milliseconds since the connection began. Relaxed atomics suffice: a late view only moves a time-out by
/// the moment it is late.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    in_progress: AtomicUsize,
    quiet_since: AtomicU64,
    /// When the head that is being read began, plus one; zero while none is.
    head_since: AtomicU64,
    multiplexed: AtomicBool,
}

/// What the slow timer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait(Duration),
    Expired,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            in_progress: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    /// A request whose head is complete; in progress until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, multiplexed: bool) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        InProgress(Arc::clone(self))
    }

    fn end(&self) {
        self.quiet_since.store(self.elapsed(), Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
    }

    fn bytes_came(&self) {
        if self.in_progress.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.elapsed().saturating_add(1), Ordering::Relaxed);
        }
    }

    fn elapsed(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Whether the client has run out of time, or how long until it is worth asking again.
    pub(crate) fn verdict(&self, limits: &Limits, crowded: bool) -> Verdict {
        self.verdict_at(self.elapsed(), limits, crowded)
    }

    fn verdict_at(&self, now: u64, limits: &Limits, crowded: bool) -> Verdict {
        let idle = if crowded { limits.crowded_idle_time.min(limits.idle_time) } else { limits.idle_time };
        // A head can begin right after this look, so the next look is never further away than half its time.
        let next = (limits.head_time / 2).min(idle).max(Duration::from_millis(1));
        if self.in_progress.load(Ordering::Relaxed) > 0 {
            return Verdict::Wait(next);
        }
        let head_since = self.head_since.load(Ordering::Relaxed);
        // With HTTP/2 bytes need not belong to a head (a ping, a window update): there the idle time is the bound.
        let (since, allowed) = if head_since > 0 && !self.multiplexed.load(Ordering::Relaxed) {
            (head_since.saturating_sub(1), limits.head_time)
        } else {
            (self.quiet_since.load(Ordering::Relaxed), idle)
        };
        let deadline = since.saturating_add(millis(allowed));
        if now >= deadline {
            return Verdict::Expired;
        }
        Verdict::Wait(next.min(Duration::from_millis(deadline.saturating_sub(now))))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Held by a request from its head until its answer.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<Pulse>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A socket that tells the pulse when bytes come in.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
}

impl<S> Watched<S> {
    pub(crate) const fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pulse.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            head_time: Duration::from_millis(100),
            idle_time: Duration::from_millis(1000),
            crowded_idle_time: Duration::from_millis(200),
            ..Limits::default()
        }
    }

    fn pulse(in_progress: usize, quiet_since: u64, head_since: u64, multiplexed: bool) -> Pulse {
        Pulse {
            began: Instant::now(),
            in_progress: AtomicUsize::new(in_progress),
            quiet_since: AtomicU64::new(quiet_since),
            head_since: AtomicU64::new(head_since),
            multiplexed: AtomicBool::new(multiplexed),
        }
    }

    #[test]
    fn an_idle_connection_expires_after_the_idle_time() {
        let idle = pulse(0, 500, 0, false);
        assert_eq!(idle.verdict_at(1499, &limits(), false), Verdict::Wait(Duration::from_millis(1)));
        assert_eq!(idle.verdict_at(1500, &limits(), false), Verdict::Expired);
        assert_eq!(idle.verdict_at(700, &limits(), true), Verdict::Expired);
    }

    #[test]
    fn half_a_head_expires_after_the_head_time_unless_multiplexed() {
        assert_eq!(pulse(0, 0, 501, false).verdict_at(599, &limits(), false), Verdict::Wait(Duration::from_millis(1)));
        assert_eq!(pulse(0, 0, 501, false).verdict_at(600, &limits(), false), Verdict::Expired);
        assert_eq!(pulse(0, 0, 501, true).verdict_at(600, &limits(), false), Verdict::Wait(Duration::from_millis(50)));
    }

    #[test]
    fn a_request_in_progress_never_expires_here() {
        assert_eq!(
            pulse(1, 0, 1, false).verdict_at(1_000_000, &limits(), true),
            Verdict::Wait(Duration::from_millis(50))
        );
    }

    #[test]
    fn requests_and_bytes_move_the_pulse() {
        let pulse = Arc::new(pulse(0, 0, 0, false));
        pulse.bytes_came();
        assert!(pulse.head_since.load(Ordering::Relaxed) > 0);
        let request = pulse.begin(true);
        assert_eq!(pulse.head_since.load(Ordering::Relaxed), 0);
        pulse.bytes_came();
        assert_eq!(pulse.head_since.load(Ordering::Relaxed), 0);
        drop(request);
        assert_eq!(pulse.in_progress.load(Ordering::Relaxed), 0);
        assert!(pulse.multiplexed.load(Ordering::Relaxed));
    }
}
