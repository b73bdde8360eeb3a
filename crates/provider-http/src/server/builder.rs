//! Puts a server together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use provider_auth::Authenticator;
use provider_proxy::{Budgets, HeaderPolicy, Proxy};
use provider_types::{
    Call, Endpoint, LogSource, NamespaceStore, Provider, ResolveError, Resolver, SecretStore,
    Telemetry,
};

use super::listeners::{Listeners, workers};
use super::{Drained, ServeError, Server};
use crate::app::{App, Backend};
use crate::config::{Config, Role};
use crate::metrics::CallObserver;
use crate::routes;
use crate::service::{Front, ProviderService, Purpose};

/// The resolver of a server that invokes nothing: `/function/` answers 501.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NoResolver;

impl Resolver for NoResolver {
    type Lease = Endpoint;

    async fn resolve(&self, _: Call<'_>) -> Result<Endpoint, ResolveError> {
        Err(ResolveError::NotFound)
    }
}

/// Configures a [`Server`]. What is not given answers as the Go SDK does where a handler is
/// missing: secrets and logs with 501, telemetry with 404, namespaces with the default one alone.
#[must_use = "call `serve_until`, `listen` or `into_service`"]
pub struct ServerBuilder<R: Resolver = NoResolver> {
    backend: Backend,
    resolver: Option<R>,
    auth: Option<Arc<dyn Authenticator>>,
    config: Config,
    role: Option<Role>,
    binds: Vec<(String, Purpose)>,
    bound: Option<Listeners>,
    merged: Router,
    merged_open: Router,
}

/// What a server is made of once it is configured.
pub(super) struct Parts<R: Resolver> {
    pub(super) app: Arc<App>,
    pub(super) proxy: Option<Proxy<R, CallObserver>>,
    pub(super) router: Router,
}

impl ServerBuilder {
    pub(super) fn new(provider: impl Provider) -> Self {
        Self {
            backend: Backend {
                provider: Arc::new(provider),
                secrets: None,
                namespaces: None,
                logs: None,
                telemetry: None,
            },
            resolver: None,
            auth: None,
            config: Config::default(),
            role: None,
            binds: Vec::new(),
            bound: None,
            merged: Router::new(),
            merged_open: Router::new(),
        }
    }
}

impl<R: Resolver> ServerBuilder<R> {
    /// Says where functions are, which turns on `/function/`.
    pub fn resolver<N: Resolver>(self, resolver: N) -> ServerBuilder<N> {
        ServerBuilder {
            backend: self.backend,
            resolver: Some(resolver),
            auth: self.auth,
            config: self.config,
            role: self.role,
            binds: self.binds,
            bound: self.bound,
            merged: self.merged,
            merged_open: self.merged_open,
        }
    }

    /// Keeps secrets: `/system/secrets`.
    pub fn secrets(mut self, store: impl SecretStore) -> Self {
        self.backend.secrets = Some(Arc::new(store));
        self
    }

    /// Keeps namespaces: `/system/namespaces` and `/system/namespace/NAME`.
    pub fn namespaces(mut self, store: impl NamespaceStore) -> Self {
        self.backend.namespaces = Some(Arc::new(store));
        self
    }

    /// Has log lines: `/system/logs`.
    pub fn logs(mut self, source: impl LogSource) -> Self {
        self.backend.logs = Some(Arc::new(source));
        self
    }

    /// Reports on itself: `/system/telemetry`.
    pub fn telemetry(mut self, telemetry: impl Telemetry) -> Self {
        self.backend.telemetry = Some(Arc::new(telemetry));
        self
    }

    /// Asks for credentials on every route that is not open. Without an authenticator only this
    /// machine is answered, and no address that others reach is listened on.
    pub fn auth(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.auth = Some(authenticator);
        self
    }

    /// Replaces all settings; what [`ServerBuilder::role`] said stays.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Says who talks to this server, in place of [`Config::role`].
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Listens on an address: `127.0.0.1:8080`, `:8080`, `unix:/run/provider.sock`. May be called
    /// more than once; port 0 takes any that is free.
    pub fn bind(self, address: impl Into<String>) -> Self {
        self.bind_for(Purpose::All, address)
    }

