//! An in-memory provider that shares no code with ours, and can be told to be wrong.
//!
//! It stands for a back-end that knows nothing of this project: it was written from the
//! specification alone, and speaks HTTP by hand over tokio. Without a [`Defect`] it is conformant;
//! each defect breaks one requirement of `SPEC.md`, and the mutation harness in `tests/it` proves
//! that the conformance kit finds each by the requirement that it breaks.
//!
//! ```
//! use faulty_provider::{Defect, Options, Provider};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let provider = Provider::start("127.0.0.1:0", Options::default()).await.unwrap();
//! provider.set(Defect::DeployIs201, true);
//! println!("{} answers deployments with 201", provider.url());
//! # });
//! ```

mod answer;
mod api;
mod auth;
mod defect;
mod deployment;
pub mod harness;
mod http1;
mod instance;
mod logs;
mod metrics;
mod object;
mod provider;
mod proxy;
mod server;
mod state;
mod target;

pub use defect::Defect;
pub use provider::Provider;
pub use state::Options;
