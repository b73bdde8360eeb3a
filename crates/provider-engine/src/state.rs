//! What is known of one function, and what is to be done next.
//!
//! [`State::advance`] compares what is with what is wanted and says what to do. It waits for
//! nothing and asks nobody: time, randomness and the function's slot are handed to it, so that it
//! can be simulated.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use provider_route::{Absence, Replica, Slot};
use provider_types::{
    Endpoint, ErrorKind, ExitReason, FunctionSpec, InstanceId, InstanceState, InstanceStats,
    Prepared, ProviderError, RuntimeInstance,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::backoff;
use crate::config::EngineConfig;
use crate::demand::Demand;
use crate::intake::Wishes;
use crate::ledger::Claim;
use crate::store::{FunctionRecord, PreviousRecord};

/// After so many failures in a row calls are told of them instead of waiting for the next start.
const CRASH_LOOP: u32 = 3;

/// An instance that was ready for so long has worked: its end starts the count of failures anew.
const PROVEN: Duration = Duration::from_secs(10);

/// The generation of instances from before that are of no version that is wanted. Those that are
/// deployed begin at 1.
const LEFT_OVER: u64 = 0;

/// One version of a function.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    pub(crate) spec: Arc<FunctionSpec>,
    /// What the runtime found out; `None` until it was asked, as after a restart.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// What its labels and its environment ask for.
    pub(crate) wishes: Wishes,
}

impl Version {
    /// Why there can be one instance of it at a time, if that is so and known.
    pub(crate) fn single_instance(&self) -> Option<&str> {
        self.prepared.as_ref()?.single_instance.as_deref()
    }
}

/// What served before an update that is not through.
#[derive(Debug, Clone)]
pub(crate) struct Previous {
    pub(crate) version: Version,
    pub(crate) replicas: u64,
}

/// What is known of one function.
#[derive(Debug)]
pub(crate) struct State {
    /// What is wanted.
    pub(crate) target: Version,
    /// What goes on serving until the target is ready, and comes back when it fails.
    pub(crate) previous: Option<Previous>,
    /// How many instances are wanted.
    pub(crate) replicas: u64,
    pub(crate) created_at: SystemTime,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    /// The CPU time that instances have used that are gone.
    pub(crate) cpu_of_gone: Duration,
    pub(crate) trouble: Trouble,
    /// Why the last update went back.
    pub(crate) update_error: Option<String>,
    /// An update is being written down: neither end the one before it nor undo it meanwhile.
    pub(crate) changing: bool,
    /// The function, or the provider, is to be no more.
    pub(crate) leaving: bool,
    /// The version of the provider before this one still runs it, and it can run only once.
    pub(crate) held: bool,
    preparing: bool,
    /// Follows its calls while it is awake and nothing else goes on.
    demand: Option<Demand>,
    /// The number of replicas is to be written down.
    keeping: bool,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) generation: u64,
    born: Instant,
    /// When it was started, after its turn came.
    started: Option<Instant>,
    /// Since when it answers.
    pub(crate) ready_since: Option<Instant>,
    pub(crate) endpoint: Option<Endpoint>,
    /// What it lacks while it does not answer.
    unready: Option<String>,
    /// Its place in the function table.
    pub(crate) replica: Option<Replica>,
    /// Tells its task to end it; gone once that was said.
    leave: Option<oneshot::Sender<Leave>>,
    /// It fails, and its place is not free: either why is still being found out, for the next start
    /// may have to wait, or it is not known to have ended.
    failing: bool,
    /// There must not be two like it at a time; so it is assumed where that is not known.
    single: bool,
    /// The last reading of what it uses.
    pub(crate) sample: Option<(Instant, InstanceStats)>,
}

/// How an instance is to be ended.
#[derive(Debug)]
pub(crate) struct Leave {
    /// Whose calls are to end first.
    pub(crate) replica: Option<Replica>,
    /// It has ended by itself, for this reason.
    pub(crate) ended: Option<ExitReason>,
}

/// Why an instance failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// In words, with the last that it had to say.
    pub(crate) why: String,
    /// In short: `exit code 1`, `signal 9`, `out of memory`, `start failed`, …
    pub(crate) exit: String,
    /// Whose fault it is, for the reply to who asked for it.
    pub(crate) kind: ErrorKind,
    /// It is known to run no more.
    pub(crate) ended: bool,
}

