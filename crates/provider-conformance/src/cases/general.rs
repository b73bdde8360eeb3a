//! The API as a whole: bodies, refusals, paths, and HTTP itself.

pub(super) mod bodies;
pub(super) mod http;
pub(super) mod refusals;
