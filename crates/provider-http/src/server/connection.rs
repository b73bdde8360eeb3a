//! One connection of a client: what its requests are answered with.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use provider_http1::{Patience, RequestBody, Socket, Stop};
use provider_proxy::Peer;
use provider_types::Resolver;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::draining::Draining;
use crate::guard::Local;
use crate::service::{Front, ServiceBody, options_of_the_server};

/// What the connections of a worker share.
pub(super) struct Shared<R: Resolver> {
    pub(super) front: Front<R>,
    pub(super) control: Handle,
    pub(super) draining: Draining,
    pub(super) patience: Patience,
}

impl Stop for Draining {
    fn has_begun(&self) -> bool {
        Self::has_begun(self)
    }

    fn begun(&self) -> impl Future<Output = ()> + Send {
        Self::begun(self)
    }
}

/// Serves a connection to its end. It counts as open until its socket is closed: where it was
/// upgraded, after this.
pub(super) async fn serve<R: Resolver>(
    shared: Arc<Shared<R>>,
    socket: Socket,
    open: TaskTrackerToken,
    peer: Option<SocketAddr>,
    local: Local,
) {
    let peer = peer.map_or_else(Peer::unix, Peer::from);
    let answer = |request| answer(&shared, &peer, local, request);
    provider_http1::serve(
        socket,
        Box::new(open),
        shared.patience,
        &shared.draining,
        answer,
    )
    .await;
}

async fn answer<R: Resolver>(
    shared: &Shared<R>,
    peer: &Peer,
    local: Local,
    request: Request<RequestBody>,
) -> Response<ServiceBody> {
    if let Some(answer) = options_of_the_server(&request) {
        return answer;
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
