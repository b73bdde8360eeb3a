//! What every handler shares: the back-end, the settings, the metrics, and whether the server is
//! on its way out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use provider_types::{LogSource, NamespaceStore, Provider, SecretStore, Telemetry};
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::draining::Draining;
use crate::metrics::Metrics;

/// The back-end, and which of the optional traits it has.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) secrets: Option<Arc<dyn SecretStore>>,
    pub(crate) namespaces: Option<Arc<dyn NamespaceStore>>,
    pub(crate) logs: Option<Arc<dyn LogSource>>,
    pub(crate) telemetry: Option<Arc<dyn Telemetry>>,
}

/// The state of the router. One a server: two servers in a process share nothing.
pub(crate) struct App {
    pub(crate) backend: Backend,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: Draining,
    /// The mutations that run; they end even when their clients have left.
    pub(crate) mutations: TaskTracker,
    /// Whether a gateway was met in the wrong role and the operator told so.
    pub(crate) gateway_met: AtomicBool,
}

impl App {
    pub(crate) fn new(backend: Backend, config: Config) -> Self {
        let metrics = Arc::new(Metrics::new(config.role));
        Self {
            backend,
            config,
            metrics,
            draining: Draining::default(),
            mutations: TaskTracker::new(),
            gateway_met: AtomicBool::new(false),
        }
    }
}
