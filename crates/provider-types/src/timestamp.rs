//! Times as the wire writes them: RFC 3339, nanoseconds, as Go's `time.Time` does in JSON.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from Go's zero time, `0001-01-01T00:00:00Z`, to the Unix epoch.
const GO_ZERO: i64 = -62_135_596_800;
/// `0000-01-01T00:00:00Z`, the first second that can be written.
const FIRST: i64 = -62_167_219_200;
/// `9999-12-31T23:59:59Z`, the last one.
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// A moment that reads and shows itself as RFC 3339.
///
/// It is shown in UTC with up to nine fractional digits, trailing zeros left out. The wire has room
/// for the years 0 to 9999; a moment outside them is shown as the nearest that fits.
///
/// ```
/// use provider_types::Timestamp;
///
/// let time: Timestamp = "2026-03-01T12:00:00.250+02:00".parse()?;
/// assert_eq!(time.to_string(), "2026-03-01T10:00:00.25Z");
/// # Ok::<(), provider_types::TimestampError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(SystemTime);

/// A text that is no RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampError(());

impl Timestamp {
    /// Reads `2006-01-02T15:04:05Z`, with a fraction and an offset where there are any.
    ///
    /// # Errors
    /// When the text has another form, or names a day or an hour that does not exist.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        read(text.as_bytes())
            .and_then(|(seconds, nanos)| at(seconds, nanos))
            .map(Self)
            .ok_or(TimestampError(()))
    }

    /// The moment itself.
    #[must_use]
    pub fn system_time(self) -> SystemTime {
        self.0
    }

    /// `None` is Go's zero time: on the wire it stands for a time that was never set.
    pub(crate) fn unless_zero(self) -> Option<SystemTime> {
        (parts(self.0) != (GO_ZERO, 0)).then_some(self.0)
    }

    /// The text of a time that may never have been set.
    pub(crate) fn to_wire(time: Option<SystemTime>) -> String {
        match time {
            Some(time) => Self(time).to_string(),
            None => "0001-01-01T00:00:00Z".to_owned(),
        }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = match parts(self.0) {
            (seconds, _) if seconds < FIRST => (FIRST, 0),
            (seconds, _) if seconds > LAST => (LAST, 999_999_999),
            fits => fits,
        };
        let (year, month, day) = date_of(seconds.div_euclid(DAY));
        let clock = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an RFC 3339 time such as 2006-01-02T15:04:05Z")
    }
}

impl std::error::Error for TimestampError {}

/// Whole seconds since the Unix epoch, rounded down, and the nanoseconds above them.
fn parts(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (
            i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, i64::wrapping_neg);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

/// The other way; `None` where the system cannot hold the moment.
fn at(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    start?.checked_add(Duration::new(0, nanos))
}

/// The civil date of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years are
/// counted from March, so that the leap day is a year's last, in eras of 400 years.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The other way.
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads the whole text: seconds since the Unix epoch and nanoseconds.
fn read(text: &[u8]) -> Option<(i64, u32)> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(after(rest, b'-')?, 2)?;
    let (day, rest) = number(after(rest, b'-')?, 2)?;
    // Go takes an hour of one digit and a comma before the fraction, so clients may send them.
    let rest = after(rest, b'T')?;
    let (hour, rest) = number(rest, 2).or_else(|| number(rest, 1))?;
    let (minute, rest) = number(after(rest, b':')?, 2)?;
    let (second, rest) = number(after(rest, b':')?, 2)?;
    let (nanos, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    let exists = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let clock = hour * 3600 + minute * 60 + second;
    exists.then(|| (day_of(year, month, day) * DAY + clock - offset, nanos))
}

fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    match text.split_first() {
        Some((&first, rest)) if first == byte => Some(rest),
        _ => None,
    }
}

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for &byte in head {
        value = value * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some((value, rest))
}

/// Digits past the ninth are dropped, as Go drops them.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = after(text, b'.').or_else(|| after(text, b',')) else {
        return Some((0, text));
    };
    let end = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, place| {
        nanos * 10 + digits.get(place).map_or(0, |b| u32::from(b - b'0'))
    });
    Some((nanos, rest))
}

/// Seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2)?;
    let (minutes, rest) = number(after(rest, b':')?, 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then(|| sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn shows(text: &str, shown: &str) {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), shown);
    }

    #[test]
    fn fractions_are_trimmed_and_offsets_become_utc() {
        shows("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
        shows("2026-11-22T15:00:00.120000Z", "2026-11-22T15:00:00.12Z");
        shows("2026-11-22T00:30:00+01:00", "2026-11-21T23:30:00Z");
        shows("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z");
        shows("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z");
        shows("2026-11-22T5:00:00,25Z", "2026-11-22T05:00:00.25Z");
        shows("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z");
        shows("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
        shows(
            "9999-12-31T23:59:59.999999999999Z",
            "9999-12-31T23:59:59.999999999Z",
        );
    }

    #[test]
    fn only_rfc_3339_is_a_time() {
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22 15:00:00Z",
            "2026-11-22T15:00:00",
            "2026-11-22t15:00:00z",
            "2026-11-22T15:00:00 02:00",
            "2026-11-22T15:00:00.Z",
            "2026-11-22T:00:00Z",
            "2026-11-22T015:00:00Z",
            "2026-11-22T15:00:00+24:00",
            "2026-11-22T15:00:00+0200",
            "2026-13-22T15:00:00Z",
            "2026-00-22T15:00:00Z",
            "2025-02-29T15:00:00Z",
            "2026-11-31T15:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T15:00:60Z",
            "2026-11-22T15:00:00Zz",
            "+026-11-22T15:00:00Z",
        ] {
            assert!(Timestamp::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_time_that_does_not_fit_is_shown_as_the_nearest_that_does() {
        let late = at(LAST + 5, 7).unwrap();
        assert_eq!(
            Timestamp(late).to_string(),
            "9999-12-31T23:59:59.999999999Z"
        );
        let early = at(FIRST - 5, 7).unwrap();
        assert_eq!(Timestamp(early).to_string(), "0000-01-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(seconds in FIRST..=LAST, nanos in 0u32..1_000_000_000) {
            let time = Timestamp(at(seconds, nanos).unwrap());
            prop_assert_eq!(parts(time.0), (seconds, nanos));
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
