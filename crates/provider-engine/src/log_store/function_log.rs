//! The log of one function: lines that wait, the segments, and what readers are told.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::{fs, mem};

use memchr::memchr_iter;
use provider_types::{FunctionLogReading, FunctionRef, LogChunk, LogOutput, LogRequest, LogStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::PassedLines;
use super::block::Head;
use super::segments::Segments;
use super::{Intake, LogDir, PROMISED_LINES, Shared, lock, nanos, reader};

/// How many bytes of one function wait to be written.
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// What a chunk that waits costs besides its bytes.
const CHUNK_COST: usize = 128;

/// How much is written at a time, so that other functions get their turn.
const WRITTEN_AT_ONCE: usize = 1024 * 1024;

/// How many chunks are written at a time: each is two of the 1,024 slices that a write takes.
const CHUNKS_AT_ONCE: usize = 256;

/// How large segments are: an eighth of what a function may keep, within these.
const SEGMENT_BYTES: (u64, u64) = (16 * 1024, 8 * 1024 * 1024);

/// The lines of one function.
#[derive(Debug)]
pub(crate) struct FunctionLog {
    function: FunctionRef,
    pub(super) shared: Arc<Shared>,
    /// Taken away with the function.
    dir: Mutex<Option<Arc<LogDir>>>,
    waiting: Mutex<Waiting>,
    room: Arc<Semaphore>,
    /// Held while files are written or looked at; only ever locked where blocking is allowed.
    files: Mutex<Files>,
    /// What readers are woken by.
    pub(super) progress: watch::Sender<Progress>,
    /// How many lines were written.
    lines: AtomicU64,
    /// How many lines were dropped.
    dropped: AtomicU64,
    closed: AtomicBool,
}

/// What readers are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The number after the last line that was written or dropped.
    pub(super) end: u64,
    /// There will be no more lines.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Chunk>,
    /// Somebody will write them.
    scheduled: bool,
}

/// What waits to be written.
#[derive(Debug)]
struct Chunk {
    instance: Arc<str>,
    /// Without lines it is only a count of lines that were dropped.
    chunk: LogChunk,
    /// Given back when the chunk is dropped.
    _room: Option<Room>,
}

/// Room for what waits, over this function and over all.
#[derive(Debug)]
pub(super) struct Room(
    #[expect(dead_code, reason = "held, not looked at")] [OwnedSemaphorePermit; 2],
);

#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: Segments,
    /// The last segment, to be written to.
    file: Option<File>,
    /// The file was used since the last sweep.
    used: bool,
}

// === impl FunctionLog ===

impl FunctionLog {
    pub(super) fn new(function: FunctionRef, shared: Arc<Shared>, dir: Option<&Path>) -> Self {
        let dir = dir.map(|path| {
            Arc::new(LogDir {
                path: path.to_owned(),
                shared: Arc::clone(&shared),
                bytes: AtomicU64::new(0),
                segments: AtomicU64::new(0),
                doomed: AtomicBool::new(false),
            })
        });
        Self {
            function,
            shared,
            dir: Mutex::new(dir),
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            files: Mutex::default(),
            progress: watch::Sender::default(),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Where the lines of an instance go in.
    pub(crate) fn intake(self: &Arc<Self>, instance: &str) -> Intake {
        Intake::new(Arc::clone(self), instance)
    }

    /// Ends the log: who follows it gets the rest and then the end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Ends the log and removes it, once nobody reads it any more.
    pub(crate) fn remove(self: &Arc<Self>) {
        self.close();
        if let Some(dir) = lock(&self.dir).take() {
            dir.doomed.store(true, Ordering::Relaxed);
        }
    }

    /// Answers a query.
    pub(crate) fn query(self: &Arc<Self>, request: &LogRequest) -> LogStream {
        reader::query(self, request)
    }

    // --- in ---

    /// Room for so many bytes, if there is some now.
    pub(super) fn room(&self, bytes: usize) -> Option<Room> {
        let cost = cost(bytes);
        let own = Arc::clone(&self.room).try_acquire_many_owned(cost).ok()?;
        let of_all = Arc::clone(&self.shared.room).try_acquire_many_owned(cost);
        Some(Room([own, of_all.ok()?]))
    }

    /// Room for so many bytes, once there is some.
    pub(super) async fn room_in_time(&self, bytes: usize) -> Option<Room> {
        let cost = cost(bytes);
        let own = Arc::clone(&self.room).acquire_many_owned(cost).await.ok()?;
        let of_all = Arc::clone(&self.shared.room).acquire_many_owned(cost).await;
        Some(Room([own, of_all.ok()?]))
    }

    /// Keeps the files from everybody else until it is dropped.
    #[cfg(test)]
    pub(super) fn stall(self: Arc<Self>) -> std::sync::mpsc::Sender<()> {
        let (end, ended) = std::sync::mpsc::channel();
        let (held, begun) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let files = lock(&self.files);
            let _ = held.send(());
            let _ = ended.recv();
            drop(files);
        });
        let _ = begun.recv();
        end
    }

