//! Runs programs in the workspace's root: says what it runs, and ends what takes too long.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a program with a limit is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Runs programs, all of them by one deadline if there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runner {
    deadline: Option<Instant>,
}

impl Runner {
    /// Waits as long as it takes.
    pub(crate) fn unlimited() -> Self {
        Self { deadline: None }
    }

    /// Ends programs that still run when this much time has passed.
    pub(crate) fn limited(limit: Duration) -> Self {
        Self {
            deadline: Some(Instant::now() + limit),
        }
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it cannot be started, ends with another status than 0, or runs past the deadline.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let line = display(command);
        println!("$ {line}");
        let status = match self.deadline {
            None => command
                .status()
                .with_context(|| format!("cannot start `{line}`"))?,
            Some(deadline) => {
                // Its own process group, so that what it started ends with it.
                let child = command
                    .process_group(0)
                    .spawn()
                    .with_context(|| format!("cannot start `{line}`"))?;
                wait_until(child, deadline).with_context(|| format!("`{line}`"))?
            }
        };
        if !status.success() {
            bail!("`{line}` failed: {status}");
        }
        Ok(())
    }
}

fn wait_until(mut child: Child, deadline: Instant) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            child.wait()?;
            bail!("ended: it took too long");
        }
        sleep(POLL);
    }
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this task, in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments);
    command
}

/// A program in the workspace's root.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).args(arguments);
    command
}

/// Where a program is, if it is on the `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The standard output of a program that answers quickly, trimmed.
///
/// # Errors
/// When it cannot be started or ends with another status than 0.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = display(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!(
            "`{line}` failed: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = Runner::unlimited()
            .run(&mut program("sh", &["-c", "exit 3"]))
            .unwrap_err();
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
        assert!(error.to_string().contains('3'), "{error}");
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", pid_file.display());
        let error = Runner::limited(Duration::from_millis(300))
            .run(&mut program("sh", &["-c", &script]))
            .unwrap_err();
        assert!(format!("{error:#}").contains("too long"), "{error:#}");

        let pid = std::fs::read_to_string(pid_file).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        let ended = (0..100).any(|_| {
            sleep(Duration::from_millis(20));
            // Gone, or a zombie that nobody has reaped yet.
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"))
        });
        assert!(ended, "the grandchild still runs");
    }
}
