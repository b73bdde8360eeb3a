//! Keeps functions running on one host, over any [`Runtime`](provider_types::Runtime).
//!
//! A runtime starts and stops instances; the [`Engine`] decides when. It keeps what was deployed
//! in a store on disk, drives what runs towards it, and says where calls go. It implements the
//! back-end traits of `provider-types`, so `provider-http` can serve it as it is.
//!
//! * **Durable.** A change is on disk before it is acknowledged; after a restart everything
//!   deployed is started again. One process at a time holds a state directory.
//! * **Deploy** checks everything first, and answers as soon as an instance is ready or has failed:
//!   a program that exits at once is refused with its exit code and last words, and nothing of it
//!   stays. What takes longer than [`EngineConfig::start_grace`] goes on after the answer.
//! * **Update** starts the new version beside the old one, sends calls to it when all of it is
//!   ready, then drains and stops the old one. A new version that fails is undone, and the old one
//!   serves all along. Where two instances cannot be at a time
//!   ([`Prepared::single_instance`](provider_types::Prepared)), the old one goes first and comes
//!   back if the new one fails.
//! * **Crashes** are followed by a new start after 250 ms, doubled each time up to a minute, with
//!   jitter. After three in a row calls are refused at once and told why.
//! * **Scale to zero.** A function labelled `com.openfaas.scale.zero: true` is put to sleep when it had
//!   no call for its `com.openfaas.scale.zero-duration`. A call for a function without replicas, also
//!   for one that was scaled to zero by hand, waits and wakes it: [`Engine::resolver`].
//! * **Autoscaling.** With `com.openfaas.scale.type: capacity` a function follows its calls in flight,
//!   between `com.openfaas.scale.min` and `.max` and within [`EngineConfig::max_replicas`].
//! * **Stopping** means: no further calls, wait for those in flight, ask the instance to end, kill
//!   it; all within `grace_period` of the function's environment, else the larger of
//!   [`EngineConfig::stop_grace`] and its `write_timeout`.
//! * **Status** comes from memory. Where something is wrong, annotations say so:
//!   [`STATUS_ANNOTATION`], [`LAST_ERROR_ANNOTATION`], [`UPDATE_ERROR_ANNOTATION`].
//! * **Logs** are kept on disk within [`LogLimits`], over restarts of instances and of the engine,
//!   until the function is deleted. A slow reader never holds a function up, nor does a slow disk;
//!   what is missing is counted and told to readers.
//!
//! `provider-route`, below it, knows replicas and calls, but neither stores nor starts anything.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use provider_engine::{Engine, EngineConfig};
//! use provider_types::{
//!     CallContext, DeployFunction, FunctionRef, FunctionSpec, Namespace, Provider,
//! };
//!
//! # use provider_types::*;
//! # #[derive(Default)]
//! # struct Pretend(std::sync::Mutex<Vec<InstanceId>>);
//! # #[async_trait::async_trait]
//! # impl Runtime for Pretend {
//! #     fn capabilities(&self) -> Capabilities { Capabilities::default() }
//! #     async fn prepare(&self, _: &FunctionSpec) -> Result<Prepared, ProviderError> {
//! #         Ok(Prepared::default())
//! #     }
//! #     async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
//! #         let function = spec.function.function.clone();
//! #         Ok(RuntimeInstance::new(spec.id, function, Endpoint::unix("/run/f.sock")))
//! #     }
//! #     async fn stop(&self, _: &InstanceId, _: Duration) -> Result<(), ProviderError> { Ok(()) }
//! #     async fn remove(&self, _: &InstanceId) -> Result<(), ProviderError> { Ok(()) }
//! #     async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> { Ok(vec![]) }
//! #     async fn stats(&self, _: &InstanceId) -> Result<InstanceStats, ProviderError> {
//! #         Ok(InstanceStats::default())
//! #     }
//! #     async fn refresh_secrets(
//! #         &self, _: &FunctionRef, _: &[(SecretName, Vec<u8>)],
//! #     ) -> Result<(), ProviderError> { Ok(()) }
//! #     fn events(&self) -> BoxStream<RuntimeEvent> { Box::pin(futures_util::stream::pending()) }
//! #     async fn logs(&self, _: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
//! #         Ok(Box::pin(futures_util::stream::empty()))
//! #     }
//! # }
//! # let runtime = Pretend::default();
//! # let dir = tempfile::tempdir()?;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let engine = Engine::open(EngineConfig::new(dir.path()), Arc::new(runtime)).await?;
//!
//! let figlet = FunctionRef::parse_dotted("figlet", &Namespace::default())?;
//! let spec = FunctionSpec::new(figlet, "ghcr.io/openfaas/figlet:latest");
//! engine.deploy_function(DeployFunction::new(CallContext::new("1"), spec)).await?;
//!
//! // Give `engine` to a server as its provider, secrets, namespaces and logs, and
//! // `engine.resolver()` as its resolver. In the end:
//! engine.shutdown(Duration::from_secs(30)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | feature | |
//! |---|---|
//! | `simulation` | `Engine::open_simulated`: the store on a back-end of the test's own, and no threads. Off by default |
//!
//! Builds with Rust 1.90.

mod backoff;
mod backup;
mod blocking;
mod config;
mod control;
mod demand;
mod engine;
mod error;
mod function;
mod inner;
mod instance;
mod intake;
mod ledger;
mod log_store;
mod name_locks;
mod operations;
mod patience;
mod provider;
mod reconcile;
mod scaler;
#[cfg(feature = "simulation")]
mod simulation;
mod state;
mod state_dir;
mod status;
mod store;
mod take_over;

pub use backup::{Backup, BackupError};
pub use config::{EngineConfig, LogLimits};
pub use control::{ControlRequest, ControlSocket, control};
pub use engine::Engine;
pub use error::EngineError;
#[cfg(feature = "simulation")]
pub use simulation::Simulated;
pub use status::{
    FAILURES_ANNOTATION, LAST_ERROR_ANNOTATION, LAST_EXIT_ANNOTATION, LIMIT_REACHED_ANNOTATION,
    SCALE_WARNING_ANNOTATION, STATUS_ANNOTATION, UPDATE_ERROR_ANNOTATION,
};
#[cfg(feature = "simulation")]
pub use store::Medium;
pub use take_over::{Given, PassSockets, PassedSocket, TakeOver, TakeOverError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
