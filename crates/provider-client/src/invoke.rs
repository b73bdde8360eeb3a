//! Calls of functions.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use provider_types::DEFAULT_NAMESPACE;

use crate::address::segment;
use crate::client::{broken, checked};
use crate::{Client, Error};

/// A body to be sent: bytes, or a stream of them.
#[derive(Debug, Default)]
pub struct Body(reqwest::Body);

impl Body {
    /// A body that is sent as it comes; its end is the stream's.
    pub fn stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        Self(reqwest::Body::wrap_stream(Chunks(Box::pin(stream))))
    }
}

/// The same stream with one type of pieces.
struct Chunks<S>(Pin<Box<S>>);

impl<S, B, E> Stream for Chunks<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|piece| piece.map(Into::into)))
    }
}

macro_rules! bodies {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Body {
            fn from(bytes: $kind) -> Self {
                Self(bytes.into())
            }
        }
    )*};
}

bodies!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

/// A call of a function that is being put together. Made by [`Client::invoke`].
#[derive(Debug)]
#[must_use = "call send or send_async to make the call"]
pub struct Invocation {
    client: Client,
    function: String,
    namespace: Option<String>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
    shows_credentials: bool,
}

impl Client {
    /// Starts a call of a function: POST, with nothing in it, until told otherwise.
    ///
    /// The client's credentials are not shown to functions unless asked for: they are for the
    /// provider, and the function gets all headers.
    pub fn invoke(&self, function: impl Into<String>) -> Invocation {
        Invocation {
            client: self.clone(),
            function: function.into(),
            namespace: None,
            method: Method::POST,
            path: String::new(),
            headers: HeaderMap::new(),
            body: Body::default(),
            shows_credentials: false,
        }
    }
}

impl Invocation {
    /// The function's namespace. Without it the provider's default one is meant, whatever that is
    /// called.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The namespace that `faas-cli` and the Go SDK call if they are told none.
    pub fn default_namespace(self) -> Self {
        self.namespace(DEFAULT_NAMESPACE)
    }

    /// The method.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// What follows the function's name, as it is: a path from its slash on, and a query.
    pub fn path(mut self, path_and_query: impl Into<String>) -> Self {
        self.path = path_and_query.into();
        self
    }

    /// One more header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Shows the client's credentials to the function too.
    pub fn with_credentials(mut self) -> Self {
        self.shows_credentials = true;
        self
    }

    fn request(self, route: &str) -> (Client, String, reqwest::RequestBuilder) {
        let mut target = format!("/{route}/{}", segment(&self.function));
        if let Some(namespace) = &self.namespace {
            target.push('.');
            target.push_str(&segment(namespace));
        }
        if !self.path.is_empty() && !self.path.starts_with(['/', '?']) {
            target.push('/');
        }
        target.push_str(&self.path);
        let call = format!("{} {target}", self.method);
        let request = self
            .client
            .request(self.method, &target, self.shows_credentials)
            .headers(self.headers)
            .body(self.body.0);
        (self.client, call, request)
    }

    /// Makes the call. Whatever status the function answers with is a reply, no error; so is what
    /// the provider answers in its place, see [`Reply::is_from_provider`].
    ///
    /// # Errors
    /// When there is no reply within the client's time limit.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up.
    pub async fn send(self) -> Result<Reply, Error> {
        let (client, _, request) = self.request("function");
        client
            .in_time(async { Ok(Reply(client.send(request).await?)) })
            .await
    }

    /// Has a gateway queue the call and says under which id, if it has one.
    ///
    /// # Errors
    /// [`Error::Status`] when it is not queued: 501 where nobody queues calls.
    pub async fn send_async(self) -> Result<Option<String>, Error> {
        let (client, call, request) = self.request("async-function");
        client
            .in_time(async {
                let answer = client.send(request).await?;
                let good = [StatusCode::OK, StatusCode::ACCEPTED];
                let answer = checked(call, answer, &good).await?;
                let id = answer.headers().get("x-call-id");
                Ok(id.and_then(|id| id.to_str().ok()).map(str::to_owned))
            })
            .await
    }
}

/// A function's reply, its body as it comes.
#[derive(Debug)]
pub struct Reply(reqwest::Response);

impl Reply {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The version of HTTP that it came in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Whether the provider or a gateway answered in the function's place: there is no such
    /// function, or it does not answer.
    #[must_use]
    pub fn is_from_provider(&self) -> bool {
        self.headers().contains_key("x-openfaas-internal")
    }

    /// The next piece of the body. `None` at its end.
    ///
    /// # Errors
    /// When the body breaks off.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.chunk().await.map_err(broken)
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// When the body breaks off. It has no limit in size or time but the caller's own.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The rest of the body as text; what is no UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn text(self) -> Result<String, Error> {
        let body = self.bytes().await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The body as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        Pieces(Box::pin(self.0.bytes_stream()))
    }
}

struct Pieces(Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>);

impl Stream for Pieces {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|piece| piece.map_err(broken)))
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}
