//! The function as a whole: it listens, and ends when it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::{After, answer};
use super::connection::Connection;
use super::incoming::{Head, Incoming, Unread};
use super::journal::{Journal, lock};
use super::order::Keep;
use super::outgoing::{break_off, status_line};
use super::settings::FunctionSettings;

type Output = Arc<Mutex<Box<dyn Write + Send>>>;

/// What all calls of a function share.
pub(super) struct State {
    pub(super) replica: String,
    pub(super) journal: Mutex<Journal>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) arguments: Vec<String>,
    pub(super) secrets: PathBuf,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    ready_at: Instant,
}

impl State {
    pub(super) fn is_ready(&self) -> bool {
        Instant::now() >= self.ready_at
    }
}

/// The test function, bound to its port.
///
/// ```
/// use provider_conformance::{FunctionSettings, TestFunction};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let function = TestFunction::bind(FunctionSettings::default()).await.unwrap();
/// let address = function.address();
/// assert!(address.ip().is_loopback());
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let running = tokio::spawn(function.serve(async { stopped.await.unwrap_or(()) }));
/// // Calls come here.
/// stop.send(()).unwrap();
/// assert_eq!(running.await.unwrap(), 0);
/// # });
/// ```
#[doc = include_str!("../../FUNCTION.md")]
pub struct TestFunction {
    listener: TcpListener,
    address: SocketAddr,
    state: State,
}

impl fmt::Debug for TestFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestFunction")
            .field("address", &self.address)
            .field("replica", &self.state.replica)
            .finish_non_exhaustive()
    }
}

impl TestFunction {
    /// Waits as the settings say, and binds the port.
    ///
    /// # Errors
    /// That of binding.
    pub async fn bind(settings: FunctionSettings) -> io::Result<Self> {
        tokio::time::sleep(settings.start_after).await;
        let listener = match TcpListener::bind(settings.address).await {
            // A machine without IPv6.
            Err(error)
                if settings.address.ip().is_unspecified()
                    && error.kind() != io::ErrorKind::AddrInUse =>
            {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, settings.address.port())).await?
            }
            bound => bound?,
        };
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            state: State {
                replica: format!("{:016x}", RandomState::new().hash_one(std::process::id())),
                journal: Mutex::default(),
                variables: settings.variables,
                arguments: settings.arguments,
                secrets: settings.secrets,
                stdout: Arc::new(Mutex::new(settings.stdout)),
                stderr: Arc::new(Mutex::new(settings.stderr)),
                ready_at: Instant::now() + settings.ready_after,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `stop` is done, then finishes those that run.
    ///
    /// Gives back the code that the process is to end with: 0, or that of an `exit`.
    ///
    /// # Cancel safety
    /// Dropping it ends every call at once.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> u8 {
        let state = Arc::new(self.state);
        let (draining, drain) = watch::channel(false);
        let (exit, mut exited) = watch::channel(None);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let connection = Connection::new(stream, peer);
                        let exit = exit.clone();
                        let (state, drain) = (Arc::clone(&state), drain.clone());
                        connections.spawn(async move {
                            if let Some(code) = serve_one(connection, &state, drain).await {
                                exit.send_replace(Some(code));
                            }
                        });
                    }
                    // Descriptors have run out; others give theirs back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
                _ = exited.changed() => return exited.borrow().unwrap_or(0),
                () = &mut stop => break,
            }
        }
        drop(self.listener);
        draining.send_replace(true);
        loop {
            tokio::select! {
                one = connections.join_next() => if one.is_none() {
                    return 0;
                },
                _ = exited.changed() => return exited.borrow().unwrap_or(0),
            }
        }
    }
}

/// Answers the calls of one connection, each after the other; a code where the process is to end.
async fn serve_one(
    mut connection: Connection,
    state: &State,
    mut drain: watch::Receiver<bool>,
) -> Option<u8> {
    loop {
        let begun = match next(&mut connection, &mut drain).await {
            Ok(head) => Incoming::of(&head).map(|incoming| (head, incoming)),
            Err(Unread::Ended) => return None,
            Err(Unread::Malformed(why)) => Err(why),
        };
        let (head, incoming) = match begun {
            Ok(begun) => begun,
            Err(why) => {
                lock(&state.journal).malformed += 1;
                malformed(connection, &why).await;
                return None;
            }
        };
        lock(&state.journal).requests += 1;
        match answer(&mut connection, &head, incoming, state).await {
            After::Keep(Keep::Open) => {}
            After::Keep(Keep::Close) => {
                connection.close().await;
                return None;
            }
            After::Keep(Keep::CloseAfter(time)) => {
                if connection.pass(time).await.is_ok() {
                    connection.close().await;
                }
                return None;
            }
            After::Cut(how) => {
                break_off(connection, how).await;
                return None;
            }
            After::Gone => return None,
            After::Exit(code) => {
                connection.close().await;
                return Some(code);
            }
        }
    }
}

/// The next request; none where the function is to end before it has begun.
async fn next(
    connection: &mut Connection,
    drain: &mut watch::Receiver<bool>,
) -> Result<Head, Unread> {
    let draining = async {
        // Without a sender the function has ended.
        let _ = drain.wait_for(|draining| *draining).await;
    };
    tokio::select! {
        biased;
        read = Head::read(connection) => return read,
        () = draining => {}
    }
    if connection.waiting().is_empty() {
        return Err(Unread::Ended);
    }
    Head::read(connection).await
}

/// Says that a request is none, and closes.
pub(crate) async fn malformed(mut connection: Connection, why: &str) {
    let mut reply = status_line(400);
    let text = format!("this is no request of HTTP/1.1: {why}\n");
    reply.extend_from_slice(
        format!(
            "Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
        .as_bytes(),
    );
    if connection.send(&reply).await.is_ok() {
        connection.close().await;
    }
}
