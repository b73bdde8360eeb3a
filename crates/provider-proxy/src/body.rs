//! The reply's body on its way to the caller.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::budgets::after;
use crate::exchange::Hold;
use crate::refusal::Reason;
use crate::upload::{Activity, Stage};
use crate::upstream::Connection;

/// The body of a proxied reply: the function's, frame by frame, or a line of our own.
///
/// It holds the call's lease until it ends; dropping it gives the call up.
pub struct ProxyBody(Kind);

enum Kind {
    Text(Bytes),
    Stream(Stream),
}

/// Why a reply's body broke off. It must reach the caller as an error, never as an end; hyper
/// closes the caller's connection on it.
#[derive(Debug)]
pub struct BodyError {
    reason: Reason,
    cause: Option<hyper::Error>,
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
    body: Incoming,
    /// Both are gone once the body has ended.
    call: Option<Box<dyn Hold>>,
    connection: Option<Connection>,
    activity: Option<Arc<Activity>>,
    limits: Limits,
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
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

    pub(crate) fn stream(
        body: Incoming,
        call: Box<dyn Hold>,
        connection: Connection,
        activity: Option<Arc<Activity>>,
        limits: Limits,
    ) -> Self {
        if body.is_end_stream() {
            call.finish(Some(connection), activity);
            return Self::empty();
        }
        Self(Kind::Stream(Stream {
            body,
            call: Some(call),
            connection: Some(connection),
            activity,
            limits,
            waiting: None,
            timer: None,
        }))
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
            Kind::Stream(stream) => stream.call.is_none() && stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let failed = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                // Nobody waits for an upload that is done.
                if let Some(activity) = self.activity.as_ref().filter(|a| a.stage() != Stage::Done)
                {
                    activity.moved();
                }
                if self.body.is_end_stream() {
                    self.finish();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                self.finish();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(cause))) => BodyError {
                reason: Reason::UpstreamClosed,
                cause: Some(cause),
            },
            Poll::Pending => BodyError {
                reason: ready!(self.poll_late(cx)),
                cause: None,
            },
        };
        drop(self.connection.take());
        if let Some(call) = self.call.take() {
            call.fail(failed.reason, failed.cause.as_ref());
        }
        Poll::Ready(Some(Err(failed)))
    }

    fn finish(&mut self) {
        if let Some(call) = self.call.take() {
            call.finish(self.connection.take(), self.activity.take());
        }
    }

    /// Ready when a budget is spent. Time counts only while the function is waited for: a caller
    /// that reads slowly is not the function's fault.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        loop {
            let since = match &self.activity {
                Some(activity) => since.max(activity.last()),
                None => since,
            };
            let idle = after(since, self.limits.idle);
            let due = self.limits.end.map_or(idle, |end| end.min(idle));
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now < due {
                timer.as_mut().reset(due);
            } else if now >= idle {
                return Poll::Ready(Reason::IdleTimeout);
            } else {
                return Poll::Ready(Reason::TotalTimeout);
            }
        }
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
