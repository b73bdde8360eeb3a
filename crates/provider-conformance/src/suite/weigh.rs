//! From cases to requirements, and from these to a verdict.

use time::Date;

use super::Suite;
use super::run::names;
use crate::declared::Declared;
use crate::report::{CaseReport, RequirementReport, Status, Verdict};
use crate::requirement::{Level, Requirement};
use crate::requirements::requirements;

impl Suite {
    /// What became of each requirement; and what the user should know of what was said of it.
    pub(crate) fn weigh(
        &self,
        declared: &Declared,
        cases: &[CaseReport],
        today: Date,
    ) -> (Vec<RequirementReport>, Vec<String>) {
        let mut notes = Vec::new();
        let reports = requirements()
            .iter()
            .map(|one| {
                let mut report = weighed(one, declared, cases);
                self.what_was_said(one, &mut report, today, &mut notes);
                report
            })
            .collect();
        (reports, notes)
    }

    fn what_was_said(
        &self,
        one: &Requirement,
        report: &mut RequirementReport,
        today: Date,
        notes: &mut Vec<String>,
    ) {
        if report.status == Status::Skip {
            return;
        }
        if self.disabled.iter().any(|what| names(what, one.id)) {
            report.status = Status::Disabled;
            report.reasons = vec!["switched off".to_owned()];
            return;
        }
        if let Some((_, reason)) = self.not_applicable.iter().find(|(id, _)| id == one.id) {
            report.status = Status::NotApplicable;
            report.reasons = vec![reason.clone()];
            return;
        }
        let Some(known) = self.deviations.iter().find(|known| known.id == one.id) else {
            return;
        };
        let (id, until) = (&known.id, known.until);
        match report.status {
            Status::Fail | Status::Warn if today <= until => {
                report.status = Status::KnownDeviation;
                let reason = format!("known until {until}: {}", known.reason);
                report.reasons.insert(0, reason);
            }
            Status::Fail | Status::Warn => {
                let reason = format!("it was a known deviation until {until}: {}", known.reason);
                report.reasons.insert(0, reason);
                // What was to be mended by now counts whatever its level is.
                report.status = Status::Fail;
            }
            Status::Pass => notes.push(format!(
                "{id} holds, and is declared as a known deviation until {until}"
            )),
            _ => {}
        }
    }
}

/// What the cases make of a requirement: the worst that one of them says.
fn weighed(one: &Requirement, declared: &Declared, cases: &[CaseReport]) -> RequirementReport {
    let judged = cases
        .iter()
        .filter_map(|case| Some((case, case.judged.get(one.id)?)));
    let mut report = RequirementReport {
        id: one.id.to_owned(),
        level: one.level,
        profile: one.profile,
        feature: one.feature,
        text: one.text.to_owned(),
        source: one.source.to_owned(),
        status: Status::NotApplicable,
        reasons: Vec::new(),
        cases: Vec::new(),
    };
    for (case, judged) in judged {
        report.cases.push(case.name.clone());
        if judged.status > report.status {
            report.status = judged.status;
            report.reasons.clear();
        }
        if judged.status == report.status {
            for reason in &judged.reasons {
                if !report.reasons.contains(reason) {
                    report.reasons.push(reason.clone());
                }
            }
        }
    }
    if let Some(name) = declared.lacks(one) {
        report.status = Status::Skip;
        report.reasons = vec![format!("{name} is not declared")];
    } else if report.cases.is_empty() {
        report.status = Status::Uncovered;
        report.reasons = vec!["no case judges it".to_owned()];
    }
    report
}

/// What requirements come to.
pub(crate) fn verdict(requirements: &[RequirementReport], cases: &[CaseReport]) -> Verdict {
    let any = |status| requirements.iter().any(|one| one.status == status);
    let unjudged = |one: &RequirementReport| {
        one.level == Level::Must
            && matches!(
                one.status,
                Status::Disabled | Status::Unreached | Status::Uncovered
            )
    };
    // A case that was switched off counts although others judged its requirements.
    let filtered = cases.iter().any(|case| case.status == Status::Disabled);
    if any(Status::Error) {
        Verdict::Error
    } else if any(Status::Fail) {
        Verdict::NonConformant
    } else if filtered || requirements.iter().any(unjudged) {
        Verdict::Partial
    } else {
        Verdict::Conformant
    }
}
