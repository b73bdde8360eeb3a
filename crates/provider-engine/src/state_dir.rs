//! The state directory, and the lock that one process at a time holds on it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::EngineError;

/// The name of the store in a state directory.
pub(crate) const STORE: &str = "state.redb";

/// The file that its holder has locked.
const LOCK: &str = "lock";

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
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::InUse {
                    path: path.to_owned(),
                    holder: holder(&mut lock),
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

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if text.trim().parse::<u32>().is_ok() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}
