//! A request's body.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::framing::{Coding, InvalidBody, Part};
use crate::socket::Reading;

/// The body of a request: its bytes where they came with its head, else a stream that reads from
/// the client's socket when it is asked for more, in any task. It gives back what it reads from
/// when it is at its end or dropped.
#[derive(Debug)]
pub struct RequestBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Bytes),
    /// Boxed, because most bodies are small and are moved about.
    Stream(Box<Stream>),
}

/// Why a body breaks off.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client closed its connection before the end.
    #[error("the client left before the end of its body")]
    Closed,
    /// The client's connection broke.
    #[error("the client's connection broke")]
    Io(#[source] io::Error),
    /// What the client sends is no body.
    #[error("the client's body is invalid")]
    Invalid(#[source] InvalidBody),
}

#[derive(Debug)]
struct Stream {
    /// Gone once it was given back.
    reading: Option<Reading>,
    coding: Coding,
    loan: Arc<Loan>,
    /// The client waits to be told that its body is wanted.
    expects_continue: bool,
}

impl RequestBody {
    /// A body without a byte.
    pub(crate) fn empty() -> Self {
        Self(Kind::Whole(Bytes::new()))
    }

    /// The body if all of it is in `buffer`, taken off its front.
    pub(crate) fn whole(coding: &Coding, buffer: &mut BytesMut) -> Option<Self> {
        let length = usize::try_from(coding.remaining()?).ok()?;
        if length == 0 {
            return Some(Self::empty());
        }
        (length <= buffer.len()).then(|| Self(Kind::Whole(buffer.split_to(length).freeze())))
    }

    /// A body that is read as it is wanted; what it reads from comes back through the loan.
    pub(crate) fn stream(
        reading: Reading,
        coding: Coding,
        expects_continue: bool,
    ) -> (Self, Arc<Loan>) {
        let loan = Arc::<Loan>::default();
        let stream = Stream {
            reading: Some(reading),
            coding,
            loan: Arc::clone(&loan),
            expects_continue,
        };
        (Self(Kind::Stream(Box::new(stream))), loan)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Stream(stream) => stream.reading.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.0 {
            Kind::Whole(bytes) => Some(bytes.len() as u64),
            Kind::Stream(stream) if stream.reading.is_none() => Some(0),
            Kind::Stream(stream) => stream.coding.remaining(),
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        if std::mem::take(&mut self.expects_continue) {
            self.loan.want();
        }
        let frame = loop {
            match self.coding.take(&mut reading.buffer) {
                Ok(Part::Data(data)) => break Some(Ok(Frame::data(data))),
                Ok(Part::Trailers(trailers)) => break Some(Ok(Frame::trailers(trailers))),
                Ok(Part::End) => break None,
                Ok(Part::NeedsMore) => {}
                Err(error) => break Some(Err(BodyError::Invalid(error))),
            }
            match ready!(reading.poll_fill(cx, self.coding.remaining())) {
                Ok(0) => break Some(Err(BodyError::Closed)),
                Ok(_) => {}
                Err(error) => break Some(Err(BodyError::Io(error))),
            }
        };
        if self.coding.is_done() || matches!(frame, Some(Err(_))) {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn give_back(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.loan.give_back(reading, self.coding.is_done());
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What a body that is read elsewhere and its connection tell each other.
#[derive(Debug, Default)]
pub(crate) struct Loan(Mutex<News>);

#[derive(Debug, Default)]
struct News {
    back: Option<(Reading, bool)>,
    /// The first bytes of the body are wanted.
    wanted: bool,
    waker: Option<Waker>,
}

impl Loan {
    fn news(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self) {
        let mut news = self.news();
        news.wanted = true;
        let waker = news.waker.take();
        drop(news);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn give_back(&self, reading: Reading, is_read: bool) {
        let mut news = self.news();
        news.back = Some((reading, is_read));
        let waker = news.waker.take();
        drop(news);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What is new. The task is woken when there is more.
    pub(crate) fn look(&self, cx: &mut Context<'_>) -> Look {
        let mut news = self.news();
        let wanted = std::mem::take(&mut news.wanted);
        let back = news.back.take();
        if back.is_none() {
            match &mut news.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        Look { wanted, back }
    }
}

#[derive(Debug)]
pub(crate) struct Look {
    /// The first bytes of the body are wanted.
    pub(crate) wanted: bool,
    /// The body is no longer read; and whether it was read to its end.
    pub(crate) back: Option<(Reading, bool)>,
}
