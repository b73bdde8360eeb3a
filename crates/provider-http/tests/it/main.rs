//! The server over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic; the lints see only test functions as tests"
)]

mod auth;
mod bytes;
mod calls;
mod drain;
mod functions;
mod handed;
mod listeners;
mod metrics;
mod routes;
mod stalled;
mod support;
mod upstream;
