//! The one atomic word of a replica: whether it drains, how many calls are in flight, and whether
//! there was any since somebody asked.
//!
//! Nothing else decides whether a call may go to a replica, so two facts hold at every moment: the
//! count is never above the limit, and a draining replica's count only falls. `tests/model.rs`
//! checks both for every order of threads.

use super::sync::{AtomicUsize, Ordering};

const DRAINING: usize = 1 << (usize::BITS - 1);
/// A call came since the last [`Word::take_used`]. Set by the same write that counts it, so it
/// costs a call nothing.
const USED: usize = 1 << (usize::BITS - 2);
/// The other bits count.
const COUNT: usize = USED - 1;

/// The most calls that one word can count.
pub(crate) const NO_LIMIT: usize = COUNT;

#[derive(Debug, Default)]
pub(crate) struct Word(AtomicUsize);

impl Word {
    /// Counts one more call, unless the replica drains or has `limit` calls.
    pub(crate) fn try_enter(&self, limit: usize) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & DRAINING == 0 && seen & COUNT < limit.min(NO_LIMIT) {
            match self.0.compare_exchange_weak(
                seen,
                (seen + 1) | USED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Counts one call less. True when it was the last one of a draining replica.
    pub(crate) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) & !USED == DRAINING + 1
    }

    /// Lets no further call in.
    pub(crate) fn drain(&self) {
        self.0.fetch_or(DRAINING, Ordering::AcqRel);
    }

    /// Whether it drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DRAINING != 0
    }

    /// Whether it drains and nothing is in flight.
    pub(crate) fn is_drained(&self) -> bool {
        self.0.load(Ordering::Acquire) & !USED == DRAINING
    }

    /// How many calls are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.load(Ordering::Relaxed) & COUNT
    }

    /// Whether a call is in flight or came since this was asked last.
    pub(crate) fn take_used(&self) -> bool {
        // Written only where there is something to forget.
        let seen = self.0.load(Ordering::Relaxed);
        let seen = if seen & USED == 0 {
            seen
        } else {
            self.0.fetch_and(!USED, Ordering::Relaxed)
        };
        seen & (USED | COUNT) != 0
    }
}
