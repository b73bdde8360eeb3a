//! What is done to functions. Each runs to its end, whether or not the caller waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use provider_types::{FunctionRef, FunctionSpec, Outcome, Prepared, Progress, ProviderError};
use tokio::sync::RwLockReadGuard;

use crate::function::{Function, Signal};
use crate::inner::Inner;
use crate::intake::{self, Wishes};
use crate::ledger::Claim;
use crate::state::{Previous, State, Trouble, Version};
use crate::store::{FunctionRecord, PreviousRecord};

/// How long an operation waits for another version to let go of the state.
const GAP: Duration = Duration::from_secs(5);

/// How long writing down a number of replicas waits for a start.
const LONGEST_SETTLING: Duration = Duration::from_secs(1);

/// When a caller should try again whose operation did not begin.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn deploy(
    inner: Arc<Inner>,
    spec: FunctionSpec,
) -> Result<Outcome, ProviderError> {
    let _begun = inner.begin().await?;
    let wishes = Wishes::read(&spec, inner.config.max_replicas)?;
    let replicas = wishes.scale.initial();
    let name = spec.function.clone();
    let _turn = inner.locks.lock(&name).await;
    if inner.function(&name).is_some() {
        return Err(ProviderError::already_exists(format!(
            "function: {name} already exists"
        )));
    }
    let prepared = check(&inner, &spec, replicas).await?;
    let warnings = warnings(&inner, &spec, &wishes, &prepared);
    if prepared.single_instance.is_some() {
        wait_for_predecessors(&inner, &name).await;
    }
    let promise = inner.ledger.promise(&name, Claim::of(&spec, replicas))?;

    let created_at = (inner.config.clock)();
    let spec = Arc::new(spec);
    let record = FunctionRecord {
        generation: 0,
        created_at,
        spec: Arc::clone(&spec),
        replicas,
        previous: None,
    };
    let generation = inner
        .stored(move |store| store.put_function(record))
        .await?;
    let target = Version {
        generation,
        spec,
        prepared: Some(Arc::new(prepared)),
        wishes,
    };
    let function = Function::spawn(&inner, State::new(target, replicas, created_at));
    inner.add(Arc::clone(&function));
    promise.keep();

    let news = function.until(|state| {
        if let Some(why) = &state.trouble.last_error {
            Some(Err(state.trouble.error(format!(
                "function: {} was not deployed: it {why}",
                function.function
            ))))
        } else {
            (state.available() > 0).then_some(Ok(()))
        }
    });
    let progress = match tokio::time::timeout(inner.config.start_grace, news).await {
        Ok(Ok(())) => Progress::Done,
        Ok(Err(error)) => {
            // Nothing half-made stays behind.
            inner.dismiss(&function);
            inner
                .stored(move |store| store.remove_function(name))
                .await?;
            return Err(error);
        }
        Err(_elapsed) => Progress::Ongoing,
    };
    Ok(outcome(progress, warnings))
}

pub(crate) async fn update(
    inner: Arc<Inner>,
    spec: FunctionSpec,
) -> Result<Outcome, ProviderError> {
    let _begun = inner.begin().await?;
    let _turn = inner.locks.lock(&spec.function).await;
    let function = inner.existing(&spec.function)?;
    let wishes = Wishes::read(&spec, inner.config.max_replicas)?;
    let replicas = wishes.replicas_after_update(function.state().replicas);
    let prepared = check(&inner, &spec, replicas).await?;
    let warnings = warnings(&inner, &spec, &wishes, &prepared);
    if prepared.single_instance.is_some() {
        wait_for_predecessors(&inner, &spec.function).await;
    }

    let claim = Claim::of(&spec, replicas);
    let promise = inner.ledger.promise(&spec.function, claim)?;
    let writing = function.writing.lock().await;
    // What serves now: where an update is under way, what served before that one.
    let (previous, created_at) = {
        let mut state = function.state();
        state.changing = true;
        let previous = state.previous.clone().unwrap_or_else(|| Previous {
            version: state.target.clone(),
            replicas: state.replicas,
        });
        (previous, state.created_at)
    };
    let spec = Arc::new(spec);
    let record = FunctionRecord {
        generation: 0,
        created_at,
        spec: Arc::clone(&spec),
        replicas,
        previous: Some(PreviousRecord {
            generation: previous.version.generation,
            spec: Arc::clone(&previous.version.spec),
            replicas: previous.replicas,
        }),
    };
    let written = inner.stored(move |store| store.put_function(record)).await;
    let generation = {
        let mut state = function.state();
        state.changing = false;
        if let Ok(generation) = written {
            state.target = Version {
                generation,
                spec,
                prepared: Some(Arc::new(prepared)),
                wishes,
            };
            state.previous = Some(previous);
            state.replicas = replicas;
            state.trouble = Trouble::default();
            state.update_error = None;
            promise.keep();
        }
        written
    };
    drop(writing);
    function.signal(Signal::Changed);
    let generation = generation?;

    let news = function.until(|state| {
        if state.target.generation != generation {
            let why = state.update_error.as_deref().unwrap_or_default();
            Some(Err(state.trouble.error(format!(
                "function: {} was not updated, the version before it stays: the new one {why}",
                function.function
            ))))
        } else {
            state.previous.is_none().then_some(Ok(()))
        }
    });
    let progress = match tokio::time::timeout(inner.config.start_grace, news).await {
        Ok(Ok(())) => Progress::Done,
        Ok(Err(error)) => return Err(error),
        Err(_elapsed) => Progress::Ongoing,
    };
    Ok(outcome(progress, warnings))
}

