//! How long calls wait for a replica, how many of them, and how many replicas there may be.

use std::time::Duration;

use provider_engine::EngineConfig;
use provider_types::seconds_or_duration;

use crate::failure::Failure;

/// The bounds of the engine that the environment can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How long a call waits for a free replica.
    pub(crate) queue_wait: Duration,
    /// How many calls of one function may wait.
    pub(crate) queue_length: usize,
    /// How long an instance may take to get ready.
    pub(crate) ready_timeout: Duration,
    /// The most replicas of one function.
    pub(crate) max_replicas: u64,
}

impl Bounds {
    /// Reads the variables; one that is not set leaves the engine's default.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let defaults = EngineConfig::new("");
        let time = |name: &str, default: Duration| match variable(name) {
            None => Ok(default),
            Some(text) => match seconds_or_duration(&text) {
                Ok(Duration::ZERO) => Err(wrong(name, &text, "must be above 0")),
                Ok(time) => Ok(time),
                Err(error) => Err(wrong(name, &text, error.as_str())),
            },
        };
        let count =
            |name: &str, default: u64| match variable(name) {
                None => Ok(default),
                Some(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                    wrong(name, &text, "is no count: use a whole number above zero")
                }),
            };
        let queue_length = u64::try_from(defaults.route.queue_len).unwrap_or(u64::MAX);
        let queue_length = count("queue_length", queue_length)?;
        Ok(Self {
            queue_wait: time("queue_wait", defaults.route.queue_wait)?,
            queue_length: usize::try_from(queue_length).unwrap_or(usize::MAX),
            ready_timeout: time("ready_timeout", defaults.ready_timeout)?,
            max_replicas: count("max_replicas", defaults.max_replicas)?,
        })
    }

    /// Sets them.
    pub(crate) fn apply(&self, config: &mut EngineConfig) {
        config.route.queue_wait = self.queue_wait;
        config.route.queue_len = self.queue_length;
        config.ready_timeout = self.ready_timeout;
        config.max_replicas = self.max_replicas;
    }
}

fn wrong(name: &str, value: &str, problem: &str) -> Failure {
    Failure::usage(format!("{name}={value:?} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Bounds, String> {
        Bounds::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_set_reaches_the_engine_and_the_rest_stays() {
        let bounds = read(&[
            ("queue_wait", "250ms"),
            ("queue_length", "7"),
            ("ready_timeout", "90"),
            ("max_replicas", "3"),
        ]);
        let mut config = EngineConfig::new("");
        bounds.unwrap().apply(&mut config);
        assert_eq!(config.route.queue_wait, Duration::from_millis(250));
        assert_eq!((config.route.queue_len, config.max_replicas), (7, 3));
        assert_eq!(config.ready_timeout, Duration::from_secs(90));

        let mut config = EngineConfig::new("");
        read(&[]).unwrap().apply(&mut config);
        assert_eq!(config.route, EngineConfig::new("").route);
    }

    #[test]
    fn a_wrong_value_says_which_and_why() {
        for (name, bad) in [
            ("queue_wait", "soon"),
            ("queue_wait", "0"),
            ("ready_timeout", "-1s"),
            ("queue_length", "0"),
            ("queue_length", "many"),
            ("max_replicas", "-3"),
        ] {
            let said = read(&[(name, bad)]).unwrap_err();
            assert!(said.starts_with(&format!("{name}={bad:?} ")), "{said}");
        }
    }
}
