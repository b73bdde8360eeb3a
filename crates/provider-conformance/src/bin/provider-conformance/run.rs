//! `run`.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use provider_conformance::{Paint, Suite, Target, Timeouts, Workload};

use crate::args::{Run, TargetArgs};

pub(crate) fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let target = target(&arguments.target, workload(arguments)?)?;
    let mut builder = Suite::builder()
        .concurrency(arguments.concurrency)
        .timeouts(Timeouts::default().scaled(arguments.patience))
        .keep(arguments.keep);
    for name in &arguments.features {
        builder = builder.declare(name)?;
    }
    for what in &arguments.skip {
        builder = builder.skip(what)?;
    }
    for what in &arguments.only {
        builder = builder.only(what)?;
    }
    let lively = std::io::stderr().is_terminal();
    let suite = builder
        .progress(move |case, ended, total| {
            if lively {
                eprint!("\r\u{1b}[K{ended}/{total} {}", case.name);
                if ended == total {
                    eprint!("\r\u{1b}[K");
                }
                let _ = std::io::stderr().flush();
            }
        })
        .build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(suite.run(&target))?;
    print!(
        "{}",
        report.console(Paint::new(std::io::stdout().is_terminal()))
    );
    Ok(ExitCode::from(report.verdict.exit_code()))
}

fn workload(arguments: &Run) -> anyhow::Result<Workload> {
    Ok(match (&arguments.workload, &arguments.command) {
        (Some(reference), _) => Workload::Image {
            reference: reference.clone(),
        },
        (None, Some(command)) => Workload::Process {
            command: command.clone(),
        },
        (None, None) => {
            let own = std::env::current_exe().context("the kit's own program cannot be found")?;
            Workload::Process {
                command: format!("{} function", own.display()),
            }
        }
    })
}

/// The target that the flags name.
pub(crate) fn target(arguments: &TargetArgs, workload: Workload) -> anyhow::Result<Target> {
    let mut target = Target::new(&arguments.url, workload)?;
    if arguments.gateway {
        target = target.gateway();
    }
    if let (Some(user), Some(file)) = (&arguments.user, &arguments.password_file) {
        target = target.basic_auth(user, read(file)?);
    }
    if let Some(file) = &arguments.token_file {
        target = target.bearer_auth(read(file)?);
    }
    Ok(target)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text.trim().to_owned())
}
