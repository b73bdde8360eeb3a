//! `report`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use provider_conformance::Report;

use crate::args::ReportCommand;
use crate::output::{complain, say};

pub(crate) fn report(command: &ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Verify { file } => {
            let report = read(file)?;
            if let Err(wrong) = report.verify() {
                for one in wrong {
                    complain(format_args!("{}: {one}\n", file.display()));
                }
                return Ok(ExitCode::FAILURE);
            }
            say(format_args!(
                "{}: whole: {} {}: {}\n",
                file.display(),
                report.target.provider,
                report.target.release,
                report.verdict
            ))?;
        }
        ReportCommand::Html { file, output } => {
            let html = read(file)?.html();
            match output {
                Some(output) => fs::write(output, html)
                    .with_context(|| format!("{} cannot be written", output.display()))?,
                None => say(html)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let name = || file.display().to_string();
    let text = fs::read_to_string(file).with_context(name)?;
    Report::from_json(&text).with_context(name)
}
