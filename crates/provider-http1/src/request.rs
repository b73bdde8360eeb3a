//! Heads of requests, as they come from a client. RFC 9112 3 and 5, without what it lets a server
//! tolerate: what two readers can understand differently is refused.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use thiserror::Error;

use crate::framing::{
    BadLines, Coding, Endings, Framing, MAX_HEAD, MAX_LINES, TransferCoding, USUAL_LINES, fields,
    take_lines,
};

/// The longest target that `http::Uri` holds.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Why a request is not answered by anybody but its connection, which ends with it: what follows
/// may be a part of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// It cannot be read.
    #[error("malformed request: {0}")]
    Syntax(httparse::Error),
    /// A line feed came without its carriage return.
    #[error("malformed request: a line ends without its carriage return")]
    BareLineFeed,
    /// The target is no path, no absolute URL, and not `*`.
    #[error("malformed request: invalid target")]
    Target,
    /// A name or a value has a byte that it must not have.
    #[error("malformed request: invalid header")]
    Header,
    /// `Host` is missing.
    #[error("missing required Host header")]
    NoHost,
    /// `Host` is there more than once.
    #[error("too many Host headers")]
    ManyHosts,
    /// `Host` is no host.
    #[error("malformed Host header")]
    Host,
    /// `Content-Length` is no number, or is said in different ways.
    #[error("the length of the body is not a number, or is said in different ways")]
    Length,
    /// A length and a coding contradict each other.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndCoding,
    /// HTTP/1.0 has no codings.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    OldCoding,
    /// The body is coded in another way than `chunked` alone.
    #[error("the only transfer coding taken is chunked, once")]
    Coding,
    /// Another version than 1.0 and 1.1.
    #[error("the versions taken are HTTP/1.1 and HTTP/1.0")]
    Version,
    /// The target is longer than anybody takes.
    #[error("the target is longer than {MAX_TARGET} bytes")]
    TargetTooLong,
    /// The head is too large, or has too many lines.
    #[error("the header is larger than {MAX_HEAD} bytes or has more than {MAX_LINES} lines")]
    TooLarge,
    /// `Expect` asks for something else than `100-continue`.
    #[error("the only expectation met is 100-continue")]
    Expectation,
}

impl BadRequest {
    /// What it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Syntax(_)
            | Self::BareLineFeed
            | Self::Target
            | Self::Header
            | Self::NoHost
            | Self::ManyHosts
            | Self::Host
            | Self::Length
            | Self::LengthAndCoding
            | Self::OldCoding => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }
}

/// The head of a request, and what it says of its connection.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target, version and headers; `Connection` only if it says more than `close` and
    /// `keep-alive`. Bytes of the target that no URI has are percent-encoded.
    pub request: Request<()>,
    /// How its body ends.
    pub coding: Coding,
    /// Another request may follow.
    pub keeps_alive: bool,
    /// The client waits to be told that its body is wanted.
    pub expects_continue: bool,
    /// The client would go on with another protocol.
    pub asks_upgrade: bool,
}

