//! Whether the server is on its way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

/// Says that a server stops. Asking whether it does is a load, so every call may.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining {
    begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Draining {
    /// The same for one worker: waiting for it takes no lock that other workers take.
    pub(crate) fn for_worker(&self) -> Self {
        Self {
            begun: Arc::clone(&self.begun),
            token: self.token.child_token(),
        }
    }

    pub(crate) fn begin(&self) {
        // Before anybody is woken, so that who is woken finds it set.
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until it has begun.
    pub(crate) fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    pub(crate) fn begun_owned(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }
}
