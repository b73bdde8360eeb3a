//! What users of the engine can rely on, over a runtime that only pretends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers outside of test functions may panic too"
)]

/// The runtime that pretends, and short words for what tests do.
mod fake;

/// Instances that fail, and what becomes of them.
mod failures;
/// Deploy, update, scale, delete, status.
mod functions;
/// Requests for more than the host has.
mod host;
/// Log lines: bounds, filters, followers.
mod logs;
/// Instances from before, events that were missed, and a runtime that refuses.
mod reconcile;
/// What survives a restart, and what is refused at the start.
mod restart;
/// To and from zero, and by the calls in flight.
mod scaling;
/// Secrets and namespaces.
mod stores;
