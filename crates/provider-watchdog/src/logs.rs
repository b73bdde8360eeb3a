//! Where log lines go: two writers that the caller gives, each with a task of its own.
//!
//! A program that writes faster than its lines are taken is slowed down. The watchdog's own lines
//! never wait; when they cannot be taken, they are counted and the count is logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, mem};

use memchr::{memchr, memrchr};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for a writer.
const QUEUE: usize = 64;
/// How long a flush waits for a writer that takes nothing.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
const READ_SIZE: usize = 256 * 1024;
/// What stands at the end of each piece of a line that is too long, but the last.
const CUT_MARK: &[u8] = b" [cut: it goes on in the next line]";

/// Takes log lines: the program's stdout goes to the one writer, its stderr and the watchdog's
/// own lines to the other. Clones write to the same writers.
#[derive(Clone)]
pub struct Logs {
    stdout: mpsc::Sender<Message>,
    stderr: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

/// Which of its outputs a program wrote to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

/// How a program's lines are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineFormat {
    pub(crate) prefix: bool,
    pub(crate) longest: usize,
}

enum Message {
    Lines(Vec<u8>),
    Flush(oneshot::Sender<()>),
}

// === impl Logs ===

impl Logs {
    /// Writes to these two. Each write ends at the end of a line.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(
        stdout: impl AsyncWrite + Send + Unpin + 'static,
        stderr: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            stdout: writer(stdout),
            stderr: writer(stderr),
            lost: Arc::default(),
        }
    }

    /// Logs a line of the watchdog's own, with the date in front as Go's `log` writes it (UTC).
    pub fn note(&self, text: impl fmt::Display) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let now = Date::now();
        let mut lines = String::new();
        if lost > 0 {
            lines = format!("{now} {lost} log lines were lost: nobody took them in time\n");
        }
        lines.push_str(&format!("{now} {text}\n"));
        if self.stderr.try_send(Message::Lines(lines.into())).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged before is written, but at most 2 s.
    pub async fn flush(&self) {
        let flush = async {
            for writer in [&self.stdout, &self.stderr] {
                let (done, written) = oneshot::channel();
                if writer.send(Message::Flush(done)).await.is_ok() {
                    let _ended = written.await;
                }
            }
        };
        let _late = tokio::time::timeout(FLUSH_LIMIT, flush).await;
    }

    /// Logs what comes out of a pipe, line by line, until it is closed.
    pub(crate) async fn pump(
        self,
        mut pipe: impl AsyncRead + Unpin,
        output: Output,
        format: LineFormat,
    ) {
        let (name, writer) = match output {
            Output::Stdout => ("stdout", &self.stdout),
            Output::Stderr => ("stderr", &self.stderr),
        };
        let mut lines = Lines::new(format.longest);
        loop {
            let read = pipe.read_buf(lines.space()).await;
            let ended = !matches!(read, Ok(length) if length > 0);
            let prefix = if format.prefix {
                format!("{} {name}: ", Date::now())
            } else {
                String::new()
            };
            let mut batch = Vec::new();
            if format.prefix {
                batch.reserve(lines.read.len());
            } else {
                lines.whole(&mut batch);
            }
            lines.each(ended, |line, cut| {
                batch.extend_from_slice(prefix.as_bytes());
                batch.extend_from_slice(line);
                if cut {
                    batch.extend_from_slice(CUT_MARK);
                }
                batch.push(b'\n');
            });
            if !batch.is_empty() && writer.send(Message::Lines(batch)).await.is_err() {
                return;
            }
            if ended {
                return;
            }
        }
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

fn writer(mut to: impl AsyncWrite + Send + Unpin + 'static) -> mpsc::Sender<Message> {
    let (sender, mut messages) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            match message {
                // A writer that fails (its reader is gone) must not stop the program that logs.
                Message::Lines(lines) => {
                    let _gone = to.write_all(&lines).await;
                    if messages.is_empty() {
                        let _gone = to.flush().await;
                    }
                }
                Message::Flush(done) => {
                    let _gone = to.flush().await;
                    let _nobody = done.send(());
                }
            }
        }
    });
    sender
}

/// Cuts bytes into lines.
struct Lines {
    read: Vec<u8>,
    /// How much of `read` is known to hold no line end.
    searched: usize,
    longest: usize,
}

// === impl Lines ===

impl Lines {
    fn new(longest: usize) -> Self {
        Self {
            read: Vec::new(),
            searched: 0,
            longest: longest.max(1),
        }
    }

    fn space(&mut self) -> &mut Vec<u8> {
        self.read.reserve(READ_SIZE);
        &mut self.read
    }

    /// Takes all whole lines at once, if none can be too long.
    fn whole(&mut self, to: &mut Vec<u8>) {
        if self.read.len() > self.longest {
            return;
        }
        if let Some(last) = memrchr(b'\n', self.read.get(self.searched..).unwrap_or_default()) {
            // What follows is short: it is copied, and the rest given away as it is.
            let rest = self.read.split_off(self.searched + last + 1);
            *to = mem::replace(&mut self.read, rest);
            self.searched = 0;
        }
    }