/// The failures of late.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// In a row.
    pub(crate) failures: u32,
    /// Of all instances since the function was deployed or updated.
    pub(crate) total: u64,
    pub(crate) last_error: Option<String>,
    /// How the last instance that failed ended.
    pub(crate) last_exit: Option<String>,
    /// Whose fault that was.
    kind: Option<ErrorKind>,
    /// The limit that an instance was held to the last time.
    pub(crate) limit_reached: Option<String>,
    /// Waiting for the next start is no use to a caller.
    hopeless: bool,
    /// When the next start is due.
    pub(crate) retry_at: Option<Instant>,
}

impl Trouble {
    /// What is answered to who asked for what failed.
    pub(crate) fn error(&self, message: String) -> ProviderError {
        // A program that does not run is the deployer's, unless the runtime could not even try.
        ProviderError::new(self.kind.unwrap_or(ErrorKind::InvalidArgument), message)
    }
}

/// What the world does for [`State::advance`].
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) slot: &'a Slot,
    pub(crate) config: &'a EngineConfig,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// How many replicas of the present version the host has room for.
    pub(crate) room: u64,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// Ask the runtime whether a version can run.
    Prepare(Version),
    /// Start an instance, and end it when told to.
    Start {
        id: InstanceId,
        version: Version,
        leave: oneshot::Receiver<Leave>,
    },
    /// Write down that the update to this generation is over.
    EndUpdate(u64),
    /// Write down how many replicas are wanted.
    KeepScale,
}

// === impl Instance ===

impl Instance {
    fn new(generation: u64, born: Instant, leave: Option<oneshot::Sender<Leave>>) -> Self {
        Self {
            generation,
            born,
            started: None,
            ready_since: None,
            endpoint: None,
            unready: None,
            replica: None,
            leave,
            failing: false,
            sample: None,
            single: true,
        }
    }

    fn is_leaving(&self) -> bool {
        self.leave.is_none()
    }

    /// Since when it has been expected to get ready, if it is.
    fn waits_since(&self) -> Option<Instant> {
        let waits = !self.is_leaving() && self.ready_since.is_none();
        self.started.filter(|_| waits)
    }

    /// Takes it out of the function table and tells its task to end it.
    fn leave(&mut self, slot: &Slot, ended: Option<ExitReason>) {
        if let Some(leave) = self.leave.take() {
            let replica = self.replica.take();
            if let Some(replica) = &replica {
                slot.remove(replica);
            }
            // Its task is gone only when the whole engine is, or when it could not start it.
            drop(leave.send(Leave { replica, ended }));
        }
    }

    /// Whether it may take calls of its generation.
    fn is_fit(&self) -> bool {
        !self.is_leaving() && self.ready_since.is_some() && self.endpoint.is_some()
    }
}

// === impl State ===

impl State {
    /// A function none of whose instances runs.
    pub(crate) fn new(target: Version, replicas: u64, created_at: SystemTime) -> Self {
        Self {
            target,
            previous: None,
            replicas,
            created_at,
            instances: BTreeMap::new(),
            cpu_of_gone: Duration::ZERO,
            trouble: Trouble::default(),
            update_error: None,
            changing: false,
            leaving: false,
            held: false,
            preparing: false,
            demand: None,
            keeping: false,
        }
    }

    /// Wants another count. One that starts from zero starts with a clean sheet: what failed
    /// before it was scaled down says nothing of now.
    pub(crate) fn scale_to(&mut self, replicas: u64) {
        if self.replicas == 0 && replicas > 0 {
            self.trouble = Trouble::default();
        }
        self.replicas = replicas;
        if let Some(previous) = &mut self.previous {
            previous.replicas = replicas;
        }
        // What its calls were before says nothing against the new count.
        self.demand = None;
    }

    /// Wants the count that it starts with, if it is asleep. In memory first: it is written down
    /// while it starts, and one that is lost with that is woken by its next call.
    pub(crate) fn wake(&mut self, around: &Around<'_>, commands: &mut Vec<Command>) {
        if self.replicas == 0 && !self.leaving {
            // A call that finds it asleep is not sent away for want of room.
            let most = self.most_replicas(around.config).min(around.room.max(1));
            self.scale_to(self.target.wishes.scale.initial().min(most));
            self.keep(commands);
        }
    }

