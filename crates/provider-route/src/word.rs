//! The one atomic word of a replica: whether it drains, and how many calls are in flight.
//!
//! Nothing else decides whether a call may go to a replica, so two facts hold at every moment: the
//! count is never above the limit, and a draining replica's count only falls.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The top bit; the rest counts.
const DRAINING: usize = 1 << (usize::BITS - 1);

/// The most calls that one word can count.
pub(crate) const NO_LIMIT: usize = DRAINING - 1;

#[derive(Debug, Default)]
pub(crate) struct Word(AtomicUsize);

impl Word {
    /// Counts one more call, unless the replica drains or has `limit` calls.
    pub(crate) fn try_enter(&self, limit: usize) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        // A draining word is above every limit, for its top bit is set.
        while seen < limit.min(NO_LIMIT) {
            match self
                .0
                .compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Counts one call less. True when it was the last one of a draining replica.
    pub(crate) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == DRAINING + 1
    }

    /// Lets no further call in.
    pub(crate) fn drain(&self) {
        self.0.fetch_or(DRAINING, Ordering::AcqRel);
    }

    /// Whether it drains and nothing is in flight.
    pub(crate) fn is_drained(&self) -> bool {
        self.0.load(Ordering::Acquire) == DRAINING
    }

    /// How many calls are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.load(Ordering::Relaxed) & !DRAINING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_what_leaves_makes_room() {
        let word = Word::default();
        assert!(word.try_enter(2) && word.try_enter(2));
        assert!(!word.try_enter(2));
        assert!(!word.leave());
        assert!(word.try_enter(2));
        assert_eq!(word.in_flight(), 2);
    }

    #[test]
    fn a_draining_word_lets_nobody_in_and_tells_the_last_one_out() {
        let word = Word::default();
        assert!(word.try_enter(NO_LIMIT) && word.try_enter(NO_LIMIT));
        word.drain();
        assert!(!word.try_enter(NO_LIMIT));
        assert!(!word.leave());
        assert!(!word.is_drained());
        assert!(word.leave());
        assert!(word.is_drained());
    }

    #[test]
    fn threads_never_pass_the_limit_and_none_enters_after_the_drain() {
        let word = Word::default();
        let above = AtomicUsize::new(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if word.try_enter(3) {
                            if inside.fetch_add(1, Ordering::SeqCst) >= 3 {
                                above.fetch_add(1, Ordering::SeqCst);
                            }
                            inside.fetch_sub(1, Ordering::SeqCst);
                            word.leave();
                        }
                    }
                });
            }
        });
        assert_eq!(above.into_inner(), 0);
        word.drain();
        assert!(word.is_drained() && !word.try_enter(3));
    }
}
