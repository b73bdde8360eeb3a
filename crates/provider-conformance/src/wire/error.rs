//! Why no answer came.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why there is no answer, or no whole one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Nobody listens.
    #[error("no connection to {to}")]
    Connect {
        /// The address.
        to: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection was closed before a byte of the answer.
    #[error("the connection was closed without an answer")]
    Closed,
    /// The connection broke or was closed within the answer.
    #[error("the answer breaks off: {0}")]
    Broken(String),
    /// What came is no HTTP/1.1.
    #[error("the answer is not valid HTTP/1.1: {0}")]
    Malformed(String),
    /// Nothing came in time.
    #[error("no {what} within {limit:?}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
}

impl WireError {
    /// Whether the connection ended: nothing came, or not everything.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Closed | Self::Broken(_))
    }
}
