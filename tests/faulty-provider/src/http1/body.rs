//! Bodies, piece by piece.

use std::io;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Reader;
use super::head::{HeadError, Headers, Leniency, find, parse_line};

const MAX_LINE: usize = 4 * 1024;
const PIECE: usize = 64 * 1024;

/// How a body is told from what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, which is 0 where there is no body.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    /// What is left of the length, or of the chunk.
    left: u64,
    /// Whether the line end behind a chunk is still to come.
    after_chunk: bool,
    in_trailers: bool,
    done: bool,
    /// What came after the last chunk.
    pub(crate) trailers: Headers,
    /// A size that is none ends the body as if it were 0 (a defect).
    pub(crate) bad_size_ends: bool,
    /// The end of the connection ends the body, whatever was stated (a defect).
    pub(crate) end_is_enough: bool,
}

/// Why a body does not go on.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection ended before it did, or failed.
    Broken,
    /// Its chunks are none.
    Malformed(&'static str),
}

impl From<io::Error> for BodyError {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::Chunked | Framing::Close => 0,
        };
        Self {
            framing,
            left,
            after_chunk: false,
            in_trailers: false,
            done: framing == Framing::Length(0),
            trailers: Headers::default(),
            bad_size_ends: false,
            end_is_enough: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next piece of a body, at most 64 KiB of it. `None` at its end.
    pub(crate) async fn piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, BodyError> {
        if body.done {
            return Ok(None);
        }
        if body.framing == Framing::Chunked && body.left == 0 {
            self.next_chunk(body).await?;
            if body.done {
                return Ok(None);
            }
        }
        if self.buffer.is_empty() && !self.fill().await? {
            if body.framing == Framing::Close || body.end_is_enough {
                body.done = true;
                return Ok(None);
            }
            return Err(BodyError::Broken);
        }
        let mut length = self.buffer.len().min(PIECE);
        if body.framing != Framing::Close {
            length = length.min(usize::try_from(body.left).unwrap_or(PIECE));
            body.left -= length as u64;
            body.done = body.left == 0 && body.framing != Framing::Chunked;
            body.after_chunk = body.left == 0;
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// May be dropped while it waits: what it has read by then is kept in `body`.
    async fn next_chunk(&mut self, body: &mut Body) -> Result<(), BodyError> {
        if body.after_chunk {
            if !self.line(body).await?.is_empty() {
                return Err(BodyError::Malformed("no line end follows a chunk"));
            }
            body.after_chunk = false;
        }
        if !body.in_trailers && !body.done {
            let line = self.line(body).await?;
            match chunk_size(&line) {
                _ if body.done => {}
                Some(0) => body.in_trailers = true,
                Some(size) => body.left = size,
                None if body.bad_size_ends => body.done = true,
                None => return Err(BodyError::Malformed("the size of a chunk is none")),
            }
        }
        while body.in_trailers && !body.done {
            let line = self.line(body).await?;
            if line.is_empty() {
                body.done = true;
                break;
            }
            let parsed = parse_line(&line, Leniency::default());
            let trailer = parsed.map_err(|error| match error {
                HeadError::Malformed(what) => BodyError::Malformed(what),
                _ => BodyError::Broken,
            })?;
            body.trailers.0.push(trailer);
        }
        Ok(())
    }

    /// The next line, without its end.
    async fn line(&mut self, body: &mut Body) -> Result<Bytes, BodyError> {
        loop {
            if let Some(at) = find(&self.buffer, b"\n") {
                let line = self.buffer.split_to(at).freeze();
                self.buffer.advance(1);
                let Some(line) = line.strip_suffix(b"\r") else {
                    return Err(BodyError::Malformed("a line ends with a line feed alone"));
                };
                return Ok(Bytes::copy_from_slice(line));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(BodyError::Malformed("a line within the chunks is too long"));
            }
            if !self.fill().await? {
                if body.end_is_enough {
                    body.done = true;
                    return Ok(Bytes::new());
                }
                return Err(BodyError::Broken);
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?;
    let digits = std::str::from_utf8(size.trim_ascii_end()).ok()?;
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Writes a piece of a body, as a chunk of its own where it is chunked.
pub(crate) async fn write_piece(
    to: &mut (impl AsyncWrite + Unpin),
    framing: Framing,
    piece: &[u8],
) -> io::Result<()> {
    if framing == Framing::Chunked {
        if piece.is_empty() {
            return Ok(());
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        return to.write_all(&chunk).await;
    }
    to.write_all(piece).await
}

/// Ends a body that is chunked.
pub(crate) async fn write_last_chunk(
    to: &mut (impl AsyncWrite + Unpin),
    trailers: &Headers,
) -> io::Result<()> {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in &trailers.0 {
        end.extend_from_slice(name.as_bytes());
        end.extend_from_slice(b": ");
        end.extend_from_slice(value);
        end.extend_from_slice(b"\r\n");
    }
    end.extend_from_slice(b"\r\n");
    to.write_all(&end).await
}
