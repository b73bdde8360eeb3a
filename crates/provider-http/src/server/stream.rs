//! A client's connection as bytes: TCP or Unix, with two courtesies that HTTP over TCP needs and two
//! limits.
//!
//! * A client that shuts down its sending side and waits for the reply looks just like one that
//!   left. The end of its bytes is kept from hyper while calls run, for [`PATIENCE`] without a byte
//!   written; then it counts as gone and its calls are given up.
//! * Closing a socket that holds unread bytes makes the kernel reset it, and the client may lose
//!   the reply that said why (413, 431). What still comes is read and thrown away for a moment.
//! * A client that takes no byte for `idle_timeout` counts as gone. While it takes none, nobody asks
//!   its reply for more, so no timer of the reply's own would notice; its call would last for ever.
//! * A client has `header_timeout` for the header of a request, however slowly it trickles.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long a client that sends no more may wait without getting a byte.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long, and how much, is read after the last reply.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// A reply up to this size is written in one piece: the kernel takes that with less ado.
const COPIED: usize = 1024;

/// A socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($inner) => $call,
            Socket::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }
}

/// What the server waits for, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The header of a request, from the end of the one before or the connection's beginning.
    pub(super) header: Duration,
    /// A client that takes none of the bytes that wait for it.
    pub(super) idle: Duration,
}

/// The calls on a connection; shared by the connection and its calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU32,
    /// Counts on, over the edge.
    begun: AtomicU32,
    /// What comes now is no HTTP.
    upgraded: AtomicBool,
}

impl Calls {
    /// Counts a call until the guard is dropped.
    pub(super) fn begin(&self) -> CallGuard {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        CallGuard(self.clone())
    }

    fn any(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) > 0
    }
}

/// A call that runs.
#[derive(Debug)]
pub(crate) struct CallGuard(Calls);

impl CallGuard {
    /// Its connection is a tunnel from here on.
    pub(crate) fn upgraded(&self) {
        self.0.0.upgraded.store(true, Ordering::Relaxed);
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's connection. It counts as open until it is dropped, by whoever holds it: after an
/// upgrade that is the tunnel.
#[derive(Debug)]
pub(super) struct ClientStream {
    /// `None` only while it is dropped.
    socket: Option<Socket>,
    calls: Calls,
    /// The client has sent its last byte.
    ended: bool,
    /// When a client that has ended counts as gone.
    gone: Option<Pin<Box<Sleep>>>,
    patience: Patience,
    /// Since when a header is waited for, and how many calls had begun then.
    waiting: Option<(u32, Instant)>,
    /// Goes off when that takes too long, or earlier: it is not set anew for each header.
    header: Option<Pin<Box<Sleep>>>,
    /// When a client has taken nothing for too long; set while bytes wait.
    stalled: Option<Pin<Box<Sleep>>>,
    _open: TaskTrackerToken,
}

impl ClientStream {
    pub(super) fn new(
        socket: Socket,
        calls: Calls,
        patience: Patience,
        open: TaskTrackerToken,
    ) -> Self {
        Self {
            socket: Some(socket),
            calls,
            ended: false,
            gone: None,
            patience,
            waiting: None,
            header: None,
            stalled: None,
            _open: open,
        }
    }

    fn socket(&mut self) -> io::Result<Pin<&mut Socket>> {
        self.socket
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Ready when the header of a request is waited for and takes too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let counts = &self.calls.0;
        let begun = counts.begun.load(Ordering::Relaxed);
        if self.calls.any() || counts.upgraded.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let since = match self.waiting {
            Some((calls, since)) if calls == begun => since,
            _ => self.waiting.insert((begun, Instant::now())).1,
        };
        let due = since + self.patience.header;
        let sleep = self
            .header
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }

    /// Looks at what came of a write: bytes that the client takes prove that it is there.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if wrote.is_pending() {
            let idle = self.patience.idle;
            let stalled = self
                .stalled
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            ready!(stalled.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.stalled = None;
        if let Some(gone) = &mut self.gone {
            gone.as_mut().reset(Instant::now() + PATIENCE);
        }
        wrote
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ended {
            let before = buf.filled().len();
            if self.socket()?.poll_read(cx, buf)?.is_pending() {
                ready!(self.poll_late(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.ended = true;
        }
        if self.calls.any() {
            let gone = self
                .gone
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
            ready!(gone.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.socket()?.poll_write(cx, buf);
        self.wrote(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = bufs.iter().map(|piece| piece.len()).sum();
        let wrote = if length <= COPIED {
            let mut copied = [0; COPIED];
            let mut rest = &mut copied[..];
            for piece in bufs {
                // As much as fits, which is all.
                let _ = io::Write::write(&mut rest, piece)?;
            }
            let copied = copied.get(..length).unwrap_or_default();
            self.socket()?.poll_write(cx, copied)
        } else {
            self.socket()?.poll_write_vectored(cx, bufs)
        };
        self.wrote(cx, wrote)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take().filter(|_| !self.ended) else {
            return;
        };
        // Without a runtime the process is on its way out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(linger(socket));
        }
    }
}

/// Says that nothing more is sent, and reads on until the client has understood.
async fn linger(mut socket: Socket) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut rest = socket.take(LINGER_BYTES);
    let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}
