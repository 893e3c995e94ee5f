//! Points in time and how lengths of time are written and read.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

/// A point on the kernel trait's monotonic clock, counted from the start of sexton.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// The point `since_start` after sexton's own start.
    #[must_use]
    pub const fn new(since_start: Duration) -> Time {
        Time(since_start)
    }

    /// The point `span` later; the end of time where that would overflow.
    #[must_use]
    pub fn after(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span))
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// How long sexton had been running at this point.
    #[must_use]
    pub fn since_start(self) -> Duration {
        self.0
    }
}

/// A length of time as people read it: `0.2s`, `12s`, `3m12s`, `2h05m`, `3d04h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        if seconds < 10 {
            write!(f, "{seconds}.{}s", self.0.subsec_millis() / 100)
        } else if minutes == 0 {
            write!(f, "{seconds}s")
        } else if hours == 0 {
            write!(f, "{minutes}m{:02}s", seconds % 60)
        } else if days == 0 {
            write!(f, "{hours}h{:02}m", minutes % 60)
        } else {
            write!(f, "{days}d{:02}h", hours % 24)
        }
    }
}

/// A length of time in seconds, to the microsecond: `72.000250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact(pub Duration);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// Reads a length of time: whole numbers with a unit, `500ms`, `5s`, `1h`, or several, `1h30m`; `0` needs no unit.
///
/// None where it is anything else, or longer than 2^64 milliseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(unit_at);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// The time of day in UTC as RFC 3339 writes it, to the second.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    utc_of(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The same for a time that is counted from 1970.
#[must_use]
pub fn utc_of(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Count years from a March, so that the leap day is the last of its year; 400 years have 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The time of day in UTC as RFC 3339 writes it, to the millisecond.
#[must_use]
pub fn utc_milliseconds(time: SystemTime) -> String {
    let of_second = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_millis();
    let mut text = utc(time);
    text.pop(); // the `Z`, which comes after the fraction
    let _ = write!(text, ".{of_second:03}Z"); // a String takes everything
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_naturally_at_every_scale() {
        let written = [
            (0, "0.0s"),
            (250, "0.2s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (192_000, "3m12s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ];
        for (milliseconds, text) in written {
            assert_eq!(Span(Duration::from_millis(milliseconds)).to_string(), text);
        }
    }

    #[test]
    fn durations_take_units_and_sums() {
        for (text, milliseconds) in
            [("500ms", 500), ("5s", 5000), ("1h30m", 5_400_000), ("0", 0), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in ["", "5", "s", "5 s", "-1s", "1.5s", "5x", "5s5", "18446744073709551615h", "٣s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_day_is_right_around_leap_days() {
        let days = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, day) in days {
            assert!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).starts_with(day), "{day}");
        }
        assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_251_199)), "2024-02-29T23:59:59Z");
    }

    #[test]
    fn time_never_overflows_or_goes_negative() {
        let end = Time::new(Duration::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(Time::default().since(end), Duration::ZERO);
    }

    #[test]
    fn the_time_of_day_has_three_digits_after_the_second() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(951_782_400_007);
        assert_eq!(utc_milliseconds(at), "2000-02-29T00:00:00.007Z");
    }
}
