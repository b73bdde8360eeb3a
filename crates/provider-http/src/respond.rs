//! The one place that turns outcomes into statuses, headers and bodies.
//!
//! Errors have the shape of Go's `http.Error`: one line of plain text with its newline, and
//! `X-Content-Type-Options: nosniff`. No error of a provider is JSON; clients print the body.

use std::error::Error as StdError;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use provider_types::wire::WireError;
use provider_types::{ErrorKind, NameError, Outcome, Progress, ProviderError};

/// The id that ties a reply to its log lines.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Gives each kind of failure its status. Exhaustive: a new kind stops the build here.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A refusal that the HTTP layer itself decides on.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same with another status, where the contract asks for it.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<ProviderError> for Failure {
    /// The message goes to the client, the causes to the log.
    fn from(error: ProviderError) -> Self {
        let status = status_of(error.kind());
        if status.is_server_error() && error.kind() != ErrorKind::Unsupported {
            tracing::error!(kind = ?error.kind(), causes = %causes(&error), "{error}");
        } else {
            tracing::debug!(kind = ?error.kind(), causes = %causes(&error), "{error}");
        }
        Self {
            status,
            message: error.message().to_owned(),
            retry_after: error.retry_after(),
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = text(self.status, &self.message);
        if let Some(after) = self.retry_after {
            // Whole seconds, and never 0: that would read as "at once".
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// One line of plain text, as Go's `http.Error` writes it.
pub(crate) fn text(status: StatusCode, message: &str) -> Response {
    let mut line: String = message
        .trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.push('\n');
    let mut response = Response::new(Body::from(line));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A JSON document.
pub(crate) fn json(document: impl Into<Body>) -> Response {
    let mut response = Response::new(document.into());
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An empty reply to a mutation: its status and a `Warning` header for each warning.
pub(crate) fn outcome(status: StatusCode, outcome: &Outcome) -> Response {
    let mut response = empty(status);
    for warning in &outcome.warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(warning))) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// 202 for what goes on after the reply, 200 for what is finished.
pub(crate) fn status_of_progress(progress: Progress) -> StatusCode {
    if progress == Progress::Done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

/// The text between the quotes of a quoted string: ASCII, one line (RFC 9110, 5.6.4).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if c.is_control() => out.push(' '),
            _ => out.push('?'),
        }
    }
    out
}

fn causes(error: &ProviderError) -> String {
    let mut out = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        if !out.is_empty() {
            out.push_str(": ");
        }
        out.push_str(&cause.to_string());
        next = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_kind_has_its_status_and_is_one_line_of_text() {
        for (kind, status) in [
            (ErrorKind::NotFound, 404),
            (ErrorKind::AlreadyExists, 409),
            (ErrorKind::InvalidArgument, 400),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Forbidden, 403),
            (ErrorKind::ResourceExhausted, 429),
            (ErrorKind::Unsupported, 501),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Timeout, 504),
            (ErrorKind::Internal, 500),
        ] {
            let error = ProviderError::new(kind, "two\nlines").with_cause("/host/path");
            let response = Failure::from(error).into_response();
            assert_eq!(response.status(), status, "{kind:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], TEXT, "{kind:?}");
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], NOSNIFF);
            assert!(!response.headers().contains_key(RETRY_AFTER));
            assert_eq!(body(response).await, "two lines\n", "{kind:?}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let error =
                ProviderError::unavailable("later").with_retry_after(Duration::from_millis(millis));
            let response = Failure::from(error).into_response();
            assert_eq!(response.headers()[RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn warnings_are_headers_of_a_success() {
        let done = Outcome::done().warn("say \"hi\"\n").warn("é");
        let response = outcome(StatusCode::ACCEPTED, &done);
        let warnings: Vec<_> = response.headers().get_all(WARNING).iter().collect();
        assert_eq!(response.status(), 202);
        assert_eq!(warnings, ["299 - \"say \\\"hi\\\" \"", "299 - \"?\""]);
    }
}
