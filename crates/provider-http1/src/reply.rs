//! Replies as they go over the wire. RFC 9112 4 (status line), 6 and 7 (bodies).

use std::io::{self, IoSlice, Write as _};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::{Buf as _, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};

use crate::framing::{digits, may_trail, write_line};
use crate::socket::Writing;

/// A body's part up to this size is copied behind what goes before it, so that both are one write.
const COPIED: usize = 4096;
/// With so much waiting nothing more is taken.
const ENOUGH: usize = 16 * 1024;

/// What of a request its reply depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_http_10: bool,
}

/// How the end of a reply is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// So many more bytes.
    Length(u64),
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What is written next: these, one after another.
    text: Vec<u8>,
    chunk: Bytes,
    end: &'static [u8],
    /// How many bytes of `text` were written.
    written: usize,
    date: Date,
}

/// The header line with the present time, made once a second.
#[derive(Debug, Default)]
struct Date {
    second: u64,
    line: Vec<u8>,
}

impl Date {
    fn line(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if self.second != second || self.line.is_empty() {
            self.second = second;
            self.line.clear();
            // Writing to memory does not fail.
            let _ = write!(self.line, "date: {}\r\n", httpdate::HttpDate::from(now));
        }
        &self.line
    }
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    fn pending(&self) -> usize {
        self.text.len() - self.written + self.chunk.len() + self.end.len()
    }

    /// Whether a part of a body can be put behind what waits.
    pub(crate) fn has_room(&self) -> bool {
        self.chunk.is_empty() && self.end.is_empty() && self.text.len() < ENOUGH
    }

    /// An interim reply that tells the client to go on.
    pub(crate) fn go_on(&mut self) {
        self.text
            .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// A whole reply that ends its connection.
    pub(crate) fn refuse(&mut self, status: StatusCode, message: &str) {
        let reason = status.canonical_reason().unwrap_or_default();
        let body = format!("{} {reason}: {message}\n", status.as_u16());
        self.status(false, status);
        let date = self.date.line();
        self.text.extend_from_slice(date);
        // Writing to memory does not fail.
        let _ = write!(
            self.text,
            "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn status(&mut self, is_http_10: bool, status: StatusCode) {
        let version = if is_http_10 { "HTTP/1.0 " } else { "HTTP/1.1 " };
        let reason = status.canonical_reason().unwrap_or_default();
        for part in [version, status.as_str(), " ", reason, "\r\n"] {
            self.text.extend_from_slice(part.as_bytes());
        }
    }

    /// Begins a reply. `stays` says whether the connection is to go on, and is set to false where
    /// it cannot.
    pub(crate) fn begin(
        &mut self,
        asked: Asked,
        head: &Parts,
        size: &SizeHint,
        stays: &mut bool,
    ) -> Framing {
        self.status(asked.is_http_10, head.status);
        let upgrades = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut has_date = false;
        let mut declared = None;
        for (name, value) in &head.headers {
            if name == CONTENT_LENGTH {
                declared = digits(value);
            } else if name == TRANSFER_ENCODING {
                // It is ours to say.
            } else if name == CONNECTION && !upgrades {
                let mut tokens = value.as_bytes().split(|&byte| byte == b',');
                *stays &= !tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
            } else {
                has_date |= name == DATE;
                write_line(&mut self.text, name, value.as_bytes());
            }
        }
        let framing = self.frame(asked, head.status, declared, size);
        // After a final reply that is none, nobody knows what the client makes of the next one.
        *stays &= framing != Framing::UntilClose && !head.status.is_informational();
        if !*stays && !upgrades {
            self.text.extend_from_slice(b"connection: close\r\n");
        } else if asked.is_http_10 {
            self.text.extend_from_slice(b"connection: keep-alive\r\n");
        }
        if !has_date {
            self.text.extend_from_slice(self.date.line());
        }
        self.text.extend_from_slice(b"\r\n");
        framing
    }

    /// Says how long the body is, and how its end is told. RFC 9110 8.6, RFC 9112 6.
    fn frame(
        &mut self,
        asked: Asked,
        status: StatusCode,
        declared: Option<u64>,
        size: &SizeHint,
    ) -> Framing {
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            return Framing::None;
        }
        if asked.is_head || status == StatusCode::NOT_MODIFIED {
            // How long it would be, if that is known.
            if let Some(length) = declared.or(size.exact().filter(|&length| length > 0)) {
                self.length(length);
            }
            return Framing::None;
        }
        match declared.or(size.exact()) {
            Some(length) => {
                self.length(length);
                Framing::Length(length)
            }
            None if asked.is_http_10 => Framing::UntilClose,
            None => {
                self.text
                    .extend_from_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
        }
    }

    fn length(&mut self, length: u64) {
        write_line(
            &mut self.text,
            &CONTENT_LENGTH,
            http::HeaderValue::from(length).as_bytes(),
        );
    }

    /// Puts a part of the body behind what waits; false if it is more than was said.
    pub(crate) fn put(&mut self, framing: &mut Framing, frame: Frame<Bytes>) -> bool {
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let (Framing::Chunked, Ok(trailers)) = (*framing, frame.into_trailers()) {
                    self.last_chunk(&trailers);
                    *framing = Framing::Length(0);
                }
                return true;
            }
        };
        let mut fits = true;
        match framing {
            _ if data.is_empty() => return true,
            Framing::None => return true,
            Framing::UntilClose => self.append(data),
            Framing::Chunked => {
                // Writing to memory does not fail.
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.append(data);
                self.append_end(b"\r\n");
            }
            Framing::Length(left) => {
                if data.len() as u64 > *left {
                    fits = false;
                    data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                }
                *left -= data.len() as u64;
                self.append(data);
            }
        }
        fits
    }

    fn append(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.text.extend_from_slice(&data);
        } else {
            self.chunk = data;
        }
    }

    fn append_end(&mut self, end: &'static [u8]) {
        if self.chunk.is_empty() {
            self.text.extend_from_slice(end);
        } else {
            self.end = end;
        }
    }

    fn last_chunk(&mut self, trailers: &HeaderMap) {
        self.text.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
            write_line(&mut self.text, name, value.as_bytes());
        }
        self.text.extend_from_slice(b"\r\n");
    }

    /// Ends the body, right after its last part was put or when there is room; false if it is
    /// shorter than was said.
    pub(crate) fn finish(&mut self, framing: &mut Framing) -> bool {
        match *framing {
            Framing::Length(1..) => false,
            Framing::None | Framing::Length(0) | Framing::UntilClose => true,
            Framing::Chunked => {
                *framing = Framing::Length(0);
                if self.end.is_empty() {
                    self.append_end(b"0\r\n\r\n");
                } else {
                    self.end = b"\r\n0\r\n\r\n";
                }
                true
            }
        }
    }

    /// Writes some of what waits.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        writing: &mut Writing,
    ) -> Poll<io::Result<()>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let pieces = [
            IoSlice::new(text),
            IoSlice::new(&self.chunk),
            IoSlice::new(self.end),
        ];
        let mut wrote = ready!(writing.poll_write(cx, &pieces))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_text = wrote.min(text.len());
        self.written += of_text;
        wrote -= of_text;
        let of_chunk = wrote.min(self.chunk.len());
        self.chunk.advance(of_chunk);
        self.end = self.end.get(wrote - of_chunk..).unwrap_or_default();
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets what a reply needed and the next one may not.
    pub(crate) fn shrink(&mut self) {
        if self.text.capacity() > 2 * COPIED {
            self.text = Vec::new();
        }
    }
}
