//! `report`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use provider_conformance::Report;

use crate::args::ReportCommand;

pub(crate) fn report(command: &ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Verify { file } => {
            let report = read(file)?;
            if let Err(wrong) = report.verify() {
                for one in wrong {
                    eprintln!("{}: {one}", file.display());
                }
                return Ok(ExitCode::FAILURE);
            }
            println!(
                "{}: whole: {} {}: {}",
                file.display(),
                report.target.provider,
                report.target.release,
                report.verdict
            );
        }
        ReportCommand::Html { file, output } => {
            let html = read(file)?.html();
            match output {
                Some(output) => fs::write(output, html)
                    .with_context(|| format!("{} cannot be written", output.display()))?,
                None => print!("{html}"),
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
