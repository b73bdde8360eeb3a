//! A run: which cases, how, and what they come to.

mod builder;
mod preflight;
mod run;
mod weigh;

pub use builder::{Deviation, SuiteBuilder, SuiteError};
pub use preflight::RunError;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::context::Shared;
use crate::declared::Declared;
use crate::report::{CaseReport, Report, SCHEMA, TargetReport};
use crate::target::Target;
use crate::timeouts::Timeouts;
use crate::workload::Workload;

/// Checks providers. [`Suite::builder`] makes one.
pub struct Suite {
    pub(crate) cases: Vec<Case>,
    pub(crate) declared: Declared,
    pub(crate) declared_by: &'static str,
    pub(crate) disabled: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) not_applicable: Vec<(String, String)>,
    pub(crate) deviations: Vec<Deviation>,
    pub(crate) timeouts: Timeouts,
    pub(crate) concurrency: usize,
    pub(crate) keep: bool,
    pub(crate) progress: Option<Progress>,
}

/// Told of every case that ended: which one, how many ended, how many there are.
pub(crate) type Progress = Box<dyn Fn(&CaseReport, usize, usize) + Send + Sync>;

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite")
            .field("cases", &self.cases.len())
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}

impl Suite {
    /// A suite of all cases for `core`, to which more can be declared.
    #[must_use]
    pub fn builder() -> SuiteBuilder {
        SuiteBuilder::new()
    }

    /// Checks a target.
    ///
    /// # Errors
    /// When nobody answers there, the credentials are wrong, or it is no provider.
    pub async fn run(&self, target: &Target) -> Result<Report, RunError> {
        let start = Instant::now();
        let started = time::OffsetDateTime::now_utc();
        let shared = Arc::new(Shared {
            target: target.clone(),
            timeouts: self.timeouts,
            declared: self.declared.clone(),
            run: run_name(),
            counter: AtomicU64::new(1),
        });
        let info = preflight::look(&shared).await?;
        let (cases, mut notes) = self.run_cases(&shared).await;
        let (requirements, said) = self.weigh(&cases, started.date());
        notes.extend(said);
        let verdict = weigh::verdict(&requirements, &cases);
        Ok(Report {
            schema: SCHEMA.to_owned(),
            kit: env!("CARGO_PKG_VERSION").to_owned(),
            verdict,
            target: TargetReport {
                url: target.address.to_string(),
                role: target.role,
                provider: info.provider,
                release: info.release,
                orchestration: info.orchestration,
                workload: match &target.workload {
                    Workload::Process { command } => command.clone(),
                    Workload::Image { reference } => reference.clone(),
                },
            },
            started: started
                .replace_nanosecond(0)
                .unwrap_or(started)
                .format(&time::format_description::well_known::Rfc3339)
                .unwrap_or_default(),
            duration_ms: millis(start.elapsed()),
            declared: self.declared.clone(),
            declared_by: self.declared_by.to_owned(),
            requirements,
            cases,
            notes,
            digest: String::new(),
        })
    }
}

/// Six letters that make the names of this run its own.
fn run_name() -> String {
    std::iter::repeat_with(fastrand::lowercase)
        .take(6)
        .collect()
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
