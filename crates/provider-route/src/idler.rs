//! When a function has had no call for long enough.

use std::time::Duration;

use tokio::time::Instant;

/// Looks are no closer than this, however short the time to wait for.
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// And no further apart than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Says when a function is idle: no call in flight, and none came, for a while. Never too early,
/// and late by an eighth of that while at most.
///
/// It is told at each look whether there was a call, so it works over any count of calls: a
/// [`Slot::take_activity`](crate::Slot::take_activity), or what several providers add up.
///
/// ```
/// use std::time::Duration;
///
/// use provider_route::{Idle, Idler};
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let minute = Duration::from_secs(60);
/// let mut idler = Idler::new(15 * minute, start);
/// assert!(matches!(idler.look(start + minute, true), Idle::NotBefore(_)));
/// assert!(matches!(idler.look(start + 15 * minute, false), Idle::NotBefore(_)));
/// assert_eq!(idler.look(start + 16 * minute, false), Idle::Now);
/// ```
#[derive(Debug, Clone)]
pub struct Idler {
    after: Duration,
    quiet_since: Instant,
    /// The state at which the next look is worth it.
    next: Instant,
}

/// What a look of an [`Idler`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// The function is idle.
    Now,
    /// It is not; look again then.
    NotBefore(Instant),
}

impl Idler {
    /// For a function that is idle `after` so long without a call, counted from `now`.
    #[must_use]
    pub fn new(after: Duration, now: Instant) -> Self {
        Self {
            after,
            quiet_since: now,
            next: now,
        }
    }

    /// When the next look is due.
    #[must_use]
    pub fn next_look(&self) -> Instant {
        self.next
    }

    /// What is so now, if `active` says whether a call is in flight or came since the last look.
    pub fn look(&mut self, now: Instant, active: bool) -> Idle {
        if active {
            self.quiet_since = now;
        }
        let idle_at = self.quiet_since + self.after;
        if now >= idle_at {
            return Idle::Now;
        }
        let pause = (self.after / 8).clamp(LEAST_PAUSE, LONGEST_PAUSE);
        self.next = idle_at.min(now + pause);
        Idle::NotBefore(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks whenever it is due, until it is idle; a call comes at each of `calls`.
    fn idle_after(after: Duration, calls: &[Duration]) -> (Duration, usize) {
        let start = Instant::now();
        let mut idler = Idler::new(after, start);
        let mut calls: Vec<Instant> = calls.iter().map(|at| start + *at).collect();
        let (mut now, mut looks) = (start, 0);
        loop {
            let active = calls.iter().any(|at| *at <= now);
            calls.retain(|at| *at > now);
            looks += 1;
            match idler.look(now, active) {
                Idle::Now => return (now - start, looks),
                Idle::NotBefore(at) => {
                    assert!(at > now && at == idler.next_look());
                    now = at;
                }
            }
        }
    }

    #[test]
    fn it_is_idle_that_long_after_the_last_call_and_hardly_later() {
        assert_eq!(idle_after(8 * SECOND, &[]).0, 8 * SECOND);
        for last in 1..50 {
            let last = last * SECOND / 3;
            let calls: Vec<Duration> = (0..)
                .map(|n| n * SECOND / 2)
                .take_while(|at| *at <= last)
                .collect();
            let last = *calls.last().unwrap();
            let (idle, _) = idle_after(8 * SECOND, &calls);
            assert!(idle >= last + 8 * SECOND, "{last:?} {idle:?}");
            assert!(idle <= last + 9 * SECOND, "{last:?} {idle:?}");
        }
    }

    #[test]
    fn looks_are_few_and_never_without_end() {
        assert!(idle_after(900 * SECOND, &[]).1 <= 32);
        let (idle, looks) = idle_after(Duration::from_nanos(1), &[]);
        assert!(idle <= LEAST_PAUSE && looks <= 2);
    }
}
