//! The side of the version that comes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use provider_types::{LogChunk, LogOutput, Runtime};
use tokio::net::UnixStream;

use super::link::{Link, is_end};
use super::{Message, PROTOCOL, PassedSocket, REQUEST, Serving, unexpected};
use crate::config::EngineConfig;
use crate::control::control;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::function::Function;
use crate::inner::Inner;
use crate::state_dir::StateDir;

/// How long a provider that has just taken over may take until it can be asked itself.
const APPEARS: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long the lock of a provider that was killed may take to be free.
const ENDS: Duration = Duration::from_secs(1);

/// How long its functions may take beyond the time that an instance has to get ready.
const MORE: Duration = Duration::from_secs(30);

/// Why a running provider is not taken over. It goes on as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// The running provider cannot be asked, or refuses.
    #[error("the provider that runs on {} was not taken over", path.display())]
    Asking {
        /// Its state directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A function that answers there does not get ready here.
    #[error(
        "function {function} answers in the running provider and does not get ready in this one: \
         {why}; the running one goes on"
    )]
    Function {
        /// Its name and namespace.
        function: String,
        /// What happened instead.
        why: String,
    },
}

/// A take-over that has begun: the running provider goes on until [`TakeOver::complete`], and if
/// this is dropped before.
#[derive(Debug)]
pub struct TakeOver {
    link: Link,
    path: PathBuf,
    sockets: Vec<PassedSocket>,
    /// What answers in the running provider, once that has let go of the state.
    functions: Vec<Serving>,
}

