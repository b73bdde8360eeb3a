//! Where a call of a function goes. Asked once per invocation, so nothing here allocates or boxes
//! unless the resolver does.

use std::error::Error as StdError;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::FunctionRef;

/// A call that wants a replica.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Call<'a> {
    /// Which function.
    pub function: &'a FunctionRef,
    /// When the caller gives up waiting for a replica.
    pub deadline: Option<Instant>,
    /// A replica that just failed this call: take another one if there is any.
    pub avoid: Option<&'a Endpoint>,
}

impl<'a> Call<'a> {
    /// A call of that function.
    #[must_use]
    pub fn new(function: &'a FunctionRef) -> Self {
        Self {
            function,
            deadline: None,
            avoid: None,
        }
    }

    /// The same with a deadline for finding a replica.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same, away from a replica that just failed.
    #[must_use]
    pub fn avoiding(mut self, endpoint: Option<&'a Endpoint>) -> Self {
        self.avoid = endpoint;
        self
    }
}

/// How an address is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A host name and port, looked up when a connection is made.
    Host(Arc<str>, u16),
    /// A Unix socket.
    Unix(Arc<PathBuf>),
}

/// What is spoken there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge, without TLS.
    H2c,
}

/// Where one replica listens. Cheap to clone; equal endpoints share pooled connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// How it is reached.
    pub address: EndpointAddress,
    /// What is spoken there.
    pub protocol: UpstreamProtocol,
}

impl Endpoint {
    /// HTTP/1.1 over TCP.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address: EndpointAddress::Tcp(address),
            protocol: UpstreamProtocol::Http1,
        }
    }

    /// HTTP/1.1 over TCP to a name that is looked up.
    pub fn host(name: impl Into<Arc<str>>, port: u16) -> Self {
        Self {
            address: EndpointAddress::Host(name.into(), port),
            protocol: UpstreamProtocol::Http1,
        }
    }

    /// HTTP/1.1 over a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            address: EndpointAddress::Unix(Arc::new(path.into())),
            protocol: UpstreamProtocol::Http1,
        }
    }
}

/// How long a call waited before it had its replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phases {
    /// In a queue, for a free replica.
    pub queued: Duration,
    /// For a replica to start, from when that was under way.
    pub started: Duration,
    /// Of `started`, the part after the last instance was started, for it to get ready.
    pub readied: Duration,
    /// For the back-end to take the wish that a function without replicas gets some.
    pub woken: Duration,
}

/// What came of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// The replica took no connection.
    Refused,
    /// The replica closed or broke the connection before it was done.
    Reset,
    /// The first byte of the reply arrived.
    FirstByte,
    /// The exchange ended as it should.
    Done,
}

/// The right to send one call to one replica, counted as in flight until dropped.
///
/// For an upgrade the tunnel owns the lease.
pub trait Lease: Send + 'static {
    /// Where the call goes.
    fn endpoint(&self) -> &Endpoint;

    /// How long the call waited for this lease.
    fn phases(&self) -> Phases {
        Phases::default()
    }

    /// Says what came of it; a balancer ejects a replica that refuses.
    fn report(&self, _report: Report) {}
}

/// A lease on an endpoint that nobody counts.
impl Lease for Endpoint {
    fn endpoint(&self) -> &Endpoint {
        self
    }
}

/// Why a call has no replica.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such function.
    NotFound,
    /// The function exists and no replica is ready.
    NotReady {
        /// When another try is worth it.
        retry_after: Option<Duration>,
        /// Why, for the client: one line, no host paths.
        reason: Option<String>,
    },
    /// No replica got ready before [`Call::deadline`].
    TimedOut {
        /// What was waited for, for the client: one line, no host paths.
        reason: Option<String>,
    },
    /// All replicas are at their limit and the queue is full.
    Overloaded {
        /// When another try is worth it.
        retry_after: Option<Duration>,
    },
    /// The resolver's own fault.
    Internal(Box<dyn StdError + Send + Sync>),
}

impl ResolveError {
    /// Not ready, without a guess when.
    #[must_use]
    pub fn not_ready() -> Self {
        Self::NotReady {
            retry_after: None,
            reason: None,
        }
    }
}

impl std::fmt::Display for ResolveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such function",
            Self::NotReady { .. } => "no replica is ready",
            Self::TimedOut { .. } => "no replica got ready in time",
            Self::Overloaded { .. } => "all replicas are at their limit",
            Self::Internal(_) => "the function could not be looked up",
        })
    }
}

impl StdError for ResolveError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Internal(cause) => Some(&**cause),
            Self::NotFound
            | Self::NotReady { .. }
            | Self::TimedOut { .. }
            | Self::Overloaded { .. } => None,
        }
    }
}

/// Finds a replica for a call.
///
/// A ready function resolves without suspending. One whose replicas start waits here, no longer
/// than [`Call::deadline`], and then answers [`ResolveError::TimedOut`]. Dropping the future gives
/// up the place in the queue.
#[doc(alias = "BaseURLResolver")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say where functions are",
    note = "implement `provider_types::Resolver`; `async fn resolve` is fine"
)]
pub trait Resolver: Send + Sync + 'static {
    /// What a resolved call holds while it runs.
    type Lease: Lease;

    /// Finds a replica.
    fn resolve(
        &self,
        call: Call<'_>,
    ) -> impl Future<Output = Result<Self::Lease, ResolveError>> + Send;
}

impl<R: Resolver> Resolver for Arc<R> {
    type Lease = R::Lease;

    fn resolve(
        &self,
        call: Call<'_>,
    ) -> impl Future<Output = Result<Self::Lease, ResolveError>> + Send {
        (**self).resolve(call)
    }
}
