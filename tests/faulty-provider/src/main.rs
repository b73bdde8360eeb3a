//! Serves the provider with defects of choice, or runs every case against every defect.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on its standard streams"
)]

use std::time::Duration;

use clap::{Parser, Subcommand};
use faulty_provider::{Defect, Options, Provider};

#[derive(Debug, Parser)]
#[command(about = "An in-memory provider that can be told to be wrong")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is interrupted; a function's process is test-function
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
            let mut options = Options::default();
            options.first_byte = Duration::from_millis(first_byte);
            options.credentials = credentials.map(|pair| {
                let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
                (user.to_owned(), password.to_owned())
            });
            let provider = Provider::start(&listen, options).await?;
            for defect in defects {
                provider.set(defect, true);
            }
            println!("{}", provider.url());
            tokio::signal::ctrl_c().await?;
        }
        Command::List => {
            for defect in Defect::ALL {
                println!("{} {defect:32} {}", defect.found_by(), defect.about());
            }
        }
    }
    Ok(())
}
