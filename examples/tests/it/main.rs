//! Each example, started as a program and spoken to.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; a panic in them is a failed test"
)]

mod program;

// One module an example, of the same name.
mod auth_alone;
