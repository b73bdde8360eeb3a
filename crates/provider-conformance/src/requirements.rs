//! The registry: every requirement there is, by area.

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
mod streaming;
mod upgrade;

use std::sync::LazyLock;

use crate::requirement::{Profile, Requirement};

/// A chapter of the specification.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Area {
    /// What stands in the ids of its requirements.
    pub code: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The profile without which none of its requirements applies.
    pub profile: Option<Profile>,
    /// Its requirements, in the order of their numbers.
    pub requirements: &'static [Requirement],
}

const AREAS: [Area; 14] = [
    area("GEN", "The API in general", None, general::ALL),
    area("INF", "Information and health", None, info::ALL),
    area("FUN", "Functions", None, functions::ALL),
    area("INV", "Calling functions", None, invoke::ALL),
    area("STR", "Streaming", Some(Profile::Streaming), streaming::ALL),
    area(
        "UPG",
        "Upgraded connections",
        Some(Profile::Upgrade),
        upgrade::ALL,
    ),
    area("SCL", "Scaling", None, scale::ALL),
    area(
        "ZER",
        "Scaling to zero",
        Some(Profile::ScaleZero),
        scale_zero::ALL,
    ),
    area("SEC", "Secrets", Some(Profile::Secrets), secrets::ALL),
    area("NAM", "Namespaces", None, namespaces::ALL),
    area("LOG", "Logs", Some(Profile::Logs), logs::ALL),
    area("AUT", "Credentials", Some(Profile::Auth), auth::ALL),
    area("MET", "Metrics", Some(Profile::Metrics), metrics::ALL),
    area("HRD", "Hardening", None, hardening::ALL),
];

const fn area(
    code: &'static str,
    title: &'static str,
    profile: Option<Profile>,
    requirements: &'static [Requirement],
) -> Area {
    Area {
        code,
        title,
        profile,
        requirements,
    }
}

/// The chapters of the specification, in its order.
#[must_use]
pub fn areas() -> &'static [Area] {
    &AREAS
}

/// Every requirement, chapter by chapter.
#[must_use]
pub fn requirements() -> &'static [Requirement] {
    static ALL: LazyLock<Vec<Requirement>> = LazyLock::new(|| {
        let all = AREAS.iter().flat_map(|area| area.requirements);
        all.copied().collect()
    });
    &ALL
}

/// The requirement with this id.
#[must_use]
pub fn requirement(id: &str) -> Option<&'static Requirement> {
    requirements().iter().find(|one| one.id == id)
}

#[cfg(test)]
mod tests;