pub(crate) async fn delete(inner: Arc<Inner>, name: FunctionRef) -> Result<Outcome, ProviderError> {
    let function = {
        let _begun = inner.begin().await?;
        let _turn = inner.locks.lock(&name).await;
        let function = inner.existing(&name)?;
        inner
            .stored(move |store| store.remove_function(name))
            .await?;
        inner.dismiss(&function);
        function
    };
    let left = tokio::time::timeout(inner.config.start_grace, function.left()).await;
    Ok(match left {
        Ok(()) => Outcome::done(),
        Err(_elapsed) => Outcome::ongoing(),
    })
}

pub(crate) async fn scale(
    inner: Arc<Inner>,
    name: FunctionRef,
    replicas: u64,
) -> Result<Outcome, ProviderError> {
    let _begun = inner.begin().await?;
    let _turn = inner.locks.lock(&name).await;
    let function = inner.existing(&name)?;
    intake::check_replicas(replicas, inner.config.max_replicas)?;
    if replicas > 1
        && let Some(why) = function.state().single_instance()
    {
        return Err(one_instance(&name, why));
    }
    let claim = Claim::of(&function.state().target.spec, replicas);
    let promise = inner.ledger.promise(&name, claim)?;
    let _writing = function.writing.lock().await;
    inner
        .stored(move |store| store.set_scale(name, replicas))
        .await?;
    function.state().scale_to(replicas);
    promise.keep();
    function.signal(Signal::Changed);
    Ok(Outcome::ongoing())
}

/// Writes down how many replicas a function is to have that was woken or followed its calls.
///
/// In its turn, so that it never comes after what a client asked for later. A restart without it
/// finds an older number, which the calls correct as they did before.
pub(crate) async fn keep_scale(inner: Arc<Inner>, function: Arc<Function>) {
    // A write to the disk holds up others there, such as a start from zero makes: it comes after.
    let settled = function.until(|state| state.is_settled().then_some(()));
    let _ = tokio::time::timeout(LONGEST_SETTLING, settled).await;
    let name = function.function.clone();
    let _turn = inner.locks.lock(&name).await;
    let _writing = function.writing.lock().await;
    let replicas = function.state().count_to_keep();
    let present = inner.function(&name);
    if present.is_none_or(|present| !Arc::ptr_eq(&present, &function)) {
        return;
    }
    let written = inner
        .stored(move |store| store.set_scale(name, replicas))
        .await;
    if let Err(error) = written {
        tracing::warn!(
            function = %function.function,
            error = &error as &dyn std::error::Error,
            "the number of replicas could not be written down"
        );
    }
}

/// Checks all that can be wrong with a function before anything is touched.
async fn check(
    inner: &Inner,
    spec: &FunctionSpec,
    replicas: u64,
) -> Result<Prepared, ProviderError> {
    inner
        .store
        .check_references(&spec.function, &spec.secrets)?;
    inner.ledger.check(spec)?;
    let prepared = inner.prepare(spec).await?;
    match &prepared.single_instance {
        Some(why) if replicas > 1 => Err(one_instance(&spec.function, why)),
        _ => Ok(prepared),
    }
}

fn one_instance(function: &FunctionRef, why: &str) -> ProviderError {
    ProviderError::invalid(format!(
        "function: {function} can have one replica only: {why}"
    ))
}

fn warnings(
    inner: &Inner,
    spec: &FunctionSpec,
    wishes: &Wishes,
    prepared: &Prepared,
) -> Vec<String> {
    let runtime = &inner.runtime;
    let mut warnings = intake::warnings(spec, wishes, runtime.capabilities(), runtime.host());
    warnings.extend(prepared.warnings.iter().cloned());
    warnings
}

fn outcome(progress: Progress, warnings: Vec<String>) -> Outcome {
    let outcome = match progress {
        Progress::Done => Outcome::done(),
        _ => Outcome::ongoing(),
    };
    warnings.into_iter().fold(outcome, Outcome::warn)
}

/// Where two instances cannot be at a time, the last one of a deleted function has to go before one
/// of a function of the same name can start.
async fn wait_for_predecessors(inner: &Inner, name: &FunctionRef) {
    let same_name = |function: &&Arc<Function>| function.function == *name;
    let predecessors: Vec<_> = inner.leaving().iter().filter(same_name).cloned().collect();
    for function in predecessors {
        function.left().await;
    }
}

// === impl Inner ===

impl Inner {
    /// Refuses operations once a shutdown has begun.
    pub(crate) fn check_open(&self) -> Result<(), ProviderError> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(ProviderError::unavailable("the provider is stopping")
                .with_retry_after(RETRY_AFTER));
        }
        Ok(())
    }

    /// Begins an operation that changes what is kept. It waits briefly while another version of the
    /// provider has the state, and is refused when that goes on or has taken over.
    pub(crate) async fn begin(&self) -> Result<RwLockReadGuard<'_, ()>, ProviderError> {
        self.check_open()?;
        let elsewhere = || {
            ProviderError::unavailable("another version of the provider takes over: try again")
                .with_retry_after(RETRY_AFTER)
        };
        let shut = async {
            let mut given = self.given.subscribe();
            // An error means that the engine is gone.
            let _ = given.wait_for(|given| *given).await;
        };
        let begun = tokio::select! {
            biased;
            () = shut => return Err(elsewhere()),
            begun = tokio::time::timeout(GAP, self.gate.read()) => begun,
        };
        let begun = begun.map_err(|_elapsed| elsewhere())?;
        self.check_open()?;
        Ok(begun)
    }

    /// A function that is deployed. Clients rely on this being "not found", and nothing else, for
    /// one that is not: `faas-cli deploy` then creates it.
    pub(crate) fn existing(&self, name: &FunctionRef) -> Result<Arc<Function>, ProviderError> {
        self.function(name)
            .ok_or_else(|| ProviderError::not_found(format!("function: {name} not found")))
    }
}
