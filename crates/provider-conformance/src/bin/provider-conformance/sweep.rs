//! `sweep`.

use std::process::ExitCode;

use provider_conformance::{Created, Workload};

use crate::args::TargetArgs;
use crate::output::{complain, say};
use crate::run::{block_on, target};

pub(crate) fn sweep(arguments: &TargetArgs) -> anyhow::Result<ExitCode> {
    // Nothing is deployed.
    let command = String::new();
    let target = target(arguments, Workload::Process { command })?;
    let swept = block_on(provider_conformance::sweep(&target))??;
    for created in &swept.removed {
        let gone = match created {
            Created::Function { name, namespace } => format!("function {name} {namespace}"),
            Created::Secret { name, namespace } => format!("secret {name} {namespace}"),
            Created::Namespace { name } => format!("namespace {name}"),
            other => format!("{other:?}"),
        };
        say(format_args!("{gone}\n"))?;
    }
    for problem in &swept.left {
        complain(format_args!("{problem}\n"));
    }
    Ok(if swept.left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
