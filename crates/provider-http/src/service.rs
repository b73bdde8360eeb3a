//! One service for everything: invocations go to the proxy, all else to the router.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::response::Response as AxumResponse;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use provider_proxy::{Peer, Proxy, ProxyBody};
use provider_types::Resolver;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tower::ServiceExt as _;

use crate::call::{RequestId, panicked};
use crate::guard::Local;
use crate::metrics::CallObserver;
use crate::respond;
use crate::routes::{ASYNC_FUNCTION, FUNCTION, HEALTHZ, METRICS};

const X_OPENFAAS_INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");
const X_OPENFAAS_REASON: HeaderName = HeaderName::from_static("x-openfaas-reason");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The whole provider API as a tower service, for somebody else's hyper or axum server. Made by
/// [`crate::ServerBuilder::into_service`].
///
/// The server in front has to bound the time and the size of headers, and puts a
/// [`provider_proxy::Peer`] into the request's extensions if functions are to know their callers.
/// It runs in a multi-thread or a single-thread runtime; clones share everything.
pub struct ProviderService<R: Resolver> {
    front: Arc<Front<R>>,
}

impl<R: Resolver> Clone for ProviderService<R> {
    fn clone(&self) -> Self {
        Self {
            front: Arc::clone(&self.front),
        }
    }
}

impl<R: Resolver> fmt::Debug for ProviderService<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderService").finish_non_exhaustive()
    }
}

impl<R: Resolver> ProviderService<R> {
    pub(crate) fn new(front: Front<R>) -> Self {
        Self {
            front: Arc::new(front),
        }
    }
}

impl<R, B> tower_service::Service<Request<B>> for ProviderService<R>
where
    R: Resolver,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ServiceBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let front = Arc::clone(&self.front);
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>().cloned();
            Ok(front.answer(peer.as_ref(), request, None).await)
        })
    }
}

/// What of the API a listener answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Everything.
    #[default]
    All,
    /// `/system/` and what was merged, `/metrics` and `/healthz`.
    System,
    /// `/function/` and `/healthz`.
    Functions,
    /// `/metrics` and `/healthz`.
    Metrics,
}

impl Purpose {
    fn serves(self, path: &str) -> bool {
        let function = path.starts_with(FUNCTION) || path.starts_with(ASYNC_FUNCTION);
        match self {
            Self::All => true,
            Self::System => !function,
            Self::Functions => function || path == HEALTHZ,
            Self::Metrics => path == METRICS || path == HEALTHZ,
        }
    }

    pub(crate) fn has_system_calls(self) -> bool {
        matches!(self, Self::All | Self::System)
    }
}

/// What stands behind a connection: the proxy of its worker and the router that all share.
pub(crate) struct Front<R: Resolver> {
    pub(crate) proxy: Option<Proxy<R, CallObserver>>,
    pub(crate) router: Router,
    pub(crate) purpose: Purpose,
}

impl<R: Resolver> Front<R> {
    /// Answers a request. Invocations are served in place; everything else is handed over to
    /// `control`, if there is one, so that it cannot hold up the invocations of this thread, and is
    /// told which of our addresses it came in on.
    pub(crate) async fn answer<B>(
        &self,
        peer: Option<&Peer>,
        mut request: Request<B>,
        control: Option<(&Handle, Local)>,
    ) -> Response<ServiceBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let path = request.uri().path();
        if !self.purpose.serves(path) {
            return respond::text(StatusCode::NOT_FOUND, "404 page not found")
                .map(ServiceBody::system);
        }
        if path.starts_with(FUNCTION) && path.len() > FUNCTION.len() {
            return self.invoke(peer, request).await;
        }
        if path.starts_with(ASYNC_FUNCTION) {
            return not_invoked("this provider does not queue calls yet: call /function/ instead");
        }
        let id = RequestId::of(request.headers());
        let router = self.router.clone();
        let answered = match control {
            Some((control, local)) => {
                request.extensions_mut().insert(local);
                let answer = router.oneshot(request.map(axum::body::Body::new));
                Given(control.spawn(answer)).await
            }
            None => Ok(router.oneshot(request.map(axum::body::Body::new)).await),
        };
        match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(error) => failed(&id, error),
        }
        .map(ServiceBody::system)
    }

    async fn invoke<B>(&self, peer: Option<&Peer>, request: Request<B>) -> Response<ServiceBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(proxy) = &self.proxy else {
            return not_invoked("this provider does not invoke functions");
        };
        let id = RequestId::header(request.headers()).cloned();
        match AssertUnwindSafe(proxy.call_from(peer, request))
            .catch_unwind()
            .await
        {
            Ok(response) => response.map(ServiceBody::function),
            Err(panic) => {
                let id = RequestId::given(id.as_ref());
                by_us(panicked(&id, &*panic), "internal")
            }
        }
    }
}

fn not_invoked(message: &str) -> Response<ServiceBody> {
    by_us(
        respond::text(StatusCode::NOT_IMPLEMENTED, message),
        "unsupported",
    )
}

/// Marks the reply to a call that did not come from the function, as the proxy does.
fn by_us(mut response: AxumResponse, reason: &'static str) -> Response<ServiceBody> {
    let headers = response.headers_mut();
    headers.insert(X_OPENFAAS_INTERNAL, HeaderValue::from_static("proxy"));
    headers.insert(X_OPENFAAS_REASON, HeaderValue::from_static(reason));
    response.map(ServiceBody::system)
}

/// `OPTIONS *` asks about the server itself (RFC 9110, 9.3.7).
pub(crate) fn options_of_the_server<B>(request: &Request<B>) -> Option<Response<ServiceBody>> {
    (request.method() == Method::OPTIONS && request.uri().path() == "*")
        .then(|| respond::empty(StatusCode::OK).map(ServiceBody::system))
}

fn failed(id: &RequestId, error: JoinError) -> AxumResponse {
    match error.try_into_panic() {
        Ok(panic) => panicked(id, &*panic),
        Err(_) => respond::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the provider is stopping and cut this call off",
        ),
    }
}

/// A task given to the control runtime, called off when nobody waits for it any more.
struct Given<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Given<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pin_project! {
    /// The body of a reply: a function's, or one of the provider's own.
    #[derive(Debug)]
    pub struct ServiceBody {
        #[pin]
        kind: Kind,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind {
        Function { #[pin] body: ProxyBody },
        System { #[pin] body: axum::body::Body },
    }
}

impl ServiceBody {
    fn function(body: ProxyBody) -> Self {
        Self {
            kind: Kind::Function { body },
        }
    }

    pub(crate) fn system(body: axum::body::Body) -> Self {
        Self {
            kind: Kind::System { body },
        }
    }
}

impl Body for ServiceBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProjection::Function { body } => body.poll_frame(cx).map_err(Into::into),
            KindProjection::System { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Function { body } => body.is_end_stream(),
            Kind::System { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Function { body } => body.size_hint(),
            Kind::System { body } => body.size_hint(),
        }
    }
}
