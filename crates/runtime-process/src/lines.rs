//! The lines that an instance writes: read from a pipe, kept in bounded memory until they are
//! taken, and never a reason for the function to stand still for ever.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use provider_types::{BoxStream, LogChunk, LogOutput};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A line is kept whole up to this length; the rest of a longer one is left out.
const LONGEST_LINE: usize = 1024 * 1024;

/// What stands at the end of a line that was cut.
const CUT_MARK: &[u8] = b" [line cut at 1 MiB]";

/// How many bytes wait for whoever takes them.
const WAITING_BYTES: u32 = 8 * 1024 * 1024;

/// What a line costs besides its bytes.
const LINE_COST: u32 = 64;

/// How long a function waits for a reader that does not read before lines are dropped.
const PATIENCE: Duration = Duration::from_secs(2);

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
            // The line's room is free once the line is taken.
            let (chunk, _room) = receiver.recv().await?;
            Some((chunk, receiver))
        }))
    }
}

impl LineSink {
    /// Reads lines until the pipe ends.
    pub(crate) async fn copy_from(self, mut pipe: impl AsyncRead + Unpin, output: LogOutput) {
        let mut splitter = Splitter::default();
        let mut buffer = Vec::with_capacity(16 * 1024);
        let mut dropped = 0;
        loop {
            buffer.clear();
            let ended = !matches!(pipe.read_buf(&mut buffer).await, Ok(count) if count > 0);
            let mut lines = Vec::new();
            splitter.split(&buffer, ended, &mut lines);
            for line in lines {
                self.put(line, output, &mut dropped).await;
            }
            if ended {
                break;
            }
        }
        if dropped > 0 {
            self.announce(dropped, output).await;
        }
    }

    async fn put(&self, line: Vec<u8>, output: LogOutput, dropped: &mut u64) {
        // Once lines were dropped nobody waits again until there is room: the reader is gone or
        // far behind, and the function is not to pay for it line by line.
        if *dropped > 0 && self.room.available_permits() < WAITING_BYTES as usize / 2 {
            *dropped += 1;
            return;
        }
        if *dropped > 0 && self.announce(*dropped, output).await {
            *dropped = 0;
        }
        if !self.send(LogChunk::new(output, line)).await {
            *dropped += 1;
        }
    }

    async fn announce(&self, dropped: u64, output: LogOutput) -> bool {
        let text = format!("[{dropped} lines are missing here: nobody took them in time]");
        self.send(LogChunk::new(output, text.into_bytes())).await
    }

    async fn send(&self, chunk: LogChunk) -> bool {
        let cost = u32::try_from(chunk.line.len())
            .unwrap_or(u32::MAX)
            .saturating_add(LINE_COST)
            .min(WAITING_BYTES);
        let room = self.room.clone().acquire_many_owned(cost);
        match tokio::time::timeout(PATIENCE, room).await {
            // Where nobody listens any more the line is not missed.
            Ok(Ok(room)) => {
                let _ = self.sender.send((chunk, room));
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    line: Vec<u8>,
    cutting: bool,
}

impl Splitter {
    fn split(&mut self, mut bytes: &[u8], ended: bool, lines: &mut Vec<Vec<u8>>) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = bytes.split_at(at);
            self.push(head);
            self.finish(lines);
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.push(bytes);
        if ended && !self.line.is_empty() {
            self.finish(lines);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE - self.line.len().min(LONGEST_LINE);
        match bytes.split_at_checked(room) {
            Some((kept, rest)) if !rest.is_empty() => {
                self.line.extend_from_slice(kept);
                self.cutting = true;
            }
            _ => self.line.extend_from_slice(bytes),
        }
    }

    fn finish(&mut self, lines: &mut Vec<Vec<u8>>) {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.cutting) {
            line.extend_from_slice(CUT_MARK);
        }
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;

    fn split(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for part in parts {
            splitter.split(part, false, &mut lines);
        }
        splitter.split(b"", true, &mut lines);
        lines
    }

    #[test]
    fn lines_are_lines_however_they_arrive() {
        assert_eq!(
            split(&[b"a\nb", b"c\n", b"\nd"]),
            [&b"a"[..], b"bc", b"", b"d"]
        );
        assert_eq!(split(&[b"\xff\0\n"]), [b"\xff\0"]);
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_line_of_a_mebibyte_is_whole_and_a_longer_one_is_marked() {
        let whole = vec![b'x'; LONGEST_LINE];
        let lines = split(&[&whole, b"\nnext\n"]);
        assert_eq!(
            (lines[0].len(), &lines[1][..]),
            (LONGEST_LINE, &b"next"[..])
        );
        let lines = split(&[&whole, b"yyy", b"zzz\nnext\n"]);
        assert!(lines[0].ends_with(b"xx [line cut at 1 MiB]"));
        assert_eq!(lines[0].len(), LONGEST_LINE + CUT_MARK.len());
        assert_eq!(lines[1], b"next");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_nobody_takes_are_dropped_and_announced() {
        let (sink, source) = channel();
        let line = [vec![b'x'; LONGEST_LINE - 100], b"\n".to_vec()].concat();
        let many = line.repeat(20);
        sink.copy_from(&many[..], LogOutput::Stdout).await;
        let lines: Vec<LogChunk> = source.into_stream().collect().await;
        let kept = lines.len() - 1;
        assert!((4..=8).contains(&kept), "{kept} were kept");
        let last = String::from_utf8_lossy(&lines[kept].line).into_owned();
        assert!(
            last.contains(&format!("{} lines are missing", 20 - kept)),
            "{last}"
        );
    }

    #[tokio::test]
    async fn a_reader_that_reads_misses_nothing() {
        let (sink, source) = channel();
        let text: String = (0..50_000)
            .map(|n| format!("line {n} {}\n", "x".repeat(400)))
            .collect();
        let writer =
            tokio::spawn(async move { sink.copy_from(text.as_bytes(), LogOutput::Stderr).await });
        let mut lines = source.into_stream();
        for n in 0..50_000 {
            let chunk = lines.next().await.unwrap();
            assert!(chunk.line.starts_with(format!("line {n} ").as_bytes()));
        }
        assert!(lines.next().await.is_none());
        writer.await.unwrap();
    }
}
