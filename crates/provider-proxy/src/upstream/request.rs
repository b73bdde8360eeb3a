//! Requests as they go over the wire. RFC 9112 3 (request line), 5 (fields), 7.1 (chunks).

use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::Method;
use http_body::Frame;
use provider_http1::{may_trail, write_line};
use thiserror::Error;

use super::socket::Socket;
use crate::headers::Length;
use crate::target::Rest;
use crate::upload::{Activity, BoxError, Stage, Upload};

/// A body's part up to this size is copied behind the head, so that both are one write.
const COPIED: usize = 4096;

/// The usual head fits, and the block is small enough for the allocator's fast path.
const TEXT: usize = 960;

/// A request on its way to a function.
pub(crate) struct Request {
    /// What is written next: these, one after another.
    text: Vec<u8>,
    chunk: Bytes,
    end: &'static [u8],
    /// How many bytes of `text` were written.
    written: usize,
    /// Whether the function can have seen any of it.
    begun: bool,
    framing: Length,
    body: Upload,
    /// Whether the body was asked for its first part.
    asked: bool,
    /// Whether all of the body is in what is written next.
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
            text,
            chunk: Bytes::new(),
            end: b"",
            written: 0,
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
        self.over && self.pending() == 0
    }

    fn pending(&self) -> usize {
        self.text.len() - self.written + self.chunk.len() + self.end.len()
    }

    /// Writes on, until all is sent or the caller or the function is waited for.
    pub(crate) fn poll_send(
        &mut self,
        socket: &Socket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            // The head waits for the first part of the body, if that is there already.
            if !self.over && (self.pending() == 0 || !self.asked) {
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
            while self.pending() > 0 {
                ready!(self.poll_write(socket, cx)).map_err(Unsent::Write)?;
            }
            if self.over {
                self.enter(Stage::Done);
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let slices = [
            IoSlice::new(text),
            IoSlice::new(&self.chunk),
            IoSlice::new(self.end),
        ];
        let mut wrote = ready!(socket.poll_write(cx, &slices))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        // The clock of what is sent at once has just been read.
        if let Some(activity) = self.body.activity().filter(|_| self.begun) {
            activity.moved();
        }
        self.begun = true;
        let of_text = wrote.min(text.len());
        self.written += of_text;
        wrote -= of_text;
        let of_chunk = wrote.min(self.chunk.len());
        self.chunk.advance(of_chunk);
        self.end = self.end.get(wrote - of_chunk..).unwrap_or_default();
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a part of the body behind what is written next.
    fn encode(&mut self, frame: Frame<Bytes>) -> Result<(), BoxError> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let (Length::Unknown, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.over = true;
                    self.text.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
                        write_line(&mut self.text, name, value.as_bytes());
                    }
                    self.text.extend_from_slice(b"\r\n");
                }
                return Ok(());
            }
        };
        self.enter(Stage::Function);
        match &mut self.framing {
            Length::None => return Ok(()),
            Length::Known(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or("it is longer than it said")?;
                self.over = *left == 0;
            }
            Length::Unknown => {
                if data.is_empty() {
                    return Ok(());
                }
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.end = b"\r\n";
                if self.body.is_end_stream() {
                    self.over = true;
                    self.end = b"\r\n0\r\n\r\n";
                }
            }
        }
        if data.len() <= COPIED {
            self.text.extend_from_slice(&data);
        } else {
            self.chunk = data;
        }
        Ok(())
    }

    /// The body has ended by itself.
    fn finish(&mut self) -> Result<(), BoxError> {
        self.over = true;
        match self.framing {
            Length::Known(1..) => return Err("it is shorter than it said".into()),
            Length::None | Length::Known(0) => {}
            Length::Unknown => self.end = b"0\r\n\r\n",
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
