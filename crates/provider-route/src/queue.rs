//! Calls that wait for a replica, first come, first served.

use std::collections::VecDeque;
use std::time::Duration;

use provider_types::{Endpoint, ResolveError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::replica::ReplicaLease;

/// A back-end that took the wish to wake a function and shows nothing of it is asked once more, by
/// the next call, after this long.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a waiting call is told.
pub(crate) type Answer = Result<ReplicaLease, Refused>;

/// Why a waiting call gets no lease.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The function has no replica and none is wanted: who can wake it may do so.
    Asleep,
    /// For good.
    Error(ResolveError),
}

/// A waiting call.
pub(crate) struct Waiter {
    ticket: u64,
    pub(crate) avoid: Option<Endpoint>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The waiting calls of one function.
#[derive(Default)]
pub(crate) struct Queue {
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
    pub(crate) waking: Waking,
    /// When a wish to wake the function was last taken.
    pub(crate) woken_at: Option<Instant>,
    /// When an instance was last started.
    pub(crate) started_at: Option<Instant>,
}

/// Whether a function that is asleep is being woken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Waking {
    /// Nobody asked for that.
    #[default]
    No,
    /// Somebody asks.
    Asking,
    /// That was taken, then; nothing has come of it yet.
    Taken(Instant),
}

impl Waking {
    /// Whether calls may wait for a function that is asleep.
    pub(crate) fn is_under_way(self) -> bool {
        self != Self::No
    }

    /// Whether the one who asks this is to wake the function; true once, until that failed or
    /// nothing came of it.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = match *self {
            Self::No => true,
            Self::Asking => false,
            Self::Taken(at) => at.elapsed() >= ASK_AGAIN,
        };
        if begins {
            *self = Self::Asking;
        }
        begins
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn first(&self) -> Option<&Waiter> {
        self.waiters.front()
    }

    pub(crate) fn take_first(&mut self) -> Option<Waiter> {
        self.waiters.pop_front()
    }

    /// Puts a call at the end; its ticket finds it again.
    pub(crate) fn join(&mut self, avoid: Option<Endpoint>) -> (u64, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back(Waiter {
            ticket,
            avoid,
            answer,
        });
        (ticket, receiver)
    }

    /// Takes a call out of the line; false when it was answered already.
    pub(crate) fn give_up(&mut self, ticket: u64) -> bool {
        // Tickets rise from front to back.
        match self
            .waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
        {
            Ok(place) => self.waiters.remove(place).is_some(),
            Err(_) => false,
        }
    }
}
