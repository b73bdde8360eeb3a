//! Where log lines come from.

use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{CallContext, FunctionRef, ProviderError};

/// What a client asked of the logs (`faas-provider`: `logs.Request`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogRequest {
    /// What is known of the call besides its arguments.
    pub context: CallContext,
    /// Whose logs.
    pub function: FunctionRef,
    /// Only this instance's lines.
    pub instance: Option<String>,
    /// Only lines at or after this time.
    pub since: Option<SystemTime>,
    /// At most this many of the newest lines, over all instances together; `None` is all.
    pub tail: Option<usize>,
    /// Whether lines that are written later are wanted, until the client leaves.
    pub follow: bool,
}

impl LogRequest {
    /// All lines there are of a function.
    #[must_use]
    pub fn new(context: CallContext, function: FunctionRef) -> Self {
        Self {
            context,
            function,
            instance: None,
            since: None,
            tail: None,
            follow: false,
        }
    }
}

/// One line that a function wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// Which instance wrote it.
    pub instance: String,
    /// When.
    pub timestamp: SystemTime,
    /// What, without its newline.
    pub text: String,
}

impl Line {
    /// A line of that text.
    pub fn new(
        instance: impl Into<String>,
        timestamp: SystemTime,
        text: impl Into<String>,
    ) -> Self {
        Self {
            instance: instance.into(),
            timestamp,
            text: text.into(),
        }
    }
}

/// What a log stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// A line.
    Line(Line),
    /// This many lines are missing here, because the reader was too slow or they were never kept;
    /// 0 where nobody knows how many.
    Dropped(u64),
}

/// Lines in the order of their time. Dropping it stops the query.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogEvent, ProviderError>> + Send>>;

/// What a source holds of the lines of functions and what it could not keep, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogReading {
    /// How many bytes all lines have where they are kept.
    pub bytes: u64,
    /// In how many files they are.
    pub segments: u64,
    /// How many lines were dropped since the source began, and why. Lines that were removed for
    /// their age or to keep to a bound do not count.
    pub dropped: DroppedLines,
    /// Each function that has lines, sorted by name.
    pub functions: Vec<FunctionLogReading>,
}

/// How many lines were dropped, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedLines {
    /// The source was too slow to take them, so that they were dropped before it had them.
    pub not_taken: u64,
    /// Too many waited to be written.
    pub no_room: u64,
    /// They could not be written.
    pub failed: u64,
}

/// What a source holds of one function's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionLogReading {
    /// Which function.
    pub function: FunctionRef,
    /// How many bytes its lines have where they are kept.
    pub bytes: u64,
    /// How many of its lines were kept since the source began.
    pub lines: u64,
    /// How many were dropped.
    pub dropped: u64,
}

impl FunctionLogReading {
    /// What is held of one function's lines.
    #[must_use]
    pub fn new(function: FunctionRef, bytes: u64, lines: u64, dropped: u64) -> Self {
        Self {
            function,
            bytes,
            lines,
            dropped,
        }
    }
}

/// A source of log lines.
#[doc(alias = "Requester")]
#[async_trait]
pub trait LogSource: Send + Sync + 'static {
    /// Starts a query. A function that does not exist is [`crate::ErrorKind::NotFound`]; one
    /// without a running instance has whatever history there is.
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError>;

    /// What it holds and what it dropped, asked for with each scrape of the metrics: answer from
    /// memory. `None`, the default, where that is not known.
    fn reading(&self) -> Option<LogReading> {
        None
    }
}

#[async_trait]
impl<T: LogSource + ?Sized> LogSource for std::sync::Arc<T> {
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
        (**self).query(request).await
    }

    fn reading(&self) -> Option<LogReading> {
        (**self).reading()
    }
}

const _: fn(&dyn LogSource) = |_| {};
