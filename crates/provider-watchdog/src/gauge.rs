//! A count of what is going on, which can be waited for to become zero.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts what is going on. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    zero: Notify,
}

/// One that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

// === impl Gauge ===

impl Gauge {
    /// Counts one more; also how many there are now.
    pub(crate) fn enter(&self) -> (Counted, usize) {
        let count = self.0.count.fetch_add(1, Ordering::AcqRel) + 1;
        (Counted(self.clone()), count)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until there are none.
    pub(crate) async fn zero(&self) {
        loop {
            let notified = self.0.zero.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        let inner = &self.0.0;
        if inner.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            inner.zero.notify_waiters();
        }
    }
}
