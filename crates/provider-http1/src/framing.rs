//! Where a message ends: what its header lines say of that, and its body taken off a buffer. RFC
//! 9112 6 and 7.
//!
//! Nothing here reads from a socket: bytes are taken off the front of a buffer, or more are asked
//! for.

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, EXPECT, HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Header lines of a usual message; they are parsed on the stack.
pub(crate) const USUAL_LINES: usize = 64;
/// Header lines, of a head or of trailers.
pub(crate) const MAX_LINES: usize = 1024;
/// Bytes of a head, or of trailers.
pub(crate) const MAX_HEAD: usize = 256 * 1024;
/// Bytes of a line that says how long a chunk is, its extensions included.
const MAX_CHUNK_LINE: usize = 16 * 1024;

/// Why a body cannot be read on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidBody {
    /// What should be the length of a chunk is none, or its chunk is followed by something else.
    #[error("a chunk does not begin with its length, or end where it should")]
    Chunk,
    /// What follows the last chunk are no header lines.
    #[error("the trailers are no header lines")]
    Trailers,
}

/// What a search for the end of header lines finds wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadLines {
    TooLarge,
    /// A line feed without its carriage return.
    BareLineFeed,
}

/// How lines may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endings {
    /// With CR and LF: another reader of a request may not see a line where a bare LF ends one.
    Strict,
    /// A line may end without its CR. RFC 9112 2.2.
    Lenient,
}

/// Takes lines off the front, up to the first empty one. `seen` is how much was searched before.
pub(crate) fn take_lines(
    buffer: &mut BytesMut,
    seen: &mut usize,
    endings: Endings,
) -> Result<Option<Bytes>, BadLines> {
    while let Some(at) = memchr::memchr(b'\n', buffer.get(*seen..).unwrap_or_default()) {
        let before = buffer.get(..*seen + at).unwrap_or_default();
        *seen += at + 1;
        let line = match before.strip_suffix(b"\r") {
            Some(line) => line,
            None if endings == Endings::Strict => return Err(BadLines::BareLineFeed),
            None => before,
        };
        if line.is_empty() || line.ends_with(b"\n") {
            return Ok(Some(buffer.split_to(std::mem::take(seen)).freeze()));
        }
    }
    *seen = buffer.len();
    if buffer.len() > MAX_HEAD {
        return Err(BadLines::TooLarge);
    }
    Ok(None)
}

/// What header lines say of their message and its connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    pub(crate) length: Option<HeaderValue>,
    pub(crate) lengths_differ: bool,
    pub(crate) coding: TransferCoding,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) hosts: usize,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) expect: Option<HeaderValue>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TransferCoding {
    #[default]
    None,
    Chunked,
    /// Anything else: it would reach the other side undecoded and unannounced.
    Unknown,
}

impl Framing {
    /// Looks at a header line; false if it says nothing, or nothing to anybody beyond this
    /// connection.
    fn see(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if name == HOST {
            self.hosts += 1;
            self.host = Some(value.clone());
        } else if name == CONTENT_LENGTH {
            if let Some(length) = &self.length {
                self.lengths_differ |= length != value;
                return false;
            }
            self.length = Some(value.clone());
        } else if name == TRANSFER_ENCODING {
            let only = self.coding == TransferCoding::None;
            self.coding = if only && value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                TransferCoding::Chunked
            } else {
                TransferCoding::Unknown
            };
        } else if name == CONNECTION {
            return self.see_connection(value);
        } else if name == EXPECT {
            self.expect = Some(value.clone());
        }
        true
    }

    fn see_connection(&mut self, value: &HeaderValue) -> bool {
        let mut passes = false;
        for token in value.as_bytes().split(|&byte| byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
                passes = true;
            }
        }
        passes
    }

    /// The length, if it is said; `Err` if that is no number, or several.
    pub(crate) fn length(&self) -> Result<Option<u64>, ()> {
        match &self.length {
            None => Ok(None),
            Some(_) if self.lengths_differ => Err(()),
            Some(length) => digits(length).map(Some).ok_or(()),
        }
    }
}

