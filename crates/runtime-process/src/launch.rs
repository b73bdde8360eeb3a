//! What the provider and the watchdog of one instance say to each other: [`Outset`], an empty line
//! when its instance is about to start, and [`Launch`] down, [`Report`]s up, a line of JSON each,
//! over the socket that is the watchdog's standard input. The provider's end closing is the
//! lifeline: it means that the provider is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use provider_watchdog::{ConfigError, Environment, WatchdogConfig};
use serde::{Deserialize, Serialize};

use crate::readiness::Readiness;
use crate::sandbox::Rules;

/// What a watchdog is told at once: all that is known before it is known what it will run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outset {
    /// What its instance must not touch; `None` where it may touch what its user may.
    pub(crate) hidden: Option<Vec<PathBuf>>,
}

/// Everything else that the watchdog of one instance needs to know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The program's absolute path and its arguments; empty in the mode `static`.
    pub(crate) command: Vec<String>,
    /// Where the program runs.
    pub(crate) working_dir: PathBuf,
    /// The program's environment, all of it but what a call adds.
    pub(crate) environment: BTreeMap<String, String>,
    /// How the watchdog works.
    pub(crate) settings: Settings,
    /// How it says that it is ready.
    pub(crate) readiness: Readiness,
    /// Where the watchdog makes its socket; may be longer than a socket's address.
    pub(crate) socket_dir: PathBuf,
    /// Where the watchdog writes itself into the control groups that hold the instance to its
    /// limits.
    pub(crate) groups: Vec<PathBuf>,
    /// What the instance may touch, where it may not touch everything.
    pub(crate) rules: Rules,
}

/// How a watchdog works.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The function's own variables: `mode`, time limits and so on.
    pub(crate) variables: BTreeMap<String, String>,
    /// Where the program is expected that listens itself.
    pub(crate) listens: Option<SocketAddr>,
    /// The wait for a reply, where the function sets no limit.
    pub(crate) first_byte_timeout: Duration,
    /// Silence on a connection, where the function sets no limit.
    pub(crate) idle_timeout: Duration,
}

/// What the watchdog tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Calls may come.
    Ready,
    /// Calls may not come, or not yet; why, for the status.
    Unready(String),
    /// It cannot run; why, for the status.
    Failed(String),
    /// The program that was to stay has exited with this code.
    ExitedWith(i32),
    /// The program that was to stay was ended by this signal.
    KilledBy(i32),
    /// The CPU time that it has used, with everything it started: its last word.
    Used(Duration),
}

impl Settings {
    /// The configuration of the watchdog, but for what runs and where.
    pub(crate) fn watchdog_config(&self) -> Result<WatchdogConfig, ConfigError> {
        let own = |name: &str| self.variables.get(name).filter(|value| !value.is_empty());
        let mut config = WatchdogConfig::from_vars(|name| match name {
            // What runs was found out already.
            "fprocess" => Some("program".to_owned()),
            "function_process" | "http_upstream_url" => None,
            "upstream_url" => self.listens.map(|address| format!("http://{address}")),
            // Where it listens is not the function's to say.
            "port" | "metrics_port" => None,
            _ => own(name).cloned(),
        })?;
        if own("exec_timeout").is_none() {
            config.first_byte_timeout = Some(self.first_byte_timeout);
        }
        if own("read_timeout").is_none() {
            config.read_timeout = Some(self.idle_timeout);
        }
        if own("write_timeout").is_none() {
            config.write_timeout = self.idle_timeout;
        }
        // Nobody asks for its health: calls stop before it is told to.
        config.healthcheck_interval = Duration::ZERO;
        config.lock_file = None;
        config.announce = false;
        Ok(config)
    }
}

impl Launch {
    /// The whole configuration of the watchdog.
    pub(crate) fn watchdog_config(&self) -> Result<WatchdogConfig, ConfigError> {
        let mut config = self.settings.watchdog_config()?;
        config.command.clone_from(&self.command);
        config.environment = Environment::from_iter(self.environment.clone());
        config.working_dir = Some(self.working_dir.clone());
        // Relative to where the function is, and without one that very place.
        config.static_path = match self.settings.variables.get("static_path") {
            Some(path) => self.working_dir.join(path),
            None => self.working_dir.clone(),
        };
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            listens: None,
            first_byte_timeout: Duration::from_secs(61),
            idle_timeout: Duration::from_secs(300),
        }
    }

    #[test]
    fn the_providers_budgets_hold_where_the_function_sets_none() {
        let config = settings(&[("port", "5000")]).watchdog_config().unwrap();
        assert_eq!(config.first_byte_timeout, Some(Duration::from_secs(61)));
        assert_eq!(config.exec_timeout, None);
        assert_eq!(config.write_timeout, Duration::from_secs(300));
        let config = settings(&[("exec_timeout", "2s"), ("write_timeout", "3")]);
        let config = config.watchdog_config().unwrap();
        assert_eq!(config.exec_timeout, Some(Duration::from_secs(2)));
        assert_eq!(config.first_byte_timeout, None);
        assert_eq!(config.write_timeout, Duration::from_secs(3));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let error = settings(&[("exec_timeout", "soon")])
            .watchdog_config()
            .unwrap_err();
        assert!(error.to_string().contains("exec_timeout"), "{error}");
    }
}
