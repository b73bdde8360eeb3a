//! Opening an engine, hearing from the runtime, and shutting down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use provider_route::Activator;
use provider_types::Runtime;
use tokio::runtime::Handle;

use crate::blocking::Blocking;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::function::Signal;
use crate::inner::Inner;
use crate::log_store;
use crate::patience::Patience;
use crate::reconcile;
use crate::scaler::EngineScaler;
use crate::state_dir::StateDir;
use crate::store::Store;

/// Keeps functions as they were asked for, on one host.
///
/// Implements [`Provider`](provider_types::Provider), [`SecretStore`](provider_types::SecretStore),
/// [`NamespaceStore`](provider_types::NamespaceStore) and [`LogSource`](provider_types::LogSource);
/// [`Engine::resolver`] says where calls go. Dropping it ends its tasks at once and leaves
/// instances to the runtime; [`Engine::shutdown`] is the orderly way.
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

/// How long a shutdown waits beyond its deadline, for what it kills and for what it cuts off.
const LAST_WAIT: Duration = Duration::from_secs(2);

impl Engine {
    /// Opens the state directory and starts again what was deployed there.
    ///
    /// Returns before the functions are ready: calls for them wait. What the runtime still runs
    /// from before is taken over where its instances outlive a provider and the version is still
    /// wanted; everything else is ended, and nothing starts in its place until it has. Must be
    /// called on a tokio runtime, which then drives the engine; calls may come from any other.
    ///
    /// # Errors
    /// When the state directory cannot be used, is used by another process, or was written by a
    /// newer version; when the runtime does not answer.
    pub async fn open(
        config: EngineConfig,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Arc<Self>, EngineError> {
        let state_dir = StateDir::open(&config.state_dir)?;
        let store = Store::open(&state_dir.store_path(), config.default_namespace.clone())?;
        let blocking = Blocking::Threads(Handle::current());
        Self::start(config, runtime, store, blocking, Some(state_dir)).await
    }

    /// Starts what the store holds.
    pub(crate) async fn start(
        config: EngineConfig,
        runtime: Arc<dyn Runtime>,
        store: Store,
        blocking: Blocking,
        state_dir: Option<StateDir>,
    ) -> Result<Arc<Self>, EngineError> {
        let functions = store.functions();
        let runtime = Patience::new(runtime, &config);
        // Listen first, so that nothing is missed.
        let events = runtime.events();
        let found = runtime.list().await.map_err(EngineError::Runtime)?;

        let inner = Arc::new(Inner::new(config, runtime, store, blocking, state_dir));
        let engine = Arc::new(Self {
            inner: Arc::clone(&inner),
        });
        reconcile::begin(&inner, functions, found);
        inner.spawn(reconcile::listen(Arc::clone(&inner), events));
        inner.spawn(keep_logs(Arc::clone(&inner)));
        Ok(engine)
    }

    /// Where calls go: the function table, whose calls wake functions that are scaled to zero. All
    /// clones are the same one. It does not keep the engine alive.
    #[must_use]
    pub fn resolver(&self) -> Activator {
        let scaler = EngineScaler(Arc::downgrade(&self.inner));
        Activator::new(self.inner.table.clone(), scaler)
    }

    /// Refuses further operations and calls, lets calls in flight end, and ends all instances.
    ///
    /// What is left after `deadline` is killed. Functions stay deployed: the next engine on the same
    /// directory starts them again. The directory is free once the engine is dropped.
    pub async fn shutdown(&self, deadline: Duration) {
        let inner = &self.inner;
        inner.closing.store(true, Ordering::SeqCst);
        let mut functions = Vec::new();
        let all_left = async {
            loop {
                // An operation that was under way may have added one.
                functions = inner.all_functions();
                functions.extend(inner.leaving().iter().cloned());
                for function in &functions {
                    function.state().leaving = true;
                    function.signal(Signal::Changed);
                }
                join_all(functions.iter().map(|function| function.left())).await;
                if functions.len() >= inner.all_functions().len() {
                    break;
                }
            }
        };
        if tokio::time::timeout(deadline, all_left).await.is_err() {
            let expected = inner.expected();
            tracing::warn!(
                instances = expected.len(),
                "not all instances ended within {deadline:?}: the rest is killed"
            );
            let kill = expected
                .iter()
                .map(|id| inner.runtime.stop(id, Duration::ZERO));
            if tokio::time::timeout(LAST_WAIT, join_all(kill))
                .await
                .is_err()
            {
                tracing::error!("instances could not be killed");
            }
        }
        if tokio::time::timeout(LAST_WAIT, inner.logs.flush())
            .await
            .is_err()
        {
            tracing::warn!("the last log lines could not be written in time");
        }
        for function in &functions {
            function.log.close();
        }
        inner.stop_tasks(LAST_WAIT).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.inner.abandon_tasks();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

/// Removes log lines that are nobody's, and from time to time those that are too old.
async fn keep_logs(inner: Arc<Inner>) {
    let logs = inner.logs.clone();
    if !logs.are_kept() {
        return;
    }
    let survey = logs.clone();
    // It does not end before it is done, unless the whole process does.
    drop(inner.blocking.run(move || survey.survey()).await);
    loop {
        tokio::time::sleep(log_store::SWEEP_EVERY).await;
        let sweep = logs.clone();
        drop(inner.blocking.run(move || sweep.sweep()).await);
    }
}
