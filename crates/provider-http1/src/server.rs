//! One connection of a client, from its first request to its last.
//!
//! What HTTP over sockets needs beyond its grammar:
//! * A client that shuts down its sending side and waits for the reply looks just like one that
//!   left. It counts as gone, and its call is given up, when it got no byte for [`HALF_CLOSED`].
//! * Closing a socket that holds unread bytes makes the kernel reset it, and the client may lose
//!   the reply that said why (413, 431). What still comes is read and thrown away for a moment.
//! * A client that takes no byte for [`Patience::idle`] counts as gone. While it takes none, nobody
//!   asks its reply for more, so no timer of the reply's own would notice.
//! * A client has [`Patience::header`] for the head of a request, however slowly it trickles.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::body::{Loan, RequestBody};
use crate::reply::{Asked, Framing, Output};
use crate::request::{BadRequest, RequestHead};
use crate::socket::{Reading, Socket, Writing};
use crate::upgrade::{OnUpgrade, Upgraded};

/// How long a client that sends no more may wait without getting a byte.
const HALF_CLOSED: Duration = Duration::from_secs(2);
/// How long, and how much, is read after the last reply.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
/// How long a kept-alive connection has for one more request once the server stops. A request that
/// was under way when the server was told to stop is thus answered.
const LAST_CALL: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a server waits for, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The head of a request, from the end of the call before or the connection's beginning.
    pub header: Duration,
    /// A client that takes none of the bytes that wait for it.
    pub idle: Duration,
}

/// Says that the server stops: a connection without a request then ends.
pub trait Stop: Sync {
    /// Whether it does. Asked often.
    fn has_begun(&self) -> bool;
    /// Waits until it does.
    fn begun(&self) -> impl Future<Output = ()> + Send;
}

/// Serves a connection to its end. Where it was upgraded it goes on without this, as what
/// [`OnUpgrade`] in the extensions of its request becomes. `guard` is dropped when the socket is
/// closed.
///
/// A request that could be understood in two ways is refused and never seen by `service`. Calls of
/// one connection are answered one after another. Replies get a `Date` unless they have one, and
/// are framed here: a `Transfer-Encoding` of theirs is dropped, a `Content-Length` is held to. A
/// reply that says `Connection: close` is the last one. A body that fails, or has another length
/// than was said, ends the connection visibly.
///
/// # Cancel safety
/// Dropping the future closes the connection at once and drops the call that runs.
pub async fn serve<S, F, B>(
    socket: Socket,
    guard: Box<dyn Any + Send>,
    patience: Patience,
    stop: &impl Stop,
    mut service: S,
) where
    S: FnMut(Request<RequestBody>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut connection = Connection::new(socket, patience);
    let mut stopping = pin!(stop.begun());
    let mut watch = StopWatch {
        waits: false,
        last_call: None,
    };
    loop {
        let head =
            poll_fn(|cx| connection.poll_head(cx, |cx| watch.poll(cx, stop, stopping.as_mut())));
        let head = match head.await {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(refusal) => {
                tracing::debug!(%refusal, "a request is refused");
                connection
                    .output
                    .refuse(refusal.status(), &refusal.to_string());
                let _ = poll_fn(|cx| connection.poll_flush(cx)).await;
                break;
            }
        };
        let (request, call) = connection.begin(head);
        let mut answering = pin!(service(request));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(response) = answering.as_mut().poll(cx) {
                // The body was perhaps dropped with it.
                connection.poll_back(cx);
                return Poll::Ready(Some(response));
            }
            ready!(connection.poll_left(cx));
            Poll::Ready(None)
        });
        let Some(response) = answered.await else {
            break;
        };
        let (head, body) = response.into_parts();
        let upgrade = call
            .upgrade
            .filter(|_| head.status == StatusCode::SWITCHING_PROTOCOLS);
        let mut reply = connection.reply(call.asked, call.keeps_alive, &head, &body.size_hint());
        let mut body = pin!(body);
        let replied = poll_fn(|cx| connection.poll_reply(cx, &mut reply, body.as_mut())).await;
        if let Some(upgrade) = upgrade {
            if let (Ok(()), Some(reading)) = (replied, connection.reading.take()) {
                let _ = upgrade.send(Upgraded {
                    reading,
                    writing: connection.writing,
                    _guard: guard,
                });
            }
            return;
        }
        if let Err(error) = replied {
            tracing::debug!(
                error = &*error as &dyn std::error::Error,
                "a connection ends within a reply"
            );
            // The end of the connection alone would look like the end of the reply.
            if reply.framing == Framing::UntilClose {
                return connection.reset();
            }
            break;
        }
        if !reply.stays || !poll_fn(|cx| connection.poll_over(cx)).await {
            break;
        }
    }
    connection.close();
}

