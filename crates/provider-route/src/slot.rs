//! One function: its replicas, the choice among them, and the calls that wait.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use provider_types::{Endpoint, FunctionRef, ResolveError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::choice::choose;
use super::config::TableConfig;
use super::dice::Dice;
use super::queue::{Answer, Queue, Refused, Waking};
use super::replica::{Replica, ReplicaInner, ReplicaLease};
use super::sync::{ArcSwap, AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

/// Why a function has no replica, and so what its calls do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absence {
    /// One is starting: calls wait for it.
    Starting {
        /// What it lacks, for a client that has waited in vain: one line, no host paths.
        reason: Option<String>,
    },
    /// None is wanted: calls are refused at once, or wake the function where they come by way of an
    /// [`Activator`](crate::Activator).
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
    pub(crate) function: FunctionRef,
    pub(crate) config: Arc<TableConfig>,
    /// Swapped whole, by whoever holds `queue`; calls read it without a lock.
    pub(crate) set: ArcSwap<ReplicaSet>,
    queue: Mutex<Queue>,
    /// The length of `queue`, to be read without its lock.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// There was a call since somebody asked, and no replica to tell of it: it had to wait, or its
    /// replica was removed.
    pub(crate) touched: AtomicBool,
    dice: Dice,
}

#[derive(Clone, Default)]
pub(crate) struct ReplicaSet {
    pub(crate) replicas: Vec<Arc<ReplicaInner>>,
    pub(crate) absence: Absence,
    /// Taken out of the table.
    pub(crate) closed: bool,
}

impl ReplicaSet {
    /// No replica, and none wanted.
    pub(crate) fn is_asleep(&self) -> bool {
        self.replicas.is_empty() && !self.closed && self.absence == Absence::ScaledToZero
    }
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
        if replica.0.take_used() {
            self.0.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Sends no further call to a replica that may come back: see [`Slot::resume`]. Those in flight go
    /// on, and it does not drain.
    pub fn suspend(&self, replica: &Replica) {
        self.0
            .change(|set| set.replicas.retain(|kept| !Arc::ptr_eq(kept, &replica.0)));
    }

    /// Sends calls to a suspended replica again, under the limit that it had: those still in flight
    /// count. One that was removed meanwhile stays away.
    pub fn resume(&self, replica: &Replica) {
        self.0.change(|set| {
            let present = set
                .replicas
                .iter()
                .any(|kept| Arc::ptr_eq(kept, &replica.0));
            if !present && !set.closed && !replica.0.is_draining() {
                set.replicas.push(Arc::clone(&replica.0));
            }
        });
    }

    /// Says why there is no replica, for as long as there is none.
    pub fn set_absence(&self, absence: Absence) {
        if self.0.set.load().absence != absence {
            self.0.change(|set| set.absence = absence);
        }
    }

    /// Says that an instance was just started, for the phases of the calls that wait for it to get
    /// ready.
    pub fn note_started(&self) {
        self.0.lock().started_at = Some(Instant::now());
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

    /// Whether a call is in flight or waits, or one came since this was asked last: what an
    /// [`Idler`](crate::Idler) wants to know.
    ///
    /// Exact, and free of cost for calls. Ask from one place only.
    #[must_use]
    pub fn take_activity(&self) -> bool {
        let set = self.0.set.load();
        // Each is to forget, whatever the others say.
        let mut active = self.0.touched.swap(false, Ordering::Relaxed);
        for replica in &set.replicas {
            active |= replica.take_used();
        }
        active || self.waiting() > 0
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
            touched: AtomicBool::default(),
        }
    }

    /// A lease without waiting, if there is a free replica and nobody waits already.
    pub(crate) fn try_lease(&self, avoid: Option<&Endpoint>) -> Option<ReplicaLease> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        choose(&self.set.load().replicas, avoid, &self.dice)
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
        if !set.is_asleep() {
            queue.waking = Waking::No;
        }
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
                Err(Refused::Error(ResolveError::NotFound))
            } else if let Some(lease) = choose(&set.replicas, first.avoid.as_ref(), &self.dice) {
                Ok(lease)
            } else if !set.replicas.is_empty() {
                break;
            } else {
                match &set.absence {
                    Absence::Starting { .. } => break,
                    Absence::ScaledToZero if queue.waking.is_under_way() => break,
                    Absence::ScaledToZero => Err(Refused::Asleep),
                    Absence::Failing {
                        reason,
                        retry_after,
                    } => Err(Refused::Error(self.not_ready(reason, *retry_after))),
                }
            };
            if let Some(waiter) = queue.take_first() {
                answers.push((waiter.answer, answer));
            }
        }
        self.waiting.store(queue.len(), Ordering::Relaxed);
        answers
    }

    /// What a wish to wake the function came to.
    pub(crate) fn woken(&self, answer: Result<(), ResolveError>) {
        let mut queue = self.lock();
        let mut answers = Vec::new();
        match answer {
            Ok(()) => {
                let now = Instant::now();
                queue.woken_at = Some(now);
                if queue.waking == Waking::Asking {
                    queue.waking = Waking::Taken(now);
                }
            }
            Err(error) if self.set.load().is_asleep() => {
                queue.waking = Waking::No;
                while let Some(waiter) = queue.take_first() {
                    let error = Err(Refused::Error(same(&error)));
                    answers.push((waiter.answer, error));
                }
                self.waiting.store(0, Ordering::Relaxed);
            }
            // It got replicas all the same.
            Err(_) => {}
        }
        drop(queue);
        deliver(answers);
    }

    /// What calls are told that would wait for nothing.
    pub(crate) fn not_ready(&self, reason: &str, after: Option<Duration>) -> ResolveError {
        ResolveError::NotReady {
            retry_after: after.or(Some(self.config.retry_after)),
            reason: Some(reason.to_owned()),
        }
    }

    pub(crate) fn overloaded(&self) -> ResolveError {
        ResolveError::Overloaded {
            retry_after: Some(self.config.retry_after),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; were it to, the queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each of those who wait gets the error that ended their wait.
fn same(error: &ResolveError) -> ResolveError {
    match error {
        ResolveError::NotReady {
            retry_after,
            reason,
        } => ResolveError::NotReady {
            retry_after: *retry_after,
            reason: reason.clone(),
        },
        _ => ResolveError::NotFound,
    }
}

/// Hands the answers out, without the lock: a lease that nobody takes any more is dropped here,
/// and that serves the next in line.
fn deliver(answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
    for (sender, answer) in answers {
        drop(sender.send(answer));
    }
}
