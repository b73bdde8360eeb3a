//! Why a watchdog does not start, or ends by itself.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::StartError;

/// Why a watchdog does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchdogError {
    /// The program of mode `http` does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The program of mode `http` has ended, and nobody asked it to.
    #[error("the function's program ended by itself with {0}")]
    Ended(ExitStatus),
    /// The directory of mode `static` cannot be served.
    #[error("static_path={path:?} is not a directory that can be read")]
    StaticPath {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file cannot be written.
    #[error("the lock file {path:?} cannot be written; suppress_lock=true does without it")]
    LockFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration lacks what its mode needs.
    #[error("mode {mode} needs {what}")]
    Incomplete {
        /// The mode.
        mode: crate::Mode,
        /// What it needs.
        what: &'static str,
    },
    /// The metrics cannot be set up.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] prometheus::Error),
    /// The system refused something that a watchdog needs.
    #[error("{what}")]
    System {
        /// What was refused.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// An error and its causes, as one line.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
