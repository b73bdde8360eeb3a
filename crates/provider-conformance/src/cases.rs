//! The cases, by area.

mod auth;
mod functions;
mod general;
mod hardening;
mod info;
mod invoke;
mod logs;
mod metrics;
mod namespaces;
mod scale;
mod scale_zero;
mod secrets;
mod steps;
mod streaming;
mod upgrade;

use crate::case::Case;

/// Every case of the kit.
#[must_use]
pub fn all() -> Vec<Case> {
    // Those that wait first, so that nobody waits for them in the end.
    let lists = [
        invoke::timing::CASES,
        upgrade::CASES,
        streaming::CASES,
        hardening::limits::CASES,
        auth::CASES,
        functions::environment::CASES,
        functions::life::CASES,
        functions::lists::CASES,
        functions::names::CASES,
        functions::races::CASES,
        functions::statuses::CASES,
        functions::updates::CASES,
        general::bodies::CASES,
        general::http::CASES,
        general::refusals::CASES,
        info::CASES,
        hardening::replies::CASES,
        hardening::requests::CASES,
        hardening::secrecy::CASES,
        invoke::failures::CASES,
        invoke::replies::CASES,
        invoke::requests::CASES,
        logs::CASES,
        metrics::CASES,
        namespaces::default::CASES,
        namespaces::life::CASES,
        namespaces::places::CASES,
        scale::CASES,
        scale_zero::CASES,
        secrets::CASES,
    ];
    lists.concat()
}

#[cfg(test)]
mod tests;
