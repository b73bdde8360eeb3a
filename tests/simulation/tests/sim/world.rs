//! What outlives a provider: the clock, the dice, the disk, the instances, and what was asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use provider_types::{ExitReason, FunctionRef, InstanceId, InstanceSpec, RuntimeEvent};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::disk::Disk;
use crate::history::{Contradiction, History};
use crate::models::{FunctionModel, NumberModel};

/// How many of the last events a failure shows.
const TAIL: usize = 150;

/// Which kinds of trouble a seed has. Few at a time lead further than all at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Troubles {
    /// The runtime refuses, or does what it was told and fails all the same.
    pub(crate) runtime_errors: bool,
    /// The runtime does not answer at all.
    pub(crate) runtime_hangs: bool,
    pub(crate) lost_events: bool,
    pub(crate) repeated_events: bool,
    pub(crate) full_disk: bool,
    pub(crate) instances_crash: bool,
    pub(crate) bad_images: bool,
    pub(crate) kills: bool,
    /// Instances outlive the provider and can be taken over.
    pub(crate) survives_restart: bool,
    /// Instances outlive the provider and cannot.
    pub(crate) leaves_instances: bool,
}

impl Troubles {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        let kind = rng.u8(..10);
        // Nothing is wrong, or nothing but what is deployed.
        let (calm, only_images) = (kind < 3, kind == 2);
        let mut some = || rng.u8(..5) < 2 && !calm;
        Self {
            runtime_errors: some(),
            runtime_hangs: some(),
            lost_events: some(),
            repeated_events: some(),
            full_disk: some(),
            instances_crash: some(),
            bad_images: some() || only_images,
            kills: some(),
            survives_restart: some(),
            leaves_instances: some(),
        }
    }

    /// Whether good functions may fail for a while.
    pub(crate) fn any(&self) -> bool {
        self.runtime_errors
            || self.runtime_hangs
            || self.lost_events
            || self.full_disk
            || self.instances_crash
            || self.kills
    }
}

/// One seed's world. Everything in it survives the provider.
pub(crate) struct World {
    pub(crate) troubles: Troubles,
    pub(crate) disk: Disk,
    /// Between the first trouble and the last.
    in_trouble: Mutex<bool>,
    rng: Mutex<fastrand::Rng>,
    clock: Mutex<Clock>,
    trace: Mutex<Trace>,
    /// Ends a life in which something broke.
    pub(crate) end: Notify,
    pub(crate) runtime: Mutex<Instances>,
    pub(crate) book: Mutex<Book>,
}

#[derive(Default)]
struct Clock {
    /// What passed before this life.
    before: Duration,
    /// When this life began.
    begun: Option<Instant>,
}

struct Trace {
    hash: DefaultHasher,
    tail: VecDeque<String>,
    events: u64,
    broken: Option<String>,
    print: bool,
}

/// The instances that the runtime knows.
#[derive(Default)]
pub(crate) struct Instances {
    pub(crate) all: BTreeMap<InstanceId, Instance>,
    /// Those that were ever started, so that no id comes up twice.
    pub(crate) ever: BTreeMap<InstanceId, FunctionRef>,
    pub(crate) listener: Option<mpsc::UnboundedSender<RuntimeEvent>>,
    pub(crate) lost: bool,
    /// When the engine could see again what happens.
    pub(crate) back_at: Duration,
    /// Since when the engine has not been told all that happens.
    pub(crate) blind_since: Option<Duration>,
    /// The longest that this took.
    pub(crate) blind_longest: Duration,
}

pub(crate) struct Instance {
    pub(crate) spec: InstanceSpec,
    pub(crate) ready: bool,
    /// When it gets ready, and when it ends by itself.
    pub(crate) ready_at: Option<Duration>,
    pub(crate) ends_at: Option<(Duration, ExitReason)>,
    pub(crate) ended: Option<(Duration, ExitReason)>,
    pub(crate) told_to_stop: bool,
    /// It outlived the provider that started it, and the next one has to end it.
    pub(crate) left_over: bool,
    /// The calls that are in flight, and since when.
    pub(crate) calls: BTreeMap<u64, Duration>,
    pub(crate) limit: usize,
    /// Tells its calls that it ended.
    pub(crate) end: Arc<Notify>,
}

/// What was asked for, and what is known of it.
pub(crate) struct Book {
    pub(crate) functions: BTreeMap<FunctionRef, History<FunctionModel>>,
    pub(crate) secrets: BTreeMap<(String, String), History<NumberModel>>,
    pub(crate) namespaces: BTreeMap<String, History<NumberModel>>,
    /// When each function may have been absent for the last time.
    pub(crate) absent: BTreeMap<FunctionRef, Duration>,
    /// The functions that served a call.
    pub(crate) served: BTreeSet<FunctionRef>,
    /// Which function somebody changed last: changes that follow on one another find more.
    pub(crate) focus: Option<FunctionRef>,
    /// When the orderly end of the provider is to be over.
    pub(crate) shut_down_by: Option<Duration>,
    next: u64,
}

