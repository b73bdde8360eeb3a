//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
Exit codes of run:
  0  conformant
  1  non-conformant, or partial: not everything was judged
  2  nothing can be said: no provider there, wrong credentials, a wrong flag, or the kit failed";

#[derive(Debug, Parser)]
#[command(name = "provider-conformance", version, after_help = AFTER)]
#[command(about = "Checks an OpenFaaS provider against numbered requirements")]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks a provider, or a gateway in front of one
    Run(Box<Run>),
    /// Runs the test function, on the port in the variable port or PORT, else 8080
    Function,
    /// Writes the image of the test function as an OCI image layout
    Image {
        /// The directory that it is written to
        #[arg(value_name = "DIRECTORY")]
        layout: PathBuf,
        /// The program in it: this kit, built static [default: this very program]
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Serves the image of the test function, for pulling over plain HTTP
    Registry {
        /// Where: an address that the provider can reach
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
        listen: SocketAddr,
        /// The program in it: this kit, built static [default: this very program]
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Lists requirements, profiles and features, cases, or requirements that no case judges
    List {
        /// What to list
        #[arg(default_value = "requirements")]
        #[arg(value_parser = ["requirements", "profiles", "cases", "uncovered"])]
        what: String,
    },
    /// Prints the specification, in Markdown
    Spec,
    /// Removes what earlier runs left on a provider; not while another run is under way
    Sweep(TargetArgs),
    /// Works with a report that was written before
    Report {
        #[command(subcommand)]
        command: ReportCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Looks whether a report.json is whole and says what its parts say
    Verify {
        /// The report.json
        file: PathBuf,
    },
    /// Writes a report.json as a page of HTML
    Html {
        /// The report.json
        file: PathBuf,
        /// Where to [default: standard output]
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Where it is: http://HOST:PORT or unix:/PATH
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The user for its API
    #[arg(long, requires = "password_file")]
    pub(crate) user: Option<String>,
    /// A file with the password of the user
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// A file with a token for its API
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub(crate) token_file: Option<PathBuf>,
    /// The URL is that of a gateway: what a gateway does its own way is not judged
    #[arg(long)]
    pub(crate) gateway: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Profiles and features that it keeps to, separated by commas, or all; core always is one
    /// [default: what it seems to have]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) features: Option<Vec<String>>,
    /// A JSON file that says what it keeps to, and what is known not to hold
    #[arg(long, value_name = "FILE")]
    pub(crate) declaration: Option<PathBuf>,
    /// Write report.json, report.html and junit.xml into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// A requirement, an area or a case that is not judged; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Only this requirement, area or case; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// The command that the provider runs as the test function
    #[arg(long, value_name = "COMMAND", conflicts_with = "workload")]
    pub(crate) command: Option<String>,
    /// The image of the test function, for a provider that pulls images
    #[arg(long, value_name = "IMAGE")]
    pub(crate) workload: Option<String>,
    /// Serves the kit's own image to the provider from here while it runs
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["workload", "command"])]
    pub(crate) registry: Option<SocketAddr>,
    /// How many cases run at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// Every limit of time so many times as long
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = patience)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) patience: f64,
    /// Leave functions, secrets and namespaces of the run where they are
    #[arg(long)]
    pub(crate) keep: bool,
}

fn patience(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor <= 1000.0 => Ok(factor),
        _ => Err("patience is a number above 0, and at most 1000".to_owned()),
    }
}
