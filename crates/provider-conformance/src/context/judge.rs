//! What a case found out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One look at a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) verdict: Look,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Holds,
    Fails(String),
    NotApplicable(String),
}

/// Something that was not as it should be at first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Retry {
    /// What was waited for.
    pub what: String,
    /// How often was asked, the first time included.
    pub tries: u32,
    /// How long it took.
    pub ms: u64,
    /// Whether it came about.
    pub came: bool,
}

/// All that a case found out.
#[derive(Debug, Default, Clone)]
pub(crate) struct CaseNotes {
    pub(crate) checks: Vec<Check>,
    pub(crate) retries: Vec<Retry>,
    pub(crate) notes: Vec<String>,
    /// Faults of the case itself.
    pub(crate) faults: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Judge {
    declared: &'static [&'static str],
    notes: Mutex<CaseNotes>,
}

impl Judge {
    pub(super) fn new(declared: &'static [&'static str]) -> Self {
        Self {
            declared,
            notes: Mutex::default(),
        }
    }

    pub(super) fn check(
        &self,
        id: &'static str,
        applies: bool,
        holds: bool,
        saw: impl FnOnce() -> String,
    ) {
        // Every case judges the framing of every answer that it gets.
        if !self.declared.contains(&id) && id != "OFP-GEN-016" {
            let fault = format!("it judges {id} and does not list it");
            self.with(|notes| notes.faults.push(fault));
            return;
        }
        if !applies {
            if holds {
                return;
            }
            let note = format!("{id}, which is not declared, does not hold: {}", saw());
            return self.note(note);
        }
        let verdict = if holds {
            Look::Holds
        } else {
            Look::Fails(saw())
        };
        self.with(|notes| notes.checks.push(Check { id, verdict }));
    }

    pub(super) fn not_applicable(&self, id: &'static str, why: String) {
        let verdict = Look::NotApplicable(why);
        self.with(|notes| notes.checks.push(Check { id, verdict }));
    }

    pub(super) fn note(&self, text: String) {
        self.with(|notes| notes.notes.push(text));
    }

    pub(super) fn retried(&self, what: &str, tries: u32, took: Duration, came: bool) {
        let retry = Retry {
            what: what.to_owned(),
            tries,
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            came,
        };
        self.with(|notes| notes.retries.push(retry));
    }

    pub(super) fn notes(&self) -> CaseNotes {
        self.with(|notes| notes.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut CaseNotes) -> T) -> T {
        f(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
