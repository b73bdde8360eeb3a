//! Calls that wake what is asleep: a back-end that does what the test says, in paused time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use provider_route::{Absence, Activator, ReplicaLease, Slot, Table, TableConfig};
use provider_types::{
    Call, ErrorKind, FunctionRef, Lease, ProviderError, ResolveError, Resolver, Scaler,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::table::{at_most, endpoint, function};

/// What the back-end does when it is asked to wake a function.
#[derive(Clone, Copy)]
enum Answer {
    /// Takes the wish after so many milliseconds, starts an instance, and that is ready so many
    /// later.
    ReadyAfter(u64, u64),
    /// Takes it and shows nothing of it.
    Nothing,
    /// Refuses.
    Fails(ErrorKind),
    Panics,
}

/// How long an instance takes until it is started.
const STARTING: Duration = Duration::from_millis(7);

struct World {
    table: Table,
    activator: Activator,
    slot: Slot,
    f: FunctionRef,
    wishes: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

struct Backend {
    table: Table,
    wishes: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

#[async_trait]
impl Scaler for Backend {
    async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError> {
        self.wishes.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap();
        match answer {
            Answer::ReadyAfter(taken, ready) => {
                sleep(Duration::from_millis(taken)).await;
                let slot = self.table.get(function).unwrap();
                slot.set_absence(Absence::Starting { reason: None });
                tokio::spawn(async move {
                    sleep(STARTING).await;
                    slot.note_started();
                    sleep(Duration::from_millis(ready)).await;
                    slot.add(endpoint(1), at_most(100));
                });
                Ok(())
            }
            Answer::Nothing => Ok(()),
            Answer::Fails(kind) => Err(ProviderError::new(kind, "the host is full")),
            Answer::Panics => panic!("on purpose"),
        }
    }

    async fn scale(&self, _: &FunctionRef, _: u64) -> Result<(), ProviderError> {
        unreachable!("nobody asks for that here")
    }
}

impl World {
    fn new(answer: Answer) -> Self {
        Self::with(answer, TableConfig::default())
    }

    fn with(answer: Answer, config: TableConfig) -> Self {
        let table = Table::new(config);
        let f = function("f");
        let slot = table.insert(f.clone());
        slot.set_absence(Absence::ScaledToZero);
        let (wishes, answer) = (Arc::default(), Arc::new(Mutex::new(answer)));
        let backend = Backend {
            table: table.clone(),
            wishes: Arc::clone(&wishes),
            answer: Arc::clone(&answer),
        };
        Self {
            activator: Activator::new(table.clone(), backend),
            table,
            slot,
            f,
            wishes,
            answer,
        }
    }

    fn wishes(&self) -> usize {
        self.wishes.load(Ordering::SeqCst)
    }

    async fn call(&self) -> Result<ReplicaLease, ResolveError> {
        self.activator.resolve(Call::new(&self.f)).await
    }

    /// Calls in the background, with a deadline of twenty seconds as the proxy gives one.
    fn spawn(&self) -> JoinHandle<Result<ReplicaLease, ResolveError>> {
        let (activator, f) = (self.activator.clone(), self.f.clone());
        let deadline = Instant::now() + Duration::from_secs(20);
        tokio::spawn(async move {
            let call = Call::new(&f).with_deadline(Some(deadline.into_std()));
            activator.resolve(call).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn calls_for_a_function_that_is_asleep_wait_and_wake_it_once() {
    let world = World::new(Answer::ReadyAfter(30, 200));
    let calls: Vec<_> = (0..50).map(|_| world.spawn()).collect();
    for call in calls {
        let lease = call.await.unwrap().unwrap();
        let phases = lease.phases();
        assert_eq!(phases.woken, Duration::from_millis(30));
        assert_eq!(phases.started, STARTING + Duration::from_millis(200));
        assert_eq!(phases.readied, Duration::from_millis(200));
        assert_eq!(phases.queued, Duration::ZERO);
    }
    assert_eq!(world.wishes(), 1);

    // Asleep again, it is woken again.
    for replica in world.slot.replicas() {
        world.slot.remove(&replica);
    }
    world.slot.set_absence(Absence::ScaledToZero);
    world.call().await.unwrap();
    assert_eq!(world.wishes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ready_function_is_not_woken_and_has_no_phases() {
    let world = World::new(Answer::Panics);
    world.slot.add(endpoint(1), None);
    assert_eq!(world.call().await.unwrap().phases(), Default::default());
    assert_eq!(world.wishes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_activator_a_sleeping_function_refuses_at_once() {
    let world = World::new(Answer::Panics);
    let refused = world.table.resolve(Call::new(&world.f)).await.unwrap_err();
    let ResolveError::NotReady {
        reason,
        retry_after,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(reason.as_deref(), Some("scaled to zero"));
    assert!(retry_after.is_some());
    assert_eq!(world.wishes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_call_that_wakes_may_leave_and_the_others_are_served() {
    let world = World::new(Answer::ReadyAfter(50, 50));
    let first = world.spawn();
    tokio::task::yield_now().await;
    let second = world.spawn();
    tokio::task::yield_now().await;
    assert_eq!(world.wishes(), 1);
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(world.wishes(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_one_too_many_is_told_when_to_come_again() {
    let mut config = TableConfig::default();
    config.queue_len = 3;
    let world = World::with(Answer::ReadyAfter(10, 1_000), config);
    let waiting: Vec<_> = (0..3).map(|_| world.spawn()).collect();
    tokio::task::yield_now().await;
    assert_eq!(world.slot.waiting(), 3);
    let refused = world.call().await.unwrap_err();
    assert!(
        matches!(
            refused,
            ResolveError::Overloaded {
                retry_after: Some(_)
            }
        ),
        "{refused:?}"
    );
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_gets_ready_is_waited_for_until_the_deadline() {
    let world = World::new(Answer::ReadyAfter(10, 3_600_000));
    let begun = Instant::now();
    let refused = world.spawn().await.unwrap().unwrap_err();
    assert!(
        matches!(refused, ResolveError::TimedOut { .. }),
        "{refused:?}"
    );
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_fails_is_told_to_all_who_wait_and_tried_again_by_the_next() {
    let world = World::new(Answer::Fails(ErrorKind::ResourceExhausted));
    let calls: Vec<_> = (0..5).map(|_| world.spawn()).collect();
    for call in calls {
        let refused = call.await.unwrap().unwrap_err();
        let ResolveError::NotReady { reason, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(reason.as_deref(), Some("the host is full"));
    }
    assert_eq!(world.slot.waiting(), 0);
    let asked = world.wishes();
    *world.answer.lock().unwrap() = Answer::ReadyAfter(1, 1);
    world.call().await.unwrap();
    assert_eq!(world.wishes(), asked + 1);

    let world = World::new(Answer::Fails(ErrorKind::NotFound));
    let refused = world.call().await.unwrap_err();
    assert!(matches!(refused, ResolveError::NotFound), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_panics_leaves_nobody_waiting() {
    let world = World::new(Answer::Panics);
    let begun = Instant::now();
    let refused = world.call().await.unwrap_err();
    assert!(
        matches!(refused, ResolveError::NotReady { .. }),
        "{refused:?}"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_took_the_wish_and_forgot_it_is_asked_again_by_a_later_call() {
    let world = World::new(Answer::Nothing);
    let first = world.spawn();
    sleep(Duration::from_millis(500)).await;
    let second = world.spawn();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.wishes(), 1, "it was asked half a second ago");
    sleep(Duration::from_secs(1)).await;
    *world.answer.lock().unwrap() = Answer::ReadyAfter(1, 1);
    for call in [world.spawn(), first, second] {
        call.await.unwrap().unwrap();
    }
    assert_eq!(world.wishes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_caught_by_the_sleep_wakes_the_function_instead_of_failing() {
    let world = World::new(Answer::ReadyAfter(5, 5));
    world.slot.set_absence(Absence::Starting { reason: None });
    let call = world.spawn();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.slot.waiting(), 1);
    world.slot.set_absence(Absence::ScaledToZero);
    call.await.unwrap().unwrap();
    assert_eq!(world.wishes(), 1);
}

#[tokio::test(start_paused = true)]
async fn activity_is_what_is_in_flight_what_waits_and_what_came_since() {
    let world = World::new(Answer::ReadyAfter(1, 1));
    assert!(!world.slot.take_activity());
    let lease = world.call().await.unwrap();
    assert!(world.slot.take_activity());
    assert!(world.slot.take_activity(), "it is in flight");
    drop(lease);
    drop(world.call().await.unwrap());
    assert!(world.slot.take_activity(), "one came and went");
    assert!(!world.slot.take_activity());

    // What came by a replica that is gone counts as well.
    drop(world.call().await.unwrap());
    let replica = world.slot.replicas().remove(0);
    world.slot.remove(&replica);
    assert!(world.slot.take_activity());
    assert!(!world.slot.take_activity());

    // And what waits, or waited in vain.
    let waits = world.spawn();
    sleep(Duration::from_millis(1)).await;
    assert!(world.slot.take_activity());
    assert!(world.slot.take_activity(), "it still waits");
    waits.abort();
    drop(waits.await);
    assert!(!world.slot.take_activity());
}
