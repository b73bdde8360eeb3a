//! The reply's body on its way to the caller.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use provider_http1::{Coding, Part};
use tokio::time::Instant;

use crate::budgets::after;
use crate::exchange::Hold;
use crate::refusal::Reason;
use crate::upload::{Activity, Stage};
use crate::upstream::{Broken, Connection};

/// The body of a proxied reply: the function's, frame by frame, or a line of our own.
///
/// It holds the call's lease until it ends; dropping it gives the call up.
pub struct ProxyBody(Kind);

enum Kind {
    Text(Bytes),
    /// Boxed, because replies that have come whole are many and are moved about.
    Stream(Box<Stream>),
}

/// Why a reply's body broke off. It must reach the caller as an error, never as an end; hyper
/// closes the caller's connection on it.
#[derive(Debug)]
pub struct BodyError {
    reason: Reason,
    cause: Option<Broken>,
}

impl BodyError {
    /// What happened.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the function's reply broke off: {}", self.reason)
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

struct Stream {
    coding: Coding,
    /// Gone once the body has ended.
    exchange: Option<(Box<dyn Hold>, Connection)>,
    activity: Option<Arc<Activity>>,
    limits: Limits,
    waiting: Option<Instant>,
    /// Why it broke off, to be said at the next poll.
    failed: Option<BodyError>,
}

/// What bounds a reply's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    /// When the whole call must be done.
    pub(crate) end: Option<Instant>,
}

impl ProxyBody {
    pub(crate) fn text(text: String) -> Self {
        Self(Kind::Text(text.into()))
    }

    pub(crate) fn empty() -> Self {
        Self(Kind::Text(Bytes::new()))
    }

    /// A body that has come whole.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self(Kind::Text(body))
    }

    pub(crate) fn stream(
        call: Box<dyn Hold>,
        connection: Connection,
        coding: Coding,
        activity: Option<Arc<Activity>>,
        limits: Limits,
    ) -> Self {
        Self(Kind::Stream(Box::new(Stream {
            coding,
            exchange: Some((call, connection)),
            activity,
            limits,
            waiting: None,
            failed: None,
        })))
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Text(text) if text.is_empty() => Poll::Ready(None),
            Kind::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Kind::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Stream(stream) => stream.exchange.is_none() && stream.failed.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Stream(stream) => match stream.coding.remaining() {
                Some(length) => SizeHint::with_exact(length),
                None => SizeHint::default(),
            },
        }
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some((_, connection)) = &mut self.exchange else {
            return Poll::Ready(self.failed.take().map(Err));
        };
        let failed = match connection.poll_part(cx, &mut self.coding) {
            Poll::Ready(Ok(Part::Data(data))) => {
                self.waiting = None;
                // Nobody waits for an upload that is done.
                if let Some(activity) = self.activity.as_ref().filter(|a| a.stage() != Stage::Done)
                {
                    activity.moved();
                }
                if self.coding.is_done() {
                    self.finish();
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Poll::Ready(Ok(Part::Trailers(trailers))) => {
                self.finish();
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Poll::Ready(Ok(Part::End | Part::NeedsMore)) => {
                self.finish();
                return Poll::Ready(None);
            }
            Poll::Ready(Err(cause)) => BodyError {
                reason: match cause {
                    Broken::Head(_) | Broken::Body(_) => Reason::UpstreamInvalid,
                    Broken::Closed | Broken::Io(_) => Reason::UpstreamClosed,
                },
                cause: Some(cause),
            },
            Poll::Pending => BodyError {
                reason: ready!(self.poll_late(cx)),
                cause: None,
            },
        };
        if let Some((call, connection)) = self.exchange.take() {
            drop(connection);
            call.fail(failed.reason, failed.cause.as_ref());
        }
        // At an error the server closes at once. What came before it goes out first.
        self.failed = Some(failed);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn finish(&mut self) {
        if let Some((call, connection)) = self.exchange.take() {
            call.finish(Some(connection), self.activity.take());
        }
    }

    /// Ready when a budget is spent. Time counts only while the function is waited for: a caller
    /// that reads slowly is not the function's fault.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let Some((_, connection)) = &mut self.exchange else {
            return Poll::Pending;
        };
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let since = match &self.activity {
            Some(activity) => since.max(activity.last()),
            None => since,
        };
        let idle = after(since, self.limits.idle);
        let due = self.limits.end.map_or(idle, |end| end.min(idle));
        connection.poll_due(cx, due).map(|now| {
            if now >= idle {
                Reason::IdleTimeout
            } else {
                Reason::TotalTimeout
            }
        })
    }
}

impl fmt::Debug for ProxyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text(text) => f.debug_tuple("ProxyBody").field(text).finish(),
            Kind::Stream(_) => f.debug_struct("ProxyBody").finish_non_exhaustive(),
        }
    }
}