    /// Whether half of the room is free.
    pub(super) fn is_half_free(&self) -> bool {
        self.room.available_permits() >= WAITING_BYTES / 2
    }

    /// Room for so many bytes, for which the oldest lines that wait are dropped.
    pub(super) fn make_room(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let mut waiting = lock(&self.waiting);
        let (mut room, mut dropped, mut before) = (None, 0, 0);
        while let Some(oldest) = waiting.chunks.pop_front() {
            dropped += count(&oldest.chunk.lines);
            before += oldest.chunk.dropped;
            drop(oldest);
            room = self.room(bytes);
            if room.is_some() {
                break;
            }
        }
        self.count_dropped(&self.shared.dropped.no_room, dropped);
        match waiting.chunks.front_mut() {
            Some(next) => next.chunk.dropped += dropped + before,
            None if dropped + before > 0 => {
                let mut gap = LogChunk::of_lines(LogOutput::Stdout, Vec::new());
                gap.dropped = dropped + before;
                waiting.chunks.push_back(Chunk {
                    instance: Arc::from(""),
                    chunk: gap,
                    _room: None,
                });
            }
            None => {}
        }
        room
    }

    /// Lets a chunk be written; without room it is counted.
    pub(super) fn put(
        self: &Arc<Self>,
        instance: &Arc<str>,
        mut chunk: LogChunk,
        room: Option<Room>,
    ) {
        if self.closed.load(Ordering::Relaxed) || lock(&self.dir).is_none() {
            return;
        }
        self.count_dropped(&self.shared.dropped.not_taken, chunk.dropped);
        if room.is_none() {
            let lines = count(&mem::take(&mut chunk.lines));
            self.count_dropped(&self.shared.dropped.no_room, lines);
            chunk.dropped += lines;
        }
        if chunk.lines.is_empty() && chunk.dropped == 0 {
            return;
        }
        let mut waiting = lock(&self.waiting);
        if chunk.lines.is_empty() {
            // Counts take no room, so they must not pile up.
            if let Some(last) = waiting.chunks.back_mut()
                && last.chunk.lines.is_empty()
            {
                last.chunk.dropped += chunk.dropped;
                return;
            }
        }
        waiting.chunks.push_back(Chunk {
            instance: Arc::clone(instance),
            chunk,
            _room: room,
        });
        if !mem::replace(&mut waiting.scheduled, true) {
            drop(waiting);
            self.shared.write_soon(Arc::clone(self));
        }
    }

    // --- writing ---

    /// Writes what waits, or as much of it as is to be written at a time; says whether there is
    /// more. Blocks.
    pub(super) fn write(self: &Arc<Self>) -> bool {
        let mut files = lock(&self.files);
        self.write_some(&mut files)
    }

