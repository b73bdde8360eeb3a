//! Serves the provider with defects of choice, or runs every case against every defect.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on its standard streams"
)]

use std::time::Duration;

use clap::{Parser, Subcommand};
use faulty_provider::harness::{self, Cases};
use faulty_provider::{Defect, Options, Provider};
use provider_conformance::Paint;

#[derive(Debug, Parser)]
#[command(about = "An in-memory provider that can be told to be wrong")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is interrupted, for `provider-conformance run --url`
    Serve {
        /// Where
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
        /// User and password for the API
        #[arg(long, value_name = "USER:PASSWORD")]
        credentials: Option<String>,
        /// How many milliseconds a function may take for the first byte of a reply
        #[arg(long, default_value_t = 2_000)]
        first_byte: u64,
        /// What is wrong with it
        #[arg(value_name = "DEFECT")]
        defects: Vec<Defect>,
    },
    /// Runs the kit against the provider without a defect, or with each of those named
    Check {
        /// Runs only the cases that judge the requirement of the defect
        #[arg(long)]
        own: bool,
        /// What is wrong with it
        #[arg(value_name = "DEFECT")]
        defects: Vec<Defect>,
    },
    /// Runs every case against every defect and prints each defect as its run ends: about as long
    /// as a run of the kit for each of them
    Cross,
    /// Lists the defects
    List,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve {
            listen,
            credentials,
            first_byte,
            defects,
        } => {
            let options = Options {
                first_byte: Duration::from_millis(first_byte),
                credentials: credentials.map(|pair| {
                    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
                    (user.to_owned(), password.to_owned())
                }),
            };
            let provider = Provider::start(&listen, options).await?;
            for defect in defects {
                provider.set(defect, true);
            }
            println!("{}", provider.url());
            println!(
                "check it with: provider-conformance run --url {}",
                provider.url()
            );
            tokio::signal::ctrl_c().await?;
        }
        Command::Check { own, defects } => {
            let which = if own { Cases::Own } else { Cases::Profile };
            if defects.is_empty() {
                println!("{}", harness::faultless().await?.console(Paint::new(false)));
            }
            check(defects, which).await?;
        }
        Command::Cross => check(Defect::ALL.to_vec(), Cases::All).await?,
        Command::List => {
            for defect in Defect::ALL {
                println!("{} {defect:32} {}", defect.found_by(), defect.about());
            }
        }
    }
    Ok(())
}

/// Prints what the kit finds of each defect; an error where one is missed.
async fn check(defects: Vec<Defect>, which: Cases) -> anyhow::Result<()> {
    let all = defects.len();
    let mut caught = 0;
    let mut broken = Vec::new();
    harness::mutants(defects, which, |mutant| match mutant {
        Ok(mutant) => {
            println!("{mutant}");
            caught += usize::from(mutant.found);
        }
        Err(error) => broken.push(error),
    })
    .await;
    if let Some(error) = broken.pop() {
        return Err(error.context("a run could not be made"));
    }
    println!("{caught} of {all} defects are found by the requirement that names them");
    anyhow::ensure!(caught == all, "{} are not", all - caught);
    Ok(())
}
