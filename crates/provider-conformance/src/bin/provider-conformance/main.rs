//! The conformance kit as a command.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its standard streams"
)]

mod args;
mod function;
mod image;
mod list;
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
        Command::List { what } => {
            list::list(&what);
            Ok(ExitCode::SUCCESS)
        }
        Command::Spec => {
            print!("{}", provider_conformance::specification());
            Ok(ExitCode::SUCCESS)
        }
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Report { command } => report::report(&command),
    };
    done.unwrap_or_else(|error| {
        eprintln!("provider-conformance: {error:#}");
        ExitCode::from(2)
    })
}