    /// The files, with everything in them that was put in before.
    pub(super) fn files(self: &Arc<Self>, dir: &LogDir) -> io::Result<MutexGuard<'_, Files>> {
        let mut files = lock(&self.files);
        files.prepare(dir)?;
        let waiting = lock(&self.waiting).chunks.len();
        for _ in 0..waiting {
            if !self.write_some(&mut files) {
                break;
            }
        }
        Ok(files)
    }

    /// Has a writer come where something waits.
    pub(super) fn write_what_waits(self: &Arc<Self>) {
        let mut waiting = lock(&self.waiting);
        waiting.scheduled = !waiting.chunks.is_empty();
        if waiting.scheduled {
            drop(waiting);
            self.shared.write_soon(Arc::clone(self));
        }
    }

    /// Takes what waits.
    pub(super) fn take_waiting(&self) -> Vec<PassedLines> {
        let chunks = std::mem::take(&mut lock(&self.waiting).chunks);
        let passed = chunks.into_iter().map(|chunk| PassedLines {
            function: self.function.clone(),
            instance: chunk.instance,
            chunk: chunk.chunk,
        });
        passed.collect()
    }

    /// Forgets what is known of its files. Blocks.
    pub(super) fn forget(&self) {
        let mut files = lock(&self.files);
        *files = Files::default();
        if let Some(dir) = &*lock(&self.dir) {
            files.measure(dir);
        }
    }

    fn write_some(self: &Arc<Self>, files: &mut Files) -> bool {
        if self.shared.is_paused() {
            return false;
        }
        let (chunks, more) = {
            let mut waiting = lock(&self.waiting);
            let mut bytes = 0;
            let taken = waiting
                .chunks
                .iter()
                .take(CHUNKS_AT_ONCE)
                .take_while(|chunk| {
                    let room = bytes < WRITTEN_AT_ONCE;
                    bytes += chunk.chunk.lines.len();
                    room
                })
                .count();
            let chunks: Vec<Chunk> = waiting.chunks.drain(..taken).collect();
            waiting.scheduled = !waiting.chunks.is_empty();
            (chunks, waiting.scheduled)
        };
        let dir = lock(&self.dir).clone();
        if let Some(dir) = dir
            && !chunks.is_empty()
        {
            self.write_chunks(&dir, files, &chunks);
            let end = files.segments.end;
            self.progress.send_modify(|progress| progress.end = end);
        }
        more
    }

    fn write_chunks(self: &Arc<Self>, dir: &LogDir, files: &mut Files, chunks: &[Chunk]) {
        let shared = &self.shared;
        if let Err(error) = files.prepare(dir) {
            let lines = chunks.iter().map(|chunk| count(&chunk.chunk.lines)).sum();
            tracing::debug!(function = %self.function, "the log cannot be opened");
            // They get no numbers, as nobody knows where those are.
            files.segments.loss = true;
            self.count_dropped(&shared.dropped.failed, lines);
            shared.failed(&error);
            return;
        }
        let mut batch = Batch::new(&files.segments);
        for chunk in chunks {
            let time = batch.next_time(chunk);
            let bytes = files.last_bytes() + batch.bytes;
            let begun = files.segments.list.back().map(|last| last.time);
            let begun = begun.or_else(|| batch.blocks.first().map(|first| first.head.time));
            let span = time - begun.unwrap_or(time).min(time);
            if bytes >= self.segment_bytes() || (bytes > 0 && span > self.segment_span()) {
                self.write_batch(dir, files, &mut batch);
                if let Err(error) = files.rotate(dir, time) {
                    shared.failed(&error);
                }
            }
            batch.add(chunk, time);
        }
        self.write_batch(dir, files, &mut batch);
        self.keep_bytes(dir, files);
    }

    /// Writes what is in the batch and empties it.
    fn write_batch(self: &Arc<Self>, dir: &LogDir, files: &mut Files, batch: &mut Batch<'_>) {
        let blocks = mem::take(&mut batch.blocks);
        batch.bytes = 0;
        let lines = blocks.iter().map(|block| u64::from(block.head.count)).sum();
        match self.write_blocks(dir, files, &blocks) {
            Ok(()) => {
                for block in &blocks {
                    files.segments.wrote(&block.head, block.size);
                }
                files.measure(dir);
                self.lines.fetch_add(lines, Ordering::Relaxed);
                self.shared.succeeded();
            }
            Err(error) => {
                // What was written of it is cut off when the file is opened next.
                files.file = None;
                files.segments.end = batch.end;
                self.count_dropped(&self.shared.dropped.failed, lines);
                self.shared.failed(&error);
            }
        }
    }

    fn write_blocks(
        self: &Arc<Self>,
        dir: &LogDir,
        files: &mut Files,
        blocks: &[NewBlock<'_>],
    ) -> io::Result<()> {
        let Some(first) = blocks.first() else {
            return Ok(());
        };
        files.used = true;
        let file = match &mut files.file {
            Some(file) => file,
            none => {
                let file = match files.segments.open_last(&dir.path)? {
                    Some(file) => file,
                    None => files.segments.begin(&dir.path, first.head.time)?,
                };
                self.shared.opened(&Arc::downgrade(self));
                none.insert(file)
            }
        };
        let mut heads = Vec::new();
        let mut ends = Vec::with_capacity(blocks.len());
        for block in blocks {
            block.head.write(block.lines, &mut heads);
            ends.push(heads.len());
        }
        let mut slices = Vec::with_capacity(2 * blocks.len());
        let mut start = 0;
        for (end, block) in ends.into_iter().zip(blocks) {
            slices.push(IoSlice::new(heads.get(start..end).unwrap_or_default()));
            slices.push(IoSlice::new(block.lines));
            start = end;
        }
        write_all(file, &mut slices)
    }

    fn segment_bytes(&self) -> u64 {
        let (least, most) = SEGMENT_BYTES;
        (self.shared.limits.function_bytes / 8).clamp(least, most)
    }

    /// How much time a segment spans, so that its lines can go when their time comes.
    fn segment_span(&self) -> u64 {
        let age = self.shared.limits.function_age;
        age.map_or(u64::MAX, |age| {
            u64::try_from(age.as_nanos() / 8).unwrap_or(u64::MAX)
        })
    }

    // --- bounds ---

    fn count_dropped(&self, reason: &AtomicU64, lines: u64) {
        reason.fetch_add(lines, Ordering::Relaxed);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// What is held of its lines, where there are any and the function is not gone.
    pub(super) fn reading(&self) -> Option<FunctionLogReading> {
        let bytes = lock(&self.dir).as_ref()?.bytes.load(Ordering::Relaxed);
        let lines = self.lines.load(Ordering::Relaxed);
        let dropped = self.dropped.load(Ordering::Relaxed);
        let any = bytes + lines + dropped > 0;
        any.then(|| FunctionLogReading::new(self.function.clone(), bytes, lines, dropped))
    }

    /// Removes the oldest segments while the function has more than it may.
    fn keep_bytes(&self, dir: &LogDir, files: &mut Files) {
        while dir.bytes.load(Ordering::Relaxed) > self.shared.limits.function_bytes
            && files.segments.kept_without_oldest() >= PROMISED_LINES
        {
            if !files.remove_oldest(dir) {
                break;
            }
        }
    }

    /// Removes segments that have only lines from before that time.
    pub(super) fn remove_older(&self, before: u64) {
        let Some((dir, mut files)) = self.listed() else {
            return;
        };
        while files
            .segments
            .list
            .get(1)
            .is_some_and(|next| next.time <= before)
            && files.segments.kept_without_oldest() >= PROMISED_LINES
        {
            if !files.remove_oldest(&dir) {
                break;
            }
        }
    }

    /// Removes the oldest segment; one with promised lines only where that is said. Says whether
    /// that was possible.
    pub(super) fn remove_oldest(&self, promised_too: bool) -> bool {
        let Some((dir, mut files)) = self.listed() else {
            return false;
        };
        if promised_too && files.segments.list.len() == 1 && files.last_bytes() > 0 {
            // Another takes its place and says how far the numbers went.
            let begun = files.segments.recover(&dir.path).and_then(|()| {
                let time = files.segments.last_time.saturating_add(1);
                files.rotate(&dir, time)
            });
            if begun.is_err() {
                return false;
            }
        }
        let enough = files.segments.kept_without_oldest() >= PROMISED_LINES;
        (enough || promised_too) && files.remove_oldest(&dir)
    }

    /// Counts what is there from before.
    pub(super) fn count(&self) {
        drop(self.listed());
    }

    fn listed(&self) -> Option<(Arc<LogDir>, MutexGuard<'_, Files>)> {
        let dir = lock(&self.dir).clone()?;
        let mut files = lock(&self.files);
        files.count(&dir).ok()?;
        Some((dir, files))
    }

    /// How many bytes its segments have.
    pub(super) fn bytes(&self) -> u64 {
        lock(&self.dir)
            .as_ref()
            .map_or(0, |dir| dir.bytes.load(Ordering::Relaxed))
    }

    // --- files ---

    /// Where it is, while there is one.
    pub(super) fn dir(&self) -> Option<PathBuf> {
        lock(&self.dir).as_ref().map(|dir| dir.path.clone())
    }

    /// The directory, to be held by a reader.
    pub(super) fn held_dir(&self) -> Option<Arc<LogDir>> {
        lock(&self.dir).clone()
    }

    /// Closes the file that it holds open to write to: at once, or if nobody wrote to it since the
    /// last call. Says whether none is open.
    pub(super) fn close_file(&self, at_once: bool) -> bool {
        let mut files = match self.files.try_lock() {
            Ok(files) => files,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if at_once || !mem::replace(&mut files.used, false) {
            files.file = None;
        }
        files.file.is_none()
    }
}

// === impl Files ===

impl Files {
    /// Finds out what is there.
    fn prepare(&mut self, dir: &LogDir) -> io::Result<()> {
        self.segments.recover(&dir.path)?;
        self.measure(dir);
        Ok(())
    }

    fn count(&mut self, dir: &LogDir) -> io::Result<()> {
        self.segments.list(&dir.path)?;
        self.measure(dir);
        Ok(())
    }

    /// Notes how much there is.
    fn measure(&self, dir: &LogDir) {
        dir.holds(self.segments.bytes(), self.segments.list.len() as u64);
    }

    /// How many bytes the last segment has.
    fn last_bytes(&self) -> u64 {
        self.segments.list.back().map_or(0, |last| last.bytes)
    }

    fn rotate(&mut self, dir: &LogDir, time: u64) -> io::Result<()> {
        let begun = self.segments.begin(&dir.path, time)?;
        // One that was not held open is opened by whoever writes to it.
        self.file = self.file.is_some().then_some(begun);
        self.measure(dir);
        Ok(())
    }

    fn remove_oldest(&mut self, dir: &LogDir) -> bool {
        let Some(oldest) = self.segments.list.front() else {
            return false;
        };
        if self.segments.list.len() < 2 {
            return false;
        }
        match fs::remove_file(oldest.path(&dir.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "old log lines could not be removed");
                return false;
            }
            _ => {}
        }
        self.segments.list.pop_front();
        self.measure(dir);
        true
    }
}

/// A block that is about to be written.
#[derive(Debug)]
struct NewBlock<'a> {
    head: Head<'a>,
    lines: &'a [u8],
    size: u64,
}

