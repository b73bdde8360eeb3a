//! Holding instances to their limits on memory, CPU and processes, by the best that the host gives.
//!
//! One seam, three ways: a delegated subtree of cgroup v2, the hierarchies of cgroup v1, and where
//! neither can be used a look at the processes from time to time. Which way there is, is found out
//! by using it: a group is made and limited. `RLIMIT_AS` is no way: it counts addresses, not
//! memory, and breaks programs that reserve more than they use. Neither is `RLIMIT_NPROC`: it
//! counts all processes of a user, and functions share theirs.

mod cgroup;
mod cgroup_v1;
mod cgroup_v2;
mod mounts;
mod refusals;
mod watch;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use provider_types::{ExitReason, FunctionSpec, ProviderError, Quantity, Resources};

use crate::config::SetupError;
use crate::processes::{self, Usage};
use mounts::Mounts;
use refusals::Refusals;

pub(crate) use mounts::host;

/// A program needs some memory to be started at all. What is less is most likely a mistaken unit:
/// `128m` is a fraction of a byte.
const LEAST_MEMORY: u64 = 4 * 1024 * 1024;

/// How limits are to be held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitsChoice {
    /// By the best that the host gives.
    #[default]
    Auto,
    /// By one way only; where it cannot be used, the runtime does not come up.
    Only(LimitsWay),
}

/// A way to hold limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitsWay {
    /// By the kernel, in a subtree of cgroup v2 that belongs to the provider.
    CgroupV2,
    /// By the kernel, in groups of cgroup v1.
    CgroupV1,
    /// Memory and processes by looking at them and ending what is above its limit; CPU not at all.
    Watch,
}

/// How limits are held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsStatus {
    /// The way in use.
    pub way: LimitsWay,
    /// Whether CPU is limited, too.
    pub cpu: bool,
    /// The most processes and threads that an instance may have.
    pub max_processes: u64,
    /// Why each better way is not in use, and what would make it so.
    pub lacks: Vec<String>,
}

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a core.
    pub(crate) millicores: Option<u64>,
    /// Thousandths of a core that it is promised where CPU is short.
    pub(crate) promised: Option<u64>,
    /// Processes and threads.
    pub(crate) processes: u64,
}

/// Makes the groups of instances.
#[derive(Debug)]
pub(crate) struct Limits {
    way: Way,
    max_processes: u64,
    lacks: Vec<String>,
}

#[derive(Debug)]
enum Way {
    V2(cgroup_v2::Tree),
    V1(cgroup_v1::Trees),
    Watch(Arc<watch::Watcher>),
}

/// Holds one instance to its limits.
#[derive(Debug)]
pub(crate) enum Group {
    V2(cgroup_v2::Group),
    V1(cgroup_v1::Group),
    Watch {
        watcher: Arc<watch::Watcher>,
        bounds: Bounds,
    },
}

/// What a group has to say once nothing runs in it any more.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The kernel ended something for want of memory.
    pub(crate) out_of_memory: bool,
    pub(crate) usage: Option<Usage>,
}

// === impl LimitsWay ===

impl fmt::Display for LimitsWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV2 => "cgroup-v2",
            Self::CgroupV1 => "cgroup-v1",
            Self::Watch => "watch",
        })
    }
}

impl FromStr for LimitsChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "cgroup-v2" => Self::Only(LimitsWay::CgroupV2),
            "cgroup-v1" => Self::Only(LimitsWay::CgroupV1),
            "watch" => Self::Only(LimitsWay::Watch),
            _ => return Err("use auto, cgroup-v2, cgroup-v1 or watch".to_owned()),
        })
    }
}

// === impl LimitsStatus ===

impl fmt::Display for LimitsStatus {
    /// One line for whoever starts the provider.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = self.max_processes;
        match (self.way, self.cpu) {
            (LimitsWay::Watch, _) => write!(
                f,
                "memory, and {processes} processes for each replica, by watching them; NOT CPU"
            ),
            (way, true) => write!(
                f,
                "memory, CPU, and {processes} processes for each replica, by {way}"
            ),
            (way, false) => write!(
                f,
                "memory, and {processes} processes for each replica, by {way}; NOT CPU"
            ),
        }
    }
}

