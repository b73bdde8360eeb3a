//! What decides who a caller is.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use provider_types::Identity;

/// Why a request was not let in. The client is told none of it; it is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no `Authorization` header.
    #[error("no credentials were given")]
    Missing,
    /// There are several `Authorization` headers: which one counts would be a guess.
    #[error("more than one Authorization header was given")]
    Repeated,
    /// The scheme is not one that this authenticator reads.
    #[error("the authorization scheme is not supported here")]
    UnknownScheme,
    /// The scheme is right, what follows cannot be read.
    #[error("the credentials are malformed")]
    Malformed,
    /// They were read and are not valid.
    #[error("the credentials are not valid")]
    Invalid,
}

/// Decides from a request's headers who calls.
///
/// It is asked on every protected request, so it answers from memory: what needs a remote party is
/// looked up beforehand. It compares secrets in constant time. [`crate::BasicAuth`] is one; another
/// may ask several in turn:
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use provider_auth::{AuthError, Authenticator, BasicAuth, Credentials};
/// use provider_types::Identity;
///
/// /// Whoever either of two knows.
/// struct Either<A, B>(A, B);
///
/// impl<A: Authenticator, B: Authenticator> Authenticator for Either<A, B> {
///     fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
///         self.0.authenticate(headers).or_else(|_| self.1.authenticate(headers))
///     }
///
///     fn challenge(&self) -> HeaderValue {
///         self.0.challenge()
///     }
/// }
///
/// let operators = BasicAuth::new([Credentials::new("admin", "s3cr3t")?]);
/// let machines = BasicAuth::new([Credentials::new("ci", "t0ken")?]);
/// let either = Either(operators, machines);
///
/// let mut headers = HeaderMap::new();
/// headers.insert("authorization", HeaderValue::from_static("Basic Y2k6dDBrZW4="));
/// assert_eq!(either.authenticate(&headers), Ok(Identity::new("ci")));
/// # Ok::<(), provider_auth::CredentialsError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say who a caller is",
    note = "implement `provider_auth::Authenticator`, or use `provider_auth::BasicAuth`"
)]
pub trait Authenticator: Send + Sync + 'static {
    /// Who calls.
    ///
    /// # Errors
    /// When the headers do not prove who calls.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError>;

    /// The `WWW-Authenticate` header of the 401: what a caller should bring.
    fn challenge(&self) -> HeaderValue;
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        (**self).authenticate(headers)
    }

    fn challenge(&self) -> HeaderValue {
        (**self).challenge()
    }
}

const _: fn(&dyn Authenticator) = |_| {};
