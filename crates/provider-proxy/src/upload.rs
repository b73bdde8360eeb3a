//! The request's body on its way to the function.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::budgets::after;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// How far the upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The caller is to send more.
    Caller,
    /// The function is to take what the caller sent.
    Function,
    /// All was sent.
    Done,
    /// The caller's body broke off.
    Broken,
    /// The caller sent nothing for too long.
    Silent,
}

/// What both directions of an exchange know of each other: when a byte moved last, and how far the
/// upload is. Only exchanges with a request body have one.
#[derive(Debug)]
pub(crate) struct Activity {
    started: Instant,
    /// Microseconds after `started`.
    last: AtomicU64,
    stage: AtomicU8,
}

impl Activity {
    /// `started` is now, or was a moment ago.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            last: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::Function as u8),
        }
    }

    /// A byte moved now, in either direction.
    pub(crate) fn moved(&self) {
        let micros = self.started.elapsed().as_micros();
        self.last
            .store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        after(
            self.started,
            Duration::from_micros(self.last.load(Ordering::Relaxed)),
        )
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Caller,
            1 => Stage::Function,
            2 => Stage::Done,
            3 => Stage::Broken,
            _ => Stage::Silent,
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }
}

/// A request's body as the upstream connection sends it.
pub(crate) struct Upload {
    body: Source,
    /// `None` where there is no body.
    watch: Option<Watch>,
}

enum Source {
    Empty,
    /// The usual one, so it is not boxed.
    Incoming(Incoming),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

struct Watch {
    activity: Arc<Activity>,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: Option<Instant>,
}

impl Upload {
    /// Takes over a request's body; gives its activity if it has any body at all.
    pub(crate) fn new<B>(body: B, idle: Duration, now: Instant) -> (Self, Option<Arc<Activity>>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            let empty = Self {
                body: Source::Empty,
                watch: None,
            };
            return (empty, None);
        }
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        let incoming = any
            .downcast_mut::<Option<Incoming>>()
            .and_then(Option::take)
            .map(Source::Incoming);
        let body = incoming
            .or_else(|| body.map(|body| Source::Boxed(body.map_err(Into::into).boxed_unsync())))
            .unwrap_or(Source::Empty);
        let activity = Arc::new(Activity::new(now));
        let watch = Watch {
            activity: Arc::clone(&activity),
            idle,
            timer: None,
            waiting: None,
        };
        let upload = Self {
            body,
            watch: Some(watch),
        };
        (upload, Some(activity))
    }
}

impl Watch {
    fn saw(&mut self, item: Option<&Result<Frame<Bytes>, BoxError>>, at_end: bool) {
        self.waiting = None;
        self.activity.moved();
        self.activity.enter(match item {
            Some(Ok(_)) if at_end => Stage::Done,
            None => Stage::Done,
            Some(Ok(_)) => Stage::Function,
            Some(Err(_)) => Stage::Broken,
        });
    }

    /// Ready when neither direction has moved for too long.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.waiting {
            Some(since) => since,
            None => {
                self.activity.enter(Stage::Caller);
                *self.waiting.insert(Instant::now())
            }
        };
        loop {
            let due = after(since.max(self.activity.last()), self.idle);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= due {
                self.activity.enter(Stage::Silent);
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.body {
            Source::Empty => return Poll::Ready(None),
            Source::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|item| item.map(|frame| frame.map_err(BoxError::from))),
            Source::Boxed(body) => Pin::new(body).poll_frame(cx),
        };
        let at_end = self.is_end_stream();
        let Some(watch) = &mut self.watch else {
            return polled;
        };
        match polled {
            Poll::Ready(item) => {
                watch.saw(item.as_ref(), at_end);
                Poll::Ready(item)
            }
            Poll::Pending => watch
                .poll_silent(cx)
                .map(|()| Some(Err("the caller sent nothing for too long".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Empty => true,
            Source::Incoming(body) => body.is_end_stream(),
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Empty => SizeHint::with_exact(0),
            Source::Incoming(body) => body.size_hint(),
            Source::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}
