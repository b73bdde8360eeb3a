//! The request's body on its way to the function.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use provider_http1::{Alarm, RequestBody};
use tokio::time::Instant;

use crate::budgets::after;
use crate::headers::Length;

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

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }
}

/// A request's body, and how long it may be silent.
pub(crate) struct Upload {
    body: Source,
    /// `None` where there is no body.
    watch: Option<Watch>,
}

enum Source {
    Empty,
    /// The usual one, so it is not boxed.
    Request(RequestBody),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

struct Watch {
    activity: Arc<Activity>,
    idle: Duration,
    alarm: Alarm,
    waiting: Option<Instant>,
}

impl Upload {
    /// Takes over a request's body.
    pub(crate) fn new<B>(body: B, idle: Duration, now: Instant) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self {
                body: Source::Empty,
                watch: None,
            };
        }
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        let usual = any
            .downcast_mut::<Option<RequestBody>>()
            .and_then(Option::take)
            .map(Source::Request);
        let body = usual
            .or_else(|| body.map(|body| Source::Boxed(body.map_err(Into::into).boxed_unsync())))
            .unwrap_or(Source::Empty);
        Self {
            body,
            watch: Some(Watch {
                activity: Arc::new(Activity::new(now)),
                idle,
                alarm: Alarm::default(),
                waiting: None,
            }),
        }
    }

    /// What both directions know of each other, if there is a body at all.
    pub(crate) fn activity(&self) -> Option<&Arc<Activity>> {
        self.watch.as_ref().map(|watch| &watch.activity)
    }

    /// How long it is.
    pub(crate) fn length(&self) -> Length {
        let (ends, hint) = match &self.body {
            Source::Empty => return Length::None,
            Source::Request(body) => (body.is_end_stream(), body.size_hint()),
            Source::Boxed(body) => (body.is_end_stream(), body.size_hint()),
        };
        match hint.exact() {
            _ if ends => Length::None,
            Some(length) => Length::Known(length),
            None => Length::Unknown,
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Empty => true,
            Source::Request(body) => body.is_end_stream(),
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.body {
            Source::Empty => Poll::Ready(None),
            Source::Request(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|item| item.map(|frame| frame.map_err(BoxError::from))),
            Source::Boxed(body) => Pin::new(body).poll_frame(cx),
        };
        if let (Poll::Ready(_), Some(watch)) = (&polled, &mut self.watch) {
            // It moved only now if it was waited for.
            if watch.waiting.take().is_some() {
                watch.activity.moved();
            }
        }
        polled
    }

    /// Ready when the body is waited for and neither direction has moved for too long.
    pub(crate) fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.watch {
            Some(watch) => watch.poll_silent(cx),
            None => Poll::Pending,
        }
    }
}

impl Watch {
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.waiting {
            Some(since) => since,
            None => {
                self.activity.enter(Stage::Caller);
                *self.waiting.insert(Instant::now())
            }
        };
        let due = after(since.max(self.activity.last()), self.idle);
        ready!(self.alarm.poll(cx, due));
        self.activity.enter(Stage::Silent);
        Poll::Ready(())
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}
