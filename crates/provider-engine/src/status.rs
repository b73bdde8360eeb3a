//! What is reported of a function.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use provider_types::wire::{FunctionStatus, FunctionUsage};
use provider_types::{FunctionUsageReading, InstanceId, InstanceStats};
use tokio::time::Instant;

use crate::function::Function;
use crate::inner::Inner;
use crate::state::State;

/// Where a function stands when it has no replica that answers, or fewer than are wanted.
///
/// `faas-cli describe` shows annotations, so this is where an operator sees it. All that the engine
/// says begins with `dev.provider.`; an annotation that was deployed under the same key wins.
pub const STATUS_ANNOTATION: &str = "dev.provider.status";

/// Why an instance failed the last time, until the function is updated.
pub const LAST_ERROR_ANNOTATION: &str = "dev.provider.last-error";

/// How the instance ended that failed the last time, until the function is updated: `exit code 1`,
/// `signal 9`, `out of memory`, `limit exceeded`, `start failed`, `not ready`, `stopped from
/// outside`.
pub const LAST_EXIT_ANNOTATION: &str = "dev.provider.last-exit";

/// The limit that an instance was held to and ran on, the last time, until the function is updated.
pub const LIMIT_REACHED_ANNOTATION: &str = "dev.provider.limit-reached";

/// How many instances failed since the function was deployed or updated, or the provider started.
pub const FAILURES_ANNOTATION: &str = "dev.provider.failures";

/// Why the last update was undone, until the next one.
pub const UPDATE_ERROR_ANNOTATION: &str = "dev.provider.update-error";

/// What the scale labels ask for and this engine does not do.
pub const SCALE_WARNING_ANNOTATION: &str = "dev.provider.scale-warning";

/// The least time between two readings that CPU use is computed from.
const LEAST_WINDOW: Duration = Duration::from_millis(200);

/// A reading older than this says nothing of the present.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// What is reported of a function, from memory.
pub(crate) fn status(function: &Function) -> FunctionStatus {
    let mut status = FunctionStatus::default();
    fill(&mut status, function);
    status
}

/// The same in the place of what is reported of another function.
pub(crate) fn fill(status: &mut FunctionStatus, function: &Function) {
    let state = function.state();
    status.set_spec(&state.target.spec);
    status.replicas = state.replicas;
    status.available_replicas = state.available();
    status.created_at = Some(state.created_at);
    let runtimes_own = state
        .target
        .prepared
        .iter()
        .flat_map(|p| p.annotations.iter().cloned());
    for (key, value) in runtimes_own.chain(own_annotations(&state, Instant::now())) {
        status.annotations.entry(key).or_insert(value);
    }
}

fn own_annotations(state: &State, now: Instant) -> Vec<(String, String)> {
    let mut own = Vec::new();
    let mut say = |key: &str, value: String| own.push((key.to_owned(), value));
    let trouble = &state.trouble;
    if state.available() < state.replicas {
        let next = trouble
            .retry_at
            .and_then(|at| at.checked_duration_since(now))
            .filter(|wait| !wait.is_zero());
        let failures = trouble.failures;
        let often = match failures {
            1 => "once".to_owned(),
            _ => format!("{failures} times in a row"),
        };
        match next {
            Some(wait) => say(
                STATUS_ANNOTATION,
                format!("failed {often}, next start in {:.1} s", wait.as_secs_f64()),
            ),
            None if failures > 0 => say(
                STATUS_ANNOTATION,
                format!("starting again, it failed {often}"),
            ),
            None => say(
                STATUS_ANNOTATION,
                match state.lacks() {
                    Some(lacks) => format!("starting: {lacks}"),
                    None => "starting".to_owned(),
                },
            ),
        }
    } else if state.previous.is_some() {
        say(STATUS_ANNOTATION, "updating".to_owned());
    }
    if state.replicas == 0 {
        say(
            STATUS_ANNOTATION,
            "scaled to zero, a call wakes it".to_owned(),
        );
    }
    let warnings = &state.target.wishes.scale.warnings;
    if !warnings.is_empty() {
        say(SCALE_WARNING_ANNOTATION, warnings.join("; "));
    }
    if let Some(why) = &trouble.last_error {
        say(LAST_ERROR_ANNOTATION, why.clone());
    }
    if let Some(exit) = &trouble.last_exit {
        say(LAST_EXIT_ANNOTATION, exit.clone());
    }
    if let Some(limit) = &trouble.limit_reached {
        say(LIMIT_REACHED_ANNOTATION, format!("a replica {limit}"));
    }
    if trouble.total > 0 {
        say(FAILURES_ANNOTATION, trouble.total.to_string());
    }
    if let Some(why) = &state.update_error {
        say(
            UPDATE_ERROR_ANNOTATION,
            format!("the update was undone, the version before it stays: the new one {why}"),
        );
    }
    own
}

