//! The log API in a real server, asked by a real client.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up fails"
)]

/// A server around a source, and a client that reads it line by line.
mod client;
/// The journald source, on a real journal.
#[cfg(feature = "journald")]
mod journal;
/// A systemd-journald for as long as tests need it.
#[cfg(feature = "journald")]
mod journald;
/// The reply: statuses, headers, lines, flushes, ends.
mod reply;
