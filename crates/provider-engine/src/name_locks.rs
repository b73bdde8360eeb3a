//! One operation at a time on a function; any number on different ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use provider_types::FunctionRef;
use tokio::sync::OwnedMutexGuard;

type Locks = HashMap<FunctionRef, Arc<tokio::sync::Mutex<()>>>;

/// A lock for each name that is being worked on.
#[derive(Debug, Default)]
pub(crate) struct NameLocks(Mutex<Locks>);

/// The right to change a function.
#[derive(Debug)]
pub(crate) struct NameGuard<'a> {
    locks: &'a NameLocks,
    function: FunctionRef,
    held: Option<OwnedMutexGuard<()>>,
}

impl NameLocks {
    /// Waits for its turn, first come, first served.
    pub(crate) async fn lock(&self, function: &FunctionRef) -> NameGuard<'_> {
        let lock = Arc::clone(self.locks().entry(function.clone()).or_default());
        let mut guard = NameGuard {
            locks: self,
            function: function.clone(),
            held: None,
        };
        guard.held = Some(lock.lock_owned().await);
        guard
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameGuard<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut locks = self.locks.locks();
        // Those who wait hold a count too.
        if locks
            .get(&self.function)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.function);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use provider_types::Namespace;

    use super::*;

    fn function(name: &str) -> FunctionRef {
        FunctionRef::parse_dotted(name, &Namespace::default()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_name_waits_another_does_not_and_nothing_is_left() {
        let locks = NameLocks::default();
        let held = locks.lock(&function("a")).await;
        let other = locks.lock(&function("b")).await;
        let a = function("a");
        let second = tokio::time::timeout(Duration::from_secs(1), locks.lock(&a));
        assert!(second.await.is_err());
        drop(held);
        drop(locks.lock(&function("a")).await);
        drop(other);
        assert!(locks.locks().is_empty());
    }
}
