//! A client's socket, its two directions apart: a body may be read in another task than the one
//! that writes the reply.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_util::io::poll_read_buf;

/// What is read at once, at least and at most.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 128 * 1024;
/// With less room than this a new buffer is begun.
const LEAST_ROOM: usize = 1024;

/// A socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn split(self) -> (Reading, Writing) {
        let (source, sink) = match self {
            Self::Tcp(socket) => {
                let (read, write) = socket.into_split();
                (Source::Tcp(read), Writing::Tcp(write))
            }
            Self::Unix(socket) => {
                let (read, write) = socket.into_split();
                (Source::Unix(read), Writing::Unix(write))
            }
        };
        let reading = Reading {
            source,
            buffer: BytesMut::new(),
            size: LEAST_READ,
            ended: false,
        };
        (reading, sink)
    }
}

macro_rules! either {
    ($kind:ident, $socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            $kind::Tcp($inner) => $call,
            $kind::Unix($inner) => $call,
        }
    };
}

#[derive(Debug)]
enum Source {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

/// What comes from the client.
#[derive(Debug)]
pub(crate) struct Reading {
    source: Source,
    /// What has come and was not taken yet.
    pub(crate) buffer: BytesMut,
    /// How much is read at once.
    size: usize,
    /// The client has sent its last byte.
    pub(crate) ended: bool,
}

impl Reading {
    /// Reads something, of a message that has so much left. 0 is the end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        left: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM {
            let left = left.and_then(|left| usize::try_from(left).ok());
            self.buffer
                .reserve(left.map_or(self.size, |left| left.clamp(LEAST_ROOM, self.size)));
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let buffer = &mut self.buffer;
        let read = ready!(either!(Source, &mut self.source, source => {
            poll_read_buf(Pin::new(source), cx, buffer)
        }))?;
        if read == room {
            self.size = (self.size * 2).min(MOST_READ);
        }
        self.ended = read == 0;
        Poll::Ready(Ok(read))
    }

    /// Forgets what a large body needed.
    pub(crate) fn shrink(&mut self) {
        self.size = LEAST_READ;
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * LEAST_READ {
            self.buffer = BytesMut::new();
        }
    }
}

/// What goes to the client.
#[derive(Debug)]
pub(crate) enum Writing {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl Writing {
    /// Writes the pieces one after another, as far as they are taken.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(Writing, self, sink => match pieces {
            // The kernel takes a single piece with less ado.
            [first, rest @ ..] if rest.iter().all(|piece| piece.is_empty()) => {
                Pin::new(sink).poll_write(cx, first)
            }
            _ => Pin::new(sink).poll_write_vectored(cx, pieces),
        })
    }

    /// Has the kernel tell the client, once the other direction is closed too, that its connection
    /// broke and not that it ended.
    pub(crate) fn reset(self) {
        match self {
            Self::Tcp(sink) => {
                let socket = socket2::SockRef::from(AsRef::<TcpStream>::as_ref(&sink));
                // A socket that does not take it is closed as usual.
                let _ = socket.set_linger(Some(Duration::ZERO));
                sink.forget();
            }
            Self::Unix(sink) => sink.forget(),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(Writing, self, sink => Pin::new(sink).poll_shutdown(cx))
    }
}

impl AsyncRead for Reading {
    /// What has come already is read first.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            ready!(self.poll_fill(cx, None))?;
        }
        let length = self.buffer.len().min(buf.remaining());
        buf.put_slice(&self.buffer.split_to(length));
        Poll::Ready(Ok(()))
    }
}
