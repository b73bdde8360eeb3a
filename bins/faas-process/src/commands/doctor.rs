//! `faas-process doctor`.

mod host;
mod place;
mod reach;

use std::fmt;
use std::io::{self, Write as _};

use crate::config::Settings;
use crate::failure::{Failure, Kind};

/// Look for what keeps a provider from working, and say how to mend it
///
/// Takes the flags of the provider. Changes nothing; works while the provider runs. For what it
/// finds of control groups and limits on resources to be true of a service, run it as the service
/// is run.
///
/// Exit code 0 when nothing keeps the provider from working, 1 otherwise. Warnings do not count.
#[derive(Debug, clap::Args)]
#[group(id = "doctor")]
pub(crate) struct Args {
    /// Print the findings as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: crate::args::Args,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    name: &'static str,
    level: Level,
    found: String,
    /// What to do about it.
    mend: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Args {
    pub(super) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        let Self { json, serve } = self;
        let findings = match Settings::read(serve, &variable) {
            Ok(settings) => all(&settings, &variable),
            Err(failure) => vec![
                Finding::fail("settings", failure.to_string())
                    .mend("give the flag or variable a value that `faas-process --help` allows"),
            ],
        };
        let failed = findings.iter().filter(|it| it.level == Level::Fail).count();
        let text = if json {
            as_json(&findings)
        } else {
            findings.iter().map(ToString::to_string).collect()
        };
        // Where nobody reads it, the exit code still tells.
        let _ = io::stdout().write_all(text.as_bytes());
        match failed {
            0 => Ok(()),
            count => Err(Failure {
                kind: Kind::Running,
                error: anyhow::anyhow!(
                    "{count} of {} checks failed: a provider does not work like this",
                    findings.len()
                ),
            }),
        }
    }
}

fn all(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let provider = place::running(settings);
    let mut findings = vec![Finding::ok("settings", "flags and variables make sense")];
    findings.push(place::provider(provider.as_deref()));
    findings.extend(host::limits(settings));
    findings.push(host::sandbox(settings));
    findings.push(host::secrets());
    findings.push(host::open_files());
    findings.push(host::processes());
    findings.push(host::clock(&settings.state_dir));
    findings.extend(place::disk(&settings.state_dir));
    findings.extend(place::permissions(settings, provider.is_some()));
    findings.extend(reach::ports(settings, provider.as_deref()));
    findings.extend(reach::role(settings, variable));
    findings
}

fn as_json(findings: &[Finding]) -> String {
    let checks: Vec<serde_json::Value> = findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "name": finding.name,
                "status": finding.level.name(),
                "found": finding.found,
                "mend": finding.mend,
            })
        })
        .collect();
    let ok = findings.iter().all(|it| it.level != Level::Fail);
    format!("{}\n", serde_json::json!({ "ok": ok, "checks": checks }))
}

// === impl Finding ===

impl Finding {
    fn new(name: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self {
            name,
            level,
            found: found.into(),
            mend: None,
        }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Ok, found)
    }

    fn warn(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Warn, found)
    }

    fn fail(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Fail, found)
    }

    fn mend(mut self, how: impl Into<String>) -> Self {
        self.mend = Some(how.into());
        self
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            level,
            found,
            mend,
        } = self;
        writeln!(f, "{:<5}{name:<12}{found}", level.name())?;
        match mend {
            Some(mend) => writeln!(f, "{:17}mend: {mend}", ""),
            None => Ok(()),
        }
    }
}
