//! Headers on their way, and what defects do to them.

use std::sync::PoisonError;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::defect::Defect;
use crate::http1::{Framing, Head, Headers, Reader};
use crate::instance::Instance;
use crate::server::Incoming;
use crate::state::{Inner, Key};
use crate::target::decode;

/// Headers that are about one connection (RFC 9110 section 7.6.1).
const KEEP_ALIVE: [&str; 4] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
];

/// The request as it goes to the function.
pub(super) fn request(
    inner: &Inner,
    incoming: &Incoming,
    key: &Key,
    rest: &[u8],
) -> (Head, Framing) {
    let has = |defect| inner.has(defect);
    let given = &incoming.head.headers;
    let mut head = incoming.head.clone();
    "HTTP/1.1".as_bytes().clone_into(&mut head.third);
    head.second = target(inner, rest);
    if has(Defect::DeleteIsPost) && head.first == "DELETE" {
        "POST".clone_into(&mut head.first);
    }
    if has(Defect::RepliesMixed) {
        mix(inner, key, &mut head);
    }
    let named = given.list("connection");
    if !has(Defect::HopByHopForwarded) {
        for name in &named {
            // What a length or a host means is nothing that a connection can take away.
            if !matches!(name.as_str(), "host" | "content-length" | "close" | "te") {
                head.headers.remove(name);
            }
        }
        head.headers.remove("connection");
    }
    if !has(Defect::KeepAliveForwarded) {
        KEEP_ALIVE.iter().for_each(|name| head.headers.remove(name));
        let trailers = given.list("te").iter().any(|one| one == "trailers");
        head.headers.remove("te");
        if trailers {
            head.headers.add("TE", "trailers");
        }
    }
    head.headers.remove("expect");
    upgrade(inner, given, &named, &mut head.headers);
    let framing = framing(inner, incoming, &mut head.headers);
    forwarded(inner, incoming, &mut head.headers);
    spoil(inner, &mut head.headers);
    (head, framing)
}

/// Path and query for the function, as they came.
fn target(inner: &Inner, rest: &[u8]) -> Vec<u8> {
    let has = |defect| inner.has(defect);
    let at = rest
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(rest.len());
    let (path, query) = rest.split_at(at);
    let (mut path, mut query) = (path.to_vec(), query.to_vec());
    if path.is_empty() {
        path.push(b'/');
    }
    if has(Defect::SlashTrimmed) && path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    if has(Defect::PathDropped) {
        path = b"/".to_vec();
    }
    if has(Defect::PathDecoded) {
        let decoded = decode(&path, false).unwrap_or_default();
        path = encoded(&decoded, b"-_.~$&+,/:;=@");
    }
    if has(Defect::QueryDropped) {
        query.clear();
    }
    if has(Defect::QueryDecoded) && !query.is_empty() {
        let decoded = decode(query.get(1..).unwrap_or_default(), true).unwrap_or_default();
        query = [b"?".to_vec(), encoded(&decoded, b"-_.~&=")].concat();
    }
    [path, query].concat()
}

fn encoded(text: &str, plain: &[u8]) -> Vec<u8> {
    let each = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            vec![byte]
        } else {
            format!("%{byte:02X}").into_bytes()
        }
    });
    each.collect::<Vec<_>>().concat()
}

/// Passes a wish for another protocol on.
fn upgrade(inner: &Inner, given: &Headers, named: &[String], headers: &mut Headers) {
    let has = |defect| inner.has(defect);
    headers.remove("upgrade");
    let wanted = given.text("upgrade");
    let exact = given.text("connection") == "Upgrade" && wanted == "websocket";
    let asks = named.iter().any(|one| one == "upgrade") && !wanted.is_empty();
    if !asks || has(Defect::UpgradeRefused) || has(Defect::UpgradeCaseMatters) && !exact {
        return;
    }
    headers.set("Connection", "Upgrade");
    headers.add("Upgrade", wanted);
    if has(Defect::HandshakeLost) {
        let handshake = |name: &str| name.to_ascii_lowercase().starts_with("sec-websocket-");
        headers.0.retain(|(name, _)| !handshake(name));
    }
}

/// How the body goes to the function, and the header that says so.
fn framing(inner: &Inner, incoming: &Incoming, headers: &mut Headers) -> Framing {
    let has = |defect| inner.has(defect);
    let mut framing = incoming.body.framing();
    let stated = incoming.head.headers.has("content-length");
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    match framing {
        Framing::Chunked if has(Defect::ChunkedCallDropped) => framing = Framing::Length(0),
        Framing::Length(length) if length > 0 => {
            if has(Defect::BodyCut) {
                framing = Framing::Length(length.min(64 * 1024));
            }
            if has(Defect::LengthDropped) || has(Defect::BodyAsText) {
                framing = Framing::Chunked;
            }
        }
        Framing::Length(_) | Framing::Chunked | Framing::Close => {}
    }
    match framing {
        Framing::Length(0) if !stated => {}
        Framing::Length(length) => headers.add("Content-Length", length.to_string()),
        Framing::Chunked | Framing::Close => headers.add("Transfer-Encoding", "chunked"),
    }
    framing
}

