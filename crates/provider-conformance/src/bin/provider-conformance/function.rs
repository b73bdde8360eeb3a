//! `function`: the test function, as a program.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use provider_conformance::{FunctionSettings, TestFunction};
use tokio::signal::unix::{SignalKind, signal};

use crate::run::block_on;

/// Runs it until SIGTERM or SIGINT.
pub(crate) fn function() -> Result<ExitCode> {
    let variables = std::env::vars_os().map(|(name, value)| {
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        (text(name), text(value))
    });
    let mut settings = FunctionSettings::from_variables(variables)?;
    settings.arguments = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    settings.stdout = Box::new(std::io::stdout());
    settings.stderr = Box::new(std::io::stderr());
    let address = settings.address;

    let code = block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let function = TestFunction::bind(settings)
            .await
            .with_context(|| format!("no function can listen on {address}"))?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        anyhow::Ok(function.serve(stop).await)
    })??;
    Ok(ExitCode::from(code))
}
