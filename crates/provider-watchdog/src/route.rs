//! What a request is: a health check, a look at the metrics, or a call of the function.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::call::{Call, CallBody};
use crate::limit::Limit;
use crate::lock::LockFile;
use crate::reply::{self, Body};
use crate::serve::{Handler, Shared};
use crate::{fork, forward, metrics};

/// Answers a request.
pub(crate) async fn route(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
) -> Response<CallBody> {
    match request.uri().path() {
        "/_/health" => shared.health(&request).map(CallBody::from),
        "/_/ready" => match shared.ready(&request).await {
            Some(status) => reply::empty(status).map(CallBody::from),
            None => {
                if let Some(path) = &shared.config.ready_path {
                    *request.uri_mut() = Uri::from(path.clone());
                }
                let (counted, _) = shared.calls.enter();
                let call = Call::new(shared, &request, counted, false);
                shared.ask(call, request).await
            }
        },
        _ => shared.answer(request).await,
    }
}

/// Answers a request for the metrics.
pub(crate) fn metrics<B>(shared: &Shared, request: &Request<B>) -> Response<Body> {
    if request.uri().path() != "/metrics" {
        return reply::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    match shared.metrics.text() {
        Ok(text) => {
            let mut response = Response::new(reply::full(text));
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

// === impl Shared ===

impl Shared {
    fn healthy(&self) -> bool {
        self.accepting.load(Ordering::Acquire)
            && (self.config.lock_file.is_none()
                || self.lock().as_ref().is_some_and(LockFile::present))
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<CallBody> {
        let (counted, now) = self.calls.enter();
        let call = Call::new(self, &request, counted, true);
        match self.config.max_inflight {
            Some(limit) if now > limit => call.answer(reply::over_limit(limit)),
            _ => self.ask(call, request).await,
        }
    }

    /// Has the function answer.
    async fn ask(self: &Arc<Self>, call: Call, request: Request<Incoming>) -> Response<CallBody> {
        let limit = Limit::new(&self.config, request.headers(), call.started());
        let response = match &self.handler {
            Handler::Fork => fork::answer(self, request, limit).await,
            Handler::Http(connections) => forward::answer(self, connections, request, limit).await,
            Handler::Static(files) => files.answer(&request).await,
        };
        call.answer(response)
    }

    fn health<B>(&self, request: &Request<B>) -> Response<Body> {
        if request.method() != Method::GET {
            return reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.healthy() {
            return reply::empty(StatusCode::SERVICE_UNAVAILABLE);
        }
        let mut response = Response::new(reply::full("OK"));
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// Whether calls may come; None when the function is to be asked itself.
    async fn ready<B>(&self, request: &Request<B>) -> Option<StatusCode> {
        if request.method() != Method::GET {
            return Some(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !self.healthy() {
            return Some(StatusCode::SERVICE_UNAVAILABLE);
        }
        let full = |limit| self.calls.count() >= limit;
        if self.config.max_inflight.is_some_and(full) {
            return Some(StatusCode::TOO_MANY_REQUESTS);
        }
        if self.config.ready_path.is_some() {
            return None;
        }
        match &self.handler {
            Handler::Http(connections) if !connections.listens().await => {
                Some(StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => Some(StatusCode::OK),
        }
    }
}
