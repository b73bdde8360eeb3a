//! The variables, one by one.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::{ConfigError, Environment, Mode, Upstream, WatchdogConfig};
use crate::command::split_command;
use crate::duration::seconds_or_duration;

/// `of-watchdog: config/config.go`
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_STATIC_PATH: &str = "/home/app/public";
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";
/// Ours; of-watchdog cannot log lines over 64 KiB.
const DEFAULT_LOG_BUFFER: usize = 1024 * 1024;
/// What `log_buffer_size=-1` (no bound) comes to.
const UNBOUNDED_LOG_BUFFER: usize = 64 * 1024 * 1024;
/// Ours; of-watchdog has no bound.
const DEFAULT_MAX_BUFFERED: usize = 100 * 1024 * 1024;

const WANT_DURATION: &str = "give whole seconds (30) or a duration (30s, 1m30s, 500ms)";
const WANT_BOOL: &str = "give true or false (1, t, 0 and f are understood too)";
const WANT_PORT: &str = "give a port from 0 to 65535, where 0 is any free one";

/// Of the classic watchdog: they print or wrap whole messages, which is not done here.
const UNSUPPORTED: [&str; 4] = [
    "write_debug",
    "read_debug",
    "debug_headers",
    "marshal_request",
];

struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

pub(super) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<WatchdogConfig, ConfigError> {
    let vars = Vars(lookup);
    if vars.switch(&["jwt_auth"], false)? {
        // Dropping it would open a function that was meant to be closed.
        return Err(ConfigError::Value {
            variable: "jwt_auth",
            value: vars.text("jwt_auth").unwrap_or_default(),
            wanted: "this watchdog does not check tokens; remove it and protect the function elsewhere",
        });
    }

    let mode = vars.mode()?;
    let write_timeout = vars
        .duration("write_timeout")?
        .unwrap_or(Some(DEFAULT_TIMEOUT));
    let write_timeout = write_timeout.ok_or_else(|| ConfigError::Value {
        variable: "write_timeout",
        value: vars.text("write_timeout").unwrap_or_default(),
        wanted: "it has to be over 0s",
    })?;
    // What nobody set bounds the wait for a reply, never the reply of a function that goes on.
    let (first_byte_timeout, exec_timeout) = match vars.duration("exec_timeout")? {
        None => (Some(DEFAULT_TIMEOUT), None),
        Some(total) => (None, total),
    };

    Ok(WatchdogConfig {
        mode,
        command: vars.command(mode)?,
        environment: Environment::default(),
        working_dir: None,
        upstream: vars.upstream(mode)?,
        port: vars.port("port", 8080)?,
        metrics_port: vars.port("metrics_port", 8081)?,
        read_timeout: vars
            .duration("read_timeout")?
            .unwrap_or(Some(DEFAULT_TIMEOUT)),
        write_timeout,
        first_byte_timeout,
        exec_timeout,
        healthcheck_interval: match vars.duration("healthcheck_interval")? {
            None => write_timeout,
            Some(interval) => interval.unwrap_or(Duration::ZERO),
        },
        max_inflight: vars
            .number(
                "max_inflight",
                "give how many calls may run at a time; 0 is any number",
            )?
            .filter(|limit| *limit > 0),
        prefix_logs: vars.switch(&["prefix_logs"], true)?,
        log_buffer_size: vars.log_buffer_size()?,
        log_call_id: vars.switch(&["log_callid", "log_call_id"], false)?,
        content_type: vars
            .parsed("content_type", "give a content type such as text/plain")?
            .unwrap_or(HeaderValue::from_static(DEFAULT_CONTENT_TYPE)),
        combine_output: vars.switch(&["combine_output", "combined_output"], false)?,
        cgi_headers: vars.switch(&["cgi_headers"], true)?,
        buffer_request: vars.switch(&["http_buffer_req_body"], false)?
            || vars.switch(&["buffer_http"], false)?,
        max_buffered_bytes: vars
            .number("max_buffered_bytes", "give a number of bytes, at least 1")?
            .unwrap_or(DEFAULT_MAX_BUFFERED),
        static_path: PathBuf::from(
            vars.text("static_path")
                .unwrap_or_else(|| DEFAULT_STATIC_PATH.to_owned()),
        ),
        ready_path: vars.ready_path()?,
        lock_file: vars.lock_file()?,
        reap_orphans: false,
        announce: true,
        warnings: vars.warnings(),
    })
}

// === impl Vars ===

