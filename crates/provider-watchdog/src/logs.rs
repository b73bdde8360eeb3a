//! Where log lines go: two writers that the caller gives.
//!
//! A program that writes faster than its lines are taken is slowed down: no more of it is held here
//! than was read at a time. The watchdog's own lines never wait; when they cannot be taken, they
//! are counted and the count is logged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::{memchr_iter, memrchr};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Lines of the watchdog's own that may wait.
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
    stdout: Writer,
    stderr: Writer,
    notes: mpsc::Sender<Note>,
    lost: Arc<AtomicU64>,
}

/// Whoever holds it writes whole lines.
type Writer = Arc<Mutex<dyn AsyncWrite + Send + Unpin>>;

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

enum Note {
    Lines(String),
    /// To be told once everything before is written.
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
        let stdout: Writer = Arc::new(Mutex::new(stdout));
        let stderr: Writer = Arc::new(Mutex::new(stderr));
        let (notes, mut queue) = mpsc::channel(QUEUE);
        let writer = Arc::clone(&stderr);
        tokio::spawn(async move {
            while let Some(note) = queue.recv().await {
                match note {
                    Note::Lines(lines) => write(&writer, lines.as_bytes()).await,
                    Note::Flush(done) => {
                        let _nobody = done.send(());
                    }
                }
            }
        });
        Self {
            stdout,
            stderr,
            notes,
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
        if self.notes.try_send(Note::Lines(lines)).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged before is written, but at most 2 s.
    pub async fn flush(&self) {
        let flush = async {
            let (done, written) = oneshot::channel();
            if self.notes.send(Note::Flush(done)).await.is_ok() {
                let _ended = written.await;
            }
            // Whoever writes is done once it can be had.
            for writer in [&self.stdout, &self.stderr] {
                drop(writer.lock().await);
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
        let mut batch = Vec::new();
        loop {
            let read = pipe.read_buf(lines.space()).await;
            let ended = !matches!(read, Ok(length) if length > 0);
            let prefix = if format.prefix {
                format!("{} {name}: ", Date::now())
            } else {
                let whole = lines.whole();
                if !whole.is_empty() {
                    write(writer, whole).await;
                    let written = whole.len();
                    lines.drop_first(written);
                }
                String::new()
            };
            lines.each(ended, |line, cut| {
                batch.extend_from_slice(prefix.as_bytes());
                batch.extend_from_slice(line);
                if cut {
                    batch.extend_from_slice(CUT_MARK);
                }
                batch.push(b'\n');
            });
            if !batch.is_empty() {
                write(writer, &batch).await;
                batch.clear();
                release(&mut batch);
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

/// Writes lines. A writer that fails (its reader is gone) must not stop the program that logs.
async fn write(to: &Writer, lines: &[u8]) {
    let mut to = to.lock().await;
    let _gone = to.write_all(lines).await;
    let _gone = to.flush().await;
}

/// Gives back what a long line needed.
fn release(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 4 * READ_SIZE {
        buffer.shrink_to(buffer.len() + READ_SIZE);
    }
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

    /// All whole lines, if none can be too long.
    fn whole(&self) -> &[u8] {
        let new = self.read.get(self.searched..).unwrap_or_default();
        let end = match memrchr(b'\n', new) {
            Some(last) if self.read.len() <= self.longest => self.searched + last + 1,
            _ => 0,
        };
        self.read.get(..end).unwrap_or_default()
    }

    /// Forgets so many bytes, which were lines.
    fn drop_first(&mut self, bytes: usize) {
        self.read.drain(..bytes);
        self.searched = self.searched.saturating_sub(bytes);
    }

    /// Gives out each line without its end, and the pieces of one that is too long, each but the
    /// last with `true`; with `ended` also what is left without a line end.
    fn each(&mut self, ended: bool, mut give: impl FnMut(&[u8], bool)) {
        let mut rest = self.read.as_slice();
        let new = rest.get(self.searched..).unwrap_or_default();
        let ends = memchr_iter(b'\n', new).map(|at| self.searched + at);
        let mut given = 0;
        for end in ends.map(Some).chain([None]) {
            // What there is of this line.
            let mut length = end.unwrap_or(self.read.len()) - given;
            while length > self.longest {
                let (piece, after) = rest.split_at(self.cut(rest));
                give(piece, true);
                rest = after;
                length -= piece.len();
                given += piece.len();
            }
            if end.is_some() {
                let (line, after) = rest.split_at(length);
                give(line, false);
                rest = after.get(1..).unwrap_or_default();
                given += length + 1;
            }
        }
        if ended && !rest.is_empty() {
            give(rest, false);
            rest = &[];
        }
        self.searched = rest.len();
        let given = self.read.len() - rest.len();
        self.read.drain(..given);
        release(&mut self.read);
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

    #[tokio::test(start_paused = true)]
    async fn a_program_whose_lines_are_not_taken_waits_and_is_not_held_in_memory() {
        let (out, mut reader) = tokio::io::duplex(1024);
        let logs = Logs::new(out, tokio::io::sink());
        let (mut program, pipe) = tokio::io::duplex(1024);
        let format = LineFormat {
            prefix: true,
            longest: READ_SIZE,
        };
        let pump = tokio::spawn(logs.clone().pump(pipe, Output::Stdout, format));
        let mut lines = 0;
        while tokio::time::timeout(Duration::from_secs(60), program.write_all(b"a line\n"))
            .await
            .is_ok()
        {
            lines += 1;
            assert!(lines < READ_SIZE, "it takes whatever comes");
        }
        // A flush does not wait for ever either.
        logs.flush().await;
        drop(program);
        let mut log = String::new();
        drop(logs);
        reader.read_to_string(&mut log).await.unwrap();
        pump.await.unwrap();
        assert!(log.lines().count() >= lines);
        assert!(
            log.lines()
                .take(lines)
                .all(|line| line.ends_with(" stdout: a line"))
        );
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
                let mut batch = cutter.whole().to_vec();
                cutter.drop_first(batch.len());
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
