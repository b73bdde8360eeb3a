//! How a suite is put together.

use thiserror::Error;
use time::Date;

use super::{DISCOVERED, Suite};
use crate::case::Case;
use crate::cases;
use crate::declared::{Declared, UnknownName};
use crate::report::CaseReport;
use crate::requirements::requirement;
use crate::timeouts::Timeouts;

/// A requirement that is known not to hold, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deviation {
    /// The requirement's id.
    pub id: String,
    /// Why it does not hold.
    pub reason: String,
    /// The last day on which that is accepted.
    pub until: Date,
}

/// What is wrong with what a suite was told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// No such profile or feature.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// No such requirement, area or case.
    #[error("{0:?} is no requirement (OFP-INV-007), area (INV) or case (invoke/path)")]
    Selection(String),
    /// No such requirement.
    #[error("{0:?} is no requirement, as OFP-INV-007 is one")]
    Requirement(String),
    /// A date that is none.
    #[error("{0:?} is no date, as 2027-01-31 is one")]
    Date(String),
    /// A deviation or an exemption without a reason.
    #[error("{0} needs a reason")]
    Reason(String),
}

/// Puts a [`Suite`] together.
#[derive(Debug)]
pub struct SuiteBuilder(Suite);

impl SuiteBuilder {
    pub(super) fn new() -> Self {
        Self(Suite {
            cases: cases::all(),
            declared: Declared::default(),
            declared_by: "flags",
            disabled: Vec::new(),
            only: Vec::new(),
            not_applicable: Vec::new(),
            deviations: Vec::new(),
            timeouts: Timeouts::default(),
            concurrency: 16,
            keep: false,
            look_around: true,
            progress: None,
        })
    }

    /// What the provider keeps to; `core` alone by default.
    #[must_use]
    pub fn declared(mut self, declared: Declared) -> Self {
        self.0.declared = declared;
        self
    }

    #[must_use]
    pub(crate) fn declared_by(mut self, by: &'static str) -> Self {
        self.0.declared_by = by;
        self
    }

    /// Declares what the target seems to have, whatever else was declared. Hardening is not
    /// discovered.
    #[must_use]
    pub fn discover(self) -> Self {
        self.declared_by(DISCOVERED).look_around(true)
    }

    /// Whether to look before the run what the target has without declaring it, for the notes of
    /// the report; it does by default.
    #[must_use]
    pub fn look_around(mut self, look: bool) -> Self {
        self.0.look_around = look;
        self
    }

    /// Adds a profile or a feature to what is declared.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn declare(mut self, name: &str) -> Result<Self, SuiteError> {
        self.0.declared.add(name)?;
        Ok(self)
    }

    /// Switches a requirement, an area or a case off.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn skip(mut self, what: &str) -> Result<Self, SuiteError> {
        self.0.disabled.push(self.selection(what)?);
        Ok(self)
    }

    /// Runs only what is named so: requirements, areas, cases.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn only(mut self, what: &str) -> Result<Self, SuiteError> {
        self.0.only.push(self.selection(what)?);
        Ok(self)
    }

    /// A requirement that cannot apply to this provider.
    ///
    /// # Errors
    /// When there is no such requirement, or no reason.
    pub fn not_applicable(mut self, id: &str, reason: &str) -> Result<Self, SuiteError> {
        known(id, reason)?;
        self.0
            .not_applicable
            .push((id.to_owned(), reason.to_owned()));
        Ok(self)
    }

    /// A requirement that is known not to hold, until the end of a day (`2027-01-31`).
    ///
    /// # Errors
    /// When there is no such requirement, no reason, or no such day.
    pub fn deviation(mut self, id: &str, reason: &str, until: &str) -> Result<Self, SuiteError> {
        known(id, reason)?;
        let bad = || SuiteError::Date(until.to_owned());
        let mut parts = until.splitn(3, '-').map(str::parse::<u16>);
        let mut next = || parts.next().and_then(Result::ok).ok_or_else(bad);
        let (year, month, day) = (next()?, next()?, next()?);
        let month = u8::try_from(month).ok().and_then(|one| one.try_into().ok());
        let day = u8::try_from(day).map_err(|_| bad())?;
        let until = Date::from_calendar_date(i32::from(year), month.ok_or_else(bad)?, day);
        self.0.deviations.push(Deviation {
            id: id.to_owned(),
            reason: reason.to_owned(),
            until: until.map_err(|_| bad())?,
        });
        Ok(self)
    }

    /// The limits of the run.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.0.timeouts = timeouts;
        self
    }

    /// How many cases run at the same time; 16 by default, at least 1.
    #[must_use]
    pub fn concurrency(mut self, cases: usize) -> Self {
        self.0.concurrency = cases.max(1);
        self
    }

    /// Leaves what cases create where it is.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.0.keep = keep;
        self
    }

    /// One more case, of your own.
    #[must_use]
    pub fn case(mut self, case: Case) -> Self {
        self.0.cases.push(case);
        self
    }

    /// Is told of every case that ended: which one, how many ended, how many there are.
    #[must_use]
    pub fn progress(
        mut self,
        tell: impl Fn(&CaseReport, usize, usize) + Send + Sync + 'static,
    ) -> Self {
        self.0.progress = Some(Box::new(tell));
        self
    }

    /// The suite.
    #[must_use]
    pub fn build(self) -> Suite {
        self.0
    }

    fn selection(&self, what: &str) -> Result<String, SuiteError> {
        let areas = crate::requirements::areas();
        let is_area = areas.iter().any(|area| area.code == what);
        let is_case = self
            .0
            .cases
            .iter()
            .any(|case| case.name == what || case.name.split('/').next() == Some(what));
        if is_area || is_case || requirement(what).is_some() {
            Ok(what.to_owned())
        } else {
            Err(SuiteError::Selection(what.to_owned()))
        }
    }
}

fn known(id: &str, reason: &str) -> Result<(), SuiteError> {
    if requirement(id).is_none() {
        return Err(SuiteError::Requirement(id.to_owned()));
    }
    if reason.trim().is_empty() {
        return Err(SuiteError::Reason(id.to_owned()));
    }
    Ok(())
}
