//! What follows a reply of 101: bytes both ways, whatever they mean.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Extensions;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::budgets::after;
use crate::exchange::Hold;
use crate::refusal::Reason;
use crate::upload::Activity;
use crate::upstream::Connection;

/// How many tunnels a proxy and its workers have open.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    open: AtomicUsize,
    closed: Notify,
}

impl Tunnels {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until none is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }
}

struct Counted(Arc<Tunnels>);

impl Counted {
    fn new(tunnels: Arc<Tunnels>) -> Self {
        tunnels.open.fetch_add(1, Ordering::AcqRel);
        Self(tunnels)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}

/// Starts a tunnel. It owns the call until both directions are closed.
pub(crate) fn spawn(
    call: Box<dyn Hold>,
    caller: Caller,
    function: Connection,
    idle: Duration,
    tunnels: Arc<Tunnels>,
) {
    let counted = Counted::new(tunnels);
    tokio::spawn(async move {
        match run(caller, function, idle).await {
            Ok(()) => call.finish(None, None),
            Err(reason) => call.fail(reason, None),
        }
        drop(counted);
    });
}

/// The caller's connection, which its server hands over once the reply is written.
pub(crate) enum Caller {
    Ours(provider_http1::OnUpgrade),
    /// Of a server of hyper's, where somebody put the proxy into one.
    Hyper(hyper::upgrade::OnUpgrade),
}

impl Caller {
    /// What the server put into the request.
    pub(crate) fn of(extensions: &mut Extensions) -> Option<Self> {
        match extensions.remove() {
            Some(ours) => Some(Self::Ours(ours)),
            None => extensions.remove().map(Self::Hyper),
        }
    }
}

async fn run(caller: Caller, function: Connection, idle: Duration) -> Result<(), Reason> {
    let left = |error: &(dyn Error + 'static)| {
        tracing::debug!(error, "the caller left before its upgrade");
        Reason::ClientLeft
    };
    match caller {
        Caller::Ours(caller) => {
            let caller = caller.await.map_err(|error| left(&error))?;
            copy(caller, function, idle).await
        }
        Caller::Hyper(caller) => {
            let caller = caller.await.map_err(|error| left(&error))?;
            copy(TokioIo::new(caller), function, idle).await
        }
    }
}

async fn copy<C>(caller: C, function: Connection, idle: Duration) -> Result<(), Reason>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Activity::new(Instant::now());
    let mut caller = Watched::new(caller, &activity);
    let mut function = Watched::new(function, &activity);
    // When one side has sent its last byte the other is told and may go on sending.
    let mut copy = pin!(copy_bidirectional(&mut caller, &mut function));
    let mut silence = pin!(silence(&activity, idle));
    poll_fn(|cx| {
        if let Poll::Ready(copied) = copy.as_mut().poll(cx) {
            return Poll::Ready(copied.map(drop).map_err(|error| {
                tracing::debug!(%error, "a tunnel broke");
                Reason::UpstreamClosed
            }));
        }
        silence.as_mut().poll(cx).map(|()| Err(Reason::IdleTimeout))
    })
    .await
}

/// Returns when no byte has moved for that long.
async fn silence(activity: &Activity, idle: Duration) {
    loop {
        let due = after(activity.last(), idle);
        if Instant::now() >= due {
            return;
        }
        tokio::time::sleep_until(due).await;
    }
}

struct Watched<'a, T> {
    io: T,
    activity: &'a Activity,
}

impl<'a, T> Watched<'a, T> {
    fn new(io: T, activity: &'a Activity) -> Self {
        Self { io, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.activity.moved();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if written.is_ready() {
            self.activity.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
