//! The typed values that conditions compare: decimals, moments, networks.

use std::net::IpAddr;

/// A decimal number, exact: at most 18 digits before the point and 9 after it. In units of 10^-9.
pub(crate) fn decimal(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !plain(whole, 18) || !plain(fraction, 9) {
        return None;
    }
    let value: i128 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// A moment in milliseconds since the epoch: epoch seconds, or ISO 8601 with a date, an optional time to the minute,
/// second or fraction of it, and `Z` or an offset.
pub(crate) fn moment(text: &str) -> Option<i64> {
    if let Some(nanoseconds) = decimal(text) {
        return i64::try_from(nanoseconds / 1_000_000).ok();
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let mut date_parts = date.split('-');
    let (year, month, day) = (date_parts.next()?, date_parts.next()?, date_parts.next()?);
    if date_parts.next().is_some() {
        return None;
    }
    let days = days(number(year, 4)?, number(month, 2)?, number(day, 2)?)?;
    let (clock, offset_minutes) = zone(time)?;
    let mut clock_parts = clock.split(':');
    let (hour, minute) = (number(clock_parts.next()?, 2)?, number(clock_parts.next()?, 2)?);
    let milliseconds = clock_parts.next().map_or(Some(0), second_milliseconds)?;
    if clock_parts.next().is_some() || hour > 23 || minute > 59 || milliseconds > 59_999 {
        return None;
    }
    Some(((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + milliseconds)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Splits the clock from `Z` or `+hh:mm`, which is returned in minutes.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at_checked(at)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let total = hours * 60 + minutes;
    Some((clock, if offset.starts_with('-') { -total } else { total }))
}

fn second_milliseconds(text: &str) -> Option<i64> {
    let (second, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(number(second, 2)? * 1_000 + thousandths)
}

/// Days since 1970-01-01 of a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day < 1 || day > length || year < 1 {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// A range of addresses; a bare address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            None => longest,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= longest)?
            }
            Some(_) => return None,
        };
        // Requests come with plain IPv4 addresses. A range that has more than those is neither the one nor the other.
        let canonical = address.to_canonical();
        let mapped_bits = if canonical == address { 0 } else { 96 };
        Some(Self { address: canonical, prefix: prefix.checked_sub(mapped_bits)? })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn decimals() {
        assert_eq!(decimal("1"), Some(1_000_000_000));
        assert_eq!(decimal("-0.5"), Some(-500_000_000));
        assert_eq!(decimal("1.50"), decimal("1.5"));
        assert_eq!(decimal("007"), decimal("7"));
        for text in ["", "-", "+1", ".5", "1.", "1e3", " 1", "1234567890123456789", "0.1234567890", "NaN", "0x1"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn moments() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(moment("1970-01-01"), Some(0));
        assert_eq!(moment("2026-11-23T12:34:56.789Z"), Some(1_795_437_296_789));
        assert_eq!(moment("2026-11-23T13:34:56+01:00"), moment("1795437296"));
        assert_eq!(moment("2000-02-29T00:00Z"), Some(951_782_400_000));
        assert_eq!(moment("1969-12-31T23:59:59Z"), Some(-1_000));
        for text in [
            "",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1xZ",
            "2026-+1-01",
            "2026-01-01-01",
        ] {
            assert_eq!(moment(text).filter(|_| text != "2026"), None, "{text}");
        }
    }

    #[test]
    fn networks() {
        let inside = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.0.1") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("0.0.0.0/0", "1.2.3.4") && !inside("0.0.0.0/0", "::1"));
        assert!(inside("1.2.3.4", "1.2.3.4") && !inside("1.2.3.4", "1.2.3.5"));
        assert!(inside("1.2.3.4", "::ffff:1.2.3.4"));
        assert!(inside("::ffff:1.2.3.4", "1.2.3.4") && !inside("::ffff:1.2.3.4", "1.2.3.5"));
        assert!(inside("::ffff:10.0.0.0/104", "10.9.9.9") && !inside("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(inside("::ffff:0:0/96", "8.8.8.8") && !inside("::ffff:0:0/96", "::1"));
        assert!(inside("2001:db8::/32", "2001:db8:1::1") && !inside("2001:db8::/32", "2001:db9::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("1.2.3.4/32", "1.2.3.4") && !inside("1.2.3.4/32", "1.2.3.5"));
        assert!(inside("::1/128", "::1") && !inside("::1/128", "::2"));
        for text in [
            "",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "::/129",
            "10.0.0.0/8/8",
            "10.*",
            "::ffff:10.0.0.0/95",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
