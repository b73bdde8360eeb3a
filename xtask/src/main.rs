//! The project's own tasks: `cargo xtask test`, `ci`, `conformance`, `bench` and `tidy`.
//!
//! `test` sets up what the tests need and runs them; `ci` runs every gate that a change must pass;
//! `tidy` holds the rules about the tree that no compiler knows.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on its standard streams"
)]

mod bench;
mod ci;
mod conformance;
mod journald;
mod metadata;
mod packages;
mod runner;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runner::Runner;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Installs what the tests need where it may, then runs every test that needs no Go
    Test {
        /// Passed on to the test programs, for example the name of a test
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Runs every gate in order and prints what each took; fails when one fails
    Ci {
        /// Runs only the named stages
        #[arg(value_name = "STAGE")]
        stages: Vec<String>,
    },
    /// Measures what a call through the proxy costs, beside nginx and Go, and how soon functions answer
    Bench {
        /// Measures only what is named: calls, start, demand, many, logs
        #[arg(value_name = "WHAT", value_parser = bench::PARTS)]
        parts: Vec<String>,
        /// How often each is measured
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// How long each time
        #[arg(long, default_value_t = 4)]
        seconds: u32,
    },
    /// Checks a provider, or our own ones, with the conformance kit
    Conformance(Box<conformance::Arguments>),
    /// Checks dependency edges, manifests, licences, files and documents
    Tidy,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().task {
        Task::Test { arguments } => test::run(&Runner::unlimited(), &arguments)?,
        Task::Ci { stages } => ci::run(&stages)?,
        Task::Bench {
            parts,
            rounds,
            seconds,
        } => bench::run(&parts, rounds, seconds)?,
        Task::Conformance(arguments) => {
            return conformance::run(&Runner::unlimited(), &arguments);
        }
        Task::Tidy => tidy::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
