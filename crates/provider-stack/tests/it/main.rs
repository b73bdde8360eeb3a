//! Stacks of real files.
//!
//! * `reading`: what a file means, and what is wrong with it
//! * `applying`: what is done to a back-end
//! * `following`: what happens when files change

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests too"
)]

mod applying;
mod backend;
mod files;
#[cfg(feature = "watch")]
mod following;
mod reading;
