//! Why a call gave nothing.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use provider_types::wire::WireError;
use thiserror::Error;

/// Why a call gave nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the provider is none.
    #[error("{url:?} is no address of a provider: {problem}")]
    #[non_exhaustive]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// What was to be sent cannot be: a header or a target that HTTP does not have.
    #[error("the request cannot be made")]
    Request(#[source] reqwest::Error),
    /// Nobody answers there.
    #[error("no connection to {url}")]
    #[non_exhaustive]
    Connect {
        /// Where to.
        url: String,
        /// What the system said.
        source: reqwest::Error,
    },
    /// The connection broke, or what came on it is no HTTP.
    #[error("the connection broke")]
    Transport(#[source] reqwest::Error),
    /// The answer did not come in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is a refusal.
    #[error(transparent)]
    Status(Box<Refused>),
    /// The answer says that all is well, and is not what it should be.
    #[error("the answer to {call} cannot be read")]
    #[non_exhaustive]
    Decode {
        /// What was asked: method and path.
        call: String,
        /// What came.
        body: Bytes,
        /// What is wrong with it.
        source: WireError,
    },
    /// The answer is larger than anything that is read whole.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Error {
    /// The status of the answer, if there was one that refused.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(refused) => Some(refused.status),
            _ => None,
        }
    }

    /// Whether what was asked for does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether what was to be made exists.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether credentials are missing or wrong.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(StatusCode::UNAUTHORIZED)
    }
}

/// An answer that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// What was asked: method and path.
    pub call: String,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body: a line of text, as providers write it.
    pub body: Bytes,
}

impl Refused {
    /// The body as text without its newline.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    /// When to try again, where the answer says so in seconds. RFC 9110 10.2.3.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER).map(HeaderValue::to_str);
        seconds?.ok()?.parse().ok().map(Duration::from_secs)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.status)?;
        match self.text() {
            text if text.is_empty() => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

impl std::error::Error for Refused {}
