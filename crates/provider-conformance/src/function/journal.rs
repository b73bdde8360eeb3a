//! What the function remembers of its calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How many calls are remembered.
const MOST: usize = 100_000;

/// What became of one call so far.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Record {
    method: String,
    target: String,
    received: u64,
    complete: bool,
    sent: u64,
    ended: Option<&'static str>,
}

/// One call in the journal; a call without an id is in none.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry(Option<Arc<Mutex<Record>>>);

/// The calls with an id, in order of arrival, and the number of all.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: HashMap<String, Vec<Arc<Mutex<Record>>>>,
    remembered: usize,
    pub(super) requests: u64,
    pub(super) malformed: u64,
}

impl Journal {
    /// Notes a call of that id; also how many there were with it before.
    pub(super) fn open(&mut self, id: &str, method: &str, target: &str) -> (Entry, u64) {
        let calls = self.calls.entry(id.to_owned()).or_default();
        let before = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        if self.remembered == MOST {
            return (Entry(None), before);
        }
        self.remembered += 1;
        let record = Arc::new(Mutex::new(Record {
            method: method.to_owned(),
            target: target.to_owned(),
            received: 0,
            complete: false,
            sent: 0,
            ended: None,
        }));
        calls.push(Arc::clone(&record));
        (Entry(Some(record)), before)
    }

    /// The calls of that id.
    pub(super) fn of(&self, id: &str) -> Vec<Record> {
        let calls = self.calls.get(id).map_or(&[][..], Vec::as_slice);
        calls.iter().map(|record| lock(record).clone()).collect()
    }
}

impl Entry {
    pub(super) fn received(&self, bytes: usize) {
        self.note(|record| record.received += u64::try_from(bytes).unwrap_or(0));
    }

    pub(super) fn complete(&self) {
        self.note(|record| record.complete = true);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.note(|record| record.sent += u64::try_from(bytes).unwrap_or(0));
    }

    pub(super) fn ended(&self, how: &'static str) {
        self.note(|record| record.ended = Some(how));
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &self.0 {
            change(&mut lock(record));
        }
    }
}

/// A lock that a panic elsewhere does not take along.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