    /// The number of replicas as it is to be written down now.
    pub(crate) fn count_to_keep(&mut self) -> u64 {
        self.keeping = false;
        self.replicas
    }

    // --- what runs from before ---

    /// Takes over an instance that outlived the provider that started it, if it is of a version that
    /// is wanted: that version, and what tells its task to end it.
    pub(crate) fn adopt(
        &mut self,
        found: &RuntimeInstance,
        now: Instant,
    ) -> Option<(Version, oneshot::Receiver<Leave>)> {
        if !matches!(found.state, InstanceState::Started | InstanceState::Ready) {
            return None;
        }
        let previous = self.previous.as_ref().map(|previous| &previous.version);
        let version = previous
            .into_iter()
            .chain([&self.target])
            .find(|version| Some(version.generation) == found.generation)?
            .clone();
        let (sender, leave) = oneshot::channel();
        let mut instance = Instance::new(version.generation, now, Some(sender));
        instance.started = Some(now);
        instance.ready_since = (found.state == InstanceState::Ready).then_some(now);
        instance.endpoint = Some(found.endpoint.clone());
        instance.unready.clone_from(&found.unready);
        self.instances.insert(found.id.clone(), instance);
        Some((version, leave))
    }

    /// An instance from before is being ended: until that is done it has the place of a new one.
    pub(crate) fn left_over(&mut self, id: InstanceId, now: Instant) {
        let mut instance = Instance::new(LEFT_OVER, now, None);
        instance.failing = true;
        self.instances.insert(id, instance);
    }

    /// Why there can be one instance at a time of what is wanted, or of what comes back if that fails.
    pub(crate) fn single_instance(&self) -> Option<&str> {
        let previous = self.previous.as_ref().map(|previous| &previous.version);
        let mut versions = previous.into_iter().chain([&self.target]);
        versions.find_map(Version::single_instance)
    }

    // --- what was heard ---

    /// The runtime knows whether a version can run.
    pub(crate) fn prepared(
        &mut self,
        generation: u64,
        answer: Result<Prepared, ProviderError>,
        around: &mut Around<'_>,
        commands: &mut Vec<Command>,
    ) {
        self.preparing = false;
        match answer {
            Ok(prepared) if generation == self.target.generation => {
                let of_it = |it: &&mut Instance| it.generation == generation;
                for instance in self.instances.values_mut().filter(of_it) {
                    instance.single = prepared.single_instance.is_some();
                }
                self.target.prepared = Some(Arc::new(prepared));
            }
            Ok(_) => {}
            Err(error) => {
                let why = error.message().to_owned();
                self.failed(generation, why, true, around, commands);
            }
        }
    }

    /// An instance has its address.
    pub(crate) fn started(&mut self, found: RuntimeInstance, now: Instant) {
        if let Some(instance) = self.instances.get_mut(&found.id) {
            instance.started = Some(now);
            instance.endpoint = Some(found.endpoint);
            instance.unready = found.unready;
        }
    }

