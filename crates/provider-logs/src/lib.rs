//! The OpenFaaS log API: query parsing, an ndjson reply and a journald source.
//!
//! * [`LogQuery`] reads the query string as the Go SDK does.
//! * [`log_response`] turns a [`provider_types::LogStream`] into the reply: one JSON object a line,
//!   each sent as soon as it is there.
//! * [`LogService`] is both around a [`provider_types::LogSource`]: a tower service that serves
//!   `GET /system/logs` and nothing else.
//! * [`select_lines`] gives `since`, `tail`, `instance` and `follow` their meaning, for a source
//!   that has its lines in memory.
#![cfg_attr(
    feature = "journald",
    doc = "* [`Journald`] is a source on systemd-journald."
)]
#![cfg_attr(
    not(feature = "journald"),
    doc = "* `Journald`, with the feature of that name, is a source on systemd-journald."
)]
//!
//! A whole log server:
//!
//! ```
//! use async_trait::async_trait;
//! use provider_logs::{LogService, select_lines};
//! use provider_types::{Line, LogRequest, LogSource, LogStream, ProviderError};
//! use tower::ServiceExt as _;
//!
//! /// Every function has said hello.
//! struct Hello;
//!
//! #[async_trait]
//! impl LogSource for Hello {
//!     async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
//!         let lines = [Line::new("hello-1", std::time::SystemTime::now(), "hello")];
//!         Ok(select_lines(&request, lines, futures_util::stream::empty()))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = LogService::new(Hello);
//! let request = http::Request::get("/system/logs?name=figlet").body(())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.headers()["content-type"], "application/x-ndjson");
//! # Ok(())
//! # }
//! ```
//!
//! | Feature | What it adds |
//! |---|---|
//! | `journald` | `Journald`, a source that runs `journalctl` |
//!
//! Builds with Rust 1.85.

mod body;
#[cfg(feature = "journald")]
mod journald;
mod query;
mod select;
mod service;

pub use body::{LogBody, log_response};
#[cfg(feature = "journald")]
pub use journald::Journald;
pub use query::{LogQuery, LogQueryError};
pub use select::select_lines;
pub use service::LogService;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
