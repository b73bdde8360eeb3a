//! How much is kept of what functions write.

use std::time::Duration;

use provider_engine::LogLimits;
use provider_types::{Quantity, seconds_or_duration};

use crate::args::Args;
use crate::failure::Failure;

/// Below these a segment would hold next to nothing.
const LEAST_BYTES: u64 = 128 * 1024;
const LEAST_TOTAL: u64 = 1024 * 1024;

/// Reads flags and variables; what is not given stays the engine's default.
pub(crate) fn read(
    args: &Args,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<LogLimits, Failure> {
    let mut limits = LogLimits::default();
    let given = |flag: &Option<String>, name: &str| flag.clone().or_else(|| variable(name));
    let bytes = |flag, name, least: u64| match given(flag, name) {
        None => Ok(None),
        Some(text) => match Quantity::parse(&text).map(|quantity| quantity.bytes()) {
            Ok(bytes) if bytes >= least => Ok(Some(bytes)),
            Ok(_) => Err(wrong(
                name,
                &text,
                &format!("must be at least {}Ki", least / 1024),
            )),
            Err(_) => Err(wrong(
                name,
                &text,
                "is no number of bytes: use one such as 64Mi or 2Gi",
            )),
        },
    };
    if let Some(bytes) = bytes(&args.log_bytes, "log_bytes", LEAST_BYTES)? {
        limits.function_bytes = bytes;
    }
    if let Some(bytes) = bytes(&args.log_total_bytes, "log_total_bytes", LEAST_TOTAL)? {
        limits.total_bytes = bytes;
    }
    if let Some(text) = given(&args.log_age, "log_age") {
        limits.function_age = match seconds_or_duration(&text) {
            Ok(Duration::ZERO) => None,
            Ok(age) => Some(age),
            Err(error) => return Err(wrong("log_age", &text, error.as_str())),
        };
    }
    Ok(limits)
}

fn wrong(name: &str, value: &str, problem: &str) -> Failure {
    let flag = name.replace('_', "-");
    Failure::usage(format!("--{flag}, or {name}, {value:?} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(bytes: &str, age: &str, total: &str) -> Result<LogLimits, String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let args = Args {
            log_bytes: some(bytes),
            log_age: some(age),
            log_total_bytes: some(total),
            ..Args::default()
        };
        read(&args, |name| {
            (name == "log_total_bytes").then(|| "3Gi".into())
        })
        .map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_win_over_variables_and_those_over_defaults() {
        let limits = given("1Mi", "0", "").unwrap();
        assert_eq!(limits.function_bytes, 1024 * 1024);
        assert_eq!(limits.function_age, None);
        assert_eq!(limits.total_bytes, 3 * 1024 * 1024 * 1024);
        let limits = given("", "90m", "5M").unwrap();
        assert_eq!(limits.function_age, Some(Duration::from_secs(5_400)));
        assert_eq!(limits.total_bytes, 5_000_000);
        assert_eq!(limits.function_bytes, LogLimits::default().function_bytes);
    }

    #[test]
    fn a_wrong_value_says_which_and_why() {
        for (bytes, age, total, words) in [
            (
                "lots",
                "",
                "",
                "--log-bytes, or log_bytes, \"lots\" is no number of bytes",
            ),
            ("-1", "", "", "is no number of bytes"),
            ("1Ki", "", "", "must be at least 128Ki"),
            ("", "", "1000", "must be at least 1024Ki"),
            ("", "old", "", "--log-age, or log_age, \"old\" is no time"),
        ] {
            let said = given(bytes, age, total).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
