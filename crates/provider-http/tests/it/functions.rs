//! Invocations through the whole server.
