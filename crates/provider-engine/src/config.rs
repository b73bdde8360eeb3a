//! What can be set of an engine.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use provider_route::TableConfig;
use provider_types::wire::ProviderInfo;
use provider_types::{Namespace, wire::VersionInfo};

/// Settings of an [`Engine`](crate::Engine).
#[derive(Clone)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Where the state is kept; created with mode 0700 when it is missing.
    pub state_dir: PathBuf,
    /// The namespace that always exists. Default `openfaas-fn`.
    pub default_namespace: Namespace,
    /// What `GET /system/info` says of the provider.
    pub info: ProviderInfo,
    /// The most replicas that one function may have. Default 100.
    pub max_replicas: u64,
    /// How long an instance may take to get ready before it counts as failed. Default 60 s.
    pub ready_timeout: Duration,
    /// How long a deploy, an update or a delete waits for its outcome before it answers that it
    /// goes on. Default 1 s.
    pub start_grace: Duration,
    /// The least time that an instance has to finish its calls and end; a function's
    /// `grace_period`, or a longer `write_timeout`, overrules it. Default 30 s.
    pub stop_grace: Duration,
    /// How long the runtime may take to answer; beyond the grace where it stops an instance. What
    /// takes longer counts as failed, and the instance is ended. Default 60 s.
    pub runtime_timeout: Duration,
    /// How long the runtime may take to fetch what a function needs. Default 10 min.
    pub prepare_timeout: Duration,
    /// How many instances may be starting at a time, over all functions. Default 8.
    pub parallel_starts: usize,
    /// How many log lines are kept.
    pub logs: LogLimits,
    /// Settings of the function table.
    pub route: TableConfig,
    /// Start of the random numbers in instance ids and back-off. Default: a random one.
    pub seed: u64,
    /// What time it is, for creation times. Default: the system's clock. Waiting uses tokio's
    /// clock, which a test can pause.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Functions, with their namespaces, that are not started until the version before says so.
    pub(crate) held: BTreeSet<String>,
}

/// How many log lines are kept on disk.
///
/// Lines are removed by whole segments, the oldest first, so that a function may have an eighth
/// more for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLimits {
    /// The most bytes of one function. Its newest 1,000 lines stay, whatever they have. Default
    /// 64 MiB.
    pub function_bytes: u64,
    /// How long lines are kept, `None` for no bound. A function's newest 1,000 stay, however old
    /// they are. Default 30 days.
    pub function_age: Option<Duration>,
    /// The most bytes of all functions together. The function with the most loses its oldest lines
    /// first, and one of the newest 1,000 only when there are no others. Default 2 GiB.
    pub total_bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            function_bytes: 64 * 1024 * 1024,
            function_age: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            total_bytes: 2 * 1024 * 1024 * 1024,
        }
    }
}

impl EngineConfig {
    /// The defaults, with the state in that directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            default_namespace: Namespace::default(),
            info: ProviderInfo::new(
                "provider-engine",
                "engine",
                VersionInfo::new(env!("CARGO_PKG_VERSION"), "unknown"),
            ),
            max_replicas: 100,
            ready_timeout: Duration::from_secs(60),
            start_grace: Duration::from_secs(1),
            stop_grace: Duration::from_secs(30),
            runtime_timeout: Duration::from_secs(60),
            prepare_timeout: Duration::from_secs(600),
            parallel_starts: 8,
            logs: LogLimits::default(),
            route: TableConfig::default(),
            seed: fastrand::u64(..),
            clock: Arc::new(SystemTime::now),
            held: BTreeSet::new(),
        }
    }
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("state_dir", &self.state_dir)
            .field("default_namespace", &self.default_namespace)
            .field("info", &self.info)
            .field("max_replicas", &self.max_replicas)
            .field("ready_timeout", &self.ready_timeout)
            .field("start_grace", &self.start_grace)
            .field("stop_grace", &self.stop_grace)
            .field("runtime_timeout", &self.runtime_timeout)
            .field("prepare_timeout", &self.prepare_timeout)
            .field("parallel_starts", &self.parallel_starts)
            .field("logs", &self.logs)
            .field("route", &self.route)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
