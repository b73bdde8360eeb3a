//! What the provider holds, all of it in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::defect::{Defect, Switches};
use crate::deployment::Deployment;
use crate::http1::Head;
use crate::instance::{self, Instance};
use crate::logs::Logs;
use crate::metrics::Metrics;

/// The namespace of whoever names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// Namespace and name.
pub(crate) type Key = (String, String);

/// How the provider is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// User and password that the API asks for; none by default.
    pub credentials: Option<(String, String)>,
    /// How long a function may take for the first byte of its reply; 2 s by default.
    pub first_byte: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: None,
            first_byte: Duration::from_secs(2),
        }
    }
}

/// The provider, for all its connections.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) switches: Switches,
    pub(crate) metrics: Metrics,
    /// Told whenever an instance is ready or gone.
    pub(crate) changed: Notify,
    /// Calls under way, and the first of them, by function (a defect).
    pub(crate) calls: Mutex<BTreeMap<Key, (usize, Head)>>,
    state: Mutex<State>,
    numbers: AtomicU64,
}

/// Functions, namespaces and secrets.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) functions: BTreeMap<Key, Function>,
    pub(crate) namespaces: BTreeMap<String, Meta>,
    pub(crate) secrets: BTreeMap<Key, Vec<u8>>,
    /// What defects hold on to: functions that were deleted, first values of secrets and so on.
    pub(crate) ghosts: BTreeMap<Key, Function>,
    pub(crate) first_secrets: BTreeMap<Key, Vec<u8>>,
    pub(crate) deleted_namespaces: Vec<String>,
    pub(crate) deleted_secrets: Vec<Key>,
    pub(crate) raced: Vec<Key>,
    pub(crate) stopped: bool,
}

/// Labels and annotations of a namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A function and its replicas.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) deployment: Deployment,
    /// What its replicas run: the deployment, but for defects.
    pub(crate) runs: Deployment,
    pub(crate) created: OffsetDateTime,
    pub(crate) wanted: u64,
    pub(crate) generation: u64,
    pub(crate) instances: Vec<Arc<Instance>>,
    pub(crate) logs: Arc<Logs>,
    /// How often its processes ended by themselves.
    pub(crate) failures: u32,
    pub(crate) was_at_zero: bool,
    turn: AtomicUsize,
}

impl Function {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self {
            runs: deployment.clone(),
            wanted: deployment.initial_replicas(),
            deployment,
            created: OffsetDateTime::now_utc(),
            generation: 1,
            instances: Vec::new(),
            logs: Arc::default(),
            failures: 0,
            was_at_zero: false,
            turn: AtomicUsize::new(0),
        }
    }

    /// How many replicas answer.
    pub(crate) fn available(&self) -> usize {
        self.ready().count()
    }

    fn ready(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.iter().filter(|one| one.is_ready())
    }

    /// A replica for a call, each in its turn, those of the newest version alone where there are.
    pub(crate) fn pick(&self) -> Option<Arc<Instance>> {
        let newest = self.ready().map(|one| one.generation).max()?;
        let ready: Vec<_> = self
            .ready()
            .filter(|one| one.generation == newest)
            .collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn % ready.len()).map(|one| Arc::clone(one))
    }
}

impl Inner {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            switches: Switches::default(),
            metrics: Metrics::default(),
            changed: Notify::new(),
            calls: Mutex::default(),
            state: Mutex::default(),
            numbers: AtomicU64::new(1),
        }
    }

    /// Whether a defect is switched on.
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.switches.has(defect)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything, which ends every process.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        *state = State {
            stopped: true,
            ..State::default()
        };
    }

    /// Whether nobody is served any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Starts and ends replicas until there are as many as are wanted.
    pub(crate) fn reconcile(self: &Arc<Self>, state: &mut State, key: &Key) {
        let secrets = &state.secrets;
        let first = &state.first_secrets;
        let Some(function) = state.functions.get_mut(key) else {
            return;
        };
        let mut wanted = function.wanted;
        if self.has(Defect::ScaleNeverUp) || self.has(Defect::ScaleClamped) {
            wanted = wanted.min(1);
        }
        if self.has(Defect::ZeroForEver) && function.was_at_zero {
            wanted = 0;
        }
        let generation = function.generation;
        let current = |function: &Function| {
            let of_now = |one: &&Arc<Instance>| one.generation == generation;
            function.instances.iter().filter(of_now).count() as u64
        };
        while current(function) < wanted {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let values = if self.has(Defect::SecretUpdateLost) {
                first
            } else {
                secrets
            };
            let values = function.runs.secrets.iter().map(|name| {
                let value = values.get(&(key.0.clone(), name.clone()));
                (name.clone(), value.cloned().unwrap_or_default())
            });
            let started = instance::start(
                self,
                key,
                (format!("{}-{number}", key.1), generation),
                &function.runs,
                &function.logs,
                values.collect(),
            );
            function.instances.push(started);
        }
        if !(self.has(Defect::ScaleNeverDown) && wanted > 0) {
            while current(function) > wanted {
                let surplus = function
                    .instances
                    .iter()
                    .rposition(|one| one.generation == generation && !one.is_ready());
                let last = || {
                    function
                        .instances
                        .iter()
                        .rposition(|one| one.generation == generation)
                };
                let Some(at) = surplus.or_else(last) else {
                    break;
                };
                function.instances.remove(at);
            }
        }
        let switched = function.ready().any(|one| one.generation == generation);
        if switched || wanted == 0 {
            function
                .instances
                .retain(|one| one.generation == generation);
        }
        self.changed.notify_waiters();
    }

    /// Something about a function's replicas has changed.
    pub(crate) fn look_again(self: &Arc<Self>, key: &Key) {
        self.reconcile(&mut self.state(), key);
    }

    /// An instance is gone by itself: another one takes its place, later each time.
    pub(crate) fn gone(self: &Arc<Self>, key: &Key, id: &str) {
        let mut state = self.state();
        let Some(function) = state.functions.get_mut(key) else {
            return;
        };
        let before = function.instances.len();
        function.instances.retain(|one| one.id != id);
        if function.instances.len() == before {
            return;
        }
        function.failures += 1;
        let wait = Duration::from_millis(50 << function.failures.min(7));
        let (inner, key) = (Arc::clone(self), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            inner.look_again(&key);
        });
    }
}
