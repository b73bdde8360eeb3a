//! One connection of the function: what came and was not read yet, and the way back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How much may wait unread while the function is busy.
const MOST_WAITING: usize = 1 << 20;
/// How much room each read has, at the least.
const READ: usize = 16 * 1024;
/// How long the function waits for its caller to take the end of a reply.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// The caller has gone, or the connection has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A connection from a provider, or whoever calls.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Received and not read yet.
    waiting: Vec<u8>,
    peer: SocketAddr,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        // Pieces are to leave when they are written; without it they merely leave later.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            waiting: Vec::new(),
            peer,
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What was received and not read yet.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// Takes the first `count` bytes of what waits, or all of it.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.waiting.split_off(count.min(self.waiting.len()));
        std::mem::replace(&mut self.waiting, rest)
    }

    /// Receives something more; 0 at the end. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> io::Result<usize> {
        // A full buffer would grow by a few bytes only, and each read be as small.
        self.waiting.reserve(READ);
        self.stream.read_buf(&mut self.waiting).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Lets that time pass, unless the caller leaves.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<(), Gone> {
        if time.is_zero() {
            return Ok(());
        }
        let end = Instant::now() + time;
        while self.waiting.len() < MOST_WAITING {
            match timeout_at(end, self.receive()).await {
                Err(_) => return Ok(()),
                Ok(Ok(0) | Err(_)) => return Err(Gone),
                Ok(Ok(_)) => {}
            }
        }
        tokio::time::sleep_until(end).await;
        Ok(())
    }

    /// Says the end, and waits a little for the caller's, so that the last bytes are not lost to
    /// what was never read.
    pub(crate) async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let end = Instant::now() + LAST_BYTES;
        loop {
            self.waiting.clear();
            if !matches!(timeout_at(end, self.receive()).await, Ok(Ok(1..))) {
                return;
            }
        }
    }

    /// Ends with a reset (RST): what was sent and not received yet is lost.
    pub(crate) fn reset(self) {
        // Where it cannot be set, the close below is a plain one.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
