//! How many replicas the calls of a function need: none when it is idle, more when there are many.

use std::time::Duration;

use provider_route::{Autoscaler, Idle, Idler, ScaleLabels, Slot};
use tokio::time::Instant;

/// How often the calls in flight are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Follows the calls of one function, from when it is awake and nothing else goes on.
#[derive(Debug)]
pub(crate) struct Demand {
    idler: Option<Idler>,
    autoscaler: Option<Autoscaler>,
    next_count: Instant,
}

impl Demand {
    pub(crate) fn new(wishes: &ScaleLabels, now: Instant) -> Self {
        Self {
            idler: wishes.idle_after.map(|after| Idler::new(after, now)),
            autoscaler: wishes.capacity.map(|rule| Autoscaler::new(rule, now)),
            next_count: now,
        }
    }

    /// How many replicas there are to be, `most` at most, where there are to be `present` ones.
    pub(crate) fn look(&mut self, now: Instant, slot: &Slot, present: u64, most: u64) -> u64 {
        if let Some(idler) = &mut self.idler
            && now >= idler.next_look()
            && idler.look(now, slot.take_activity()) == Idle::Now
        {
            return 0;
        }
        match &mut self.autoscaler {
            Some(autoscaler) if now >= self.next_count => {
                self.next_count = now + COUNT_EVERY;
                let calls = slot.in_flight().saturating_add(slot.waiting());
                autoscaler.look(now, calls, present).min(most)
            }
            _ => present,
        }
    }

    /// When to look again although nothing was heard.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let idle = self.idler.as_ref().map(Idler::next_look);
        let count = self.autoscaler.as_ref().map(|_| self.next_count);
        idle.into_iter().chain(count).min()
    }
}
