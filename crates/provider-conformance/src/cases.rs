//! The cases, by area.

mod auth;
mod functions;
mod metrics;

use crate::case::Case;

/// Every case of the kit.
#[must_use]
pub fn all() -> Vec<Case> {
    let lists = [functions::CASES, auth::CASES, metrics::CASES];
    lists.concat()
}

#[cfg(test)]
mod tests;