    /// Gives out each line without its end, and the pieces of one that is too long, each but the
    /// last with `true`; with `ended` also what is left without a line end.
    fn each(&mut self, ended: bool, mut give: impl FnMut(&[u8], bool)) {
        let mut rest = self.read.as_slice();
        let mut searched = self.searched;
        loop {
            let unknown = rest.get(searched..).unwrap_or_default();
            match memchr(b'\n', unknown) {
                Some(at) if searched + at <= self.longest => {
                    let (line, after) = rest.split_at(searched + at);
                    give(line, false);
                    rest = after.get(1..).unwrap_or_default();
                }
                _ if rest.len() > self.longest => {
                    let (piece, after) = rest.split_at(self.cut(rest));
                    give(piece, true);
                    rest = after;
                }
                _ => break,
            }
            searched = 0;
        }
        if ended && !rest.is_empty() {
            give(rest, false);
            rest = &[];
        }
        let given = self.read.len() - rest.len();
        self.searched = rest.len();
        self.read.drain(..given);
        // What a long line needed is not kept.
        if self.read.capacity() > 4 * READ_SIZE {
            self.read.shrink_to(self.read.len() + READ_SIZE);
        }
    }

    /// Where to cut a line that is too long: not inside a character where that can be helped.
    fn cut(&self, line: &[u8]) -> usize {
        let inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        (0..4)
            .filter_map(|back| self.longest.checked_sub(back))
            .find(|at| *at > 0 && !inside(*at))
            .unwrap_or(self.longest)
    }
}

/// A date as Go's `log` writes it: `2006/01/02 15:04:05`.
struct Date(OffsetDateTime);

// === impl Date ===

impl Date {
    fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0;
        write!(
            f,
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(longest: usize, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.space().extend_from_slice(chunk);
            lines.each(false, |line, _| found.push(line.to_vec()));
        }
        lines.each(true, |line, _| found.push(line.to_vec()));
        found
    }

    #[test]
    fn lines_are_cut_at_line_ends_however_they_arrive() {
        assert_eq!(lines(9, &[b"a\nbc\n\nd"]), [&b"a"[..], b"bc", b"", b"d"]);
        assert_eq!(lines(9, &[b"a", b"b", b"\n", b"c\n"]), [&b"ab"[..], b"c"]);
        assert!(lines(9, &[b""]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_comes_in_pieces_and_reading_goes_on() {
        assert_eq!(
            lines(4, &[b"abcdefghij\nk\n"]),
            [&b"abcd"[..], b"efgh", b"ij", b"k"]
        );
        assert_eq!(lines(4, &[b"abcd\nefgh\n"]), [&b"abcd"[..], b"efgh"]);
        assert_eq!(lines(4, &[b"abcd", b"\nefgh"]), [&b"abcd"[..], b"efgh"]);
    }

    #[test]
    fn a_piece_does_not_end_inside_a_character() {
        assert_eq!(
            lines(4, &["abc€d\n".as_bytes()]),
            ["abc".as_bytes(), "€d".as_bytes()]
        );
        assert_eq!(lines(2, &[b"\x80\x80\x80\x80"]), [b"\x80\x80", b"\x80\x80"]);
    }

    #[test]
    fn a_date_is_written_as_go_logs_it() {
        let at = OffsetDateTime::from_unix_timestamp(1_136_214_245).unwrap();
        assert_eq!(Date(at).to_string(), "2006/01/02 15:04:05");
    }

    proptest! {
        #[test]
        fn no_byte_of_a_log_is_lost(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..12), 0..12),
            longest in 1_usize..10,
        ) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let whole = chunks.concat();
            let found = lines(longest, &chunks);
            // The way of whole lines comes to the same.
            let mut cutter = Lines::new(longest);
            let mut all = Vec::new();
            for chunk in chunks.iter().copied().map(Some).chain([None]) {
                cutter.space().extend_from_slice(chunk.unwrap_or_default());
                let mut batch = Vec::new();
                cutter.whole(&mut batch);
                cutter.each(chunk.is_none(), |line, _| {
                    batch.extend_from_slice(line);
                    batch.push(b'\n');
                });
                all.extend(batch);
            }
            let with_ends: Vec<u8> = found.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
            prop_assert_eq!(all, with_ends);
            prop_assert!(found.iter().all(|line| line.len() <= longest && !line.contains(&b'\n')));
            let without_ends: Vec<u8> = whole.iter().copied().filter(|b| *b != b'\n').collect();
            prop_assert_eq!(found.concat(), without_ends);
            // Short lines are not joined and not cut.
            let longest_line = whole.split(|b| *b == b'\n').map(<[u8]>::len).max();
            if longest_line <= Some(longest) {
                let mut expected: Vec<&[u8]> = whole.split(|b| *b == b'\n').collect();
                if expected.last().is_some_and(|last| last.is_empty()) {
                    expected.pop();
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
