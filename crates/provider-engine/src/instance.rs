//! The life of one instance: start, serve, drain, stop, remove.

use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use provider_route::Replica;
use provider_types::{
    ErrorKind, ExitReason, FunctionSpec, InstanceId, InstanceSpec, LogChunk, LogOutput,
    ProviderError,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backoff;
use crate::function::{Function, Signal};
use crate::inner::Inner;
use crate::intake;
use crate::state::{Failure, Leave, Version};
use crate::status;

/// How long the last lines of an instance that has ended are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The least time that an instance has to end once it is told to, however long its calls took.
const LEAST_STOP: Duration = Duration::from_secs(1);

/// The longest time until the runtime is asked again to put an instance away.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How much of a line that an instance wrote goes into an error.
const SHOWN_CHARS: usize = 200;

/// How a life begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The runtime starts it.
    Start,
    /// It runs from before.
    Adopt,
}

/// How a life goes on when it has begun.
enum Begun {
    /// It runs, and this is what it writes.
    Runs(Lines),
    /// It was told to leave before it was started.
    Never,
}

/// Whether the runtime was told to end an instance, or said that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Known,
    Unknown,
}

/// Lives the life of one instance, and tells its function when nothing is left of it.
pub(crate) async fn live(
    inner: Arc<Inner>,
    function: Arc<Function>,
    id: InstanceId,
    version: Version,
    mut leave: oneshot::Receiver<Leave>,
    begin: Begin,
) {
    let begun = match begin {
        Begin::Start => start(&inner, &function, &id, &version, &mut leave).await,
        Begin::Adopt => adopt(&inner, &function, &id, &version).await,
    };
    let ended = match begun {
        Ok(Begun::Runs(lines)) => serve(&inner, &function, &id, &version, leave, lines).await,
        Ok(Begun::Never) => None,
        Err(error) => {
            if let Some(error) = error.source() {
                let why = error.to_string();
                tracing::warn!(function = %function.function, instance = %id, why, "a start failed");
            }
            let failure = Failure {
                why: format!("could not be started: {}", error.message()),
                exit: "start failed".to_owned(),
                kind: error.kind(),
                // It may run all the same.
                ended: false,
            };
            function.signal(Signal::Failed(id.clone(), Box::new(failure)));
            // It may have served: its secrets came too late, or it was taken over without them.
            if let Ok(Leave { replica, .. }) = leave.await {
                drain(&inner, &id, &version, replica).await;
            }
            Some(Ended::Unknown)
        }
    };
    if let Some(ended) = ended {
        if ended == Ended::Known {
            status::take_stock(&inner, &function, &id).await;
        }
        put_away(&inner, &id, ended).await;
    }
    inner.expect_no_events(&id);
    function.signal(Signal::Gone(id));
}

/// Ends an instance from before, and tells its function.
pub(crate) async fn end_left_over(inner: Arc<Inner>, function: Arc<Function>, id: InstanceId) {
    end(&inner, &id).await;
    function.signal(Signal::Gone(id));
}

/// Ends an instance at once and until nothing is left of it.
pub(crate) async fn end(inner: &Inner, id: &InstanceId) {
    put_away(inner, id, Ended::Unknown).await;
}

