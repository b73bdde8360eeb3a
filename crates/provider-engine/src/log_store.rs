//! The log lines of all functions, on disk.
//!
//! Below the directory each function has one of its own, named by when it was deployed, with
//! segments of checksummed blocks in it (`block`, `segments`). Lines wait in bounded memory until a
//! task writes them (`function_log`); readers read files, and are woken when there is more
//! (`reader`). Nobody who writes lines waits for somebody who reads them.
//!
//! Nothing is synced: what was written survives the end of this process, however sudden, and after
//! a power loss what the system had written by then.

mod block;
mod function_log;
mod intake;
mod reader;
mod retention;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use provider_types::{FunctionRef, LogChunk, LogReading};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::config::LogLimits;

pub(crate) use self::function_log::FunctionLog;
pub(crate) use self::intake::Intake;

/// How many lines of a function are kept whatever the bounds on its bytes and their age.
const PROMISED_LINES: u64 = 1_000;

/// How many bytes of all functions wait to be written.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// How many segments are held open to be written to.
const OPEN_FILES: usize = 128;

/// How long to write what waits before the files are left to another process.
const BEFORE_A_PAUSE: Duration = Duration::from_secs(1);

/// How often files that nobody writes to are closed, and lines that are too old removed.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The log lines of all functions.
#[derive(Debug, Clone)]
pub(crate) struct LogStore(Arc<Shared>);

/// What the logs of one store share.
#[derive(Debug)]
struct Shared {
    /// Where they are; without a directory lines go nowhere.
    dir: Option<PathBuf>,
    limits: LogLimits,
    handle: Handle,
    /// All logs, also such as are gone by now.
    logs: Mutex<Vec<Weak<FunctionLog>>>,
    /// Logs whose segment is held open, roughly in the order in which that was opened.
    open: Mutex<VecDeque<Weak<FunctionLog>>>,
    /// Logs with lines to be written.
    work: Mutex<Work>,
    /// Whether somebody is writing them.
    writing: watch::Sender<bool>,
    room: Arc<Semaphore>,
    /// How many bytes all segments have.
    bytes: AtomicU64,
    /// How many segments there are.
    segments: AtomicU64,
    dropped: Dropped,
    /// Writing failed when it was last tried.
    failing: AtomicBool,
    /// Another process has the files.
    paused: AtomicBool,
}

#[derive(Debug, Default)]
struct Work {
    logs: VecDeque<Arc<FunctionLog>>,
    running: bool,
}

/// How many lines were dropped, by why.
#[derive(Debug, Default)]
struct Dropped {
    /// Before they came here.
    not_taken: AtomicU64,
    no_room: AtomicU64,
    failed: AtomicU64,
}

/// Lines on their way to the process that has the files.
#[derive(Debug)]
pub(crate) struct PassedLines {
    pub(crate) function: FunctionRef,
    pub(crate) instance: Arc<str>,
    pub(crate) chunk: LogChunk,
}

impl LogStore {
    /// The logs below a directory, which is made when there is a line. Needs a tokio runtime.
    pub(crate) fn new(dir: Option<&Path>, limits: LogLimits) -> Self {
        Self(Arc::new(Shared {
            dir: dir.map(Path::to_owned),
            limits,
            handle: Handle::current(),
            logs: Mutex::default(),
            open: Mutex::default(),
            work: Mutex::default(),
            writing: watch::Sender::new(false),
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            bytes: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            dropped: Dropped::default(),
            failing: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        }))
    }

    /// Whether lines go anywhere.
    pub(crate) fn are_kept(&self) -> bool {
        self.0.dir.is_some()
    }

    /// The log of a function that was deployed at that time.
    pub(crate) fn log_of(&self, function: &FunctionRef, created: SystemTime) -> Arc<FunctionLog> {
        let dir = self.0.dir.as_ref().map(|dir| {
            dir.join(function.namespace.as_str())
                .join(function.name.as_str())
                .join(format!("{:016x}", nanos(created)))
        });
        let log = Arc::new(FunctionLog::new(
            function.clone(),
            Arc::clone(&self.0),
            dir.as_deref(),
        ));
        let mut logs = lock(&self.0.logs);
        // Looked through when there are twice as many as at the last time.
        if logs.len() == logs.capacity() {
            logs.retain(|log| log.strong_count() > 0);
        }
        logs.push(Arc::downgrade(&log));
        log
    }

    /// Counts what is there, and removes the logs of functions that are not. To be called once all
    /// functions have their logs. Blocks.
    pub(crate) fn survey(&self) {
        self.0.survey();
    }

    /// Closes files that nobody writes to, and removes lines that are too old. Blocks.
    pub(crate) fn sweep(&self) {
        self.0.sweep();
    }

    /// Waits until what was put in is written.
    pub(crate) async fn flush(&self) {
        let mut writing = self.0.writing.subscribe();
        // An error means that there is no store any more.
        drop(writing.wait_for(|writing| !writing).await);
    }

