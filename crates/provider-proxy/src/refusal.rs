//! What the caller is told when the reply does not come from the function.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use provider_types::ResolveError;

use crate::body::ProxyBody;
use crate::budgets::Budgets;

/// `X-OpenFaaS-Internal`: the reply was made by the platform. `faas-provider: proxy/proxy.go`.
const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
/// Why, for a machine.
const REASON: HeaderName = HeaderName::from_static("x-openfaas-reason");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// What went wrong with a call: the value of `X-OpenFaaS-Reason`, and a label for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// 404: there is no such function.
    FunctionNotFound,
    /// 503 with `Retry-After`: it exists and no replica is ready.
    NotReady,
    /// 429 with `Retry-After`: all replicas are at their limit.
    Overloaded,
    /// 400: the path leads out of the function.
    BadPath,
    /// 503 with `Retry-After`: no replica got ready within [`Budgets::resolve`].
    ResolveTimeout,
    /// 502: the replica takes no connection.
    ConnectFailed,
    /// 504: the replica took no connection within [`Budgets::connect`].
    ConnectTimeout,
    /// 502: the replica closed the connection before it had replied; or, after the head of the
    /// reply, a body that ends too early.
    UpstreamClosed,
    /// 502: the reply is not HTTP, or contradicts itself.
    UpstreamInvalid,
    /// 504: no reply within [`Budgets::first_byte`].
    FirstByteTimeout,
    /// 408 while the caller was to send; after the head of the reply, a body that ends too early:
    /// silence for [`Budgets::idle`].
    IdleTimeout,
    /// 504, or a body that ends too early: longer than [`Budgets::total`].
    TotalTimeout,
    /// 400: the request's body broke off or was malformed.
    RequestAborted,
    /// 502: the replica speaks a protocol that this proxy does not.
    Unsupported,
    /// 500: a fault of the resolver.
    Internal,
    /// No status: the caller left before the end. Never sent, only observed.
    ClientLeft,
}

impl Reason {
    /// As it stands in `X-OpenFaaS-Reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FunctionNotFound => "function-not-found",
            Self::NotReady => "not-ready",
            Self::Overloaded => "overloaded",
            Self::BadPath => "bad-path",
            Self::ResolveTimeout => "resolve-timeout",
            Self::ConnectFailed => "connect-failed",
            Self::ConnectTimeout => "connect-timeout",
            Self::UpstreamClosed => "upstream-closed",
            Self::UpstreamInvalid => "upstream-invalid",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::TotalTimeout => "total-timeout",
            Self::RequestAborted => "request-aborted",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::ClientLeft => "client-left",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::FunctionNotFound => StatusCode::NOT_FOUND,
            Self::BadPath | Self::RequestAborted | Self::ClientLeft => StatusCode::BAD_REQUEST,
            Self::IdleTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady | Self::ResolveTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed
            | Self::UpstreamClosed
            | Self::UpstreamInvalid
            | Self::Unsupported => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply of our own.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// More for the caller, a sentence: no host paths.
    detail: Option<String>,
    retry_after: Option<Duration>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            retry_after: None,
        }
    }
}

impl Refusal {
    pub(crate) fn with_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::from(reason)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// What a resolver's error tells the caller. The cause of an internal one is not for it.
    pub(crate) fn of_resolver(error: &ResolveError) -> Self {
        match error {
            ResolveError::NotFound => Self::from(Reason::FunctionNotFound),
            ResolveError::NotReady {
                retry_after,
                reason,
            } => Self {
                detail: reason.clone(),
                retry_after: *retry_after,
                ..Self::from(Reason::NotReady)
            },
            ResolveError::TimedOut { reason } => Self {
                detail: reason.clone(),
                ..Self::from(Reason::ResolveTimeout)
            },
            ResolveError::Overloaded { retry_after } => Self {
                retry_after: *retry_after,
                ..Self::from(Reason::Overloaded)
            },
            _ => Self::from(Reason::Internal),
        }
    }

    /// The reply, for a function named as the caller named it.
    pub(crate) fn into_response(self, function: &str, budgets: &Budgets) -> Response<ProxyBody> {
        let knobs = &budgets.knobs;
        let said =
            |words: &str, budget: Duration, knob: &str| format!("{words} {budget:?} ({knob})");
        let own = match self.reason {
            Reason::ResolveTimeout => Some(said(
                "No replica was ready within",
                budgets.resolve,
                &knobs.resolve,
            )),
            Reason::ConnectTimeout => Some(said(
                "It took no connection within",
                budgets.connect,
                &knobs.connect,
            )),
            Reason::FirstByteTimeout => Some(said(
                "It sent no reply within",
                budgets.first_byte,
                &knobs.first_byte,
            )),
            Reason::IdleTimeout => Some(said(
                "The caller sent nothing for",
                budgets.idle,
                &knobs.idle,
            )),
            Reason::TotalTimeout => budgets
                .total
                .map(|total| said("The call was not done within", total, &knobs.total)),
            Reason::ConnectFailed => Some("It takes no connection".into()),
            Reason::UpstreamClosed => Some("It closed the connection without a reply".into()),
            Reason::UpstreamInvalid => Some("Its reply is not valid HTTP/1.1".into()),
            _ => None,
        };
        let detail = match (self.reason, own, self.detail) {
            // What the call waited for comes after the budget that it waited through.
            (Reason::ResolveTimeout | Reason::TotalTimeout, Some(own), Some(detail)) => {
                Some(format!("{own}: {detail}"))
            }
            (_, own, detail) => detail.or(own),
        };
        let mut text = match self.reason {
            Reason::BadPath => "The path leads out of the function".into(),
            Reason::RequestAborted | Reason::ClientLeft => {
                "The body of the request broke off or is malformed".into()
            }
            Reason::Internal => format!("Failed to resolve service: {function}"),
            Reason::FunctionNotFound if function.is_empty() => {
                "Provide function name in the request path: /function/NAME".into()
            }
            Reason::FunctionNotFound | Reason::NotReady | Reason::ResolveTimeout => {
                format!("No endpoints available for: {function}")
            }
            Reason::Overloaded => format!("All replicas are at their limit for: {function}"),
            _ => format!("Can't reach service for: {function}"),
        };
        text.push('.');
        if let Some(detail) = detail {
            text.push(' ');
            // One line, whatever a resolver wrote.
            text.extend(detail.chars().map(|c| if c.is_control() { ' ' } else { c }));
            if !text.ends_with('.') {
                text.push('.');
            }
        }
        text.push('\n');

        let mut response = Response::new(ProxyBody::text(text));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        headers.insert(INTERNAL, HeaderValue::from_static("proxy"));
        headers.insert(REASON, HeaderValue::from_static(self.reason.as_str()));
        if matches!(
            self.reason,
            Reason::NotReady | Reason::ResolveTimeout | Reason::Overloaded
        ) {
            // Whole seconds, and never 0, which would be an invitation to hammer.
            let after = self.retry_after.unwrap_or(Duration::from_secs(1));
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}
