//! Heads of replies, as they come from a server. RFC 9112 4 and 5.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::framing::{
    BadLines, Coding, Endings, Framing, MAX_HEAD, MAX_LINES, TransferCoding, USUAL_LINES, fields,
    take_lines,
};

/// Why what came is no head of a reply.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidHead {
    /// It cannot be read.
    #[error("the head is not HTTP/1.1")]
    Syntax(#[source] httparse::Error),
    /// It does not end.
    #[error("the head is larger than {MAX_HEAD} bytes")]
    TooLarge,
    /// A name or a value has a byte that it must not have.
    #[error("a header cannot be passed on")]
    Header,
    /// Where its body ends is not clear.
    #[error("its length is not a number, is said twice or is coded in an unknown way")]
    Framing,
}

/// The head of a reply.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, `Connection` only if it says more than `close` and `keep-alive`.
    pub headers: HeaderMap,
    /// Another call can follow on the connection, as far as the head says.
    pub reusable: bool,
    /// How its body ends.
    pub coding: Coding,
}

impl ResponseHead {
    /// Takes a head off the front of `buffer`; `None` if it has not come whole. `seen` is 0 at
    /// first and then what the last look left there; `is_head` is true if HEAD was asked.
    ///
    /// # Errors
    /// When what is there can be no head, or none that says where its body ends.
    pub fn take(
        buffer: &mut BytesMut,
        seen: &mut usize,
        is_head: bool,
    ) -> Result<Option<Self>, InvalidHead> {
        let raw = match take_lines(buffer, seen, Endings::Lenient) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(None),
            Err(BadLines::TooLarge | BadLines::BareLineFeed) => return Err(InvalidHead::TooLarge),
        };
        let mut few = [const { MaybeUninit::uninit() }; USUAL_LINES];
        match Self::parse(&raw, &mut few, is_head) {
            Err(InvalidHead::Syntax(httparse::Error::TooManyHeaders)) => {
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
    ) -> Result<Self, InvalidHead> {
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, raw, lines)
            .map_err(InvalidHead::Syntax)?;
        let (httparse::Status::Complete(_), Some(status), Some(minor)) =
            (parsed, response.code, response.version)
        else {
            return Err(InvalidHead::Syntax(httparse::Error::Status));
        };
        let status = StatusCode::from_u16(status)
            .map_err(|_| InvalidHead::Syntax(httparse::Error::Status))?;
        let (headers, framing) = fields(raw, response.headers).ok_or(InvalidHead::Header)?;
        let coding = coding(&framing, minor, status, is_head).ok_or(InvalidHead::Framing)?;
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
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

fn coding(framing: &Framing, minor: u8, status: StatusCode, is_head: bool) -> Option<Coding> {
    let length = framing.length().ok()?;
    let chunked = match (framing.coding, length) {
        (TransferCoding::None, _) => false,
        // HTTP/1.0 has no chunks. RFC 9112 6.1. Both headers together may be an attempt to smuggle
        // a second reply.
        (TransferCoding::Chunked, None) if minor == 1 => true,
        (TransferCoding::Chunked | TransferCoding::Unknown, _) => return None,
    };
    let has_none = is_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Some(match length {
        _ if has_none => Coding::Length(0),
        _ if chunked => Coding::chunked(),
        Some(length) => Coding::Length(length),
        None => Coding::UntilClose,
    })
}

#[cfg(test)]
mod tests;
