//! A worker: one thread with a runtime of its own, which accepts connections and serves them to
//! their end. No connection moves to another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use provider_http1::Socket;
use provider_types::Resolver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServeError;
use super::connection::{self, Shared};
use super::listen::Listener;
use crate::draining::Draining;
use crate::guard::Local;

/// How long to wait after an accept that failed for lack of something, descriptors for example.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The end of a worker.
#[derive(Clone)]
pub(super) struct Stops {
    /// The server is told to stop.
    pub(super) draining: Draining,
    /// Nobody waits any longer: what still runs is cut.
    pub(super) over: CancellationToken,
}

/// How long a handshake that was under way at the stop may take.
const LAST_ARRIVALS: Duration = Duration::from_millis(200);

/// What a worker says when it has ended: how many connections it had to cut.
pub(super) type Ended = oneshot::Receiver<usize>;

/// Starts a worker on its thread.
pub(super) fn start<R: Resolver>(
    index: usize,
    listeners: Vec<(Listener, Arc<AtomicBool>, Arc<Shared<R>>)>,
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
            .map(|(listener, elsewhere, shared)| Ok((Acceptor::new(listener, elsewhere)?, shared)))
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
        acceptors.spawn(accept(acceptor, shared, open.clone(), stops.clone()));
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
    stops: Stops,
) {
    let Stops { draining, over } = stops;
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.begun() => break,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => spawn(accepted, &shared, &open),
            Err(error) => pause(&error).await,
        }
    }
    if acceptor.elsewhere.load(Ordering::SeqCst) {
        // What waits in it is for whoever else has the socket.
        return;
    }
    // Closing a listener resets the connections that wait in it, and those whose handshake is under
    // way: no new ones first, then take in what comes of the old ones.
    acceptor.take_no_more();
    let last = tokio::time::sleep(LAST_ARRIVALS);
    let mut last = std::pin::pin!(last);
    loop {
        tokio::select! {
            biased;
            accepted = acceptor.accept() => match accepted {
                Ok(accepted) => spawn(accepted, &shared, &open),
                Err(error) => pause(&error).await,
            },
            () = last.as_mut() => break,
            () = over.cancelled() => break,
        }
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
    let shared = Arc::clone(shared);
    tokio::spawn(connection::serve(shared, socket, open.token(), peer, local));
}

struct Acceptor {
    socket: Listening,
    /// See [`super::listen::Group::elsewhere`].
    elsewhere: Arc<AtomicBool>,
}

enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Acceptor {
    fn new(listener: Listener, elsewhere: Arc<AtomicBool>) -> io::Result<Self> {
        let socket = match listener {
            Listener::Tcp(tcp) => Listening::Tcp(tokio::net::TcpListener::from_std(tcp)?),
            Listener::Unix(unix) => Listening::Unix(tokio::net::UnixListener::from_std(unix)?),
        };
        Ok(Self { socket, elsewhere })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                // A client that left in between is noticed when it is read from.
                let _ = socket.set_nodelay(true);
                Ok((Socket::Tcp(socket), Some(peer)))
            }
            Listening::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Socket::Unix(socket), None))
            }
        }
    }

    /// Has the kernel drop what would open a new connection, as if it had been lost on the way. The
    /// client tries again in a second and then finds the port closed, or another server on it.
    /// A Unix socket has lost its file by now, so nobody finds it.
    fn take_no_more(&self) {
        #[cfg(target_os = "linux")]
        if let Listening::Tcp(listener) = &self.socket {
            use socket2::SockFilter;

            // Classic BPF over the TCP header: drop what has SYN and not ACK in the flags, byte 13.
            let no_syn = [
                SockFilter::new(0x30, 0, 0, 13),
                SockFilter::new(0x54, 0, 0, 0x12),
                SockFilter::new(0x15, 0, 1, 0x02),
                SockFilter::new(0x06, 0, 0, 0),
                SockFilter::new(0x06, 0, 0, u32::MAX),
            ];
            if let Err(error) = socket2::SockRef::from(listener).attach_filter(&no_syn) {
                tracing::debug!(%error, "new connections cannot be held off before the end");
            }
        }
    }
}
