//! One replica, and the leases on it.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use provider_types::{Endpoint, Lease, Phases, Report};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::slot::SlotInner;
use super::sync::{AtomicU64, AtomicUsize, Ordering, fence};
use super::word::{NO_LIMIT, Word};

/// A replica in a slot. Cheap to clone.
#[derive(Clone)]
pub struct Replica(pub(crate) Arc<ReplicaInner>);

pub(crate) struct ReplicaInner {
    endpoint: Endpoint,
    limit: usize,
    word: Word,
    /// Milliseconds after `born` until which it gets no calls while there is another; 0 is never.
    ejected_until: AtomicU64,
    ejection: Duration,
    born: Instant,
    drained: Notify,
    /// How many calls wait in the slot. Shared, so that a lease that ends need not look at the slot.
    waiting: Arc<AtomicUsize>,
    /// Weak, for the slot holds its replicas.
    slot: Weak<SlotInner>,
}

impl Replica {
    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.word.in_flight()
    }

    /// Waits until it is removed from its slot and nothing is in flight. Then it may be stopped.
    ///
    /// Cancel safe; several may wait.
    pub async fn drained(&self) {
        loop {
            let notified = self.0.drained.notified();
            tokio::pin!(notified);
            // Listen first and look then, or the last call could end in between.
            notified.as_mut().enable();
            if self.0.is_drained() {
                return;
            }
            notified.await;
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("endpoint", self.endpoint())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

// === impl ReplicaInner ===

impl ReplicaInner {
    pub(crate) fn new(
        endpoint: Endpoint,
        limit: Option<NonZeroUsize>,
        ejection: Duration,
        waiting: Arc<AtomicUsize>,
        slot: Weak<SlotInner>,
    ) -> Self {
        Self {
            endpoint,
            limit: limit.map_or(NO_LIMIT, NonZeroUsize::get),
            word: Word::default(),
            ejected_until: AtomicU64::new(0),
            ejection,
            born: Instant::now(),
            drained: Notify::new(),
            waiting,
            slot,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.word.in_flight()
    }

    /// Takes a lease, unless the replica drains or is at its limit.
    pub(crate) fn try_lease(self: &Arc<Self>) -> Option<ReplicaLease> {
        self.word.try_enter(self.limit).then(|| ReplicaLease {
            replica: Arc::clone(self),
            phases: Phases::default(),
        })
    }

    /// Whether a call is in flight or came since this was asked last.
    pub(crate) fn take_used(&self) -> bool {
        self.word.take_used()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.word.is_draining()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.word.is_drained()
    }

    /// Lets no further call in.
    pub(crate) fn drain(&self) {
        self.word.drain();
        if self.is_drained() {
            self.drained.notify_waiters();
        }
    }

    /// Whether it refused a call lately.
    pub(crate) fn is_ejected(&self) -> bool {
        // The clock is read only where there was a refusal.
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.age_millis() < until,
        }
    }

    fn eject(&self) {
        let pause = u64::try_from(self.ejection.as_millis()).unwrap_or(u64::MAX);
        self.ejected_until
            .store(self.age_millis().saturating_add(pause), Ordering::Relaxed);
    }

    fn age_millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn end_lease(&self) {
        if self.word.leave() {
            self.drained.notify_waiters();
            return;
        }
        // Pairs with the fence of whoever starts to wait: either it sees the count that just fell,
        // or this sees that it waits.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            if let Some(slot) = self.slot.upgrade() {
                slot.serve_waiting();
            }
        }
    }
}

/// The right to send one call to one replica; counted as in flight until dropped.
pub struct ReplicaLease {
    replica: Arc<ReplicaInner>,
    phases: Phases,
}

impl ReplicaLease {
    pub(crate) fn with_phases(mut self, phases: Phases) -> Self {
        self.phases = phases;
        self
    }
}

impl Lease for ReplicaLease {
    fn endpoint(&self) -> &Endpoint {
        &self.replica.endpoint
    }

    fn phases(&self) -> Phases {
        self.phases
    }

    fn report(&self, report: Report) {
        if report == Report::Refused {
            self.replica.eject();
        }
    }
}

impl Drop for ReplicaLease {
    fn drop(&mut self) {
        self.replica.end_lease();
    }
}

impl fmt::Debug for ReplicaLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaLease")
            .field("endpoint", &self.replica.endpoint)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}
