//! A log source on systemd-journald, by `journalctl`.

mod entry;
mod process;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use provider_types::{LogEvent, LogRequest, LogSource, LogStream, ProviderError};
use tokio::process::Command;

use entry::Entry;
use process::{JournalctlError, Process};

/// Reads the journal of this host.
///
/// A function's lines are the entries whose syslog identifier is `NAMESPACE:NAME`, which is how
/// faasd writes them: `echo hi | systemd-cat -t openfaas-fn:figlet` is a line of `figlet`. The
/// instance is the process id that journald saw, and the text is `MESSAGE`, whatever its length and
/// its bytes: what is no UTF-8 becomes U+FFFD, and of a field that was given more than once each
/// value is a line of the text. An entry that cannot be read counts as one dropped line and ends
/// nothing.
///
/// Without `since` and `tail` all there is in the journal comes; there is no window of five
/// minutes. `since` is exact to the microsecond and knows no time zones. `tail`, `since` and
/// `instance` work together, whatever the version of `journalctl` makes of `--lines` beside
/// `--since`.
///
/// The journal does not know which functions exist, so nothing is ever
/// [`provider_types::ErrorKind::NotFound`]: a function without entries has an empty history. A
/// provider asks its own list first and then this source.
///
/// A query runs `journalctl` twice: shortly, to find where to begin, and then for the stream.
/// Dropping the stream kills the process and waits for it in a task. At most one entry is held in
/// memory at a time; journald decides how large one can get (`LineMax=`, 48 KiB, for what comes
/// through a pipe). Where `journalctl` is missing, fails, or finds no journal, the query is an
/// error with what it wrote to its standard error as the cause.
///
/// Needs a tokio runtime with its I/O on.
#[derive(Debug, Clone)]
pub struct Journald {
    program: PathBuf,
    directory: Option<PathBuf>,
}

impl Default for Journald {
    fn default() -> Self {
        Self::new()
    }
}

impl Journald {
    /// Reads this host's journal with the `journalctl` that is found in `PATH`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            program: "journalctl".into(),
            directory: None,
        }
    }

    /// Runs this program instead.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Reads the journal files in this directory instead of this host's.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// A `journalctl` on the journal that was chosen.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--no-pager");
        if let Some(directory) = &self.directory {
            let mut argument = OsString::from("--directory=");
            argument.push(directory);
            command.arg(argument);
        }
        command
    }

    /// One that gives the request's entries with these fields. No shell is involved, and every
    /// value is part of an argument that starts with a name of ours.
    fn entries(&self, request: &LogRequest, fields: &str) -> Command {
        let mut command = self.command();
        command.args(["--output=json", "--all"]);
        command.arg(format!("--output-fields={fields}"));
        let function = &request.function;
        command.arg(format!(
            "--identifier={}:{}",
            function.namespace, function.name
        ));
        if let Some(instance) = &request.instance {
            command.arg(format!("_PID={instance}"));
        }
        command
    }

    /// Finds where the stream begins; also finds out whether there is a journal to read. Reading
    /// backwards gives the newest entries on every version of `journalctl`; with `--since` and
    /// `--lines` some give the oldest.
    async fn start(&self, request: &LogRequest) -> Result<Start, ProviderError> {
        let mut command = self.entries(request, "_PID");
        // More than `journalctl` can count is more than a journal holds.
        let lines = i32::try_from(request.tail.unwrap_or(1)).unwrap_or(i32::MAX);
        command.arg("--reverse").arg(format!("--lines={lines}"));
        command.args(since(request));

        let mut process = Process::start(command)?;
        let (mut line, mut oldest) = (Vec::new(), None);
        while process.read_line(&mut line).await? {
            oldest = Entry::parse(&line).map(|entry| entry.cursor).or(oldest);
        }
        process.end().await?;
        match (oldest, request.tail) {
            (Some(_), None) => Ok(Start::All),
            (Some(cursor), Some(tail)) => Ok(Start::Tail { cursor, tail }),
            (None, _) => {
                self.find_journal().await?;
                Ok(Start::Nothing)
            }
        }
    }

    /// Makes sure that nothing found is not a journal that is not there: with its JSON output
    /// `journalctl` says nothing of that and exits 0.
    async fn find_journal(&self) -> Result<(), ProviderError> {
        let mut command = self.command();
        command.args(["--output=short", "--lines=1"]);
        let mut process = Process::start(command)?;
        while process.read_line(&mut Vec::new()).await? {}
        let words = process.end().await?;
        if words.contains("No journal files were found") {
            return Err(JournalctlError::NoJournal { words }.into());
        }
        Ok(())
    }
}

/// What there is in the journal for a request.
enum Start {
    Nothing,
    All,
    /// At most so many entries from this one on.
    Tail {
        cursor: String,
        tail: usize,
    },
}

/// Whole seconds since the epoch, in no time zone; what is between them is left out later.
fn since(request: &LogRequest) -> Option<String> {
    let since = request.since?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("--since=@{}", since.as_secs()))
}

#[async_trait]
impl LogSource for Journald {
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
        if let Some(instance) = &request.instance {
            if instance.is_empty() || !instance.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ProviderError::invalid(
                    "instance is not a process id: use one that the log lines show",
                ));
            }
        }
        let mut command = self.entries(&request, "MESSAGE,_PID");
        let mut left = None;
        match self.start(&request).await? {
            Start::Nothing if !request.follow => return Ok(stream::empty().boxed()),
            Start::Nothing | Start::All => {
                command.args(since(&request));
            }
            Start::Tail { cursor, tail } => {
                command.arg(format!("--cursor={cursor}"));
                // Entries may have come since.
                left = Some(tail).filter(|_| !request.follow);
            }
        }
        if request.follow {
            command.args(["--follow", "--no-tail"]);
        }
        let reading = Reading {
            process: Process::start(command)?,
            line: Vec::new(),
            since: request.since,
            left,
            follow: request.follow,
        };
        let lines = stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await.transpose()? {
                Ok(event) => Some((Ok(event), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(lines.boxed())
    }
}

/// A stream of entries in the making.
struct Reading {
    process: Process,
    line: Vec<u8>,
    since: Option<SystemTime>,
    /// How many entries are still wanted, where not all are.
    left: Option<usize>,
    follow: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<LogEvent>, ProviderError> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            if !self.process.read_line(&mut self.line).await? {
                self.process.end().await?;
                return if self.follow {
                    Err(ProviderError::unavailable("journalctl ended by itself"))
                } else {
                    Ok(None)
                };
            }
            self.left = self.left.map(|left| left - 1);
            match Entry::parse(&self.line) {
                None => return Ok(Some(LogEvent::Dropped(1))),
                Some(entry) if self.since.is_none_or(|since| entry.time >= since) => {
                    return Ok(Some(LogEvent::Line(entry.into_line())));
                }
                Some(_) => {}
            }
        }
    }
}
