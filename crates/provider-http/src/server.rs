//! Puts a back-end on the network: listeners, worker threads, and an end without a lost call.

mod builder;
mod connection;
mod handed;
mod listen;
mod listeners;
mod worker;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provider_http1::Patience;
use provider_types::Resolver;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use builder::{NoResolver, ServerBuilder};
pub use handed::{HandOver, HandedSocket};
pub use listen::ListenAddress;
pub use listeners::Listeners;

use crate::service::Front;
use connection::Shared;
use worker::Stops;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// What was to be listened on is no address.
    #[error("cannot listen on {address:?}: {problem}")]
    #[non_exhaustive]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong and what would be right.
        problem: &'static str,
    },
    /// No address was given.
    #[error("there is nothing to listen on: give an address, such as 127.0.0.1:8080")]
    NoAddress,
    /// Something listens there already.
    #[error("{address} is in use: {hint}")]
    #[non_exhaustive]
    InUse {
        /// The address that is taken.
        address: ListenAddress,
        /// What to use instead.
        hint: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}")]
    #[non_exhaustive]
    Bind {
        /// The address that was refused.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// What another process handed over cannot be listened on.
    #[error("a socket that was handed over cannot be used")]
    Inherited(#[source] io::Error),
    /// System calls would be open to the network without credentials.
    #[error(
        "{address} can be reached from other machines and no credentials are set up: \
         set basic_auth=true, or listen on 127.0.0.1 or a Unix socket"
    )]
    #[non_exhaustive]
    Unprotected {
        /// The address that other machines reach.
        address: ListenAddress,
    },
    /// A worker thread or its runtime could not be made.
    #[error("a worker could not be started")]
    Worker(#[source] io::Error),
    /// There is no runtime for the control plane.
    #[error("a server must be served within a tokio runtime")]
    NoRuntime,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drained {
    /// Every call was finished.
    Clean,
    /// The deadline passed and this many connections and mutations were cut.
    Cut(usize),
}

/// A server whose sockets are bound and accept connections into their backlog;
/// [`Server::serve_until`] answers them. Made by [`ServerBuilder::listen`].
///
/// Connections are served by worker threads, one a core, each with a single-threaded runtime, its
/// own listener and its own connections to functions. System calls are handed over to the runtime
/// that [`Server::serve_until`] is called in.
pub struct Server<R: Resolver = NoResolver> {
    builder: ServerBuilder<R>,
    listeners: Listeners,
}

impl Server {
    /// Starts to configure a server for a back-end.
    pub fn builder(provider: impl provider_types::Provider) -> ServerBuilder {
        ServerBuilder::new(provider)
    }
}

impl<R: Resolver> Server<R> {
    /// Where it listens, with the ports that were found for port 0, in the order they were given.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.listeners.addresses()
    }

    /// The first TCP address, if there is one.
    #[must_use]
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.listeners.local_addr()
    }

    /// Serves until `stop` is done, then drains: `/healthz` says 503, no connection is accepted any
    /// more, calls in flight end, streams of logs too. What still runs when
    /// [`crate::Config::drain_timeout`] has passed is cut. Where the sockets were given away
    /// ([`HandOver::give`]) nothing is cut.
    ///
    /// # Errors
    /// When a worker cannot be started, or this is not called within a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future stops the server at once and cuts what runs.
    pub async fn serve_until<F: Future>(self, stop: F) -> Result<Drained, ServeError> {
        let control = Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
        let Self { builder, listeners } = self;
        let Listeners {
            groups,
            workers,
            hand_over,
            ..
        } = listeners;
        let parts = builder.into_parts();
        let app = Arc::clone(&parts.app);
        let deadline = CancellationToken::new();

        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut files = Vec::new();
        for (group, purpose) in groups {
            let elsewhere = group.elsewhere;
            for (index, listener) in group.listeners.into_iter().enumerate() {
                if let Some(worker) = listeners.get_mut(index % workers) {
                    worker.push((listener, Arc::clone(&elsewhere), purpose));
                }
            }
            files.extend(group.file.map(|file| (file, elsewhere)));
        }
        // Whatever ends this future, the workers end with it.
        let cut = deadline.clone().drop_guard();
        let mut ends = Vec::with_capacity(workers);
        for (index, listeners) in listeners.into_iter().enumerate() {
            let draining = app.draining.for_worker();
            let proxy = parts.proxy.as_ref().map(provider_proxy::Proxy::for_worker);
            let listeners = listeners
                .into_iter()
                .map(|(listener, elsewhere, purpose)| {
                    let shared = Arc::new(Shared {
                        front: Front {
                            proxy: proxy.clone(),
                            router: parts.router.clone(),
                            purpose,
                        },
                        control: control.clone(),
                        draining: draining.clone(),
                        patience: Patience {
                            header: app.config.header_timeout,
                            idle: app.config.idle_timeout,
                        },
                    });
                    (listener, elsewhere, shared)
                })
                .collect();
            let stops = Stops {
                draining,
                over: deadline.clone(),
            };
            ends.push(worker::start(index, listeners, stops)?);
        }

        stop.await;
        tracing::info!("stopping: no new connections, calls in flight may end");
        let given = hand_over.is_some_and(|hand_over| hand_over.close());
        // Without its file nobody finds a Unix socket any more, unless it is another's by now.
        for (file, elsewhere) in files {
            if elsewhere.load(Ordering::SeqCst) {
                file.keep();
            }
        }
        app.draining.begin();
        let patience = app.config.drain_timeout;
        let patience = if given { Duration::MAX } else { patience };
        let drained = drain(&app, ends, patience, &deadline).await;
        if let Drained::Cut(cut) = drained {
            tracing::warn!(cut, "the time to stop is over: calls were cut");
        }
        drop(cut);
        Ok(drained)
    }
}

impl<R: Resolver> fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("builder", &self.builder)
            .field("listeners", &self.listeners)
            .finish()
    }
}

async fn drain(
    app: &crate::app::App,
    ends: Vec<worker::Ended>,
    patience: Duration,
    deadline: &CancellationToken,
) -> Drained {
    app.mutations.close();
    let workers = async {
        let mut cut = 0;
        for end in ends {
            cut += end.await.unwrap_or_default();
        }
        cut
    };
    let mutations = async {
        tokio::select! {
            () = app.mutations.wait() => 0,
            () = deadline.cancelled() => app.mutations.len(),
        }
    };
    let over = async {
        tokio::time::sleep(patience).await;
        deadline.cancel();
        std::future::pending::<Drained>().await
    };
    let ended = async {
        // Workers first: until they have ended, a mutation may still begin.
        match workers.await + mutations.await {
            0 => Drained::Clean,
            cut => Drained::Cut(cut),
        }
    };
    tokio::select! {
        drained = ended => drained,
        never = over => never,
    }
}
