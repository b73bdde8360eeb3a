//! What a function may touch: Landlock rules, made by the watchdog before it has threads or
//! children, so that they hold for everything it starts.
//!
//! Most of them are the same for all instances. They are made while a watchdog waits for one, and
//! renewed when it is about to start.
//!
//! Landlock only allows. To keep a directory from being read, the watchdog allows everything
//! beside it: each entry of each directory on the way down to it. Directories on that way cannot
//! be listed, and entries made there later are not seen by functions that run already.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
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

/// The rules that are the same for all instances: everything may be read but what is hidden.
pub(crate) struct Ground {
    /// Neither read nor written, except for what the rules of one instance name below it.
    hidden: Vec<PathBuf>,
    rules: RulesetCreated,
    /// What there is a rule for. The rule keeps the inode, so that its number is no other's.
    readable: BTreeMap<PathBuf, u64>,
    /// What was mounted where: a rule for a directory says nothing of what is mounted there later.
    mounts: Vec<u8>,
}

/// The rules of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
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

impl Ground {
    /// Makes the rules, which bind nobody yet.
    pub(crate) fn lay(hidden: Vec<PathBuf>) -> Result<Self, SandboxError> {
        // Before the rules: what is mounted meanwhile is seen as new.
        let mounts = mounts();
        let all = AccessFs::from_all(RIGHTS);
        // Signals of the sandboxed stay among them, where the kernel can (Linux 6.12).
        let rules = Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .create()?;
        let mut ground = Self {
            hidden,
            rules,
            readable: BTreeMap::new(),
            mounts,
        };
        ground.look_over()?;
        for device in DEVICES {
            ground.allow(Path::new(device), all)?;
        }
        Ok(ground)
    }

    /// Takes in what has come since the rules were made.
    pub(crate) fn renew(mut self) -> Result<Self, SandboxError> {
        if mounts() != self.mounts {
            return Self::lay(self.hidden);
        }
        self.look_over()?;
        Ok(self)
    }

    /// Binds the calling thread, and what it starts from now on, to these rules and those.
    pub(crate) fn enforce(mut self, rules: &Rules) -> Result<(), SandboxError> {
        let both = [
            (&rules.readable, AccessFs::from_read(RIGHTS)),
            (&rules.writable, AccessFs::from_all(RIGHTS)),
        ];
        for (roots, rights) in both {
            for root in roots {
                for path in around(root, &self.hidden).into_keys() {
                    self.allow(&path, rights)?;
                }
            }
        }
        match self.rules.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err(SandboxError::NotEnforced),
        }
    }

    /// Allows to read what is there and has no rule yet.
    fn look_over(&mut self) -> Result<(), SandboxError> {
        for (path, inode) in around(Path::new("/"), &self.hidden) {
            if self.readable.get(&path) != Some(&inode) {
                self.allow(&path, AccessFs::from_read(RIGHTS))?;
                self.readable.insert(path, inode);
            }
        }
        Ok(())
    }

    /// Adds one rule. What is not there, or not ours to open, needs none.
    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<(), SandboxError> {
        if let Ok(fd) = PathFd::new(path) {
            // Of a file it leaves out the rights to list and to make entries, which the kernel would
            // refuse.
            (&mut self.rules).add_rule(PathBeneath::new(fd, rights))?;
        }
        Ok(())
    }
}

/// Whether `path` is `dir` or lies below it.
pub(crate) fn holds(dir: &Path, path: &Path) -> bool {
    path.starts_with(dir)
}

/// The paths that together are all of `root` but what is hidden, with the number of the inode where
/// a list told it. A root that lies inside a hidden directory was named on purpose and stays whole.
fn around(root: &Path, hidden: &[PathBuf]) -> BTreeMap<PathBuf, u64> {
    let mut allowed = BTreeMap::new();
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((path, inode)) = waiting.pop() {
        if path != root && hidden.contains(&path) {
            continue;
        }
        let on_the_way = hidden.iter().any(|dir| *dir != path && holds(&path, dir));
        if !on_the_way {
            allowed.insert(path, inode);
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
                waiting.push((entry.path(), entry.ino()));
            }
        }
    }
    allowed
}

/// What is mounted where; empty where the kernel does not say.
fn mounts() -> Vec<u8> {
    fs::read("/proc/self/mountinfo").unwrap_or_default()
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
        let paths: Vec<_> = allowed.into_keys().collect();
        assert_eq!(
            paths,
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
        assert!(around(own, &hidden).into_keys().eq([own]));
    }
}
