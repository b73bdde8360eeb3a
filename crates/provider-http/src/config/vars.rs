//! Reads a [`Config`] from variables. Strict: where the Go SDK would silently fall back to its
//! default, this is an error that names the variable and what would be right.

use std::path::PathBuf;
use std::time::Duration;

use provider_proxy::TrustedProxyError;
use provider_types::{DurationError, Namespace, seconds_or_duration};

use super::{Config, Role};

/// A variable whose value cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value:?} {problem}")]
pub struct ConfigError {
    variable: &'static str,
    value: String,
    problem: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ConfigError {
    fn new(variable: &'static str, value: &str, problem: impl Into<String>) -> Self {
        Self {
            variable,
            value: value.to_owned(),
            problem: problem.into(),
            source: None,
        }
    }

    fn caused(
        variable: &'static str,
        value: &str,
        problem: &str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: Some(Box::new(cause)),
            ..Self::new(variable, value, problem)
        }
    }

    /// The variable's name.
    #[must_use]
    pub fn variable(&self) -> &str {
        self.variable
    }
}

impl Config {
    /// Reads the variables that `lookup` knows; an absent or empty one leaves the default.
    ///
    /// | Variable | Field |
    /// |---|---|
    /// | `port` | [`Config::port`] |
    /// | `role` | [`Config::role`]: `provider` or `standalone` |
    /// | `read_timeout` | [`Config::header_timeout`], [`Config::body_timeout`] and [`Config::upstream_timeout`], unless they are given |
    /// | `write_timeout` | checked, and nothing else: no reply is cut while it makes progress |
    /// | `header_timeout`, `upstream_timeout`, `idle_timeout`, `resolve_timeout`, `connect_timeout`, `total_timeout`, `drain_timeout` | the field of that name |
    /// | `max_idle_conns`, `max_idle_conns_per_host` | the field of that name; the second follows the first |
    /// | `basic_auth` | [`Config::basic_auth`]: `true` or `false` |
    /// | `secret_mount_path` | [`Config::secret_mount_path`] |
    /// | `function_namespace` | [`Config::default_namespace`] |
    /// | `allow_host`, `trusted_proxies` | lists, separated by commas |
    ///
    /// Times are whole seconds or Go durations (`90`, `1m30s`).
    ///
    /// # Errors
    /// The first variable whose value cannot be used.
    ///
    /// ```
    /// use provider_http::Config;
    ///
    /// let config = Config::from_vars(|name| (name == "read_timeout").then(|| "1m5s".to_owned()))?;
    /// assert_eq!(config.upstream_timeout.as_secs(), 65);
    ///
    /// let wrong = Config::from_vars(|name| (name == "basic_auth").then(|| "yes".to_owned()));
    /// assert_eq!(
    ///     wrong.unwrap_err().to_string(),
    ///     r#"basic_auth="yes" is neither true nor false"#
    /// );
    /// # Ok::<(), provider_http::ConfigError>(())
    /// ```
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let vars = Vars(lookup);
        let mut config = Self::default();

        if let Some((name, value)) = vars.get("port") {
            config.port = value.parse().map_err(|_| {
                ConfigError::new(name, &value, "is no TCP port: use a number from 0 to 65535")
            })?;
        }
        if let Some((name, value)) = vars.get("role") {
            config.role = value
                .parse()
                .map_err(|problem| ConfigError::new(name, &value, problem))?;
        }
        if let Some((name, value)) = vars.get("basic_auth") {
            config.basic_auth = match value.as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(ConfigError::new(name, &value, "is neither true nor false")),
            };
        }
        if let Some((_, value)) = vars.get("secret_mount_path") {
            config.secret_mount_path = PathBuf::from(value);
        }
        if let Some((name, value)) = vars.get("function_namespace") {
            config.default_namespace = Namespace::new(&value)
                .map_err(|error| ConfigError::caused(name, &value, "is no namespace", error))?;
        }
        config.allow_hosts = vars.list("allow_host");
        for proxy in vars.list("trusted_proxies") {
            let parsed = proxy.parse().map_err(|error: TrustedProxyError| {
                ConfigError::caused("trusted_proxies", &proxy, "is no proxy's address", error)
            })?;
            config.trusted_proxies.push(parsed);
        }

        vars.times(&mut config)?;
        if let Some(most) = vars.count("max_idle_conns")? {
            config.max_idle_conns = most;
            config.max_idle_conns_per_host = most;
        }
        if let Some(most) = vars.count("max_idle_conns_per_host")? {
            config.max_idle_conns_per_host = most;
        }
        Ok(config)
    }
}

impl std::str::FromStr for Role {
    type Err = &'static str;

