//! Calls of functions: forwarded piece by piece, in both directions at once.

mod headers;
mod relay;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::defect::Defect;
use crate::deployment::is_function_name;
use crate::http1::{Body, BodyError, Framing, Head, Reader, write_last_chunk, write_piece};
use crate::instance::Instance;
use crate::server::{self, After, Incoming};
use crate::state::{DEFAULT_NAMESPACE, Inner, Key, State};
use crate::target::Target;

/// How long a call waits for a replica that starts.
const START_TIME: Duration = Duration::from_secs(10);

/// How a call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The connection of the caller goes on so.
    Done(After),
    /// Nothing was sent to the caller yet; it gets this.
    Fail(Answer),
    /// Both sides have become something else than HTTP.
    Tunnel,
    /// The call is made again, with this target (a defect).
    Again(Vec<u8>),
}

/// A call, on its way.
pub(super) struct Call<'a> {
    pub(super) inner: &'a Inner,
    /// The name as the caller wrote it.
    pub(super) name: &'a str,
    pub(super) request: &'a Head,
    pub(super) is_1_1: bool,
    pub(super) keep: bool,
    /// Whether the caller asks for another protocol.
    pub(super) upgrade: bool,
    /// Set when the body has gone to the function.
    pub(super) sent: AtomicBool,
    pub(super) sent_now: Notify,
}

impl Call<'_> {
    pub(super) fn has(&self, defect: Defect) -> bool {
        self.inner.has(defect)
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Whether the caller's `Accept` names a kind of stream.
    pub(super) fn wants_stream(&self) -> bool {
        let accept = self.request.headers.text("accept").to_ascii_lowercase();
        accept.contains("text/event-stream") || accept.contains("application/x-ndjson")
    }

    /// An answer that is not the function's.
    pub(super) fn failed(&self, status: u16, what: &str) -> Answer {
        failed(self.inner, status, format!("{}: {what}", self.name))
    }
}

fn failed(inner: &Inner, status: u16, text: impl std::fmt::Display) -> Answer {
    let answer = Answer::text(status, text);
    if inner.has(Defect::UnmarkedError) {
        return answer;
    }
    answer.with("X-OpenFaaS-Internal", "proxy")
}

