//! Decisions, one at a time: no runtime, no tasks, a clock that is moved by hand.

use std::time::UNIX_EPOCH;

use provider_route::{Table, TableConfig};
use provider_types::{FunctionRef, Namespace};

use super::*;

/// A function whose instances do what the test says.
struct World {
    state: State,
    slot: Slot,
    config: EngineConfig,
    rng: fastrand::Rng,
    now: Instant,
    /// Started and not told to leave.
    running: Vec<(InstanceId, oneshot::Receiver<Leave>)>,
    /// Ends of updates that were to be written down.
    ended: usize,
}

fn version(generation: u64) -> Version {
    let function = FunctionRef::parse_dotted("f", &Namespace::default()).unwrap();
    Version {
        generation,
        spec: Arc::new(FunctionSpec::new(function, "image")),
        prepared: Some(Arc::default()),
        wishes: Wishes::default(),
    }
}

impl World {
    fn new(replicas: u64) -> Self {
        let state = State::new(version(1), replicas, UNIX_EPOCH);
        let function = state.target.spec.function.clone();
        Self {
            state,
            slot: Table::new(TableConfig::default()).insert(function),
            config: EngineConfig::new("unused"),
            rng: fastrand::Rng::with_seed(1),
            now: Instant::now(),
            running: Vec::new(),
            ended: 0,
        }
    }

