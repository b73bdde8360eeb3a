//! One connection of a client: hyper, until a driver of our own takes its place.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use provider_proxy::Peer;
use provider_types::Resolver;
use tokio::runtime::Handle;

use super::stream::{Calls, ClientStream, Patience};
use crate::draining::Draining;
use crate::guard::Local;
use crate::service::{Front, ServiceBody, options_of_the_server, refuse};

/// Header lines of a request; with more of them it is answered 431.
const MAX_HEADERS: usize = 1024;
/// Bytes of a request's header; with more of them it is answered 431.
const MAX_HEADER_BYTES: usize = 256 * 1024;
/// How long a kept-alive connection has for one more request once the server stops. A request that
/// was under way when the server was told to stop is thus answered, with `Connection: close`.
const LAST_CALL: Duration = Duration::from_secs(1);

/// What the connections of a worker share.
pub(super) struct Shared<R: Resolver> {
    pub(super) front: Front<R>,
    pub(super) control: Handle,
    pub(super) draining: Draining,
    pub(super) http: http1::Builder,
    pub(super) patience: Patience,
}

/// How hyper is to treat connections. It sets a timer for each request's header, which costs more
/// than all else that it does for a small call: [`ClientStream`] keeps to that time instead.
pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    http
}

/// Serves a connection to its end. Where it was upgraded, it goes on without this.
pub(super) async fn serve<R: Resolver>(
    shared: Arc<Shared<R>>,
    stream: ClientStream,
    calls: Calls,
    peer: Option<SocketAddr>,
    local: Local,
) {
    let peer = Arc::new(peer.map_or_else(Peer::unix, Peer::from));
    let http = shared.http.clone();
    let draining = shared.draining.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        let peer = Arc::clone(&peer);
        let call = calls.begin();
        async move {
            let response = answer(&shared, &peer, local, request).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                call.upgraded();
            }
            Ok::<_, Infallible>(response.map(|body| body.counted(call)))
        }
    });
    let mut connection = pin!(
        http.serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let mut stopping = pin!(draining.begun());
    let mut waits = false;
    let served = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        // It wakes this task once it waits: asking it again before that is of no use.
        if waits && !draining.has_begun() {
            return Poll::Pending;
        }
        waits = true;
        ready!(stopping.as_mut().poll(cx));
        Poll::Ready(None)
    });
    let ended = match served.await {
        Some(ended) => ended,
        None => match tokio::time::timeout(LAST_CALL, connection.as_mut()).await {
            Ok(ended) => ended,
            Err(_) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "connection ended early"
        );
    }
}

async fn answer<R: Resolver>(
    shared: &Shared<R>,
    peer: &Peer,
    local: Local,
    request: Request<Incoming>,
) -> Response<ServiceBody> {
    if let Some(refusal) = refuse(&request).or_else(|| options_of_the_server(&request)) {
        return refusal;
    }
    let mut response = shared
        .front
        .answer(Some(peer), request, Some((&shared.control, local)))
        .await;
    if shared.draining.has_begun() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
