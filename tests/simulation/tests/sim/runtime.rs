//! A runtime that runs nothing. What an instance does is said by its image, when by the dice; what
//! the engine must never ask for is found here.
//!
//! Images: `ready`, `slow` (ready after seconds), `silent` (never ready), `exit` (ends at once),
//! `crash` and `memory` (ready, and ended a while later), `unstartable`, `absent` (cannot even be
//! prepared). With the variable `single` there can be one instance at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use provider_types::{
    BoxStream, Capabilities, Endpoint, EndpointAddress, ExitReason, FunctionRef, FunctionSpec,
    InstanceId, InstanceSpec, InstanceState, InstanceStats, LogChunk, LogOutput, Prepared,
    ProviderError, Runtime, RuntimeEvent, RuntimeInstance, SecretName,
};
use tokio::sync::mpsc;

use crate::world::{Instance, World};

/// The least time that an instance has to finish its calls, unless its function states another.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(30);

/// How long the runtime does not always answer after it could not be reached.
const STUMBLES: Duration = Duration::from_secs(1);

/// Images whose instances never stay.
pub(crate) const BAD_IMAGES: [&str; 6] =
    ["silent", "exit", "crash", "memory", "unstartable", "absent"];

pub(crate) struct FakeRuntime(pub(crate) Arc<World>);

/// What becomes of one request.
enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
    HangsBefore,
    HangsAfter,
}

fn unavailable(call: &str) -> ProviderError {
    ProviderError::unavailable(format!("the runtime did not {call}"))
}

impl FakeRuntime {
    fn fate(&self) -> Fate {
        let world = &self.0;
        let (lost, back_at) = {
            let runtime = world.runtime();
            (runtime.lost, runtime.back_at)
        };
        // One that has just come back may stumble.
        let shaky =
            world.in_trouble() && world.troubles.lost_events && world.now() < back_at + STUMBLES;
        if lost && world.chance(70) || shaky && world.chance(40) {
            return Fate::FailsBefore;
        }
        if world.in_trouble() && world.troubles.runtime_errors && world.chance(15) {
            return if world.chance(50) {
                Fate::FailsBefore
            } else {
                Fate::FailsAfter
            };
        }
        if world.in_trouble() && world.troubles.runtime_hangs && world.chance(5) {
            return if world.chance(50) {
                Fate::HangsBefore
            } else {
                Fate::HangsAfter
            };
        }
        Fate::Works
    }