/// A number of nothing but digits: no sign, no blank.
pub(crate) fn digits(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Header lines as a map whose values share the bytes of the head. `None` if one of them cannot be
/// passed on.
pub(crate) fn fields(raw: &Bytes, lines: &[httparse::Header<'_>]) -> Option<(HeaderMap, Framing)> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    let mut framing = Framing::default();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(line.value)).ok()?;
        if framing.see(&name, &value) {
            headers.append(name, value);
        }
    }
    Some((headers, framing))
}

/// Whether a field may come after the body. RFC 9110 6.5.1.
pub(crate) fn may_trail(name: &HeaderName) -> bool {
    ![
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ]
    .contains(name)
}

/// Appends a header line.
pub fn write_line(text: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}

/// How a body ends, and how far it is. RFC 9112 6.3.
#[derive(Debug)]
pub enum Coding {
    /// After so many more bytes.
    Length(u64),
    /// With a last chunk.
    Chunked(Chunked),
    /// With its connection.
    UntilClose,
}

/// How far a chunked body is.
#[derive(Debug)]
pub struct Chunked(State);

#[derive(Debug)]
enum State {
    /// The line that says how long the next chunk is.
    Size,
    /// So many more bytes of a chunk.
    Data(u64),
    /// The end of the line after a chunk.
    DataEnd,
    /// What follows the last chunk; how much of it was seen.
    Trailers(usize),
    Done,
}

/// What a buffer has of a body.
#[derive(Debug)]
pub enum Part {
    /// Bytes of the body.
    Data(Bytes),
    /// Fields that follow it.
    Trailers(HeaderMap),
    /// The body is over.
    End,
    /// Nothing until more is read.
    NeedsMore,
}

impl Coding {
    /// A chunked body that has not begun.
    #[must_use]
    pub fn chunked() -> Self {
        Self::Chunked(Chunked(State::Size))
    }

    /// Whether the body is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked(State::Done)))
    }

    /// How many bytes are still to come, where that is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            Self::Chunked(Chunked(State::Done)) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes the next part of the body off the front of `buffer`.
    ///
    /// # Errors
    /// When what is there can be no part of it.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Part, InvalidBody> {
        match self {
            _ if self.is_done() => Ok(Part::End),
            _ if buffer.is_empty() => Ok(Part::NeedsMore),
            Self::Length(left) => Ok(Part::Data(split(buffer, left))),
            Self::UntilClose => Ok(Part::Data(buffer.split().freeze())),
            Self::Chunked(Chunked(state)) => state.take(buffer),
        }
    }
}

/// At most `left` bytes off the front.
fn split(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

impl State {
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Part, InvalidBody> {
        loop {
            match self {
                Self::Size => match httparse::parse_chunk_size(buffer) {
                    Ok(httparse::Status::Complete((line, size))) => {
                        buffer.advance(line);
                        *self = if size == 0 {
                            Self::Trailers(0)
                        } else {
                            Self::Data(size)
                        };
                    }
                    Ok(httparse::Status::Partial) if buffer.len() <= MAX_CHUNK_LINE => {
                        return Ok(Part::NeedsMore);
                    }
                    _ => return Err(InvalidBody::Chunk),
                },
                Self::Data(_) if buffer.is_empty() => return Ok(Part::NeedsMore),
                Self::Data(left) => {
                    let data = split(buffer, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Part::Data(data));
                }
                Self::DataEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    None if b"\r\n".starts_with(buffer) => return Ok(Part::NeedsMore),
                    _ => return Err(InvalidBody::Chunk),
                },
                Self::Trailers(seen) => {
                    let lines = take_lines(buffer, seen, Endings::Strict);
                    let Some(raw) = lines.map_err(|_| InvalidBody::Trailers)? else {
                        return Ok(Part::NeedsMore);
                    };
                    let trailers = trailers(&raw).ok_or(InvalidBody::Trailers)?;
                    *self = Self::Done;
                    if !trailers.is_empty() {
                        return Ok(Part::Trailers(trailers));
                    }
                }
                Self::Done => return Ok(Part::End),
            }
        }
    }
}

fn trailers(raw: &Bytes) -> Option<HeaderMap> {
    if raw.len() <= 2 {
        return Some(HeaderMap::new());
    }
    let mut lines = vec![httparse::EMPTY_HEADER; MAX_LINES];
    match httparse::parse_headers(raw, &mut lines) {
        Ok(httparse::Status::Complete((_, lines))) => Some(fields(raw, lines)?.0),
        _ => None,
    }
}
