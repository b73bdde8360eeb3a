//! The side of the version that goes.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use provider_types::{LogOutput, ProviderError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::link::Link;
use super::{LinesNote, Message, PROTOCOL, PassedSocket, Serving, SocketNote, unexpected};
use crate::control::ControlRequest;
use crate::engine::Engine;
use crate::function::{Function, Signal};
use crate::inner::Inner;

/// How long the new version may take before it asks for the state: it binds addresses until then.
const PREPARES: Duration = Duration::from_secs(30);

/// How long it may take until its functions answer. It gives up earlier by itself.
const STARTS: Duration = Duration::from_secs(10 * 60);

/// How long a hand-over waits for one that is under way: it may be one that failed and is undone.
const UNDONE: Duration = Duration::from_secs(3);

/// How long operations that run may take to end.
const OPERATIONS_END: Duration = Duration::from_secs(8);

/// How often to see whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After so many looks it is odd that it is not.
const COMPLAIN_AFTER: u32 = 250;

/// How long a connection that a client keeps may bring one more call after the server was told to
/// stop, and a little.
const LAST_CALLS: Duration = Duration::from_millis(1500);

/// How often lines are passed on.
const LINES_EVERY: Duration = Duration::from_millis(100);
/// How long the last of them may take.
const LAST_LINES: Duration = Duration::from_secs(2);

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
/// end. Meanwhile the new version gets what functions still write, and hears of those that it may
/// start now. [`Given::finish`] is the last thing; dropping it ends that at once.
#[derive(Debug)]
pub struct Given {
    over: oneshot::Sender<()>,
    task: JoinHandle<()>,
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
        if let Some(why) = refusal(&request) {
            request.refuse(&why).await?;
            return Err(io::Error::other(why));
        }
        // One that has just failed is undone in a moment.
        let only_one = tokio::time::timeout(UNDONE, inner.handing_over.lock()).await;
        let Ok(_only_one) = only_one else {
            let why = "another hand-over is under way";
            request.refuse(why).await?;
            return Err(io::Error::other(why));
        };
        let mut link = Link::new(request.accept().await?)?;
        match agree(inner, &mut link, sockets).await {
            Ok(taken) => {
                inner.given.send_replace(true);
                sockets.give(&taken);
                let (over, ended) = oneshot::channel();
                let task = tokio::spawn(let_go(link, Arc::clone(inner), ended));
                Ok(Given { over, task })
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
}

/// Why a caller is not handed over to at all.
fn refusal(request: &ControlRequest) -> Option<String> {
    if !request.is_same_user() {
        return Some("only the user that runs the provider may take it over".to_owned());
    }
    let theirs = request.request.split(' ').nth(1).unwrap_or_default();
    (theirs != PROTOCOL.to_string()).then(|| {
        format!(
            "the running version speaks version {PROTOCOL} of the hand-over and not {theirs:?}: \
             stop it, and start the new one after that"
        )
    })
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
    /// Tells the new version that nothing is left here. To be called when the engine was shut down.
    pub async fn finish(self) {
        // It has ended already where the new version has.
        let _ = self.over.send(());
        let _ = tokio::time::timeout(LAST_LINES, self.task).await;
    }
}

/// Ends the functions that can run only once at a time, as soon as no more calls for them can come
/// here, and passes on what all functions write, until it is told that that is all.
async fn let_go(mut link: Link, inner: Arc<Inner>, mut ended: oneshot::Receiver<()>) {
    let last_calls = tokio::time::sleep(LAST_CALLS);
    let mut last_calls = std::pin::pin!(last_calls);
    let mut leaving = FuturesUnordered::new();
    let mut begun = false;
    let mut look = tokio::time::interval(LINES_EVERY);
    loop {
        let left = tokio::select! {
            () = last_calls.as_mut(), if !begun => {
                begun = true;
                leaving.extend(leave(&inner));
                None
            }
            Some(function) = leaving.next() => Some(function),
            _ = look.tick() => None,
            _ = &mut ended => {
                let _ = pass_lines(&mut link, &inner).await;
                return;
            }
        };
        let mut said = pass_lines(&mut link, &inner).await;
        if let (Ok(()), Some(function)) = (&said, left) {
            said = link.send(&Message::Left { function }).await;
        }
        if let Err(error) = said {
            tracing::warn!(%error, "the new version is gone: the last log lines are lost");
            return;
        }
    }
}

/// Has the functions that can run only once leave; each resolves when it has.
fn leave(inner: &Inner) -> impl Iterator<Item = impl Future<Output = String>> {
    let only_once = |function: &Arc<Function>| function.state().runs_only_once();
    let functions = inner.all_functions().into_iter().filter(only_once);
    functions.map(|function| async move {
        function.state().leaving = true;
        function.signal(Signal::Changed);
        function.left().await;
        function.function.to_string()
    })
}

async fn pass_lines(link: &mut Link, inner: &Inner) -> io::Result<()> {
    for passed in inner.logs.take_waiting() {
        let since = passed
            .chunk
            .timestamp
            .duration_since(SystemTime::UNIX_EPOCH);
        let note = LinesNote {
            function: passed.function.to_string(),
            instance: passed.instance.to_string(),
            at: since.unwrap_or_default(),
            stderr: passed.chunk.output == LogOutput::Stderr,
            dropped: passed.chunk.dropped,
            bytes: passed.chunk.lines.len(),
        };
        link.send(&Message::Lines(note)).await?;
        link.send_bytes(&passed.chunk.lines).await?;
    }
    Ok(())
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
        self.logs.pause().await;
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
        self.logs.resume().await;
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