/// What a function uses over all its replicas: memory now, CPU since the last time it was asked
/// for, or over a fifth of a second.
pub(crate) async fn usage(inner: &Inner, function: &Function) -> FunctionUsage {
    let instances: Vec<(InstanceId, Option<(Instant, InstanceStats)>)> = {
        let state = function.state();
        let serving = state.instances.iter().filter(|(_, i)| i.replica.is_some());
        serving.map(|(id, i)| (id.clone(), i.sample)).collect()
    };
    let each = instances.into_iter().map(|(id, before)| async move {
        let window = |(at, _): &(Instant, InstanceStats)| {
            (LEAST_WINDOW..=LONGEST_WINDOW).contains(&at.elapsed())
        };
        let before = match before.filter(window) {
            Some(before) => before,
            None => {
                let first = inner.runtime.stats(&id).await.ok()?;
                let first = (Instant::now(), first);
                tokio::time::sleep(LEAST_WINDOW).await;
                first
            }
        };
        let now = inner.runtime.stats(&id).await.ok()?;
        let at = Instant::now();
        if let Some(instance) = function.state().instances.get_mut(&id) {
            instance.sample = Some((at, now));
        }
        let used = now.cpu.saturating_sub(before.1.cpu).as_secs_f64();
        let window = at.duration_since(before.0).as_secs_f64();
        let millicores = if window > 0.0 {
            1000.0 * used / window
        } else {
            0.0
        };
        Some((millicores, now.memory_bytes))
    });
    let mut usage = FunctionUsage::default();
    for (millicores, bytes) in join_all(each).await.into_iter().flatten() {
        usage.cpu += millicores;
        #[expect(clippy::cast_precision_loss, reason = "the wire's number is a float")]
        let bytes = bytes as f64;
        usage.total_memory_bytes += bytes;
    }
    usage
}

/// What all functions use, for metrics.
pub(crate) async fn usage_of_all(inner: &Inner) -> Vec<FunctionUsageReading> {
    let functions = inner.all_functions();
    let each = functions.iter().map(|function| async move {
        let ids: Vec<InstanceId> = function.state().instances.keys().cloned().collect();
        let read = ids.iter().map(|id| take_stock(inner, function, id));
        let bytes: u64 = join_all(read).await.into_iter().flatten().sum();
        let state = function.state();
        let samples = state.instances.values().filter_map(|it| it.sample);
        let cpu = samples.fold(state.cpu_of_gone, |sum, (_, stats)| sum + stats.cpu);
        let used = !ids.is_empty() || !cpu.is_zero();
        used.then(|| FunctionUsageReading::new(function.function.clone(), bytes, cpu))
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// Reads what an instance uses and takes it down; gives its bytes of memory.
pub(crate) async fn take_stock(inner: &Inner, function: &Function, id: &InstanceId) -> Option<u64> {
    let mut now = inner.runtime.stats(id).await.ok()?;
    if let Some(instance) = function.state().instances.get_mut(id) {
        if let Some((_, before)) = instance.sample {
            // What was counted once stays counted.
            now.cpu = now.cpu.max(before.cpu);
        }
        instance.sample = Some((Instant::now(), now));
    }
    Some(now.memory_bytes)
}

/// All functions of a namespace.
pub(crate) fn list(functions: &[Arc<Function>], namespace: &str) -> Vec<FunctionStatus> {
    // Most have one namespace, and the list need not grow while it is made.
    let mut list = Vec::with_capacity(functions.len());
    let within = |function: &&Arc<Function>| function.function.namespace.as_str() == namespace;
    list.extend(
        functions
            .iter()
            .filter(within)
            .map(|function| status(function)),
    );
    list
}