pub(crate) async fn call(
    inner: &Arc<Inner>,
    mut incoming: Incoming,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> After {
    let Target::Function { name, mut rest } = incoming.target.clone() else {
        return After::Abort;
    };
    let is_head = incoming.head.first == "HEAD";
    let mut tries = 0;
    let answer = loop {
        let key = match admit(inner, &incoming, &name, &rest) {
            Ok(key) => key,
            Err(answer) => break answer,
        };
        let instance = match lease(inner, &key, &name).await {
            Ok(instance) => instance,
            Err(answer) => break answer,
        };
        match attempt(inner, &instance, &key, &mut incoming, &rest, reader, to).await {
            Outcome::Done(after) => return after,
            Outcome::Fail(answer) => break answer,
            Outcome::Tunnel => return After::Abort,
            Outcome::Again(target) => {
                tries += 1;
                if tries > 1 {
                    break failed(inner, 502, "the function gives no reply");
                }
                rest = target;
                incoming.body = Body::new(Framing::Length(0));
            }
        }
    };
    let keep = incoming.keep && incoming.body.is_done();
    server::send(inner, answer, keep, is_head, to).await
}

/// The function that a call is for.
fn admit(inner: &Inner, incoming: &Incoming, name: &str, rest: &[u8]) -> Result<Key, Answer> {
    let has = |defect| inner.has(defect);
    if let Some(answer) = spoil(inner, incoming, name, rest) {
        return Err(answer);
    }
    if name.is_empty() {
        let text = "a call names its function: /function/NAME";
        return Err(failed(inner, 404, text));
    }
    let dot = if has(Defect::FirstDotSplits) {
        name.find('.')
    } else {
        name.rfind('.')
    };
    let (name, namespace) = match dot.and_then(|at| name.split_at_checked(at)) {
        Some((name, namespace)) => (name, namespace.get(1..).unwrap_or_default()),
        None => (name, DEFAULT_NAMESPACE),
    };
    if has(Defect::DottedCallIs404) && dot.is_some() && namespace == DEFAULT_NAMESPACE {
        return Err(failed(inner, 404, "there is no such function"));
    }
    let known =
        || namespace == DEFAULT_NAMESPACE || inner.state().namespaces.contains_key(namespace);
    if has(Defect::ServicesReached) && !known() {
        return Err(Answer::of(200, "text/html", "a service of the platform"));
    }
    let namespace = if has(Defect::CallNamespaceIgnored) {
        DEFAULT_NAMESPACE
    } else {
        namespace
    };
    Ok((namespace.to_owned(), name.to_owned()))
}

/// What defects answer in place of any function.
fn spoil(inner: &Inner, incoming: &Incoming, name: &str, rest: &[u8]) -> Option<Answer> {
    let has = |defect| inner.has(defect);
    let newline = |part: &[u8]| part.eq_ignore_ascii_case(b"%0a");
    if has(Defect::NamelessCallIs200) && name.is_empty() {
        return Some(Answer::empty(200));
    }
    if has(Defect::PatchIs405) && incoming.head.first == "PATCH" {
        return Some(failed(inner, 405, "that method is not allowed"));
    }
    if has(Defect::BarePathRedirected) && rest.is_empty() {
        let location = format!("/function/{name}/");
        return Some(Answer::empty(301).with("Location", location));
    }
    if has(Defect::NewlineIs404) && rest.windows(3).any(newline) {
        return Some(Answer::text(404, "404 page not found"));
    }
    if has(Defect::CallsClosed) {
        return crate::auth::check(inner, &incoming.head.headers);
    }
    None
}

/// A replica for a call. One of a function that sleeps is started, one that starts is waited for.
async fn lease(inner: &Arc<Inner>, key: &Key, name: &str) -> Result<Arc<Instance>, Answer> {
    let has = |defect| inner.has(defect);
    let deadline = tokio::time::Instant::now() + START_TIME;
    loop {
        let mut changed = pin!(inner.changed.notified());
        changed.as_mut().enable();
        {
            let mut state = inner.state();
            let key = similar(inner, &state, key);
            let ghost = state
                .ghosts
                .get(&key)
                .filter(|_| has(Defect::DeletedAnswers));
            if let Some(instance) = ghost.and_then(crate::state::Function::pick) {
                return Ok(instance);
            }
            let Some(function) = state.functions.get_mut(&key) else {
                let is_name = is_function_name(&key.1);
                if has(Defect::UnknownFunctionIs200) && is_name {
                    return Err(Answer::empty(200));
                }
                let text = format!("No endpoints available for: {name}.");
                return Err(failed(inner, 404, text));
            };
            if let Some(instance) = function.pick() {
                return Ok(instance);
            }
            if function.wanted == 0 {
                if has(Defect::ZeroCallIs200) {
                    return Err(Answer::empty(200));
                }
                function.wanted = 1;
                inner.reconcile(&mut state, &key);
            }
        }
        if tokio::time::timeout_at(deadline, changed).await.is_err() {
            return Err(failed(
                inner,
                503,
                format!("No endpoints available for: {name}."),
            ));
        }
    }
}

/// The key itself, but for defects that take one name for another.
fn similar(inner: &Inner, state: &State, key: &Key) -> Key {
    let asked = key.1.as_str();
    // Names that go on with a number are those of other cases.
    let letters = |more: &str| more.starts_with(|one: char| !one.is_ascii_digit());
    let matches = |known: &&Key| {
        let prefix = known.1.strip_prefix(asked).is_some_and(letters);
        let suffix = known.1.ends_with(asked) && known.1 != asked;
        known.0 == key.0
            && (inner.has(Defect::NamesByPrefix) && prefix
                || inner.has(Defect::NamesBySuffix) && suffix)
    };
    state.functions.keys().find(matches).unwrap_or(key).clone()
}

async fn attempt(
    inner: &Inner,
    instance: &Instance,
    key: &Key,
    incoming: &mut Incoming,
    rest: &[u8],
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Outcome {
    let name = key.1.as_str();
    let has = |defect| inner.has(defect);
    let kept = if has(Defect::StalePool) {
        headers::kept(instance)
    } else {
        None
    };
    let opened = match (kept, instance.address()) {
        (Some(stream), _) => Some(stream),
        (None, Some(address)) => TcpStream::connect(address).await.ok(),
        (None, None) => None,
    };
    let Some(stream) = opened else {
        return Outcome::Fail(failed(
            inner,
            502,
            format!("Can't reach service for: {name}."),
        ));
    };
    let _ = stream.set_nodelay(true);
    if incoming.expects && !has(Defect::CallExpectIgnored) {
        incoming.expects = false;
        let _ = to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    let (outgoing, framing) = headers::request(inner, incoming, key, rest);
    let call = Call {
        inner,
        name,
        request: &incoming.head,
        is_1_1: incoming.is_1_1,
        keep: incoming.keep,
        upgrade: outgoing.headers.has("upgrade"),
        sent: AtomicBool::new(false),
        sent_now: Notify::new(),
    };
    let (from_function, mut to_function) = stream.into_split();
    let mut from_function = Reader::new(from_function);
    let outcome = {
        let mut sends = pin!(upload(
            &call,
            &outgoing,
            framing,
            &mut incoming.body,
            reader,
            &mut to_function
        ));
        let mut relays = pin!(relay::relay(&call, &mut from_function, to));
        let mut uploading = true;
        loop {
            tokio::select! {
                outcome = &mut relays => break outcome,
                ended = &mut sends, if uploading => match ended {
                    Upload::CallerLeft => return Outcome::Done(After::Abort),
                    Upload::FunctionLeft => uploading = false,
                },
            }
        }
    };
    headers::end_mix(inner, key);
    match outcome {
        Outcome::Tunnel => {
            relay::tunnel(inner, reader, &mut to_function, &mut from_function, to).await;
            Outcome::Tunnel
        }
        Outcome::Done(After::Keep) if !incoming.body.is_done() => Outcome::Done(After::Close),
        Outcome::Done(After::Keep) if has(Defect::StalePool) => {
            headers::keep(instance, from_function, to_function);
            Outcome::Done(After::Keep)
        }
        outcome => outcome,
    }
}

/// How the way to the function ended.
enum Upload {
    CallerLeft,
    FunctionLeft,
}

/// Sends a call to its function, then watches whether the caller stays.
async fn upload(
    call: &Call<'_>,
    head: &Head,
    framing: Framing,
    body: &mut Body,
    reader: &mut Reader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
) -> Upload {
    if to.write_all(&head.to_bytes()).await.is_err() {
        return Upload::FunctionLeft;
    }
    let mut left = match framing {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::Chunked | Framing::Close => usize::MAX,
    };
    if call.has(Defect::BodyCut) {
        left = left.min(64 * 1024);
    }
    loop {
        let mut piece = match reader.piece(body).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(BodyError::Broken | BodyError::Malformed(_)) => return Upload::CallerLeft,
        };
        if call.has(Defect::BodyAsText) {
            piece = String::from_utf8_lossy(&piece).into_owned().into();
        }
        piece.truncate(left);
        left -= piece.len();
        if write_piece(to, framing, &piece).await.is_err() {
            return Upload::FunctionLeft;
        }
    }
    if framing == Framing::Chunked && write_last_chunk(to, &body.trailers).await.is_err() {
        return Upload::FunctionLeft;
    }
    call.sent.store(true, Ordering::Release);
    call.sent_now.notify_one();
    reader.closed().await;
    Upload::CallerLeft
}

/// How long the function may still take for its first byte.
pub(super) async fn limit(call: &Call<'_>) {
    if !call.is_sent() {
        call.sent_now.notified().await;
    }
    tokio::time::sleep(call.inner.options.first_byte).await;
}

/// When everything is cut off (a defect).
pub(super) async fn total(call: &Call<'_>, start: Instant) {
    if !call.has(Defect::TimeoutIsTotal) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep_until((start + call.inner.options.first_byte).into()).await;
}
