//! The conformance kit as a command.

mod args;
mod function;
mod image;
mod list;
mod output;
mod progress;
mod report;
mod run;
mod sweep;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Command, CommandLine};

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Function => function::function(),
        Command::Image { layout, program } => image::image(&layout, program.as_deref()),
        Command::Registry { listen, program } => image::registry(listen, program.as_deref()),
        Command::List { what } => output::say(list::list(&what)).map(|()| ExitCode::SUCCESS),
        Command::Spec => {
            output::say(provider_conformance::specification()).map(|()| ExitCode::SUCCESS)
        }
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Report { command } => report::report(&command),
    };
    done.unwrap_or_else(|error| {
        output::complain(format_args!("provider-conformance: {error:#}\n"));
        ExitCode::from(2)
    })
}
