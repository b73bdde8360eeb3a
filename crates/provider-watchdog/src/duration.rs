//! Durations as the Go SDK and the watchdogs write them.

use std::time::Duration;

/// Reads a number of whole seconds (`30`) or a Go duration (`1m30s`, `1.5h`, `300ms`).
/// None for anything else, a negative one among it.
pub(crate) fn seconds_or_duration(text: &str) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => go_duration(text),
    }
}

/// Reads a Go duration: numbers with a unit each, from `h` to `ns`. Go: `time.ParseDuration`,
/// without negative ones.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_ends = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_ends);
        total = total.checked_add(one(number, nanoseconds(unit)?)?)?;
        rest = next;
    }
    Some(total)
}

/// A number of units as a duration; exact for whole numbers, to the nanosecond for fractions.
fn one(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut nanos = match whole {
        "" => 0,
        digits => u128::from(digits.parse::<u64>().ok()?) * u128::from(unit),
    };
    let mut scale = u128::from(unit);
    for digit in fraction.chars() {
        scale /= 10;
        nanos += u128::from(digit.to_digit(10)?) * scale;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_and_go_durations_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("250ms", 250),
            ("1000us", 1),
            ("1000µs", 1),
            ("1000000ns", 1),
            ("+2s", 2_000),
        ] {
            assert_eq!(
                seconds_or_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_not_a_duration() {
        for text in [
            "",
            " ",
            "-1",
            "-1s",
            "s",
            ".s",
            "1.2.3s",
            "1",
            "1x",
            "5 s",
            "1s ",
            "1e3s",
            "∞",
            "99999999999999999999h",
            "0x10s",
        ] {
            assert_eq!(go_duration(text), None, "{text}");
        }
        assert_eq!(seconds_or_duration("99999999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn what_go_writes_is_read(hours in 0_u64..1000, minutes in 0_u64..60, millis in 0_u64..60_000) {
            let (seconds, rest) = (millis / 1000, millis % 1000);
            let text = format!("{hours}h{minutes}m{seconds}.{rest:03}s");
            let want = Duration::from_millis((hours * 60 + minutes) * 60_000 + millis);
            prop_assert_eq!(go_duration(&text), Some(want));
        }

        #[test]
        fn no_text_is_too_strange(text in "[0-9a-zµ.+ -]{0,30}") {
            let _read = seconds_or_duration(&text);
        }
    }
}
