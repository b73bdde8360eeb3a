//! Mode `http`: one long-running program, to which calls are forwarded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, TE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on as upgrade_of};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::error::causes;
use crate::gauge::Counted;
use crate::limit::Limit;
use crate::reply::{self, Body, BoxError, Failure};
use crate::request_body::{BodyError, RequestBody};
use crate::serve::Shared;
use crate::upstream::{Connections, InUse, UpstreamError};

/// Answers a call with the program's reply.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    connections: &Arc<Connections>,
    request: Request<Incoming>,
    limit: Limit,
) -> Response<Body> {
    let forwarded = async {
        let (request, client) = outgoing(shared, connections, request).await?;
        let (response, connection) = connections
            .send(request)
            .await
            .map_err(|error| unanswered(&error))?;
        Ok(incoming(shared, response, connection, client, limit))
    };
    let reply = tokio::select! {
        reply = forwarded => reply,
        failure = limit.no_reply() => Err(failure),
    };
    match reply {
        Ok(mut response) => {
            let took = limit.started().elapsed();
            response
                .headers_mut()
                .insert(reply::DURATION, reply::seconds(took));
            response
        }
        Err(failure) => {
            shared.logs.note(&failure.text);
            failure.into_response(limit.started())
        }
    }
}

/// The request as the program gets it, and the client's side of an upgrade that it asks for.
async fn outgoing(
    shared: &Shared,
    connections: &Connections,
    mut request: Request<Incoming>,
) -> Result<(Request<Body>, Option<OnUpgrade>), Failure> {
    let protocol = upgrade_asked(request.headers());
    let client = protocol.is_some().then(|| upgrade_of(&mut request));
    let (mut parts, incoming) = request.into_parts();

    let trailers = parts.headers.get(TE).is_some_and(|te| {
        let te = te.as_bytes().to_ascii_lowercase();
        te.windows(8).any(|word| word == b"trailers")
    });
    reply::remove_hop_by_hop(&mut parts.headers);
    // Answered here, when the body is asked for.
    parts.headers.remove(EXPECT);
    if let Some(protocol) = protocol {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    } else if trailers {
        parts
            .headers
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let prefix = connections.prefix();
    let target = if prefix.is_empty() || target == "*" {
        target.to_owned()
    } else {
        format!("{prefix}{target}")
    };
    parts.uri = target.parse::<Uri>().map_err(|_| {
        Failure::of_caller(
            StatusCode::BAD_REQUEST,
            "the request's path cannot be forwarded",
        )
    })?;
    parts.version = http::Version::HTTP_11;

    let body = RequestBody::new(incoming, shared.config.read_timeout);
    let body = if shared.config.buffer_request {
        let whole = body.whole(shared.config.max_buffered_bytes).await;
        reply::full(whole.map_err(BodyError::into_failure)?)
    } else {
        body.map_err(BodyError::boxed).boxed_unsync()
    };
    Ok((Request::from_parts(parts, body), client))
}

/// The program's reply as the client gets it.
fn incoming(
    shared: &Arc<Shared>,
    mut response: Response<Incoming>,
    connection: InUse,
    client: Option<OnUpgrade>,
    limit: Limit,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = client
    {
        let program = upgrade_of(&mut response);
        let cut = shared.cut();
        let counted = shared.calls.enter().0;
        tokio::spawn(async move {
            tokio::select! {
                () = tunnel(client, program, counted) => {}
                () = cut => {}
            }
        });
        let (parts, _) = response.into_parts();
        return Response::from_parts(parts, reply::full(Bytes::new()));
    }
    let endless = endless(response.headers());
    // The client is spoken to in our own version, whatever the program's is.
    *response.version_mut() = http::Version::HTTP_11;
    reply::remove_hop_by_hop(response.headers_mut());
    response.map(|inner| {
        ForwardedBody {
            inner,
            ended: false,
            connection: Some(connection),
            // A stream is meant to go on; its end is its client's or the program's to decide.
            too_slow: (!endless).then(|| Box::pin(async move { limit.no_end().await }) as TooSlow),
        }
        .boxed_unsync()
    })
}

/// The protocol that a request asks to change to.
fn upgrade_asked(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|names| {
            names
                .split(',')
                .any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
        })
    });
    asked.then(|| headers.get(UPGRADE).cloned()).flatten()
}

/// Whether a reply is of a kind that has no end of its own.
fn endless(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
        })
}

/// Connects both sides of an upgrade until both are closed. It counts as a call until then.
async fn tunnel(client: OnUpgrade, program: OnUpgrade, _counted: Counted) {
    let (Ok(client), Ok(program)) = tokio::join!(client, program) else {
        return;
    };
    let (mut client, mut program) = (TokioIo::new(client), TokioIo::new(program));
    // How it ends is known to both sides already.
    let _ended = copy_bidirectional(&mut client, &mut program).await;
}

fn unanswered(error: &UpstreamError) -> Failure {
    if let Some(failure) = BodyError::behind(error) {
        return failure;
    }
    let reason = match error {
        UpstreamError::Connect(_) => "connect-failed",
        UpstreamError::Exchange(error) if error.is_parse() => "upstream-invalid",
        UpstreamError::Exchange(_) => "upstream-closed",
    };
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, reason, causes(error))
}

type TooSlow = Pin<Box<dyn Future<Output = Failure> + Send>>;

/// The body of the program's reply. The connection is free for another call at its end.
struct ForwardedBody {
    inner: Incoming,
    ended: bool,
    connection: Option<InUse>,
    too_slow: Option<TooSlow>,
}

// === impl ForwardedBody ===

impl HttpBody for ForwardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(too_slow) = &mut self.too_slow
            && let Poll::Ready(failure) = too_slow.as_mut().poll(cx)
        {
            self.connection = None;
            return Poll::Ready(Some(Err(failure.text.into())));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.connection = None,
            None => self.ended = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ForwardedBody {
    fn drop(&mut self) {
        // A body whose length is known is often not asked for its end.
        if (self.ended || self.inner.is_end_stream())
            && let Some(connection) = self.connection.take()
        {
            connection.finished();
        }
    }
}
