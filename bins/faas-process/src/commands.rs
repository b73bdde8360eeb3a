//! What the binary does besides serving: one module below `commands/` for each command.
//!
//! A new command is a variant here, its arguments and its `run` in a module of its own. An error is
//! a [`Failure`], whose kind is the exit code.

use clap::Subcommand;

use crate::failure::Failure;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {}

impl Command {
    /// Runs the command to its end.
    #[expect(unused_variables, reason = "a command reads its variables")]
    pub(crate) fn run(self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        match self {}
    }
}