impl World {
    pub(crate) fn new(seed: u64, print: bool) -> Arc<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        Arc::new(Self {
            troubles: Troubles::draw(&mut rng),
            disk: Disk::default(),
            in_trouble: Mutex::new(true),
            rng: Mutex::new(rng),
            clock: Mutex::default(),
            trace: Mutex::new(Trace {
                hash: DefaultHasher::new(),
                tail: VecDeque::new(),
                events: 0,
                broken: None,
                print,
            }),
            end: Notify::new(),
            runtime: Mutex::default(),
            book: Mutex::new(Book {
                functions: BTreeMap::new(),
                secrets: BTreeMap::new(),
                namespaces: BTreeMap::new(),
                absent: BTreeMap::new(),
                served: BTreeSet::new(),
                focus: None,
                shut_down_by: None,
                next: 0,
            }),
        })
    }

    // --- clock and dice ---

    pub(crate) fn now(&self) -> Duration {
        let clock = self.clock.lock().unwrap();
        clock.before + clock.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// A provider begins, on a tokio clock of its own.
    pub(crate) fn begin_life(&self) {
        self.clock.lock().unwrap().begun = Some(Instant::now());
    }

    /// It ends. To be called on its clock, for that ends with it.
    pub(crate) fn end_life(&self) {
        let before = self.now();
        *self.clock.lock().unwrap() = Clock {
            before,
            begun: None,
        };
    }

    /// Nobody is there for a while.
    pub(crate) fn pass(&self, gap: Duration) {
        self.clock.lock().unwrap().before += gap;
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.rng.lock().unwrap().u64(..bound)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap()]
    }

    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut book = self.book();
        book.next += 1;
        book.next
    }

    pub(crate) fn in_trouble(&self) -> bool {
        *self.in_trouble.lock().unwrap()
    }

    /// Lets all go well from now on.
    pub(crate) fn end_troubles(&self) {
        self.log("the troubles are over");
        *self.in_trouble.lock().unwrap() = false;
        self.disk.set_full(false);
    }

    // --- what happened ---

    /// Writes an event down.
    pub(crate) fn log(&self, event: impl std::fmt::Display) {
        let now = self.now();
        let mut trace = self.trace.lock().unwrap();
        if trace.broken.is_some() {
            // What follows explains nothing.
            return;
        }
        let mut line = String::new();
        let _ = write!(line, "{:>10.3} {event}", now.as_secs_f64());
        trace.hash.write(line.as_bytes());
        trace.events += 1;
        if trace.print {
            println!("{line}");
        }
        if trace.tail.len() == TAIL {
            trace.tail.pop_front();
        }
        trace.tail.push_back(line);
    }

    /// Something is as it must never be. The first one counts.
    pub(crate) fn broken(&self, what: impl std::fmt::Display) {
        self.log(format_args!("BROKEN: {what}"));
        let mut trace = self.trace.lock().unwrap();
        if trace.broken.is_none() {
            trace.broken = Some(what.to_string());
            self.end.notify_one();
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.trace.lock().unwrap().broken.is_some()
    }

    pub(crate) fn explained(
        &self,
        whose: impl std::fmt::Display,
        result: Result<(), Contradiction>,
    ) {
        if let Err(contradiction) = result {
            self.broken(format_args!("{whose}: {contradiction}"));
        }
    }

    /// What broke, the hash of all events, how many there were, and the last of them.
    pub(crate) fn outcome(&self) -> Outcome {
        let trace = self.trace.lock().unwrap();
        Outcome {
            hash: trace.hash.finish(),
            events: trace.events,
            broken: trace.broken.clone(),
            tail: trace.tail.iter().cloned().collect(),
        }
    }

    pub(crate) fn runtime(&self) -> MutexGuard<'_, Instances> {
        self.runtime.lock().unwrap()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) hash: u64,
    pub(crate) events: u64,
    pub(crate) broken: Option<String>,
    pub(crate) tail: Vec<String>,
}

impl Book {
    pub(crate) fn function(&mut self, name: &FunctionRef) -> &mut History<FunctionModel> {
        self.functions
            .entry(name.clone())
            .or_insert_with(|| History::new(None))
    }

    pub(crate) fn secret(&mut self, key: &(String, String)) -> &mut History<NumberModel> {
        self.secrets
            .entry(key.clone())
            .or_insert_with(|| History::new(None))
    }

    pub(crate) fn namespace(&mut self, name: &str) -> &mut History<NumberModel> {
        self.namespaces
            .entry(name.to_owned())
            .or_insert_with(|| History::new(None))
    }

    /// The provider is no more, and what was under way may or may not have happened.
    pub(crate) fn killed(&mut self) {
        self.functions.values_mut().for_each(History::killed);
        self.secrets.values_mut().for_each(History::killed);
        self.namespaces.values_mut().for_each(History::killed);
        self.shut_down_by = None;
    }

    /// Notes which functions may be absent now.
    pub(crate) fn note_absences(&mut self, now: Duration) {
        for (name, history) in &self.functions {
            if history.values().contains(&None) {
                self.absent.insert(name.clone(), now);
            }
        }
    }
}

impl Instance {
    pub(crate) fn lives(&self) -> bool {
        self.ended.is_none()
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.spec.function.env_vars.get(name).map(String::as_str)
    }
}
