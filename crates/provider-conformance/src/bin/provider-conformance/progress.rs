//! How far a run is, on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provider_conformance::{CaseReport, Status};

use crate::output::complain;

/// One line of standard error that is written anew and anew; nothing where that is no terminal.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    lively: bool,
    failed: Arc<AtomicUsize>,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            lively: std::io::stderr().is_terminal(),
            failed: Arc::default(),
        }
    }

    /// Replaces what the line said.
    pub(crate) fn put(&self, text: &str) {
        if self.lively {
            // What is longer than the terminal is wide is cut off, and begins no second line.
            complain(format_args!("\r\u{1b}[K\u{1b}[?7l{text}\u{1b}[?7h"));
        }
    }

    /// A case has ended.
    pub(crate) fn tell(&self, case: &CaseReport, ended: usize, total: usize) {
        let fails = usize::from(case.status >= Status::Fail);
        let failed = match self.failed.fetch_add(fails, Ordering::Relaxed) + fails {
            0 => String::new(),
            count => format!(", {count} failed"),
        };
        self.put(&format!("{ended} of {total} cases{failed}: {}", case.name));
    }
}
