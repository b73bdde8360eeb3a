//! The part of a segment that a reader holds, and the events that are made of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memchr::memchr;
use provider_types::{Line, LogEvent};

use super::Filter;
use crate::log_store::block::{self, Found};
use crate::log_store::time;

/// Blocks in memory, from which lines are taken one by one.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Up to where `bytes` was parsed.
    parsed: usize,
    /// The block that is being taken apart.
    block: Option<Open>,
    /// What comes before the next line.
    ready: VecDeque<LogEvent>,
    /// The number of the line to come next.
    next: u64,
    /// The number of the first line that is not wanted any more.
    until: u64,
    /// Behind the last line others are missing that nobody could count.
    loss_at_end: bool,
    /// It was told that lines are missing that nobody could count, and no line came since.
    said_loss: bool,
}

/// A block that is being taken apart.
#[derive(Debug)]
struct Open {
    instance: String,
    /// Where the next line starts.
    at: usize,
    /// Where the lines end.
    end: usize,
    /// The number of the next line.
    number: u64,
    /// The time of the next line.
    time: u64,
    /// The number after the last line.
    after: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            parsed: 0,
            block: None,
            ready: VecDeque::new(),
            next: 0,
            until: u64::MAX,
            loss_at_end: false,
            said_loss: false,
        }
    }
}

impl Window {
    /// Begins at a line; `chosen` says that what is missing right before it does not matter.
    pub(super) fn begin(&mut self, next: u64, chosen: bool) {
        self.next = next;
        self.said_loss = chosen;
    }

    /// Ends before a line; `loss` says that before it others are missing that nobody could count.
    pub(super) fn end_before(&mut self, until: u64, loss: bool) {
        self.until = until;
        self.loss_at_end = loss;
    }

    /// The number of the line to come next.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// No line is wanted any more; there may be an event yet.
    pub(super) fn is_done(&mut self) -> bool {
        let done = self.next >= self.until;
        if done && std::mem::take(&mut self.loss_at_end) {
            self.ready.push_back(LogEvent::Dropped(0));
        }
        done
    }

    /// There is an event.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    // --- bytes ---

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many of its bytes are done with.
    pub(super) fn parsed(&self) -> u64 {
        self.parsed as u64
    }

    /// Holds these bytes of a file instead.
    pub(super) fn read(&mut self, file: &File, offset: u64, bytes: u64) -> io::Result<()> {
        self.clear();
        self.bytes.resize(usize::try_from(bytes).unwrap_or(0), 0);
        // What the file lacks is damage.
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.parsed = 0;
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.parsed += bytes;
    }

    pub(super) fn skip_all(&mut self) {
        self.parsed = self.bytes.len();
    }

    // --- events ---

    /// The next event, unless more has to be read for it.
    pub(super) fn next(&mut self, filter: &Filter) -> Option<LogEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if let Some(line) = self.line(filter) {
                return Some(LogEvent::Line(line));
            }
            if self.next >= self.until {
                return None;
            }
            self.open(filter)?;
        }
    }

    /// The next line of the open block.
    fn line(&mut self, filter: &Filter) -> Option<Line> {
        let block = self.block.as_mut()?;
        while block.number < self.until {
            let Some(rest) = self.bytes.get(block.at..block.end) else {
                break;
            };
            let Some(length) = memchr(b'\n', rest) else {
                break;
            };
            let (number, stamp) = (block.number, block.time);
            block.at += length + 1;
            block.number += 1;
            block.time += 1;
            if number < self.next {
                continue;
            }
            self.next = block.number;
            if stamp >= filter.since {
                let text = String::from_utf8_lossy(rest.get(..length).unwrap_or_default());
                self.said_loss = false;
                return Some(Line::new(block.instance.as_str(), time(stamp), text));
            }
        }
        self.next = self.next.max(block.after.min(self.until));
        self.block = None;
        None
    }

    /// Opens the next block.
    fn open(&mut self, filter: &Filter) -> Option<()> {
        let Found::Block(found) = block::read(self.bytes.get(self.parsed..)?) else {
            return None;
        };
        let head = found.head;
        let end = self.parsed + found.size;
        let (first, after) = (head.first, head.end());
        let loss = head.loss && !self.said_loss;
        let open = filter.wants(head.instance).then(|| Open {
            instance: head.instance.to_owned(),
            at: end - found.lines.len(),
            end,
            number: first,
            time: head.time,
            after,
        });
        let empty = head.count == 0;
        self.parsed = end;
        if after < self.next || (after == self.next && !empty) {
            return Some(());
        }
        if loss && first >= self.next {
            self.ready.push_back(LogEvent::Dropped(0));
        }
        self.gap(first);
        if open.is_none() {
            self.next = self.next.max(after.min(self.until));
        }
        self.block = open;
        Some(())
    }

    /// All there is was read; lines up to `end` existed. Says whether that is news.
    pub(super) fn reach(&mut self, end: u64, loss: bool) -> bool {
        self.gap(end);
        if loss && !self.said_loss {
            self.said_loss = true;
            self.ready.push_back(LogEvent::Dropped(0));
        }
        self.is_ready()
    }

    /// Goes to a line; those before it are missing.
    fn gap(&mut self, to: u64) {
        let to = to.min(self.until);
        if to > self.next {
            self.ready.push_back(LogEvent::Dropped(to - self.next));
            self.next = to;
        }
    }
}
