//! Groups in a subtree of cgroup v2 that was delegated to the provider
//! (kernel: `Documentation/admin-guide/cgroup-v2.rst`; systemd: `Delegate=`).
//!
//! A group that has controllers for its children must not hold processes itself. So the provider
//! moves into a leaf of its own group, and where other processes are in that group, too, the group
//! is not its own and nothing is touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Bounds, Ended, cgroup, mounts::Mounts};
use crate::processes::Usage;

/// Where the provider itself goes.
const LEAF: &str = "faas-process.provider";

/// What instances cannot do without, and what is good to have.
const NEEDED: [&str; 2] = ["memory", "pids"];
const CPU: &str = "cpu";

const REMEDY: &str = "run the provider as a systemd service with Delegate=yes, or try it with \
                      `systemd-run --user --scope -p Delegate=yes faas-process …`";

/// The common parent of the instances' groups. Dropping it removes it and moves the provider back.
#[derive(Debug)]
pub(crate) struct Tree {
    own: PathBuf,
    base: PathBuf,
    cpu: bool,
    /// The leaf that the provider was moved to, by this tree.
    leaf: Option<PathBuf>,
}

/// The group of one instance.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

// === impl Tree ===

impl Tree {
    pub(crate) fn open(mounts: &Mounts, name: &str) -> Result<Self, String> {
        let own = mounts.unified.as_deref().ok_or("it is not mounted")?;
        // An earlier provider of this service has made the leaf that we were started in.
        let own = match own.parent() {
            Some(parent) if own.ends_with(LEAF) => parent,
            _ => own,
        };
        Self::open_in(own, name)
    }

