//! A runtime that starts nothing. What an instance does is said by its image: `ready`, `ready:300`
//! (after so many milliseconds), `silent` (never ready), `exit:1` (at once, with that code),
//! `exit-late:1` (after three seconds), `crash:500` (ready, and gone after so long), `hang` (its
//! start is never answered), `absent` (cannot be prepared). With the variable `single` there can be
//! one instance at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use provider_engine::{Engine, EngineConfig};
use provider_route::ReplicaLease;
use provider_types::wire::FunctionStatus;
use provider_types::{
    BoxStream, Call, CallContext, Capabilities, CreateSecret, DeleteFunction, DeployFunction,
    Endpoint, ExitReason, FunctionRef, FunctionSpec, GetFunction, Host, InstanceId, InstanceSpec,
    InstanceState, InstanceStats, ListFunctions, LogChunk, LogOutput, Namespace, Outcome, Prepared,
    Provider, ProviderError, ResolveError, Resolver, Runtime, RuntimeEvent, RuntimeInstance,
    ScaleFunction, SecretName, SecretStore, UpdateFunction,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) type Secrets = Vec<(SecretName, Vec<u8>)>;

/// A started instance.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) id: InstanceId,
    pub(crate) at: Instant,
    pub(crate) spec: Arc<FunctionSpec>,
    /// What it sees now.
    pub(crate) secrets: Secrets,
}

#[derive(Default)]
struct Seen {
    starts: Vec<Started>,
    running: BTreeMap<InstanceId, RuntimeInstance>,
    /// Ended by themselves and not removed yet.
    ended: BTreeMap<InstanceId, RuntimeInstance>,
    stops: Vec<(InstanceId, Duration, Instant)>,
    removed: Vec<InstanceId>,
    refreshed: Vec<(FunctionRef, Secrets)>,
    logs: BTreeMap<InstanceId, mpsc::UnboundedSender<LogChunk>>,
    readers: BTreeMap<InstanceId, mpsc::UnboundedReceiver<LogChunk>>,
    listeners: Vec<mpsc::UnboundedSender<RuntimeEvent>>,
    deaf: bool,
}

#[derive(Default)]
pub(crate) struct Fake {
    seen: Mutex<Seen>,
    pub(crate) capabilities: Capabilities,
    pub(crate) host: Host,
    /// An image that could be prepared once, and no more.
    pub(crate) vanished: Option<String>,
    /// How often secrets began to be refreshed.
    pub(crate) refreshes: AtomicUsize,
    /// How many more stops are refused.
    pub(crate) refused_stops: AtomicUsize,
    /// How many more lists are refused.
    pub(crate) refused_lists: AtomicUsize,
    /// How many more refreshes of secrets are refused.
    pub(crate) refused_refreshes: AtomicUsize,
    starting: AtomicUsize,
    pub(crate) most_starting: AtomicUsize,
}

impl Fake {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn tell(&self, event: &RuntimeEvent) {
        let mut seen = self.seen();
        if let RuntimeEvent::Ready(id) = event
            && let Some(instance) = seen.running.get_mut(id)
        {
            instance.state = InstanceState::Ready;
        }
        if !seen.deaf {
            for listener in &seen.listeners {
                drop(listener.send(event.clone()));
            }
        }
    }

    /// All starts so far, of one image.
    pub(crate) fn starts_of(&self, image: &str) -> Vec<Started> {
        let starts = self.seen().starts.clone();
        starts
            .into_iter()
            .filter(|s| s.spec.image == image)
            .collect()
    }

    /// The ids of what runs now.
    pub(crate) fn running(&self) -> Vec<InstanceId> {
        self.seen().running.keys().cloned().collect()
    }

    pub(crate) fn stops(&self) -> Vec<(InstanceId, Duration, Instant)> {
        self.seen().stops.clone()
    }

    pub(crate) fn refreshed(&self) -> Vec<(FunctionRef, Secrets)> {
        self.seen().refreshed.clone()
    }

    /// Ends an instance by itself.
    pub(crate) fn crash(&self, id: &InstanceId, reason: ExitReason) {
        let mut seen = self.seen();
        let ran = seen.running.remove(id);
        seen.logs.remove(id);
        let did_run = ran.is_some();
        if let Some(mut instance) = ran {
            instance.state = InstanceState::Exited;
            instance.exit = Some(reason.clone());
            seen.ended.insert(id.clone(), instance);
        }
        drop(seen);
        if did_run {
            self.tell(&RuntimeEvent::Exited {
                id: id.clone(),
                reason,
            });
        }
    }

    /// Lets an instance write a line.
    pub(crate) fn write(&self, id: &InstanceId, output: LogOutput, line: &[u8]) {
        // One that was stopped meanwhile writes no more.
        if let Some(log) = self.seen().logs.get(id) {
            drop(log.send(LogChunk::new(output, line.to_vec())));
        }
    }

    /// An instance that is there before the engine is.
    pub(crate) fn leave_over(&self, id: &str, function: &FunctionRef) {
        let id = InstanceId::new(id);
        let instance = RuntimeInstance::new(id.clone(), function.clone(), Endpoint::unix("/old"));
        self.seen().running.insert(id, instance);
    }

