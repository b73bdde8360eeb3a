//! What a caller, an owner of replicas and a back-end can rely on.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of test functions may panic too"
)]

mod activator;
mod table;
