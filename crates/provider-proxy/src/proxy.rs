//! The proxy as its user sees it.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use provider_types::{NameRule, Namespace, Resolver};

use crate::address::Peer;
use crate::body::ProxyBody;
use crate::budgets::Budgets;
use crate::forward;
use crate::headers::HeaderPolicy;
use crate::observer::Observer;
use crate::pool::Pool;
use crate::tunnel::Tunnels;
use crate::upload::BoxError;

/// Passes calls of functions on to their replicas. See the [crate's page](crate).
///
/// Clones share everything, pooled connections included.
pub struct Proxy<R: Resolver, O: Observer = ()> {
    worker: Arc<Worker<R, O>>,
}

/// What the clones of a proxy share.
pub(crate) struct Worker<R, O> {
    pub(crate) shared: Arc<Shared<R, O>>,
    pub(crate) pool: Arc<Pool>,
}

/// What the workers of a proxy share.
pub(crate) struct Shared<R, O> {
    pub(crate) resolver: R,
    pub(crate) observer: O,
    pub(crate) budgets: Budgets,
    pub(crate) policy: HeaderPolicy,
    pub(crate) default_namespace: Namespace,
    pub(crate) name_rule: NameRule,
    pub(crate) tunnels: Arc<Tunnels>,
    max_idle: usize,
}

impl<R: Resolver> Proxy<R> {
    /// Starts to configure a proxy.
    pub fn builder(resolver: R) -> ProxyBuilder<R> {
        ProxyBuilder {
            resolver,
            observer: (),
            budgets: Budgets::default(),
            policy: HeaderPolicy::default(),
            default_namespace: Namespace::default(),
            name_rule: NameRule::default(),
            max_idle: 128,
        }
    }
}

impl<R: Resolver, O: Observer> Proxy<R, O> {
    /// The same proxy with pools of its own, for one more runtime: a pooled connection is driven
    /// by the runtime that it was made on. Resolver and observer are shared.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        let shared = Arc::clone(&self.worker.shared);
        let pool = Pool::new(shared.max_idle);
        Self {
            worker: Arc::new(Worker { shared, pool }),
        }
    }

    /// Passes a call on, from that peer. The answer to whatever goes wrong is a response too.
    ///
    /// The reply is that of the function or one of our own, see [`Reason`](crate::Reason).
    /// An upgrade that the function grants goes on in a task of its own.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up: its lease is given back and its connection closed,
    /// so the function sees that the caller left.
    pub fn call_from<B>(
        &self,
        peer: Option<&Peer>,
        request: Request<B>,
    ) -> impl Future<Output = Response<ProxyBody>> + Send + use<R, O, B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        forward::call(Arc::clone(&self.worker), peer, request)
    }

    /// How many upgraded connections are open, all workers together. A server's drain does not see
    /// them any more: its own connection ended with the upgrade.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.worker.shared.tunnels.open()
    }

    /// Waits until no upgraded connection is open.
    pub async fn tunnels_closed(&self) {
        self.worker.shared.tunnels.all_closed().await;
    }

    /// The budgets it was built with.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.worker.shared.budgets
    }
}

impl<R: Resolver, O: Observer> Clone for Proxy<R, O> {
    fn clone(&self) -> Self {
        Self {
            worker: Arc::clone(&self.worker),
        }
    }
}

impl<R: Resolver, O: Observer> fmt::Debug for Proxy<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("budgets", &self.worker.shared.budgets)
            .field("policy", &self.worker.shared.policy)
            .finish_non_exhaustive()
    }
}

/// The peer is read from the request's extensions, where the server puts a [`Peer`].
impl<R, O, B> tower_service::Service<Request<B>> for Proxy<R, O>
where
    R: Resolver,
    O: Observer,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned();
        let call = self.call_from(peer.as_ref(), request);
        Box::pin(async move { Ok(call.await) })
    }
}

/// Configures a [`Proxy`].
#[derive(Debug, Clone)]
#[must_use = "call build to get a proxy"]
pub struct ProxyBuilder<R, O = ()> {
    resolver: R,
    observer: O,
    budgets: Budgets,
    policy: HeaderPolicy,
    default_namespace: Namespace,
    name_rule: NameRule,
    max_idle: usize,
}

impl<R: Resolver, O: Observer> ProxyBuilder<R, O> {
    /// How long each part of a call may take.
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Whose forwarding headers are believed, and whether calls are stamped.
    pub fn headers(mut self, policy: HeaderPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where `/function/NAME` looks. `openfaas-fn` by default.
    pub fn default_namespace(mut self, namespace: Namespace) -> Self {
        self.default_namespace = namespace;
        self
    }

    /// What a function's name may look like. A DNS label by default.
    pub fn name_rule(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    /// Who is told of calls.
    pub fn observer<P: Observer>(self, observer: P) -> ProxyBuilder<R, P> {
        ProxyBuilder {
            resolver: self.resolver,
            observer,
            budgets: self.budgets,
            policy: self.policy,
            default_namespace: self.default_namespace,
            name_rule: self.name_rule,
            max_idle: self.max_idle,
        }
    }

    /// How many connections to one replica are kept idle at most, per worker. 128 by default; 0
    /// makes a connection per call.
    pub fn max_idle_per_replica(mut self, connections: usize) -> Self {
        self.max_idle = connections;
        self
    }

    /// The proxy.
    pub fn build(self) -> Proxy<R, O> {
        let pool = Pool::new(self.max_idle);
        let shared = Arc::new(Shared {
            resolver: self.resolver,
            observer: self.observer,
            budgets: self.budgets,
            policy: self.policy,
            default_namespace: self.default_namespace,
            name_rule: self.name_rule,
            tunnels: Arc::default(),
            max_idle: self.max_idle,
        });
        Proxy {
            worker: Arc::new(Worker { shared, pool }),
        }
    }
}
