//! Replies as they come over the wire. RFC 9112 4 (status line), 5 (fields), 6 and 7 (bodies).
//!
//! Nothing here reads from a socket: bytes are taken off the front of a buffer, or more are asked
//! for.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use thiserror::Error;

/// Header lines of a usual reply; they are parsed on the stack.
const USUAL_LINES: usize = 64;
/// Header lines, of a head or of trailers.
const MAX_LINES: usize = 1024;
/// Bytes of a head, or of trailers.
const MAX_HEAD: usize = 256 * 1024;
/// Bytes of a line that says how long a chunk is, its extensions included.
const MAX_CHUNK_LINE: usize = 16 * 1024;

/// Why what came is no reply.
#[derive(Debug, Error)]
pub(crate) enum Invalid {
    #[error("the head is not HTTP/1.1")]
    Head(#[source] httparse::Error),
    #[error("the head is larger than {MAX_HEAD} bytes")]
    TooLarge,
    #[error("a header cannot be passed on")]
    Header,
    #[error("its length is not a number, is said twice or is coded in an unknown way")]
    Framing,
    #[error("a chunk does not begin with its length")]
    Chunk,
    #[error("the trailers are no header lines")]
    Trailers,
}

/// The head of a reply.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Another call can follow on the connection, as far as the head says.
    pub(crate) reusable: bool,
    /// How its body ends.
    pub(crate) coding: Coding,
}

impl Head {
    /// Takes a head off the front of `buffer`; `None` if it has not come whole. `seen` is 0 at
    /// first and then what the last look left there; `is_head` is true if HEAD was asked.
    pub(crate) fn take(
        buffer: &mut BytesMut,
        seen: &mut usize,
        is_head: bool,
    ) -> Result<Option<Self>, Invalid> {
        let Some(raw) = take_lines(buffer, seen)? else {
            return Ok(None);
        };
        let mut few = [const { MaybeUninit::uninit() }; USUAL_LINES];
        match Self::parse(&raw, &mut few, is_head) {
            Err(Invalid::Head(httparse::Error::TooManyHeaders)) => {
                let mut many = vec![MaybeUninit::uninit(); MAX_LINES];
                Self::parse(&raw, &mut many, is_head)
            }
            parsed => parsed,
        }
        .map(Some)
    }

    fn parse<'raw>(
        raw: &'raw Bytes,
        lines: &mut [MaybeUninit<httparse::Header<'raw>>],
        is_head: bool,
    ) -> Result<Self, Invalid> {
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, raw, lines)
            .map_err(Invalid::Head)?;
        let (httparse::Status::Complete(_), Some(status), Some(minor)) =
            (parsed, response.code, response.version)
        else {
            return Err(Invalid::Head(httparse::Error::Status));
        };
        let status =
            StatusCode::from_u16(status).map_err(|_| Invalid::Head(httparse::Error::Status))?;
        let (headers, mut framing) = fields(raw, response.headers)?;
        // HTTP/1.0 has no chunks. RFC 9112 6.1.
        framing.unsound |= framing.chunked && minor == 0;
        let coding = framing.coding(status, is_head)?;
        Ok(Self {
            status,
            headers,
            // The connection of a function that speaks HTTP/1.0 is closed even if it says that it
            // would stay: what it makes of a chunked request is anybody's guess.
            reusable: minor == 1 && !framing.close && !matches!(coding, Coding::UntilClose),
            coding,
        })
    }

    /// Whether it is one that only announces another one. RFC 9110 15.2.
    pub(crate) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Takes lines off the front, up to the first empty one. A line may end without its CR, RFC 9112
/// 2.2. `seen` is how much was searched before.
fn take_lines(buffer: &mut BytesMut, seen: &mut usize) -> Result<Option<Bytes>, Invalid> {
    while let Some(at) = memchr::memchr(b'\n', buffer.get(*seen..).unwrap_or_default()) {
        let before = buffer.get(..*seen + at).unwrap_or_default();
        *seen += at + 1;
        let line = before.strip_suffix(b"\r").unwrap_or(before);
        if line.is_empty() || line.ends_with(b"\n") {
            return Ok(Some(buffer.split_to(std::mem::take(seen)).freeze()));
        }
    }
    *seen = buffer.len();
    if buffer.len() > MAX_HEAD {
        return Err(Invalid::TooLarge);
    }
    Ok(None)
}

