//! The lines that an instance writes: read from a pipe, kept in bounded memory until they are
//! taken, and never a reason for the function to stand still for ever.
//!
//! Lines that are read together stay together, so that a line costs little more than its bytes.

use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use memchr::{memchr, memchr_iter, memrchr};
use provider_types::{BoxStream, LogChunk, LogOutput};
use rustix::pipe::fcntl_setpipe_size;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A line is kept whole up to this length: 1 MiB, and what the watchdog puts around it.
const LONGEST_LINE: usize = 1024 * 1024 + 256;

/// What stands at the end of each piece of a longer line but the last.
const CUT_MARK: &[u8] = b" [cut: it goes on in the next line]";

/// How much is read at a time from a function that says little, and from one that says much.
const READ_BYTES: (usize, usize) = (4 * 1024, 256 * 1024);

/// How many bytes wait for whoever takes them.
const WAITING_BYTES: u32 = 8 * 1024 * 1024;

/// What a chunk costs besides its bytes.
const CHUNK_COST: u32 = 128;

/// How long a function waits for a reader that does not read before lines are dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where lines go in.
#[derive(Debug, Clone)]
pub(crate) struct LineSink {
    room: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<(LogChunk, OwnedSemaphorePermit)>,
}

/// Where lines come out.
#[derive(Debug)]
pub(crate) struct LineSource {
    receiver: mpsc::UnboundedReceiver<(LogChunk, OwnedSemaphorePermit)>,
}

/// How much a pipe holds, where the system lets us say so: a function that says much is then woken
/// less often.
const PIPE_BYTES: usize = 512 * 1024;

/// Makes a pipe hold more, if that may be.
pub(crate) fn widen(pipe: impl AsFd) {
    // The user may have many pipes already: then it holds what it holds.
    let _ = fcntl_setpipe_size(pipe, PIPE_BYTES);
}

/// A bounded way for lines.
pub(crate) fn channel() -> (LineSink, LineSource) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(WAITING_BYTES as usize));
    (LineSink { room, sender }, LineSource { receiver })
}

impl LineSource {
    /// The lines as a stream, which ends when the instance has.
    pub(crate) fn into_stream(self) -> BoxStream<LogChunk> {
        Box::pin(stream::unfold(self.receiver, |mut receiver| async {
            // The lines' room is free once they are taken.
            let (chunk, _room) = receiver.recv().await?;
            Some((chunk, receiver))
        }))
    }
}

impl LineSink {
    /// Reads lines until the pipe ends.
    pub(crate) async fn copy_from(self, mut pipe: impl AsyncRead + Unpin, output: LogOutput) {
        let mut cutter = Cutter::default();
        let mut dropped = 0;
        loop {
            let ended = !matches!(pipe.read_buf(cutter.space()).await, Ok(count) if count > 0);
            if let Some(lines) = cutter.lines(ended) {
                self.put(LogChunk::of_lines(output, lines), &mut dropped)
                    .await;
            }
            if ended {
                break;
            }
        }
        if dropped > 0 {
            let nothing = LogChunk::of_lines(output, Vec::new());
            self.put(nothing, &mut dropped).await;
        }
    }

    /// Adds a line of the runtime's own, where there is room for it right now.
    pub(crate) fn note(&self, line: String) {
        let chunk = LogChunk::new(LogOutput::Stderr, line.into());
        let cost = u32::try_from(chunk.lines.len()).unwrap_or(WAITING_BYTES);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(cost) {
            // Where nobody listens any more it is not missed.
            let _ = self.sender.send((chunk, room));
        }
    }

    async fn put(&self, mut chunk: LogChunk, dropped: &mut u64) {
        // Once lines were dropped nobody waits again until there is room: the reader is gone or
        // far behind, and the function is not to pay for it time after time.
        let behind = *dropped > 0 && self.room.available_permits() < WAITING_BYTES as usize / 2;
        let room = if behind && !chunk.lines.is_empty() {
            None
        } else {
            self.room_in_time(chunk.lines.len()).await
        };
        if let Some(room) = room {
            chunk.dropped = mem::take(dropped);
            // Where nobody listens any more the lines are not missed.
            let _ = self.sender.send((chunk, room));
        } else {
            *dropped += memchr_iter(b'\n', &chunk.lines).count() as u64;
        }
    }

