//! A worker: one thread with a runtime of its own, which accepts connections and serves them to
//! their end. No connection moves to another thread.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use provider_types::Resolver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServeError;
use super::connection::{self, Shared};
use super::listen::Listener;
use super::stream::{Calls, ClientStream, Socket};
use crate::guard::Local;

/// How long to wait after an accept that failed for lack of something, descriptors for example.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The end of a worker.
pub(super) struct Stops {
    /// The server is told to stop.
    pub(super) draining: CancellationToken,
    /// Nobody waits any longer: what still runs is cut.
    pub(super) over: CancellationToken,
}

/// What a worker says when it has ended: how many connections it had to cut.
pub(super) type Ended = oneshot::Receiver<usize>;

/// Starts a worker on its thread.
pub(super) fn start<R: Resolver>(
    index: usize,
    listeners: Vec<(Listener, Arc<Shared<R>>)>,
    stops: Stops,
) -> Result<Ended, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Worker)?;
    let accepting: Vec<_> = {
        let _context = runtime.enter();
        listeners
            .into_iter()
            .map(|(listener, shared)| Ok((Acceptor::new(listener)?, shared)))
            .collect::<io::Result<_>>()
            .map_err(ServeError::Worker)?
    };
    let (ended, receiver) = oneshot::channel();
    thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let cut = runtime.block_on(run(accepting, stops));
            // Connections that were cut end here, with their calls.
            drop(runtime);
            let _ = ended.send(cut);
        })
        .map_err(ServeError::Worker)?;
    Ok(receiver)
}

async fn run<R: Resolver>(accepting: Vec<(Acceptor, Arc<Shared<R>>)>, stops: Stops) -> usize {
    let open = TaskTracker::new();
    let acceptors = TaskTracker::new();
    for (acceptor, shared) in accepting {
        acceptors.spawn(accept(
            acceptor,
            shared,
            open.clone(),
            stops.draining.clone(),
        ));
    }
    acceptors.close();
    let drained = async {
        acceptors.wait().await;
        open.close();
        open.wait().await;
    };
    tokio::select! {
        () = drained => 0,
        () = stops.over.cancelled() => open.len(),
    }
}

async fn accept<R: Resolver>(
    acceptor: Acceptor,
    shared: Arc<Shared<R>>,
    open: TaskTracker,
    draining: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => break,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => spawn(accepted, &shared, &open),
            Err(error) => pause(&error).await,
        }
    }
    // Closing a listener resets the connections that wait in it: take them in first.
    while let Some(accepted) = acceptor.accept_waiting() {
        spawn(accepted, &shared, &open);
    }
}

async fn pause(error: &io::Error) {
    let one_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    if !one_client {
        tracing::warn!(%error, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_AGAIN).await;
    }
}

type Accepted = (Socket, Option<std::net::SocketAddr>);

fn spawn<R: Resolver>((socket, peer): Accepted, shared: &Arc<Shared<R>>, open: &TaskTracker) {
    let local = match &socket {
        Socket::Tcp(tcp) => match tcp.local_addr() {
            Ok(local) => Local::Tcp(local),
            // The client has left already.
            Err(_) => return,
        },
        Socket::Unix(_) => Local::Unix,
    };
    let calls = Calls::default();
    let stream = ClientStream::new(socket, calls.clone(), open.token());
    let shared = Arc::clone(shared);
    tokio::spawn(connection::serve(shared, stream, calls, peer, local));
}

enum Acceptor {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Acceptor {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(tcp) => Self::Tcp(tokio::net::TcpListener::from_std(tcp)?),
            Listener::Unix(unix) => Self::Unix(tokio::net::UnixListener::from_std(unix)?),
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(
        &self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(socket, peer)| {
                // A client that left in between is noticed when it is read from.
                let _ = socket.set_nodelay(true);
                (Socket::Tcp(socket), Some(peer))
            }),
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(socket, _)| (Socket::Unix(socket), None)),
        }
    }

    /// A connection that waits to be accepted, if there is one.
    fn accept_waiting(&self) -> Option<Accepted> {
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            match self.poll_accept(&mut nobody) {
                std::task::Poll::Ready(Ok(accepted)) => return Some(accepted),
                std::task::Poll::Ready(Err(error))
                    if error.kind() == io::ErrorKind::ConnectionAborted => {}
                _ => return None,
            }
        }
    }
}