/// What header lines say about where their message ends.
#[derive(Debug, Default)]
struct Framing {
    length: Option<HeaderValue>,
    chunked: bool,
    /// They contradict each other, or name a coding that would reach the caller undecoded and
    /// unannounced.
    unsound: bool,
    close: bool,
}

impl Framing {
    /// Looks at a header line; false if it says nothing to anybody beyond this connection.
    fn see(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if name == CONTENT_LENGTH {
            self.unsound |= self.length.as_ref().is_some_and(|other| other != value);
            self.length = Some(value.clone());
        } else if name == TRANSFER_ENCODING {
            self.unsound |= self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
        } else if name == CONNECTION {
            let mut passes = false;
            for token in value.as_bytes().split(|&byte| byte == b',') {
                let token = token.trim_ascii();
                let close = token.eq_ignore_ascii_case(b"close");
                self.close |= close;
                passes |= !close && !token.eq_ignore_ascii_case(b"keep-alive");
            }
            return passes;
        }
        true
    }

    fn coding(&self, status: StatusCode, is_head: bool) -> Result<Coding, Invalid> {
        // Both headers together may be an attempt to smuggle a second reply.
        if self.unsound || (self.chunked && self.length.is_some()) {
            return Err(Invalid::Framing);
        }
        let length = match &self.length {
            None => None,
            Some(length) => Some(digits(length).ok_or(Invalid::Framing)?),
        };
        let has_none = is_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match length {
            _ if has_none => Coding::Length(0),
            _ if self.chunked => Coding::Chunked(Chunked::Size),
            Some(length) => Coding::Length(length),
            None => Coding::UntilClose,
        })
    }
}

/// A number of nothing but digits: no sign, no blank.
fn digits(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Header lines as a map whose values share the bytes of the head.
fn fields(raw: &Bytes, lines: &[httparse::Header<'_>]) -> Result<(HeaderMap, Framing), Invalid> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    let mut framing = Framing::default();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Invalid::Header)?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(line.value))
            .map_err(|_| Invalid::Header)?;
        if framing.see(&name, &value) {
            headers.append(name, value);
        }
    }
    Ok((headers, framing))
}

/// How a body ends, and how far it is. RFC 9112 6.3.
#[derive(Debug)]
pub(crate) enum Coding {
    /// After so many more bytes.
    Length(u64),
    /// With a last chunk.
    Chunked(Chunked),
    /// With its connection.
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
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
pub(crate) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing until more is read.
    NeedsMore,
}

impl Coding {
    /// Whether the body is over.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// How many bytes are still to come, where that is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(*length),
            Self::Chunked(Chunked::Done) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes the next part of the body off the front of `buffer`.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Part, Invalid> {
        match self {
            _ if self.is_done() => Ok(Part::End),
            _ if buffer.is_empty() => Ok(Part::NeedsMore),
            Self::Length(left) => Ok(Part::Data(split(buffer, left))),
            Self::UntilClose => Ok(Part::Data(buffer.split().freeze())),
            Self::Chunked(chunked) => chunked.take(buffer),
        }
    }
}

/// At most `left` bytes off the front.
fn split(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

impl Chunked {
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Part, Invalid> {
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
                    _ => return Err(Invalid::Chunk),
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
                    _ => return Err(Invalid::Chunk),
                },
                Self::Trailers(seen) => {
                    let Some(raw) = take_lines(buffer, seen)? else {
                        return Ok(Part::NeedsMore);
                    };
                    let trailers = trailers(&raw)?;
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

fn trailers(raw: &Bytes) -> Result<HeaderMap, Invalid> {
    if raw.len() <= 2 {
        return Ok(HeaderMap::new());
    }
    let mut lines = vec![httparse::EMPTY_HEADER; MAX_LINES];
    match httparse::parse_headers(raw, &mut lines) {
        Ok(httparse::Status::Complete((_, lines))) => Ok(fields(raw, lines)?.0),
        _ => Err(Invalid::Trailers),
    }
}

#[cfg(test)]
mod tests;