impl TakeOver {
    /// Asks the provider that runs on a state directory for its sockets; `None` where none runs.
    /// Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub async fn ask(state_dir: &Path) -> Result<Option<Self>, TakeOverError> {
        let asked = ask(state_dir).await;
        asked.map_err(|source| TakeOverError::Asking {
            path: state_dir.to_owned(),
            source,
        })
    }

    /// The sockets of the running provider, to be served once [`TakeOver::complete`] is done. They
    /// can be taken once.
    pub fn sockets(&mut self) -> Vec<PassedSocket> {
        std::mem::take(&mut self.sockets)
    }

    /// Waits until all functions answer that answer in the running provider. Until this is done the
    /// take-over may be dropped, and the running provider goes on.
    ///
    /// # Errors
    /// When a function does not get ready.
    pub async fn ready(&self, engine: &Engine) -> Result<(), TakeOverError> {
        let inner = &engine.inner;
        let patience = inner.config.ready_timeout.saturating_add(MORE);
        let ready = self.functions.iter().map(|it| ready(inner, it, patience));
        try_join_all(ready).await.map(drop)
    }

    /// Has the running provider stop taking connections, once all is [ready](Self::ready). `taken`
    /// says which sockets are served from now on, by their place in [`TakeOver::sockets`].
    ///
    /// # Errors
    /// When the running provider cannot be told.
    pub async fn complete(
        mut self,
        engine: &Arc<Engine>,
        taken: Vec<usize>,
    ) -> Result<(), TakeOverError> {
        let inner = Arc::clone(&engine.inner);
        match self.agree(taken).await {
            Ok(()) => {}
            // It has ended by itself, so all is ours already.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::warn!("the version before ended before it was told to");
            }
            Err(source) => {
                let path = self.path;
                return Err(TakeOverError::Asking { path, source });
            }
        }
        let engine = Arc::clone(&inner);
        inner.spawn(async move {
            if let Err(error) = follow(&engine, self.link).await {
                tracing::warn!(%error, "the version before ended early");
            }
            // Whatever happened: all that it had has left.
            engine.let_start(|_| true);
        });
        Ok(())
    }

    async fn agree(&mut self, taken: Vec<usize>) -> io::Result<()> {
        match self.link.send(&Message::Ready { taken }).await {
            Err(error) if is_end(&error) => return Err(unexpected(None)),
            said => said?,
        }
        match self.link.receive().await? {
            Some(Message::Yours) => Ok(()),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// Has the running provider let go of the state. One that ends instead has let go of it too.
    async fn release(&mut self) -> io::Result<()> {
        match self.ask_for_state().await {
            Ok(functions) => self.functions = functions,
            Err(error) if is_end(&error) && has_ended(&self.path).await? => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn ask_for_state(&mut self) -> io::Result<Vec<Serving>> {
        self.link.send(&Message::Release).await?;
        match self.link.receive().await? {
            Some(Message::Released { functions }) => Ok(functions),
            other => Err(unexpected(other.as_ref())),
        }
    }
}

async fn ask(state_dir: &Path) -> io::Result<Option<TakeOver>> {
    match ask_running(state_dir).await {
        // In the middle of its answer.
        Err(error) if is_end(&error) || error.kind() == io::ErrorKind::InvalidData => {
            match has_ended(state_dir).await? {
                true => Ok(None),
                false => Err(error),
            }
        }
        asked => asked,
    }
}

/// Whether the provider that did not go on talking runs no more.
async fn has_ended(state_dir: &Path) -> io::Result<bool> {
    let begun = tokio::time::Instant::now();
    while StateDir::is_held(state_dir)? {
        if begun.elapsed() >= ENDS {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(true)
}

async fn ask_running(state_dir: &Path) -> io::Result<Option<TakeOver>> {
    let begun = tokio::time::Instant::now();
    let stream = loop {
        let dir = state_dir.to_owned();
        let request = format!("{REQUEST} {PROTOCOL}");
        let asked = tokio::task::spawn_blocking(move || control(&dir, &request)).await;
        match asked.map_err(io::Error::other)? {
            Ok(Some(stream)) => break stream,
            Ok(None) if !StateDir::is_held(state_dir)? => return Ok(None),
            // It has just begun, or has just taken over itself.
            Ok(None) if begun.elapsed() < APPEARS => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(None) => {
                return Err(io::Error::other(
                    "it does not listen on its control socket: stop it, and start this one then",
                ));
            }
            Err(error) => return Err(error),
        }
    };
    stream.set_nonblocking(true)?;
    let mut link = Link::new(UnixStream::from_std(stream)?)?;
    let notes = match link.receive().await? {
        Some(Message::Offer { sockets }) => sockets,
        other => return Err(unexpected(other.as_ref())),
    };
    let mut sockets = Vec::new();
    for note in notes {
        let mut descriptors = Vec::new();
        for _ in 0..note.descriptors {
            descriptors.push(link.receive_descriptor().await?);
        }
        sockets.push(PassedSocket {
            purpose: note.purpose,
            requested: note.requested,
            owns_file: note.owns_file,
            descriptors,
        });
    }
    Ok(Some(TakeOver {
        link,
        path: state_dir.to_owned(),
        sockets,
        functions: Vec::new(),
    }))
}

/// Heeds the version before until it has ended.
async fn follow(inner: &Inner, mut link: Link) -> io::Result<()> {
    loop {
        match link.receive().await? {
            Some(Message::Left { function }) => inner.let_start(|held| held == function),
            Some(Message::Lines(note)) => {
                let lines = link.receive_bytes(note.bytes).await?;
                let named = |it: &Arc<Function>| it.function.to_string() == note.function;
                if let Some(function) = inner.all_functions().into_iter().find(named) {
                    let output = if note.stderr {
                        LogOutput::Stderr
                    } else {
                        LogOutput::Stdout
                    };
                    let mut chunk = LogChunk::of_lines(output, lines);
                    chunk.timestamp = SystemTime::UNIX_EPOCH + note.at;
                    chunk.dropped = note.dropped;
                    function.log.intake(&note.instance).put(chunk).await;
                }
            }
            None => return Ok(()),
            other => return Err(unexpected(other.as_ref())),
        }
    }
}

/// Waits until a function has as many replicas as in the running provider.
async fn ready(inner: &Inner, there: &Serving, patience: Duration) -> Result<(), TakeOverError> {
    if there.ready == 0 || there.only_once {
        return Ok(());
    }
    let named = |function: &Arc<Function>| function.function.to_string() == there.function;
    // One that was deleted meanwhile needs no replicas.
    let Some(function) = inner.all_functions().into_iter().find(named) else {
        return Ok(());
    };
    let news = function.until(|state| {
        if state.available() >= there.ready.min(state.replicas) {
            return Some(Ok(()));
        }
        state.hopeless().map(|why| Err(why.to_owned()))
    });
    let why = match tokio::time::timeout(patience, news).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => format!("it {why}"),
        Err(_elapsed) => format!(
            "not all replicas were ready within {} s",
            patience.as_secs()
        ),
    };
    Err(TakeOverError::Function {
        function: there.function.clone(),
        why,
    })
}

impl Engine {
    /// Opens the state directory in the place of the provider that runs on it, and starts what was
    /// deployed there beside what runs there. Complete the take-over before anything is served.
    ///
    /// # Errors
    /// As [`Engine::open`], and when the running provider does not let go of the state.
    pub async fn open_after(
        mut config: EngineConfig,
        runtime: Arc<dyn Runtime>,
        take_over: &mut TakeOver,
    ) -> Result<Arc<Self>, EngineError> {
        let released = take_over.release().await;
        released.map_err(|source| EngineError::StateDir {
            path: config.state_dir.clone(),
            doing: "taking it over",
            source,
        })?;
        let only_once = take_over.functions.iter().filter(|it| it.only_once);
        let held: BTreeSet<_> = only_once.map(|it| it.function.clone()).collect();
        config.held = held;
        Self::open(config, runtime).await
    }
}

impl Inner {
    /// Lets functions start that were held while the version before ran them.
    fn let_start(&self, which: impl Fn(&str) -> bool) {
        // First, so that one that is deployed anew right now is not held.
        self.held().retain(|held| !which(held));
        for function in self.all_functions() {
            if which(&function.function.to_string()) {
                function.let_start();
            }
        }
    }
}
