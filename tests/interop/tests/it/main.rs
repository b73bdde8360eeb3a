//! The real peers against ours. Needs Go; where it is missing these tests fail and say so.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail a test by panicking"
)]

mod client;
mod commands;
mod conformance;
mod gateway;
mod go;
mod provider;
#[path = "../../../../crates/provider-types/tests/it/samples.rs"]
mod samples;
mod stack;
mod walks;
mod wire;
