//! Replies that the watchdog makes itself.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::time::{Duration, Instant};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Says that a reply was made by the platform, and not by the function.
pub(crate) const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
/// Says why, for programs.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-openfaas-reason");
/// How long it took to the reply's header.
pub(crate) const DURATION: HeaderName = HeaderName::from_static("x-duration-seconds");

/// The value of [`INTERNAL`]; clients know it from of-watchdog (`executor/http_runner.go`).
const WATCHDOG: HeaderValue = HeaderValue::from_static("of-watchdog");
/// The same for the concurrency limit (`faas-middleware: concurrency-limiter`).
const LIMITER: HeaderValue = HeaderValue::from_static("faas-middleware");

/// Why a call has no reply of the function's.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// The value of [`REASON`].
    pub(crate) reason: &'static str,
    /// For the client, without a line end.
    pub(crate) text: String,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(status: StatusCode, reason: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            text: text.into(),
        }
    }

    /// The caller's own fault.
    pub(crate) fn of_caller(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, "internal", text)
    }

    pub(crate) fn into_response(self, started: Instant) -> Response<Body> {
        let mut response = text(self.status, &format!("{}\n", self.text));
        let headers = response.headers_mut();
        headers.insert(DURATION, seconds(started.elapsed()));
        headers.insert(INTERNAL, WATCHDOG);
        headers.insert(REASON, HeaderValue::from_static(self.reason));
        response
    }
}

/// The answer over the limit of calls at a time, as the Go limiter writes it.
pub(crate) fn over_limit(limit: usize) -> Response<Body> {
    let mut response = Response::new(full(format!(
        "Concurrent request limit exceeded. Max concurrent requests: {limit}\n"
    )));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(INTERNAL, LIMITER);
    headers.insert(REASON, HeaderValue::from_static("overloaded"));
    response
}

/// An empty reply.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A reply of text, as Go's `http.Error` writes it.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A duration as the header [`DURATION`] gives it. Go: `%f`.
pub(crate) fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("{:.6}", duration.as_secs_f64()))
        .unwrap_or(HeaderValue::from_static("0"))
}

/// Removes the headers that concern one connection only, and those that `Connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
}
