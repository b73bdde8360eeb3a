//! `report.json`: written, read, and looked at again.

use sha2::{Digest as _, Sha256};

use super::{Report, ReportError, RequirementReport, SCHEMA, Status};
use crate::requirements::requirements;
use crate::suite::verdict;

impl Report {
    /// The report as `report.json`, with its digest.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut whole = self.clone();
        whole.digest = self.fresh_digest();
        let mut text = pretty(&whole);
        text.push('\n');
        text
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        let report: Self = serde_json::from_str(text)?;
        if report.schema == SCHEMA {
            Ok(report)
        } else {
            Err(ReportError::Schema(report.schema))
        }
    }

    /// Looks whether a report that was read is whole and says what its parts say: its digest, each
    /// requirement of the specification, each status from the cases, the verdict.
    ///
    /// It finds accidents and careless edits; it does not say who wrote the report.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn verify(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        if self.digest != self.fresh_digest() {
            wrong.push("the digest is not that of the document: it was changed".to_owned());
        }
        if self.kit == env!("CARGO_PKG_VERSION") {
            self.verify_complete(&mut wrong);
        } else {
            wrong.push(format!(
                "it was written by version {} of the kit and this is {}: verify it with that one",
                self.kit,
                env!("CARGO_PKG_VERSION")
            ));
        }
        for one in &self.requirements {
            self.verify_status(one, &mut wrong);
        }
        let comes_to = verdict(&self.requirements, &self.cases);
        if comes_to != self.verdict {
            wrong.push(format!(
                "the verdict is {} and what was judged comes to {comes_to}",
                self.verdict
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn fresh_digest(&self) -> String {
        let mut bare = self.clone();
        bare.digest.clear();
        let hash = Sha256::digest(pretty(&bare));
        let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{}", hex.concat())
    }

    fn verify_complete(&self, wrong: &mut Vec<String>) {
        for one in requirements() {
            match self.requirement(one.id) {
                None => wrong.push(format!("{} is missing", one.id)),
                Some(have) if have.level != one.level || have.text != one.text => {
                    wrong.push(format!("{} is not the specification's", one.id));
                }
                Some(_) => {}
            }
        }
        for have in &self.requirements {
            if !requirements().iter().any(|one| one.id == have.id) {
                wrong.push(format!("{} is no requirement", have.id));
            }
        }
        if self.requirements.len() > requirements().len() {
            wrong.push("a requirement is there twice".to_owned());
        }
    }

    /// Whether the status of a requirement is that of its cases, or one that the user gave.
    fn verify_status(&self, one: &RequirementReport, wrong: &mut Vec<String>) {
        let judged = self
            .cases
            .iter()
            .filter_map(|case| case.judged.get(&one.id));
        let worst = judged.map(|judged| judged.status).max();
        let right = match one.status {
            Status::Skip | Status::Disabled | Status::NotApplicable => {
                worst == Some(one.status) || !one.reasons.is_empty()
            }
            Status::KnownDeviation => matches!(worst, Some(Status::Fail | Status::Warn)),
            Status::Fail => matches!(worst, Some(Status::Fail | Status::Warn)),
            Status::Uncovered => worst.is_none(),
            Status::Pass | Status::Unreached | Status::Warn | Status::Error => {
                worst == Some(one.status)
            }
        };
        if !right {
            let worst = worst.map_or("nothing", Status::name);
            let (id, status) = (&one.id, one.status);
            wrong.push(format!("{id} is {status} and its cases come to {worst}"));
        }
    }
}

fn pretty(report: &Report) -> String {
    // Its maps have strings for keys and its numbers are whole: it cannot fail.
    serde_json::to_string_pretty(report).unwrap_or_default()
}
