//! A place of one's own below a directory that several runtimes use: one for instances, one for
//! their secrets.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use crate::config::SetupError;
use crate::instance_dir;
use crate::processes;

/// The variable by which an instance's processes are known, whoever their parent is.
pub(crate) const MARK: &str = "OPENFAAS_SECRETS_DIR";

/// The file in a place that its user holds locked.
const LOCK: &str = ".lock";

/// A directory that no other runtime has.
#[derive(Debug)]
pub(crate) struct OwnPlace {
    path: PathBuf,
    /// Goes with the process, so a killed one leaves none behind.
    _lock: File,
}

impl OwnPlace {
    /// Takes the first place below the common directory that no runtime has, and clears all that
    /// none has: what is there was left by a provider that was killed. While one version takes over
    /// from another there are two runtimes, which must not remove each other's instances.
    pub(crate) fn take(common: &Path, mode: u32) -> Result<Self, SetupError> {
        let mut ours = None;
        for number in 0.. {
            let path = common.join(number.to_string());
            if ours.is_some() && !path.exists() {
                break;
            }
            let path = own_dir(&path, mode)?;
            let failed = |source| SetupError::RunDir {
                path: path.clone(),
                source,
            };
            let lock = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path.join(LOCK))
                .map_err(failed)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            end_processes(&path);
            clear(&path).map_err(failed)?;
            ours.get_or_insert(Self { path, _lock: lock });
        }
        ours.ok_or_else(|| SetupError::RunDir {
            path: common.to_owned(),
            source: io::ErrorKind::StorageFull.into(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that is in it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        clear(&self.path)
    }
}

/// Makes a directory for us alone, or takes one that is ours.
pub(crate) fn own_dir(path: &Path, mode: u32) -> Result<PathBuf, SetupError> {
    let failed = |source| SetupError::RunDir {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(failed)?;
    // Not through a link that somebody else may have put there.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(SetupError::ForeignRunDir {
            path: path.to_owned(),
        });
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    fs::canonicalize(path).map_err(failed)
}

/// What lies in a place, but for its lock.
fn entries(place: &Path) -> io::Result<Vec<PathBuf>> {
    let all = fs::read_dir(place)?.flatten().map(|entry| entry.path());
    Ok(all.filter(|path| !path.ends_with(LOCK)).collect())
}

/// Ends what a killed provider left running. Its watchdogs have ended their trees by themselves,
/// unless they were killed with it.
fn end_processes(place: &Path) {
    if entries(place).is_ok_and(|left| left.is_empty()) {
        return;
    }
    let below = format!("{MARK}={}/", place.display());
    if !processes::end(|seen| {
        let marked = seen.iter().filter(|it| it.has_variable_below(&below));
        marked.cloned().collect()
    }) {
        tracing::warn!("processes of an earlier run could not be killed");
    }
}

fn clear(place: &Path) -> io::Result<()> {
    entries(place)?
        .iter()
        .try_for_each(|path| instance_dir::remove_all(path))
}
