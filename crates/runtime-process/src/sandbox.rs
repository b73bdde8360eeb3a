//! What a function may touch: Landlock rules, made by the watchdog before it has threads or
//! children, so that they hold for everything it starts.
//!
//! Landlock only allows. To keep a directory from being read, the watchdog allows everything
//! beside it: each entry of each directory on the way down to it. Directories on that way cannot
//! be listed, and entries made there later are not seen by functions that run already.

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use serde::{Deserialize, Serialize};

/// The rights that are ruled on: those of Linux 6.2. Later ones (device ioctls) stay as they are.
const RIGHTS: ABI = ABI::V3;

/// Devices that every program expects to write to. `/dev/shm` holds POSIX semaphores.
const DEVICES: [&str; 9] = [
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/random",
    "/dev/shm",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// How far functions are kept apart from the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxStatus {
    /// The kernel holds functions to their own and the temporary directory.
    Enforced,
    /// It was turned off.
    Off,
    /// This kernel has no Landlock, or it is turned off at boot.
    Missing,
}

impl SandboxStatus {
    /// Asks the kernel whether it can, where that is wanted.
    #[must_use]
    pub fn probe(wanted: bool) -> Self {
        if !wanted {
            return Self::Off;
        }
        let asked = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .and_then(Ruleset::create);
        match asked {
            Ok(_) => Self::Enforced,
            Err(_) => Self::Missing,
        }
    }
}

/// The rules of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Neither read nor written, except for what `readable` and `writable` name below it.
    pub(crate) hidden: Vec<PathBuf>,
    /// Readable even where hidden: the instance's own directory, its program.
    pub(crate) readable: Vec<PathBuf>,
    /// Writable: the working directory, the temporary directory.
    pub(crate) writable: Vec<PathBuf>,
}

/// Why the rules do not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    #[error("the sandbox could not be set up")]
    Rules(#[from] landlock::RulesetError),
    #[error("the kernel did not enforce the sandbox")]
    NotEnforced,
}

impl Rules {
    /// Binds the calling thread, and what it starts from now on, to these rules.
    pub(crate) fn enforce(&self) -> Result<(), SandboxError> {
        let all = AccessFs::from_all(RIGHTS);
        let read = AccessFs::from_read(RIGHTS);
        // Signals of the sandboxed stay among them, where the kernel can (Linux 6.12).
        let mut rules = Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .create()?;

        for path in around(Path::new("/"), &self.hidden) {
            rules = allow(rules, &path, read)?;
        }
        for root in &self.readable {
            for path in around(root, &self.hidden) {
                rules = allow(rules, &path, read)?;
            }
        }
        for root in &self.writable {
            for path in around(root, &self.hidden) {
                rules = allow(rules, &path, all)?;
            }
        }
        for device in DEVICES {
            rules = allow(rules, Path::new(device), all)?;
        }
        match rules.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err(SandboxError::NotEnforced),
        }
    }
}

/// Whether `path` is `dir` or lies below it.
pub(crate) fn holds(dir: &Path, path: &Path) -> bool {
    path.starts_with(dir)
}

/// The paths that together are all of `root` but what is hidden. A root that lies inside a hidden
/// directory was named on purpose and stays whole.
fn around(root: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut allowed = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        if path != root && hidden.contains(&path) {
            continue;
        }
        let on_the_way = hidden.iter().any(|dir| *dir != path && holds(&path, dir));
        if !on_the_way {
            allowed.push(path);
            continue;
        }
        // One that cannot be listed by us has nothing that the function could open by listing.
        let Ok(entries) = fs::read_dir(&path) else {
            continue;
        };
        for entry in entries.flatten() {
            // A link grants what it leads to, which may be above or inside a hidden directory;
            // what it leads to is allowed under its own name.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_link {
                waiting.push(entry.path());
            }
        }
    }
    allowed.sort();
    allowed
}

/// Adds one rule. What is not there, or not ours to open, needs none.
fn allow(
    rules: landlock::RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, SandboxError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(rules);
    };
    // Of a file it leaves out the rights to list and to make entries, which the kernel would refuse.
    Ok(rules.add_rule(PathBeneath::new(fd, rights))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_hidden_directory_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a/b/hidden/secret", "a/b/beside", "a/other", "c"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        std::os::unix::fs::symlink("a/b/hidden", root.join("link")).unwrap();
        let hidden = [root.join("a/b/hidden")];
        let allowed = around(root, &hidden);
        assert_eq!(
            allowed,
            [
                root.join("a/b/beside"),
                root.join("a/other"),
                root.join("c")
            ]
        );
    }

    #[test]
    fn a_root_inside_a_hidden_directory_stays_whole() {
        let hidden = [PathBuf::from("/state")];
        let own = Path::new("/state/run/one/work");
        assert_eq!(around(own, &hidden), [own]);
    }
}
