//! What functions wrote.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;

/// How many lines of a function are kept.
const KEPT: usize = 10_000;

/// The lines of a function.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lines: Mutex<Lines>,
    pub(crate) more: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    /// How many there were before those that are kept.
    dropped: usize,
}

/// A line, without its end.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) time: OffsetDateTime,
    pub(crate) instance: String,
    pub(crate) text: String,
}

impl Logs {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, instance: &str, text: String) {
        let mut lines = self.lines();
        lines.kept.push_back(Line {
            time: OffsetDateTime::now_utc(),
            instance: instance.to_owned(),
            text,
        });
        if lines.kept.len() > KEPT {
            lines.kept.pop_front();
            lines.dropped += 1;
        }
        drop(lines);
        self.more.notify_waiters();
    }

    /// The lines from a number on, and the number of the next one.
    pub(crate) fn from(&self, number: usize) -> (Vec<Line>, usize) {
        let lines = self.lines();
        let skip = number.saturating_sub(lines.dropped);
        let found = lines.kept.iter().skip(skip).cloned().collect();
        (found, lines.dropped + lines.kept.len())
    }
}

/// An output of a replica, kept line by line.
#[derive(Debug)]
pub(crate) struct Output {
    instance: String,
    logs: Arc<Logs>,
    line: Vec<u8>,
    long_lines_stop: bool,
    stopped: bool,
}

impl Output {
    pub(crate) fn new(instance: &str, logs: &Arc<Logs>, long_lines_stop: bool) -> Self {
        Self {
            instance: instance.to_owned(),
            logs: Arc::clone(logs),
            line: Vec::new(),
            long_lines_stop,
            stopped: false,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            self.stopped |= self.long_lines_stop && self.line.len() > 64 * 1024;
            if let Some(line) = self.line.strip_suffix(b"\n") {
                if !self.stopped {
                    let text = String::from_utf8_lossy(line).into_owned();
                    self.logs.push(&self.instance, text);
                }
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
