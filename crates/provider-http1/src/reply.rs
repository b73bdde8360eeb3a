//! Replies as they go over the wire. RFC 9112 4 (status line), 6 and 7 (bodies).

use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http_body::{Frame, SizeHint};

use crate::framing::{digits, write_line};
use crate::outgoing::Outgoing;
use crate::socket::Writing;

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

/// The replies of a connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    waiting: Outgoing,
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
        self.waiting.is_empty()
    }

    /// Whether a part of a body can be put behind what waits.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.has_room()
    }

    /// An interim reply that tells the client to go on.
    pub(crate) fn go_on(&mut self) {
        self.waiting
            .text()
            .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// A whole reply that ends its connection.
    pub(crate) fn refuse(&mut self, status: StatusCode, message: &str) {
        let reason = status.canonical_reason().unwrap_or_default();
        let body = format!("{} {reason}: {message}\n", status.as_u16());
        self.status(false, status);
        let date = self.date.line();
        self.waiting.text().extend_from_slice(date);
        // Writing to memory does not fail.
        let _ = write!(
            self.waiting.text(),
            "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn status(&mut self, is_http_10: bool, status: StatusCode) {
        let version = if is_http_10 { "HTTP/1.0 " } else { "HTTP/1.1 " };
        let reason = status.canonical_reason().unwrap_or_default();
        for part in [version, status.as_str(), " ", reason, "\r\n"] {
            self.waiting.text().extend_from_slice(part.as_bytes());
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
                write_line(self.waiting.text(), name, value.as_bytes());
            }
        }
        let framing = self.frame(asked, head.status, declared, size);
        // After a final reply that is none, nobody knows what the client makes of the next one.
        *stays &= framing != Framing::UntilClose && !head.status.is_informational();
        if !*stays && !upgrades {
            self.waiting
                .text()
                .extend_from_slice(b"connection: close\r\n");
        } else if asked.is_http_10 {
            self.waiting
                .text()
                .extend_from_slice(b"connection: keep-alive\r\n");
        }
        if !has_date {
            self.waiting.text().extend_from_slice(self.date.line());
        }
        self.waiting.text().extend_from_slice(b"\r\n");
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
                self.waiting
                    .text()
                    .extend_from_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
        }
    }

    fn length(&mut self, length: u64) {
        write_line(
            self.waiting.text(),
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
                    self.waiting.end_chunks_with(&trailers);
                    *framing = Framing::Length(0);
                }
                return true;
            }
        };
        let mut fits = true;
        match framing {
            Framing::None => {}
            Framing::UntilClose => self.waiting.put(data),
            Framing::Chunked => self.waiting.put_chunk(data),
            Framing::Length(left) => {
                if data.len() as u64 > *left {
                    fits = false;
                    data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                }
                *left -= data.len() as u64;
                self.waiting.put(data);
            }
        }
        fits
    }

    /// Ends the body, right after its last part was put or when there is room; false if it is
    /// shorter than was said.
    pub(crate) fn finish(&mut self, framing: &mut Framing) -> bool {
        match *framing {
            Framing::Length(1..) => false,
            Framing::None | Framing::Length(0) | Framing::UntilClose => true,
            Framing::Chunked => {
                *framing = Framing::Length(0);
                self.waiting.end_chunks();
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
        let wrote = ready!(writing.poll_write(cx, &self.waiting.slices()))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.waiting.advance(wrote);
        Poll::Ready(Ok(()))
    }

    /// Forgets what a reply needed and the next one may not.
    pub(crate) fn shrink(&mut self) {
        self.waiting.shrink();
    }
}