    /// Loses sight of what happens until `find` is called.
    pub(crate) fn lose(&self) {
        self.tell(&RuntimeEvent::Lost);
        self.seen().deaf = true;
    }

    pub(crate) fn find(&self) {
        self.seen().deaf = false;
        self.tell(&RuntimeEvent::Back);
    }

    /// Ends the events of all who listen now.
    pub(crate) fn hang_up(&self) {
        self.seen().listeners.clear();
    }
}

#[async_trait]
impl Runtime for Shared {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities
    }

    fn host(&self) -> Host {
        self.0.host
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError> {
        if spec.image == "absent" || self.0.vanished.as_deref() == Some(&*spec.image) {
            return Err(ProviderError::invalid("there is no such program"));
        }
        let mut prepared = Prepared::default();
        prepared.annotations = vec![("dev.provider.runtime".to_owned(), "fake".to_owned())];
        if spec.env_vars.contains_key("single") {
            prepared.single_instance = Some("port 9000 is fixed".to_owned());
        }
        Ok(prepared)
    }

    async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        let now = self.0.starting.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_starting.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.starting.fetch_sub(1, Ordering::SeqCst);

        let id = spec.id.clone();
        let (behaviour, number) = match spec.function.image.split_once(':') {
            Some((behaviour, number)) => (behaviour.to_owned(), number.parse().unwrap()),
            None => (spec.function.image.clone(), 0),
        };
        let function = spec.function.function.clone();
        let endpoint = Endpoint::unix(format!("/fake/{id}"));
        let mut instance = RuntimeInstance::new(id.clone(), function, endpoint);
        instance.generation = Some(spec.generation);
        if behaviour == "hang" {
            std::future::pending::<()>().await;
        }
        if behaviour == "silent" {
            instance.unready = Some("nothing listens there".to_owned());
        }
        {
            let mut seen = self.0.seen();
            seen.starts.push(Started {
                id: id.clone(),
                at: Instant::now(),
                spec: spec.function,
                secrets: spec.secrets,
            });
            seen.running.insert(id.clone(), instance.clone());
            let (sender, receiver) = mpsc::unbounded_channel();
            seen.logs.insert(id.clone(), sender);
            seen.readers.insert(id.clone(), receiver);
        }
        let fake = Arc::clone(&self.0);
        tokio::spawn(async move {
            let millis = Duration::from_millis;
            match behaviour.as_str() {
                "ready" => {
                    tokio::time::sleep(millis(number)).await;
                    fake.tell(&RuntimeEvent::Ready(id));
                }
                "silent" => {}
                "exit" | "exit-late" => {
                    let late = if behaviour == "exit" { 0 } else { 3_000 };
                    tokio::time::sleep(millis(late)).await;
                    // The last line is read after the end is known, as it can be with a pipe.
                    let log = fake.seen().logs.get(&id).cloned();
                    fake.crash(&id, ExitReason::Code(i32::try_from(number).unwrap()));
                    tokio::time::sleep(millis(20)).await;
                    if let Some(log) = log {
                        for (output, line) in [
                            (LogOutput::Stderr, "not this"),
                            (LogOutput::Stderr, "boom"),
                            (LogOutput::Stderr, "  "),
                            (LogOutput::Stdout, "nor this"),
                        ] {
                            drop(log.send(LogChunk::new(output, line.into())));
                        }
                    }
                }
                "crash" => {
                    fake.tell(&RuntimeEvent::Ready(id.clone()));
                    tokio::time::sleep(millis(number)).await;
                    fake.crash(&id, ExitReason::Signal(9));
                }
                other => panic!("no such behaviour: {other}"),
            }
        });
        Ok(instance)
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), ProviderError> {
        let mut seen = self.0.seen();
        seen.stops.push((id.clone(), grace, Instant::now()));
        one_less(&self.0.refused_stops)?;
        seen.running.remove(id);
        seen.logs.remove(id);
        Ok(())
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), ProviderError> {
        let mut seen = self.0.seen();
        seen.removed.push(id.clone());
        seen.ended.remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> {
        one_less(&self.0.refused_lists)?;
        let seen = self.0.seen();
        let all = seen.running.values().chain(seen.ended.values());
        Ok(all.cloned().collect())
    }

    async fn stats(&self, _id: &InstanceId) -> Result<InstanceStats, ProviderError> {
        // Half a core, always.
        let cpu = Instant::now().duration_since(self.0.seen().starts[0].at) / 2;
        Ok(InstanceStats::new(1_000_000, cpu))
    }

    async fn refresh_secrets(
        &self,
        function: &FunctionRef,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError> {
        // Each takes less time than the one before, so that those at once end the wrong way round.
        let earlier = self.0.refreshes.fetch_add(1, Ordering::SeqCst);
        let takes = 100_u64.checked_shr(u32::try_from(earlier).unwrap());
        tokio::time::sleep(Duration::from_millis(takes.unwrap_or(0))).await;
        one_less(&self.0.refused_refreshes)?;
        let mut seen = self.0.seen();
        seen.refreshed.push((function.clone(), secrets.to_vec()));
        for started in &mut seen.starts {
            if started.spec.function == *function {
                started.secrets = secrets.to_vec();
            }
        }
        Ok(())
    }

    fn events(&self) -> BoxStream<RuntimeEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.seen().listeners.push(sender);
        Box::pin(stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        }))
    }

    async fn logs(&self, id: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
        let Some(receiver) = self.0.seen().readers.remove(id) else {
            return Err(ProviderError::not_found("the last provider has it"));
        };
        Ok(Box::pin(stream::unfold(
            receiver,
            |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
        )))
    }
}

