//! Cases at work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::{Suite, millis};
use crate::case::Case;
use crate::context::{CaseNotes, Context, Look, Shared, Stop};
use crate::report::{CaseReport, Judged, Status};
use crate::requirement::Level;
use crate::requirements::requirement;

/// After so many cases in a row that got no answer, the rest is not tried.
const GIVE_UP: usize = 12;

impl Suite {
    /// Runs the cases that are to be run; gives reports of all of them, by name, and notes.
    pub(super) async fn run_cases(&self, shared: &Arc<Shared>) -> (Vec<CaseReport>, Vec<String>) {
        let mut reports = Vec::new();
        let (mut together, mut alone) = (VecDeque::new(), VecDeque::new());
        for case in &self.cases {
            match self.why_not(case, shared) {
                Some((status, reason)) => reports.push(unrun(case, status, &reason)),
                None if case.alone => alone.push_back(*case),
                None => together.push_back(*case),
            }
        }
        let total = together.len() + alone.len();
        let mut notes = Vec::new();
        let mut silent = 0;
        let mut ended = 0;
        for (mut queue, width) in [(together, self.concurrency), (alone, 1)] {
            let mut running = JoinSet::new();
            loop {
                while running.len() < width {
                    let Some(case) = queue.pop_front() else { break };
                    if silent >= GIVE_UP {
                        let reason = "the provider answers no more";
                        reports.push(unrun(&case, Status::Unreached, reason));
                        continue;
                    }
                    running.spawn(one(case, Arc::clone(shared), self.keep));
                }
                let Some(joined) = running.join_next().await else {
                    break;
                };
                let Ok(done) = joined else {
                    // `one` catches panics of the case; only a cancelled runtime gets here.
                    notes.push("a case was cancelled".to_owned());
                    continue;
                };
                silent = if done.silent { silent + 1 } else { 0 };
                ended += 1;
                if let Some(tell) = &self.progress {
                    tell(&done.report, ended, total);
                }
                notes.extend(done.left);
                reports.push(done.report);
            }
        }
        reports.sort_by(|one, other| one.name.cmp(&other.name));
        (reports, notes)
    }

    /// Why a case is not run.
    fn why_not(&self, case: &Case, shared: &Shared) -> Option<(Status, String)> {
        if self.selects(&self.disabled, case, true) {
            return Some((Status::Disabled, "switched off".to_owned()));
        }
        if !self.only.is_empty() && !self.selects(&self.only, case, false) {
            return Some((Status::Disabled, "not among what was asked for".to_owned()));
        }
        let mut lacking = Vec::new();
        let mut beyond = None;
        for id in case.requirements {
            match requirement(id).map(|one| shared.declared.lacks(one)) {
                Some(Some(name)) if !lacking.contains(&name) => lacking.push(name),
                Some(Some(_)) => {}
                // One that can be judged is reason enough to run.
                _ => beyond = Some(shared.target.beyond_judging(id)?),
            }
        }
        if let Some(reason) = beyond {
            return Some((Status::NotApplicable, reason.to_owned()));
        }
        Some((
            Status::Skip,
            format!("{} is not declared", lacking.join(", ")),
        ))
    }

    /// Whether a case is named: itself, its area, or its requirements, all of them or one.
    fn selects(&self, what: &[String], case: &Case, all: bool) -> bool {
        let area = case.name.split('/').next().unwrap_or_default();
        if what.iter().any(|one| one == case.name || one == area) {
            return true;
        }
        let named = |id: &&&str| what.iter().any(|one| names(one, id));
        let count = case.requirements.iter().filter(named).count();
        if all {
            count == case.requirements.len()
        } else {
            count > 0
        }
    }
}

/// Whether a selection names a requirement, by its id or its area.
pub(super) fn names(selection: &str, id: &str) -> bool {
    selection == id || requirement(id).is_some_and(|one| one.area() == selection)
}

fn unrun(case: &Case, status: Status, reason: &str) -> CaseReport {
    let judged = Judged {
        status,
        reasons: vec![reason.to_owned()],
    };
    let each = case.requirements.iter();
    CaseReport {
        name: case.name.to_owned(),
        status,
        duration_ms: 0,
        judged: each.map(|id| ((*id).to_owned(), judged.clone())).collect(),
        stopped: Some(reason.to_owned()),
        retries: Vec::new(),
        notes: Vec::new(),
        exchanges: Vec::new(),
    }
}

struct Done {
    report: CaseReport,
    /// What could not be removed.
    left: Vec<String>,
    /// Whether the provider gave no answer.
    silent: bool,
}

