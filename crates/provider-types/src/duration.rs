//! Times as the Go SDK writes them: whole seconds, or a Go duration such as `1m30s`.
//!
//! Source of the rules: `faas-provider: types/read_config.go` and Go's `time.ParseDuration`.

use std::fmt;
use std::time::Duration;

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// Neither whole seconds nor a duration.
    Syntax,
    /// Below zero.
    Negative,
    /// More than 290 years, which Go cannot hold either.
    TooLong,
}

impl DurationError {
    /// What is wrong and what would be right, to stand behind the text that it is about.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "is no time: use whole seconds (90) or a duration (1m30s)",
            Self::Negative => "is below zero: use whole seconds (90) or a duration (1m30s)",
            Self::TooLong => "is longer than 290 years",
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for DurationError {}

/// Reads whole seconds (`30`) or a Go duration (`1m30s`, `250ms`, `1.5h`).
///
/// # Errors
/// When it is neither, is below zero, or is longer than Go can hold.
pub fn seconds_or_duration(text: &str) -> Result<Duration, DurationError> {
    if let Some(seconds) = whole(text)? {
        return Ok(Duration::from_secs(seconds));
    }
    go_duration(text)
}

/// A decimal integer as Go's `strconv.Atoi` takes it; `None` when it is not one.
fn whole(text: &str) -> Result<Option<u64>, DurationError> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse::<u64>() {
        Ok(0) => Ok(Some(0)),
        Ok(_) if negative => Err(DurationError::Negative),
        Ok(seconds) if seconds <= i64::MAX as u64 / 1_000_000_000 => Ok(Some(seconds)),
        _ => Err(DurationError::TooLong),
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn go_duration(text: &str) -> Result<Duration, DurationError> {
    let (negative, mut rest) = sign(text);
    if rest.is_empty() {
        return Err(DurationError::Syntax);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(DurationError::Syntax)?;
        let (number, tail) = rest.split_at(number);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::Syntax),
        };
        nanos = nanos
            .checked_add(scaled(number, scale)?)
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    let nanos = u64::try_from(nanos).map_err(|_| DurationError::TooLong)?;
    if nanos > i64::MAX as u64 {
        Err(DurationError::TooLong)
    } else if negative && nanos > 0 {
        Err(DurationError::Negative)
    } else {
        Ok(Duration::from_nanos(nanos))
    }
}

/// `1.25` of a unit of `scale` nanoseconds, what is below a nanosecond cut off.
fn scaled(number: &str, scale: u128) -> Result<u128, DurationError> {
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    if (before.is_empty() && after.is_empty()) || after.contains('.') {
        return Err(DurationError::Syntax);
    }
    let mut nanos = match before {
        "" => 0,
        digits => digits
            .parse::<u128>()
            .ok()
            .and_then(|whole| whole.checked_mul(scale))
            .ok_or(DurationError::TooLong)?,
    };
    let mut part = scale;
    for digit in after.bytes() {
        part /= 10;
        nanos += u128::from(digit - b'0') * part;
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_seconds_and_the_rest_is_a_go_duration() {
        for (text, expected) in [
            ("0", Duration::ZERO),
            ("30", Duration::from_secs(30)),
            ("+5", Duration::from_secs(5)),
            ("-0", Duration::ZERO),
            ("10s", Duration::from_secs(10)),
            ("1m5s", Duration::from_secs(65)),
            ("1h", Duration::from_secs(3600)),
            ("1.5m", Duration::from_secs(90)),
            (".5s", Duration::from_millis(500)),
            ("2.s", Duration::from_secs(2)),
            ("250ms", Duration::from_millis(250)),
            ("10us", Duration::from_micros(10)),
            ("10µs", Duration::from_micros(10)),
            ("7ns", Duration::from_nanos(7)),
        ] {
            assert_eq!(seconds_or_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, why) in [
            ("", DurationError::Syntax),
            ("-", DurationError::Syntax),
            ("ten", DurationError::Syntax),
            ("10 s", DurationError::Syntax),
            ("1.5", DurationError::Syntax),
            ("1d", DurationError::Syntax),
            ("s", DurationError::Syntax),
            (".s", DurationError::Syntax),
            ("1.2.3s", DurationError::Syntax),
            ("1s2", DurationError::Syntax),
            ("-5", DurationError::Negative),
            ("-5s", DurationError::Negative),
            ("99999999999", DurationError::TooLong),
            ("99999999999999999999", DurationError::TooLong),
            ("9999999999h", DurationError::TooLong),
        ] {
            assert_eq!(seconds_or_duration(text), Err(why), "{text}");
        }
    }
}
