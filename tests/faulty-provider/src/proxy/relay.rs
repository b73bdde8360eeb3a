//! The way back: the reply of a function, and tunnels.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::headers;
use super::{Call, Outcome, limit, total};
use crate::answer::Answer;
use crate::defect::Defect;
use crate::http1::{
    Body, Framing, Head, HeadError, Headers, Leniency, Reader, write_last_chunk, write_piece,
};
use crate::server::After;
use crate::state::Inner;

/// Passes the reply of the function on.
pub(super) async fn relay(
    call: &Call<'_>,
    from: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Outcome {
    let start = Instant::now();
    let head = match reply_head(call, from, to).await {
        Ok(head) => head,
        Err(outcome) => return outcome,
    };
    let status = head.status();
    if status == 101 && call.upgrade {
        return switch(call, &head, to).await;
    }
    if call.upgrade && call.has(Defect::UpgradeOrNothing) {
        return Outcome::Fail(call.failed(502, "the function does not upgrade"));
    }
    if (300..400).contains(&status) && status != 304 && call.has(Defect::RedirectFollowed) {
        return Outcome::Again(head.headers.first("location").unwrap_or(b"/").to_vec());
    }
    let has_body = call.request.first != "HEAD" && !matches!(status, 204 | 304);
    let framing = match framing(call, &head, has_body) {
        Ok(framing) => framing,
        Err(answer) => return Outcome::Fail(answer),
    };
    tokio::select! {
        after = send(call, &head, framing, from, to) => Outcome::Done(after),
        () = total(call, start) => Outcome::Done(After::Abort),
    }
}

/// The head of the final reply; those of interim ones go on to the caller.
async fn reply_head(
    call: &Call<'_>,
    from: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Result<Head, Outcome> {
    let lenient = Leniency {
        line_feed_in_value: call.has(Defect::ReplyLineFeeds),
        ..Leniency::default()
    };
    loop {
        let read = tokio::select! {
            read = from.head(lenient) => read,
            () = limit(call) => {
                if call.has(Defect::TimeoutCloses) {
                    return Err(Outcome::Done(After::Abort));
                }
                let text = "the function did not answer in time";
                return Err(Outcome::Fail(call.failed(504, text)));
            }
        };
        let head = match read {
            Ok(head) if head.first.starts_with("HTTP/1.") && head.status() >= 100 => head,
            Err(HeadError::Ended) => return Err(closed(call)),
            Err(HeadError::Broken) if !from.has_more() => return Err(closed(call)),
            // Among others bytes that are no head, and then the end.
            Ok(_) | Err(_) => return Err(garbage(call)),
        };
        let status = head.status();
        if !(100..200).contains(&status) || status == 101 {
            return Ok(head);
        }
        if call.has(Defect::InterimIsFinal) {
            let mut bytes = head.to_bytes();
            bytes.truncate(bytes.len() - 2);
            bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
            let _ = to.write_all(&bytes).await;
            return Err(Outcome::Done(After::Close));
        }
        if status != 100 && call.is_1_1 {
            let mut interim = head;
            interim.headers.remove("connection");
            if to.write_all(&interim.to_bytes()).await.is_err() {
                return Err(Outcome::Done(After::Abort));
            }
        }
    }
}

/// The function closed its connection without a reply.
fn closed(call: &Call<'_>) -> Outcome {
    let retried = match call.request.first.as_str() {
        "POST" => call.has(Defect::PostRetried),
        "GET" => call.has(Defect::GetRetried),
        _ => false,
    };
    if retried {
        let target = call.request.second.as_slice();
        let after = target.strip_prefix(b"/function/").unwrap_or(target);
        let at = after.iter().position(|byte| matches!(byte, b'/' | b'?'));
        return Outcome::Again(
            after
                .get(at.unwrap_or(after.len())..)
                .unwrap_or_default()
                .to_vec(),
        );
    }
    let for_streams = call.has(Defect::ClosedIs200ForStreams) && call.wants_stream();
    if for_streams || call.has(Defect::ClosedIs200) && !call.wants_stream() {
        return Outcome::Fail(Answer::empty(200));
    }
    let status = if call.has(Defect::StalePool) {
        500
    } else {
        502
    };
    Outcome::Fail(call.failed(status, "the function closed its connection without a reply"))
}

fn garbage(call: &Call<'_>) -> Outcome {
    if call.has(Defect::GarbageIs200) {
        return Outcome::Fail(Answer::of(200, "application/octet-stream", "no HTTP"));
    }
    Outcome::Fail(call.failed(502, "the reply of the function is no HTTP"))
}

/// How the body of a reply is told from what follows; those that are in doubt are refused.
fn framing(call: &Call<'_>, head: &Head, has_body: bool) -> Result<Framing, Answer> {
    let bad = |what| Err(call.failed(502, what));
    let mut lengths: Vec<_> = head.headers.all("content-length").collect();
    let encodings = head.headers.list("transfer-encoding");
    if call.has(Defect::ReplyFirstLength) {
        lengths.truncate(1);
    }
    let length = match lengths.as_slice() {
        [] => None,
        [text, others @ ..] => {
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let parsed = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok());
            let first = if call.has(Defect::ReplyFirstLength) {
                let first = text.split(|byte| *byte == b',').next().unwrap_or_default();
                std::str::from_utf8(first)
                    .ok()
                    .and_then(|text| text.trim().parse().ok())
            } else {
                parsed.filter(|_| digits)
            };
            if first.is_none() || others.iter().any(|other| other != text) {
                return bad("the length of the reply is none");
            }
            first
        }
    };
    if !encodings.is_empty() {
        if length.is_some() && !call.has(Defect::ReplyWithBoth) {
            return bad("the reply has Transfer-Encoding and Content-Length");
        }
        if encodings != ["chunked"] {
            return bad("the Transfer-Encoding of the reply is not known");
        }
        return Ok(if has_body {
            Framing::Chunked
        } else {
            Framing::Length(0)
        });
    }
    Ok(match length {
        _ if !has_body => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None if call.has(Defect::ReplyToCloseLost) => Framing::Length(0),
        None => Framing::Close,
    })
}

/// Sends head and body of a reply.
async fn send(
    call: &Call<'_>,
    head: &Head,
    framing: Framing,
    from: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> After {
    let mut reply = headers::reply(call.inner, head, call.request);
    let status = reply.status();
    let is_head = call.request.first == "HEAD";
    let cut = if call.has(Defect::ReplyCut) {
        4 << 20
    } else {
        u64::MAX
    };
    let mut keep = call.keep && call.is_sent();
    let outgoing = match framing {
        Framing::Length(length) => Framing::Length(length.min(cut)),
        Framing::Chunked | Framing::Close if call.is_1_1 => Framing::Chunked,
        Framing::Chunked | Framing::Close => {
            keep = false;
            Framing::Close
        }
    };
    match outgoing {
        // The length that a body would have had.
        Framing::Length(_) if is_head || status == 304 => {
            if let Some(length) = head.headers.first("content-length") {
                reply.headers.add("Content-Length", length);
            }
        }
        Framing::Length(_) if status == 204 => {}
        Framing::Length(length) => reply.headers.add("Content-Length", length.to_string()),
        Framing::Chunked => {
            reply.headers.add("Transfer-Encoding", "chunked");
            if call.has(Defect::ReplyWithBoth) {
                let stated = head.headers.first("content-length").map(<[u8]>::to_vec);
                stated
                    .into_iter()
                    .for_each(|one| reply.headers.add("Content-Length", one));
            }
        }
        Framing::Close => {}
    }
    if status == 204 && call.has(Defect::NoContentHasBody) {
        reply.headers.add("Transfer-Encoding", "chunked");
    }
    if !keep {
        reply.headers.add("Connection", "close");
    }
    let mut bytes = reply.to_bytes();
    if status == 204 && call.has(Defect::NoContentHasBody) {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    if is_head && call.has(Defect::HeadHasBody) {
        let length = reply
            .headers
            .text("content-length")
            .parse()
            .unwrap_or(4_usize);
        bytes.extend(std::iter::repeat_n(b'x', length.clamp(1, 1024)));
    }
    if to.write_all(&bytes).await.is_err() {
        return After::Abort;
    }
    let mut body = Body::new(framing);
    match pieces(call, &mut body, outgoing, cut, from, to).await {
        Ok(()) if keep => After::Keep,
        Ok(()) => After::Close,
        Err(()) => After::Abort,
    }
}

/// Passes a body on, piece by piece; an error where it, or the caller, breaks off.
async fn pieces(
    call: &Call<'_>,
    body: &mut Body,
    framing: Framing,
    cut: u64,
    from: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Result<(), ()> {
    let holds = call.has(Defect::StreamHeldBack)
        || call.has(Defect::OnlyEventStreams) && !call.wants_stream();
    let mut held: Vec<u8> = Vec::new();
    let mut before: Option<Bytes> = None;
    let mut sent = 0;
    loop {
        let piece = match from.piece(body).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) => return broken(call, framing, sent, to).await,
        };
        let piece = piece.slice(
            ..piece
                .len()
                .min(usize::try_from(cut - sent).unwrap_or(usize::MAX)),
        );
        sent += piece.len() as u64;
        if call.has(Defect::SmallPiecesLost) && piece.len() == 1 && framing == Framing::Chunked {
            continue;
        }
        if holds {
            held.extend_from_slice(&piece);
            continue;
        }
        if call.has(Defect::StreamOneBehind) && framing == Framing::Chunked {
            if let Some(earlier) = before.replace(piece) {
                write_piece(to, framing, &earlier).await.map_err(drop)?;
            }
            continue;
        }
        if call.has(Defect::PiecesSwapped) && framing == Framing::Chunked {
            let Some(earlier) = before.take() else {
                before = Some(piece);
                continue;
            };
            write_piece(to, framing, &piece).await.map_err(drop)?;
            write_piece(to, framing, &earlier).await.map_err(drop)?;
            continue;
        }
        write_piece(to, framing, &piece).await.map_err(drop)?;
    }
    let rest = before.unwrap_or_else(|| held.into());
    write_piece(to, framing, &rest).await.map_err(drop)?;
    if framing == Framing::Chunked {
        if call.has(Defect::StreamNeverEnds) {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        write_last_chunk(to, &body.trailers).await.map_err(drop)?;
    }
    Ok(())
}

/// The reply broke off: the caller must see it, but for defects.
async fn broken(
    call: &Call<'_>,
    framing: Framing,
    sent: u64,
    to: &mut OwnedWriteHalf,
) -> Result<(), ()> {
    let for_streams = call.has(Defect::StreamBreakEndsCleanly) && call.wants_stream();
    let cleanly = for_streams || call.has(Defect::BreakEndsCleanly) && !call.wants_stream();
    match framing {
        Framing::Chunked if cleanly => {
            let none = Headers::default();
            write_last_chunk(to, &none).await.map_err(drop)
        }
        Framing::Length(length) if call.has(Defect::ShortIsFilled) => {
            let missing = usize::try_from(length - sent).unwrap_or_default();
            to.write_all(&vec![0; missing]).await.map_err(drop)
        }
        Framing::Length(_) | Framing::Chunked | Framing::Close => Err(()),
    }
}

/// Tells the caller that the protocol changes.
async fn switch(call: &Call<'_>, head: &Head, to: &mut OwnedWriteHalf) -> Outcome {
    let mut reply = headers::reply(call.inner, head, call.request);
    if call.has(Defect::SubprotocolLost) {
        reply.headers.remove("sec-websocket-protocol");
    }
    if call.has(Defect::HandshakeLost) {
        let handshake = |name: &str| name.to_ascii_lowercase().starts_with("sec-websocket-");
        reply.headers.0.retain(|(name, _)| !handshake(name));
    }
    reply.headers.add("Connection", "Upgrade");
    if !call.has(Defect::UpgradeHeaderLost) {
        reply
            .headers
            .add("Upgrade", head.headers.first("upgrade").unwrap_or_default());
    }
    match to.write_all(&reply.to_bytes()).await {
        Ok(()) => Outcome::Tunnel,
        Err(_) => Outcome::Done(After::Abort),
    }
}

/// Passes bytes both ways until both sides have ended.
pub(super) async fn tunnel(
    inner: &Inner,
    from_caller: &mut Reader<OwnedReadHalf>,
    to_function: &mut OwnedWriteHalf,
    from_function: &mut Reader<OwnedReadHalf>,
    to_caller: &mut OwnedWriteHalf,
) {
    let one_way = inner.has(Defect::TunnelOneWay);
    let stays_open = inner.has(Defect::TunnelStaysOpen);
    let up = copy(from_caller, to_function, one_way, stays_open);
    let down = copy(from_function, to_caller, false, stays_open);
    tokio::join!(up, down);
}

async fn copy(
    from: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    loses: bool,
    stays_open: bool,
) {
    loop {
        match from.some().await {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(_) if loses => {}
            Ok(bytes) => {
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    if stays_open {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let _ = to.shutdown().await;
}
