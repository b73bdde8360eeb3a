//! `run`.

use std::fmt::Write as _;
use std::fs;
use std::future::pending;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use provider_conformance::{
    Declaration, Declared, ImageRegistry, Paint, Report, Status, Suite, Target, Timeouts, Workload,
};

use crate::args::{Run, TargetArgs};
use crate::image;
use crate::output::{complain, say};
use crate::progress::Line;

pub(crate) fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let mut builder = Suite::builder()
        .concurrency(arguments.concurrency)
        .timeouts(Timeouts::default().scaled(arguments.patience))
        .keep(arguments.keep);
    if let Some(file) = &arguments.declaration {
        let said = Declaration::read(file).with_context(|| file.display().to_string())?;
        builder = builder.declaration(&said)?;
    }
    match &arguments.features {
        Some(names) if names.iter().any(|name| name == "all") => {
            builder = builder.declared(Declared::all());
        }
        Some(names) => {
            for name in names {
                builder = builder.declare(name)?;
            }
        }
        None if arguments.declaration.is_none() => builder = builder.discover(),
        None => {}
    }
    for what in &arguments.skip {
        builder = builder.skip(what)?;
    }
    for what in &arguments.only {
        builder = builder.only(what)?;
    }
    let line = Line::new();
    line.put("looking at the provider");
    let told = line.clone();
    let suite = builder
        .progress(move |case, ended, total| told.tell(case, ended, total))
        .build();
    let report = block_on(async {
        let (workload, registry) = workload(arguments).await?;
        let target = target(&arguments.target, workload)?;
        let serving = async {
            match registry {
                Some(registry) => registry.serve(pending()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            report = suite.run(&target) => Ok(report?),
            () = serving => bail!("the registry has ended"),
        }
    })?;
    line.put("");
    let report = report?;
    write(arguments, &report)?;
    // https://no-color.org
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colours = wanted && std::io::stdout().is_terminal();
    say(report.console(Paint::new(colours)))?;
    complain(next(arguments, &report));
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// What the user can do about what was found.
fn next(arguments: &Run, report: &Report) -> String {
    let mut text = String::new();
    let failed: Vec<&str> = report
        .with_status(Status::Fail)
        .map(|one| one.id.as_str())
        .collect();
    if let Some(first) = failed.first() {
        let _ = writeln!(
            text,
            "`--only {first}` runs its cases alone, `--keep` leaves what they deploy; \
             SPEC.md says what is asked for (`provider-conformance spec`)"
        );
    }
    match &arguments.report {
        Some(directory) => {
            let _ = writeln!(text, "{}", directory.join("report.html").display());
        }
        None if !failed.is_empty() => {
            let _ = writeln!(
                text,
                "`--report DIR` writes all of it as a page and as JSON"
            );
        }
        None => {}
    }
    text
}

fn write(arguments: &Run, report: &Report) -> anyhow::Result<()> {
    let put = |file: &Path, text: String| {
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    };
    if let Some(directory) = &arguments.report {
        fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let json = report.to_json();
        // With the digest that is in the file.
        let written = Report::from_json(&json)?;
        put(&directory.join("report.html"), written.html())?;
        put(&directory.join("junit.xml"), written.junit())?;
        put(&directory.join("report.json"), json)?;
    }
    if let Some(file) = &arguments.junit {
        put(file, report.junit())?;
    }
    Ok(())
}

/// Runs what is async.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().build()?.block_on(work))
}

/// The test function as the flags want it, and the registry that it comes from.
async fn workload(arguments: &Run) -> anyhow::Result<(Workload, Option<ImageRegistry>)> {
    if let Some(address) = arguments.registry {
        let registry = image::serve(address, None).await?;
        let reference = registry.reference();
        return Ok((Workload::Image { reference }, Some(registry)));
    }
    let workload = match (&arguments.workload, &arguments.command) {
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
    };
    Ok((workload, None))
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
