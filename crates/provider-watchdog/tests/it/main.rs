//! The watchdog over real sockets, with real child processes.
//!
//! * `streaming`, `serializing`, `http`, `files`: the modes
//! * `limits`: time and number of calls
//! * `health`: health checks, readiness, the lock file
//! * `lines`: what is logged
//! * `drain`: how it ends

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod drain;
mod files;
mod health;
mod http;
mod limits;
mod lines;
mod serializing;
mod streaming;
mod support;