    /// Does what was asked for, or not, some time later.
    async fn answer<T>(
        &self,
        call: &str,
        what: &str,
        effect: impl FnOnce() -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError> {
        let world = &self.0;
        world.log(format_args!("runtime: {call} {what}"));
        let most = if world.chance(5) { 2_000 } else { 20 };
        tokio::time::sleep(world.millis(0, most)).await;
        let answer = match self.fate() {
            Fate::Works => effect(),
            Fate::FailsBefore => Err(unavailable(call)),
            Fate::FailsAfter => effect().and_then(|_| Err(unavailable(call))),
            Fate::HangsBefore => {
                world.log(format_args!("runtime: {call} {what} hangs"));
                std::future::pending().await
            }
            Fate::HangsAfter => {
                drop(effect());
                world.log(format_args!("runtime: {call} {what} is done and hangs"));
                std::future::pending().await
            }
        };
        if let Err(error) = &answer {
            world.log(format_args!("runtime: {call} {what} failed: {error}"));
        }
        answer
    }

    fn begin(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        let world = &self.0;
        let (id, function) = (spec.id.clone(), spec.function.function.clone());
        let image = spec.function.image.clone();
        if image == "unstartable" {
            return Err(ProviderError::internal("it cannot be started"));
        }
        let now = world.now();
        let ends = |reason| Some((now + world.millis(10, 40_000), reason));
        let (ready_after, ends_at) = match image.as_str() {
            "ready" => (Some(world.millis(0, 300)), None),
            "slow" => (Some(world.millis(1_000, 20_000)), None),
            "silent" => (None, None),
            "exit" => (
                None,
                Some((now + world.millis(0, 300), ExitReason::Code(3))),
            ),
            "crash" => (Some(world.millis(0, 300)), ends(ExitReason::Signal(9))),
            "memory" => (Some(world.millis(0, 300)), ends(ExitReason::OutOfMemory)),
            other => panic!("no such image: {other}"),
        };
        let single = |spec: &InstanceSpec| spec.function.env_vars.contains_key("single");
        {
            let mut runtime = world.runtime();
            if let Some(there) = runtime.all.get(&id) {
                return Ok(shown(&id, there));
            }
            if runtime.ever.insert(id.clone(), function.clone()).is_some() {
                drop(runtime);
                world.broken(format_args!("instance {id} was started twice"));
                return Err(ProviderError::internal("started twice"));
            }
            let twin = runtime.all.iter().find(|(_, other)| {
                other.lives()
                    && other.spec.function.function == function
                    && single(&spec)
                    && single(&other.spec)
            });
            let twin = twin.map(|(other, _)| other.clone());
            let instance = Instance {
                ready: false,
                ready_at: ready_after.map(|after| now + after),
                ends_at,
                ended: None,
                told_to_stop: false,
                left_over: false,
                calls: Default::default(),
                limit: spec
                    .function
                    .env_vars
                    .get("max_inflight")
                    .map_or(usize::MAX, |text| text.parse().unwrap()),
                end: Arc::default(),
                spec,
            };
            runtime.all.insert(id.clone(), instance);
            drop(runtime);
            if let Some(twin) = twin {
                world.broken(format_args!(
                    "{id} was started beside {twin}, and there can be one instance only"
                ));
            }
        }
        world.log(format_args!("{id} runs"));
        live(world, &id);
        let runtime = world.runtime();
        runtime
            .all
            .get(&id)
            .map(|instance| shown(&id, instance))
            .ok_or_else(|| unavailable("start"))
    }

    /// Whether an instance is all that a function has for its calls, which it is to have for as long
    /// as it is deployed, scaled and updated, and the runtime does what it is told.
    fn is_last_ready(&self, id: &InstanceId) -> bool {
        let world = &self.0;
        let function = {
            let runtime = world.runtime();
            let ready = |it: &Instance| it.ready && it.lives() && !it.told_to_stop && !it.left_over;
            let Some(this) = runtime.all.get(id).filter(|this| ready(this)) else {
                return false;
            };
            let function = this.spec.function.function.clone();
            let of_it = |it: &&Instance| it.spec.function.function == function;
            let others = runtime.all.values().filter(of_it).filter(|it| ready(it));
            if others.count() > 1 {
                return false;
            }
            function
        };
        let values = world.book().function(&function).values();
        let mut wanted = values.into_iter();
        !world.troubles.any() && wanted.all(|it| it.is_some_and(|it| it.is_always_there()))
    }

    /// Whether an instance may be stopped now.
    fn check_stop(&self, id: &InstanceId) {
        let world = &self.0;
        let now = world.now();
        let shut_down_by = world.book().shut_down_by;
        if shut_down_by.is_some_and(|by| now >= by) {
            return;
        }
        if shut_down_by.is_none() && self.is_last_ready(id) {
            world.broken(format_args!(
                "{id} was stopped, and no other instance of its function is ready"
            ));
        }
        let mut early = Vec::new();
        if let Some(instance) = world.runtime().all.get_mut(id) {
            instance.told_to_stop = true;
            let grace = instance
                .variable("grace_period")
                .map_or(STOP_GRACE, |text| {
                    Duration::from_secs(text.trim_end_matches('s').parse().unwrap())
                });
            if instance.lives() {
                let calls = instance.calls.iter();
                early.extend(
                    calls
                        .filter(|(_, since)| now - **since < grace)
                        .map(|(call, _)| *call),
                );
            }
        }
        if !early.is_empty() {
            world.broken(format_args!("{id} was stopped under the calls {early:?}"));
        }
    }
}

fn shown(id: &InstanceId, instance: &Instance) -> RuntimeInstance {
    let function = instance.spec.function.function.clone();
    let mut shown = RuntimeInstance::new(id.clone(), function, endpoint(id));
    shown.generation = Some(instance.spec.generation);
    if let Some((_, reason)) = &instance.ended {
        shown.state = InstanceState::Exited;
        shown.exit = Some(reason.clone());
    } else if instance.ready {
        shown.state = InstanceState::Ready;
    }
    shown
}

fn endpoint(id: &InstanceId) -> Endpoint {
    Endpoint::unix(format!("/{id}"))
}

/// The instance behind an endpoint.
pub(crate) fn behind(endpoint: &Endpoint) -> InstanceId {
    let EndpointAddress::Unix(path) = &endpoint.address else {
        panic!("all are sockets here");
    };
    InstanceId::new(path.to_string_lossy().trim_start_matches('/'))
}

/// Lets an instance get ready and end when its time comes, in this life of the provider.
pub(crate) fn live(world: &Arc<World>, id: &InstanceId) {
    let (ready_at, ends_at) = match world.runtime().all.get(id) {
        Some(instance) => (instance.ready_at, instance.ends_at.clone()),
        None => return,
    };
    let (world, id) = (Arc::clone(world), id.clone());
    tokio::spawn(async move {
        if let Some(at) = ready_at {
            tokio::time::sleep(at.saturating_sub(world.now())).await;
            get_ready(&world, &id);
        }
        if let Some((at, reason)) = ends_at {
            tokio::time::sleep(at.saturating_sub(world.now())).await;
            end(&world, &id, reason);
        }
    });
}

fn get_ready(world: &World, id: &InstanceId) {
    if let Some(instance) = world.runtime().all.get_mut(id) {
        if instance.ready || !instance.lives() {
            return;
        }
        instance.ready = true;
    } else {
        return;
    }
    world.log(format_args!("{id} is ready"));
    tell(world, &RuntimeEvent::Ready(id.clone()));
}

/// An instance ends.
pub(crate) fn end(world: &World, id: &InstanceId, reason: ExitReason) {
    if let Some(instance) = world.runtime().all.get_mut(id) {
        if !instance.lives() {
            return;
        }
        instance.ended = Some((world.now(), reason.clone()));
        instance.end.notify_waiters();
    } else {
        return;
    }
    world.log(format_args!("{id} ends: {reason:?}"));
    let id = id.clone();
    tell(world, &RuntimeEvent::Exited { id, reason });
}

fn tell(world: &World, event: &RuntimeEvent) {
    let again = world.troubles.repeated_events && world.chance(15);
    let runtime = world.runtime();
    if runtime.lost {
        return;
    }
    if let Some(listener) = &runtime.listener {
        drop(listener.send(event.clone()));
        if again {
            drop(listener.send(event.clone()));
        }
    }
}

/// The engine loses sight of what happens, or finds it again.
pub(crate) fn set_lost(world: &World, lost: bool) {
    let mut runtime = world.runtime();
    if runtime.lost == lost {
        return;
    }
    runtime.lost = lost;
    runtime.back_at = world.now();
    if lost {
        runtime.blind_since.get_or_insert(world.now());
    }
    let event = if lost {
        RuntimeEvent::Lost
    } else {
        RuntimeEvent::Back
    };
    if let Some(listener) = &runtime.listener {
        drop(listener.send(event.clone()));
    }
    drop(runtime);
    world.log(format_args!("runtime: {event:?}"));
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.survives_restart = self.0.troubles.survives_restart;
        capabilities
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError> {
        self.answer("prepare", &spec.function.to_string(), || {
            if spec.image == "absent" {
                return Err(ProviderError::invalid("there is no such image"));
            }
            let mut prepared = Prepared::default();
            if spec.env_vars.contains_key("single") {
                prepared.single_instance = Some("its port is fixed".to_owned());
            }
            Ok(prepared)
        })
        .await
    }

    async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        let id = spec.id.to_string();
        self.answer("start", &id, || self.begin(spec)).await
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), ProviderError> {
        self.check_stop(id);
        let world = &self.0;
        let takes = world.millis(0, 3_000).min(grace);
        tokio::time::sleep(takes).await;
        self.answer("stop", id.as_str(), || {
            end(world, id, ExitReason::Stopped);
            Ok(())
        })
        .await
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), ProviderError> {
        self.answer("remove", id.as_str(), || {
            let mut runtime = self.0.runtime();
            if runtime.all.get(id).is_some_and(Instance::lives) {
                return Err(ProviderError::unavailable("it has not ended"));
            }
            runtime.all.remove(id);
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> {
        self.answer("list", "", || {
            let mut runtime = self.0.runtime();
            if !runtime.lost
                && let Some(since) = runtime.blind_since.take()
            {
                let blind = self.0.now() - since;
                runtime.blind_longest = runtime.blind_longest.max(blind);
            }
            Ok(runtime
                .all
                .iter()
                .map(|(id, instance)| shown(id, instance))
                .collect())
        })
        .await
    }

    async fn stats(&self, _id: &InstanceId) -> Result<InstanceStats, ProviderError> {
        Ok(InstanceStats::default())
    }

    async fn refresh_secrets(
        &self,
        function: &FunctionRef,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError> {
        self.answer("refresh", &function.to_string(), || {
            for instance in self.0.runtime().all.values_mut() {
                if instance.spec.function.function == *function {
                    // Versions may list different ones; each has its own.
                    let listed = &instance.spec.function.secrets;
                    let own = secrets.iter().filter(|(name, _)| listed.contains(name));
                    for (name, value) in own {
                        let mut seen = instance.spec.secrets.iter_mut();
                        if let Some(place) = seen.find(|(seen, _)| seen == name) {
                            place.1.clone_from(value);
                        }
                    }
                }
            }
            Ok(())
        })
        .await
    }

    fn events(&self) -> BoxStream<RuntimeEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut runtime = self.0.runtime();
        runtime.lost = false;
        runtime.listener = Some(sender);
        let world = Arc::clone(&self.0);
        Box::pin(stream::unfold(
            (receiver, world),
            |(mut receiver, world)| async move {
                let event = receiver.recv().await?;
                tokio::time::sleep(world.millis(0, 10)).await;
                Some((event, (receiver, world)))
            },
        ))
    }

    async fn logs(&self, id: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
        let (end, lives) = match self.0.runtime().all.get(id) {
            Some(instance) => (Arc::clone(&instance.end), instance.lives()),
            None => return Err(ProviderError::not_found("there is no such instance")),
        };
        let lines = stream::once(async move {
            // The last words come when it ends.
            if lives {
                end.notified().await;
            }
            LogChunk::new(LogOutput::Stderr, b"the end".to_vec())
        });
        Ok(Box::pin(lines))
    }
}
