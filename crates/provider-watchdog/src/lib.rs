//! The function side: turns a program into an HTTP function, compatible with the OpenFaaS
//! watchdogs.
//!
//! A [`Watchdog`] takes HTTP calls on a [`Listener`] and answers them with a program, in one of
//! four [`Mode`]s. [`WatchdogConfig::from_vars`] reads the variables of of-watchdog. The binary
//! `fwatchdog` is this crate with an environment and two ports.
//!
//! ```
//! use provider_watchdog::{Listener, Logs, Watchdog, WatchdogConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = WatchdogConfig::from_vars(|name| match name {
//!     "fprocess" => Some("cat".to_owned()),
//!     "suppress_lock" => Some("true".to_owned()),
//!     "healthcheck_interval" => Some("0s".to_owned()),
//!     _ => None,
//! })?;
//! config.environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
//!
//! let listener = Listener::tcp("127.0.0.1:0".parse()?).await?;
//! let address = listener.tcp_address().ok_or("no address")?;
//! let logs = Logs::new(tokio::io::sink(), tokio::io::sink());
//!
//! let call = async {
//!     let client = reqwest::Client::new();
//!     let reply = client.post(format!("http://{address}/")).body("hello").send().await;
//!     assert_eq!(reply.unwrap().text().await.unwrap(), "hello");
//! };
//! Watchdog::new(config, logs)?.serve(listener, None, call).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It runs on Linux; [`tree`] exists there only. Rust 1.90.

mod call;
mod child;
mod command;
mod config;
mod duration;
mod error;
mod files;
mod fork;
mod forward;
mod gauge;
mod limit;
mod listen;
mod lock;
mod logs;
mod metrics;
mod reply;
mod request_body;
mod request_env;
mod route;
mod serve;
#[cfg(target_os = "linux")]
pub mod tree;
mod upstream;

pub use child::StartError;
pub use command::{CommandError, DEFAULT_PATH, find_program, split_command};
pub use config::{ConfigError, Environment, Mode, Upstream, WatchdogConfig};
pub use error::{WatchdogError, causes};
pub use listen::Listener;
pub use lock::is_healthy;
pub use logs::Logs;
pub use serve::Watchdog;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
