//! HTTP/1.1 as it goes over a connection: heads and bodies, read strictly, in both directions.
//!
//! Written by hand, because a defect must be able to break any byte of it.

mod body;
mod head;

pub(crate) use body::{Body, BodyError, Framing, write_last_chunk, write_piece};
pub(crate) use head::{Head, HeadError, Headers, Leniency};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A connection's bytes as they come, with those that came too early kept.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            buffer: BytesMut::with_capacity(16 * 1024),
        }
    }

    /// Waits for more bytes. False at the end of the connection.
    pub(crate) async fn fill(&mut self) -> std::io::Result<bool> {
        self.buffer.reserve(16 * 1024);
        Ok(self.from.read_buf(&mut self.buffer).await? > 0)
    }

    /// Returns when the peer has closed the connection. What comes before is kept, up to a bound.
    pub(crate) async fn closed(&mut self) {
        while self.buffer.len() < 1024 * 1024 {
            if !self.fill().await.unwrap_or(false) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Whether bytes are there that nobody has taken.
    pub(crate) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Throws away what nobody has taken (a defect).
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
    }

    /// Bytes as they come, nothing at the end.
    pub(crate) async fn some(&mut self) -> std::io::Result<Bytes> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Ok(Bytes::new());
        }
        Ok(self.buffer.split().freeze())
    }

    /// What came too early, and where the rest comes from.
    pub(crate) fn into_parts(self) -> (BytesMut, R) {
        (self.buffer, self.from)
    }
}
