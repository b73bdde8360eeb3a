//! A process per call: modes `streaming` and `serializing`.
//!
//! One task owns the process and all its pipes. It tells the reply what happens through a channel
//! of one message; when the reply is dropped, because the client left, the task sees the channel
//! closed and kills the process group. Nothing else ends a process.

use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::child::{Group, Outputs, Started};
use crate::error::causes;
use crate::gauge::Counted;
use crate::limit::Limit;
use crate::logs::Output;
use crate::reply::{self, Body, BoxError, Failure};
use crate::request_body::{BodyError, RequestBody};
use crate::serve::Shared;
use crate::{Mode, request_env};

const READ_SIZE: usize = 32 * 1024;
/// How long the rest of a request is still read and dropped after its reply: a client that is
/// still sending would otherwise be reset before it has read the reply.
const DROP_REST: Duration = Duration::from_secs(5);

const INTERRUPTED: &str = "the watchdog ended before the function";

/// What the process's task tells the reply.
enum Message {
    Output(Bytes),
    /// The process has ended well, and so has its output.
    End,
    Failed(Failure),
}

/// What is done with what the process writes.
enum Sink {
    /// It is the reply as it comes.
    Stream,
    /// It is the reply when the process has ended, if it is not more than this.
    Collect(BytesMut, usize),
    /// Nobody will see it.
    Drop,
}

/// A process that answers a call.
struct Run {
    shared: Arc<Shared>,
    group: Group,
    limit: Limit,
    replies: mpsc::Sender<Message>,
    progress: Progress,
    _counted: Counted,
}

/// How far a process has come.
#[derive(Default)]
struct Progress {
    written: AtomicU64,
    /// The reply has begun.
    begun: AtomicBool,
}