    /// Writes what was put in, and leaves the files to another process. From then on lines wait, as
    /// they do for a disk that stands still.
    pub(crate) async fn pause(&self) {
        // What is written all the time has no end.
        let _ = tokio::time::timeout(BEFORE_A_PAUSE, self.flush()).await;
        self.0.paused.store(true, Ordering::SeqCst);
        self.flush().await;
        let shared = Arc::clone(&self.0);
        // An error means that the process ends.
        drop(self.0.handle.spawn_blocking(move || shared.forget()).await);
    }

    /// Has the files again, whatever another process has written, and writes what waits.
    pub(crate) async fn resume(&self) {
        let shared = Arc::clone(&self.0);
        let forgotten = self.0.handle.spawn_blocking(move || shared.forget());
        drop(forgotten.await);
        self.0.paused.store(false, Ordering::SeqCst);
        for log in self.0.live() {
            log.write_what_waits();
        }
    }

    /// What waits while the store is paused, taken out of it.
    pub(crate) fn take_waiting(&self) -> Vec<PassedLines> {
        let take = |log: Arc<FunctionLog>| log.take_waiting();
        self.0.live().into_iter().flat_map(take).collect()
    }

    /// What is held and what was dropped.
    pub(crate) fn reading(&self) -> LogReading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let dropped = &self.0.dropped;
        let mut reading = LogReading::default();
        reading.bytes = get(&self.0.bytes);
        reading.segments = get(&self.0.segments);
        reading.dropped.not_taken = get(&dropped.not_taken);
        reading.dropped.no_room = get(&dropped.no_room);
        reading.dropped.failed = get(&dropped.failed);
        let live = self.0.live();
        reading.functions = live.iter().filter_map(|log| log.reading()).collect();
        reading
            .functions
            .sort_by(|a, b| a.function.cmp(&b.function));
        reading
    }
}

// === impl Shared ===

impl Shared {
    /// Forgets what is known of files. Blocks.
    fn forget(&self) {
        lock(&self.open).clear();
        for log in self.live() {
            log.forget();
        }
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Lets the lines of a log be written.
    fn write_soon(self: &Arc<Self>, log: Arc<FunctionLog>) {
        let mut work = lock(&self.work);
        work.logs.push_back(log);
        if !work.running {
            work.running = true;
            self.writing.send_replace(true);
            let shared = Arc::clone(self);
            self.handle.spawn_blocking(move || shared.write());
        }
    }

    /// Writes until there is nothing to be written.
    fn write(self: &Arc<Self>) {
        loop {
            let log = {
                let mut work = lock(&self.work);
                let Some(log) = work.logs.pop_front() else {
                    work.running = false;
                    self.writing.send_replace(false);
                    return;
                };
                log
            };
            if log.write() {
                lock(&self.work).logs.push_back(log);
            }
            self.keep_total();
        }
    }

    /// Says once that lines cannot be written.
    fn failed(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "log lines of functions cannot be written: they are counted until they can"
            );
        }
    }

    fn succeeded(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("log lines of functions are written again");
        }
    }

    /// Lets a log that was opened to be written to stay open, and closes another one where there
    /// are too many.
    fn opened(&self, log: &Weak<FunctionLog>) {
        let mut open = lock(&self.open);
        open.push_back(Weak::clone(log));
        for _ in OPEN_FILES..open.len() {
            let Some(oldest) = open.pop_front() else {
                return;
            };
            if oldest.upgrade().is_some_and(|log| !log.close_file(true)) {
                // It is being used right now.
                open.push_back(oldest);
            }
        }
    }

    fn live(&self) -> Vec<Arc<FunctionLog>> {
        lock(&self.logs).iter().filter_map(Weak::upgrade).collect()
    }
}

/// The directory of a log, for as long as somebody uses it.
#[derive(Debug)]
struct LogDir {
    path: PathBuf,
    shared: Arc<Shared>,
    /// How many bytes its segments have.
    bytes: AtomicU64,
    /// How many there are.
    segments: AtomicU64,
    /// The function is gone: the directory goes with the last who uses it.
    doomed: AtomicBool,
}

impl LogDir {
    /// Notes what is there now, here and in what all functions have. Called while the files are
    /// held.
    fn holds(&self, bytes: u64, segments: u64) {
        let set = |own: &AtomicU64, all: &AtomicU64, now: u64| {
            let before = own.swap(now, Ordering::Relaxed);
            all.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        };
        set(&self.bytes, &self.shared.bytes, bytes);
        set(&self.segments, &self.shared.segments, segments);
    }
}

impl Drop for LogDir {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            self.holds(0, 0);
            let path = std::mem::take(&mut self.path);
            self.shared
                .handle
                .spawn_blocking(move || remove_log_dir(&path));
        }
    }
}

/// Removes the directory of a log, and those above it if they are empty then.
fn remove_log_dir(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            // The next start tries again.
            tracing::warn!(%error, "the log of a function that is gone could not be removed");
        }
        _ => {
            for above in path.ancestors().skip(1).take(2) {
                if fs::remove_dir(above).is_err() {
                    break;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time as it is stored.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A stored time.
fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}
