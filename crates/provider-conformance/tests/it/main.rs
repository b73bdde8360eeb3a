//! Tests of the kit from outside, over real sockets.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod function;
