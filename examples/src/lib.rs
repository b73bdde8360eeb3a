//! Whole programs that use the crates.