    /// Listens on an address for a part of the API only.
    pub fn bind_for(mut self, purpose: Purpose, address: impl Into<String>) -> Self {
        self.binds.push((address.into(), purpose));
        self
    }

    /// Takes over addresses that are bound already, before those of [`ServerBuilder::bind`]. What
    /// was given before is closed.
    pub fn listeners(mut self, listeners: Listeners) -> Self {
        self.bound = Some(listeners);
        self
    }

    /// Adds routes of your own behind the authenticator.
    ///
    /// # Panics
    /// Later, when the server is put together: if a route is one of the provider API's, or the
    /// router brings a fallback of its own.
    pub fn merge(mut self, router: Router) -> Self {
        self.merged = self.merged.merge(router);
        self
    }

    /// Adds routes of your own that are open to everybody.
    ///
    /// # Panics
    /// As [`ServerBuilder::merge`].
    pub fn merge_open(mut self, router: Router) -> Self {
        self.merged_open = self.merged_open.merge(router);
        self
    }

    /// Binds the addresses. Connections wait in the backlog until [`Server::serve_until`].
    ///
    /// # Errors
    /// When there is no address, one is wrong, taken or refused by the system, or one would be open
    /// to other machines without credentials.
    pub fn listen(mut self) -> Result<Server<R>, ServeError> {
        if self.binds.is_empty() && self.bound.is_none() {
            return Err(ServeError::NoAddress);
        }
        let mut listeners = match self.bound.take() {
            Some(bound) => bound,
            None => Listeners::new(&self.config, self.auth.as_deref()),
        };
        listeners.protect(self.auth.is_some())?;
        for (address, purpose) in &self.binds {
            listeners.bind(*purpose, address)?;
        }
        Ok(Server {
            builder: self,
            listeners,
        })
    }

    /// Binds the addresses and serves until `stop` is done; see [`Server::serve_until`].
    ///
    /// # Errors
    /// As [`ServerBuilder::listen`] and [`Server::serve_until`].
    pub async fn serve_until<F: Future>(self, stop: F) -> Result<Drained, ServeError> {
        self.listen()?.serve_until(stop).await
    }

    /// The whole API as a tower service, for a hyper or axum server of your own.
    #[must_use]
    pub fn into_service(self) -> ProviderService<R> {
        let parts = self.into_parts();
        ProviderService::new(Front {
            proxy: parts.proxy,
            router: parts.router,
            purpose: Purpose::All,
        })
    }

    pub(super) fn into_parts(mut self) -> Parts<R> {
        let config = &mut self.config;
        config.role = self.role.unwrap_or(config.role);
        let budgets = Budgets {
            resolve: config.resolve_timeout,
            connect: config.connect_timeout,
            first_byte: config.upstream_timeout,
            idle: config.idle_timeout,
            total: config.total_timeout,
            ..Budgets::default()
        };
        let headers = HeaderPolicy {
            trusted_proxies: config.trusted_proxies.clone(),
            call_headers: config.role == Role::Standalone,
        };
        // Each worker has connections of its own.
        let idle = config.max_idle_conns_per_host.min(config.max_idle_conns);
        let idle_per_worker = idle.div_ceil(workers(config));
        let app = Arc::new(App::new(self.backend, self.config));
        let config = &app.config;
        let proxy = self.resolver.map(|resolver| {
            Proxy::builder(resolver)
                .budgets(budgets)
                .headers(headers)
                .default_namespace(config.default_namespace.clone())
                .name_rule(config.name_rule)
                .max_idle_per_replica(idle_per_worker)
                .observer(CallObserver(Arc::clone(app.metrics.functions())))
                .build()
        });
        let router = routes::router(&app, self.auth, self.merged, self.merged_open);
        Parts { app, proxy, router }
    }
}

impl<R: Resolver> fmt::Debug for ServerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("binds", &self.binds)
            .field("bound", &self.bound)
            .field("auth", &self.auth.is_some())
            .finish_non_exhaustive()
    }
}
