//! The cases, by area.

mod auth;
mod functions;
mod invoke;
mod metrics;
mod upgrade;

use crate::case::Case;

/// Every case of the kit.
#[must_use]
pub fn all() -> Vec<Case> {
    let lists = [
        auth::CASES,
        functions::CASES,
        invoke::failures::CASES,
        invoke::replies::CASES,
        invoke::requests::CASES,
        invoke::timing::CASES,
        metrics::CASES,
        upgrade::CASES,
    ];
    lists.concat()
}

#[cfg(test)]
mod tests;
