//! A typed client of the OpenFaaS provider API, for providers and for gateways in front of them.
//!
//! [`Client`] has a method for each call of the API: functions, secrets, namespaces, logs as they
//! come, calls of functions with both bodies streamed. It puts a namespace where providers look for
//! it, takes the statuses that `faas-cli` takes, and gives a refusal back whole: [`Error::Status`]
//! has the status, the headers and the text.
//!
//! ```no_run
//! use provider_client::{Client, LogQuery};
//! use provider_types::wire::FunctionDeployment;
//!
//! # async fn example() -> Result<(), provider_client::Error> {
//! let client = Client::builder("http://127.0.0.1:8080")
//!     .basic_auth("admin", "secret")
//!     .build()?;
//!
//! let mut function = FunctionDeployment::new("hello", "ghcr.io/me/hello");
//! function.env_process = "cat".to_owned();
//! client.apply(&function).await?;
//!
//! let reply = client.invoke("hello").body("hi").send().await?;
//! assert_eq!(reply.text().await?, "hi");
//!
//! let mut lines = client.logs(&LogQuery::new("hello")).await?;
//! while let Some(line) = lines.next().await? {
//!     println!("{}: {}", line.instance, line.text);
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod client;
mod error;
mod invoke;
mod logs;
mod system;

pub use client::{Accepted, Client, ClientBuilder};
pub use error::{Error, Refused};
pub use invoke::{Body, Invocation, Reply};
pub use logs::{LogLines, LogQuery};
pub use system::Info;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
