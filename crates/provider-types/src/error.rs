//! What a back-end says when it cannot do what was asked. Knows no HTTP.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What kind of failure this is; `provider-http` gives each kind its status.
///
/// Exhaustive on purpose: a new kind must stop the build of whoever maps kinds to statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// What was to be created is there already.
    AlreadyExists,
    /// The request is wrong and would be wrong again.
    InvalidArgument,
    /// The request contradicts the present state: a secret in use, a namespace that is not empty.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// A quota, a limit or the host's capacity is used up.
    ResourceExhausted,
    /// This back-end does not do this.
    Unsupported,
    /// Not now; the same request may work later.
    Unavailable,
    /// It took too long.
    Timeout,
    /// The back-end's own fault.
    Internal,
}

/// A failure: a kind, a message for the client, a cause for the log.
///
/// The message goes to the client as it is: one line, no host paths, no secrets. The cause goes to
/// the log only.
///
/// ```
/// use provider_types::ProviderError;
///
/// let error = ProviderError::not_found("function: figlet.openfaas-fn not found");
/// assert!(error.is_not_found());
/// ```
pub struct ProviderError {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

impl ProviderError {
    /// A failure of the given kind with a message for the client.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                cause: None,
                retry_after: None,
            }),
        }
    }

    /// What was named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// What was to be created is there already.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::AlreadyExists, message)
    }

    /// The request is wrong and would be wrong again.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// This back-end does not do this.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Not now; the same request may work later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The back-end's own fault. Say little to the client and give the cause to the log.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.cause = Some(cause.into());
        self
    }

    /// Says when the same request is worth another try.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.inner.retry_after = Some(after);
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What the client is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// When the same request is worth another try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Whether what was named does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.inner.kind == ErrorKind::NotFound
    }

    /// Whether what was to be created is there already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.inner.kind == ErrorKind::AlreadyExists
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            message,
            cause,
            retry_after,
        } = &*self.inner;
        f.debug_struct("ProviderError")
            .field("kind", kind)
            .field("message", message)
            .field("cause", cause)
            .field("retry_after", retry_after)
            .finish()
    }
}

impl StdError for ProviderError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .cause
            .as_ref()
            .map(|cause| &**cause as &(dyn StdError + 'static))
    }
}

impl From<crate::NameError> for ProviderError {
    fn from(error: crate::NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_kept_and_not_shown() {
        let cause = std::io::Error::other("disk on fire");
        let error = ProviderError::internal("could not store the function").with_cause(cause);
        assert_eq!(error.to_string(), "could not store the function");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    }
}
