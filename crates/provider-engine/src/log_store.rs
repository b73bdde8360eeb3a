//! The newest log lines of one function, in memory, and those who read them.
//!
//! A writer never waits: when the bounds are passed the oldest lines go. A reader keeps its own
//! place; lines that went before it came to them are told to it as [`LogEvent::Dropped`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::stream;
use provider_types::{Line, LogChunk, LogEvent, LogRequest, LogStream};
use tokio::sync::watch;

/// How many lines are promised to be kept. Where the bound on bytes keeps fewer, a reader is told.
const PROMISED_LINES: usize = 1_000;

/// How many lines a reader takes out at a time, so that it does not hold the lock for long.
const BATCH: usize = 64;

/// The lines of one function.
#[derive(Debug)]
pub(crate) struct FunctionLog {
    kept: Mutex<Kept>,
    /// How many lines were ever written; closed with the log.
    written: watch::Sender<u64>,
    max_lines: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Entry>,
    bytes: usize,
    /// The number of the oldest kept line; the first line ever is 0.
    first: u64,
    /// The function is gone: those who follow come to their end.
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    instance: Arc<str>,
    timestamp: SystemTime,
    text: Box<str>,
}

impl FunctionLog {
    pub(crate) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            written: watch::Sender::new(0),
            max_lines: max_lines.max(1),
            max_bytes,
        }
    }

    /// Keeps a line that an instance wrote. What is no UTF-8 in it becomes U+FFFD.
    pub(crate) fn append(&self, instance: &Arc<str>, chunk: &LogChunk) {
        let text = String::from_utf8_lossy(&chunk.line).into_owned();
        let mut kept = self.lock();
        kept.bytes += text.len();
        kept.lines.push_back(Entry {
            instance: Arc::clone(instance),
            timestamp: chunk.timestamp,
            text: text.into_boxed_str(),
        });
        while kept.lines.len() > self.max_lines
            || (kept.bytes > self.max_bytes && kept.lines.len() > 1)
        {
            if let Some(gone) = kept.lines.pop_front() {
                kept.bytes -= gone.text.len();
                kept.first += 1;
            }
        }
        let end = kept.end();
        drop(kept);
        self.written.send_replace(end);
    }

    /// Ends the log: who follows it gets the rest and then the end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.written.send_modify(|_| {});
    }

    /// Answers a query.
    pub(crate) fn query(self: &Arc<Self>, request: &LogRequest) -> LogStream {
        let filter = Filter {
            instance: request.instance.clone(),
            since: request.since,
        };
        let written = self.written.subscribe();
        let (next, until, missing) = {
            let kept = self.lock();
            let (next, missing) = kept.start(&filter, request.tail);
            (next, (!request.follow).then_some(kept.end()), missing)
        };
        let mut ready = VecDeque::new();
        if missing > 0 {
            ready.push_back(LogEvent::Dropped(missing));
        }
        let reader = Reader {
            log: Arc::clone(self),
            written,
            filter,
            next,
            until,
            ready,
        };
        Box::pin(stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(event), reader))
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The number that the next line will get.
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Where a reader starts who wants the newest `tail` lines that pass the filter, and how many
    /// lines it will miss that were promised to it.
    fn start(&self, filter: &Filter, tail: Option<usize>) -> (u64, u64) {
        let mut wanted = tail.unwrap_or(usize::MAX);
        let mut start = self.end();
        for (back, entry) in (1..).zip(self.lines.iter().rev()) {
            if wanted == 0 {
                break;
            }
            if filter.passes(entry) {
                wanted -= 1;
                start = self.end() - back;
            }
        }
        let reaches_back = self
            .lines
            .front()
            .is_none_or(|oldest| filter.since.is_none_or(|since| oldest.timestamp >= since));
        let short = wanted > 0 && reaches_back && self.lines.len() < PROMISED_LINES;
        (start, if short { self.first } else { 0 })
    }

    fn get(&self, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index)
    }
}

/// Which lines are wanted.
#[derive(Debug)]
struct Filter {
    instance: Option<String>,
    since: Option<SystemTime>,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        self.instance
            .as_deref()
            .is_none_or(|instance| *instance == *entry.instance)
            && self.since.is_none_or(|since| entry.timestamp >= since)
    }
}

/// A reader's place in a log.
struct Reader {
    log: Arc<FunctionLog>,
    written: watch::Receiver<u64>,
    filter: Filter,
    /// The number of the line to be looked at next.
    next: u64,
    /// Where it ends; `None` is never.
    until: Option<u64>,
    ready: VecDeque<LogEvent>,
}

impl Reader {
    async fn next(&mut self) -> Option<LogEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.fill() {
                Filled::Some => {}
                Filled::Nothing => self.written.changed().await.ok()?,
                Filled::End => return None,
            }
        }
    }

    /// Takes the next lines out.
    fn fill(&mut self) -> Filled {
        let kept = self.log.lock();
        if self.next < kept.first {
            self.ready
                .push_back(LogEvent::Dropped(kept.first - self.next));
            self.next = kept.first;
        }
        for _ in 0..BATCH {
            if self.until.is_some_and(|until| self.next >= until) {
                break;
            }
            let Some(entry) = kept.get(self.next) else {
                break;
            };
            self.next += 1;
            if self.filter.passes(entry) {
                self.ready.push_back(LogEvent::Line(Line::new(
                    &*entry.instance,
                    entry.timestamp,
                    &*entry.text,
                )));
            }
        }
        let at_end = self.next >= self.until.unwrap_or_else(|| kept.end());
        match (self.ready.is_empty(), at_end) {
            (false, _) | (true, false) => Filled::Some,
            (true, true) if self.until.is_some() || kept.closed => Filled::End,
            (true, true) => Filled::Nothing,
        }
    }
}

/// What became of looking for more lines.
enum Filled {
    /// There may be some now.
    Some,
    /// There are none yet.
    Nothing,
    /// There will be none.
    End,
}
