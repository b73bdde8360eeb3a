//! Groups of cgroup v1, one in each hierarchy, below the provider's own
//! (kernel: `Documentation/admin-guide/cgroup-v1/`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provider_types::ExitReason;
use rustix::event::{EventfdFlags, eventfd};
use tokio::net::unix::pipe::Receiver;

use super::{Bounds, Ended, cgroup, mounts::Mounts};
use crate::processes::{self, Usage};

const MEMORY: &str = "memory";
const PIDS: &str = "pids";
const CPU: &str = "cpu";
const CPU_TIME: &str = "cpuacct";
const QUOTA: &str = "cpu.cfs_quota_us";
const SHARES: &str = "cpu.shares";

/// How long the kernel may take from telling that memory is short to killing somebody for it.
const KILL_FOLLOWS: Duration = Duration::from_millis(500);

/// The common parents of the instances' groups. Dropping them removes them.
#[derive(Debug)]
pub(crate) struct Trees(Dirs);

/// The groups of one instance.
#[derive(Debug)]
pub(crate) struct Group {
    dirs: Dirs,
    /// Becomes readable when memory is short.
    short_of_memory: Option<Receiver>,
}

/// One directory a controller; some may be the same.
#[derive(Debug, Clone)]
struct Dirs {
    memory: PathBuf,
    pids: PathBuf,
    cpu: Option<PathBuf>,
    cpu_time: Option<PathBuf>,
}

// === impl Dirs ===

impl Dirs {
    /// The provider's own groups.
    fn own(mounts: &Mounts) -> Result<Self, String> {
        let find = |wanted: &str| {
            let has = |(names, _): &&(Vec<String>, _)| names.iter().any(|name| name == wanted);
            let found = mounts.hierarchies.iter().find(has);
            found.map(|(_, path)| path.clone())
        };
        let need = |wanted| find(wanted).ok_or_else(|| format!("{wanted} is not mounted"));
        Ok(Self {
            memory: need(MEMORY)?,
            pids: need(PIDS)?,
            cpu: find(CPU),
            cpu_time: find(CPU_TIME),
        })
    }

    fn join(&self, name: &str) -> Self {
        self.each(|dir| dir.join(name))
    }

    fn each(&self, change: impl Fn(&Path) -> PathBuf) -> Self {
        Self {
            memory: change(&self.memory),
            pids: change(&self.pids),
            cpu: self.cpu.as_deref().map(&change),
            cpu_time: self.cpu_time.as_deref().map(&change),
        }
    }

    /// Each once.
    fn all(&self) -> Vec<&PathBuf> {
        let mut all = vec![&self.memory, &self.pids];
        all.extend(&self.cpu);
        all.extend(&self.cpu_time);
        all.sort();
        all.dedup();
        all
    }

    fn make(&self) -> io::Result<()> {
        self.all().into_iter().try_for_each(|dir| cgroup::make(dir))
    }

    fn remove(&self) {
        for dir in self.all() {
            cgroup::remove(dir);
        }
    }

    fn limit(&self, bounds: &Bounds) -> io::Result<()> {
        if let Some(bytes) = bounds.memory {
            cgroup::write(&self.memory.join("memory.limit_in_bytes"), bytes)?;
            // Memory that was swapped out is memory, too. Not every kernel counts it.
            let with_swap = self.memory.join("memory.memsw.limit_in_bytes");
            if with_swap.exists() {
                cgroup::write(&with_swap, bytes)?;
            }
        }
        cgroup::write(&self.pids.join("pids.max"), bounds.processes)?;
        if let Some(cpu) = &self.cpu {
            cgroup::write(&cpu.join(SHARES), cgroup::shares(bounds.promised))?;
            if let Some(millicores) = bounds.millicores {
                let (quota, period) = cgroup::quota(millicores);
                cgroup::write(&cpu.join("cpu.cfs_period_us"), period)?;
                cgroup::write(&cpu.join(QUOTA), quota)?;
            }
        }
        Ok(())
    }

    fn kill(&self) -> bool {
        // Nobody gets away by forking.
        let _ = cgroup::write(&self.pids.join("pids.max"), 0);
        self.all()
            .into_iter()
            .all(|dir| cgroup::empty(dir, cgroup::kill_members))
    }
}

// === impl Trees ===

impl Trees {
    pub(crate) fn open(mounts: &Mounts, name: &str) -> Result<Self, String> {
        let mut own = Dirs::own(mounts)?;
        // A group that limits CPU needs the files for it: not every kernel has them.
        let limits = |dir: &PathBuf| dir.join(QUOTA).exists() && dir.join(SHARES).exists();
        own.cpu = own.cpu.filter(limits);
        for dir in own.all() {
            cgroup::sweep(dir, name);
        }
        let trees = Self(own.each(|dir| cgroup::base(dir, name)));
        trees
            .set_up()
            .map_err(|error| format!("a group could not be made ({error}); it takes root"))?;
        Ok(trees)
    }

