//! The state directory, and the lock that one process at a time holds on it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::EngineError;

/// The name of the store in a state directory.
pub(crate) const STORE: &str = "state.redb";

/// The file that its holder has locked.
const LOCK: &str = "lock";

/// How long a lock is waited for whose holder is no more.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// A state directory that is ours until dropped.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// The lock goes with the descriptor, so a killed process leaves none behind.
    lock: File,
}

impl StateDir {
    /// Creates the directory where it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let failed = |doing| {
            move |source| EngineError::StateDir {
                path: path.to_owned(),
                doing,
                source,
            }
        };
        create_durably(path).map_err(failed("creating it"))?;
        let mut lock = private_file(&path.join(LOCK)).map_err(failed("creating its lock file"))?;
        match take(&mut lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = match holder(&mut lock) {
                    Some(pid) => format!("process {}", pid.as_raw_nonzero()),
                    None => "another process".to_owned(),
                };
                return Err(EngineError::InUse {
                    path: path.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("locking it")(source)),
        }
        // Only a help for whoever finds the directory in use; a full disk must not get in the way.
        drop(write_holder(&lock));
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Whether a process holds the directory.
    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        match File::open(path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            lock => Ok(matches!(
                lock?.try_lock_shared(),
                Err(TryLockError::WouldBlock)
            )),
        }
    }

    /// Lets another process hold it, while this one still knows it.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Holds it again; false when another process does.
    pub(crate) fn lock_again(&self) -> bool {
        let locked = self.lock.try_lock().is_ok();
        if locked {
            drop(write_holder(&self.lock));
        }
        locked
    }

    /// Where the store is.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Where log lines are.
    pub(crate) fn logs_path(&self) -> PathBuf {
        self.path.join("logs")
    }
}

/// Opens a file that only its owner may read, creating it where it is missing.
pub(crate) fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Creates a directory, and those on the way to it, so that a loss of power does not undo it.
fn create_durably(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for made in missing {
        match made.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new("."))?,
            Some(parent) => sync_directory(parent)?,
            None => {}
        }
    }
    Ok(())
}

/// Makes what happened to the names in a directory last.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some file systems know no sync of a directory.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn write_holder(mut lock: &File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// The process that says that it has the lock.
fn holder(lock: &mut File) -> Option<Pid> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

/// Takes the lock. A process that was killed may leave it for a moment to a child that has been
/// forked and is no program of its own yet; so it is waited for when its holder is gone.
fn take(lock: &mut File) -> Result<(), TryLockError> {
    let until = Instant::now() + LEFT_BEHIND;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until && is_gone(lock) => {
                thread::sleep(Duration::from_millis(5));
            }
            taken => return taken,
        }
    }
}

/// Whether the process is known that has the lock, and is no more.
fn is_gone(lock: &mut File) -> bool {
    holder(lock).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory whose lock this process has and says that process to have.
    fn locked_by(pid: u32) -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        let mut lock = private_file(&directory.path().join(LOCK)).unwrap();
        lock.try_lock().unwrap();
        writeln!(lock, "{pid}").unwrap();
        (directory, lock)
    }

    #[test]
    fn what_a_killed_process_left_locked_for_a_moment_is_waited_for() {
        let mut killed = std::process::Command::new("true").spawn().unwrap();
        killed.wait().unwrap();
        let (directory, lock) = locked_by(killed.id());
        let child = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(lock);
        });
        StateDir::open(directory.path()).unwrap();
        child.join().unwrap();
    }

    #[test]
    fn what_a_living_process_has_locked_is_in_use() {
        let (directory, _lock) = locked_by(std::process::id());
        let error = StateDir::open(directory.path()).unwrap_err().to_string();
        let holder = format!("process {}", std::process::id());
        assert!(error.contains(&holder), "{error}");
    }
}
