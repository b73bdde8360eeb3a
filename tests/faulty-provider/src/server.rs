//! Connections: requests are read strictly, and answered one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::answer::{Answer, Content, reason};
use crate::api;
use crate::defect::Defect;
use crate::http1::{Body, Framing, Head, HeadError, Headers, Leniency, Reader, write_last_chunk};
use crate::proxy;
use crate::state::Inner;
use crate::target::{self, Target};

/// How large the body of a request to the API may be.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// How long a header may take, and a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(3);
const IDLE_TIME: Duration = Duration::from_secs(60);

/// What becomes of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    Keep,
    /// It is closed in order.
    Close,
    /// It is closed at once, so that the peer sees that something is missing.
    Abort,
}

/// A request whose header was read.
pub(crate) struct Incoming {
    pub(crate) head: Head,
    pub(crate) target: Target,
    pub(crate) body: Body,
    pub(crate) expects: bool,
    /// Whether the connection may be used again.
    pub(crate) keep: bool,
    /// Whether the peer knows chunks.
    pub(crate) is_1_1: bool,
    pub(crate) peer: SocketAddr,
}

pub(crate) async fn serve(inner: Arc<Inner>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let (from, mut to) = stream.into_split();
    let mut reader = Reader::new(from);
    let mut after = After::Keep;
    while after == After::Keep {
        if !reader.has_more() {
            let idle = tokio::time::timeout(IDLE_TIME, reader.fill()).await;
            if !matches!(idle, Ok(Ok(true))) {
                return;
            }
        }
        after = exchange(&inner, &mut reader, &mut to, peer).await;
        if inner.has(Defect::PipelinedDropped) {
            reader.forget();
        }
    }
    if after == After::Close {
        linger(reader, to).await;
    }
}

/// Closes our side, and waits a little for the peer's, so that our last bytes are not thrown away
/// with what it still sends.
async fn linger(reader: Reader<OwnedReadHalf>, mut to: OwnedWriteHalf) {
    let _ = to.shutdown().await;
    let (_, mut from) = reader.into_parts();
    let mut sink = vec![0; 64 * 1024];
    let drained = async { while matches!(from.read(&mut sink).await, Ok(count) if count > 0) {} };
    let _ = tokio::time::timeout(Duration::from_millis(500), drained).await;
}

async fn exchange(
    inner: &Arc<Inner>,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    peer: SocketAddr,
) -> After {
    let head = match read_head(inner, reader).await {
        Ok(Some(head)) => head,
        Ok(None) => return After::Abort,
        Err(answer) => return refuse(inner, answer, to).await,
    };
    match check(inner, head, peer) {
        Ok(incoming) => match &incoming.target {
            Target::Function { .. } => {
                if inner.has(Defect::CallsCounted) {
                    let (method, path) = (&incoming.head.first, "/function".to_owned());
                    inner.metrics.count(200, method, path, Duration::ZERO);
                }
                proxy::call(inner, incoming, reader, to).await
            }
            Target::Api { .. } => api_call(inner, incoming, reader, to).await,
            Target::Asterisk => {
                let keep = incoming.keep;
                send(inner, Answer::empty(200), keep, false, to).await
            }
        },
        Err(answer) => refuse(inner, answer, to).await,
    }
}

