//! What functions wrote.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_core::Stream;
use http::Method;
use provider_types::Timestamp;
use provider_types::wire::{self, Message};

use crate::address::query;
use crate::client::broken;
use crate::{Client, Error};

/// Bytes of a line of the log: its text may have 1 MiB, six times as much where all is escaped.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Which lines of a function's log are wanted. All that is kept by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogQuery {
    /// The function.
    pub function: String,
    /// Its namespace; `None` is the default one.
    pub namespace: Option<String>,
    /// Only what this instance wrote.
    pub instance: Option<String>,
    /// Only so many of the last lines.
    pub tail: Option<u32>,
    /// Only what was written since.
    pub since: Option<SystemTime>,
    /// Goes on with what is written from now on.
    pub follow: bool,
}

impl LogQuery {
    /// All lines of a function of the default namespace.
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            ..Self::default()
        }
    }

    fn target(&self) -> String {
        let query = query([
            ("name", Some(self.function.clone())),
            ("namespace", self.namespace.clone()),
            ("instance", self.instance.clone()),
            ("tail", self.tail.map(|lines| lines.to_string())),
            (
                "since",
                self.since.map(|since| Timestamp::from(since).to_string()),
            ),
            ("follow", self.follow.then(|| "1".to_owned())),
        ]);
        format!("/system/logs{query}")
    }
}

impl Client {
    /// The log of a function, line by line as it comes.
    ///
    /// # Errors
    /// [`Error::Status`] when the provider refuses: 404 for a function that it does not know.
    pub async fn logs(&self, logs: &LogQuery) -> Result<LogLines, Error> {
        let target = logs.target();
        let request = self.request(Method::GET, &target, true);
        let answer = self.open(&target, request).await?;
        Ok(LogLines {
            call: format!("GET {target}"),
            chunks: Box::pin(answer.bytes_stream()),
            buffer: BytesMut::new(),
            seen: 0,
            over: false,
        })
    }
}

/// Lines of a log as they come; the end of a log that is not followed, and a provider that stops,
/// end it. Dropping it ends the call.
///
/// After an error there is nothing more.
pub struct LogLines {
    call: String,
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: BytesMut,
    /// How much of the buffer has no newline.
    seen: usize,
    over: bool,
}

impl LogLines {
    /// The next line. `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no line of a log.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_line(cx)).await.transpose()
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        while !self.over {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(self.seen + at);
                self.buffer.advance(1);
                self.seen = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Poll::Ready(Some(self.read(line.freeze())));
            }
            self.seen = self.buffer.len();
            if self.seen > MAX_LINE {
                self.over = true;
                return Poll::Ready(Some(Err(Error::TooLarge(MAX_LINE))));
            }
            match ready!(self.chunks.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(broken(error))));
                }
                None => {
                    self.over = true;
                    let line = self.buffer.split().freeze();
                    if !line.trim_ascii().is_empty() {
                        return Poll::Ready(Some(self.read(line)));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    fn read(&mut self, line: Bytes) -> Result<Message, Error> {
        wire::from_slice(&line).map_err(|source| {
            self.over = true;
            Error::Decode {
                call: self.call.clone(),
                body: line,
                source,
            }
        })
    }
}

impl Stream for LogLines {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_line(cx)
    }
}

impl fmt::Debug for LogLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLines")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