async fn one(case: Case, shared: Arc<Shared>, keep: bool) -> Done {
    let start = Instant::now();
    let limit = shared.timeouts.case;
    let cx = Arc::new(Context::new(Arc::clone(&shared), case.requirements));
    let inner = Arc::clone(&cx);
    let mut task = tokio::spawn(async move { (case.run)(&inner).await });
    let ended = match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panicked)) => Err(Stop::Kit(format!("the case panicked: {panicked}"))),
        Err(_) => {
            task.abort();
            let text = format!("the case did not end within {limit:?}");
            Err(Stop::Kit(text))
        }
    };
    let duration_ms = millis(start.elapsed());
    // Before the cleaning, which is no part of the case.
    let (notes, exchanges) = (cx.notes(), cx.exchanges());
    let left = if keep { Vec::new() } else { cx.clean().await };
    let silent = matches!(ended, Err(Stop::Provider { .. }));
    let mut judged = judged(&case, &shared, &notes, ended.as_ref().err());
    let redacted = |texts: Vec<String>| -> Vec<String> {
        texts.iter().map(|text| cx.redacted(text)).collect()
    };
    for one in judged.values_mut() {
        one.reasons = redacted(std::mem::take(&mut one.reasons));
    }
    let status = judged.values().map(|one| one.status).max();
    let status = status.unwrap_or(Status::Pass);
    let failed = status > Status::Pass;
    Done {
        report: CaseReport {
            name: case.name.to_owned(),
            status,
            duration_ms,
            judged,
            stopped: ended.err().map(|stop| cx.redacted(&stop_text(&stop))),
            retries: notes.retries,
            notes: redacted(notes.notes),
            exchanges: if failed { exchanges } else { Vec::new() },
        },
        left,
        silent,
    }
}

fn stop_text(stop: &Stop) -> String {
    let mut text = stop.to_string();
    // What this one says has its source in it.
    let mut source = match stop {
        Stop::Provider { source, .. } => std::error::Error::source(source),
        stop => std::error::Error::source(stop),
    };
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// What the case makes of each of its requirements.
fn judged(
    case: &Case,
    shared: &Shared,
    notes: &CaseNotes,
    stop: Option<&Stop>,
) -> BTreeMap<String, Judged> {
    let mut judged: BTreeMap<String, Judged> = BTreeMap::new();
    let mut raise = |id: &str, status: Status, reason: Option<String>| {
        let entry = judged.entry(id.to_owned()).or_insert(Judged {
            status,
            reasons: Vec::new(),
        });
        if status > entry.status {
            entry.status = status;
            entry.reasons.clear();
        }
        if status == entry.status {
            entry.reasons.extend(reason);
        }
    };
    for check in &notes.checks {
        if shared.target.beyond_judging(check.id).is_some() {
            continue;
        }
        match &check.verdict {
            Look::Holds => raise(check.id, Status::Pass, None),
            Look::Fails(why) => raise(check.id, failure(check.id), Some(why.clone())),
            Look::NotApplicable(why) => raise(check.id, Status::NotApplicable, Some(why.clone())),
        }
    }
    let looked = |id: &str| notes.checks.iter().any(|check| check.id == id);
    let applies =
        |id: &&&str| requirement(id).is_some_and(|one| shared.declared.lacks(one).is_none());
    let all_looked = case
        .requirements
        .iter()
        .filter(applies)
        .all(|id| looked(id));
    for id in case.requirements {
        let lacks = requirement(id).and_then(|one| shared.declared.lacks(one));
        if let Some(name) = lacks {
            raise(id, Status::Skip, Some(format!("{name} is not declared")));
            continue;
        }
        if let Some(why) = shared.target.beyond_judging(id) {
            raise(id, Status::NotApplicable, Some(why.to_owned()));
            continue;
        }
        let rest = match stop {
            Some(Stop::Kit(why)) => Some((Status::Error, why.clone())),
            // An answer failed to come: that is the fault of what was about to be judged. What
            // holds so far may have been about to be judged again.
            Some(stop @ Stop::Provider { .. }) if !looked(id) || all_looked => {
                Some((failure(id), stop_text(stop)))
            }
            Some(stop @ (Stop::Provider { .. } | Stop::Setup(_))) => {
                Some((Status::Unreached, stop_text(stop)))
            }
            _ if looked(id) => None,
            Some(stop @ Stop::Failed) => Some((Status::Unreached, stop_text(stop))),
            None => Some((Status::Error, "the case did not judge it".to_owned())),
        };
        if let Some((status, why)) = rest {
            raise(id, status, Some(why));
        }
        for fault in &notes.faults {
            raise(id, Status::Error, Some(fault.clone()));
        }
    }
    judged
}

fn failure(id: &str) -> Status {
    match requirement(id).map(|one| one.level) {
        Some(Level::Should) => Status::Warn,
        _ => Status::Fail,
    }
}
