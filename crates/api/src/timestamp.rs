//! Moments, as milliseconds since the epoch.

use std::fmt;

use claviger_secret::LogSafe;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A moment in UTC, to the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not a moment in the form asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a timestamp")
    }
}

impl std::error::Error for TimestampError {}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the epoch, held at the ends of the range.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment moved by so many seconds, held at the ends of the range.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// This moment moved by so many days of 86400 seconds, held at the ends of the range.
    pub const fn plus_days(self, days: i64) -> Self {
        self.plus_seconds(days.saturating_mul(86_400))
    }

    /// Reads RFC 3339, for instance `2026-01-02T03:04:05Z` or with a fraction or offset.
    ///
    /// # Errors
    /// [`TimestampError`] for any other text.
    pub fn parse_iso8601(text: &str) -> Result<Self, TimestampError> {
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Self(parsed.as_millisecond()))
    }

    /// `2026-01-02T03:04:05Z`, to the second. A moment outside the years -9999 to 9999 shows as the nearest
    /// one inside.
    pub fn to_iso8601(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// Reads the form of `X-Amz-Date`: `20260102T030405Z` and nothing else.
    ///
    /// # Errors
    /// [`TimestampError`] for any other text.
    pub fn parse_amz_date(text: &str) -> Result<Self, TimestampError> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().map_err(|_| TimestampError)?;
        let mut digits = [0_i16; 14];
        let mut slots = digits.iter_mut();
        for (position, byte) in bytes.iter().enumerate() {
            match (position, byte) {
                (8, b'T') | (15, b'Z') => {}
                (8 | 15, _) => return Err(TimestampError),
                (_, b'0'..=b'9') => {
                    let slot = slots.next().ok_or(TimestampError)?;
                    *slot = i16::from(byte.wrapping_sub(b'0'));
                }
                _ => return Err(TimestampError),
            }
        }
        let [y1, y2, y3, y4, o1, o2, d1, d2, h1, h2, m1, m2, s1, s2] = digits;
        let two = |tens: i16, ones: i16| i8::try_from(tens * 10 + ones).map_err(|_| TimestampError);
        let date_time = DateTime::new(
            y1 * 1000 + y2 * 100 + y3 * 10 + y4,
            two(o1, o2)?,
            two(d1, d2)?,
            two(h1, h2)?,
            two(m1, m2)?,
            two(s1, s2)?,
            0,
        )
        .map_err(|_| TimestampError)?;
        let moment = Offset::UTC.to_timestamp(date_time).map_err(|_| TimestampError)?;
        Ok(Self(moment.as_millisecond()))
    }

    /// `20260102T030405Z`.
    pub fn to_amz_date(self) -> String {
        self.format("%Y%m%dT%H%M%SZ")
    }

    fn format(self, form: &str) -> String {
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        moment.strftime(form).to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_iso8601())
    }
}

impl LogSafe for Timestamp {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn forms_of_one_moment() {
        let moment = Timestamp::from_millis(1_767_323_045_678);
        assert_eq!(moment.to_iso8601(), "2026-01-02T03:04:05Z");
        assert_eq!(moment.to_amz_date(), "20260102T030405Z");
        assert_eq!(Timestamp::parse_amz_date("20260102T030405Z").unwrap().seconds(), moment.seconds());
        assert_eq!(Timestamp::parse_iso8601("2026-01-02T03:04:05.678Z"), Ok(moment));
    }

    #[test]
    fn before_the_epoch_and_out_of_range() {
        assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
        assert_eq!(Timestamp::from_millis(-1000).to_iso8601(), "1969-12-31T23:59:59Z");
        assert!(Timestamp::from_millis(i64::MAX).to_iso8601().starts_with("9999-"));
        assert_eq!(Timestamp::from_seconds(i64::MAX).plus_days(i64::MAX).millis(), i64::MAX);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "20260102T030405",
            "20260102 030405Z",
            "2026010aT030405Z",
            "20261302T030405Z",
            "20260102T250405Z",
            "２０260102T0304",
        ] {
            assert_eq!(Timestamp::parse_amz_date(text), Err(TimestampError), "{text}");
        }
        assert_eq!(Timestamp::parse_iso8601("yesterday"), Err(TimestampError));
    }
}