/// The next head; `None` where the connection ended instead.
async fn read_head(
    inner: &Inner,
    reader: &mut Reader<OwnedReadHalf>,
) -> Result<Option<Head>, Answer> {
    let lenient = Leniency {
        control: inner.has(Defect::ControlInHeader),
        blank_before_colon: inner.has(Defect::BlankBeforeColon),
        fold: inner.has(Defect::FoldCut),
        blank_in_target: inner.has(Defect::TargetCut),
        line_feed_in_value: false,
    };
    match tokio::time::timeout(HEADER_TIME, reader.head(lenient)).await {
        Ok(Ok(head)) => Ok(Some(head)),
        Ok(Err(HeadError::Ended | HeadError::Broken)) | Err(_) => Ok(None),
        Ok(Err(HeadError::TooLarge)) => Err(Answer::text(431, "the header is too large")),
        Ok(Err(HeadError::Target(_))) if inner.has(Defect::TargetUnanswered) => {
            silence(reader).await
        }
        Ok(Err(HeadError::NoHttp(_))) if inner.has(Defect::GarbageUnanswered) => {
            silence(reader).await
        }
        Ok(Err(HeadError::Malformed(what) | HeadError::Target(what) | HeadError::NoHttp(what))) => {
            Err(Answer::text(400, what))
        }
    }
}

/// Neither answers nor closes (a defect).
async fn silence(reader: &mut Reader<OwnedReadHalf>) -> Result<Option<Head>, Answer> {
    reader.closed().await;
    Ok(None)
}

/// Answers a request that cannot be understood, and closes.
async fn refuse(inner: &Arc<Inner>, answer: Answer, to: &mut OwnedWriteHalf) -> After {
    let sent = send(inner, answer, false, false, to).await;
    if inner.has(Defect::GoesOnAfterRefusal) {
        return After::Keep;
    }
    sent
}

/// What the header says, where it is in order.
fn check(inner: &Inner, head: Head, peer: SocketAddr) -> Result<Incoming, Answer> {
    let is_1_1 = match head.third.as_slice() {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        version if version.starts_with(b"HTTP/") => {
            if !inner.has(Defect::AnyVersion) {
                return Err(Answer::text(505, "this is HTTP/1.1"));
            }
            true
        }
        _ => return Err(Answer::text(400, "this is no HTTP")),
    };
    let hosts = head.headers.all("host").count();
    let too_few = hosts == 0 && is_1_1 && !inner.has(Defect::HostNotNeeded);
    if too_few || hosts > 1 && !inner.has(Defect::TwoHosts) {
        return Err(Answer::text(400, "there must be one Host"));
    }
    let framing = framing(inner, &head.headers, is_1_1);
    if framing.is_err() && inner.has(Defect::HostileInputStops) {
        inner.stop();
    }
    let mut body = Body::new(framing?);
    body.bad_size_ends = inner.has(Defect::BadChunkEnds);
    body.end_is_enough = inner.has(Defect::EarlyEndIsEnd);
    let options = head.headers.list("connection");
    let keep = is_1_1 && !options.iter().any(|one| one == "close");
    let expects = head.headers.text("expect");
    if !expects.is_empty() && !expects.eq_ignore_ascii_case("100-continue") {
        return Err(Answer::text(417, "that cannot be expected"));
    }
    Ok(Incoming {
        target: target::parse(inner, &head)?,
        expects: is_1_1 && !expects.is_empty() && !body.is_done(),
        head,
        body,
        keep,
        is_1_1,
        peer,
    })
}

/// How the body of a request is told from what follows (RFC 9112 section 6.3), strictly.
fn framing(inner: &Inner, headers: &Headers, is_1_1: bool) -> Result<Framing, Answer> {
    let bad = |what| Err(Answer::text(400, what));
    let mut lengths: Vec<_> = headers.all("content-length").collect();
    let encodings: Vec<_> = headers.all("transfer-encoding").collect();
    if !encodings.is_empty() {
        if !lengths.is_empty() && inner.has(Defect::LengthWins) {
            return length(inner, &lengths);
        }
        if !lengths.is_empty() {
            return bad("there are Transfer-Encoding and Content-Length");
        }
        let chunked = encodings.len() == 1
            && encodings
                .iter()
                .all(|one| one.eq_ignore_ascii_case(b"chunked"));
        if chunked && is_1_1 {
            return Ok(Framing::Chunked);
        }
        if inner.has(Defect::UnknownEncodingIgnored) {
            return Ok(Framing::Length(0));
        }
        return Err(Answer::text(501, "that Transfer-Encoding is not known"));
    }
    if inner.has(Defect::FirstLengthWins) {
        lengths.truncate(1);
    }
    length(inner, &lengths)
}

