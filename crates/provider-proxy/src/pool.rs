//! Idle connections, by endpoint. A pool belongs to one proxy and one worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use provider_types::Endpoint;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::upstream::Connection;

/// Servers close idle connections after 5 s and more (Node; of-watchdog after its read timeout),
/// so we do it before them: a connection is gone between these two ages.
const OLDEST_USED: Duration = Duration::from_millis(4000);
const SWEEP: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Pool {
    /// How many connections per endpoint are kept idle at most.
    max_idle: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Per endpoint the idle connections, the one used last at the end.
    idle: FxHashMap<Endpoint, Vec<Idle>>,
    /// Whether a task closes connections that get too old.
    swept: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_idle: usize) -> Arc<Self> {
        Arc::new(Self {
            max_idle,
            state: Mutex::default(),
        })
    }

    /// The idle connection used last.
    pub(crate) fn take(&self, endpoint: &Endpoint, now: Instant) -> Option<Connection> {
        let mut state = self.lock();
        let stack = state.idle.get_mut(endpoint)?;
        while let Some(Idle { connection, since }) = stack.pop() {
            if now.duration_since(since) < OLDEST_USED {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection that is ready for its next call. Must be called on a tokio runtime.
    pub(crate) fn put(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        mut connection: Connection,
        now: Instant,
    ) {
        connection.rest_in_pool();
        let idle = Idle {
            connection,
            since: now,
        };
        let mut state = self.lock();
        match state.idle.get_mut(endpoint) {
            Some(stack) if stack.len() < self.max_idle => stack.push(idle),
            Some(_) => {}
            None if self.max_idle > 0 => {
                state.idle.insert(endpoint.clone(), vec![idle]);
            }
            None => {}
        }
        if !state.swept && !state.idle.is_empty() {
            state.swept = true;
            drop(state);
            tokio::spawn(sweep(Sweeper(Arc::downgrade(self))));
        }
    }

    /// Closes what is too old; true if nothing is left.
    fn close_old(&self) -> bool {
        let mut state = self.lock();
        state.idle.retain(|_, stack| {
            stack.retain(|idle| idle.since.elapsed() < OLDEST_USED);
            !stack.is_empty()
        });
        let empty = state.idle.is_empty();
        if empty {
            // While the lock is held, so that the next connection finds nobody sweeping.
            state.swept = false;
        }
        empty
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half-done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes idle connections until there are none; a new one starts with the next.
async fn sweep(sweeper: Sweeper) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match sweeper.0.upgrade() {
            Some(pool) => {
                if pool.close_old() {
                    return;
                }
            }
            None => return,
        }
    }
}

/// Says when it is gone, even if its runtime ended before it.
struct Sweeper(Weak<Pool>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.lock().swept = false;
        }
    }
}
