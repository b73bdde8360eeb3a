//! What all parts of an engine share.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use provider_route::Table;
use provider_types::{FunctionRef, FunctionSpec, InstanceId, Prepared, ProviderError, SecretName};
use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockWriteGuard, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocking::Blocking;
use crate::config::EngineConfig;
use crate::function::{Function, Signal};
use crate::ledger::Ledger;
use crate::log_store::LogStore;
use crate::name_locks::NameLocks;
use crate::patience::Patience;
use crate::state_dir::StateDir;
use crate::store::Store;

/// What all parts of an engine share.
pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) runtime: Patience,
    pub(crate) table: Table,
    /// What the host has, and who was promised it.
    pub(crate) ledger: Ledger,
    /// What is deployed, in the order of lists.
    pub(crate) functions: RwLock<BTreeMap<FunctionRef, Arc<Function>>>,
    /// What was deployed and still drains.
    pub(crate) leaving: Mutex<Vec<Arc<Function>>>,
    /// One operation at a time on a function.
    pub(crate) locks: NameLocks,
    pub(crate) logs: LogStore,
    /// How often a secret was changed or removed.
    pub(crate) secret_changes: AtomicU64,
    /// Held from reading secrets until running instances have them: an older reading never comes
    /// after a newer one.
    refreshing: tokio::sync::Mutex<()>,
    /// No operation begins any more.
    pub(crate) closing: AtomicBool,
    /// Operations hold it to read; to write, who lets go of the state or takes it again.
    pub(crate) gate: Arc<tokio::sync::RwLock<()>>,
    /// Keeps the gate shut while another version has the state.
    pub(crate) shut: Mutex<Option<OwnedRwLockWriteGuard<()>>>,
    /// One hand-over at a time.
    pub(crate) handing_over: tokio::sync::Mutex<()>,
    /// Another version has taken over.
    pub(crate) given: watch::Sender<bool>,
    /// Functions, with their namespaces, that the version before still runs.
    held: Mutex<BTreeSet<String>>,
    /// Who hears of which instance. In order, so that a simulation can be repeated.
    listeners: Mutex<BTreeMap<InstanceId, Listener>>,
    rng: Mutex<fastrand::Rng>,
    starts: Semaphore,
    /// Apart from `starts`: fetching what a function needs may take long.
    preparations: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
    handle: Handle,
    pub(crate) store: Arc<Store>,
    pub(crate) blocking: Blocking,
    /// Released after the store was closed: fields are dropped in their order. A simulation has
    /// none.
    state_dir: Option<StateDir>,
}

/// Who hears of an instance.
struct Listener {
    to: mpsc::UnboundedSender<Signal>,
    /// The runtime has started it.
    runs: bool,
}

impl Inner {
    pub(crate) fn new(
        mut config: EngineConfig,
        runtime: Patience,
        store: Store,
        blocking: Blocking,
        state_dir: Option<StateDir>,
    ) -> Self {
        Self {
            table: Table::new(config.route.clone()),
            functions: RwLock::default(),
            leaving: Mutex::default(),
            locks: NameLocks::default(),
            logs: LogStore::new(
                state_dir.as_ref().map(StateDir::logs_path).as_deref(),
                config.logs,
            ),
            secret_changes: AtomicU64::new(0),
            refreshing: tokio::sync::Mutex::default(),
            closing: AtomicBool::new(false),
            gate: Arc::default(),
            shut: Mutex::default(),
            handing_over: tokio::sync::Mutex::default(),
            given: watch::Sender::new(false),
            held: Mutex::new(std::mem::take(&mut config.held)),
            listeners: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            starts: Semaphore::new(config.parallel_starts.max(1)),
            preparations: Semaphore::new(config.parallel_starts.max(1)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            ledger: Ledger::new(runtime.host()),
            handle: Handle::current(),
            store: Arc::new(store),
            blocking,
            state_dir,
            config,
            runtime,
        }
    }

    // --- tasks ---

    /// Runs something in the background until it ends or the engine does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stop = self.stop.clone();
        let until_stopped = async move {
            tokio::select! {
                // In order, so that a simulation can be repeated.
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        };
        self.tasks.spawn_on(until_stopped, &self.handle)
    }

    /// Runs an operation to its end, even when the caller leaves.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let task = self.tasks.spawn_on(operation, &self.handle);
        task.await.unwrap_or_else(|error| {
            Err(ProviderError::internal("the operation did not end as it should").with_cause(error))
        })
    }