fn length(inner: &Inner, lengths: &[&[u8]]) -> Result<Framing, Answer> {
    let [text] = lengths else {
        if lengths.is_empty() {
            return Ok(Framing::Length(0));
        }
        return Err(Answer::text(400, "there are several Content-Length"));
    };
    let mut text = String::from_utf8_lossy(text).into_owned();
    if inner.has(Defect::FirstLengthWins) {
        text = text.split(',').next().unwrap_or_default().to_owned();
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|_| digits) {
        Some(length) => Ok(Framing::Length(length)),
        None if inner.has(Defect::BadLengthIsNone) => Ok(Framing::Length(0)),
        None => Err(Answer::text(400, "Content-Length is no length")),
    }
}

// === The API ===

async fn api_call(
    inner: &Arc<Inner>,
    mut incoming: Incoming,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> After {
    let Target::Api { path, query } = &incoming.target else {
        return After::Abort;
    };
    let start = Instant::now();
    let mut request = api::Request {
        method: incoming.head.first.clone(),
        path: path.clone(),
        query: query.clone(),
        headers: incoming.head.headers.clone(),
        body: Vec::new(),
    };
    let plain = incoming.head.second.starts_with(b"/system/");
    let asks = plain || !inner.has(Defect::OtherSpellingOpen);
    let refusal = api::refuse(inner, &request).filter(|_| asks);
    let acts = refusal.is_some() && inner.has(Defect::ActsBeforeAsking);
    if refusal.is_none() || acts {
        match read_body(inner, &mut incoming, reader, to).await {
            Ok(Some(body)) => request.body = body,
            Ok(None) => return After::Abort,
            Err(answer) => return send(inner, answer, false, false, to).await,
        }
    }
    let answer = match refusal {
        Some(refusal) => {
            if acts {
                let _ = api::answer(inner, &request);
            }
            refusal
        }
        None => api::answer(inner, &request),
    };
    let status = answer.status;
    let is_head = request.method == "HEAD";
    let keep = incoming.keep && incoming.body.is_done();
    let after = match answer.body {
        Content::Lines(_) => send_lines(inner, answer, &incoming, reader, to).await,
        Content::Whole(_) if swaps(inner, reader, keep) => {
            swapped(inner, answer, incoming.peer, reader, to).await
        }
        Content::Whole(_) => send(inner, answer, keep, is_head, to).await,
    };
    let uncounted = status == 401 && inner.has(Defect::RefusedUncounted);
    if let Some(path) = api::counted_path(inner, &request.path).filter(|_| !uncounted) {
        inner
            .metrics
            .count(status, &request.method, path, start.elapsed());
    }
    after
}

/// The whole body. `None` where the connection ended before it did.
async fn read_body(
    inner: &Inner,
    incoming: &mut Incoming,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Result<Option<Vec<u8>>, Answer> {
    let too_large = || Answer::text(413, format!("a body has at most {MAX_BODY} bytes"));
    if matches!(incoming.body.framing(), Framing::Length(length) if length > MAX_BODY as u64) {
        return Err(too_large());
    }
    if incoming.expects && !inner.has(Defect::ExpectIgnored) {
        let _ = to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    let mut whole = Vec::new();
    loop {
        match reader.piece(&mut incoming.body).await {
            Ok(Some(piece)) => whole.extend_from_slice(&piece),
            Ok(None) => return Ok(Some(whole)),
            Err(crate::http1::BodyError::Broken) => return Ok(None),
            Err(crate::http1::BodyError::Malformed(what)) => return Err(Answer::text(400, what)),
        }
        if whole.len() > MAX_BODY {
            return Err(too_large());
        }
    }
}

/// The header of an answer, without what tells where its body ends.
fn head_of(answer: &Answer, keep: bool) -> Head {
    let mut headers = Headers::default();
    headers.add("Date", httpdate::fmt_http_date(SystemTime::now()));
    for (name, value) in &answer.headers {
        headers.add(name, value);
    }
    if !keep {
        headers.add("Connection", "close");
    }
    Head {
        first: "HTTP/1.1".to_owned(),
        second: answer.status.to_string().into_bytes(),
        third: reason(answer.status).as_bytes().to_vec(),
        headers,
    }
}

/// Sends an answer that is whole.
pub(crate) async fn send(
    inner: &Inner,
    answer: Answer,
    keep: bool,
    is_head: bool,
    to: &mut OwnedWriteHalf,
) -> After {
    let bytes = whole(inner, answer, keep, is_head);
    let sent = to.write_all(&bytes).await;
    match sent {
        Ok(()) if keep => After::Keep,
        Ok(()) => After::Close,
        Err(_) => After::Abort,
    }
}

fn whole(inner: &Inner, answer: Answer, keep: bool, is_head: bool) -> Bytes {
    let mut head = head_of(&answer, keep);
    let Content::Whole(mut body) = answer.body else {
        return Bytes::new();
    };
    if inner.has(Defect::AsciiOnly) {
        let text = String::from_utf8_lossy(&body).into_owned();
        let ascii = text
            .chars()
            .map(|one| if one.is_ascii() { one } else { '?' });
        body = ascii.collect::<String>().into_bytes();
    }
    if inner.has(Defect::Latin1) {
        let text = String::from_utf8_lossy(&body).into_owned();
        body = text
            .chars()
            .map(|one| u8::try_from(one).unwrap_or(b'?'))
            .collect();
    }
    if answer.status != 204 {
        let mut length = body.len();
        let spoilt = answer.status == 405;
        if inner.has(Defect::AnswerTooShort) && spoilt {
            length += 1;
        }
        if inner.has(Defect::AnswerTooLong) && spoilt && length > 0 {
            length -= 1;
        }
        head.headers.add("Content-Length", length.to_string());
    }
    let mut bytes = head.to_bytes();
    if inner.has(Defect::BrokenHeaderLine) && answer.status == 405 {
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b"no colon\r\n\r\n");
    }
    if !is_head {
        bytes.extend_from_slice(&body);
    }
    bytes.into()
}

/// Sends lines as they come, until there are no more or the peer leaves.
async fn send_lines(
    inner: &Arc<Inner>,
    answer: Answer,
    incoming: &Incoming,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> After {
    let mut head = head_of(&answer, incoming.keep);
    let Content::Lines(follow) = answer.body else {
        return After::Abort;
    };
    let framing = if incoming.is_1_1 {
        Framing::Chunked
    } else {
        Framing::Close
    };
    if framing == Framing::Chunked {
        head.headers.add("Transfer-Encoding", "chunked");
    }
    let lines = async {
        to.write_all(&head.to_bytes()).await?;
        api::send_lines(inner, &follow, framing, to).await?;
        if framing == Framing::Chunked {
            write_last_chunk(to, &Headers::default()).await?;
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        sent = lines => match sent {
            Ok(()) if incoming.keep => After::Keep,
            Ok(()) => After::Close,
            Err(_) => After::Abort,
        },
        () = reader.closed() => After::Abort,
    }
}

// === Defects of connections ===

fn swaps(inner: &Inner, reader: &Reader<OwnedReadHalf>, keep: bool) -> bool {
    inner.has(Defect::PipelinedSwapped) && keep && reader.has_more()
}

/// Answers the request that has come behind this one first.
async fn swapped(
    inner: &Arc<Inner>,
    answer: Answer,
    peer: SocketAddr,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> After {
    let after = Box::pin(exchange(inner, reader, to, peer)).await;
    let sent = send(inner, answer, after == After::Keep, false, to).await;
    if after == After::Keep { sent } else { after }
}
