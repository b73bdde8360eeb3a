//! Requests as they go over the wire. RFC 9112 3 (request line), 5 (fields), 7.1 (chunks).

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use provider_http1::Outgoing;
use thiserror::Error;

use super::socket::Socket;
use crate::headers::Length;
use crate::target::Rest;
use crate::upload::{Activity, BoxError, Stage, Upload};

/// The usual head fits, and the block is small enough for the allocator's fast path.
const TEXT: usize = 960;

/// A request on its way to a function.
pub(crate) struct Request {
    waiting: Outgoing,
    /// Whether the function can have seen any of it.
    begun: bool,
    framing: Length,
    body: Upload,
    /// Whether the body was asked for its first part.
    asked: bool,
    /// Whether all of the body is in what waits.
    over: bool,
}

/// Why a request is not sent to its end.
#[derive(Debug, Error)]
pub(crate) enum Unsent {
    #[error("the function takes no more")]
    Write(#[source] io::Error),
    #[error("the request's body broke off")]
    Body(#[source] BoxError),
    #[error("the caller sent nothing for too long")]
    Silent,
}

impl Request {
    /// A request with its head as text, up to and without the empty line.
    pub(crate) fn new(mut text: Vec<u8>, framing: Length, body: Upload) -> Self {
        text.extend_from_slice(b"\r\n");
        Self {
            waiting: text.into(),
            begun: false,
            framing,
            over: framing == Length::None,
            body,
            asked: false,
        }
    }

    /// What the two directions know of each other, if there is a body.
    pub(crate) fn activity(&self) -> Option<&Arc<Activity>> {
        self.body.activity()
    }

    /// Whether not a byte of it was written.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.begun
    }

    /// Whether it was written to its end.
    pub(crate) fn is_sent(&self) -> bool {
        self.over && self.waiting.is_empty()
    }

    /// Writes on, until all is sent or the caller or the function is waited for.
    pub(crate) fn poll_send(
        &mut self,
        socket: &Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            // The head waits for the first part of the body, if that is there already.
            if !self.over && (self.waiting.is_empty() || !self.asked) {
                match self.body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        self.asked = true;
                        self.encode(frame).map_err(|error| self.broken(error))?;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broken(error))),
                    Poll::Ready(None) => self.finish().map_err(|error| self.broken(error))?,
                    Poll::Pending if !self.asked => {
                        // hyper hands over even what it has only after it was asked for it.
                        self.asked = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        return self.body.poll_silent(cx).map(|()| Err(Unsent::Silent));
                    }
                }
            }
            while !self.waiting.is_empty() {
                ready!(self.poll_write(socket, cx)).map_err(Unsent::Write)?;
            }
            if self.over {
                self.enter(Stage::Done);
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = ready!(socket.poll_write(cx, &self.waiting.slices()))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        // The clock of what is sent at once has just been read.
        if let Some(activity) = self.body.activity().filter(|_| self.begun) {
            activity.moved();
        }
        self.begun = true;
        self.waiting.advance(wrote);
        Poll::Ready(Ok(()))
    }

    /// Puts a part of the body behind what waits.
    fn encode(&mut self, frame: Frame<Bytes>) -> Result<(), BoxError> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let (Length::Unknown, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.over = true;
                    self.waiting.end_chunks_with(&trailers);
                }
                return Ok(());
            }
        };
        self.enter(Stage::Function);
        match &mut self.framing {
            Length::None => {}
            Length::Known(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or("it is longer than it said")?;
                self.over = *left == 0;
                self.waiting.put(data);
            }
            Length::Unknown => {
                self.waiting.put_chunk(data);
                if self.body.is_end_stream() {
                    self.over = true;
                    self.waiting.end_chunks();
                }
            }
        }
        Ok(())
    }

    /// The body has ended by itself.
    fn finish(&mut self) -> Result<(), BoxError> {
        self.over = true;
        match self.framing {
            Length::Known(1..) => return Err("it is shorter than it said".into()),
            Length::None | Length::Known(0) => {}
            Length::Unknown => self.waiting.end_chunks(),
        }
        Ok(())
    }

    fn broken(&self, error: BoxError) -> Unsent {
        self.enter(Stage::Broken);
        Unsent::Body(error)
    }

    fn enter(&self, stage: Stage) {
        if let Some(activity) = self.activity() {
            activity.enter(stage);
        }
    }
}

/// Begins a head: the request line, with room for the usual header lines.
pub(crate) fn line(method: &Method, target: Rest<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT);
    let (mark, query) = target.query.map_or(("", ""), |query| ("?", query));
    for part in [
        method.as_str(),
        " ",
        target.path,
        mark,
        query,
        " HTTP/1.1\r\n",
    ] {
        text.extend_from_slice(part.as_bytes());
    }
    text
}