    fn open_in(own: &Path, name: &str) -> Result<Self, String> {
        let there = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
        let has = |name: &str| there.split_whitespace().any(|it| it == name);
        if !NEEDED.into_iter().all(has) {
            let there = there.split_whitespace().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "the controllers {} are not given to the provider's group (it has: {}); {REMEDY}",
                NEEDED.join(" and "),
                if there.is_empty() { "none" } else { &there },
            ));
        }
        let mut tree = Self {
            own: own.to_owned(),
            base: cgroup::base(own, name),
            cpu: has(CPU),
            leaf: None,
        };
        // From here on a tree that is dropped undoes what was done.
        tree.set_up(name).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                format!("the provider's group is not its own to change ({error}); {REMEDY}")
            }
            io::ErrorKind::ResourceBusy => format!(
                "other processes are in the provider's group, so it cannot have groups below it; \
                 {REMEDY}"
            ),
            _ => format!("a group could not be made ({error})"),
        })?;
        Ok(tree)
    }

    fn set_up(&mut self, name: &str) -> io::Result<()> {
        cgroup::sweep(&self.own, name);
        cgroup::make(&self.base)?;
        if let Err(busy) = self.enable(&self.own) {
            if busy.kind() != io::ErrorKind::ResourceBusy {
                return Err(busy);
            }
            let leaf = self.own.join(LEAF);
            cgroup::make(&leaf)?;
            self.leaf = Some(leaf.clone());
            cgroup::write(&leaf.join("cgroup.procs"), std::process::id())?;
            self.enable(&self.own)?;
        }
        self.enable(&self.base)?;
        // That all limits can be set is known once it was done.
        let probe = self.group(
            ".probe",
            &Bounds {
                memory: Some(1 << 30),
                millicores: Some(1000),
                promised: None,
                processes: 1,
            },
        )?;
        cgroup::remove(&probe.0);
        Ok(())
    }

    /// Lets the groups below one have controllers.
    fn enable(&self, dir: &Path) -> io::Result<()> {
        let wanted = NEEDED.into_iter().chain(self.cpu.then_some(CPU));
        let names: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
        cgroup::write(&dir.join("cgroup.subtree_control"), names.join(" "))
    }

    pub(crate) fn limits_cpu(&self) -> bool {
        self.cpu
    }

    pub(crate) fn group(&self, id: &str, bounds: &Bounds) -> io::Result<Group> {
        let dir = self.base.join(id);
        cgroup::make(&dir)?;
        let group = Group(dir);
        match group.limit(bounds, self.cpu) {
            Ok(()) => Ok(group),
            Err(error) => {
                cgroup::remove(&group.0);
                Err(error)
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for left in cgroup::children(&self.base) {
            Group(left).end();
        }
        cgroup::remove(&self.base);
        if let Some(leaf) = &self.leaf {
            // As it was before. Where another provider has come to use it, it stays as it is.
            let names = NEEDED.into_iter().chain(self.cpu.then_some(CPU));
            let names: Vec<String> = names.map(|name| format!("-{name}")).collect();
            let off = cgroup::write(&self.own.join("cgroup.subtree_control"), names.join(" "));
            if off.is_ok()
                && cgroup::write(&self.own.join("cgroup.procs"), std::process::id()).is_ok()
            {
                let _ = fs::remove_dir(leaf);
            }
        }
    }
}

// === impl Group ===

impl Group {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn limit(&self, bounds: &Bounds, cpu: bool) -> io::Result<()> {
        if let Some(bytes) = bounds.memory {
            cgroup::write(&self.file("memory.max"), bytes)?;
            // Memory that was swapped out is memory, too. Without swap there is no such file.
            let swap = self.file("memory.swap.max");
            if swap.exists() {
                cgroup::write(&swap, 0)?;
            }
        }
        // What is left of a function after one of its processes was killed is of no use.
        cgroup::write(&self.file("memory.oom.group"), 1)?;
        cgroup::write(&self.file("pids.max"), bounds.processes)?;
        if cpu {
            cgroup::write(&self.file("cpu.weight"), cgroup::weight(bounds.promised))?;
            if let Some(millicores) = bounds.millicores {
                let (quota, period) = cgroup::quota(millicores);
                cgroup::write(&self.file("cpu.max"), format!("{quota} {period}"))?;
            }
        }
        Ok(())
    }

    pub(crate) fn enter(&self, process: i32) -> io::Result<()> {
        cgroup::write(&self.file("cgroup.procs"), process)
    }

    /// Where the kernel counts forks that it refused.
    pub(crate) fn pids(&self) -> PathBuf {
        self.0.clone()
    }

    pub(crate) fn kill(&self) -> bool {
        // Linux 5.14 kills all of a group at once.
        let at_once = cgroup::write(&self.file("cgroup.kill"), 1).is_ok();
        if !at_once {
            let _ = cgroup::write(&self.file("pids.max"), 0);
        }
        cgroup::empty(&self.0, |members| {
            if !at_once {
                cgroup::kill_members(members);
            }
        })
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        // What was read from files and can be dropped is not what a function needs.
        let cache = cgroup::read_key(&self.file("memory.stat"), "inactive_file").unwrap_or(0);
        let micros = cgroup::read_key(&self.file("cpu.stat"), "usage_usec")?;
        Some(Usage {
            resident_bytes: cgroup::read_number(&self.file("memory.current"))?
                .saturating_sub(cache),
            cpu: Duration::from_micros(micros),
        })
    }

    pub(crate) fn end(&self) -> Ended {
        if !self.kill() {
            tracing::error!(dir = %self.0.display(), "processes in a control group do not end");
        }
        let killed = cgroup::read_key(&self.file("memory.events"), "oom_kill");
        let ended = Ended {
            out_of_memory: killed.is_some_and(|count| count > 0),
            usage: self.usage(),
        };
        cgroup::remove(&self.0);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files that the kernel makes in a group.
    fn pretend(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    const FILES: [(&str, &str); 9] = [
        ("cpu.weight", "100"),
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("memory.oom.group", "0"),
        ("pids.max", "max"),
        ("cpu.max", "max 100000"),
        ("cgroup.procs", ""),
        ("memory.current", "5000000"),
        ("memory.stat", "anon 1\ninactive_file 1000000\n"),
    ];

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        pretend(dir.path(), &FILES);
        let group = Group(dir.path().to_owned());
        let bounds = Bounds {
            memory: Some(64 << 20),
            millicores: Some(250),
            promised: Some(500),
            processes: 32,
        };
        group.limit(&bounds, true).unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text("memory.max").starts_with("67108864"));
        assert!(text("memory.swap.max").starts_with('0'));
        assert!(text("memory.oom.group").starts_with('1'));
        assert!(text("pids.max").starts_with("32"));
        assert!(text("cpu.max").starts_with("25000 100000"));
        assert!(text("cpu.weight").starts_with("20"));
    }

    #[test]
    fn without_the_controller_cpu_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        pretend(dir.path(), &FILES);
        let bounds = Bounds {
            memory: None,
            millicores: Some(250),
            promised: Some(500),
            processes: 32,
        };
        Group(dir.path().to_owned()).limit(&bounds, false).unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(text("cpu.max"), "max 100000");
        assert_eq!(text("cpu.weight"), "100");
        assert_eq!(text("memory.max"), "max");
    }

    #[test]
    fn memory_that_can_be_dropped_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        pretend(dir.path(), &FILES);
        pretend(dir.path(), &[("cpu.stat", "usage_usec 2500000\n")]);
        let usage = Group(dir.path().to_owned()).usage().unwrap();
        assert_eq!(usage.resident_bytes, 4_000_000);
        assert_eq!(usage.cpu, Duration::from_millis(2500));
    }

    #[test]
    fn a_group_without_the_controllers_is_not_taken_and_it_is_said_why() {
        let dir = tempfile::tempdir().unwrap();
        pretend(dir.path(), &[("cgroup.controllers", "cpu io\n")]);
        let why = Tree::open_in(dir.path(), "x").unwrap_err();
        assert!(
            why.contains("memory and pids") && why.contains("cpu, io") && why.contains("Delegate"),
            "{why}"
        );
        assert!(cgroup::children(dir.path()).is_empty());
        let why = Tree::open(&Mounts::default(), "x").unwrap_err();
        assert!(why.contains("not mounted"), "{why}");
    }
}
