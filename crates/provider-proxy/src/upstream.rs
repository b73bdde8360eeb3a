//! Connections to replicas: HTTP/1.1 over TCP or a Unix socket, one call after another.
//!
//! A call writes its request and reads its reply itself; no task stands between it and the socket.
//! Only the rest of a request whose reply has begun is written by a task of its own, so that a
//! caller that takes the reply slowly does not hold up what it sends.

mod request;
mod socket;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use provider_http1::{Alarm, Coding, InvalidBody, InvalidHead, Part, ResponseHead};
use provider_types::EndpointAddress;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use request::{Request, Unsent, line};
use socket::Socket;

/// What is read at once, at least and at most.
const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 128 * 1024;
/// With less room than this a new buffer is begun.
const LEAST_ROOM: usize = 2 * 1024;

/// One connection to a replica. Dropping it closes it at once, whatever is under way.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<Socket>,
    /// What has come and was not taken yet.
    buffer: BytesMut,
    /// How much of it was searched for the end of a head.
    seen: usize,
    read_size: usize,
    alarm: Alarm,
    /// Whether it has carried a call before.
    pub(crate) reused: bool,
    /// Whether another call can follow.
    reusable: bool,
    rest: Option<Rest>,
}

/// A task that writes the rest of a request; says whether all of it was sent.
#[derive(Debug)]
struct Rest(JoinHandle<bool>);

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a connection gives no reply, or no more of one.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// The replica closed the connection.
    #[error("the connection was closed")]
    Closed,
    #[error("the connection broke")]
    Io(#[source] io::Error),
    #[error("the reply is invalid")]
    Head(#[source] InvalidHead),
    #[error("the body of the reply is invalid")]
    Body(#[source] InvalidBody),
}

impl Connection {
    /// Connects, on the present runtime.
    pub(crate) async fn open(address: &EndpointAddress) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(Socket::connect(address).await?),
            buffer: BytesMut::new(),
            seen: 0,
            read_size: LEAST_READ,
            alarm: Alarm::default(),
            reused: false,
            reusable: true,
            rest: None,
        })
    }

    /// Whether it is still open as far as the kernel knows, and nothing came on it unasked. The
    /// runtime may not have been told yet.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(
            self.socket.try_read(&mut self.buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        )
    }

    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
    ) -> Poll<Result<(), Unsent>> {
        request.poll_send(&self.socket, cx)
    }

    /// Has the rest of a request written while its reply is read.
    pub(crate) fn send_rest(&mut self, mut request: Request) {
        let socket = Arc::clone(&self.socket);
        self.rest = Some(Rest(tokio::spawn(async move {
            match poll_fn(|cx| request.poll_send(&socket, cx)).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "a request is not sent to its end");
                    false
                }
            }
        })));
    }

    /// Ready once `due` is past.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<Instant> {
        self.alarm.poll(cx, due)
    }

    /// Reads the head of the reply; interim ones are skipped.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        is_head: bool,
    ) -> Poll<Result<ResponseHead, Broken>> {
        loop {
            while let Some(head) = ResponseHead::take(&mut self.buffer, &mut self.seen, is_head)
                .map_err(Broken::Head)?
            {
                if !head.is_interim() {
                    self.reusable &= head.reusable;
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.poll_fill(cx, None)).map_err(Broken::Io)? == 0 {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    /// Reads on in the body of the reply.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        coding: &mut Coding,
    ) -> Poll<Result<Part, Broken>> {
        loop {
            match coding.take(&mut self.buffer).map_err(Broken::Body)? {
                Part::NeedsMore => {}
                part => return Poll::Ready(Ok(part)),
            }
            if ready!(self.poll_fill(cx, coding.remaining())).map_err(Broken::Io)? == 0 {
                return Poll::Ready(match coding {
                    Coding::UntilClose => {
                        *coding = Coding::Length(0);
                        Ok(Part::End)
                    }
                    Coding::Length(_) | Coding::Chunked(_) => Err(Broken::Closed),
                });
            }
        }
    }

    /// The body of the reply, if its length is known and all of it has come.
    pub(crate) fn whole_body(&mut self, coding: &mut Coding) -> Option<Bytes> {
        let length = usize::try_from(coding.remaining()?).ok()?;
        if length > self.buffer.len() {
            return None;
        }
        *coding = Coding::Length(0);
        Some(self.buffer.split_to(length).freeze())
    }

    /// Reads something, of a body that has so much left.
    fn poll_fill(&mut self, cx: &mut Context<'_>, left: Option<u64>) -> Poll<io::Result<usize>> {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < LEAST_ROOM {
            let left = left.and_then(|left| usize::try_from(left).ok());
            let size = left.map_or(self.read_size, |left| {
                left.clamp(LEAST_ROOM, self.read_size)
            });
            self.buffer.reserve(size);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = ready!(self.socket.poll_read(cx, &mut self.buffer))?;
        if read == room {
            self.read_size = (self.read_size * 2).min(MOST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Whether it can take a call now: the last one is over in both directions.
    pub(crate) fn is_ready(&self) -> bool {
        self.reusable && self.rest.is_none() && self.buffer.is_empty()
    }

    /// Whether only the rest of a request is to be written before it can take a call.
    pub(crate) fn is_sending(&self) -> bool {
        self.reusable && self.rest.is_some()
    }

    /// Waits until the rest of the request is written; false if it never will be.
    pub(crate) async fn sent(&mut self) -> bool {
        match &mut self.rest {
            Some(Rest(task)) => {
                let sent = matches!(task.await, Ok(true));
                self.rest = None;
                self.reusable &= sent;
                self.is_ready()
            }
            None => self.is_ready(),
        }
    }

    /// Forgets what a call needed and the next one may not, before it waits for that.
    pub(crate) fn rest_in_pool(&mut self) {
        self.reused = true;
        self.read_size = LEAST_READ;
        if self.buffer.capacity() > 2 * LEAST_READ {
            self.buffer = BytesMut::new();
        }
    }
}

/// A connection that was upgraded: what has come with the reply is read first.
impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            ready!(self.poll_fill(cx, None))?;
        }
        let length = self.buffer.len().min(buf.remaining());
        buf.put_slice(&self.buffer.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown())
    }
}
