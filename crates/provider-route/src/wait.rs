//! The wait of one call: its place in the line, how long it waits, and what it is told.

use std::sync::Arc;
use std::time::Duration;

use provider_types::{Call, Phases, ResolveError, Scaler};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::activator;
use super::queue::{Answer, Refused};
use super::replica::ReplicaLease;
use super::slot::{Absence, SlotInner};
use super::sync::{Ordering, fence};

impl SlotInner {
    /// A lease, after its turn in the line. A function that is asleep is woken, where there is a
    /// `scaler`.
    pub(crate) async fn wait(
        self: Arc<Self>,
        call: Call<'_>,
        scaler: Option<&Arc<dyn Scaler>>,
    ) -> Result<ReplicaLease, ResolveError> {
        let begun = Instant::now();
        loop {
            match self.take_turn(&call, scaler, begun).await {
                Ok(lease) => return Ok(lease),
                Err(Refused::Error(error)) => return Err(error),
                // It was put to sleep while this waited, so another turn wakes it.
                Err(Refused::Asleep) if scaler.is_some() => {}
                Err(Refused::Asleep) => return Err(self.not_ready("scaled to zero", None)),
            }
        }
    }

    async fn take_turn(
        self: &Arc<Self>,
        call: &Call<'_>,
        scaler: Option<&Arc<dyn Scaler>>,
        begun: Instant,
    ) -> Answer {
        let mut place = self.join(call, scaler.is_some()).map_err(Refused::Error)?;
        if let (Some(scaler), true) = (scaler, place.wakes) {
            activator::wake(Arc::clone(self), Arc::clone(scaler));
        }
        self.serve_waiting();

        let deadline = call.deadline.map(Instant::from_std);
        let until = if place.starting {
            deadline.unwrap_or(begun + self.config.ready_wait)
        } else {
            let patience = begun + self.config.queue_wait;
            deadline.map_or(patience, |deadline| deadline.min(patience))
        };
        let answer = match tokio::time::timeout_at(until, &mut place.answer).await {
            Ok(answer) => answer.ok(),
            Err(_elapsed) => {
                place.leave();
                // It may have been answered just now.
                place.answer.try_recv().ok()
            }
        };
        let lease = answer.unwrap_or_else(|| {
            let error = self.gave_up(begun.elapsed(), deadline == Some(until));
            Err(Refused::Error(error))
        })?;
        Ok(lease.with_phases(self.phases(begun, place.starting)))
    }

    /// Takes a place at the end of the line.
    pub(crate) fn join(
        self: &Arc<Self>,
        call: &Call<'_>,
        can_wake: bool,
    ) -> Result<Place, ResolveError> {
        let mut queue = self.lock();
        if queue.len() >= self.config.queue_len {
            return Err(self.overloaded());
        }
        let (ticket, answer) = queue.join(call.avoid.cloned());
        self.waiting.store(queue.len(), Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
        // Pairs with the fence of a lease that ends.
        fence(Ordering::SeqCst);
        let set = self.set.load();
        let wakes = can_wake && set.is_asleep() && queue.waking.begin();
        drop(queue);
        Ok(Place {
            slot: Arc::clone(self),
            ticket,
            starting: set.replicas.is_empty(),
            wakes,
            answer,
        })
    }

    fn phases(&self, begun: Instant, starting: bool) -> Phases {
        let mut phases = Phases::default();
        let waited = begun.elapsed();
        if starting {
            let (woken_at, started_at) = {
                let queue = self.lock();
                (queue.woken_at, queue.started_at)
            };
            // What happened before the call came took none of its time.
            let until =
                |at: Option<Instant>| at.map(|at| at.saturating_duration_since(begun).min(waited));
            phases.woken = until(woken_at).unwrap_or_default();
            phases.started = waited.saturating_sub(phases.woken);
            phases.readied = until(started_at).map_or(Duration::ZERO, |at| {
                waited.saturating_sub(at.max(phases.woken))
            });
        } else {
            phases.queued = waited;
        }
        phases
    }

    /// What a call is told that waited in vain, until its deadline or less long.
    fn gave_up(&self, waited: Duration, to_its_deadline: bool) -> ResolveError {
        let set = self.set.load();
        if set.closed {
            return ResolveError::NotFound;
        }
        if !set.replicas.is_empty() {
            return self.overloaded();
        }
        let lacks = match &set.absence {
            Absence::Starting { reason } => reason.clone(),
            _ => None,
        };
        if to_its_deadline {
            return ResolveError::TimedOut { reason: lacks };
        }
        let mut reason = format!(
            "no replica became ready within {:.1} s",
            waited.as_secs_f64()
        );
        if let Some(lacks) = lacks {
            reason.push_str(": ");
            reason.push_str(&lacks);
        }
        self.not_ready(&reason, None)
    }
}

/// A place in the line, given up when dropped.
pub(crate) struct Place {
    slot: Arc<SlotInner>,
    ticket: u64,
    /// There was no replica: it waits for one to start, and not for a free one.
    starting: bool,
    /// It is to wake the function.
    pub(crate) wakes: bool,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Place {
    pub(crate) fn leave(&self) {
        let mut queue = self.slot.lock();
        if queue.give_up(self.ticket) {
            self.slot.waiting.store(queue.len(), Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