    /// An instance answers.
    pub(crate) fn ready(&mut self, id: &InstanceId, around: &Around<'_>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.ready_since.get_or_insert(around.now);
            if let Some(replica) = &instance.replica {
                around.slot.resume(replica);
            }
        }
    }

    /// An instance answers no more, or not yet. It has as long to get ready as one that starts.
    pub(crate) fn unready(&mut self, id: &InstanceId, reason: String, around: &Around<'_>) {
        if let Some(instance) = self.instances.get_mut(id)
            && !instance.is_leaving()
        {
            instance.unready = Some(reason);
            if instance.ready_since.take().is_some() {
                instance.started = Some(around.now);
            }
            if let Some(replica) = &instance.replica {
                around.slot.suspend(replica);
            }
        }
    }

    /// An instance has ended by itself. It counts as a failure when the last that it wrote is known.
    /// May be heard more than once.
    pub(crate) fn exited(&mut self, id: &InstanceId, reason: ExitReason, slot: &Slot) {
        if let Some(instance) = self.instances.get_mut(id)
            && !instance.is_leaving()
        {
            instance.failing = true;
            instance.leave(slot, Some(reason));
        }
    }

    /// An instance failed, and why is known.
    pub(crate) fn instance_failed(
        &mut self,
        id: &InstanceId,
        failure: Failure,
        around: &mut Around<'_>,
        commands: &mut Vec<Command>,
    ) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.failing = !failure.ended;
        instance.leave(around.slot, None);
        let generation = instance.generation;
        let worked = instance
            .ready_since
            .is_some_and(|since| around.now.duration_since(since) >= PROVEN);
        if worked {
            self.trouble.failures = 0;
        }
        self.trouble.last_exit = Some(failure.exit);
        self.trouble.kind = Some(failure.kind);
        self.failed(generation, failure.why, false, around, commands);
    }

    /// Nothing is left of an instance.
    pub(crate) fn gone(&mut self, id: &InstanceId) {
        let instance = self.instances.remove(id);
        if let Some((_, stats)) = instance.and_then(|instance| instance.sample) {
            self.cpu_of_gone += stats.cpu;
        }
    }

    /// Undoes an update that failed; otherwise puts the next start off.
    fn failed(
        &mut self,
        generation: u64,
        why: String,
        hopeless: bool,
        around: &mut Around<'_>,
        commands: &mut Vec<Command>,
    ) {
        if generation != self.target.generation || self.leaving {
            return;
        }
        if !self.changing
            && let Some(previous) = self.previous.take()
        {
            self.target = previous.version;
            self.replicas = previous.replicas;
            self.update_error = Some(why);
            commands.push(Command::EndUpdate(generation));
            return;
        }
        let trouble = &mut self.trouble;
        trouble.total = trouble.total.saturating_add(1);
        trouble.last_error = Some(why);
        trouble.hopeless = hopeless;
        // Replicas that fail together count once.
        if trouble.retry_at.is_none_or(|at| around.now >= at) {
            trouble.failures = trouble.failures.saturating_add(1);
            trouble.retry_at = Some(around.now + backoff::pause(trouble.failures, around.rng));
        }
    }

    // --- what is to be done ---

    /// Moves on towards what is wanted.
    pub(crate) fn advance(&mut self, around: &mut Around<'_>, commands: &mut Vec<Command>) {
        if self.leaving {
            for instance in self.instances.values_mut() {
                instance.leave(around.slot, None);
            }
        } else {
            self.give_up_slow_starts(around, commands);
            self.prepare(around, commands);
            self.hold_to_one(commands);
            self.switch(around, commands);
            self.follow_calls(around, commands);
            self.retire(around);
            self.start(around, commands);
        }
        around.slot.set_absence(self.absence(around.now));
    }

    /// When to look again although nothing was heard.
    pub(crate) fn next_look(&self, now: Instant, config: &EngineConfig) -> Option<Instant> {
        if self.leaving {
            return None;
        }
        let retry = self.trouble.retry_at.filter(|at| *at > now);
        let slow = self
            .instances
            .values()
            .filter_map(|instance| Some(instance.waits_since()? + config.ready_timeout));
        let demand = self.demand.as_ref().and_then(Demand::next_look);
        slow.chain(retry).chain(demand).min()
    }

    fn give_up_slow_starts(&mut self, around: &mut Around<'_>, commands: &mut Vec<Command>) {
        let limit = around.config.ready_timeout;
        let mut slow = Vec::new();
        for instance in self.instances.values_mut() {
            let waited = |since| around.now.duration_since(since) >= limit;
            if instance.waits_since().is_some_and(waited) {
                instance.leave(around.slot, None);
                slow.push((instance.generation, instance.unready.take()));
            }
        }
        for (generation, lacks) in slow {
            let mut why = format!("did not become ready within {} s", limit.as_secs_f64());
            if let Some(lacks) = lacks {
                why.push_str(": ");
                why.push_str(&lacks);
            }
            self.trouble.last_exit = Some("not ready".to_owned());
            self.failed(generation, why, true, around, commands);
        }
    }

    fn prepare(&mut self, around: &Around<'_>, commands: &mut Vec<Command>) {
        if self.target.prepared.is_none() && !self.preparing && self.is_due(around.now) {
            self.preparing = true;
            commands.push(Command::Prepare(self.target.clone()));
        }
    }

    /// Takes a count back that cannot be: where a version has one instance at a time, and that was
    /// not known when the count was asked for.
    fn hold_to_one(&mut self, commands: &mut Vec<Command>) {
        if let Some(why) = self.target.single_instance()
            && self.replicas > 1
        {
            let function = &self.target.spec.function;
            tracing::warn!(%function, why, replicas = self.replicas, "there can be one replica only");
            self.replicas = 1;
            self.keep(commands);
        }
    }

    /// Sends calls to what is ready: at once, or during an update when all of it is.
    fn switch(&mut self, around: &Around<'_>, commands: &mut Vec<Command>) {
        let generation = self.target.generation;
        let ready = self.fit(generation).count() as u64;
        let through = ready >= self.replicas && !self.changing;
        if through && self.previous.take().is_some() {
            commands.push(Command::EndUpdate(generation));
        }
        let version = match &self.previous {
            // After a restart it may run and not serve yet.
            Some(old) if self.fit(old.version.generation).next().is_some() => &old.version,
            _ => &self.target,
        };
        let (serving, limit) = (version.generation, version.wishes.max_inflight);
        for instance in self.instances.values_mut() {
            if instance.generation == serving
                && instance.is_fit()
                && instance.replica.is_none()
                && let Some(endpoint) = instance.endpoint.clone()
            {
                instance.replica = Some(around.slot.add(endpoint, limit));
            }
        }
    }

    /// Wants as many replicas as its calls need, where it is to follow them.
    fn follow_calls(&mut self, around: &Around<'_>, commands: &mut Vec<Command>) {
        if self.replicas == 0 || self.previous.is_some() || self.changing {
            self.demand = None;
            return;
        }
        let most = self.most_replicas(around.config);
        let most = most.min(around.room.max(self.replicas));
        let wishes = &self.target.wishes.scale;
        let demand = self
            .demand
            .get_or_insert_with(|| Demand::new(wishes, around.now));
        let wanted = demand.look(around.now, around.slot, self.replicas, most);
        if wanted == self.replicas {
            return;
        }
        let (function, from) = (&self.target.spec.function, self.replicas);
        tracing::info!(%function, from, to = wanted, "scaled by its calls");
        self.replicas = wanted;
        self.keep(commands);
    }

    /// What its replicas need of the host.
    pub(crate) fn claim(&self) -> Claim {
        Claim::of(&self.target.spec, self.replicas)
    }

    /// How many instances there may be at a time.
    fn most_replicas(&self, config: &EngineConfig) -> u64 {
        match self.target.single_instance() {
            Some(_) => 1,
            None => config.max_replicas.max(1),
        }
    }

    fn keep(&mut self, commands: &mut Vec<Command>) {
        if !self.keeping {
            self.keeping = true;
            commands.push(Command::KeepScale);
        }
    }

    /// The instances of a generation that may take calls.
    fn fit(&self, generation: u64) -> impl Iterator<Item = &Instance> {
        let of_it = move |instance: &&Instance| instance.generation == generation;
        self.instances
            .values()
            .filter(of_it)
            .filter(|it| it.is_fit())
    }

    /// Ends what is not wanted: instances of other versions, unless they serve while an update is
    /// not through, and those above the count.
    fn retire(&mut self, around: &Around<'_>) {
        let kept = match &self.previous {
            Some(previous) if !self.is_exclusive() => Some(previous.version.generation),
            _ => None,
        };
        let generation = self.target.generation;
        for instance in self.instances.values_mut() {
            if instance.generation != generation && Some(instance.generation) != kept {
                instance.leave(around.slot, None);
            }
        }
        let mut mine: Vec<&mut Instance> = self
            .instances
            .values_mut()
            .filter(|instance| instance.generation == generation && !instance.is_leaving())
            .collect();
        // The ones that serve longest stay.
        mine.sort_by_key(|instance| (instance.ready_since.is_none(), instance.born));
        let wanted = usize::try_from(self.replicas).unwrap_or(usize::MAX);
        for instance in mine.into_iter().skip(wanted) {
            instance.leave(around.slot, None);
        }
    }

    fn start(&mut self, around: &mut Around<'_>, commands: &mut Vec<Command>) {
        if self.held || self.target.prepared.is_none() || !self.is_due(around.now) {
            return;
        }
        let generation = self.target.generation;
        let mut wanted = self.replicas;
        let single = self.target.single_instance().is_some();
        if single {
            if self.instances.values().any(|instance| instance.single) {
                return;
            }
            wanted = wanted.min(1);
        }
        let present = self
            .instances
            .values()
            .filter(|instance| [generation, LEFT_OVER].contains(&instance.generation))
            .filter(|instance| instance.failing || !instance.is_leaving())
            .count() as u64;
        for _ in present..wanted {
            let id = new_id(self.target.spec.function.name.as_str(), around.rng);
            let (sender, leave) = oneshot::channel();
            let mut instance = Instance::new(generation, around.now, Some(sender));
            instance.single = single;
            self.instances.insert(id.clone(), instance);
            commands.push(Command::Start {
                id,
                version: self.target.clone(),
                leave,
            });
        }
    }

    /// Whether an instance runs beside which there can be no other.
    pub(crate) fn runs_only_once(&self) -> bool {
        self.instances.values().any(|instance| instance.single)
    }

    /// Whether both versions can have one instance at a time only, so that the old one must go before
    /// the new one starts.
    fn is_exclusive(&self) -> bool {
        let previous = self.previous.as_ref().map(|previous| &previous.version);
        // Of an old one that runs from before it is not known.
        let old =
            |version: &Version| version.prepared.is_none() || version.single_instance().is_some();
        self.target.single_instance().is_some() && previous.is_some_and(old)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.trouble.retry_at.is_none_or(|at| now >= at)
    }

    /// What the store is to hold.
    pub(crate) fn record(&self) -> FunctionRecord {
        FunctionRecord {
            generation: self.target.generation,
            created_at: self.created_at,
            spec: Arc::clone(&self.target.spec),
            replicas: self.replicas,
            previous: self.previous.as_ref().map(|previous| PreviousRecord {
                generation: previous.version.generation,
                spec: Arc::clone(&previous.version.spec),
                replicas: previous.replicas,
            }),
        }
    }

    /// What calls are told while there is no replica.
    fn absence(&self, now: Instant) -> Absence {
        if self.leaving {
            return Absence::Failing {
                reason: "the provider is stopping".to_owned(),
                retry_after: None,
            };
        }
        if self.replicas == 0 {
            return Absence::ScaledToZero;
        }
        let trouble = &self.trouble;
        match self.hopeless() {
            Some(reason) => Absence::Failing {
                reason: format!("it does not start: {reason}"),
                retry_after: trouble.retry_at.map(|at| at.duration_since(now)),
            },
            _ => Absence::Starting {
                reason: self.lacks().map(str::to_owned),
            },
        }
    }

    /// Why waiting for it to get ready is no use, if it is none.
    pub(crate) fn hopeless(&self) -> Option<&str> {
        let trouble = &self.trouble;
        let hopeless = trouble.hopeless || trouble.failures >= CRASH_LOOP;
        trouble.last_error.as_deref().filter(|_| hopeless)
    }

    /// What an instance lacks that is started and does not answer.
    pub(crate) fn lacks(&self) -> Option<&str> {
        self.instances
            .values()
            .filter(|instance| instance.waits_since().is_some())
            .find_map(|instance| instance.unready.as_deref())
    }

    /// Whether no call waits for a first replica that may come soon.
    pub(crate) fn is_settled(&self) -> bool {
        let waits = self.replicas > 0 && self.trouble.retry_at.is_none();
        !waits || self.leaving || self.available() > 0
    }

    /// How many instances take calls.
    pub(crate) fn available(&self) -> u64 {
        let serving =
            |instance: &&Instance| instance.replica.is_some() && instance.ready_since.is_some();
        self.instances.values().filter(serving).count() as u64
    }
}

/// The start of the function's name, so that a reader of logs knows it, and enough randomness that
/// it comes up once. Short, for socket paths are.
fn new_id(name: &str, rng: &mut fastrand::Rng) -> InstanceId {
    const NAME_LENGTH: usize = 16;
    const RANDOM_LENGTH: usize = 10;
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let mut id: String = letters.take(NAME_LENGTH).collect();
    id.push('-');
    for _ in 0..RANDOM_LENGTH {
        id.push(rng.digit(36));
    }
    InstanceId::new(id)
}
