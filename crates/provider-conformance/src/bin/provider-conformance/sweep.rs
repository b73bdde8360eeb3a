//! `sweep`.

use std::process::ExitCode;

use provider_conformance::{Created, Workload};

use crate::args::TargetArgs;
use crate::run::{block_on, target};

pub(crate) fn sweep(arguments: &TargetArgs) -> anyhow::Result<ExitCode> {
    // Nothing is deployed.
    let command = String::new();
    let target = target(arguments, Workload::Process { command })?;
    let swept = block_on(provider_conformance::sweep(&target))??;
    for created in &swept.removed {
        match created {
            Created::Function { name, namespace } => println!("function {name} {namespace}"),
            Created::Secret { name, namespace } => println!("secret {name} {namespace}"),
            Created::Namespace { name } => println!("namespace {name}"),
            other => println!("{other:?}"),
        }
    }
    for problem in &swept.left {
        eprintln!("{problem}");
    }
    Ok(if swept.left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
