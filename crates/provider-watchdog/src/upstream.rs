//! Connections to the program of mode `http`.
//!
//! A connection is used again only when it was idle for no longer than half a second, as
//! of-watchdog does: programs close theirs without a word, some after few seconds. One that is
//! found closed before a request was written to it is replaced.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::Upstream;
use crate::reply::Body;

const IDLE: Duration = Duration::from_millis(500);
const MOST_IDLE: usize = 100;
/// Between two tries to connect to a program that has not listened yet.
const RETRY: Duration = Duration::from_millis(20);

/// Sends requests to the program.
#[derive(Debug)]
pub(crate) struct Connections {
    upstream: Upstream,
    idle: Mutex<Vec<(SendRequest<Body>, Instant)>>,
    /// A connection was made once, so the program has listened.
    listened: AtomicBool,
}

/// A connection in use. It goes back with [`InUse::finished`], and is closed otherwise.
#[derive(Debug)]
pub(crate) struct InUse {
    connections: Arc<Connections>,
    sender: SendRequest<Body>,
}

/// Why there is no reply from the program.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error("no connection to the function's program could be made")]
    Connect(#[source] io::Error),
    #[error("the function's program did not answer as HTTP asks for")]
    Exchange(#[source] hyper::Error),
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(upstream: Upstream) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            idle: Mutex::default(),
            listened: AtomicBool::new(false),
        })
    }

    /// Sends a request. While the program has not listened yet, this waits for it.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, InUse), UpstreamError> {
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.in_use(sender))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(UpstreamError::Exchange(error.into_error())),
                },
            }
        }
        let stream = self.connect().await.map_err(UpstreamError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(UpstreamError::Exchange)?;
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await;
        let response = response.map_err(UpstreamError::Exchange)?;
        Ok((response, self.in_use(sender)))
    }

    /// What comes before every request's path.
    pub(crate) fn prefix(&self) -> &str {
        &self.upstream.prefix
    }

    /// Whether the program listens.
    pub(crate) async fn listens(&self) -> bool {
        if !self.listened.load(Ordering::Relaxed) && self.dial().await.is_ok() {
            self.listened.store(true, Ordering::Relaxed);
        }
        self.listened.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        loop {
            match self.dial().await {
                Ok(stream) => {
                    self.listened.store(true, Ordering::Relaxed);
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && !self.listened.load(Ordering::Relaxed) =>
                {
                    sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let Upstream { host, port, .. } = &self.upstream;
        // RFC 6761: an image made from scratch has no file that says so.
        if host.eq_ignore_ascii_case("localhost") {
            return match TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await {
                Ok(stream) => Ok(stream),
                Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, *port))
                    .await
                    .map_err(|_| error),
            };
        }
        TcpStream::connect((host.as_str(), *port)).await
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if since.elapsed() > IDLE {
                // All below it are older.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn in_use(self: &Arc<Self>, sender: SendRequest<Body>) -> InUse {
        InUse {
            connections: Arc::clone(self),
            sender,
        }
    }
}

// === impl InUse ===

impl InUse {
    /// The reply was read to its end: the connection may serve another call.
    pub(crate) fn finished(self) {
        let idle = &self.connections.idle;
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE && !self.sender.is_closed() {
            idle.push((self.sender, Instant::now()));
        }
    }
}
