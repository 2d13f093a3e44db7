//! The two clocks. The only place that reads the system's time of day.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use claviger_api::Timestamp;
use claviger_engine::Clock;

/// The system's clock, and the same clock moved by an offset.
///
/// The offset stays zero in production; `claviger dev` moves it.
#[derive(Debug)]
pub struct SystemClock {
    offset_millis: AtomicI64,
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemClock {
    /// Both clocks at the system's time.
    #[must_use]
    pub fn new() -> Self {
        Self::with_offset(0)
    }

    /// The movable clock ahead of the wall clock by this many milliseconds (behind, if negative).
    #[must_use]
    pub fn with_offset(offset_millis: i64) -> Self {
        Self { offset_millis: AtomicI64::new(offset_millis), began: Instant::now() }
    }

    /// How far the movable clock is ahead of the wall clock, in milliseconds.
    #[must_use]
    pub fn offset_millis(&self) -> i64 {
        self.offset_millis.load(Ordering::Acquire)
    }

    /// Moves the movable clock forward (back, if negative), held at the ends of the range. Returns the new offset.
    pub fn advance(&self, millis: i64) -> i64 {
        let mut offset = self.offset_millis();
        loop {
            let moved = offset.saturating_add(millis);
            match self.offset_millis.compare_exchange(offset, moved, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return moved,
                Err(newer) => offset = newer,
            }
        }
    }

    /// Sets the offset.
    pub fn set_offset_millis(&self, millis: i64) {
        self.offset_millis.store(millis, Ordering::Release);
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Timestamp::from_millis(millis)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall().millis().saturating_add(self.offset_millis()))
    }

    /// The monotonic clock, and whatever the offset was moved by. It stands still while the machine is suspended.
    fn steady(&self) -> i64 {
        let run = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        run.saturating_add(self.offset_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_movable_clock_moves() {
        let clock = SystemClock::with_offset(5);
        assert_eq!(clock.advance(86_400_000), 86_400_005);
        let (wall, now) = (clock.wall().millis(), clock.now().millis());
        assert!((86_400_005..86_410_005).contains(&(now - wall)), "{now} - {wall}");
        assert!(wall > 1_700_000_000_000);
        let before = clock.steady();
        clock.advance(86_400_000);
        assert!((86_400_000..86_410_000).contains(&(clock.steady() - before)), "moved on purpose");
    }

    #[test]
    fn the_offset_does_not_wrap() {
        let clock = SystemClock::with_offset(i64::MAX - 1);
        assert_eq!(clock.advance(5), i64::MAX);
        assert_eq!(clock.now().millis(), i64::MAX);
    }
}
