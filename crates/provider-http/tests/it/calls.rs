//! Mutations, panics, request ids.
