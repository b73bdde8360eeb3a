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
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

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

/// Makes a request's headers the function's. `host` is for a request that names none.
pub(crate) fn to_function(
    policy: &HeaderPolicy,
    headers: &mut HeaderMap,
    method: &Method,
    length: Length,
    peer: Option<&Peer>,
    may_upgrade: bool,
    host: impl FnOnce() -> Option<HeaderValue>,
) -> Kept {
    let mut kept = Kept {
        content_type: headers.get(CONTENT_TYPE).cloned(),
        ..Kept::default()
    };
    let asks = take_hop_by_hop(headers);
    if asks.trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let (true, true, Some(protocols)) = (may_upgrade, asks.upgrade, asks.protocols) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocols.clone());
        kept.upgrade = Some(protocols);
    }
    headers.remove(EXPECT);
    frame(headers, method, length);
    if !headers.contains_key(HOST) {
        if let Some(host) = host() {
            headers.insert(HOST, host);
        }
    }
    forwarded(policy, headers, peer);
    if policy.call_headers {
        stamp(headers, &mut kept);
    }
    kept
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

fn take_hop_by_hop(headers: &mut HeaderMap) -> Asks {
    let mut asks = Asks::default();
    // Most messages have one of them at most, and a lookup of each would cost more than the rest.
    let met: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name))
        .cloned()
        .collect();
    for name in met {
        if name == CONNECTION {
            let mut named = Vec::new();
            for token in headers.get_all(CONNECTION).iter().flat_map(tokens) {
                if token.eq_ignore_ascii_case(b"upgrade") {
                    asks.upgrade = true;
                } else if !token.eq_ignore_ascii_case(b"keep-alive")
                    && !token.eq_ignore_ascii_case(b"close")
                {
                    named.extend(HeaderName::from_bytes(token));
                }
            }
            for name in named {
                // `Host` says whom the request is for, the length how it is framed: both are more
                // than one hop's business, whatever `Connection` says. The rest is looked at below.
                if name != HOST && name != CONTENT_LENGTH && !is_hop_by_hop(&name) {
                    headers.remove(name);
                }
            }
        } else if name == TE {
            asks.trailers = headers
                .get_all(TE)
                .iter()
                .flat_map(tokens)
                .any(|token| token.eq_ignore_ascii_case(b"trailers"));
        }
        let first = headers.remove(&name);
        if name == UPGRADE {
            asks.protocols = first;
        }
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
/// says that it has none.
fn frame(headers: &mut HeaderMap, method: &Method, length: Length) {
    match length {
        Length::None => {
            let says = headers.get(CONTENT_LENGTH);
            if says.is_some_and(|value| value != "0")
                || (says.is_none() && matches!(*method, Method::POST | Method::PUT | Method::PATCH))
            {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        Length::Known(length) => {
            let says = headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok());
            if says != Some(length) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        Length::Unknown => {
            headers.remove(CONTENT_LENGTH);
            // Said here, because hyper sends no chunked body with GET and HEAD unasked.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

fn forwarded(policy: &HeaderPolicy, headers: &mut HeaderMap, peer: Option<&Peer>) {
    let trusted = !policy.trusted_proxies.is_empty()
        && peer.is_some_and(|peer| policy.trusted_proxies.iter().any(|p| p.contains(peer)));
    if !trusted {
        let claims = |name: &HeaderName| {
            let name = name.as_str();
            name.starts_with("x-forwarded-") || name == "forwarded"
        };
        let names: Vec<HeaderName> = headers
            .keys()
            .filter(|name| claims(name))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
    if let Some(address) = peer.and_then(|peer| peer.forwarded_for.as_ref()) {
        let before = if trusted {
            joined(headers, &X_FORWARDED_FOR)
        } else {
            None
        };
        let value = match before {
            Some(mut list) => {
                list.extend_from_slice(b", ");
                list.extend_from_slice(address.as_bytes());
                HeaderValue::try_from(list).unwrap_or_else(|_| address.clone())
            }
            None => address.clone(),
        };
        headers.insert(X_FORWARDED_FOR, value);
    }
    if !headers.contains_key(X_FORWARDED_HOST) {
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(X_FORWARDED_HOST, host);
        }
    }
    if let Entry::Vacant(entry) = headers.entry(X_FORWARDED_PROTO) {
        entry.insert(HeaderValue::from_static("http"));
    }
}

/// All values of a header as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut values = headers.get_all(name).iter();
    let mut list = values.next()?.as_bytes().to_vec();
    for value in values {
        list.extend_from_slice(b", ");
        list.extend_from_slice(value.as_bytes());
    }
    Some(list)
}

fn stamp(headers: &mut HeaderMap, kept: &mut Kept) {
    let call_id = match headers.entry(X_CALL_ID) {
        Entry::Occupied(entry) => Some(entry.get().clone()),
        Entry::Vacant(entry) => HeaderValue::from_bytes(&uuid()).ok().inspect(|id| {
            entry.insert(id.clone());
        }),
    };
    kept.call_id = call_id;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let now = HeaderValue::from(u64::try_from(now).unwrap_or(u64::MAX));
    headers.insert(X_START_TIME, now.clone());
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
