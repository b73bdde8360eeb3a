//! Tests of the kit from outside, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod bad_targets;
mod function;
mod image;
mod output;
