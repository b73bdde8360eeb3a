//! The proxy between real servers and real clients, on 127.0.0.1.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

/// Servers, clients and a resolver that counts its leases.
mod support;

/// Bodies: streaming, lengths, trailers, broken ones.
mod bodies;
/// Time budgets.
mod budgets;
/// Connections: pooling, retries, replicas that take none.
mod connections;
/// Replies of our own.
mod errors;
/// The header policy on the wire.
mod headers;
/// Leases and observers.
mod leases;
/// One test per defect of the Go SDK's proxy, by its number in the list of oddities.
mod oddities;
/// Upgrades and tunnels.
mod upgrades;
