//! What the binary does besides serving: one module below `commands/` for each command.
//!
//! A new command is a variant here, its arguments and its `run` in a module of its own. An error is
//! a [`Failure`], whose kind is the exit code.

mod backup;
mod doctor;
mod export;
mod file;
mod restore;

use std::path::PathBuf;

use clap::Subcommand;

use crate::config;
use crate::failure::Failure;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Backup(backup::Args),
    Restore(restore::Args),
    Export(export::Args),
    Doctor(Box<doctor::Args>),
}

/// Whose state a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The state directory [default: that of the provider, see faas-process --help]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Command {
    /// Runs the command to its end.
    pub(crate) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        match self {
            Self::Backup(args) => args.run(variable),
            Self::Restore(args) => args.run(variable),
            Self::Export(args) => args.run(variable),
            Self::Doctor(args) => args.run(variable),
        }
    }
}

impl Place {
    fn find(self, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
        config::state_dir(self.state_dir, variable)
    }
}
