//! A run: which cases, how, and what they come to.

mod builder;
mod discover;
mod preflight;
mod run;
mod weigh;

pub use builder::{Deviation, SuiteBuilder, SuiteError};
pub use preflight::RunError;
pub(crate) use weigh::verdict;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::context::{Context, Created, Shared, remove};
use crate::declared::Declared;
use crate::report::{CaseReport, Report, SCHEMA, TargetReport};
use crate::requirement::Requirement;
use crate::requirements::requirements;
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
    pub(crate) look_around: bool,
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
        let mut shared = self.shared(target);
        let info = preflight::look(&shared).await?;
        let mut notes = Vec::new();
        if self.look_around {
            let seen = self.discover(&shared, &mut notes).await;
            if self.declared_by == DISCOVERED {
                shared.declared = seen?;
            } else {
                // Whatever went wrong there, the cases will say it better.
                let seen = seen.unwrap_or_default();
                let declared = shared.declared.names_declared();
                let more = seen.names_declared().into_iter();
                notes.extend(
                    more.filter(|name| !declared.contains(name))
                        .map(|name| format!("{name} is not declared, and seems to work")),
                );
            }
        }
        let shared = Arc::new(shared);
        notes.extend(beyond_judging(&shared));
        let (cases, said) = self.run_cases(&shared).await;
        notes.extend(said);
        if shared.starts.hopeless() {
            notes.push(match &target.workload {
                Workload::Process { command } => format!(
                    "no function has become available: can the provider run `{command}`? \
                     --command says what it runs, --workload which image"
                ),
                Workload::Image { reference } => format!(
                    "no function has become available: can the provider pull {reference}? \
                     --workload says which image"
                ),
            });
        }
        let (requirements, said) = self.weigh(&shared.declared, &cases, started.date());
        notes.extend(said);
        let verdict = verdict(&requirements, &cases);
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
            declared: shared.declared.clone(),
            declared_by: self.declared_by.to_owned(),
            requirements,
            cases,
            notes,
            digest: String::new(),
        })
    }

    fn shared(&self, target: &Target) -> Shared {
        Shared {
            target: target.clone(),
            timeouts: self.timeouts,
            declared: self.declared.clone(),
            run: run_name(),
            counter: Arc::new(AtomicU64::new(1)),
            starts: Arc::default(),
        }
    }

    /// What the target seems to have.
    async fn discover(
        &self,
        shared: &Shared,
        notes: &mut Vec<String>,
    ) -> Result<Declared, RunError> {
        let cx = Context::new(Arc::new(shared.clone()), &[]);
        let limit = self.timeouts.case;
        let seen = tokio::time::timeout(limit, discover::look(&cx)).await;
        if !self.keep {
            notes.extend(cx.clean().await);
        }
        match seen {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(stop)) => Err(preflight::stopped(stop, &cx)),
            Err(_) => Err(RunError::Kit(format!("discovery did not end in {limit:?}"))),
        }
    }
}

/// How many of the requirements that are declared cannot be judged on such a target.
fn beyond_judging(shared: &Shared) -> Option<String> {
    let declared = |one: &&Requirement| shared.declared.lacks(one).is_none();
    let beyond = |one: &&Requirement| shared.target.beyond_judging(one.id).is_some();
    let count = requirements()
        .iter()
        .filter(declared)
        .filter(beyond)
        .count();
    (count > 0).then(|| {
        format!("{count} requirements are not applicable: a gateway does what they are about its own way")
    })
}

/// What discovery is called in a report.
pub(crate) const DISCOVERED: &str = "discovered";

/// Removes what earlier runs left on a target, whoever they were; gives what was removed, and what
/// could not be.
///
/// Do not use it while somebody else's run is under way there.
///
/// # Errors
/// When nobody answers there, the credentials are wrong, or it is no provider.
pub async fn sweep(target: &Target) -> Result<Swept, RunError> {
    let suite = Suite::builder().build();
    let shared = suite.shared(target);
    preflight::look(&shared).await?;
    let cx = Context::new(Arc::new(shared), &[]);
    let found = discover::left_over(&cx).await;
    let found = found.map_err(|stop| preflight::stopped(stop, &cx))?;
    let mut swept = Swept::default();
    for created in found {
        match remove(&cx, &created).await {
            Ok(()) => swept.removed.push(created),
            Err(problem) => swept.left.push(cx.redacted(&problem)),
        }
    }
    Ok(swept)
}

/// What a sweep did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// What is gone.
    pub removed: Vec<Created>,
    /// What is still there, and why.
    pub left: Vec<String>,
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

#[cfg(test)]
mod tests;
