//! Calls that wait for a replica, first come, first served.

use std::collections::VecDeque;

use provider_types::{Endpoint, ResolveError};
use tokio::sync::oneshot;

use crate::replica::ReplicaLease;

/// What a waiting call is told.
pub(crate) type Answer = Result<ReplicaLease, ResolveError>;

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