/// Asks the runtime until nothing is left of an instance: forgotten before, it would run on beside
/// its successor.
async fn put_away(inner: &Inner, id: &InstanceId, mut ended: Ended) {
    for attempt in 1.. {
        let stopped = match ended {
            Ended::Known => Ok(()),
            Ended::Unknown => inner.runtime.stop(id, Duration::ZERO).await,
        };
        let done = match stopped {
            Ok(()) => inner.runtime.remove(id).await,
            Err(error) => Err(error),
        };
        let Err(error) = done else { return };
        tracing::warn!(
            instance = %id,
            error = &error as &dyn std::error::Error,
            "an instance could not be put away, trying again"
        );
        ended = Ended::Unknown;
        let pause = backoff::pause(attempt, &mut inner.rng()).min(LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}

async fn start(
    inner: &Arc<Inner>,
    function: &Arc<Function>,
    id: &InstanceId,
    version: &Version,
    leave: &mut oneshot::Receiver<Leave>,
) -> Result<Begun, ProviderError> {
    let _turn = tokio::select! {
        biased;
        _ = leave => return Ok(Begun::Never),
        turn = inner.turn_to_start() => turn,
    };
    let spec = &version.spec;
    let seen = inner.secret_changes.load(Ordering::SeqCst);
    let secrets = inner.secrets_of(spec)?;
    let wanted = InstanceSpec::new(id.clone(), Arc::clone(spec), secrets)
        .with_generation(version.generation);
    let started = inner.runtime.start(wanted).await?;
    inner.expect_to_run(id);
    function.signal(Signal::Started(Box::new(started)));
    let lines = Lines::read(inner, function, id).await;
    if inner.secret_changes.load(Ordering::SeqCst) != seen {
        // A secret may have changed after it was read and before the runtime knew the instance.
        inner.refresh_secrets(spec).await?;
    }
    Ok(Begun::Runs(lines))
}

async fn adopt(
    inner: &Arc<Inner>,
    function: &Arc<Function>,
    id: &InstanceId,
    version: &Version,
) -> Result<Begun, ProviderError> {
    let lines = Lines::read(inner, function, id).await;
    if !version.spec.secrets.is_empty() {
        // The last provider may have ended between writing a secret and showing it.
        inner.refresh_secrets(&version.spec).await?;
    }
    Ok(Begun::Runs(lines))
}

/// Waits until the instance is to go or has gone.
async fn serve(
    inner: &Arc<Inner>,
    function: &Arc<Function>,
    id: &InstanceId,
    version: &Version,
    leave: oneshot::Receiver<Leave>,
    lines: Lines,
) -> Option<Ended> {
    let Leave { replica, ended } = leave.await.ok()?;
    if let Some(reason) = ended {
        let failure = Failure {
            why: lines.explain(&reason, &version.spec).await,
            exit: short(&reason),
            kind: ErrorKind::InvalidArgument,
            ended: true,
        };
        // Whoever reads the log of a function sees why it stops here.
        let last = format!("this replica {}", failure.why);
        let last = LogChunk::new(LogOutput::Stderr, last.into_bytes());
        function.log.intake(id.as_str()).put(last).await;
        function.signal(Signal::Failed(id.clone(), Box::new(failure)));
        return Some(Ended::Known);
    }
    let left = drain(inner, id, version, replica).await;
    let stopped = inner.runtime.stop(id, left).await;
    lines.end().await;
    match stopped {
        Ok(()) => Some(Ended::Known),
        Err(error) => {
            tracing::warn!(
                instance = %id,
                error = &error as &dyn std::error::Error,
                "an instance could not be stopped"
            );
            Some(Ended::Unknown)
        }
    }
}

/// Waits until the calls of an instance have ended, or their time is over; says how long it has
/// then to end itself.
async fn drain(
    inner: &Inner,
    id: &InstanceId,
    version: &Version,
    replica: Option<Replica>,
) -> Duration {
    let grace = intake::stop_grace(&version.spec, inner.config.stop_grace);
    let until = Instant::now() + grace;
    if let Some(replica) = replica
        && tokio::time::timeout_at(until, replica.drained())
            .await
            .is_err()
    {
        tracing::warn!(
            instance = %id,
            in_flight = replica.in_flight(),
            "calls did not end within {grace:?}: the instance is stopped all the same"
        );
    }
    let left = until.saturating_duration_since(Instant::now());
    left.max(LEAST_STOP.min(grace))
}

/// How an instance ended, for the status.
fn short(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Stopped => "stopped from outside".to_owned(),
        ExitReason::Code(code) => format!("exit code {code}"),
        ExitReason::Signal(signal) => format!("signal {signal}"),
        ExitReason::OutOfMemory => "out of memory".to_owned(),
        ExitReason::LimitExceeded(_) => "limit exceeded".to_owned(),
        ExitReason::StartFailed(_) => "start failed".to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// Reads what an instance writes into its function's log.
struct Lines {
    task: Option<JoinHandle<()>>,
    /// The last line on standard error that says anything.
    last_error: Arc<Mutex<String>>,
}

impl Lines {
    async fn read(inner: &Arc<Inner>, function: &Arc<Function>, id: &InstanceId) -> Self {
        let last_error = Arc::new(Mutex::new(String::new()));
        let mut stream = match inner.runtime.logs(id).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(
                    instance = %id,
                    error = &error as &dyn std::error::Error,
                    "the log of an instance cannot be read"
                );
                return Self {
                    task: None,
                    last_error,
                };
            }
        };
        let mut intake = function.log.intake(id.as_str());
        let seen = Arc::clone(&last_error);
        let task = inner.spawn(async move {
            while let Some(chunk) = stream.next().await {
                if chunk.output == LogOutput::Stderr
                    && let Some(line) = last_words(&chunk.lines)
                {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = shown(line);
                }
                intake.put(chunk).await;
            }
        });
        Self {
            task: Some(task),
            last_error,
        }
    }

    /// Waits until the last line was read.
    async fn end(self) {
        if let Some(mut task) = self.task
            && tokio::time::timeout(LAST_LINES, &mut task).await.is_err()
        {
            task.abort();
        }
    }

    /// Why the instance ended, with the last that it had to say.
    async fn explain(self, reason: &ExitReason, spec: &FunctionSpec) -> String {
        let last_error = Arc::clone(&self.last_error);
        self.end().await;
        let why = match reason {
            // The last words of one that was ended in the middle of its work say nothing of why.
            ExitReason::LimitExceeded(which) => return format!("was ended: {which}"),
            ExitReason::Stopped => "was stopped from outside".to_owned(),
            ExitReason::Code(code) => format!("exited with code {code}"),
            ExitReason::Signal(signal) => format!("was ended by signal {signal}"),
            ExitReason::OutOfMemory => {
                let limit = spec
                    .limits
                    .as_ref()
                    .and_then(|limits| limits.memory.as_ref());
                return match limit {
                    Some(limit) => format!("ran out of memory: it may use {limit}"),
                    None => "ran out of memory".to_owned(),
                };
            }
            ExitReason::StartFailed(why) => return format!("could not be started: {why}"),
            _ => "ended".to_owned(),
        };
        let last = last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() {
            why
        } else {
            format!("{why}: {last}")
        }
    }
}

/// The last line that says anything.
fn last_words(lines: &[u8]) -> Option<&[u8]> {
    let lines = lines.rsplit(|byte| *byte == b'\n');
    let mut spoken = lines.filter(|line| !line.trim_ascii().is_empty());
    spoken.next()
}

/// A line as it may go into an error: text, short, without control characters.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let printable = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = printable.clone().take(SHOWN_CHARS).collect();
    if printable.count() > SHOWN_CHARS {
        shown.push('…');
    }
    shown
}
