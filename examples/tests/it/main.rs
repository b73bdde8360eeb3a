//! Each example, started as a program and spoken to.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic in them is a failed test"
)]

// The one that the log source's own tests use.
#[path = "../../../crates/provider-logs/tests/it/journald.rs"]
mod journald;
mod program;
// The one that runs the README's commands.
#[path = "../../../tests/integration/tests/readme/document.rs"]
mod document;
mod guide;

// One module an example, of the same name.
mod auth_alone;
mod in_memory;
mod log_source_alone;
mod proxy_alone;
