//! Opening an engine, hearing from the runtime, and shutting down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use provider_route::Activator;
use provider_types::{BoxStream, ExitReason, FunctionSpec, InstanceState, Runtime, RuntimeEvent};
use tokio::runtime::Handle;

use crate::blocking::Blocking;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::function::{Function, Signal};
use crate::inner::Inner;
use crate::intake::Wishes;
use crate::scaler::EngineScaler;
use crate::state::{Previous, State, Version};
use crate::state_dir::StateDir;
use crate::store::{FunctionRecord, Store};

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
    /// from before is ended first. Must be called on a tokio runtime, which then drives the engine;
    /// calls may come from any other.
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
        // Listen first, so that nothing is missed.
        let events = runtime.events();
        end_leftovers(&runtime).await?;

        let inner = Arc::new(Inner::new(config, runtime, store, blocking, state_dir));
        let engine = Arc::new(Self {
            inner: Arc::clone(&inner),
        });
        inner.spawn(listen(Arc::clone(&inner), events));
        for function in functions {
            let state = restored(&function, &inner.config);
            inner.add(Function::spawn(&inner, state));
        }
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
        let mut functions = inner.all_functions();
        functions.extend(inner.leaving().iter().cloned());
        for function in &functions {
            function.state().leaving = true;
            function.signal(Signal::Changed);
        }
        let all_left = join_all(functions.iter().map(|function| function.left()));
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

/// Ends what the runtime runs from before, so that no instance has two owners.
async fn end_leftovers(runtime: &Arc<dyn Runtime>) -> Result<(), EngineError> {
    let leftovers = runtime.list().await.map_err(EngineError::Runtime)?;
    let end = leftovers.iter().map(|instance| async {
        tracing::info!(instance = %instance.id, "ending an instance from before");
        let stopped = runtime.stop(&instance.id, Duration::ZERO).await;
        if let Err(error) = stopped.and(runtime.remove(&instance.id).await) {
            tracing::warn!(
                instance = %instance.id,
                error = &error as &dyn std::error::Error,
                "an instance from before could not be ended"
            );
        }
    });
    join_all(end).await;
    Ok(())
}

/// A function as it was when the last engine stopped; what it needs is asked of the runtime anew.
fn restored(function: &FunctionRecord, config: &EngineConfig) -> State {
    let version = |generation, spec: &Arc<FunctionSpec>| Version {
        generation,
        // It was read without fault when the function was deployed, under bounds that may have
        // changed since.
        wishes: Wishes::read(spec, config.max_replicas).unwrap_or_default(),
        spec: Arc::clone(spec),
        prepared: None,
    };
    let target = version(function.generation, &function.spec);
    let mut state = State::new(target, function.replicas, function.created_at);
    state.previous = function.previous.as_ref().map(|previous| Previous {
        version: version(previous.generation, &previous.spec),
        replicas: previous.replicas,
    });
    state
}

/// Passes on what the runtime tells.
async fn listen(inner: Arc<Inner>, mut events: BoxStream<RuntimeEvent>) {
    while let Some(event) = events.next().await {
        match event {
            RuntimeEvent::Ready(id) => inner.tell(&id, Signal::Ready(id.clone())),
            RuntimeEvent::Unready { id, reason } => {
                inner.tell(&id, Signal::Unready(id.clone(), reason));
            }
            RuntimeEvent::Exited { id, reason } => {
                inner.tell(&id, Signal::Exited(id.clone(), reason));
            }
            RuntimeEvent::Lost => {
                tracing::warn!("the runtime cannot be reached: what happens there is not seen");
            }
            RuntimeEvent::Back => catch_up(&inner).await,
            RuntimeEvent::Preparing { function, progress } => {
                tracing::info!(%function, progress, "a function is being prepared");
            }
            _ => {}
        }
    }
    tracing::error!("the runtime tells nothing any more");
}

/// Finds the instances that ended while nobody was told.
async fn catch_up(inner: &Arc<Inner>) {
    // Asked first: an instance that is started meanwhile must not look ended.
    let expected = inner.expected();
    let present = match inner.runtime.list().await {
        Ok(present) => present,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the runtime is back but does not say what it runs"
            );
            return;
        }
    };
    for id in expected {
        let runs = present
            .iter()
            .any(|found| found.id == id && found.state != InstanceState::Exited);
        if !runs {
            let reason = ExitReason::StartFailed("it was lost with the runtime".to_owned());
            inner.tell(&id, Signal::Exited(id.clone(), reason));
        }
    }
}