    async fn room_in_time(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let cost = match u32::try_from(bytes) {
            // Only a count, and the last of its pipe.
            Ok(0) => 0,
            Ok(bytes) => bytes.saturating_add(CHUNK_COST).min(WAITING_BYTES),
            Err(_) => WAITING_BYTES,
        };
        let room = Arc::clone(&self.room).acquire_many_owned(cost);
        tokio::time::timeout(PATIENCE, room).await.ok()?.ok()
    }
}

/// Cuts what is read into whole lines and what is left for later.
#[derive(Debug, Default)]
struct Cutter {
    /// Read and not yet given out; the part before `searched` holds no newline.
    read: Vec<u8>,
    searched: usize,
    /// How much is read next.
    next: usize,
}

impl Cutter {
    /// Room for what is read next.
    fn space(&mut self) -> &mut Vec<u8> {
        let (least, most) = READ_BYTES;
        self.next = self.next.clamp(least, most);
        self.searched = self.read.len();
        self.read.reserve(self.next);
        &mut self.read
    }

    /// The whole lines so far, each with its newline; with `ended` also what has none.
    fn lines(&mut self, ended: bool) -> Option<Vec<u8>> {
        let got = self.read.len() - self.searched;
        if got >= self.next {
            self.next *= 2;
        } else if got < self.next / 4 {
            self.next /= 2;
        }
        if ended && self.read.last().is_some_and(|last| *last != b'\n') {
            self.read.push(b'\n');
        }
        let pieces = self.pieces();
        let new = self.read.get(self.searched..).unwrap_or_default();
        let Some(at) = memrchr(b'\n', new) else {
            return pieces;
        };
        let end = self.searched + at + 1;
        if let Some(mut pieces) = pieces {
            pieces.extend(self.read.drain(..end));
            return Some(pieces);
        }
        // A buffer that is well used is given away as it is; of another the lines are copied out,
        // so that what waits is about as large as it counts for.
        if end < self.read.capacity() / 2 {
            return Some(self.read.drain(..end).collect());
        }
        let rest = self.read.split_off(end);
        Some(mem::replace(&mut self.read, rest))
    }

    /// Takes off the front what is more than one line may have; only the first can have it, as less
    /// than such a line is read at a time.
    fn pieces(&mut self) -> Option<Vec<u8>> {
        if self.read.len() <= LONGEST_LINE {
            return None;
        }
        let mut pieces = Vec::new();
        while self.read.len() > LONGEST_LINE
            && memchr(b'\n', &self.read).is_none_or(|end| end > LONGEST_LINE)
        {
            let cut = self.cut();
            pieces.extend(self.read.drain(..cut));
            pieces.extend_from_slice(CUT_MARK);
            pieces.push(b'\n');
            self.searched = self.searched.saturating_sub(cut);
        }
        (!pieces.is_empty()).then_some(pieces)
    }

