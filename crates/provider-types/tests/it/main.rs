//! The wire against Go: what Go's own types write and read is in `tests/golden`, made by
//! `tests/interop`. Nothing here needs Go.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail a test by panicking"
)]

mod golden;
mod samples;
