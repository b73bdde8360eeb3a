//! How long a call may take.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep_until};

use crate::WatchdogConfig;
use crate::duration::go_duration;
use crate::reply::Failure;

/// How long a call may take, from when it was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    started: Instant,
    first_byte: Option<Duration>,
    total: Option<(Duration, &'static str)>,
}

// === impl Limit ===

impl Limit {
    /// The limit of a call with these headers. `X-Timeout` may shorten what the function's
    /// configuration allows, and does nothing where that has no limit (of-watchdog:
    /// `executor/http_runner.go`).
    pub(crate) fn new(config: &WatchdogConfig, headers: &HeaderMap, started: Instant) -> Self {
        let asked = headers
            .get("x-timeout")
            .and_then(|value| go_duration(value.to_str().ok()?))
            .filter(|asked| !asked.is_zero());
        let allowed = config.exec_timeout.or(config.first_byte_timeout);
        let total = match (asked, allowed) {
            (Some(asked), Some(allowed)) if asked <= allowed => Some((asked, "X-Timeout")),
            _ => config.exec_timeout.map(|total| (total, "exec_timeout")),
        };
        Self {
            started,
            first_byte: config.first_byte_timeout,
            total,
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Waits until the reply should have begun. For ever when there is no limit.
    pub(crate) async fn no_reply(&self) -> Failure {
        match (self.total, self.first_byte) {
            (Some(_), _) => self.no_end().await,
            (None, Some(first_byte)) => {
                sleep_until(self.started + first_byte).await;
                Failure::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "first-byte-timeout",
                    format!("the function did not answer within {first_byte:?} (exec_timeout)"),
                )
            }
            (None, None) => std::future::pending().await,
        }
    }

    /// Waits until the call should have ended. For ever when there is no limit.
    pub(crate) async fn no_end(&self) -> Failure {
        let Some((total, knob)) = self.total else {
            return std::future::pending().await;
        };
        sleep_until(self.started + total).await;
        Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            "total-timeout",
            format!("the function did not finish within {total:?} ({knob})"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(exec_timeout: Option<&str>, asked: &str) -> Option<(Duration, &'static str)> {
        let config = WatchdogConfig::from_vars(|name| match name {
            "fprocess" => Some("cat".to_owned()),
            "exec_timeout" => exec_timeout.map(str::to_owned),
            _ => None,
        });
        let mut headers = HeaderMap::new();
        headers.insert("x-timeout", asked.parse().unwrap());
        Limit::new(&config.unwrap(), &headers, Instant::now()).total
    }

    #[test]
    fn a_caller_can_shorten_the_limit_and_never_lengthen_it() {
        let seconds = Duration::from_secs;
        assert_eq!(total(Some("20s"), "10s"), Some((seconds(10), "X-Timeout")));
        assert_eq!(
            total(Some("20s"), "21s"),
            Some((seconds(20), "exec_timeout"))
        );
        assert_eq!(total(Some("0"), "10s"), None);
        assert_eq!(total(None, "10s"), Some((seconds(10), "X-Timeout")));
        assert_eq!(total(None, "31s"), None);
    }

    #[test]
    fn a_limit_that_means_nothing_is_not_taken() {
        for asked in ["0s", "0", "-1s", "10", "soon"] {
            assert_eq!(
                total(Some("20s"), asked),
                Some((Duration::from_secs(20), "exec_timeout")),
                "{asked}"
            );
        }
    }
}