/// Blocks that are written together.
#[derive(Debug)]
struct Batch<'a> {
    blocks: Vec<NewBlock<'a>>,
    /// How many bytes the blocks have.
    bytes: u64,
    /// The number that the next line gets.
    end: u64,
    /// The time of the last line.
    time: u64,
    /// Before the next block lines are missing that nobody could count.
    loss: bool,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    fn new(segments: &Segments) -> Self {
        Self {
            blocks: Vec::new(),
            bytes: 0,
            end: segments.end,
            time: segments.last_time,
            loss: segments.loss,
        }
    }

    /// The time of the first line of a chunk: its own, but later than all lines before it. A clock
    /// that was set back stands still until it is where it was.
    fn next_time(&self, chunk: &Chunk) -> u64 {
        nanos(chunk.chunk.timestamp).max(self.time.saturating_add(1))
    }

    fn add(&mut self, chunk: &'a Chunk, time: u64) {
        let Chunk {
            instance, chunk, ..
        } = chunk;
        let head = Head {
            first: self.end.saturating_add(chunk.dropped),
            time,
            count: u32::try_from(count(&chunk.lines)).unwrap_or(u32::MAX),
            output: chunk.output,
            loss: mem::take(&mut self.loss),
            instance,
        };
        self.end = head.end();
        self.time = head.last_time();
        let size = head.size(&chunk.lines);
        self.bytes += size;
        self.blocks.push(NewBlock {
            head,
            lines: &chunk.lines,
            size,
        });
    }
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty ones in front would look like the end.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn count(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count() as u64
}

/// What a chunk of so many bytes counts for, so that one of any size finds room at some time.
fn cost(bytes: usize) -> u32 {
    let cost = bytes.saturating_add(CHUNK_COST).min(WAITING_BYTES);
    u32::try_from(cost).unwrap_or(u32::MAX)
}
