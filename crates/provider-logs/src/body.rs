//! The reply: a stream of lines as ndjson.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::{Body, Frame};
use provider_types::wire::{self, Message};
use provider_types::{FunctionRef, LogEvent, LogStream, ProviderError};

/// Answers 200 with the lines of `stream`, which a source gave for `function`.
///
/// The server sends the headers at once, before there is a line. A stream that follows has no time
/// limit here: it goes on until the client leaves. A server that drains ends it with
/// `futures_util::StreamExt::take_until`.
#[must_use]
pub fn log_response(stream: LogStream, function: &FunctionRef) -> Response<LogBody> {
    let mut response = Response::new(LogBody {
        state: State::Streaming(stream),
        function: function.clone(),
        newest: None,
    });
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}

/// Lines as ndjson: a [`wire::Message`] and a newline each.
///
/// Each line is a frame of its own, which servers send at once. The next line is asked for when the
/// server has room for it, so a slow client slows the source down and nothing piles up here.
/// Dropping the body drops the stream, which stops the query.
///
/// [`LogEvent::Dropped`] becomes a line that says how many lines are missing. An error of the
/// source becomes a last line that says so, and then the error of the body: a server breaks the
/// connection off, so that the client can tell a broken stream from one that has ended.
pub struct LogBody {
    state: State,
    function: FunctionRef,
    /// When the newest line so far was written.
    newest: Option<SystemTime>,
}

enum State {
    Streaming(LogStream),
    /// The words are out and not yet sent.
    Failing(ProviderError),
    /// The words are sent; the failure itself comes next.
    Failed(ProviderError),
    Ended,
}

impl LogBody {
    /// The line of an event; none for a kind of event that is not known yet.
    fn line(&mut self, event: LogEvent) -> Option<Bytes> {
        let line = match event {
            LogEvent::Line(line) => {
                self.newest = Some(line.timestamp);
                self.message(line.instance, line.timestamp, line.text)
            }
            LogEvent::Dropped(lines) => {
                let time = self.newest.unwrap_or_else(SystemTime::now);
                let words = match lines {
                    0 => "log lines are missing here, nobody knows how many".to_owned(),
                    1 => "1 log line is missing here".to_owned(),
                    _ => format!("{lines} log lines are missing here"),
                };
                self.message(String::new(), time, words)
            }
            _ => return None,
        };
        Some(line)
    }

    fn message(&self, instance: String, time: SystemTime, text: String) -> Bytes {
        let FunctionRef { name, namespace } = &self.function;
        let message = Message::new(name.as_str(), namespace.as_str(), instance, time, text);
        wire::to_line(&message).into()
    }
}

impl Body for LogBody {
    type Data = Bytes;
    type Error = ProviderError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProviderError>>> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Ended) {
            State::Streaming(mut stream) => match stream.as_mut().poll_next(cx) {
                Poll::Pending => {
                    this.state = State::Streaming(stream);
                    Poll::Pending
                }
                Poll::Ready(Some(Ok(event))) => {
                    this.state = State::Streaming(stream);
                    match this.line(event) {
                        Some(line) => Poll::Ready(Some(Ok(Frame::data(line)))),
                        None => {
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let words = format!("the log stream broke off: {}", error.message());
                    this.state = State::Failing(error);
                    let line = this.message(String::new(), SystemTime::now(), words);
                    Poll::Ready(Some(Ok(Frame::data(line))))
                }
                Poll::Ready(None) => Poll::Ready(None),
            },
            State::Failing(error) => {
                // A server that meets the failure right behind the words breaks off before it has
                // sent them. It sends what it has when there is nothing to read.
                this.state = State::Failed(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            State::Failed(error) => Poll::Ready(Some(Err(error))),
            State::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}

impl fmt::Debug for LogBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBody")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}