impl RequestHead {
    /// Takes a head off the front of `buffer`; `None` if it has not come whole. `seen` is 0 at
    /// first and then what the last look left there.
    ///
    /// # Errors
    /// When what is there can be no head, or one that could be understood in two ways.
    pub fn take(buffer: &mut BytesMut, seen: &mut usize) -> Result<Option<Self>, BadRequest> {
        // What some old clients send after a body. RFC 9112 2.2.
        while *seen == 0 && buffer.starts_with(b"\r\n") {
            let _ = buffer.split_to(2);
        }
        if *seen == 0 && buffer.as_ref() == b"\r" {
            return Ok(None);
        }
        let raw = match take_lines(buffer, seen, Endings::Strict) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(None),
            Err(BadLines::TooLarge) => return Err(BadRequest::TooLarge),
            Err(BadLines::BareLineFeed) => return Err(BadRequest::BareLineFeed),
        };
        let mut few = [const { MaybeUninit::uninit() }; USUAL_LINES];
        match Self::parse(&raw, &mut few) {
            Err(BadRequest::TooLarge) => {
                let mut many = vec![MaybeUninit::uninit(); MAX_LINES];
                Self::parse(&raw, &mut many)
            }
            parsed => parsed,
        }
        .map(Some)
    }

    fn parse<'raw>(
        raw: &'raw Bytes,
        lines: &mut [MaybeUninit<httparse::Header<'raw>>],
    ) -> Result<Self, BadRequest> {
        let mut head = httparse::Request::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_request_with_uninit_headers(&mut head, raw, lines)
            .map_err(|error| syntax(error, raw))?;
        let (httparse::Status::Complete(_), Some(method), Some(target), Some(minor)) =
            (parsed, head.method, head.path, head.version)
        else {
            return Err(BadRequest::Syntax(httparse::Error::NewLine));
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| BadRequest::Syntax(httparse::Error::Token))?;
        let uri = uri(&method, raw.slice_ref(target.as_bytes()))?;
        let (headers, framing) = fields(raw, head.headers).ok_or(BadRequest::Header)?;
        check_host(&framing, minor)?;
        let coding = coding(&framing, minor)?;
        let expects_continue = match &framing.expect {
            Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
                return Err(BadRequest::Expectation);
            }
            // HTTP/1.0 has no interim replies. RFC 9110 10.1.1.
            expect => expect.is_some() && minor == 1,
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        *request.version_mut() = if minor == 1 {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        };
        Ok(Self {
            request,
            coding,
            keeps_alive: !framing.close && (minor == 1 || framing.keep_alive),
            expects_continue,
            asks_upgrade: framing.upgrade && minor == 1,
        })
    }
}

fn syntax(error: httparse::Error, raw: &[u8]) -> BadRequest {
    match error {
        httparse::Error::TooManyHeaders => BadRequest::TooLarge,
        httparse::Error::Version => {
            let line = raw.split(|&byte| byte == b'\r').next().unwrap_or_default();
            let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
            match version.strip_prefix(b"HTTP/") {
                Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
                    BadRequest::Version
                }
                _ => BadRequest::Syntax(error),
            }
        }
        error => BadRequest::Syntax(error),
    }
}

/// The target as a URI. RFC 9112 3.2.
fn uri(method: &Method, target: Bytes) -> Result<Uri, BadRequest> {
    let absolute = |target: &[u8]| {
        [&b"http://"[..], b"https://"].iter().any(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
    };
    let known = match target.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        _ => method == Method::CONNECT || absolute(&target),
    };
    if !known {
        return Err(BadRequest::Target);
    }
    if target.len() > MAX_TARGET {
        return Err(BadRequest::TargetTooLong);
    }
    // A target has no fragment; `Uri` would cut it off.
    let has_hash = memchr::memchr(b'#', &target).is_some();
    let parsed = Some(&target)
        .filter(|_| !has_hash)
        .and_then(|target| Uri::from_maybe_shared(target.clone()).ok());
    match parsed {
        Some(uri) => Ok(uri),
        None => escaped(&target).parse().map_err(|_| BadRequest::Target),
    }
}

/// The same target with what cannot be in a URI percent-encoded.
fn escaped(target: &[u8]) -> String {
    let mut text = String::with_capacity(target.len() + 16);
    for &byte in target {
        if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// RFC 9112 3.2; what a host is made of, RFC 3986 3.2.2.
fn check_host(framing: &Framing, minor: u8) -> Result<(), BadRequest> {
    let is_host = |host: &HeaderValue| {
        host.as_bytes()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte))
    };
    match (framing.hosts, &framing.host) {
        (0, _) if minor == 1 => Err(BadRequest::NoHost),
        (0 | 1, host) if host.as_ref().is_none_or(is_host) => Ok(()),
        (0 | 1, _) => Err(BadRequest::Host),
        _ => Err(BadRequest::ManyHosts),
    }
}

fn coding(framing: &Framing, minor: u8) -> Result<Coding, BadRequest> {
    let length = framing.length().map_err(|()| BadRequest::Length)?;
    match (framing.coding, length) {
        (TransferCoding::None, length) => Ok(Coding::Length(length.unwrap_or(0))),
        (_, Some(_)) => Err(BadRequest::LengthAndCoding),
        _ if minor == 0 => Err(BadRequest::OldCoding),
        (TransferCoding::Chunked, None) => Ok(Coding::chunked()),
        (TransferCoding::Unknown, None) => Err(BadRequest::Coding),
    }
}

#[cfg(test)]
mod tests;
