//! Where instances find their secrets: in memory, where that is asked for and can be had.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use provider_watchdog::causes;
use rustix::fs::{Access, CWD, access, statfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::own_place::{OwnPlace, own_dir};

/// `TMPFS_MAGIC` of `statfs(2)`.
const TMPFS: u64 = 0x0102_1994;

/// Users whom functions run as get through to their own; nobody but us can list it.
const MODE: u32 = 0o711;

/// Where the files lie that instances read their secrets from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretsStatus {
    /// In memory, on a tmpfs below this directory.
    Memory(PathBuf),
    /// On disk, each with its instance.
    Disk {
        /// Why not in memory, where that was asked for.
        lacks: Option<String>,
    },
}

/// The place in memory of one runtime, emptied when it is dropped.
#[derive(Debug)]
pub(crate) struct SecretsPlace {
    root: PathBuf,
    place: OwnPlace,
}

// === impl SecretsStatus ===

impl SecretsStatus {
    /// What a runtime with this [`ProcessConfig::secrets_dir`](crate::ProcessConfig::secrets_dir)
    /// would find. Changes nothing.
    #[must_use]
    pub fn probe(dir: Option<&Path>) -> Self {
        let Some(dir) = dir else {
            return Self::Disk { lacks: None };
        };
        let there = dir.ancestors().find(|path| path.exists());
        let there = there.unwrap_or(Path::new("/"));
        if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
            let why = format!("{} cannot be written to: {error}", there.display());
            return Self::Disk { lacks: Some(why) };
        }
        if is_in_memory(there) {
            return Self::Memory(dir.to_owned());
        }
        match memory() {
            // It was attached nowhere, so it is gone again.
            Ok(_unused) => Self::Memory(dir.to_owned()),
            Err(error) => Self::Disk {
                lacks: Some(not_mounted(dir, &error)),
            },
        }
    }
}

impl fmt::Display for SecretsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(dir) => write!(f, "in memory (tmpfs) below {}", dir.display()),
            Self::Disk { lacks: None } => f.write_str("on disk, closed to other users"),
            Self::Disk { lacks: Some(why) } => {
                write!(f, "on disk, closed to other users, not in memory: {why}")
            }
        }
    }
}

// === impl SecretsPlace ===

impl SecretsPlace {
    /// Takes a place in memory below `dir`; says why there is none.
    pub(crate) fn take(dir: &Path) -> Result<Self, String> {
        let root = own_dir(dir, MODE).map_err(|error| causes(&error))?;
        mount_once(&root).map_err(|error| not_mounted(&root, &error))?;
        let place = OwnPlace::take(&root, MODE).map_err(|error| causes(&error))?;
        Ok(Self { root, place })
    }

    /// What the places of all runtimes are below.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for SecretsPlace {
    fn drop(&mut self) {
        if let Err(error) = self.place.clear() {
            tracing::warn!(%error, "secrets of functions stay in memory until the next start");
        }
    }
}

/// Mounts a tmpfs where there is none yet. It stays for the runtimes that come after: one for all
/// that ever use this directory.
fn mount_once(dir: &Path) -> io::Result<()> {
    // Of those who come at the same time one mounts. Once that is done the path leads into the
    // tmpfs, so others look again.
    let below = File::open(dir)?;
    below.lock()?;
    if is_in_memory(dir) {
        return Ok(());
    }
    move_mount(
        memory()?,
        "",
        CWD,
        dir,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

/// A tmpfs that is attached nowhere yet.
fn memory() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", format!("{MODE:o}"))?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn is_in_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS))
}

fn not_mounted(dir: &Path, error: &io::Error) -> String {
    format!(
        "{} is on no tmpfs, and none could be mounted there: {error}",
        dir.display()
    )
}