    /// Where to cut: not inside a character where that can be helped.
    fn cut(&self) -> usize {
        let inside = |at: &usize| self.read.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
        (LONGEST_LINE - 3..=LONGEST_LINE)
            .rev()
            .find(|at| !inside(at))
            .unwrap_or(LONGEST_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    /// What comes out, and whether each piece was whole lines.
    fn cut(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::default();
        let mut out = Vec::new();
        for part in parts {
            for part in part.chunks(READ_BYTES.1) {
                cutter.space().extend_from_slice(part);
                out.extend(cutter.lines(false));
            }
        }
        cutter.space();
        out.extend(cutter.lines(true));
        assert!(out.iter().all(|lines| lines.ends_with(b"\n")));
        let whole = out.concat();
        let lines = whole.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line[..line.len() - 1].to_vec()).collect()
    }

    #[test]
    fn lines_are_lines_however_they_arrive() {
        assert_eq!(
            cut(&[b"a\nb", b"c\n", b"\nd"]),
            [&b"a"[..], b"bc", b"", b"d"]
        );
        assert_eq!(cut(&[b"\xff\0\n"]), [b"\xff\0"]);
        assert!(cut(&[]).is_empty());
        let text: Vec<u8> = (0..300_000)
            .map(|n: u32| {
                if (n % 7919).is_multiple_of(97) {
                    b'\n'
                } else {
                    b'x'
                }
            })
            .collect();
        for size in [1, 5, 4096, 65_536] {
            let parts: Vec<&[u8]> = text.chunks(size).collect();
            let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            assert!(cut(&parts) == lines, "cut differently by {size}");
        }
    }

    #[test]
    fn a_line_of_a_mebibyte_is_whole_and_a_longer_one_comes_in_marked_pieces() {
        let whole = vec![b'x'; LONGEST_LINE];
        let lines = cut(&[&whole, b"\nnext\n"]);
        assert_eq!(
            (lines[0].len(), &lines[1][..]),
            (LONGEST_LINE, &b"next"[..])
        );
        let lines = cut(&[b"first\n", &whole, &whole, b"yyy", b"zzz\nnext\n"]);
        assert_eq!(lines.len(), 5);
        for piece in &lines[1..3] {
            assert_eq!(piece.len(), LONGEST_LINE + CUT_MARK.len());
            assert!(piece.ends_with(CUT_MARK));
        }
        assert_eq!(
            (&lines[3][..], &lines[4][..]),
            (&b"yyyzzz"[..], &b"next"[..])
        );
        // Where it ends without a newline, and where a character would be cut in two.
        assert_eq!(cut(&[&whole, b"y"])[1], b"y");
        let euros = "€".repeat(LONGEST_LINE / 3 + 1);
        let lines = cut(&[euros.as_bytes()]);
        let first = lines[0].strip_suffix(CUT_MARK).unwrap();
        assert_eq!(first.len(), LONGEST_LINE / 3 * 3);
    }

    #[test]
    fn a_quiet_function_holds_a_small_buffer() {
        let mut cutter = Cutter::default();
        for _ in 0..8 {
            let room = cutter.space();
            room.resize(room.capacity().min(READ_BYTES.1), b'x');
            *room.last_mut().unwrap() = b'\n';
            cutter.lines(false).unwrap();
        }
        for _ in 0..16 {
            cutter.space().extend_from_slice(b"a\n");
            assert_eq!(cutter.lines(false).unwrap().capacity(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (sink, source) = channel();
        let line = [vec![b'x'; 1024 * 1024 - 100], b"\n".to_vec()].concat();
        let many = line.repeat(20);
        let mut stream = source.into_stream();
        let writes = tokio::spawn(async move {
            sink.copy_from(&many[..], LogOutput::Stdout).await;
        });
        tokio::time::sleep(PATIENCE * 60).await;
        let (mut kept, mut dropped) = (0, 0);
        while let Some(chunk) = stream.next().await {
            kept += memchr_iter(b'\n', &chunk.lines).count() as u64;
            dropped += chunk.dropped;
        }
        assert!((4..=8).contains(&kept), "{kept} were kept");
        assert_eq!(kept + dropped, 20);
        writes.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_reads_misses_nothing() {
        let (sink, source) = channel();
        let text: String = (0..50_000)
            .map(|n| format!("line {n} {}\n", "x".repeat(400)))
            .collect();
        let expected = text.clone();
        let writer =
            tokio::spawn(async move { sink.copy_from(text.as_bytes(), LogOutput::Stderr).await });
        let chunks: Vec<LogChunk> = source.into_stream().collect().await;
        let lines: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.lines).collect();
        assert!(lines == expected.as_bytes());
        writer.await.unwrap();
    }
}