    fn set_up(&self) -> io::Result<()> {
        self.0.make()?;
        if let Some(cpu) = &self.0.cpu {
            // What is promised to instances adds up to no more than the host has.
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
            cgroup::write(&cpu.join(SHARES), cgroup::shares(Some(cores * 1000)))?;
        }
        // That all limits can be set is known once it was done.
        let probe = self.0.join(".probe");
        let bounds = Bounds {
            memory: Some(1 << 30),
            millicores: Some(1000),
            promised: None,
            processes: 1,
        };
        let limited = probe.make().and_then(|()| probe.limit(&bounds));
        probe.remove();
        limited
    }

    fn end_children(&self) {
        for dir in self.0.all() {
            for left in cgroup::children(dir) {
                cgroup::empty(&left, cgroup::kill_members);
                cgroup::remove(&left);
            }
        }
    }

    pub(crate) fn limits_cpu(&self) -> bool {
        self.0.cpu.is_some()
    }

    pub(crate) fn group(&self, id: &str, bounds: &Bounds, owner: Option<u32>) -> io::Result<Group> {
        let mut dirs = self.0.join(id);
        if bounds.promised.is_none() {
            // On a busy machine, who changes to another group of this kind waits for its turn anew.
            dirs.cpu = None;
        }
        let made = dirs
            .make()
            .and_then(|()| dirs.limit(bounds))
            .and_then(|()| {
                // Who is to write itself in must be able to.
                let tasks = dirs.all().into_iter().map(|dir| dir.join("tasks"));
                match owner {
                    Some(uid) => tasks
                        .into_iter()
                        .try_for_each(|file| std::os::unix::fs::chown(file, Some(uid), None)),
                    None => Ok(()),
                }
            });
        if let Err(error) = made {
            dirs.remove();
            return Err(error);
        }
        let short_of_memory = dirs
            .listen()
            .inspect_err(|error| {
                tracing::warn!(%error, "the kernel does not tell when memory is short");
            })
            .ok();
        Ok(Group {
            dirs,
            short_of_memory,
        })
    }
}

impl Drop for Trees {
    fn drop(&mut self) {
        self.end_children();
        self.0.remove();
    }
}

impl Dirs {
    /// Asks the kernel to tell when memory is short.
    fn listen(&self) -> io::Result<Receiver> {
        let told = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let about = File::open(self.memory.join("memory.oom_control"))?;
        cgroup::write(
            &self.memory.join("cgroup.event_control"),
            format!("{} {}", told.as_raw_fd(), about.as_raw_fd()),
        )?;
        // It is no pipe, but is read like one.
        Receiver::from_owned_fd_unchecked(told)
    }

    /// Whether somebody was killed for want of memory.
    fn somebody_was_killed(&self) -> bool {
        cgroup::read_key(&self.memory.join("memory.oom_control"), "oom_kill")
            .is_some_and(|count| count > 0)
    }
}

// === impl Group ===

impl Group {
    pub(crate) fn join_files(&self) -> Vec<PathBuf> {
        let dirs = self.dirs.all().into_iter();
        // `tasks` moves one thread. To move a process the kernel first stops all forks on the
        // machine, which takes it 5 ms and longer; a watchdog has one thread at that point.
        dirs.map(|dir| dir.join("tasks")).collect()
    }

    /// Waits until one of its processes was killed for want of memory. The kernel leaves the
    /// others, which are of no use without it.
    pub(crate) async fn out_of_memory(&self) -> ExitReason {
        let Some(told) = &self.short_of_memory else {
            return std::future::pending().await;
        };
        while told.readable().await.is_ok() {
            let mut count = [0; 8];
            match told.try_read(&mut count) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            }
            let until = tokio::time::Instant::now() + KILL_FOLLOWS;
            while tokio::time::Instant::now() < until {
                if self.dirs.somebody_was_killed() {
                    return ExitReason::OutOfMemory;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        std::future::pending().await
    }

    /// Where the kernel counts forks that it refused.
    pub(crate) fn pids(&self) -> PathBuf {
        self.dirs.pids.clone()
    }

    pub(crate) fn kill(&self) -> bool {
        self.dirs.kill()
    }

    pub(crate) fn usage(&self, watchdog: i32) -> Option<Usage> {
        let memory = &self.dirs.memory;
        // What was read from files and can be dropped is not what a function needs.
        let cache = cgroup::read_key(&memory.join("memory.stat"), "total_inactive_file");
        let resident_bytes = cgroup::read_number(&memory.join("memory.usage_in_bytes"))?
            .saturating_sub(cache.unwrap_or(0));
        let cpu = match &self.dirs.cpu_time {
            Some(dir) => Duration::from_nanos(cgroup::read_number(&dir.join("cpuacct.usage"))?),
            None => processes::usage(watchdog, &processes::all())?.cpu,
        };
        Some(Usage {
            resident_bytes,
            cpu,
        })
    }

    pub(crate) fn end(&self) -> Ended {
        if !self.kill() {
            let dir = self.dirs.memory.display();
            tracing::error!(%dir, "processes in a control group do not end");
        }
        let ended = Ended {
            out_of_memory: self.dirs.somebody_was_killed(),
            // There is no process any more to ask otherwise.
            usage: self
                .dirs
                .cpu_time
                .is_some()
                .then(|| self.usage(0))
                .flatten(),
        };
        self.dirs.remove();
        ended
    }
}
