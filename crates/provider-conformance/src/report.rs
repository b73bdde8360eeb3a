//! What a run found out, as data.
//!
//! The fields are those of `report.json`. [`SCHEMA`] changes when a reader of an older one would
//! misunderstand it.

mod console;
mod html;
mod json;
mod junit;
mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use console::Paint;
pub use status::{Status, Verdict};

use crate::context::Retry;
use crate::declared::Declared;
use crate::requirement::{Feature, Level, Profile};
use crate::target::Role;
use crate::wire::Exchange;

/// The name and version of the form of `report.json`.
pub const SCHEMA: &str = "provider-conformance/1";

/// What a run found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of the kit, and of the specification, which are one.
    pub kit: String,
    /// What all of it comes to.
    pub verdict: Verdict,
    /// What was checked.
    pub target: TargetReport,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What the provider was said to keep to.
    pub declared: Declared,
    /// Where that was said: `flags`, `file` or `discovered`.
    pub declared_by: String,
    /// Each requirement of the specification, in its order.
    pub requirements: Vec<RequirementReport>,
    /// Each case, by name.
    pub cases: Vec<CaseReport>,
    /// What else the reader should know.
    pub notes: Vec<String>,
    /// SHA-256 of this document without this field; `report verify` checks it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// What was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetReport {
    /// Where it was.
    pub url: String,
    /// Whether it was a provider's port or a gateway's.
    pub role: Role,
    /// `provider` of its `/system/info`.
    pub provider: String,
    /// `version.release` of it.
    pub release: String,
    /// `orchestration` of it.
    pub orchestration: String,
    /// What was deployed: the command or the image.
    pub workload: String,
}

/// What became of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequirementReport {
    /// Its id.
    pub id: String,
    /// Its level.
    pub level: Level,
    /// Its profile.
    pub profile: Profile,
    /// Its feature, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
    /// What it asks for.
    pub text: String,
    /// Who needs it.
    pub source: String,
    /// What became of it.
    pub status: Status,
    /// Why, in sentences; empty where it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The cases that judged it.
    pub cases: Vec<String>,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// The worst of its requirements' statuses.
    pub status: Status,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What it made of each of its requirements.
    pub judged: BTreeMap<String, Judged>,
    /// Why it ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What was not as it should be at the first try.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<Retry>,
    /// What else the reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What went over the wire, where something failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<Exchange>,
}

impl CaseReport {
    /// The requirement at which the exchanges are shown: the first of the worst.
    pub(crate) fn shown_at(&self) -> Option<&str> {
        let worst = self.judged.values().map(|judged| judged.status).max()?;
        let mut judged = self.judged.iter();
        let (id, _) = judged.find(|(_, judged)| judged.status == worst)?;
        (worst >= Status::Warn && !self.exchanges.is_empty()).then_some(id)
    }
}

/// What a case made of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Judged {
    /// What became of it here.
    pub status: Status,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What is wrong with a `report.json`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is no JSON, or not of this form.
    #[error("it is no report of this kit")]
    Json(#[from] serde_json::Error),
    /// It has another form.
    #[error("its form is {0:?}, and this kit reads {SCHEMA:?}")]
    Schema(String),
}

impl Report {
    /// What became of a requirement.
    #[must_use]
    pub fn requirement(&self, id: &str) -> Option<&RequirementReport> {
        self.requirements.iter().find(|one| one.id == id)
    }

    /// The requirements with a status, in the order of the specification.
    pub fn with_status(&self, status: Status) -> impl Iterator<Item = &RequirementReport> {
        self.requirements
            .iter()
            .filter(move |one| one.status == status)
    }
}

#[cfg(test)]
mod tests;
