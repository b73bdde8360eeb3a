//! Runs the kit against the provider: without a defect, and with each.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use provider_conformance::{
    Declared, Feature, Report, Status, Suite, Target, Timeouts, Workload, cases, requirement,
};

use tokio::task::JoinSet;

use crate::defect::Defect;
use crate::instance::PROGRAM;
use crate::provider::Provider;
use crate::state::Options;

const USER: &str = "admin";
const PASSWORD: &str = "a-password-of-the-harness";

/// Cases that every mutant runs besides those of its profile: they show that the rest still works.
const SAMPLE: &[&str] = &["functions"];

/// How many mutants run at the same time.
const AT_ONCE: usize = 8;

/// Which cases are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cases {
    /// All of them.
    All,
    /// Those that judge a requirement of the profile of the defect's own, and the sample.
    Profile,
    /// Those that judge the defect's own requirement.
    Own,
}

/// What the kit made of a provider with one defect.
#[derive(Debug)]
pub struct Mutant {
    /// What was wrong with the provider.
    pub defect: Defect,
    /// Whether the requirement that it names has failed.
    pub found: bool,
    /// Other MUSTs that failed.
    pub others: BTreeSet<String>,
    /// What the kit said.
    pub report: Report,
}

impl Mutant {
    /// Whether no other MUST has failed, but for those that cannot hold where this one's does not.
    #[must_use]
    pub fn fails_alone(&self) -> bool {
        let along: BTreeSet<_> = self.defect.falls_along().iter().copied().collect();
        self.others.iter().all(|id| along.contains(id.as_str()))
    }
}

/// What the provider keeps to: all that there is, but for what functions use.
#[must_use]
pub fn declared() -> Declared {
    let mut declared = Declared::all();
    declared.features.remove(&Feature::Usage);
    declared
}

/// Runs cases against the provider without a defect.
///
/// # Errors
/// When the kit or the provider cannot run.
pub async fn faultless() -> anyhow::Result<Report> {
    run(&[], None).await
}

/// Runs cases against the provider with a defect.
///
/// # Errors
/// When the kit or the provider cannot run.
pub async fn mutant(defect: Defect, which: Cases) -> anyhow::Result<Mutant> {
    let id = defect.found_by();
    let report = run(&[defect], selection(id, which)).await;
    let report = report.with_context(|| format!("with {defect}"))?;
    let failed = |status| matches!(status, Status::Fail | Status::Warn);
    let found = report.requirement(id).is_some_and(|one| failed(one.status));
    let others = report.with_status(Status::Fail).filter(|one| one.id != id);
    Ok(Mutant {
        defect,
        found,
        others: others.map(|one| one.id.clone()).collect(),
        report,
    })
}

/// Runs cases against the provider with each of these defects, several at the same time; `each` is
/// given them as they end.
pub async fn mutants(
    defects: Vec<Defect>,
    which: Cases,
    mut each: impl FnMut(anyhow::Result<Mutant>),
) {
    let mut waiting = defects.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE {
            let Some(defect) = waiting.next() else { break };
            running.spawn(mutant(defect, which));
        }
        match running.join_next().await {
            Some(ended) => each(ended.unwrap_or_else(|error| Err(error.into()))),
            None => return,
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (defect, id) = (self.defect, self.defect.found_by());
        let verdict = if self.found { "found" } else { "MISSED" };
        write!(
            f,
            "{verdict:6} {id} {defect:28} {:6} ms",
            self.report.duration_ms
        )?;
        if !self.found {
            let status = self.report.requirement(id).map(|one| one.status);
            let status = status.map_or_else(String::new, |status| status.to_string());
            write!(f, " ({id}: {status})")?;
        }
        for id in &self.others {
            let reasons = self
                .report
                .requirement(id)
                .map(|one| one.reasons.join("; "));
            write!(f, "\n       besides {id}: {}", reasons.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// The names of the cases that are run; `None` for all.
fn selection(id: &str, which: Cases) -> Option<Vec<&'static str>> {
    let profile = requirement(id).map(|one| one.profile);
    let concerns = |other: &&str| match which {
        Cases::All => true,
        Cases::Profile => requirement(other).map(|one| one.profile) == profile,
        Cases::Own => *other == id,
    };
    let sample = |name: &str| {
        let area = name.split('/').next().unwrap_or_default();
        which == Cases::Profile && (SAMPLE.contains(&name) || SAMPLE.contains(&area))
    };
    let all = cases();
    let chosen = all
        .iter()
        .filter(|case| case.requirements.iter().any(&concerns) || sample(case.name));
    (which != Cases::All).then(|| chosen.map(|case| case.name).collect())
}

async fn run(defects: &[Defect], only: Option<Vec<&'static str>>) -> anyhow::Result<Report> {
    let options = Options {
        credentials: Some((USER.to_owned(), PASSWORD.to_owned())),
        ..Options::default()
    };
    let provider = Provider::start("127.0.0.1:0", options).await?;
    for defect in defects {
        provider.set(*defect, true);
    }
    let command = PROGRAM.to_owned();
    let target = Target::new(&provider.url(), Workload::Process { command })?;
    let target = target.basic_auth(USER, PASSWORD);
    let mut suite = Suite::builder()
        .declared(declared())
        .timeouts(timeouts())
        .look_around(false);
    for name in only.into_iter().flatten() {
        suite = suite.only(name)?;
    }
    Ok(suite.build().run(&target).await?)
}

/// Functions here start within milliseconds, and mutants wait in vain for much.
fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.answer = Duration::from_secs(5);
    timeouts.ready = Duration::from_secs(2);
    timeouts.settle = Duration::from_secs(2);
    timeouts
}
