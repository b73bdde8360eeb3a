//! A watchdog that waits for its instance: starting one takes as long as starting a small program,
//! so that a call which wakes a function would wait twice as long as it must.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::instance::Started;

/// A new one is started so long after there is none, out of the way of what goes on then.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// At most one watchdog in stock. It ends with the provider, as every watchdog does.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Stock>);

#[derive(Debug, Default)]
struct Stock {
    watchdog: Option<Started>,
    /// Somebody is about to put one in.
    ordered: bool,
}

impl Spare {
    /// Takes it, if there is one and it has not ended.
    pub(crate) fn take(&self) -> Option<Started> {
        let mut watchdog = self.stock().watchdog.take()?;
        watchdog.call().is_ok().then_some(watchdog)
    }

    /// Whether there is none; then it is the caller who has to put one in.
    pub(crate) fn order(&self) -> bool {
        let mut stock = self.stock();
        let lacking = stock.watchdog.is_none() && !stock.ordered;
        stock.ordered |= lacking;
        lacking
    }

    /// Puts in what was ordered, if it could be had.
    pub(crate) fn put(&self, watchdog: Option<Started>) {
        let mut stock = self.stock();
        stock.ordered = false;
        stock.watchdog = watchdog;
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
