//! The header policy, whole: what of a request's headers the function gets, and what of a reply's
//! the caller gets. RFC 9110 7.6 and `faas-provider: proxy/proxy.go`, without its defects.
//!
//! * Hop-by-hop headers stop here, those that `Connection` names included. `TE: trailers` passes
//!   to the function; `Trailer` passes, because it tells what trailers follow.
//! * `Upgrade` passes, with `Connection: upgrade`, only as part of an upgrade.
//! * `Host` stays what the caller sent. `User-Agent` and `Accept-Encoding` are never added.
//! * The peer's address is appended to `X-Forwarded-For`; `X-Forwarded-Host` and
//!   `X-Forwarded-Proto` are set. What the caller sent of `X-Forwarded-*` and `Forwarded` is
//!   dropped unless it is a trusted proxy; then it is kept and not overwritten.
//! * `Expect` is answered here and never passed on.
//! * A reply with a body and without a type gets the request's, else `text/plain`.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, Entry, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use provider_http1::write_line;

use crate::address::{Peer, TrustedProxy};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const X_START_TIME: HeaderName = HeaderName::from_static("x-start-time");

/// What the proxy does with headers beyond what HTTP asks of every proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderPolicy {
    /// Whose `X-Forwarded-*` and `Forwarded` are believed. Nobody's by default.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Whether calls are stamped as the gateway does it, for a provider without one in front:
    /// `X-Call-Id` (a UUID if the caller sent none) and `X-Start-Time` (Unix time in nanoseconds)
    /// go to the function and onto the reply, errors included. Off by default.
    pub call_headers: bool,
}

/// What of the request's headers is needed when the reply comes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    content_type: Option<HeaderValue>,
    call_id: Option<HeaderValue>,
    start_time: Option<HeaderValue>,
    /// The protocols asked for, where the request is an upgrade.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// The length of a body as its owner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body.
    None,
    /// So many bytes.
    Known(u64),
    /// It ends when it ends: chunked.
    Unknown,
}

/// Writes the header lines that the function gets of a request with these.
pub(crate) fn to_function(
    text: &mut Vec<u8>,
    policy: &HeaderPolicy,
    request: &Parts,
    length: Length,
    peer: Option<&Peer>,
    may_upgrade: bool,
) -> Kept {
    let headers = &request.headers;
    let asks = Asks::of(headers);
    let trusted = !policy.trusted_proxies.is_empty()
        && peer.is_some_and(|peer| policy.trusted_proxies.iter().any(|p| p.contains(peer)));
    let mut kept = Kept::default();
    let mut said = Said::default();
    for (name, value) in headers {
        let passes = if name == HOST {
            said.host.get_or_insert(value);
            true
        } else if name == CONTENT_LENGTH {
            said.length = true;
            false
        } else if name == CONTENT_TYPE {
            kept.content_type.get_or_insert_with(|| value.clone());
            true
        } else if name == EXPECT || is_hop_by_hop(name) || asks.names(name) {
            false
        } else if is_forwarding(name) {
            said.forwarded_host |= trusted && name == X_FORWARDED_HOST;
            said.forwarded_proto |= trusted && name == X_FORWARDED_PROTO;
            // The list is written below, with the peer at its end.
            trusted && name != X_FORWARDED_FOR
        } else if policy.call_headers && name == X_CALL_ID {
            kept.call_id.get_or_insert_with(|| value.clone());
            true
        } else {
            !(policy.call_headers && name == X_START_TIME)
        };
        if passes {
            write_line(text, name, value.as_bytes());
        }
    }
    if asks.trailers {
        write_line(text, &TE, b"trailers");
    }
    if let (true, true, Some(protocols)) = (may_upgrade, asks.upgrade, &asks.protocols) {
        write_line(text, &CONNECTION, b"upgrade");
        write_line(text, &UPGRADE, protocols.as_bytes());
        kept.upgrade = Some(protocols.clone());
    }
    frame(text, &request.method, length, said.length);
    let authority = request
        .uri
        .authority()
        .map_or("localhost", Authority::as_str);
    let host = said
        .host
        .map_or(authority.as_bytes(), HeaderValue::as_bytes);
    if said.host.is_none() {
        write_line(text, &HOST, host);
    }
    let list = (trusted && !asks.names(&X_FORWARDED_FOR)).then(|| headers.get_all(X_FORWARDED_FOR));
    let address = peer.and_then(|peer| peer.forwarded_for.as_ref());
    let list = list.into_iter().flatten().chain(address);
    write_list(text, &X_FORWARDED_FOR, list);
    if !said.forwarded_host {
        write_line(text, &X_FORWARDED_HOST, host);
    }
    if !said.forwarded_proto {
        write_line(text, &X_FORWARDED_PROTO, b"http");
    }
    if policy.call_headers {
        stamp(text, &mut kept);
    }
    kept
}

/// What was met among a request's headers.
#[derive(Debug, Default)]
struct Said<'a> {
    host: Option<&'a HeaderValue>,
    length: bool,
    forwarded_host: bool,
    forwarded_proto: bool,
}