/// What a call's connection remembers of its request.
struct Call {
    asked: Asked,
    keeps_alive: bool,
    upgrade: Option<tokio::sync::oneshot::Sender<Upgraded>>,
}

/// A reply that is being written.
struct Reply {
    framing: Framing,
    /// The connection goes on after it.
    stays: bool,
    /// All of it waits to be written, or was.
    over: bool,
    broken: Option<BoxError>,
}

struct Connection {
    /// Lent to the request's body while that is read.
    reading: Option<Reading>,
    loan: Option<Arc<Loan>>,
    /// The client waits to be told that its body is wanted, and may never send it.
    holds_back: bool,
    /// What comes now is the rest of a body that nobody wants.
    unread: bool,
    /// How much of what has come was searched for the end of a head.
    seen: usize,
    writing: Writing,
    output: Output,
    patience: Patience,
    alarm: Alarm,
    /// Since when the head of a request is waited for.
    waiting: Option<Instant>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
    /// When the client, which sends no more, counts as gone.
    gone: Option<Instant>,
}

impl Connection {
    fn new(socket: Socket, patience: Patience) -> Self {
        let (reading, writing) = socket.split();
        Self {
            reading: Some(reading),
            loan: None,
            holds_back: false,
            unread: false,
            seen: 0,
            writing,
            output: Output::default(),
            patience,
            alarm: Alarm::default(),
            waiting: None,
            stalled: None,
            gone: None,
        }
    }

