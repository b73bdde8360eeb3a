//! What a watchdog is to do, and the variables that say so.
//!
//! The names and defaults are those of `of-watchdog: config/config.go`; where a value of one of
//! them would be guessed or dropped there, it is an error here. An empty value counts as not set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;
use thiserror::Error;

use crate::CommandError;

mod vars;

/// How calls reach the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// One long-running program that listens by itself; calls are forwarded to it.
    Http,
    /// A process per call: the body goes to its stdin as it arrives, its stdout is the reply as
    /// it is written.
    Streaming,
    /// A process per call: the body is read whole first, and the reply is sent once it has ended.
    Serializing,
    /// Files below a directory; no program.
    Static,
}

/// Where the program of mode `http` listens: plain HTTP, with an optional path put before every
/// request's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A host name or address, without brackets.
    pub host: String,
    /// The port, 80 unless stated.
    pub port: u16,
    /// What comes before the request's path; empty or `/like/this`.
    pub prefix: String,
}

/// A function's environment variables. `Debug` shows their names only, as values are secrets
/// often enough.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// What a watchdog is to do.
///
/// [`WatchdogConfig::from_vars`] reads it from variables; all fields can be changed afterwards.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatchdogConfig {
    /// How calls reach the program.
    pub mode: Mode,
    /// The program and its arguments; empty in mode `static`.
    pub command: Vec<String>,
    /// The program's whole environment. Empty until the caller fills it.
    pub environment: Environment,
    /// Where the program starts; None is where the watchdog runs.
    pub working_dir: Option<PathBuf>,
    /// Where the program of mode `http` listens.
    pub upstream: Option<Upstream>,
    /// The port to listen on; 0 is any free one. Only the caller that binds listeners uses it.
    pub port: u16,
    /// The port of the metrics; 0 is any free one. Only the caller that binds listeners uses it.
    pub metrics_port: u16,
    /// Bounds reading a request's header, and silence while its body arrives. None is no bound.
    pub read_timeout: Option<Duration>,
    /// Bounds how long a client may take nothing of a reply, and how long a drain waits for calls.
    pub write_timeout: Duration,
    /// Bounds the wait for the first byte of a reply; used while `exec_timeout` is None.
    pub first_byte_timeout: Option<Duration>,
    /// Bounds a whole call. None is no bound.
    pub exec_timeout: Option<Duration>,
    /// How long a drain keeps serving, so that health checks notice first.
    pub healthcheck_interval: Duration,
    /// How many calls may run at a time; None is any number.
    pub max_inflight: Option<usize>,
    /// Whether a program's log lines get the date and the name of the stream in front.
    pub prefix_logs: bool,
    /// Longer log lines are cut into pieces of this many bytes, each but the last marked as cut.
    pub log_buffer_size: usize,
    /// Whether the line of a call ends in its `X-Call-Id`.
    pub log_call_id: bool,
    /// The replies' `Content-Type` in the modes that start a process per call.
    pub content_type: HeaderValue,
    /// Whether stderr joins the reply, in the modes that start a process per call.
    pub combine_output: bool,
    /// Whether a process per call gets the `Http_*` variables.
    pub cgi_headers: bool,
    /// Whether mode `http` reads a request's body whole before it forwards it.
    pub buffer_request: bool,
    /// How many bytes may be held at once where a body has to be read whole.
    pub max_buffered_bytes: usize,
    /// The directory of mode `static`.
    pub static_path: PathBuf,
    /// What `/_/ready` asks the function for; None is not to ask it.
    pub ready_path: Option<PathAndQuery>,
    /// A file that exists while the watchdog takes calls.
    pub lock_file: Option<PathBuf>,
    /// Whether to reap orphans that were adopted, once a second. For a process that is pid 1 or
    /// called [`crate::tree::adopt_orphans`] and starts no children but the watchdog's.
    pub reap_orphans: bool,
    /// Whether the log begins with what runs where and under which limits. Turn it off where
    /// somebody else tells the operator and the log is the function's alone.
    pub announce: bool,
    /// What the operator should know, a line each; logged at start.
    pub warnings: Vec<String>,
}

/// Why the variables make no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that cannot be used.
    #[error("{variable}={value:?} is not usable: {wanted}")]
    Value {
        /// The variable, as it was spelled.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A variable without which the mode cannot work.
    #[error("{variable} is not set: {wanted}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What it is for.
        wanted: &'static str,
    },
    /// The command cannot be split into arguments.
    #[error("{variable} is not usable")]
    Command {
        /// The variable, as it was spelled.
        variable: &'static str,
        /// Why.
        source: CommandError,
    },
}

impl WatchdogConfig {
    /// Reads the variables of of-watchdog, and those of the classic watchdog that have a meaning
    /// here. The crate's README has the table. The function's `environment` stays empty.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first variable that is missing or has a value that means nothing.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        vars::read(&lookup)
    }
}

// === impl Mode ===

impl Mode {
    /// The mode's name, as `mode` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Streaming => "streaming",
            Self::Serializing => "serializing",
            Self::Static => "static",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Environment ===

impl Environment {
    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl Upstream ===

impl FromStr for Upstream {
    /// What would be right.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "give a plain HTTP address such as http://127.0.0.1:5000";
        let uri: http::Uri = text.parse().map_err(|_| WANTED)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(WANTED);
        }
        let authority = uri.authority().ok_or(WANTED)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(WANTED);
        }
        // A port that is no number is None here; without this check it would become 80.
        if authority.as_str() != authority.host() && authority.port_u16().is_none() {
            return Err(WANTED);
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