    /// Reads `provider` or `standalone`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "provider" => Ok(Self::Provider),
            "standalone" => Ok(Self::Standalone),
            _ => Err("is no role: use provider (behind a gateway) or standalone"),
        }
    }
}

struct Vars<F>(F);

impl<F: Fn(&str) -> Option<String>> Vars<F> {
    /// A variable that is there and not empty, with its name for the error.
    fn get(&self, name: &'static str) -> Option<(&'static str, String)> {
        (self.0)(name)
            .filter(|value| !value.is_empty())
            .map(|value| (name, value))
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        let value = self.get(name).map(|(_, value)| value).unwrap_or_default();
        let parts = value.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn times(&self, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(time) = self.time("read_timeout")? {
            config.header_timeout = time;
            config.body_timeout = time;
            config.upstream_timeout = time;
        }
        // Go cuts the socket when this passes. A reply that makes progress is not cut here, so
        // the value is only held to its rules; 0 is Go's way to switch it off.
        if let Some((name, value)) = self.get("write_timeout") {
            seconds_or_duration(&value).map_err(|wrong| wrong_time(name, &value, wrong))?;
        }
        for (name, field) in [
            ("header_timeout", &mut config.header_timeout),
            ("upstream_timeout", &mut config.upstream_timeout),
            ("idle_timeout", &mut config.idle_timeout),
            ("resolve_timeout", &mut config.resolve_timeout),
            ("connect_timeout", &mut config.connect_timeout),
            ("drain_timeout", &mut config.drain_timeout),
        ] {
            if let Some(time) = self.time(name)? {
                *field = time;
            }
        }
        config.total_timeout = self.time("total_timeout")?;
        Ok(())
    }

    fn time(&self, name: &'static str) -> Result<Option<Duration>, ConfigError> {
        let Some((name, value)) = self.get(name) else {
            return Ok(None);
        };
        match seconds_or_duration(&value) {
            Ok(Duration::ZERO) => Err(ConfigError::new(
                name,
                &value,
                "would end every call at once: use a time above zero, such as 60 or 1m",
            )),
            Ok(time) => Ok(Some(time)),
            Err(wrong) => Err(wrong_time(name, &value, wrong)),
        }
    }

    fn count(&self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        let Some((name, value)) = self.get(name) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(most) if most > 0 => Ok(Some(most)),
            _ => Err(ConfigError::new(
                name,
                &value,
                "is no count: use a whole number above zero",
            )),
        }
    }
}

fn wrong_time(name: &'static str, value: &str, wrong: DurationError) -> ConfigError {
    ConfigError::new(name, value, wrong.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_vars(|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(with(&[]).unwrap(), Config::default());
        assert_eq!(
            with(&[("basic_auth", ""), ("read_timeout", "")]).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn read_timeout_stands_for_what_is_not_given() {
        let config = with(&[("read_timeout", "20"), ("header_timeout", "3s")]).unwrap();
        assert_eq!(config.header_timeout, Duration::from_secs(3));
        assert_eq!(config.upstream_timeout, Duration::from_secs(20));
        assert_eq!(config.idle_timeout, Config::default().idle_timeout);
    }

    #[test]
    fn idle_connections_per_replica_follow_the_total() {
        let config = with(&[("max_idle_conns", "7")]).unwrap();
        assert_eq!(
            (config.max_idle_conns, config.max_idle_conns_per_host),
            (7, 7)
        );
    }

    #[test]
    fn lists_are_split_at_commas() {
        let config = with(&[("allow_host", "faas.local, example.org,")]).unwrap();
        assert_eq!(config.allow_hosts, ["faas.local", "example.org"]);
    }

    #[test]
    fn a_value_that_go_would_silently_replace_is_an_error_that_names_it() {
        for (name, value) in [
            ("port", "80800"),
            ("port", "http"),
            ("port", "-1"),
            ("role", "gateway"),
            ("basic_auth", "True"),
            ("basic_auth", "1"),
            ("basic_auth", " true"),
            ("read_timeout", "ten"),
            ("read_timeout", "0"),
            ("read_timeout", "-5s"),
            ("write_timeout", "-5"),
            ("upstream_timeout", "1d"),
            ("header_timeout", "0s"),
            ("idle_timeout", "1.5"),
            ("drain_timeout", "soon"),
            ("total_timeout", "0"),
            ("max_idle_conns", "0"),
            ("max_idle_conns", "-3"),
            ("max_idle_conns_per_host", "many"),
            ("function_namespace", "../x"),
            ("trusted_proxies", "10.0.0.0/99"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            let words = error.to_string();
            assert_eq!(error.variable(), name);
            assert!(
                words.starts_with(&format!("{name}={value:?} ")),
                "{name}: {words}"
            );
        }
    }
}
