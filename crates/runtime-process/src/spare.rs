//! A watchdog that waits for its instance: starting one takes as long as starting a small program,
//! so that a call which wakes a function would wait twice as long as it must.
//!
//! One waits while some function sleeps, and none where all run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::instance::Started;

/// So long after it is ordered one is started, unless an instance was meanwhile: then its function
/// did not sleep.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// At most one watchdog in stock. It ends with the provider, as every watchdog does.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Stock>);

#[derive(Debug, Default)]
struct Stock {
    watchdog: Option<Started>,
    ordered: bool,
    /// How many instances were started.
    starts: u64,
}

/// Something that is wanted until the next start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order(u64);

impl Spare {
    /// Takes it for an instance, if there is one and it has not ended.
    pub(crate) fn take(&self) -> Option<Started> {
        let mut stock = self.stock();
        stock.starts += 1;
        stock.ordered = false;
        let mut watchdog = stock.watchdog.take()?;
        watchdog.call().is_ok().then_some(watchdog)
    }

    /// An order, where there is none and no watchdog.
    pub(crate) fn order(&self) -> Option<Order> {
        let mut stock = self.stock();
        if stock.ordered || stock.watchdog.is_some() {
            return None;
        }
        stock.ordered = true;
        Some(Order(stock.starts))
    }

    pub(crate) fn is_wanted(&self, order: Order) -> bool {
        self.stock().wants(order)
    }

    /// Puts in what was ordered, if it could be had and is still wanted.
    pub(crate) fn put(&self, order: Order, watchdog: Option<Started>) {
        let mut stock = self.stock();
        if stock.wants(order) {
            stock.ordered = false;
            stock.watchdog = watchdog;
        }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    fn wants(&self, order: Order) -> bool {
        self.ordered && self.starts == order.0
    }
}