    /// The head of the next request. `None` if there will be none: the client has ended, takes too
    /// long, or the server stops, as `last_call` says it.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        last_call: impl FnOnce(&mut Context<'_>) -> Option<Instant>,
    ) -> Poll<Result<Option<RequestHead>, BadRequest>> {
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(Ok(None));
        };
        loop {
            if let Some(head) = RequestHead::take(&mut reading.buffer, &mut self.seen)? {
                self.waiting = None;
                return Poll::Ready(Ok(Some(head)));
            }
            match reading.poll_fill(cx, None) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let mut due = since + self.patience.header;
        if let Some(last) = last_call(cx).filter(|_| reading.buffer.is_empty()) {
            due = due.min(last);
        }
        self.alarm.poll(cx, due).map(|_| Ok(None))
    }

    /// Makes a request of a head.
    fn begin(&mut self, head: RequestHead) -> (Request<RequestBody>, Call) {
        let RequestHead {
            request,
            coding,
            keeps_alive,
            expects_continue,
            asks_upgrade,
        } = head;
        let asked = Asked {
            is_head: request.method() == Method::HEAD,
            is_http_10: request.version() == Version::HTTP_10,
        };
        let whole = match &mut self.reading {
            Some(reading) => RequestBody::whole(&coding, &mut reading.buffer),
            None => None,
        };
        let is_whole = whole.is_some();
        let body = whole.unwrap_or_else(|| match self.reading.take() {
            Some(reading) => {
                let (body, loan) = RequestBody::stream(reading, coding, expects_continue);
                self.loan = Some(loan);
                self.holds_back = expects_continue;
                body
            }
            None => RequestBody::empty(),
        });
        let mut request = request.map(|()| body);
        let upgrade = (asks_upgrade && is_whole).then(|| {
            let (sender, upgrade) = OnUpgrade::new();
            request.extensions_mut().insert(upgrade);
            sender
        });
        let call = Call {
            asked,
            keeps_alive,
            upgrade,
        };
        (request, call)
    }

    /// Looks after what goes on beside a call that is not answered yet. Ready when the client left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_back(cx) && std::mem::take(&mut self.holds_back) {
            self.output.go_on();
        }
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            return Poll::Ready(());
        }
        self.poll_gone(cx)
    }

    /// The same once a reply has begun: it is too late to tell the client to go on.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_back(cx);
        self.poll_gone(cx)
    }

    /// Takes back what a body has read from, if it is done. True if the body was asked for.
    fn poll_back(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(loan) = &self.loan else {
            return false;
        };
        let look = loan.look(cx);
        if let Some((mut reading, is_read)) = look.back {
            reading.shrink();
            self.reading = Some(reading);
            self.loan = None;
            self.unread = !is_read;
        }
        look.wanted
    }

    /// Ready when the client left, as far as what it sends tells.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reading) = &mut self.reading else {
            return Poll::Pending;
        };
        if !reading.ended {
            // With a next request here it has not left, and no more than that is taken in.
            if !reading.buffer.is_empty() {
                return Poll::Pending;
            }
            if ready!(reading.poll_fill(cx, None)).is_err() {
                return Poll::Ready(());
            }
            if !reading.ended {
                return Poll::Pending;
            }
        }
        let due = *self
            .gone
            .get_or_insert_with(|| Instant::now() + HALF_CLOSED);
        self.alarm.poll(cx, due).map(drop)
    }

    /// Writes all that waits. An error when the client takes nothing for too long.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match self.output.poll_write(cx, &mut self.writing) {
                Poll::Ready(wrote) => wrote?,
                Poll::Pending => {
                    let since = *self.stalled.get_or_insert_with(Instant::now);
                    ready!(self.alarm.poll(cx, since + self.patience.idle));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            self.stalled = None;
            if let Some(gone) = &mut self.gone {
                *gone = Instant::now() + HALF_CLOSED;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the body of the last request keeps the next one from being read.
    fn is_in_the_way(&self) -> bool {
        self.holds_back || self.unread
    }

    /// Begins a reply.
    fn reply(
        &mut self,
        asked: Asked,
        keeps_alive: bool,
        head: &http::response::Parts,
        size: &http_body::SizeHint,
    ) -> Reply {
        let mut stays = keeps_alive && !self.is_in_the_way();
        let framing = self.output.begin(asked, head, size, &mut stays);
        Reply {
            framing,
            stays,
            over: matches!(framing, Framing::None | Framing::Length(0)),
            broken: None,
        }
    }

    /// Writes a reply to its end.
    fn poll_reply<B>(
        &mut self,
        cx: &mut Context<'_>,
        reply: &mut Reply,
        mut body: Pin<&mut B>,
    ) -> Poll<Result<(), BoxError>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        loop {
            let mut waits = false;
            while !reply.over && !waits && self.output.has_room() {
                match body.as_mut().poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let fits = self.output.put(&mut reply.framing, frame);
                        if !fits {
                            reply.fail("the body is longer than was said".into());
                        } else if reply.framing == Framing::Length(0) {
                            reply.over = true;
                        } else if body.is_end_stream() {
                            reply.finish(&mut self.output);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => reply.fail(error.into()),
                    Poll::Ready(None) => reply.finish(&mut self.output),
                    Poll::Pending => waits = true,
                }
            }
            if self.poll_flush(cx)?.is_pending() {
                ready!(self.poll_beside(cx));
                return Poll::Ready(Err("the client left".into()));
            }
            if let Some(error) = reply.broken.take() {
                return Poll::Ready(Err(error));
            }
            if reply.over {
                return Poll::Ready(Ok(()));
            }
            if waits {
                ready!(self.poll_beside(cx));
                return Poll::Ready(Err("the client left".into()));
            }
        }
    }

    /// Waits after a reply until the request's body is no longer read; false if another request
    /// cannot follow.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.poll_back(cx);
        if self.is_in_the_way() {
            return Poll::Ready(false);
        }
        if self.reading.is_none() {
            return Poll::Pending;
        }
        self.output.shrink();
        self.gone = None;
        Poll::Ready(true)
    }

    /// Closes the connection as one that broke.
    fn reset(self) {
        if let Some(reading) = self.reading {
            self.writing.reset();
            drop(reading);
        }
    }

    /// Says that nothing more is sent, and has a task read on until the client has understood.
    fn close(self) {
        let Self {
            reading,
            mut writing,
            ..
        } = self;
        let Some(reading) = reading.filter(|reading| !reading.ended) else {
            return;
        };
        tokio::spawn(async move {
            if poll_fn(|cx| writing.poll_shutdown(cx)).await.is_err() {
                return;
            }
            let mut rest = reading.take(LINGER_BYTES);
            let mut nowhere = tokio::io::sink();
            let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await;
        });
    }
}

impl Reply {
    fn finish(&mut self, output: &mut Output) {
        self.over = true;
        if !output.finish(&mut self.framing) {
            self.fail("the body is shorter than was said".into());
        }
    }

    /// What was written before goes out; then the connection ends.
    fn fail(&mut self, error: BoxError) {
        self.over = true;
        self.stays = false;
        self.broken = Some(error);
    }
}

/// Watches for the server's end while a request is waited for.
struct StopWatch {
    /// The future wakes the task: asking it again before that is of no use.
    waits: bool,
    last_call: Option<Instant>,
}

impl StopWatch {
    /// By when a next request must begin, once the server stops.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stop: &impl Stop,
        stopping: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<Instant> {
        if self.last_call.is_none() && (!self.waits || stop.has_begun()) {
            self.waits = true;
            if stopping.poll(cx).is_ready() {
                self.last_call = Some(Instant::now() + LAST_CALL);
            }
        }
        self.last_call
    }
}

#[cfg(test)]
mod tests;
