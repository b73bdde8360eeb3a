//! A running `journalctl`: its lines, its failure, its end.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use provider_types::ProviderError;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What a client is told; the reason is the cause.
const UNREADABLE: &str = "the journal cannot be read";

/// As much as is kept of what the process writes to its standard error.
const MAX_WORDS: u64 = 4096;

/// Lines longer than this do not leave their room behind.
const KEPT_ROOM: usize = 64 * 1024;

/// What went wrong with the process, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalctlError {
    #[error("could not start {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("could not read what journalctl writes")]
    Read(#[source] io::Error),
    #[error("journalctl failed, {status}: {words}")]
    Failed { status: ExitStatus, words: String },
    #[error("journalctl found no journal: {words}")]
    NoJournal { words: String },
}

impl From<JournalctlError> for ProviderError {
    fn from(error: JournalctlError) -> Self {
        Self::internal(UNREADABLE).with_cause(error)
    }
}

/// A process that is killed and waited for when this is dropped.
pub(super) struct Process {
    /// `None` once it was waited for.
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    /// What it wrote to its standard error, once that is closed.
    words: JoinHandle<String>,
    runtime: Handle,
}

impl Process {
    pub(super) fn start(mut command: Command) -> Result<Self, ProviderError> {
        let runtime = Handle::try_current()
            .map_err(|error| ProviderError::internal(UNREADABLE).with_cause(error))?;
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Where the runtime ends before our own task has run.
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|source| JournalctlError::Start {
            program: command.as_std().get_program().into(),
            source,
        })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(ProviderError::internal(UNREADABLE));
        };
        Ok(Self {
            child: Some(child),
            stdout: BufReader::new(stdout),
            words: runtime.spawn(collect(stderr)),
            runtime,
        })
    }

    /// Reads the next line without its newline, however long; `false` at the end.
    pub(super) async fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, ProviderError> {
        line.clear();
        line.shrink_to(KEPT_ROOM);
        let read = self.stdout.read_until(b'\n', line).await;
        Ok(read.map_err(JournalctlError::Read)? > 0)
    }

    /// Waits for the process, whose lines are at their end; gives what it wrote to its standard
    /// error.
    pub(super) async fn end(&mut self) -> Result<String, ProviderError> {
        let Some(mut child) = self.child.take() else {
            return Ok(String::new());
        };
        let status = child.wait().await.map_err(JournalctlError::Read)?;
        let words = (&mut self.words).await.unwrap_or_default();
        if !status.success() {
            return Err(JournalctlError::Failed { status, words }.into());
        }
        Ok(words)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.runtime.spawn(async move {
                // Kills, then waits, so that no zombie stays. It fails only where it has ended.
                let _ = child.kill().await;
            });
        }
    }
}

/// Reads all of it, so that the process never waits for us, and keeps the start.
async fn collect(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut start = (&mut stderr).take(MAX_WORDS);
    if start.read_to_end(&mut kept).await.is_ok() {
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