/// Tells the function who calls, and by which name.
fn forwarded(inner: &Inner, incoming: &Incoming, headers: &mut Headers) {
    let given = &incoming.head.headers;
    let earlier: Vec<_> = given
        .all("x-forwarded-for")
        .map(String::from_utf8_lossy)
        .collect();
    let mut chain = earlier.join(", ");
    if inner.has(Defect::ForwardedWithPort) {
        if chain.is_empty() {
            chain = incoming.peer.to_string();
        }
    } else {
        let peer = incoming.peer.ip().to_string();
        chain = if chain.is_empty() {
            peer
        } else {
            format!("{chain}, {peer}")
        };
    }
    headers.set("X-Forwarded-For", chain);
    if !given.has("x-forwarded-host") {
        headers.add("X-Forwarded-Host", given.first("host").unwrap_or_default());
    }
    if !given.has("x-forwarded-proto") {
        headers.add("X-Forwarded-Proto", "http");
    }
}

/// What defects do to the headers of a call.
fn spoil(inner: &Inner, headers: &mut Headers) {
    let has = |defect| inner.has(defect);
    if has(Defect::AuthorizationDropped) {
        headers.remove("authorization");
    }
    if has(Defect::EmptyHeaderDropped) {
        headers.0.retain(|(_, value)| !value.is_empty());
    }
    if has(Defect::GzipAsked) && !headers.has("accept-encoding") {
        headers.add("Accept-Encoding", "gzip");
    }
    if has(Defect::RepeatedDropped) {
        last_of_each(headers, |_| true);
    }
}

fn last_of_each(headers: &mut Headers, concerns: impl Fn(&str) -> bool) {
    let all = std::mem::take(&mut headers.0);
    for (name, value) in all {
        if concerns(&name.to_ascii_lowercase()) {
            headers.set(&name, value);
        } else {
            headers.0.push((name, value));
        }
    }
}

/// The header of a reply as it goes to the caller, without what tells where its body ends.
pub(super) fn reply(inner: &Inner, head: &Head, request: &Head) -> Head {
    let has = |defect| inner.has(defect);
    let mut reply = head.clone();
    "HTTP/1.1".clone_into(&mut reply.first);
    let headers = &mut reply.headers;
    if !has(Defect::ReplyHopByHop) {
        for name in head.headers.list("connection") {
            headers.remove(&name);
        }
        headers.remove("connection");
    }
    if !has(Defect::ReplyKeepAlive) {
        KEEP_ALIVE.iter().for_each(|name| headers.remove(name));
    }
    headers.remove("upgrade");
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    let status = head.status();
    let has_body = !matches!(status, 100..=199 | 204 | 304);
    if has_body && !headers.has("content-type") {
        let kind = request.headers.first("content-type");
        headers.add("Content-Type", kind.unwrap_or(b"text/plain"));
    }
    if has(Defect::SetCookieOnce) {
        last_of_each(headers, |name| name == "set-cookie");
    }
    if has(Defect::ReplyHeadersTwice) {
        let twice = headers.0.clone();
        headers.0.extend(twice);
    }
    if has(Defect::GzipUnpacked) {
        headers.remove("content-encoding");
    }
    let failed = has(Defect::StatusMapped) && (400..500).contains(&status);
    if failed || has(Defect::TeapotIs500) && status == 418 {
        reply.second = b"500".to_vec();
        reply.third = b"Internal Server Error".to_vec();
    }
    reply
}

// === Defects of connections to functions ===

/// A connection that was kept from an earlier call.
pub(super) fn kept(instance: &Instance) -> Option<TcpStream> {
    let mut kept = instance.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.take()
}

pub(super) fn keep(instance: &Instance, from: Reader<OwnedReadHalf>, to: OwnedWriteHalf) {
    let (_, from) = from.into_parts();
    let mut kept = instance.kept.lock().unwrap_or_else(PoisonError::into_inner);
    *kept = from.reunite(to).ok();
}

/// Takes path and headers of a call of the same function that is under way.
fn mix(inner: &Inner, key: &Key, head: &mut Head) {
    let mut calls = inner.calls.lock().unwrap_or_else(PoisonError::into_inner);
    let (under_way, first) = calls
        .entry(key.clone())
        .or_insert_with(|| (0, head.clone()));
    if *under_way > 0 {
        head.second.clone_from(&first.second);
        head.headers.clone_from(&first.headers);
    } else {
        *first = head.clone();
    }
    *under_way += 1;
}

pub(super) fn end_mix(inner: &Inner, key: &Key) {
    let mut calls = inner.calls.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((under_way, _)) = calls.get_mut(key) {
        *under_way = under_way.saturating_sub(1);
    }
}