impl Vars<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The first of several spellings that is set.
    fn any(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names
            .iter()
            .find_map(|name| self.text(name).map(|value| (*name, value)))
    }

    fn parsed<T: FromStr>(
        &self,
        variable: &'static str,
        wanted: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(variable) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(ConfigError::Value {
                variable,
                value,
                wanted,
            }),
        }
    }

    fn number(
        &self,
        variable: &'static str,
        wanted: &'static str,
    ) -> Result<Option<usize>, ConfigError> {
        self.parsed(variable, wanted)
    }

    fn port(&self, variable: &'static str, default: u16) -> Result<u16, ConfigError> {
        Ok(self.parsed(variable, WANT_PORT)?.unwrap_or(default))
    }

    /// None: not set. Some(None): set to 0, which switches a bound off.
    fn duration(&self, variable: &'static str) -> Result<Option<Option<Duration>>, ConfigError> {
        let Some(value) = self.text(variable) else {
            return Ok(None);
        };
        match seconds_or_duration(&value) {
            Some(duration) => Ok(Some(Some(duration).filter(|d| !d.is_zero()))),
            None => Err(ConfigError::Value {
                variable,
                value,
                wanted: WANT_DURATION,
            }),
        }
    }

    /// Go: `strconv.ParseBool`.
    fn switch(&self, names: &[&'static str], default: bool) -> Result<bool, ConfigError> {
        let Some((variable, value)) = self.any(names) else {
            return Ok(default);
        };
        match value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(ConfigError::Value {
                variable,
                value,
                wanted: WANT_BOOL,
            }),
        }
    }

    fn mode(&self) -> Result<Mode, ConfigError> {
        let Some(value) = self.text("mode") else {
            return Ok(Mode::Streaming);
        };
        let wanted = match value.as_str() {
            "http" => return Ok(Mode::Http),
            "streaming" => return Ok(Mode::Streaming),
            "serializing" => return Ok(Mode::Serializing),
            "static" => return Ok(Mode::Static),
            "inproc" => {
                "a function inside the watchdog exists only as a Go library; \
                 give http, streaming, serializing or static"
            }
            "afterburn" => "it was never finished; mode=http does what it was meant for",
            _ => "give http, streaming, serializing or static",
        };
        Err(ConfigError::Value {
            variable: "mode",
            value,
            wanted,
        })
    }

    fn command(&self, mode: Mode) -> Result<Vec<String>, ConfigError> {
        if mode == Mode::Static {
            return Ok(Vec::new());
        }
        let Some((variable, value)) = self.any(&["function_process", "fprocess"]) else {
            return Err(ConfigError::Missing {
                variable: "fprocess",
                wanted: "give the function's program and its arguments, such as fprocess=\"node index.js\"",
            });
        };
        split_command(&value).map_err(|source| ConfigError::Command { variable, source })
    }

    fn upstream(&self, mode: Mode) -> Result<Option<Upstream>, ConfigError> {
        if mode != Mode::Http {
            return Ok(None);
        }
        let Some((variable, value)) = self.any(&["http_upstream_url", "upstream_url"]) else {
            return Err(ConfigError::Missing {
                variable: "upstream_url",
                wanted: "mode=http needs the address at which the program listens, such as http://127.0.0.1:5000",
            });
        };
        match value.parse() {
            Ok(upstream) => Ok(Some(upstream)),
            Err(wanted) => Err(ConfigError::Value {
                variable,
                value,
                wanted,
            }),
        }
    }

    fn log_buffer_size(&self) -> Result<usize, ConfigError> {
        const WANTED: &str = "give a number of bytes, at least 1, or -1 for lines of any length";
        match self.text("log_buffer_size").as_deref() {
            Some("-1") => Ok(UNBOUNDED_LOG_BUFFER),
            Some("0") => Err(ConfigError::Value {
                variable: "log_buffer_size",
                value: "0".to_owned(),
                wanted: WANTED,
            }),
            _ => Ok(self
                .number("log_buffer_size", WANTED)?
                .unwrap_or(DEFAULT_LOG_BUFFER)),
        }
    }

    fn ready_path(&self) -> Result<Option<PathAndQuery>, ConfigError> {
        const WANTED: &str = "give a path that starts with /, such as /ready";
        match self.text("ready_path") {
            Some(value) if !value.starts_with('/') => Err(ConfigError::Value {
                variable: "ready_path",
                value,
                wanted: WANTED,
            }),
            _ => self.parsed("ready_path", WANTED),
        }
    }

    fn lock_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        if self.switch(&["suppress_lock"], false)? {
            return Ok(None);
        }
        let directory = self.text("TMPDIR").unwrap_or_else(|| "/tmp".to_owned());
        Ok(Some(PathBuf::from(directory).join(".lock")))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for name in UNSUPPORTED {
            // A value that is no boolean was not meant to switch it off.
            if self.text(name).is_some() && self.switch(&[name], true).unwrap_or(true) {
                warnings.push(format!(
                    "{name} of the classic watchdog is not supported and has no effect"
                ));
            }
        }
        warnings
    }
}