impl LimitsStatus {
    /// Finds out how limits would be held if a provider were started as this process was. Makes a
    /// group for that, and removes it. Blocks briefly.
    #[must_use]
    pub fn probe() -> Self {
        match Limits::detect(LimitsChoice::Auto, "probe", 0) {
            Ok(limits) => limits.status(),
            // Watching is always possible.
            Err(error) => Self {
                way: LimitsWay::Watch,
                cpu: false,
                max_processes: 0,
                lacks: vec![error.to_string()],
            },
        }
    }
}

// === impl Bounds ===

impl Bounds {
    /// What a function's instances may use. 0 is no limit, as it is for container runtimes.
    fn of(spec: &FunctionSpec, max_processes: u64) -> Self {
        let memory = |of: &Option<Resources>| Some(of.as_ref()?.memory.as_ref()?.bytes());
        let cpu = |of: &Option<Resources>| Some(of.as_ref()?.cpu.as_ref()?.millicores());
        let millicores = cpu(&spec.limits).filter(|cpu| *cpu > 0);
        Self {
            memory: memory(&spec.limits).filter(|bytes| *bytes > 0),
            millicores,
            // What is not said of it is the limit, as for admission.
            promised: cpu(&spec.requests).or(millicores).filter(|cpu| *cpu > 0),
            processes: max_processes,
        }
    }
}

// === impl Limits ===

impl Limits {
    /// Finds the way to hold limits. Groups get a common parent of that name; what an earlier
    /// runtime of the same name left there is ended and removed.
    pub(crate) fn detect(
        choice: LimitsChoice,
        name: &str,
        max_processes: u64,
    ) -> Result<Self, SetupError> {
        let mounts = Mounts::read();
        let mut lacks = Vec::new();
        let wanted =
            |way| matches!(choice, LimitsChoice::Auto) || choice == LimitsChoice::Only(way);
        let mut way = None;
        if wanted(LimitsWay::CgroupV2) {
            match cgroup_v2::Tree::open(&mounts, name) {
                Ok(tree) => way = Some(Way::V2(tree)),
                Err(why) => lacks.push(format!("cgroup v2: {why}")),
            }
        }
        if way.is_none() && wanted(LimitsWay::CgroupV1) {
            match cgroup_v1::Trees::open(&mounts, name) {
                Ok(trees) => way = Some(Way::V1(trees)),
                Err(why) => lacks.push(format!("cgroup v1: {why}")),
            }
        }
        if way.is_none() && wanted(LimitsWay::Watch) {
            way = Some(Way::Watch(Arc::default()));
        }
        match way {
            Some(way) => Ok(Self {
                way,
                max_processes,
                lacks,
            }),
            None => Err(SetupError::Limits {
                why: lacks.join("; "),
            }),
        }
    }

    pub(crate) fn status(&self) -> LimitsStatus {
        let (way, cpu) = match &self.way {
            Way::V2(tree) => (LimitsWay::CgroupV2, tree.limits_cpu()),
            Way::V1(trees) => (LimitsWay::CgroupV1, trees.limits_cpu()),
            Way::Watch(_) => (LimitsWay::Watch, false),
        };
        LimitsStatus {
            way,
            cpu,
            max_processes: self.max_processes,
            lacks: self.lacks.clone(),
        }
    }

    /// Refuses limits that no program can run under.
    pub(crate) fn check(&self, spec: &FunctionSpec) -> Result<(), ProviderError> {
        let bounds = Bounds::of(spec, self.max_processes);
        match bounds.memory {
            Some(bytes) if bytes < LEAST_MEMORY => Err(ProviderError::invalid(format!(
                "limits.memory: {:?} is {bytes} {}, and no function runs with less than {}Mi: give \
                 bytes with a suffix, such as 64Mi or 128M",
                spec.limits
                    .as_ref()
                    .and_then(|limits| limits.memory.as_ref())
                    .map_or("", Quantity::as_str),
                if bytes == 1 { "byte" } else { "bytes" },
                LEAST_MEMORY / 1024 / 1024
            ))),
            _ => Ok(()),
        }
    }

