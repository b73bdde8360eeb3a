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

use crate::requirement::Requirement;

/// A chapter of the specification.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Area {
    /// What stands in the ids of its requirements.
    pub code: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its requirements, in the order of their numbers.
    pub requirements: &'static [Requirement],
}

const AREAS: [Area; 14] = [
    area("GEN", "The API in general", general::ALL),
    area("INF", "Information and health", info::ALL),
    area("FUN", "Functions", functions::ALL),
    area("INV", "Calling functions", invoke::ALL),
    area("STR", "Streaming", streaming::ALL),
    area("UPG", "Upgraded connections", upgrade::ALL),
    area("SCL", "Scaling", scale::ALL),
    area("ZER", "Scaling to zero", scale_zero::ALL),
    area("SEC", "Secrets", secrets::ALL),
    area("NAM", "Namespaces", namespaces::ALL),
    area("LOG", "Logs", logs::ALL),
    area("AUT", "Credentials", auth::ALL),
    area("MET", "Metrics", metrics::ALL),
    area("HRD", "Hardening", hardening::ALL),
];

const fn area(
    code: &'static str,
    title: &'static str,
    requirements: &'static [Requirement],
) -> Area {
    Area {
        code,
        title,
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
