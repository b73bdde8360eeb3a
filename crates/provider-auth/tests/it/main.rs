//! The layer in real servers, asked by real clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

/// What the refusal looks like on the wire, in an axum app and in a bare hyper server.
mod refusal;
