//! `cargo xtask ci`: every gate in order, each with a time budget.

mod gates;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::runner::Runner;
use report::{Ended, Row};

/// A stage is ended, and has failed, at this many times its budget.
const BY_FAR: u32 = 3;

/// One gate.
struct Stage {
    name: &'static str,
    /// How long it takes on two cores with nothing built, with room to spare.
    budget: Duration,
    run: fn(&Runner) -> Result<Gate>,
}

/// How a gate that did not fail ended.
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    /// It ran and holds.
    Passed,
    /// It could not run here; that is not the same as passed.
    NotRun(String),
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Cheap ones first. What a stage builds, the later ones use.
const STAGES: [Stage; 14] = [
    Stage {
        name: "fmt",
        budget: minutes(1),
        run: gates::fmt,
    },
    Stage {
        name: "tidy",
        budget: minutes(1),
        run: gates::tidy,
    },
    Stage {
        name: "clippy",
        budget: minutes(5),
        run: gates::clippy,
    },
    Stage {
        name: "docs",
        budget: minutes(3),
        run: gates::docs,
    },
    Stage {
        name: "test",
        // Four of them are the mutants of the conformance kit.
        budget: minutes(16),
        run: gates::test,
    },
    Stage {
        name: "conformance",
        budget: minutes(2),
        run: gates::conformance,
    },
    Stage {
        name: "tls",
        budget: minutes(3),
        run: gates::tls,
    },
    Stage {
        name: "model",
        budget: minutes(2),
        run: gates::model,
    },
    Stage {
        name: "interop",
        budget: minutes(8),
        run: gates::interop,
    },
    Stage {
        name: "msrv",
        budget: minutes(4),
        run: gates::msrv,
    },
    Stage {
        name: "macos",
        budget: minutes(3),
        run: gates::macos,
    },
    Stage {
        name: "deny",
        budget: minutes(2),
        run: gates::deny,
    },
    Stage {
        name: "release",
        budget: minutes(8),
        run: gates::release,
    },
    Stage {
        name: "readme",
        budget: minutes(2),
        run: gates::readme,
    },
];

/// Runs the named stages, or all. One that fails does not keep the later ones from running.
///
/// # Errors
/// When a stage fails or takes far longer than its budget, and for a name that no stage has.
pub(crate) fn run(only: &[String]) -> Result<()> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != name.as_str()))
    {
        let names = STAGES.map(|stage| stage.name).join(", ");
        bail!("no stage is called {unknown}; there are {names}");
    }

    let mut rows = Vec::new();
    for stage in &STAGES {
        if !only.is_empty() && !only.iter().any(|name| name == stage.name) {
            continue;
        }
        println!(
            "\n== {} (budget {} min)",
            stage.name,
            stage.budget.as_secs() / 60
        );
        let start = Instant::now();
        let result = (stage.run)(&Runner::limited(stage.budget * BY_FAR));
        rows.push(Row {
            name: stage.name,
            budget: stage.budget,
            took: start.elapsed(),
            ended: match result {
                Ok(Gate::Passed) => Ended::Passed,
                Ok(Gate::NotRun(reason)) => Ended::NotRun(reason),
                Err(error) => {
                    println!("{} failed: {error:#}", stage.name);
                    Ended::Failed(format!("{error:#}"))
                }
            },
        });
    }

    print!("\n{}", report::table(&rows));
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.counts_as_failure())
        .map(|row| row.name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