    /// What is not held of a function's limits.
    pub(crate) fn warnings(&self, spec: &FunctionSpec) -> Vec<String> {
        let mut warnings = Vec::new();
        let bounds = Bounds::of(spec, self.max_processes);
        if bounds.millicores.is_some() && !self.status().cpu {
            warnings.push(
                "limits.cpu is recorded but not held: the provider has no control group to hold \
                 it by"
                    .to_owned(),
            );
        }
        let devices = [&spec.limits, &spec.requests];
        let mut devices = devices.into_iter().flatten();
        if devices.any(|asked| !asked.devices.is_empty()) {
            warnings.push("devices are recorded but none is assigned by this provider".to_owned());
        }
        warnings
    }

    /// How a function is held to the limits that it was given; `None` where it was given none.
    pub(crate) fn describe(&self, spec: &FunctionSpec) -> Option<String> {
        let limits = spec.limits.as_ref().filter(|limits| !limits.is_empty())?;
        let LimitsStatus {
            way,
            cpu: holds_cpu,
            max_processes,
            ..
        } = self.status();
        let mut held = Vec::new();
        if let Some(memory) = &limits.memory {
            held.push(format!("memory {memory}"));
        }
        if let Some(cpu) = limits.cpu.as_ref().filter(|_| holds_cpu) {
            held.push(format!("cpu {cpu}"));
        }
        held.push(format!("{max_processes} processes"));
        let mut text = format!("{way}: {}", held.join(", "));
        if let Some(cpu) = limits.cpu.as_ref().filter(|_| !holds_cpu) {
            text.push_str(&format!("; not held: cpu {cpu}"));
        }
        Some(text)
    }

    /// Makes the group of one instance.
    pub(crate) fn group(
        &self,
        id: &str,
        spec: &FunctionSpec,
        owner: Option<u32>,
    ) -> io::Result<Group> {
        let bounds = Bounds::of(spec, self.max_processes);
        Ok(match &self.way {
            Way::V2(tree) => Group::V2(tree.group(id, &bounds)?),
            Way::V1(trees) => Group::V1(trees.group(id, &bounds, owner)?),
            Way::Watch(watcher) => Group::Watch {
                watcher: watcher.clone(),
                bounds,
            },
        })
    }
}

// === impl Group ===

impl Group {
    /// Where the watchdog writes itself in before it starts anything.
    pub(crate) fn join_files(&self) -> Vec<PathBuf> {
        match self {
            Self::V1(group) => group.join_files(),
            Self::V2(_) | Self::Watch { .. } => Vec::new(),
        }
    }

    /// Takes a watchdog in that has started nothing yet.
    pub(crate) fn enter(&self, watchdog: i32) -> io::Result<()> {
        match self {
            Self::V2(group) => group.enter(watchdog),
            Self::V1(_) | Self::Watch { .. } => Ok(()),
        }
    }

    /// Waits until the instance of this watchdog has to be ended, and says why. What the kernel
    /// ends by itself is told by [`Group::end`].
    pub(crate) async fn breached(&self, watchdog: i32) -> ExitReason {
        match self {
            Self::V2(_) => std::future::pending().await,
            Self::V1(group) => group.out_of_memory().await,
            Self::Watch { watcher, bounds } => watcher.breached(watchdog, *bounds).await,
        }
    }

    /// The forks that are refused in it; where it is watched, it is ended instead.
    pub(crate) fn refusals(&self) -> Refusals {
        Refusals::of(match self {
            Self::V2(group) => Some(group.pids()),
            Self::V1(group) => Some(group.pids()),
            Self::Watch { .. } => None,
        })
    }

    /// Kills everything in it, the watchdog included. Blocks until nothing is left, but not for
    /// long.
    pub(crate) fn kill(&self, watchdog: i32) -> bool {
        match self {
            Self::V2(group) => group.kill(),
            Self::V1(group) => group.kill(),
            Self::Watch { .. } => processes::end_family(watchdog),
        }
    }

    /// What it uses.
    pub(crate) fn usage(&self, watchdog: i32) -> Option<Usage> {
        match self {
            Self::V2(group) => group.usage(),
            Self::V1(group) => group.usage(watchdog),
            Self::Watch { watcher, .. } => watcher.usage(watchdog),
        }
    }

    /// Removes it, with whatever still runs in it. Blocks.
    pub(crate) fn end(&self) -> Ended {
        match self {
            Self::V2(group) => group.end(),
            Self::V1(group) => group.end(),
            Self::Watch { .. } => Ended::default(),
        }
    }
}

#[cfg(test)]
mod tests;
