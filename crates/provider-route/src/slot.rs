//! One function: its replicas, the choice among them, and the calls that wait.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use provider_types::{Call, Endpoint, FunctionRef, Phases, ResolveError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::TableConfig;
use crate::dice::Dice;
use crate::queue::{Answer, Queue};
use crate::replica::{Replica, ReplicaInner, ReplicaLease};

/// Why a function has no replica, and so what its calls do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absence {
    /// One is starting: calls wait for it.
    Starting {
        /// What it lacks, for a client that has waited in vain: one line, no host paths.
        reason: Option<String>,
    },
    /// None is wanted: calls are refused at once.
    ScaledToZero,
    /// None can be had for now: calls are refused at once and told why.
    Failing {
        /// Why, for the client: one line, no host paths.
        reason: String,
        /// When another try is worth it; `None` is [`TableConfig::retry_after`].
        retry_after: Option<Duration>,
    },
}

impl Default for Absence {
    /// Starting, and nothing is known of it.
    fn default() -> Self {
        Self::Starting { reason: None }
    }
}

/// A function in a [`Table`](crate::Table). Cheap to clone; all clones are the same slot.
#[derive(Clone)]
pub struct Slot(pub(crate) Arc<SlotInner>);

pub(crate) struct SlotInner {
    function: FunctionRef,
    config: Arc<TableConfig>,
    /// Swapped whole, by whoever holds `queue`; calls read it without a lock.
    set: ArcSwap<ReplicaSet>,
    queue: Mutex<Queue>,
    /// The length of `queue`, to be read without its lock.
    waiting: Arc<AtomicUsize>,
    dice: Dice,
}

#[derive(Clone, Default)]
struct ReplicaSet {
    replicas: Vec<Arc<ReplicaInner>>,
    absence: Absence,
    /// Taken out of the table.
    closed: bool,
}

impl Slot {
    /// Which function this is.
    #[must_use]
    pub fn function(&self) -> &FunctionRef {
        &self.0.function
    }

    /// Adds a replica that answers; waiting calls go to it at once.
    ///
    /// `limit` is how many calls it takes at a time; `None` is any number.
    pub fn add(&self, endpoint: Endpoint, limit: Option<NonZeroUsize>) -> Replica {
        let replica = Arc::new(ReplicaInner::new(
            endpoint,
            limit,
            self.0.config.ejection,
            Arc::clone(&self.0.waiting),
            Arc::downgrade(&self.0),
        ));
        self.0.change(|set| {
            if set.closed {
                replica.drain();
            } else {
                set.replicas.push(Arc::clone(&replica));
            }
        });
        Replica(replica)
    }

    /// Sends no further call to a replica. Those in flight go on: see [`Replica::drained`].
    pub fn remove(&self, replica: &Replica) {
        self.0
            .change(|set| set.replicas.retain(|kept| !Arc::ptr_eq(kept, &replica.0)));
        replica.0.drain();
    }

    /// Says why there is no replica, for as long as there is none.
    pub fn set_absence(&self, absence: Absence) {
        if self.0.set.load().absence != absence {
            self.0.change(|set| set.absence = absence);
        }
    }

    /// The replicas that take calls.
    #[must_use]
    pub fn replicas(&self) -> Vec<Replica> {
        let set = self.0.set.load();
        set.replicas.iter().cloned().map(Replica).collect()
    }

