//! The `Date` of responses.

use std::sync::{Arc, Mutex, PoisonError};

use claviger_engine::Clock;
use http::{HeaderMap, HeaderValue, header};
use jiff::fmt::rfc2822::DateTimePrinter;

/// Dates responses by the wall clock, wherever it goes.
///
/// hyper's own date only ever goes forward: once the machine's clock had leapt ahead, each response would stay dated
/// ahead until a restart, and clients that correct their clock by it (AWS SDK for JavaScript) would sign for that time.
pub(crate) struct Dates {
    clock: Arc<dyn Clock>,
    newest: Mutex<Newest>,
}

/// The header of one second; `None` for a second that it cannot name.
struct Newest {
    second: i64,
    header: Option<HeaderValue>,
}

impl Dates {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let second = clock.wall().seconds();
        Self { clock, newest: Mutex::new(Newest { second, header: written(second) }) }
    }

    /// Gives a response its one `Date`. It is written anew when the second is another one, be it later or earlier.
    ///
    /// A clock outside the years 0 to 9999 gives none, as RFC 9110, 6.6.1 asks of who has no useful clock.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        let second = self.clock.wall().seconds();
        let header = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.second != second {
                *newest = Newest { second, header: written(second) };
            }
            newest.header.clone()
        };
        match header {
            Some(value) => headers.insert(header::DATE, value),
            None => headers.remove(header::DATE),
        };
    }
}

/// IMF-fixdate, RFC 9110, 5.6.7.
fn written(second: i64) -> Option<HeaderValue> {
    let moment = jiff::Timestamp::from_second(second).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use claviger_api::Timestamp;

    use super::*;

    struct Set(AtomicI64);

    impl Clock for Set {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }

        /// Far away: nobody outside lives by the movable clock.
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }
    }

    #[test]
    fn the_date_is_the_wall_clocks_forward_and_back() {
        let clock = Arc::new(Set(AtomicI64::new(784_111_777_999)));
        let dates = Dates::new(Arc::clone(&clock) as _);
        let mut headers = HeaderMap::new();
        headers.append(header::DATE, HeaderValue::from_static("a handler's"));
        headers.append(header::DATE, HeaderValue::from_static("and another"));
        for (millis, date) in [
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778_000, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (4_102_444_800_000, "Fri, 01 Jan 2100 00:00:00 GMT"),
            (784_111_778_500, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            clock.0.store(millis, Ordering::SeqCst);
            dates.mark(&mut headers);
            let found: Vec<_> = headers.get_all(header::DATE).iter().collect();
            assert_eq!(found, [date]);
        }
    }

    #[test]
    fn a_clock_beyond_the_calendar_gives_no_date() {
        for millis in [i64::MIN, -100_000_000_000_000, i64::MAX] {
            let dates = Dates::new(Arc::new(Set(AtomicI64::new(millis))));
            let mut headers = HeaderMap::new();
            headers.append(header::DATE, HeaderValue::from_static("a handler's"));
            dates.mark(&mut headers);
            assert_eq!(headers.get(header::DATE), None, "{millis}");
        }
    }
}
