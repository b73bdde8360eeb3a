//! Times as the Go SDK writes them: whole seconds, or a Go duration such as `1m30s`.
//!
//! Source of the rules: `faas-provider: types/read_config.go` and Go's `time.ParseDuration`.

use std::time::Duration;

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Neither whole seconds nor a duration.
    Syntax,
    /// Below zero.
    Negative,
    /// More than 290 years, which Go cannot hold either.
    TooLong,
}

/// Reads whole seconds (`30`) or a Go duration (`1m30s`, `250ms`, `1.5h`).
pub(super) fn seconds_or_duration(text: &str) -> Result<Duration, Wrong> {
    if let Some(seconds) = whole(text)? {
        return Ok(Duration::from_secs(seconds));
    }
    go_duration(text)
}

/// A decimal integer as Go's `strconv.Atoi` takes it; `None` when it is not one.
fn whole(text: &str) -> Result<Option<u64>, Wrong> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match digits.parse::<u64>() {
        Ok(0) => Ok(Some(0)),
        Ok(_) if negative => Err(Wrong::Negative),
        Ok(seconds) if seconds <= i64::MAX as u64 / 1_000_000_000 => Ok(Some(seconds)),
        _ => Err(Wrong::TooLong),
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn go_duration(text: &str) -> Result<Duration, Wrong> {
    let (negative, mut rest) = sign(text);
    if rest.is_empty() {
        return Err(Wrong::Syntax);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(Wrong::Syntax)?;
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
            _ => return Err(Wrong::Syntax),
        };
        nanos = nanos
            .checked_add(scaled(number, scale)?)
            .ok_or(Wrong::TooLong)?;
        rest = tail;
    }
    let nanos = u64::try_from(nanos).map_err(|_| Wrong::TooLong)?;
    if nanos > i64::MAX as u64 {
        Err(Wrong::TooLong)
    } else if negative && nanos > 0 {
        Err(Wrong::Negative)
    } else {
        Ok(Duration::from_nanos(nanos))
    }
}

/// `1.25` of a unit of `scale` nanoseconds, what is below a nanosecond cut off.
fn scaled(number: &str, scale: u128) -> Result<u128, Wrong> {
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    if (before.is_empty() && after.is_empty()) || after.contains('.') {
        return Err(Wrong::Syntax);
    }
    let mut nanos = match before {
        "" => 0,
        digits => digits
            .parse::<u128>()
            .ok()
            .and_then(|whole| whole.checked_mul(scale))
            .ok_or(Wrong::TooLong)?,
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
            ("", Wrong::Syntax),
            ("-", Wrong::Syntax),
            ("ten", Wrong::Syntax),
            ("10 s", Wrong::Syntax),
            ("1.5", Wrong::Syntax),
            ("1d", Wrong::Syntax),
            ("s", Wrong::Syntax),
            (".s", Wrong::Syntax),
            ("1.2.3s", Wrong::Syntax),
            ("1s2", Wrong::Syntax),
            ("-5", Wrong::Negative),
            ("-5s", Wrong::Negative),
            ("99999999999", Wrong::TooLong),
            ("99999999999999999999", Wrong::TooLong),
            ("9999999999h", Wrong::TooLong),
        ] {
            assert_eq!(seconds_or_duration(text), Err(why), "{text}");
        }
    }
}
