//! A function runtime on child processes: no daemon, no root.
//!
//! [`ProcessRuntime`] implements [`provider_types::Runtime`]. An instance is a watchdog process,
//! which is the running binary itself started with a hidden argument, and the program below it.
//! `provider-watchdog` turns the program into an HTTP function; this crate finds the program,
//! gives it its environment, its secrets and its limits, and sees to it that nothing of it is left
//! when it ends, or when the provider does.
//!
//! The README has an example, and what a binary has to do: hand over to [`watchdog_main`] first
//! thing when its first argument is [`WATCHDOG_ARGUMENT`].
//!
//! ```
//! use provider_types::{FunctionRef, FunctionSpec, Namespace, Runtime as _};
//! use runtime_process::{ProcessConfig, ProcessRuntime};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = std::env::temp_dir().join(format!("doc-{}", std::process::id()));
//! let runtime = ProcessRuntime::new(ProcessConfig::new(dir.join("run")))?;
//!
//! let function = FunctionRef::parse_dotted("env", &Namespace::default())?;
//! let mut spec = FunctionSpec::new(function, "ghcr.io/openfaas/alpine");
//! let refused = runtime.prepare(&spec).await.unwrap_err();
//! assert!(refused.message().contains("pulls no images"));
//!
//! spec.env_process = Some("env".to_owned());
//! let prepared = runtime.prepare(&spec).await?;
//! assert!(prepared.warnings[0].contains("neither pulled nor run"));
//! # drop(runtime);
//! # std::fs::remove_dir_all(dir)?;
//! # Ok(())
//! # }
//! ```
//!
//! Linux only, as it reads `/proc`. It differs from `provider-watchdog`, which serves one program
//! and knows nothing of deployments, and from the engine, which decides what runs.

mod config;
mod environment;
mod executable;
mod http_mode;
mod instance;
mod instance_dir;
mod launch;
mod limits;
mod lines;
mod own_place;
mod processes;
mod program;
mod readiness;
mod runtime;
mod sandbox;
mod secrets_place;
mod spare;
mod user;
mod watchdog;

pub use config::{ProcessConfig, SetupError, WATCHDOG_ARGUMENT, WatchdogCommand};
pub use limits::{LimitsChoice, LimitsStatus, LimitsWay};
pub use program::{IMAGE_NOT_RUN_ANNOTATION, WORKING_DIRECTORY_ANNOTATION};
pub use runtime::{LIMITS_ANNOTATION, ProcessRuntime};
pub use sandbox::SandboxStatus;
pub use secrets_place::SecretsStatus;
pub use user::{User, UserError};
pub use watchdog::watchdog_main;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
