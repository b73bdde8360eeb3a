//! What is kept and what goes: bounds on bytes and age of one function, and on the bytes of all.

use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::{Shared, lock, nanos, remove_log_dir};

impl Shared {
    /// Counts what is there, and removes what belongs to no function.
    pub(super) fn survey(&self) {
        let Some(dir) = &self.dir else {
            return;
        };
        let found: Vec<PathBuf> = directories(dir)
            .iter()
            .flat_map(|namespace| directories(namespace))
            .flat_map(|function| directories(&function))
            .collect();
        // Asked after the directories were seen: who makes one is known before it is there.
        let known: HashSet<PathBuf> = self.live().iter().filter_map(|log| log.dir()).collect();
        for orphan in found.iter().filter(|found| !known.contains(*found)) {
            remove_log_dir(orphan);
        }
        for log in self.live() {
            log.count();
        }
        self.keep_total();
    }

    pub(super) fn sweep(&self) {
        if self.is_paused() {
            return;
        }
        lock(&self.open).retain(|log| log.upgrade().is_some_and(|log| !log.close_file(false)));
        let Some(age) = self.limits.function_age else {
            return;
        };
        let before = nanos(
            SystemTime::now()
                .checked_sub(age)
                .unwrap_or(SystemTime::UNIX_EPOCH),
        );
        for log in self.live() {
            log.remove_older(before);
        }
    }

    /// Holds the bytes of all functions to their bound: the function with the most loses its oldest
    /// lines first, and of the promised ones only where nothing else is left.
    pub(super) fn keep_total(&self) {
        let bound = self.limits.total_bytes;
        if self.bytes.load(Ordering::Relaxed) <= bound || self.is_paused() {
            return;
        }
        // A little more, so that not every line has to look again.
        let target = bound - bound / 16;
        for promised_too in [false, true] {
            let logs = self.live();
            let mut largest: BinaryHeap<(u64, usize)> = (0..)
                .zip(&logs)
                .map(|(at, log)| (log.bytes(), at))
                .collect();
            while self.bytes.load(Ordering::Relaxed) > target {
                let Some((_, at)) = largest.pop() else {
                    break;
                };
                if let Some(log) = logs.get(at)
                    && log.remove_oldest(promised_too)
                {
                    largest.push((log.bytes(), at));
                }
            }
        }
    }
}

/// The directories in a directory.
fn directories(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
