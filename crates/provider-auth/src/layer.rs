//! The tower layer that lets in only who an [`Authenticator`] knows.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Authenticator;

/// The body of the 401, without a newline (`faas-provider`: `auth/basic_auth.go`).
const REFUSAL: &str = "invalid credentials";

/// Puts an [`Authenticator`] in front of a service.
///
/// A request that proves who calls goes on with a [`provider_types::Identity`] in its extensions.
/// Any other is answered with 401, `WWW-Authenticate` as [`Authenticator::challenge`] says, and the
/// text `invalid credentials`; the service behind does not see it, and its body is not read.
#[derive(Clone)]
pub struct AuthLayer {
    authenticator: Arc<dyn Authenticator>,
}

impl AuthLayer {
    /// A layer that asks this authenticator.
    #[must_use]
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self { authenticator }
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService {
            inner,
            authenticator: Arc::clone(&self.authenticator),
        }
    }
}

/// A service behind an [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    authenticator: Arc<dyn Authenticator>,
}

impl<S: fmt::Debug> fmt::Debug for AuthService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, B, ResBody> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<AuthBody<ResBody>>;
    type Error = S::Error;
    type Future = AuthFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let state = match self.authenticator.authenticate(request.headers()) {
            Ok(identity) => {
                request.extensions_mut().insert(identity);
                FutureState::Passed {
                    future: self.inner.call(request),
                }
            }
            Err(error) => {
                tracing::debug!(
                    method = %request.method(),
                    path = request.uri().path(),
                    reason = %error,
                    "request refused"
                );
                FutureState::Refused {
                    challenge: self.authenticator.challenge(),
                }
            }
        };
        AuthFuture { state }
    }
}

pin_project! {
    /// The answer of an [`AuthService`].
    #[derive(Debug)]
    pub struct AuthFuture<F> {
        #[pin]
        state: FutureState<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = FutureProjection]
    enum FutureState<F> {
        Passed { #[pin] future: F },
        Refused { challenge: HeaderValue },
    }
}

impl<F, ResBody, E> Future for AuthFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<AuthBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            FutureProjection::Passed { future } => future.poll(cx).map_ok(|response| {
                response.map(|body| AuthBody {
                    state: BodyState::Passed { body },
                })
            }),
            FutureProjection::Refused { challenge } => Poll::Ready(Ok(refusal(challenge.clone()))),
        }
    }
}

fn refusal<B>(challenge: HeaderValue) -> Response<AuthBody<B>> {
    let mut response = Response::new(AuthBody {
        state: BodyState::Refused {
            text: Some(Bytes::from_static(REFUSAL.as_bytes())),
        },
    });
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, challenge);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

pin_project! {
    /// The body of an [`AuthService`]'s answer: that of the service behind it, or the refusal.
    #[derive(Debug)]
    pub struct AuthBody<B> {
        #[pin]
        state: BodyState<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = BodyProjection]
    enum BodyState<B> {
        Passed { #[pin] body: B },
        Refused { text: Option<Bytes> },
    }
}

impl<B: Body<Data = Bytes>> Body for AuthBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().state.project() {
            BodyProjection::Passed { body } => body.poll_frame(cx),
            BodyProjection::Refused { text } => {
                Poll::Ready(text.take().map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            BodyState::Passed { body } => body.is_end_stream(),
            BodyState::Refused { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            BodyState::Passed { body } => body.size_hint(),
            BodyState::Refused { text } => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}
