//! One function: its state, the task that drives it, and those who wait for news of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use provider_route::Slot;
use provider_types::{
    ExitReason, FunctionRef, InstanceId, Prepared, ProviderError, RuntimeInstance,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::backoff;
use crate::inner::Inner;
use crate::instance::{self, Begin};
use crate::log_store::FunctionLog;
use crate::operations;
use crate::state::{Around, Command, Failure, State};

/// A function that is deployed, or that was and still drains.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) function: FunctionRef,
    pub(crate) slot: Slot,
    pub(crate) log: Arc<FunctionLog>,
    state: Mutex<State>,
    signals: mpsc::UnboundedSender<Signal>,
    /// Wakes in order, unlike a `watch`, so that a simulation can be repeated.
    changed: Notify,
    /// Held from a change's way to the disk until it is in `state`, so that both agree whenever it
    /// is free.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

/// What a function hears.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Its wanted state was changed.
    Changed,
    /// A call wants it that finds it asleep.
    Wake,
    /// The runtime checked a version.
    Prepared(u64, Box<Result<Prepared, ProviderError>>),
    /// An instance has its address.
    Started(Box<RuntimeInstance>),
    /// An instance answers.
    Ready(InstanceId),
    /// An instance answers no more or not yet, and what it lacks.
    Unready(InstanceId, String),
    /// An instance was held to a limit: which.
    LimitReached(String),
    /// An instance ended by itself.
    Exited(InstanceId, ExitReason),
    /// An instance failed, and this is why.
    Failed(InstanceId, Box<Failure>),
    /// Nothing is left of an instance.
    Gone(InstanceId),
}

/// Each function has a queue with room for 32 of them, also one that sleeps.
const _: () = assert!(size_of::<Signal>() <= 64);

impl Function {
    /// Puts a function into the function table and drives it from now on.
    pub(crate) fn spawn(inner: &Arc<Inner>, mut state: State) -> Arc<Self> {
        let function = state.target.spec.function.clone();
        inner.ledger.record(&function, state.claim());
        state.held = inner.is_held(&function);
        let (signals, received) = mpsc::unbounded_channel();
        let function = Arc::new(Self {
            slot: inner.table.insert(function.clone()),
            log: inner.logs.log_of(&function, state.created_at),
            state: Mutex::new(state),
            signals,
            changed: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            function,
        });
        inner.spawn(drive(Arc::clone(inner), Arc::clone(&function), received));
        function
    }

    /// Lets it start where it was held.
    pub(crate) fn let_start(&self) {
        self.state().held = false;
        self.signal(Signal::Changed);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it hear something.
    pub(crate) fn signal(&self, signal: Signal) {
        // Its task is gone only when the whole engine is, or when it has left.
        drop(self.signals.send(signal));
    }

    /// Where to send what it is to hear.
    pub(crate) fn signals(&self) -> mpsc::UnboundedSender<Signal> {
        self.signals.clone()
    }

    /// Waits until its state answers a question.
    pub(crate) async fn until<T>(&self, mut answer: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            // Listen first and look then, or a change could come in between.
            let changed = self.changed.notified();
            if let Some(answer) = answer(&self.state()) {
                return answer;
            }
            changed.await;
        }
    }

    /// Waits until all its instances are gone, once it is told to leave.
    pub(crate) async fn left(&self) {
        self.until(|state| (state.leaving && state.instances.is_empty()).then_some(()))
            .await;
    }
}