/// All values of a header as one list, if there are any.
fn write_list<'a>(
    text: &mut Vec<u8>,
    name: &HeaderName,
    values: impl Iterator<Item = &'a HeaderValue>,
) {
    let mut first = true;
    for value in values {
        let before = if first {
            [name.as_str(), ": "]
        } else {
            ["", ", "]
        };
        for part in before {
            text.extend_from_slice(part.as_bytes());
        }
        text.extend_from_slice(value.as_bytes());
        first = false;
    }
    if !first {
        text.extend_from_slice(b"\r\n");
    }
}

/// Makes a reply's headers the caller's. `has_body` is false for a reply that can have none.
pub(crate) fn to_caller(headers: &mut HeaderMap, status: StatusCode, has_body: bool, kept: Kept) {
    let asks = take_hop_by_hop(headers);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = asks.protocols.or(kept.upgrade) {
            headers.insert(UPGRADE, protocol);
        }
    }
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(CONTENT_LENGTH);
    }
    if has_body {
        if let Entry::Vacant(entry) = headers.entry(CONTENT_TYPE) {
            entry.insert(
                kept.content_type
                    .unwrap_or_else(|| HeaderValue::from_static("text/plain")),
            );
        }
    }
    stamped(headers, kept.call_id, kept.start_time);
}

/// Stamps a reply of our own.
pub(crate) fn to_caller_refused(headers: &mut HeaderMap, kept: Kept) {
    stamped(headers, kept.call_id, kept.start_time);
}

/// What a message's hop-by-hop headers ask for.
#[derive(Debug, Default)]
struct Asks {
    upgrade: bool,
    trailers: bool,
    protocols: Option<HeaderValue>,
    /// What `Connection` names beside what everybody knows to be hop-by-hop.
    named: Vec<HeaderName>,
}

impl Asks {
    fn of(headers: &HeaderMap) -> Self {
        let mut asks = Self::default();
        for (name, value) in headers {
            if name == CONNECTION {
                asks.connection(value);
            } else if name == TE {
                asks.trailers |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
            } else if name == UPGRADE && asks.protocols.is_none() {
                asks.protocols = Some(value.clone());
            }
        }
        asks
    }

    fn connection(&mut self, value: &HeaderValue) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !token.eq_ignore_ascii_case(b"keep-alive")
                && !token.eq_ignore_ascii_case(b"close")
            {
                // `Host` says whom the request is for, the length how it is framed: both are more
                // than one hop's business, whatever `Connection` says.
                let name = HeaderName::from_bytes(token).ok();
                let name = name.filter(|name| name != HOST && name != CONTENT_LENGTH);
                self.named.extend(name.filter(|name| !is_hop_by_hop(name)));
            }
        }
    }

    fn names(&self, name: &HeaderName) -> bool {
        self.named.contains(name)
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "upgrade"
            | "transfer-encoding"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Whether a header says on whose behalf a request comes.
fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || name == "forwarded"
}

/// Takes the hop-by-hop headers out of a reply's.
fn take_hop_by_hop(headers: &mut HeaderMap) -> Asks {
    // Most replies have none: a lookup of each would cost more than the rest.
    if !headers.keys().any(is_hop_by_hop) {
        return Asks::default();
    }
    let asks = Asks::of(headers);
    let met: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name) || asks.names(name))
        .cloned()
        .collect();
    for name in met {
        headers.remove(name);
    }
    asks
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
}

/// A known length stays a length, an unknown one is chunked, and a request that could have a body
/// or said that it had says that it has none.
fn frame(text: &mut Vec<u8>, method: &Method, length: Length, said: bool) {
    let length = match length {
        Length::None if said || matches!(*method, Method::POST | Method::PUT | Method::PATCH) => 0,
        Length::None => return,
        Length::Known(length) => length,
        Length::Unknown => return write_line(text, &TRANSFER_ENCODING, b"chunked"),
    };
    write_line(text, &CONTENT_LENGTH, HeaderValue::from(length).as_bytes());
}

fn stamp(text: &mut Vec<u8>, kept: &mut Kept) {
    if kept.call_id.is_none() {
        let id = uuid();
        write_line(text, &X_CALL_ID, &id);
        kept.call_id = HeaderValue::from_bytes(&id).ok();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let now = HeaderValue::from(u64::try_from(now).unwrap_or(u64::MAX));
    write_line(text, &X_START_TIME, now.as_bytes());
    kept.start_time = Some(now);
}

/// The function's own win.
fn stamped(headers: &mut HeaderMap, id: Option<HeaderValue>, time: Option<HeaderValue>) {
    if let Some(id) = id {
        headers.entry(X_CALL_ID).or_insert(id);
    }
    if let Some(time) = time {
        headers.entry(X_START_TIME).or_insert(time);
    }
}

/// A random UUID, version 4, as text. RFC 9562 5.4.
fn uuid() -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..);
    let random = random & !(0xf << 76) | 0x4 << 76;
    let random = random & !(0b11 << 62) | 0b10 << 62;
    let mut text = [b'-'; 36];
    let mut nibbles = (0..32).rev();
    for (at, digit) in text.iter_mut().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            continue;
        }
        let shift = nibbles.next().unwrap_or(0) * 4;
        let nibble = usize::try_from(random >> shift & 0xf).unwrap_or(0);
        *digit = HEX.get(nibble).copied().unwrap_or(b'0');
    }
    text
}
