//! What a process runtime is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::LimitsChoice;
use crate::user::User;

/// The argument that makes a binary a watchdog: hand it to [`crate::watchdog_main`] when it is the
/// first one.
pub const WATCHDOG_ARGUMENT: &str = "__watchdog";

/// How a [`crate::ProcessRuntime`] runs its instances.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// Holds a private directory per instance. What lies in it at the start is removed: use it for
    /// one runtime at a time and nothing else.
    pub run_dir: PathBuf,
    /// Holds the secrets that instances see in memory: a directory on a tmpfs, or one that a tmpfs
    /// is mounted on (`CAP_SYS_ADMIN`; it stays there). Any number of runtimes may share it, and
    /// one clears what another left that was killed. Where that does not work, and by default,
    /// they lie with the instance in `run_dir`.
    pub secrets_dir: Option<PathBuf>,
    /// Holds instances while `run_dir` takes none, its disk being full or read-only: a directory on
    /// another file system, which runtimes may share. Where secrets are in memory instances go there
    /// instead, and with neither none starts meanwhile. Default none.
    pub spare_run_dir: Option<PathBuf>,
    /// How the watchdog is started.
    pub watchdog: WatchdogCommand,
    /// Relative images are looked up below this; without it below the working directory.
    pub functions_dir: Option<PathBuf>,
    /// Directories and files that functions must not read: state, credentials. `run_dir` and
    /// those beside it always belong to them.
    pub hidden: Vec<PathBuf>,
    /// Of the variables `PATH`, `HOME`, `LANG` and `TZ`, those that programs get. Others are left
    /// out. Without a `PATH` here they get the usual one.
    pub environment: BTreeMap<String, String>,
    /// The temporary directory that functions write to. One that holds a hidden directory is
    /// replaced by a private one per instance where the sandbox is on.
    pub temp_dir: PathBuf,
    /// `OPENFAAS_URL`: where functions call other functions.
    pub gateway_url: String,
    /// How long a call waits for the first byte of a function that sets no `exec_timeout`. A
    /// little more than what the proxy waits, so that it is the proxy that says so. Default 61 s.
    pub first_byte_timeout: Duration,
    /// Silence that a connection of a function survives that sets no `read_timeout` or
    /// `write_timeout`. Default 5 minutes.
    pub idle_timeout: Duration,
    /// Whether Landlock holds functions to their own and the temporary directory where the kernel
    /// has it.
    pub sandbox: bool,
    /// The user that functions run as; needs root. `run_dir` must be reachable by it.
    pub run_as: Option<User>,
    /// How instances are held to their limits. Default: by the best that the host gives.
    pub limits: LimitsChoice,
    /// The most processes and threads that one instance may have, its watchdog's included where
    /// control groups count them. Default 1024.
    pub max_processes: u64,
    /// Makes this process the parent of what a killed watchdog leaves behind, so that it can be
    /// ended. It concerns the whole process: children that it starts by other means are taken for
    /// such orphans and killed. For binaries that only run functions.
    pub adopt_orphans: bool,
}

/// How a watchdog is started: a program that calls [`crate::watchdog_main`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatchdogCommand {
    /// The program; by default the running one itself.
    pub program: PathBuf,
    /// What it is called in lists of processes.
    pub name: String,
    /// Its arguments; the function's name is added.
    pub arguments: Vec<OsString>,
}

impl Default for WatchdogCommand {
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            name: "fwatchdog".to_owned(),
            arguments: vec![OsString::from(WATCHDOG_ARGUMENT)],
        }
    }
}

impl ProcessConfig {
    /// Instances in that directory, everything else as usual: sandboxed, same user, `/tmp`.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self {
            run_dir: run_dir.into(),
            secrets_dir: None,
            spare_run_dir: None,
            watchdog: WatchdogCommand::default(),
            functions_dir: None,
            hidden: Vec::new(),
            environment: BTreeMap::new(),
            temp_dir: PathBuf::from("/tmp"),
            gateway_url: "http://127.0.0.1:8080".to_owned(),
            first_byte_timeout: Duration::from_secs(61),
            idle_timeout: Duration::from_secs(5 * 60),
            sandbox: true,
            run_as: None,
            limits: LimitsChoice::Auto,
            max_processes: 1024,
            adopt_orphans: false,
        }
    }
}

/// Why a runtime does not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The directory of the instances cannot be used.
    #[error("the directory {path} for running functions cannot be used")]
    RunDir {
        /// Which directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The directory of the instances belongs to somebody else.
    #[error("the directory {path} for running functions belongs to another user")]
    ForeignRunDir {
        /// Which directory.
        path: PathBuf,
    },
    /// The functions directory is none.
    #[error("the functions directory {path} cannot be used")]
    FunctionsDir {
        /// Which directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Orphans cannot be adopted.
    #[error("this process cannot adopt the orphans of a killed watchdog")]
    Adopt(#[source] io::Error),
    /// Limits cannot be held in the one way that was asked for.
    #[error("limits cannot be held as asked: {why}")]
    Limits {
        /// Why, and what would help.
        why: String,
    },
}
