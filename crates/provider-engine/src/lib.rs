//! Keeps functions running on one host, over any [`Runtime`](provider_types::Runtime).

mod backoff;
mod config;
mod engine;
mod error;
mod function;
mod go_duration;
mod inner;
mod instance;
mod intake;
mod log_store;
mod name_locks;
mod operations;
mod provider;
mod state;
mod state_dir;
mod status;
mod store;

pub use config::EngineConfig;
pub use engine::Engine;
pub use error::EngineError;
pub use status::{LAST_ERROR_ANNOTATION, STATUS_ANNOTATION, UPDATE_ERROR_ANNOTATION};