/// Refuses for as often as is left.
fn one_less(left: &AtomicUsize) -> Result<(), ProviderError> {
    let one_less = |left: usize| left.checked_sub(1);
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
        Ok(_) => Err(ProviderError::unavailable("not now")),
        Err(_) => Ok(()),
    }
}

/// A shared fake, for the trait is not ours to implement for `Arc`.
pub(crate) struct Shared(pub(crate) Arc<Fake>);

/// An engine over a fake, on a directory of its own.
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine>,
    pub(crate) fake: Arc<Fake>,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Fake::default(), |_| {}).await
    }

    pub(crate) async fn with(fake: Fake, set: impl FnOnce(&mut EngineConfig)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::on(dir, fake, set).await
    }

    pub(crate) async fn on(
        dir: Arc<tempfile::TempDir>,
        fake: Fake,
        set: impl FnOnce(&mut EngineConfig),
    ) -> Self {
        let fake = Arc::new(fake);
        let mut config = EngineConfig::new(dir.path().join("state"));
        config.seed = 1;
        set(&mut config);
        let engine = Engine::open(config, Arc::new(Shared(Arc::clone(&fake))))
            .await
            .unwrap();
        Self { engine, fake, dir }
    }

    /// Stops this engine and opens another on the same directory, with another runtime.
    pub(crate) async fn restart(self) -> Self {
        self.engine.shutdown(Duration::from_secs(5)).await;
        let Self { engine, dir, .. } = self;
        drop(engine);
        Self::on(dir, Fake::default(), |_| {}).await
    }

    pub(crate) async fn deploy(&self, spec: FunctionSpec) -> Result<Outcome, ProviderError> {
        let request = DeployFunction::new(CallContext::default(), spec);
        self.engine.deploy_function(request).await
    }

    pub(crate) async fn update(&self, spec: FunctionSpec) -> Result<Outcome, ProviderError> {
        let request = UpdateFunction::new(CallContext::default(), spec);
        self.engine.update_function(request).await
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<Outcome, ProviderError> {
        let request = DeleteFunction::new(CallContext::default(), function(name));
        self.engine.delete_function(request).await
    }

    pub(crate) async fn scale(&self, name: &str, to: u64) -> Result<Outcome, ProviderError> {
        let request = ScaleFunction::new(CallContext::default(), function(name), to);
        self.engine.scale_function(request).await
    }

    pub(crate) async fn status(&self, name: &str) -> Result<FunctionStatus, ProviderError> {
        let request = GetFunction::new(CallContext::default(), function(name), false);
        self.engine.function_status(request).await
    }

    pub(crate) async fn list(&self) -> Vec<FunctionStatus> {
        let request = ListFunctions::new(CallContext::default(), Namespace::default());
        self.engine.list_functions(request).await.unwrap()
    }

    pub(crate) async fn secret(&self, name: &str, value: &[u8]) {
        let request = CreateSecret::new(
            CallContext::default(),
            Namespace::default(),
            SecretName::new(name).unwrap(),
            value.to_vec(),
        );
        self.engine.create_secret(request).await.unwrap();
    }

    pub(crate) async fn call(&self, name: &str) -> Result<ReplicaLease, ResolveError> {
        let function = function(name);
        self.engine.resolver().resolve(Call::new(&function)).await
    }

    /// Waits, a minute at most, until a function has so many replicas that answer.
    pub(crate) async fn available(&self, name: &str, replicas: u64) {
        for _ in 0..6_000 {
            if self.status(name).await.unwrap().available_replicas == replicas {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.status(name).await);
    }

    /// Waits, a minute at most, until something is so.
    pub(crate) async fn until(&self, what: &str, mut so: impl FnMut(&Fake) -> bool) {
        for _ in 0..6_000 {
            if so(&self.fake) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }
}

pub(crate) fn function(name: &str) -> FunctionRef {
    FunctionRef::parse_dotted(name, &Namespace::default()).unwrap()
}

/// A function that does what its image says.
pub(crate) fn spec(name: &str, image: &str) -> FunctionSpec {
    FunctionSpec::new(function(name), image)
}

pub(crate) fn with_label(mut spec: FunctionSpec, label: &str, value: &str) -> FunctionSpec {
    spec.labels.insert(label.to_owned(), value.to_owned());
    spec
}

pub(crate) fn with_env(mut spec: FunctionSpec, name: &str, value: &str) -> FunctionSpec {
    spec.env_vars.insert(name.to_owned(), value.to_owned());
    spec
}
