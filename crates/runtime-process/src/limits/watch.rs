//! Limits where there are no control groups: the processes of all instances are looked at from time
//! to time, and an instance above a limit is ended.
//!
//! One look serves all instances. It is taken often while a function works and seldom while all
//! are idle, and never so often that looking takes more than a twentieth of a core. So a limit can
//! be overstepped for as long as the pause between two looks: [`LONGEST_PAUSE`] by a function that
//! was idle, [`SHORTEST_PAUSE`] by one that was at work, more where there are thousands of
//! processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provider_types::ExitReason;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Bounds;
use crate::processes::{self, Process, Usage};

/// Between two looks while something is at work.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Between two looks while nothing is.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A pause is at least so many times as long as a look.
const LOOK_SHARE: u32 = 20;

/// A look is as good as new for so long.
const FRESH: Duration = Duration::from_millis(100);

/// Looks at instances. Nothing runs while there is none to look at.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the process id of their watchdogs.
    watched: HashMap<i32, Watched>,
    running: bool,
    last_look: Option<(Instant, Arc<Vec<Process>>)>,
}

#[derive(Debug)]
struct Watched {
    bounds: Bounds,
    ticks: u64,
    tell: oneshot::Sender<ExitReason>,
}

/// Ends the watch when nobody waits for it any more.
struct Leaves<'a> {
    watcher: &'a Watcher,
    watchdog: i32,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.watcher.state().watched.remove(&self.watchdog);
    }
}

// === impl Watcher ===

impl Watcher {
    /// Waits until an instance is above a limit, and says which.
    pub(crate) async fn breached(self: &Arc<Self>, watchdog: i32, bounds: Bounds) -> ExitReason {
        let (tell, told) = oneshot::channel();
        let watched = Watched {
            bounds,
            ticks: 0,
            tell,
        };
        let start = {
            let mut state = self.state();
            state.watched.insert(watchdog, watched);
            !std::mem::replace(&mut state.running, true)
        };
        let _leaves = Leaves {
            watcher: self,
            watchdog,
        };
        if start {
            tokio::spawn(watch(self.clone()));
        }
        match told.await {
            Ok(reason) => reason,
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn usage(&self, watchdog: i32) -> Option<Usage> {
        let fresh = {
            let state = self.state();
            let last = state.last_look.as_ref();
            last.filter(|(at, _)| at.elapsed() < FRESH)
                .map(|(_, seen)| seen.clone())
        };
        let seen = fresh.unwrap_or_else(|| self.look());
        processes::usage(watchdog, &seen)
    }

    fn look(&self) -> Arc<Vec<Process>> {
        let seen = Arc::new(processes::all());
        self.state().last_look = Some((Instant::now(), seen.clone()));
        seen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those that are above a limit; true where something worked since the last time.
    fn judge(&self, seen: &[Process]) -> bool {
        let mut state = self.state();
        let mut works = false;
        let mut above = Vec::new();
        for (watchdog, watched) in &mut state.watched {
            let members = processes::below(&[*watchdog], seen);
            let ticks = processes::ticks(*watchdog, &members, seen);
            works |= ticks != watched.ticks;
            watched.ticks = ticks;
            if let Some(reason) = breach(&members, &watched.bounds) {
                above.push((*watchdog, reason));
            }
        }
        for (watchdog, reason) in above {
            if let Some(watched) = state.watched.remove(&watchdog) {
                // Nobody waits where it has just ended.
                let _ = watched.tell.send(reason);
            }
        }
        works
    }
}

async fn watch(watcher: Arc<Watcher>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        {
            let mut state = watcher.state();
            if state.watched.is_empty() {
                state.running = false;
                state.last_look = None;
                return;
            }
        }
        let began = Instant::now();
        let looker = watcher.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let seen = looker.look();
            looker.judge(&seen)
        });
        let works = looked.await.unwrap_or(true);
        pause = next_pause(pause, works, began.elapsed());
    }
}

fn next_pause(last: Duration, works: bool, look: Duration) -> Duration {
    let wanted = if works {
        SHORTEST_PAUSE
    } else {
        (last * 2).min(LONGEST_PAUSE)
    };
    wanted.max(look * LOOK_SHARE)
}

/// Which limit the processes of an instance are above. The watchdog is not among them.
fn breach(members: &[Process], bounds: &Bounds) -> Option<ExitReason> {
    let count: u64 = members.iter().map(|process| process.threads).sum();
    if count > bounds.processes {
        return Some(ExitReason::LimitExceeded(format!(
            "it had {count} processes and threads, and may have {}",
            bounds.processes
        )));
    }
    let limit = bounds.memory?;
    // Pages that several processes share are counted once, which takes a while to find out.
    let above = processes::resident_bytes(members) > limit
        && processes::proportional_bytes(members) > limit;
    above.then_some(ExitReason::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_frequent_while_something_works_and_cost_little() {
        let ms = Duration::from_millis;
        assert_eq!(next_pause(ms(500), true, ms(1)), SHORTEST_PAUSE);
        assert_eq!(next_pause(ms(50), false, ms(1)), ms(100));
        assert_eq!(next_pause(ms(400), false, ms(1)), LONGEST_PAUSE);
        assert_eq!(next_pause(ms(50), true, ms(40)), ms(800));
    }
}
