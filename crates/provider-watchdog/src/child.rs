//! Processes of a function, each the leader of its own process group.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use crate::command::find_program;
use crate::{CommandError, WatchdogConfig};

/// Why a program did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its command means no program.
    #[error("the function's program cannot be started")]
    Command {
        /// Why.
        #[from]
        source: CommandError,
    },
    /// The program is there, but what runs it is not.
    #[error(
        "the function's program {path:?} cannot be started: \
         the interpreter in its first line, or its loader, is missing"
    )]
    Interpreter {
        /// The program.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the function's program {path:?} cannot be started")]
    System {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is needed to start a function's process.
#[derive(Debug)]
pub(crate) struct Launcher {
    command: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    path: Option<OsString>,
    dir: Option<PathBuf>,
    owned: Arc<Owned>,
}

/// The process ids that this watchdog waits for by itself.
#[derive(Debug, Default)]
pub(crate) struct Owned(Mutex<HashSet<Pid>>);

/// How much the pipe of a log holds: a program that says much is woken less often.
const LOG_PIPE_BYTES: usize = 512 * 1024;

/// What a process's stdout and stderr are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// A pipe each.
    Apart,
    /// One pipe for both.
    Joined,
}

/// A started process and its pipes.
pub(crate) struct Started {
    pub(crate) group: Group,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// None when it is joined to stdout.
    pub(crate) stderr: Option<ChildStderr>,
}

/// A process and all that it started, but for what left its process group. Dropping it kills
/// them.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    owned: Arc<Owned>,
    /// None once the leader was waited for: its id may then be somebody else's.
    leader: Option<Pid>,
}

// === impl Launcher ===

impl Launcher {
    pub(crate) fn new(config: &WatchdogConfig, owned: Arc<Owned>) -> Self {
        Self {
            command: config.command.clone(),
            environment: config
                .environment
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            path: config.environment.get("PATH").map(ToOwned::to_owned),
            dir: config.working_dir.clone(),
            owned,
        }
    }

    /// The file of the program, as it is now.
    pub(crate) fn program(&self) -> Result<PathBuf, CommandError> {
        let name = self.command.first().ok_or(CommandError::Empty)?;
        let dir = self.dir.as_deref().unwrap_or(Path::new("."));
        let file = find_program(name, self.path.as_deref(), dir)?;
        // The child has changed its directory by the time the name is used.
        Ok(std::path::absolute(&file).unwrap_or(file))
    }

    /// Starts the process, with these variables over the function's own.
    pub(crate) fn start(
        &self,
        variables: Vec<(OsString, OsString)>,
        outputs: Outputs,
    ) -> Result<Started, StartError> {
        let path = self.program()?;
        let system = |source| StartError::System {
            path: path.clone(),
            source,
        };
        let mut command = Command::new(&path);
        command
            .args(self.command.iter().skip(1))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(variables)
            .process_group(0)
            .stdin(Stdio::piped());
        if let Some(name) = self.command.first() {
            command.arg0(name);
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let joined = match outputs {
            Outputs::Apart => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
            Outputs::Joined => {
                let (reader, writer) = io::pipe().map_err(system)?;
                command.stdout(writer.try_clone().map_err(system)?);
                command.stderr(writer);
                Some(pipe::Receiver::from_owned_fd(reader.into()).map_err(system)?)
            }
        };

        // Held until the id is noted: an orphan reaper must not take this child for an orphan.
        let mut owned = self.owned.lock();
        let mut child = command.spawn().map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound && path.exists() {
                StartError::Interpreter { path: path.clone() }
            } else {
                system(source)
            }
        })?;
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        owned.extend(leader);
        drop(owned);

        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        if let Some(log) = &stderr {
            // Where it may not be, it holds what pipes hold.
            let _narrow = fcntl_setpipe_size(log, LOG_PIPE_BYTES);
        }
        let group = Group {
            child,
            owned: Arc::clone(&self.owned),
            leader,
        };
        let missing = || system(io::Error::other("a pipe to it is missing"));
        Ok(Started {
            group,
            stdin: stdin.ok_or_else(missing)?,
            stdout: match (joined, stdout) {
                (Some(pipe), _) => Box::new(pipe),
                (None, Some(pipe)) => Box::new(pipe),
                (None, None) => return Err(missing()),
            },
            stderr,
        })
    }
}

// === impl Group ===

impl Group {
    /// The leader's process id, until it was waited for.
    pub(crate) fn leader(&self) -> Option<Pid> {
        self.leader
    }

    /// Waits for the leader to end. Afterwards the group can no longer be signalled.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        if let Some(leader) = self.leader.take() {
            self.owned.lock().remove(&leader);
        }
        status
    }

    /// Sends a signal to the whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // Fails only when nobody is left.
            let _gone = kill_process_group(leader, signal);
        }
    }

    /// Kills the whole group and waits for the leader.
    pub(crate) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Tokio reaps it.
        self.signal(Signal::KILL);
    }
}

// === impl Owned ===

impl Owned {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps children that have ended and are not among these: orphans that were adopted.
    #[cfg(target_os = "linux")]
    pub(crate) fn reap_others(&self) {
        // The lock is held over the look, so that no child of ours is new to it.
        let _unreadable = crate::tree::reap_orphans(&self.lock());
    }
}
