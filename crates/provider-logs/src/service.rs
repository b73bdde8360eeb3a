//! `GET /system/logs` and nothing else, as a tower service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use provider_types::{
    CallContext, ErrorKind, Identity, LogRequest, LogSource, NameRule, Namespace, ProviderError,
};
use tower_service::Service;

use crate::{LogBody, LogQuery, log_response};

const PATH: &str = "/system/logs";

/// Serves `GET /system/logs` from a source, alone: for a program that has logs and no functions.
///
/// A program with the other routes too uses `provider-http`, which answers the same. Nothing here
/// asks for credentials; put `provider_auth::AuthLayer` around it. Clones share the source.
///
/// | | |
/// |---|---|
/// | 200 | `application/x-ndjson`, see [`LogBody`] |
/// | 400 | `name` is missing, or a name breaks its rule |
/// | 404 | the source does not know the function; another path |
/// | 405 | another method |
/// | 422 | `could not parse the log request`, see [`LogQuery::parse`] |
/// | 500, 501, 503 | the source failed |
#[derive(Clone)]
pub struct LogService {
    source: Arc<dyn LogSource>,
    default_namespace: Namespace,
    name_rule: NameRule,
}

impl LogService {
    /// Serves what this source has. A function's name is a DNS label, and the namespace is
    /// [`provider_types::DEFAULT_NAMESPACE`] where a client names none.
    pub fn new(source: impl LogSource) -> Self {
        Self {
            source: Arc::new(source),
            default_namespace: Namespace::default(),
            name_rule: NameRule::default(),
        }
    }

    /// The namespace of clients that name none.
    #[must_use]
    pub fn default_namespace(mut self, namespace: Namespace) -> Self {
        self.default_namespace = namespace;
        self
    }

    /// Which names functions may have.
    #[must_use]
    pub fn name_rule(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    fn request(&self, uri: &Uri, caller: Option<Identity>) -> Result<LogRequest, Refusal> {
        let query = LogQuery::parse(uri.query().unwrap_or_default())
            .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
        let context = CallContext::default().with_caller(caller);
        query
            .into_request(context, &self.default_namespace, self.name_rule)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))
    }
}

impl fmt::Debug for LogService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogService")
            .field("default_namespace", &self.default_namespace)
            .field("name_rule", &self.name_rule)
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for LogService {
    type Response = Response<Either<LogBody, Full<Bytes>>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asked = if request.uri().path() != PATH {
            Err(Refusal::new(StatusCode::NOT_FOUND, "404 page not found"))
        } else if request.method() != Method::GET {
            Err(Refusal::empty(StatusCode::METHOD_NOT_ALLOWED))
        } else {
            let caller = request.extensions().get::<Identity>().cloned();
            self.request(request.uri(), caller)
        };
        let source = Arc::clone(&self.source);
        Box::pin(async move {
            let request = match asked {
                Ok(request) => request,
                Err(refusal) => return Ok(refusal.into_response()),
            };
            let function = request.function.clone();
            match source.query(request).await {
                Ok(stream) => Ok(log_response(stream, &function).map(Either::Left)),
                Err(error) => Ok(Refusal::from(error).into_response()),
            }
        })
    }
}

/// A reply that is no stream: text and a newline, as Go's `http.Error` writes it.
struct Refusal {
    status: StatusCode,
    text: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self {
            status,
            text,
            retry_after: None,
        }
    }

    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            text: String::new(),
            retry_after: None,
        }
    }

    fn into_response(self) -> Response<Either<LogBody, Full<Bytes>>> {
        let is_empty = self.text.is_empty();
        let mut response = Response::new(Either::Right(Full::from(self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !is_empty {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, and never 0: that would read as "at once".
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

/// The statuses that `provider-http` gives these errors too, which decides them for a whole
/// provider.
impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::warn!(error = &error as &dyn std::error::Error, "log query failed");
        }
        let mut refusal = Self::new(status, error.message());
        refusal.retry_after = error.retry_after();
        refusal
    }
}
