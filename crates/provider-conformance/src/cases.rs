//! The cases, by area.

mod auth;
mod functions;
mod metrics;
mod upgrade;

use crate::case::Case;

/// Every case of the kit.
#[must_use]
pub fn all() -> Vec<Case> {
    let lists = [
        auth::CASES,
        functions::CASES,
        metrics::CASES,
        upgrade::CASES,
    ];
    lists.concat()
}

#[cfg(test)]
mod tests;