    /// Lets the state hear something and decide.
    fn step(&mut self, hear: impl FnOnce(&mut State, &mut Around<'_>, &mut Vec<Command>)) {
        let mut commands = Vec::new();
        let mut around = Around {
            now: self.now,
            slot: &self.slot,
            config: &self.config,
            rng: &mut self.rng,
            room: u64::MAX,
        };
        hear(&mut self.state, &mut around, &mut commands);
        self.state.advance(&mut around, &mut commands);
        for command in commands {
            match command {
                Command::Start { id, leave, .. } => self.running.push((id, leave)),
                Command::EndUpdate(_) => self.ended += 1,
                Command::Prepare(_) | Command::KeepScale => {}
            }
        }
    }

    fn look(&mut self) {
        self.step(|_, _, _| {});
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.look();
    }

    /// Makes an instance answer.
    fn ready(&mut self, index: usize) {
        let id = self.running[index].0.clone();
        self.step(|state, around, _| {
            state.started(found(&id), around.now);
            state.ready(&id, around);
        });
    }

    /// Ends an instance by itself, and says so to the end.
    fn fail(&mut self, index: usize) {
        let (id, _leave) = self.running.remove(index);
        self.step(|state, around, _| state.exited(&id, ExitReason::Code(1), around.slot));
        let failure = Failure {
            why: "failed".to_owned(),
            exit: "exit code 1".to_owned(),
            kind: ErrorKind::InvalidArgument,
            ended: true,
        };
        self.step(|state, around, commands| {
            state.instance_failed(&id, failure, around, commands);
        });
        self.step(|state, _, _| state.gone(&id));
    }

    fn update(&mut self, generation: u64) {
        let previous = std::mem::replace(&mut self.state.target, version(generation));
        self.state.previous = Some(Previous {
            version: previous,
            replicas: self.state.replicas,
        });
        self.look();
    }

    /// Which of those that were started were told to leave.
    fn told_to_leave(&mut self) -> Vec<usize> {
        let told = |(index, (_, leave)): (usize, &mut (_, oneshot::Receiver<Leave>))| {
            leave.try_recv().is_ok().then_some(index)
        };
        self.running
            .iter_mut()
            .enumerate()
            .filter_map(told)
            .collect()
    }

    fn serving(&self) -> usize {
        self.slot.replicas().len()
    }
}

/// What the runtime says of an instance that it started.
fn found(id: &InstanceId) -> RuntimeInstance {
    let function = FunctionRef::parse_dotted("f", &Namespace::default()).unwrap();
    RuntimeInstance::new(id.clone(), function, Endpoint::unix(format!("/{id}")))
}

#[test]
fn no_call_goes_to_a_new_version_before_all_of_it_is_ready() {
    let mut world = World::new(2);
    world.look();
    world.ready(0);
    world.ready(1);
    let old = world.slot.replicas();
    world.update(2);
    assert_eq!(world.running.len(), 4);
    world.ready(2);
    assert_eq!((world.serving(), world.ended), (2, 0));
    assert!(world.told_to_leave().is_empty());
    world.ready(3);
    assert_eq!((world.serving(), world.ended), (2, 1));
    assert_eq!(world.told_to_leave(), [0, 1]);
    let new = world.slot.replicas();
    assert!(
        old.iter()
            .all(|old| new.iter().all(|new| old.endpoint() != new.endpoint()))
    );
}

#[test]
fn an_update_is_neither_ended_nor_undone_while_the_next_is_written_down() {
    let mut world = World::new(1);
    world.look();
    world.ready(0);
    world.update(2);
    world.state.changing = true;
    world.ready(1);
    assert!(world.state.previous.is_some() && world.ended == 0);
    world.fail(1);
    assert_eq!((world.state.target.generation, world.ended), (2, 0));
    world.state.changing = false;
    world.pass(Duration::from_secs(1));
    world.fail(1);
    assert_eq!((world.state.target.generation, world.ended), (1, 1));
    assert_eq!(world.serving(), 1);
}

#[test]
fn scaling_down_ends_the_newest_and_first_of_all_those_not_ready() {
    let mut world = World::new(1);
    world.look();
    world.ready(0);
    for replicas in 2..=4 {
        world.now += Duration::from_secs(1);
        world.state.replicas = replicas;
        world.look();
    }
    world.ready(3);
    world.ready(1);
    world.state.replicas = 3;
    world.look();
    assert_eq!(world.told_to_leave(), [2]);
    world.state.replicas = 1;
    world.look();
    assert_eq!(world.told_to_leave(), [1, 3]);
}

#[test]
fn an_instance_that_worked_for_a_while_is_no_crash_loop() {
    let mut world = World::new(1);
    world.look();
    for _ in 0..10 {
        world.ready(0);
        world.pass(PROVEN);
        world.fail(0);
        assert_eq!(world.state.trouble.failures, 1);
        assert_eq!(world.state.absence(world.now), Absence::default());
        world.pass(Duration::from_millis(300));
        assert_eq!(world.running.len(), 1);
    }
    for failures in 1..=3 {
        world.ready(0);
        world.fail(0);
        assert_eq!(world.state.trouble.failures, failures + 1);
        world.pass(Duration::from_secs(5));
    }
    assert!(matches!(
        world.state.absence(world.now),
        Absence::Failing { .. }
    ));
}

#[test]
fn failures_of_one_round_count_once() {
    let mut world = World::new(5);
    world.look();
    for _ in 0..5 {
        world.fail(0);
    }
    assert_eq!(world.state.trouble.failures, 1);
    world.pass(Duration::from_millis(300));
    assert_eq!(world.running.len(), 5);
}

#[test]
fn one_that_is_too_slow_is_given_up_and_calls_are_told_until_it_is_scaled_from_zero() {
    let mut world = World::new(1);
    world.look();
    let id = world.running[0].0.clone();
    world.step(|state, around, _| state.started(found(&id), around.now));
    world.pass(world.config.ready_timeout);
    assert_eq!(world.told_to_leave(), [0]);
    assert!(matches!(
        world.state.absence(world.now),
        Absence::Failing { .. }
    ));
    world.state.scale_to(0);
    assert_eq!(world.state.absence(world.now), Absence::ScaledToZero);
    world.state.scale_to(1);
    assert_eq!(world.state.absence(world.now), Absence::default());
}

#[test]
fn the_time_to_get_ready_does_not_run_while_a_start_waits_for_its_turn() {
    let mut world = World::new(1);
    world.look();
    world.pass(world.config.ready_timeout * 2);
    assert!(world.told_to_leave().is_empty());
    assert_eq!(world.state.next_look(world.now, &world.config), None);
}

#[test]
fn one_that_is_unready_gets_no_calls_and_comes_back_or_is_replaced() {
    let mut world = World::new(1);
    world.look();
    world.ready(0);
    assert_eq!((world.serving(), world.state.available()), (1, 1));
    let id = world.running[0].0.clone();
    let unready = |world: &mut World| {
        let why = "GET /ready was answered with 503".to_owned();
        world.step(|state, around, _| state.unready(&id, why, around));
    };
    world.pass(Duration::from_secs(300));
    unready(&mut world);
    assert_eq!((world.serving(), world.state.available()), (0, 0));
    assert_eq!(
        world.state.lacks(),
        Some("GET /ready was answered with 503")
    );
    assert!(world.told_to_leave().is_empty());
    world.pass(Duration::from_secs(30));
    world.ready(0);
    assert_eq!((world.serving(), world.state.available()), (1, 1));

    // It has the time of one that starts, and is then as bad as one that did not.
    unready(&mut world);
    world.pass(world.config.ready_timeout);
    assert_eq!(world.told_to_leave(), [0]);
    assert!(
        world
            .state
            .trouble
            .last_error
            .as_ref()
            .unwrap()
            .contains("503")
    );
}
