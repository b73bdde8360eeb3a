//! The client against servers that answer all that providers and gateways answer.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; the lints see only test functions as tests"
)]

mod answers;
mod calls;
mod invoke;
mod logs;
mod raw;
