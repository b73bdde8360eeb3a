//! The runtime on real processes: what the engine relies on.
//!
//! * `serving`: modes, environment, secrets, readiness
//! * `ending`: stops, exits, kills, leftovers
//! * `limits`: memory, CPU and processes, in every way that this machine has
//! * `sandbox`: what a function may touch
//! * `secrets`: in memory, for root
//! * `output`: log lines
//! * `spare`: the watchdog that waits for the next instance

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests too"
)]

mod ending;
mod limits;
mod output;
mod sandbox;
mod secrets;
mod serving;
mod spare;
mod support;
