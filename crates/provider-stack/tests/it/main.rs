//! Stacks of real files.
//!
//! * `reading`: what a file means, and what is wrong with it

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests too"
)]

mod files;
mod reading;
