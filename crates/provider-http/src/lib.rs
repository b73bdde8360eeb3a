//! The OpenFaaS provider API as one HTTP server over your back-end.
//!
//! Implement [`Provider`] for your back-end and hand it to [`Server::builder`]. You get every route
//! of the API with the statuses, headers and bodies that gateways and `faas-cli` expect, checked
//! input, credentials, limits, metrics, and a stop that loses no call. The neighbours do one part
//! each: `provider-proxy` invokes functions, `provider-logs` serves logs, `provider-auth` asks for
//! credentials; this crate puts them together and re-exports what a back-end author needs.
//!
//! ```
//! use provider_http::wire::{FunctionStatus, ProviderInfo, VersionInfo};
//! use provider_http::{
//!     DeleteFunction, DeployFunction, Drained, GetFunction, ListFunctions, Outcome, Provider,
//!     ProviderError, ScaleFunction, Server, UpdateFunction, async_trait,
//! };
//!
//! /// Has no functions and takes none.
//! struct Empty;
//!
//! fn absent() -> ProviderError {
//!     ProviderError::not_found("there are no functions here")
//! }
//!
//! #[async_trait]
//! impl Provider for Empty {
//!     async fn info(&self) -> Result<ProviderInfo, ProviderError> {
//!         Ok(ProviderInfo::new("empty", "none", VersionInfo::new("0.1.0", "dev")))
//!     }
//!     async fn list_functions(&self, _: ListFunctions) -> Result<Vec<FunctionStatus>, ProviderError> {
//!         Ok(Vec::new())
//!     }
//!     async fn deploy_function(&self, _: DeployFunction) -> Result<Outcome, ProviderError> {
//!         Err(ProviderError::unsupported("this provider takes no functions"))
//!     }
//!     async fn update_function(&self, _: UpdateFunction) -> Result<Outcome, ProviderError> {
//!         Err(absent())
//!     }
//!     async fn delete_function(&self, _: DeleteFunction) -> Result<Outcome, ProviderError> {
//!         Err(absent())
//!     }
//!     async fn function_status(&self, _: GetFunction) -> Result<FunctionStatus, ProviderError> {
//!         Err(absent())
//!     }
//!     async fn scale_function(&self, _: ScaleFunction) -> Result<Outcome, ProviderError> {
//!         Err(absent())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(Empty).bind("127.0.0.1:0").listen()?;
//! println!("listening on {}", server.local_addr().ok_or("no address")?);
//! // A program waits for a signal here; this one stops at once.
//! assert_eq!(server.serve_until(async {}).await?, Drained::Clean);
//! # Ok(())
//! # }
//! ```
//!
//! # What is open
//!
//! `/function/`, `/healthz` and `/metrics`, and what [`ServerBuilder::merge_open`] adds. Everything
//! else asks the [`Authenticator`]. Without one it answers programs on this machine only, and no
//! web page that a browser there has open; an address that other machines reach is then refused.
//!
//! # Threads
//!
//! Connections are served by one single-threaded runtime a core, on threads of their own; there
//! invocations are passed on in place. System calls are handed over to the tokio runtime that
//! [`Server::serve_until`] is called in, so a slow back-end does not hold up invocations. A
//! mutation that has begun runs to its end even when its client leaves; reads are given up.
//! [`ServerBuilder::into_service`] has all of it without listeners and threads.
//!
//! Builds with Rust 1.85.

mod app;
mod call;
mod config;
mod draining;
mod extract;
mod guard;
mod metrics;
mod respond;
mod routes;
mod server;
mod service;

pub use async_trait::async_trait;
pub use config::{Config, ConfigError, Role};
pub use provider_auth::{AuthLayer, Authenticator, BasicAuth, CredentialFiles, Credentials};
pub use provider_proxy::{Budgets, HeaderPolicy, Peer, Proxy, TrustedProxy};
pub use provider_types::{
    Call, CallContext, CreateNamespace, CreateSecret, DeleteFunction, DeleteNamespace,
    DeleteSecret, DeployFunction, Endpoint, ErrorKind, FunctionName, FunctionRef, FunctionSpec,
    GetFunction, GetNamespace, Identity, Lease, Line, ListFunctions, ListNamespaces, ListSecrets,
    LogEvent, LogRequest, LogSource, LogStream, NameRule, Namespace, NamespaceStore, Outcome,
    Progress, Provider, ProviderError, ResolveError, Resolver, ScaleFunction, SecretName,
    SecretStore, Telemetry, UpdateFunction, UpdateNamespace, UpdateSecret, wire,
};
pub use server::{
    Drained, HandOver, HandedSocket, ListenAddress, Listeners, NoResolver, ServeError, Server,
    ServerBuilder,
};
pub use service::{ProviderService, Purpose, ServiceBody};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
