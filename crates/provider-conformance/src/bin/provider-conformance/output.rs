//! Standard output and standard error, which may be closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;

/// Writes to standard output, as it is. A reader that has read enough is no error.
pub(crate) fn say(text: impl Display) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

/// Writes to standard error, as it is, if somebody reads it.
pub(crate) fn complain(text: impl Display) {
    let mut output = io::stderr().lock();
    let _ = write!(output, "{text}").and_then(|()| output.flush());
}