    /// Changes the store, where it may block.
    pub(crate) async fn stored<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let store = Arc::clone(&self.store);
        let answer = self.blocking.run(move || ask(&store)).await;
        answer.unwrap_or_else(|error| {
            Err(ProviderError::internal("the stored state could not be used").with_cause(error))
        })
    }

    /// Ends all background tasks and waits for that, and for operations that still run.
    pub(crate) async fn stop_tasks(&self, patience: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("an operation does not end and is left behind");
        }
    }

    /// Ends all background tasks without waiting.
    pub(crate) fn abandon_tasks(&self) {
        self.stop.cancel();
    }

    // --- the state directory ---

    /// Lets another process lock it.
    pub(crate) fn unlock(&self) -> std::io::Result<()> {
        self.state_dir.as_ref().map_or(Ok(()), StateDir::unlock)
    }

    /// Locks it again; false when another process has it.
    pub(crate) fn lock_again(&self) -> bool {
        self.state_dir.as_ref().is_none_or(StateDir::lock_again)
    }

    /// Whether the version before still runs a function.
    pub(crate) fn is_held(&self, function: &FunctionRef) -> bool {
        let held = self.held();
        !held.is_empty() && held.contains(&function.to_string())
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- functions ---

    pub(crate) fn function(&self, function: &FunctionRef) -> Option<Arc<Function>> {
        let functions = self.functions.read();
        functions
            .unwrap_or_else(PoisonError::into_inner)
            .get(function)
            .cloned()
    }

    /// All functions, in order.
    pub(crate) fn all_functions(&self) -> Vec<Arc<Function>> {
        let functions = self.functions.read();
        functions
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn add(&self, function: Arc<Function>) {
        let mut functions = self
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        functions.insert(function.function.clone(), Arc::clone(&function));
        drop(functions);
        // A shutdown that began meanwhile may not have seen it.
        if self.closing.load(Ordering::SeqCst) {
            function.state().leaving = true;
            function.signal(Signal::Changed);
        }
    }

    /// Takes a function out of what is deployed, and lets it leave.
    pub(crate) fn dismiss(&self, function: &Arc<Function>) {
        self.leaving().push(Arc::clone(function));
        self.functions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&function.function);
        self.table.remove(&function.function);
        function.log.remove();
        function.state().leaving = true;
        // Its state records nothing any more.
        self.ledger.forget(&function.function);
        function.signal(Signal::Changed);
    }

    /// Forgets a function that has left.
    pub(crate) fn forget(&self, function: &Arc<Function>) {
        self.leaving().retain(|kept| !Arc::ptr_eq(kept, function));
    }

    pub(crate) fn leaving(&self) -> MutexGuard<'_, Vec<Arc<Function>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- instances ---

    /// Waits until fewer instances are starting than may be.
    pub(crate) async fn turn_to_start(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.starts.acquire().await.ok()
    }

    /// Asks the runtime whether a function can run.
    pub(crate) async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError> {
        let _turn = self.preparations.acquire().await;
        self.runtime.prepare(spec).await
    }

    /// The present values of a function's secrets.
    pub(crate) fn secrets_of(
        &self,
        spec: &FunctionSpec,
    ) -> Result<Vec<(SecretName, Vec<u8>)>, ProviderError> {
        self.store
            .secret_values(&spec.function.namespace, &spec.secrets)
    }

    /// Gives running instances of a function the present values of its secrets.
    pub(crate) async fn refresh_secrets(&self, spec: &FunctionSpec) -> Result<(), ProviderError> {
        let _turn = self.refreshing.lock().await;
        let secrets = self.secrets_of(spec)?;
        self.runtime.refresh_secrets(&spec.function, &secrets).await
    }

    /// Sends an instance's events there from now on.
    pub(crate) fn expect_events(&self, id: &InstanceId, to: mpsc::UnboundedSender<Signal>) {
        let listener = Listener { to, runs: false };
        self.listeners().insert(id.clone(), listener);
    }

    /// The runtime has started an instance: one that it does not list from now on has ended.
    pub(crate) fn expect_to_run(&self, id: &InstanceId) {
        if let Some(listener) = self.listeners().get_mut(id) {
            listener.runs = true;
        }
    }

    pub(crate) fn expect_no_events(&self, id: &InstanceId) {
        self.listeners().remove(id);
    }

    /// Passes something on to the function of an instance.
    pub(crate) fn tell(&self, id: &InstanceId, signal: Signal) {
        if let Some(listener) = self.listeners().get(id) {
            drop(listener.to.send(signal));
        }
    }

    /// Whether an instance is ours.
    pub(crate) fn expects(&self, id: &InstanceId) -> bool {
        self.listeners().contains_key(id)
    }

    /// The instances whose events are expected.
    pub(crate) fn expected(&self) -> Vec<InstanceId> {
        self.listeners().keys().cloned().collect()
    }

    /// The instances that the runtime has started.
    pub(crate) fn expected_to_run(&self) -> Vec<InstanceId> {
        let listeners = self.listeners();
        let run = listeners.iter().filter(|(_, listener)| listener.runs);
        run.map(|(id, _)| id.clone()).collect()
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Listener>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