/// Drives a function until it has left.
async fn drive(
    inner: Arc<Inner>,
    function: Arc<Function>,
    mut signals: mpsc::UnboundedReceiver<Signal>,
) {
    let mut heard = Vec::new();
    loop {
        let now = Instant::now();
        let mut commands = Vec::new();
        let (next_look, done) = {
            let mut rng = inner.rng();
            let mut state = function.state();
            let mut around = Around {
                now,
                slot: &function.slot,
                config: &inner.config,
                rng: &mut rng,
                room: inner.ledger.room(&function.function, state.claim()),
            };
            for signal in heard.drain(..) {
                hear(&mut state, signal, &mut around, &mut commands);
            }
            state.advance(&mut around, &mut commands);
            if !state.leaving {
                inner.ledger.record(&function.function, state.claim());
            }
            let done = state.leaving && state.instances.is_empty();
            (state.next_look(now, &inner.config), done)
        };
        for command in commands {
            carry_out(&inner, &function, command);
        }
        function.changed.notify_waiters();
        if done {
            break;
        }
        let look = async {
            match next_look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = signals.recv() => heard.extend(signal),
            () = look => {}
        }
        while let Ok(signal) = signals.try_recv() {
            heard.push(signal);
        }
    }
    inner.forget(&function);
}

fn hear(state: &mut State, signal: Signal, around: &mut Around<'_>, commands: &mut Vec<Command>) {
    match signal {
        Signal::Changed => {}
        Signal::Wake => state.wake(around, commands),
        Signal::Prepared(generation, answer) => {
            state.prepared(generation, *answer, around, commands);
        }
        Signal::Started(instance) => {
            state.started(*instance, around.now);
            around.slot.note_started();
        }
        Signal::Ready(id) => state.ready(&id, around),
        Signal::Unready(id, reason) => state.unready(&id, reason, around),
        Signal::LimitReached(limit) => state.trouble.limit_reached = Some(limit),
        Signal::Exited(id, reason) => state.exited(&id, reason, around.slot),
        Signal::Failed(id, failure) => {
            let function = state.target.spec.function.clone();
            let (why, exit) = (failure.why.clone(), failure.exit.clone());
            state.instance_failed(&id, *failure, around, commands);
            let failures = state.trouble.failures;
            tracing::warn!(%function, instance = %id, exit, why, failures, "an instance failed");
        }
        Signal::Gone(id) => state.gone(&id),
    }
}

fn carry_out(inner: &Arc<Inner>, function: &Arc<Function>, command: Command) {
    match command {
        Command::Prepare(version) => {
            let (engine, signals) = (Arc::clone(inner), function.signals());
            inner.spawn(async move {
                let answer = engine.prepare(&version.spec).await;
                drop(signals.send(Signal::Prepared(version.generation, Box::new(answer))));
            });
        }
        Command::Start { id, version, leave } => {
            inner.expect_events(&id, function.signals());
            inner.spawn(instance::live(
                Arc::clone(inner),
                Arc::clone(function),
                id,
                version,
                leave,
                Begin::Start,
            ));
        }
        Command::KeepScale => {
            inner.spawn(operations::keep_scale(
                Arc::clone(inner),
                Arc::clone(function),
            ));
        }
        Command::EndUpdate(generation) => {
            if let Some(why) = &function.state().update_error {
                // Whoever asked for it may have been answered before this was known.
                let function = &function.function;
                tracing::warn!(%function, "the update was undone: the new version {why}");
            }
            let (engine, function) = (Arc::clone(inner), Arc::clone(function));
            inner.spawn(async move { end_update(&engine, &function, generation).await });
        }
    }
}

/// Writes down that the update to `generation` is over. What runs is right meanwhile; a restart
/// before it is written goes through the update once more.
async fn end_update(inner: &Inner, function: &Function, generation: u64) {
    for attempt in 1.. {
        let written = {
            let _turn = function.writing.lock().await;
            let record = function.state().record();
            inner
                .stored(move |store| store.end_update(generation, record))
                .await
        };
        let Err(error) = written else { return };
        tracing::error!(
            function = %function.function,
            error = &error as &dyn std::error::Error,
            "the end of an update could not be written down, trying again"
        );
        let pause = backoff::pause(attempt, &mut inner.rng());
        tokio::time::sleep(pause).await;
    }
}