/// Answers a call with a process of its own.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    limit: Limit,
) -> Response<Body> {
    let config = &shared.config;
    let (parts, incoming) = request.into_parts();
    let body = RequestBody::new(incoming, config.read_timeout);
    let variables = if config.cgi_headers {
        if request_env::has_nul(&parts) {
            let text = "the path contains a NUL byte (%00), which no variable can hold";
            return Failure::of_caller(StatusCode::BAD_REQUEST, text)
                .into_response(limit.started());
        }
        request_env::of_request(&parts, body.length())
    } else {
        Vec::new()
    };
    let serializing = config.mode == Mode::Serializing;
    let input = if serializing {
        match body.whole(config.max_buffered_bytes).await {
            Ok(whole) => Input::Whole(whole),
            Err(error) => return error.into_failure().into_response(limit.started()),
        }
    } else {
        Input::Arriving(body)
    };

    let outputs = if config.combine_output {
        Outputs::Joined
    } else {
        Outputs::Apart
    };
    let started = match shared.launcher.start(variables, outputs) {
        Ok(started) => started,
        Err(error) => {
            let text = causes(&error);
            shared.logs.note(&text);
            return internal(text).into_response(limit.started());
        }
    };
    shared.logs.note("Forking fprocess.");

    let sink = match (serializing, &parts.method) {
        (true, _) => Sink::Collect(BytesMut::new(), config.max_buffered_bytes),
        (false, method) if *method == Method::HEAD => Sink::Drop,
        (false, _) => Sink::Stream,
    };
    let (replies, mut messages) = mpsc::channel(1);
    let Started {
        group,
        stdin,
        stdout,
        stderr,
    } = started;
    if let Some(stderr) = stderr {
        shared.log_output(stderr, Output::Stderr);
    }
    let run = Run {
        shared: Arc::clone(shared),
        group,
        limit,
        replies,
        progress: Progress::default(),
        _counted: shared.processes.enter().0,
    };
    tokio::spawn(run.finish(input, stdin, stdout, sink));

    let first = match messages.recv().await {
        Some(Message::Output(first)) => first,
        Some(Message::End) => Bytes::new(),
        Some(Message::Failed(failure)) => return failure.into_response(limit.started()),
        None => return internal(INTERRUPTED.to_owned()).into_response(limit.started()),
    };
    let mut response = Response::new(if serializing || first.is_empty() {
        reply::full(first)
    } else {
        ProcessBody {
            first: Some(first),
            messages,
        }
        .boxed_unsync()
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, config.content_type.clone());
    if serializing {
        let took = limit.started().elapsed();
        headers.insert(reply::DURATION, reply::seconds(took));
    }
    response
}

/// What a process is to read.
enum Input {
    Arriving(RequestBody),
    Whole(Bytes),
}

// === impl Run ===

impl Run {
    async fn finish(
        mut self,
        input: Input,
        stdin: ChildStdin,
        mut stdout: Box<dyn AsyncRead + Send + Unpin>,
        mut sink: Sink,
    ) {
        // It stays open until the process is gone when the input breaks off: a process must not
        // take half a body for the whole.
        let mut stdin = Some(stdin);
        let feeding = feed(input, &mut stdin);
        tokio::pin!(feeding);
        let mut fed = false;

        let outcome = {
            let group = &mut self.group;
            let (limit, replies, progress) = (&self.limit, &self.replies, &self.progress);
            let run = async {
                read_all(&mut stdout, &mut sink, replies, progress).await?;
                match group.wait().await {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(exited(status)),
                    Err(error) => Err(internal(format!(
                        "the function's process was lost: {error}"
                    ))),
                }
            };
            let too_slow = async {
                let no_reply = limit.no_reply().await;
                // A reply that has begun is bounded by the whole call's limit alone.
                if progress.begun.load(Ordering::Relaxed) {
                    limit.no_end().await
                } else {
                    no_reply
                }
            };
            let input_broke = async {
                let ended = feeding.as_mut().await;
                fed = true;
                match ended {
                    Ok(()) => std::future::pending().await,
                    Err(error) => error,
                }
            };
            tokio::select! {
                ended = run => Some(ended),
                () = replies.closed() => None,
                failure = too_slow => Some(Err(failure)),
                error = input_broke => match error {
                    BodyError::Broken(_) => None,
                    error => Some(Err(error.into_failure())),
                },
            }
        };
        // Nobody of the group outlives a call that was given up. A leader that was waited for has
        // ended by itself; what it left behind is its own affair.
        if self.group.leader().is_some() {
            let _killed = self.group.kill().await;
        }
        let given_up = outcome.is_none();
        self.report(outcome, sink).await;
        if !fed && !given_up {
            let _rest = timeout(DROP_REST, feeding).await;
        }
    }

    /// Logs how it ended and tells the reply. Dropping `self` ends the reply.
    async fn report(self, outcome: Option<Result<(), Failure>>, sink: Sink) {
        let written = self.progress.written.load(Ordering::Relaxed);
        let logs = &self.shared.logs;
        let last = match outcome {
            None => {
                logs.note("the client left, and the function's process was killed");
                return;
            }
            Some(Err(failure)) => {
                logs.note(format_args!("{}, after {written} bytes", failure.text));
                Message::Failed(failure)
            }
            Some(Ok(())) => {
                let took = self.limit.started().elapsed().as_secs_f64();
                logs.note(format_args!(
                    "Wrote {written} Bytes - Duration: {took:.6} seconds"
                ));
                match sink {
                    Sink::Collect(whole, _) if !whole.is_empty() => Message::Output(whole.freeze()),
                    _ => Message::End,
                }
            }
        };
        let _left = self.replies.send(last).await;
    }
}

/// Gives a process its input, and closes its stdin after it. A process that does not read it all
/// is no error; the rest is dropped then.
async fn feed(input: Input, stdin: &mut Option<ChildStdin>) -> Result<(), BodyError> {
    match input {
        Input::Whole(whole) => write(stdin, &whole).await,
        Input::Arriving(mut body) => {
            while let Some(bytes) = body.next().await {
                write(stdin, &bytes?).await;
            }
        }
    }
    stdin.take();
    Ok(())
}

async fn write(stdin: &mut Option<ChildStdin>, bytes: &[u8]) {
    if let Some(pipe) = stdin
        && pipe.write_all(bytes).await.is_err()
    {
        stdin.take();
    }
}

/// Reads what a process writes until it closes its stdout, no faster than the reply is taken.
async fn read_all(
    stdout: &mut (dyn AsyncRead + Send + Unpin),
    sink: &mut Sink,
    replies: &mpsc::Sender<Message>,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut buffer = BytesMut::new();
    loop {
        // The place comes first, so that nothing is read that cannot be handed on.
        let place = match sink {
            Sink::Stream => match replies.reserve().await {
                Ok(place) => Some(place),
                Err(_left) => return std::future::pending().await,
            },
            Sink::Collect(..) | Sink::Drop => None,
        };
        buffer.reserve(READ_SIZE);
        let read = stdout.read_buf(&mut buffer).await;
        let length = read.map_err(|error| {
            internal(format!("the function's output could not be read: {error}"))
        })?;
        if length == 0 {
            return Ok(());
        }
        progress.written.fetch_add(length as u64, Ordering::Relaxed);
        match (place, &mut *sink) {
            (Some(place), _) => {
                progress.begun.store(true, Ordering::Relaxed);
                place.send(Message::Output(buffer.split().freeze()));
            }
            (None, Sink::Collect(whole, most)) => {
                whole.unsplit(buffer.split());
                if whole.len() > *most {
                    return Err(internal(format!(
                        "the function's output is larger than {most} bytes (max_buffered_bytes)"
                    )));
                }
            }
            (None, Sink::Stream | Sink::Drop) => buffer.clear(),
        }
    }
}

/// The function made no reply; these are our words.
fn exited(status: ExitStatus) -> Failure {
    let text = format!("the function ended with {status}");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "function-crashed", text)
}

fn internal(text: String) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
}

/// A reply made of what a process writes. It ends only when the process has ended well; anything
/// else cuts the connection, so that no client takes it for complete.
struct ProcessBody {
    first: Option<Bytes>,
    messages: mpsc::Receiver<Message>,
}

/// Why a reply was cut.
#[derive(Debug, Error)]
#[error("{0}")]
struct Cut(String);

// === impl ProcessBody ===

impl HttpBody for ProcessBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let cut = |text: String| Some(Err(BoxError::from(Cut(text))));
        Poll::Ready(match ready!(self.messages.poll_recv(cx)) {
            Some(Message::Output(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Message::End) => None,
            Some(Message::Failed(failure)) => cut(failure.text),
            None => cut(INTERRUPTED.to_owned()),
        })
    }
}
