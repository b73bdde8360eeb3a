//! What happens to every call but invocations around its handler: a request id, a span, the line in
//! the log, panics, and mutations that outlive their clients.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use provider_types::Identity;
use tracing::Instrument as _;

use crate::Role;
use crate::app::App;
use crate::respond::{self, X_REQUEST_ID};

const X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a call: the client's own if it is sane, else a new one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

impl RequestId {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::given(Self::header(headers))
    }

    /// The header that names the call, if it came with one.
    pub(crate) fn header(headers: &HeaderMap) -> Option<&HeaderValue> {
        [X_REQUEST_ID, X_CALL_ID]
            .iter()
            .find_map(|name| headers.get(name))
    }

    pub(crate) fn given(id: Option<&HeaderValue>) -> Self {
        let given = id
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_sane(id));
        Self(match given {
            Some(id) => id.into(),
            None => format!("{:032x}", fastrand::u128(..)).into(),
        })
    }
}

/// Short enough for a log line, and without anything that could forge one.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// What a call turned out to be about and who made it, for the line in the log. The handler and
/// the layers fill it in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) name: Arc<OnceLock<String>>,
    pub(crate) caller: Arc<OnceLock<Identity>>,
}

/// The outermost layer of the router.
pub(crate) async fn supervise(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let subject = Subject::default();
    warn_of_gateway(&app, &request);

    let span = tracing::info_span!(
        "system_call",
        request_id = %id.0,
        %method,
        path,
        traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()),
    );
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(subject.clone());

    let begun = Instant::now();
    let answer = {
        let id = id.clone();
        async move {
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(panic) => panicked(&id, &*panic),
            }
        }
    };
    let reads = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    let mut response = if reads || !path.starts_with("/system/") {
        answer.instrument(span).await
    } else {
        let logged = async move {
            let response = answer.await;
            tracing::info!(
                target: "provider_http::mutation",
                %method,
                path,
                function = subject.name.get().map(String::as_str),
                caller = subject.caller.get().map(|caller| &*caller.name),
                status = response.status().as_u16(),
                duration_ms = begun.elapsed().as_secs_f64() * 1000.0,
                "mutation"
            );
            response
        };
        match app.mutations.spawn(logged.instrument(span)).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(request_id = %id.0, %error, "a mutation was cut off");
                respond::text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the provider is stopping and cut this call off",
                )
            }
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// The reply to a call whose handler panicked.
pub(crate) fn panicked(id: &RequestId, panic: &(dyn std::any::Any + Send)) -> Response {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(request_id = %id.0, panic = words, "a handler panicked");
    respond::text(
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("internal error; request id: {}", id.0),
    )
}

/// Tells the operator, once, that a gateway stands in front of a server in the standalone role:
/// invocations would be counted and ids be given twice.
fn warn_of_gateway(app: &App, request: &Request) {
    if app.config.role != Role::Standalone || app.gateway_met.load(Ordering::Relaxed) {
        return;
    }
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    let by_agent = agent.is_some_and(|agent| agent.starts_with(b"openfaas-ce-gateway/"));
    // What a gateway asks before every call when it scales from zero, and nobody else asks.
    let by_poll = request.uri().path().starts_with("/system/function/")
        && request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "usage=false"));
    if (by_agent || by_poll) && !app.gateway_met.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "a gateway calls this provider, which is in the standalone role; \
             use the role `provider` behind a gateway"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let with = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            RequestId::of(&headers).0.to_string()
        };
        assert_eq!(with(X_REQUEST_ID, "a-1"), "a-1");
        assert_eq!(with(X_CALL_ID, "5c1f/2"), "5c1f/2");
        for bad in ["", "a b", "a\"b", "{}", &"x".repeat(129)] {
            let id = with(X_REQUEST_ID, bad);
            assert_eq!(id.len(), 32, "{bad:?} became {id:?}");
        }
    }
}
