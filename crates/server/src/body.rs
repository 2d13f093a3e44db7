//! Reads a request's body within the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::limits::Limits;
use crate::timer::within;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is over [`Limits::body_bytes_max`].
    TooLarge,
    /// It did not arrive within [`Limits::body_time`].
    TimedOut,
    /// It ended early or its framing is broken; the client will hardly read the answer.
    Broken,
    /// [`Limits::bodies_bytes_max`] or [`Limits::calls_max`] is used up.
    Crowded,
}

/// Bytes of bodies held at once.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(crate) const fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        // Made before the check, so that its drop gives the bytes back on refusal.
        let reservation = Reservation { budget: Arc::clone(self), bytes };
        (before.saturating_add(bytes) <= self.max).then_some(reservation)
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// A share of the [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole body in memory.
#[derive(Debug, Default)]
pub struct ReadBody {
    bytes: Bytes,
    /// Given back when the bytes are.
    _reservation: Option<Reservation>,
}

impl ReadBody {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Bytes> for ReadBody {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, _reservation: None }
    }
}

/// Reads the whole body. One that came in a single piece is taken as it is, without a copy.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limits: &Limits,
    budget: &Arc<Budget>,
) -> Result<ReadBody, BodyFault> {
    if body.is_end_stream() {
        return Ok(ReadBody::default());
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.body_bytes_max {
        // A client that asked whether to go on is told no, before it sends anything.
        if !headers.contains_key(http::header::EXPECT) {
            discard(&mut body, limits).await;
        }
        return Err(BodyFault::TooLarge);
    }
    let collected = within(limits.body_time, collect(&mut body, announced, limits, budget)).await;
    let result = collected.unwrap_or(Err(BodyFault::TimedOut));
    if result.as_ref().is_err_and(|fault| *fault == BodyFault::TooLarge) {
        discard(&mut body, limits).await;
    }
    result
}

async fn collect(
    body: &mut Incoming,
    announced: usize,
    limits: &Limits,
    budget: &Arc<Budget>,
) -> Result<ReadBody, BodyFault> {
    let Some(first) = data(body).await? else { return Ok(ReadBody::default()) };
    if first.len() > limits.body_bytes_max {
        return Err(BodyFault::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(ReadBody::from(first));
    }
    let Some(second) = data(body).await? else { return Ok(ReadBody::from(first)) };
    // Without an announced length the most it may become is set aside.
    let room = if announced == 0 { limits.body_bytes_max } else { announced };
    let reservation = budget.reserve(room).ok_or(BodyFault::Crowded)?;
    let mut whole = BytesMut::with_capacity(announced.max(first.len().saturating_add(second.len())));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if whole.len().saturating_add(piece.len()) > limits.body_bytes_max {
            return Err(BodyFault::TooLarge);
        }
        whole.extend_from_slice(&piece);
        next = data(body).await?;
    }
    Ok(ReadBody { bytes: whole.freeze(), _reservation: Some(reservation) })
}

/// The next piece of data that is not empty; trailers are passed over.
async fn data(body: &mut Incoming) -> Result<Option<Bytes>, BodyFault> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| BodyFault::Broken)?.into_data() {
            Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
            _ => {}
        }
    }
    Ok(None)
}

/// Reads on for a while and forgets: a client that is still writing when the connection closes would see a reset
/// instead of the answer.
async fn discard(body: &mut Incoming, limits: &Limits) {
    let mut left = limits.discarded_bytes_max;
    let reading = async {
        while let Ok(Some(piece)) = data(body).await {
            let Some(less) = left.checked_sub(piece.len()) else { return };
            left = less;
        }
    };
    let _ = tokio::time::timeout(limits.discard_time, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back() {
        let budget = Arc::new(Budget::new(10));
        let six = budget.reserve(6);
        assert!(six.is_some());
        assert!(budget.reserve(5).is_none());
        assert_eq!(budget.used(), 6);
        drop(six);
        assert!(budget.reserve(10).is_some());
        assert_eq!(budget.used(), 0);
    }
}
