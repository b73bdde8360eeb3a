//! What runs is made known to the functions: at boot, by what the runtime tells, and after it could
//! not be reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use provider_types::{
    BoxStream, ExitReason, FunctionRef, FunctionSpec, InstanceState, RuntimeEvent, RuntimeInstance,
};
use tokio::time::Instant;

use crate::backoff;
use crate::config::EngineConfig;
use crate::function::{Function, Signal};
use crate::inner::Inner;
use crate::instance::{self, Begin};
use crate::intake::Wishes;
use crate::state::{Previous, State, Version};
use crate::store::FunctionRecord;

/// The longest time until the runtime is asked again what runs.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Drives the functions that are stored, from what the runtime was found to run. Those instances
/// are taken over where the runtime lets them outlive a provider and their version is still wanted;
/// all others are ended. Either way each has the place of a new one, so that none is there twice.
pub(crate) fn begin(
    inner: &Arc<Inner>,
    functions: Vec<Arc<FunctionRecord>>,
    found: Vec<RuntimeInstance>,
) {
    let mut running: BTreeMap<FunctionRef, Vec<RuntimeInstance>> = BTreeMap::new();
    for instance in found {
        let same = running.entry(instance.function.clone()).or_default();
        same.push(instance);
    }
    let now = Instant::now();
    let survives = inner.runtime.capabilities().survives_restart;
    for stored in functions {
        let mut state = restored(&stored, &inner.config);
        let name = state.target.spec.function.clone();
        let (mut adopted, mut left_over) = (Vec::new(), Vec::new());
        for instance in running.remove(&name).unwrap_or_default() {
            let taken = survives.then(|| state.adopt(&instance, now)).flatten();
            match taken {
                Some((version, leave)) => adopted.push((instance.id, version, leave)),
                None => {
                    state.left_over(instance.id.clone(), now);
                    left_over.push(instance.id);
                }
            }
        }
        let function = Function::spawn(inner, state);
        inner.add(Arc::clone(&function));
        for (id, version, leave) in adopted {
            tracing::info!(function = %name, instance = %id, "taking over an instance from before");
            inner.expect_events(&id, function.signals());
            inner.expect_to_run(&id);
            let (inner, function) = (Arc::clone(inner), Arc::clone(&function));
            let engine = Arc::clone(&inner);
            let life = instance::live(inner, function, id, version, leave, Begin::Adopt);
            engine.spawn(life);
        }
        for id in left_over {
            tracing::info!(function = %name, instance = %id, "ending an instance from before");
            let life = instance::end_left_over(Arc::clone(inner), Arc::clone(&function), id);
            inner.spawn(life);
        }
    }
    if let Some(excess) = inner.ledger.excess() {
        tracing::warn!(
            "the functions from before were promised {excess}: they are started all the same"
        );
    }
    for instance in running.into_values().flatten() {
        tracing::info!(
            function = %instance.function,
            instance = %instance.id,
            "ending an instance of a function that is not deployed"
        );
        let engine = Arc::clone(inner);
        inner.spawn(async move { instance::end(&engine, &instance.id).await });
    }
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

/// When to ask what runs, after it was not seen for a while.
struct Ask {
    /// How often that was tried in vain.
    tried: u32,
    at: Instant,
}

/// Passes on what the runtime tells, for as long as the engine is there.
pub(crate) async fn listen(inner: Arc<Inner>, mut events: BoxStream<RuntimeEvent>) {
    let mut ended = 0;
    let mut ask: Option<Ask> = None;
    loop {
        let due = async {
            match &ask {
                Some(ask) => tokio::time::sleep_until(ask.at).await,
                None => std::future::pending().await,
            }
        };
        let back = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(RuntimeEvent::Back) => true,
                Some(event) => {
                    hear(&inner, event);
                    false
                }
                None => {
                    tracing::error!("the runtime tells nothing any more, listening anew");
                    ended += 1;
                    let pause = backoff::pause(ended, &mut inner.rng());
                    tokio::time::sleep(pause).await;
                    events = inner.runtime.events();
                    true
                }
            },
            () = due => false,
        };
        let tried = match &ask {
            _ if back => 0,
            Some(ask) if ask.at <= Instant::now() => ask.tried,
            _ => continue,
        };
        // Until it is told: without an answer an instance that has ended would count as one that
        // runs for ever.
        ask = if catch_up(&inner).await {
            None
        } else {
            let tried = tried + 1;
            let pause = backoff::pause(tried, &mut inner.rng()).min(LONGEST_PAUSE);
            let at = Instant::now() + pause;
            Some(Ask { tried, at })
        };
    }
}

fn hear(inner: &Arc<Inner>, event: RuntimeEvent) {
    match event {
        RuntimeEvent::Ready(id) => inner.tell(&id, Signal::Ready(id.clone())),
        RuntimeEvent::Unready { id, reason } => {
            inner.tell(&id, Signal::Unready(id.clone(), reason));
        }
        RuntimeEvent::LimitReached { id, limit } => {
            tracing::warn!(instance = %id, "a replica {limit}");
            inner.tell(&id, Signal::LimitReached(limit));
        }
        RuntimeEvent::Exited { id, reason } => {
            inner.tell(&id, Signal::Exited(id.clone(), reason));
        }
        RuntimeEvent::Lost => {
            tracing::warn!("the runtime cannot be reached: what happens there is not seen");
        }
        RuntimeEvent::Preparing { function, progress } => {
            tracing::info!(%function, progress, "a function is being prepared");
        }
        _ => {}
    }
}

/// Finds out what happened while nobody was told; says whether that succeeded.
async fn catch_up(inner: &Arc<Inner>) -> bool {
    // Asked first: an instance that is started meanwhile must not look ended.
    let expected = inner.expected_to_run();
    match inner.runtime.list().await {
        Ok(present) => {
            for id in &expected {
                let found = present.iter().find(|found| found.id == *id);
                inner.tell(id, what_became_of(id.clone(), found));
            }
            end_strangers(inner, present);
            true
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the runtime is back but does not say what it runs, asking again"
            );
            false
        }
    }
}

fn what_became_of(id: provider_types::InstanceId, found: Option<&RuntimeInstance>) -> Signal {
    let lost = || ExitReason::StartFailed("it was lost with the runtime".to_owned());
    match found {
        None => Signal::Exited(id, lost()),
        Some(found) => match found.state {
            InstanceState::Exited => Signal::Exited(id, found.exit.clone().unwrap_or_else(lost)),
            InstanceState::Ready => Signal::Ready(id),
            _ => Signal::Changed,
        },
    }
}

/// Ends instances that nobody here started or still knows.
fn end_strangers(inner: &Arc<Inner>, present: Vec<RuntimeInstance>) {
    for found in present {
        if !inner.expects(&found.id) {
            tracing::warn!(
                function = %found.function,
                instance = %found.id,
                "ending an instance that nobody knows"
            );
            let engine = Arc::clone(inner);
            inner.spawn(async move { instance::end(&engine, &found.id).await });
        }
    }
}