    /// How many calls are in flight to replicas that take calls.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let set = self.0.set.load();
        set.replicas.iter().map(|replica| replica.in_flight()).sum()
    }

    /// How many calls wait for a replica.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Drains all replicas and refuses all calls: the function is no more.
    pub(crate) fn close(&self) {
        let mut drained = Vec::new();
        self.0.change(|set| {
            set.closed = true;
            drained = std::mem::take(&mut set.replicas);
        });
        for replica in drained {
            replica.drain();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("function", self.function())
            .field("replicas", &self.replicas())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

// === impl SlotInner ===

impl SlotInner {
    pub(crate) fn new(function: FunctionRef, config: Arc<TableConfig>) -> Self {
        Self {
            function,
            dice: Dice::new(config.seed),
            config,
            set: ArcSwap::default(),
            queue: Mutex::default(),
            waiting: Arc::default(),
        }
    }

    /// A lease without waiting, if there is a free replica and nobody waits already.
    pub(crate) fn try_lease(&self, avoid: Option<&Endpoint>) -> Option<ReplicaLease> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        choose(&self.set.load().replicas, avoid, &self.dice)
    }

    /// A lease, after its turn in the line.
    pub(crate) async fn wait(self: Arc<Self>, call: Call<'_>) -> Answer {
        let begun = Instant::now();
        let (mut place, starting) = self.join(&call)?;
        self.serve_waiting();

        let deadline = call.deadline.map(Instant::from_std);
        let until = if starting {
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
        let waited = begun.elapsed();
        let lease = answer.unwrap_or_else(|| Err(self.gave_up(waited, deadline == Some(until))))?;
        let mut phases = Phases::default();
        if starting {
            phases.started = waited;
        } else {
            phases.queued = waited;
        }
        Ok(lease.with_phases(phases))
    }

    /// Takes a place at the end of the line; also whether it waits for a replica to start.
    fn join(self: &Arc<Self>, call: &Call<'_>) -> Result<(Place, bool), ResolveError> {
        let mut queue = self.lock();
        if queue.len() >= self.config.queue_len {
            return Err(self.overloaded());
        }
        let (ticket, answer) = queue.join(call.avoid.cloned());
        self.waiting.store(queue.len(), Ordering::Relaxed);
        // Pairs with the fence of a lease that ends.
        fence(Ordering::SeqCst);
        let starting = self.set.load().replicas.is_empty();
        drop(queue);
        let place = Place {
            slot: Arc::clone(self),
            ticket,
            answer,
        };
        Ok((place, starting))
    }

    /// Answers those at the head of the line for whom there is an answer.
    pub(crate) fn serve_waiting(&self) {
        let answers = self.match_waiting(&mut self.lock());
        deliver(answers);
    }

    /// Swaps the replica set for a changed one, and serves those who waited for that.
    fn change(&self, change: impl FnOnce(&mut ReplicaSet)) {
        let mut queue = self.lock();
        let mut set = ReplicaSet::clone(&self.set.load());
        change(&mut set);
        self.set.store(Arc::new(set));
        let answers = self.match_waiting(&mut queue);
        drop(queue);
        deliver(answers);
    }

    fn match_waiting(&self, queue: &mut Queue) -> Vec<(oneshot::Sender<Answer>, Answer)> {
        let set = self.set.load();
        let mut answers = Vec::new();
        while let Some(first) = queue.first() {
            let answer = if set.closed {
                Err(ResolveError::NotFound)
            } else if let Some(lease) = choose(&set.replicas, first.avoid.as_ref(), &self.dice) {
                Ok(lease)
            } else {
                let absent = set.replicas.is_empty().then_some(&set.absence);
                match absent.and_then(|absence| self.absent(absence)) {
                    Some(error) => Err(error),
                    None => break,
                }
            };
            if let Some(waiter) = queue.take_first() {
                answers.push((waiter.answer, answer));
            }
        }
        self.waiting.store(queue.len(), Ordering::Relaxed);
        answers
    }

    /// What calls are told that would wait for nothing.
    fn absent(&self, absence: &Absence) -> Option<ResolveError> {
        let (reason, after) = match absence {
            Absence::Starting { .. } => return None,
            Absence::ScaledToZero => ("scaled to zero", None),
            Absence::Failing {
                reason,
                retry_after,
            } => (reason.as_str(), *retry_after),
        };
        Some(ResolveError::NotReady {
            retry_after: after.or(Some(self.config.retry_after)),
            reason: Some(reason.to_owned()),
        })
    }

    fn overloaded(&self) -> ResolveError {
        ResolveError::Overloaded {
            retry_after: Some(self.config.retry_after),
        }
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
        ResolveError::NotReady {
            retry_after: Some(self.config.retry_after),
            reason: Some(reason),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; were it to, the queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the answers out, without the lock: a lease that nobody takes any more is dropped here,
/// and that serves the next in line.
fn deliver(answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
    for (sender, answer) in answers {
        drop(sender.send(answer));
    }
}

/// A place in the line, given up when dropped.
struct Place {
    slot: Arc<SlotInner>,
    ticket: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Place {
    fn leave(&self) {
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

/// A lease on the less loaded of two replicas picked at random; on any other that takes it where
/// those do not; and only then on one that was just refused by or is to be avoided.
fn choose(
    replicas: &[Arc<ReplicaInner>],
    avoid: Option<&Endpoint>,
    dice: &Dice,
) -> Option<ReplicaLease> {
    let fit =
        |replica: &Arc<ReplicaInner>| avoid != Some(replica.endpoint()) && !replica.is_ejected();
    let start = match replicas {
        [] => return None,
        [only] => return only.try_lease(),
        _ => {
            let (first, second) = dice.pair(replicas.len());
            if let (Some(a), Some(b)) = (replicas.get(first), replicas.get(second)) {
                let better = match (fit(a), fit(b)) {
                    (true, true) if b.in_flight() < a.in_flight() => Some(b),
                    (true, _) => Some(a),
                    (false, true) => Some(b),
                    (false, false) => None,
                };
                if let Some(lease) = better.and_then(ReplicaInner::try_lease) {
                    return Some(lease);
                }
            }
            first
        }
    };
    let from_start = || replicas.iter().cycle().skip(start).take(replicas.len());
    from_start()
        .filter(|replica| fit(replica))
        .find_map(ReplicaInner::try_lease)
        .or_else(|| from_start().find_map(ReplicaInner::try_lease))
}
