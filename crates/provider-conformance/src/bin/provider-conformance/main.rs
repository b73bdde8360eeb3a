//! The conformance kit as a command.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its standard streams"
)]

mod args;
mod function;
mod list;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Command, CommandLine};

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Function => function::function(),
        Command::List { what } => {
            list::list(&what);
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("provider-conformance: {error:#}");
        ExitCode::from(2)
    })
}
