//! What `/metrics` says, and who counts what.
