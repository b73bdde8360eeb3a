//! The side of the version that goes.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use provider_types::ProviderError;

use super::link::Link;
use super::{Message, PROTOCOL, PassedSocket, Serving, SocketNote, unexpected};
use crate::control::ControlRequest;
use crate::engine::Engine;
use crate::function::{Function, Signal};
use crate::inner::Inner;

/// How long the new version may take before it asks for the state: it binds addresses until then.
const PREPARES: Duration = Duration::from_secs(30);

/// How long it may take until its functions answer. It gives up earlier by itself.
const STARTS: Duration = Duration::from_secs(10 * 60);

/// How long operations that run may take to end.
const OPERATIONS_END: Duration = Duration::from_secs(8);

/// How often to see whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After so many looks it is odd that it is not.
const COMPLAIN_AFTER: u32 = 250;

/// How long a connection that a client keeps may bring one more call after the server was told to
/// stop, and a little.
const LAST_CALLS: Duration = Duration::from_millis(1500);

/// Passes the sockets of a server to another process.
pub trait PassSockets: Send + Sync {
    /// Copies of all sockets, which the other process may serve later. Nothing changes for clients.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    fn copies(&self) -> io::Result<Vec<PassedSocket>>;

    /// The other process serves these from now on, by their place among the copies.
    fn give(&self, taken: &[usize]);

    /// The other process serves none of them after all.
    fn take_back(&self);
}

/// A hand-over that came about: this process is to take no more connections, finish its calls and
/// end. Dropping it tells the new version that nothing is left here.
pub struct Given {
    link: Link,
    inner: Arc<Inner>,
}

impl Engine {
    /// Hands over to the process that asks for it ([`TakeOver`](super::TakeOver)).
    ///
    /// Calls are served all the while. Operations wait, and are refused when that takes long. When
    /// the hand-over does not come about, everything is as it was before.
    ///
    /// # Errors
    /// Why it did not come about, for the log: the caller has been told.
    pub async fn hand_over(
        &self,
        request: ControlRequest,
        sockets: &dyn PassSockets,
    ) -> io::Result<Given> {
        let inner = &self.inner;
        if let Some(why) = self.refusal(&request.request) {
            request.refuse(&why).await?;
            return Err(io::Error::other(why));
        }
        let Ok(_only_one) = inner.handing_over.try_lock() else {
            let why = "another hand-over is under way";
            request.refuse(why).await?;
            return Err(io::Error::other(why));
        };
        let mut link = Link::new(request.accept().await?)?;
        match agree(inner, &mut link, sockets).await {
            Ok(taken) => {
                inner.given.send_replace(true);
                sockets.give(&taken);
                Ok(Given {
                    link,
                    inner: Arc::clone(inner),
                })
            }
            Err(error) => {
                sockets.take_back();
                // Whoever is still there has to let go before the lock can be taken again.
                drop(link);
                inner.resume().await;
                Err(error)
            }
        }
    }

    fn refusal(&self, request: &str) -> Option<String> {
        let theirs = request.split(' ').nth(1).unwrap_or_default();
        (theirs != PROTOCOL.to_string()).then(|| {
            format!(
                "the running version speaks version {PROTOCOL} of the hand-over and not \
                 {theirs:?}: stop it, and start the new one after that"
            )
        })
    }
}

/// Talks it through, up to `Yours`; says which of the sockets the other one serves.
async fn agree(
    inner: &Inner,
    link: &mut Link,
    sockets: &dyn PassSockets,
) -> io::Result<Vec<usize>> {
    let copies = sockets.copies()?;
    let notes = copies.iter().map(|socket| SocketNote {
        purpose: socket.purpose.clone(),
        requested: socket.requested.clone(),
        owns_file: socket.owns_file,
        descriptors: socket.descriptors.len(),
    });
    let sockets = notes.collect();
    link.send(&Message::Offer { sockets }).await?;
    for descriptor in copies.iter().flat_map(|socket| &socket.descriptors) {
        link.send_descriptor(descriptor.as_fd()).await?;
    }
    drop(copies);
    match heard(link, PREPARES).await? {
        Some(Message::Release) => {}
        other => return Err(unexpected(other.as_ref())),
    }
    if let Err(error) = inner.release().await {
        let why = error.message().to_owned();
        link.send(&Message::Refused { why: why.clone() }).await?;
        return Err(io::Error::other(why));
    }
    let functions = inner.serving();
    link.send(&Message::Released { functions }).await?;
    let taken = match heard(link, STARTS).await? {
        Some(Message::Ready { taken }) => taken,
        other => return Err(unexpected(other.as_ref())),
    };
    // When it cannot be said, nobody is there to hear it: then the sockets stay ours.
    link.send(&Message::Yours).await?;
    Ok(taken)
}

async fn heard(link: &mut Link, patience: Duration) -> io::Result<Option<Message>> {
    let heard = tokio::time::timeout(patience, link.receive()).await;
    heard.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

impl Given {
    /// Ends the functions that can run only once at a time, as soon as no more calls for them can
    /// come here, and tells the new version of each. To be driven while the server drains.
    pub async fn let_go(&mut self) {
        tokio::time::sleep(LAST_CALLS).await;
        let only_once = |function: &Arc<Function>| function.state().runs_only_once();
        let mut leaving: FuturesUnordered<_> = self
            .inner
            .all_functions()
            .into_iter()
            .filter(only_once)
            .map(|function| async move {
                function.state().leaving = true;
                function.signal(Signal::Changed);
                function.left().await;
                function.function.to_string()
            })
            .collect();
        while let Some(function) = leaving.next().await {
            // One that has ended meanwhile needs no news.
            let _ = self.link.send(&Message::Left { function }).await;
        }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// Lets no operation begin, waits for those that run, and lets go of the state.
    async fn release(&self) -> Result<(), ProviderError> {
        let gate = Arc::clone(&self.gate).write_owned();
        let gate = tokio::time::timeout(OPERATIONS_END, gate)
            .await
            .map_err(|_| {
                ProviderError::unavailable("an operation does not end: try again later")
            })?;
        // Kept first: whatever happens next, `resume` undoes it.
        *lock(&self.shut) = Some(gate);
        self.stored(|store| {
            store.release();
            Ok(())
        })
        .await?;
        self.unlock().map_err(|error| {
            ProviderError::internal("the state directory could not be unlocked").with_cause(error)
        })
    }

    /// Takes the state again, when nobody else has it, and lets operations begin.
    async fn resume(&self) {
        if lock(&self.shut).is_none() {
            return;
        }
        let mut tries = 0_u32;
        while !self.lock_again() {
            tries += 1;
            if tries == COMPLAIN_AFTER {
                tracing::error!(
                    "the hand-over did not come about and another process holds the state \
                     directory: calls are served, operations are refused until it lets go"
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let resumed = self.stored(|store| store.resume()).await;
        if let Err(error) = resumed {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the state could not be written after a hand-over that did not come about"
            );
        }
        drop(lock(&self.shut).take());
        tracing::warn!("the hand-over did not come about: this version goes on");
    }

    /// What answers here now.
    fn serving(&self) -> Vec<Serving> {
        let serving = |function: &Arc<Function>| {
            let state = function.state();
            Serving {
                function: function.function.to_string(),
                ready: state.available(),
                only_once: state.runs_only_once(),
            }
        };
        self.all_functions().iter().map(serving).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
