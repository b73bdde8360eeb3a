//! The table: looking up, choosing, waiting, limits, draining.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use provider_route::{Absence, ReplicaLease, Slot, Table, TableConfig};
use provider_types::{
    Call, Endpoint, FunctionRef, Lease, Namespace, Report, ResolveError, Resolver,
};
use tokio::time::Instant;

pub(crate) fn function(name: &str) -> FunctionRef {
    FunctionRef::parse_dotted(name, &Namespace::default()).unwrap()
}

pub(crate) fn endpoint(port: u16) -> Endpoint {
    Endpoint::tcp(([127, 0, 0, 1], port).into())
}

pub(crate) fn at_most(calls: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(calls)
}

fn table_with(name: &str) -> (Table, Slot, FunctionRef) {
    let table = Table::new(TableConfig::default());
    let function = function(name);
    let slot = table.insert(function.clone());
    (table, slot, function)
}

/// Polls once: what a call gets that may not wait.
fn at_once(table: &Table, call: Call<'_>) -> Option<Result<ReplicaLease, ResolveError>> {
    let mut resolving = pin!(table.resolve(call));
    match resolving
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn port_of(lease: &ReplicaLease) -> u16 {
    let provider_types::EndpointAddress::Tcp(address) = &lease.endpoint().address else {
        panic!("not TCP: {lease:?}");
    };
    address.port()
}

#[test]
fn an_unknown_function_is_not_found_and_tables_do_not_share() {
    let (table, slot, figlet) = table_with("figlet");
    slot.add(endpoint(1), None);
    let other = Table::new(TableConfig::default());
    assert!(matches!(at_once(&table, Call::new(&figlet)), Some(Ok(_))));
    assert!(matches!(
        at_once(&other, Call::new(&figlet)),
        Some(Err(ResolveError::NotFound))
    ));
    assert!(matches!(
        at_once(&table, Call::new(&function("figlet.elsewhere"))),
        Some(Err(ResolveError::NotFound))
    ));
}

#[test]
fn a_ready_function_resolves_without_suspending_and_without_a_runtime() {
    let (table, slot, figlet) = table_with("figlet");
    let replica = slot.add(endpoint(4000), None);
    let lease = at_once(&table, Call::new(&figlet)).unwrap().unwrap();
    assert_eq!(port_of(&lease), 4000);
    assert_eq!(lease.phases(), provider_types::Phases::default());
    assert_eq!((replica.in_flight(), slot.in_flight()), (1, 1));
    drop(lease);
    assert_eq!(replica.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_replica_that_starts_and_says_how_long() {
    let (table, slot, figlet) = table_with("figlet");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        slot.add(endpoint(1), None);
    });
    let lease = table.resolve(Call::new(&figlet)).await.unwrap();
    assert_eq!(lease.phases().started, Duration::from_secs(3));
    assert_eq!(lease.phases().queued, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_replica_never_starts_is_told_so_within_its_time() {
    let (table, slot, figlet) = table_with("figlet");
    let begun = Instant::now();
    let error = table.resolve(Call::new(&figlet)).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 20);
    let ResolveError::NotReady {
        reason,
        retry_after,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        reason.as_deref(),
        Some("no replica became ready within 20.0 s")
    );
    assert_eq!(retry_after, Some(Duration::from_secs(1)));

    // A call that has a deadline waits until that, be it earlier or later.
    slot.set_absence(Absence::Starting {
        reason: Some("nothing listens".to_owned()),
    });
    for seconds in [2, 40] {
        let begun = Instant::now();
        let deadline = (begun + Duration::from_secs(seconds)).into_std();
        let call = Call::new(&figlet).with_deadline(Some(deadline));
        let error = table.resolve(call).await.unwrap_err();
        let ResolveError::TimedOut { reason } = error else {
            panic!("{error:?}");
        };
        assert_eq!(reason.as_deref(), Some("nothing listens"));
        assert_eq!(begun.elapsed().as_millis() / 100, u128::from(seconds) * 10);
    }
    let error = table.resolve(Call::new(&figlet)).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::NotReady { reason: Some(reason), .. }
            if reason == "no replica became ready within 20.0 s: nothing listens"),
        "{error:?}"
    );
    assert_eq!(slot.waiting(), 0);
}

#[test]
fn nothing_wanted_or_nothing_to_be_had_is_refused_at_once_in_words() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let (table, slot, figlet) = table_with("figlet");
    let words = || match at_once(&table, Call::new(&figlet)) {
        Some(Err(ResolveError::NotReady { reason, .. })) => reason.unwrap(),
        other => panic!("{other:?}"),
    };

    slot.set_absence(Absence::ScaledToZero);
    assert_eq!(words(), "scaled to zero");
    slot.set_absence(Absence::Failing {
        reason: "exit code 1, three times in a row".to_owned(),
        retry_after: None,
    });
    assert_eq!(words(), "exit code 1, three times in a row");
    slot.set_absence(Absence::default());
    assert!(at_once(&table, Call::new(&figlet)).is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_are_told_when_the_function_breaks_or_goes() {
    let (table, slot, figlet) = table_with("figlet");
    let waiting = |table: &Table| {
        let (table, figlet) = (table.clone(), figlet.clone());
        tokio::spawn(async move { table.resolve(Call::new(&figlet)).await })
    };
    let first = waiting(&table);
    tokio::task::yield_now().await;
    slot.set_absence(Absence::ScaledToZero);
    assert!(matches!(
        first.await.unwrap(),
        Err(ResolveError::NotReady { .. })
    ));

    slot.set_absence(Absence::default());
    let second = waiting(&table);
    tokio::task::yield_now().await;
    assert_eq!(slot.waiting(), 1);
    table.remove(&figlet).unwrap();
    assert!(matches!(second.await.unwrap(), Err(ResolveError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_replica_takes_no_more_calls_than_its_limit_and_the_rest_wait_their_turn() {
    let (table, slot, figlet) = table_with("figlet");
    slot.add(endpoint(1), at_most(2));
    let held = [
        table.resolve(Call::new(&figlet)).await.unwrap(),
        table.resolve(Call::new(&figlet)).await.unwrap(),
    ];
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for turn in 0..4 {
        let (table, figlet, order) = (table.clone(), figlet.clone(), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let lease = table.resolve(Call::new(&figlet)).await.unwrap();
            order.lock().unwrap().push(turn);
            tokio::time::sleep(Duration::from_millis(100)).await;
            lease.phases().queued
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(slot.waiting(), 4);
    drop(held);
    let mut queued = Vec::new();
    for call in waiting {
        queued.push(call.await.unwrap().as_millis());
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(queued, [0, 0, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_a_call_waits_a_bounded_time_and_the_line_is_bounded() {
    let mut config = TableConfig::default();
    config.queue_len = 1;
    let table = Table::new(config);
    let figlet = function("figlet");
    table.insert(figlet.clone()).add(endpoint(1), at_most(1));
    let _held = table.resolve(Call::new(&figlet)).await.unwrap();

    let (waiting, refused) = tokio::join!(table.resolve(Call::new(&figlet)), async {
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let refused = table.resolve(Call::new(&figlet)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        refused
    });
    for answer in [waiting, refused] {
        let Err(ResolveError::Overloaded { retry_after }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn a_lease_given_back_on_another_thread_wakes_the_first_in_line() {
    let (table, slot, figlet) = table_with("figlet");
    slot.add(endpoint(1), at_most(1));
    let held = table.resolve(Call::new(&figlet)).await.unwrap();
    let waiting = slot.clone();
    let other = std::thread::spawn(move || {
        while waiting.waiting() == 0 {
            std::thread::yield_now();
        }
        drop(held);
    });
    table.resolve(Call::new(&figlet)).await.unwrap();
    other.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_gives_its_place_up_and_loses_no_lease() {
    let (table, slot, figlet) = table_with("figlet");
    let replica = slot.add(endpoint(1), at_most(1));
    let held = table.resolve(Call::new(&figlet)).await.unwrap();
    {
        let mut leaving = Box::pin(table.resolve(Call::new(&figlet)));
        assert!(
            leaving
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        let mut answered = Box::pin(table.resolve(Call::new(&figlet)));
        assert!(
            answered
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(slot.waiting(), 2);
        drop(leaving);
        assert_eq!(slot.waiting(), 1);
        drop(held);
        // This one has its lease and never looks at it.
        assert_eq!(replica.in_flight(), 1);
        drop(answered);
    }
    assert_eq!((slot.waiting(), replica.in_flight()), (0, 0));
    table.resolve(Call::new(&figlet)).await.unwrap();
}

#[test]
fn the_replica_with_fewer_calls_takes_the_call() {
    let (table, slot, figlet) = table_with("figlet");
    for port in 1..=2 {
        slot.add(endpoint(port), None);
    }
    let leases: Vec<_> = (0..40)
        .map(|_| at_once(&table, Call::new(&figlet)).unwrap().unwrap())
        .collect();
    let on_first = leases.iter().filter(|lease| port_of(lease) == 1).count();
    assert_eq!(on_first, 20);
}

#[test]
fn a_free_replica_is_found_while_all_others_are_at_their_limit() {
    let (table, slot, figlet) = table_with("figlet");
    for port in 1..=8 {
        slot.add(endpoint(port), at_most(1));
    }
    let leases: Vec<_> = (0..8)
        .map(|_| at_once(&table, Call::new(&figlet)).unwrap().unwrap())
        .collect();
    let mut ports: Vec<_> = leases.iter().map(port_of).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_replica_to_avoid_is_avoided_while_there_is_another() {
    let (table, slot, figlet) = table_with("figlet");
    let first = slot.add(endpoint(1), None);
    let second = slot.add(endpoint(2), at_most(1));
    let avoiding = Call::new(&figlet).avoiding(Some(first.endpoint()));
    for _ in 0..20 {
        let lease = at_once(&table, avoiding).unwrap().unwrap();
        assert_eq!(port_of(&lease), 2);
    }
    let lease = at_once(&table, avoiding).unwrap().unwrap();
    // The other one is full: better the one that failed than none.
    assert_eq!(port_of(&at_once(&table, avoiding).unwrap().unwrap()), 1);
    drop(lease);
    slot.remove(&second);
    assert_eq!(port_of(&at_once(&table, avoiding).unwrap().unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_refuses_gets_no_calls_for_a_while() {
    let (table, slot, figlet) = table_with("figlet");
    for port in 1..=2 {
        slot.add(endpoint(port), None);
    }
    let refusing = table.resolve(Call::new(&figlet)).await.unwrap();
    let refused = port_of(&refusing);
    refusing.report(Report::Refused);
    drop(refusing);

    let mut held = Vec::new();
    for _ in 0..10 {
        let lease = table.resolve(Call::new(&figlet)).await.unwrap();
        assert_ne!(port_of(&lease), refused);
        held.push(lease);
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    let lease = table.resolve(Call::new(&figlet)).await.unwrap();
    assert_eq!(port_of(&lease), refused);
}

#[test]
fn a_replica_whose_calls_fail_in_another_way_keeps_its_calls() {
    let (table, slot, figlet) = table_with("figlet");
    let one = slot.add(endpoint(1), None);
    let two = slot.add(endpoint(2), None);
    let lease = at_once(&table, Call::new(&figlet)).unwrap().unwrap();
    lease.report(Report::Reset);
    drop(lease);
    let _held = [1, 2].map(|_| at_once(&table, Call::new(&figlet)).unwrap().unwrap());
    assert_eq!((one.in_flight(), two.in_flight()), (1, 1));
}

#[test]
fn a_replica_that_refused_is_passed_over_while_any_other_is_free() {
    let (table, slot, figlet) = table_with("figlet");
    let refusing = slot.add(endpoint(1), None);
    let lease = at_once(&table, Call::new(&figlet)).unwrap().unwrap();
    lease.report(Report::Refused);
    drop(lease);
    for port in 2..=4 {
        slot.add(endpoint(port), at_most(1));
    }
    for _ in 0..20 {
        let free: Vec<_> = (0..3)
            .map(|_| at_once(&table, Call::new(&figlet)).unwrap().unwrap())
            .collect();
        assert_eq!(refusing.in_flight(), 0);
        // Only now there is no other.
        let last = at_once(&table, Call::new(&figlet)).unwrap().unwrap();
        assert_eq!(port_of(&last), 1);
        drop((free, last));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_replica_gets_no_call_and_is_drained_when_its_last_one_ends() {
    let (table, slot, figlet) = table_with("figlet");
    let old = slot.add(endpoint(1), None);
    let lease = table.resolve(Call::new(&figlet)).await.unwrap();
    slot.add(endpoint(2), None);
    slot.remove(&old);
    for _ in 0..10 {
        let other = table.resolve(Call::new(&figlet)).await.unwrap();
        assert_eq!(port_of(&other), 2);
    }
    let mut draining = pin!(old.drained());
    tokio::select! {
        () = &mut draining => panic!("drained with a call in flight"),
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
    drop(lease);
    draining.await;
    old.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_taken_out_lets_its_calls_finish() {
    let (table, slot, figlet) = table_with("figlet");
    let replica = slot.add(endpoint(1), None);
    let lease = table.resolve(Call::new(&figlet)).await.unwrap();
    table.remove(&figlet).unwrap();
    assert!(table.get(&figlet).is_none());
    assert_eq!(replica.in_flight(), 1);
    // An owner that learns of it late cannot bring it back.
    let late = slot.add(endpoint(2), None);
    late.drained().await;
    drop(lease);
    replica.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_contention_every_call_gets_its_turn_and_no_limit_is_passed() {
    let mut config = TableConfig::default();
    config.queue_wait = Duration::from_secs(60);
    let table = Table::new(config);
    let figlet = function("figlet");
    let slot = table.insert(figlet.clone());
    let replicas = [
        slot.add(endpoint(1), at_most(2)),
        slot.add(endpoint(2), at_most(1)),
    ];
    let done = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (table, figlet, done) = (table.clone(), figlet.clone(), Arc::clone(&done));
            let replicas = replicas.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    let lease = table.resolve(Call::new(&figlet)).await.unwrap();
                    assert!(replicas[0].in_flight() <= 2 && replicas[1].in_flight() <= 1);
                    tokio::task::yield_now().await;
                    drop(lease);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(done.load(Ordering::Relaxed), 200 * 50);
    assert_eq!((slot.waiting(), slot.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_replica_gets_no_calls_and_comes_back_with_those_it_has() {
    let (table, slot, f) = table_with("f");
    let (one, two) = (
        slot.add(endpoint(1), at_most(1)),
        slot.add(endpoint(2), None),
    );
    let held: Vec<_> = (0..20)
        .map(|_| at_once(&table, Call::new(&f)).unwrap().unwrap())
        .collect();
    assert_eq!(one.in_flight(), 1);
    slot.suspend(&one);
    for _ in 0..20 {
        let lease = at_once(&table, Call::new(&f)).unwrap().unwrap();
        assert_eq!(port_of(&lease), 2);
    }
    // It still has its call, and its limit.
    slot.resume(&one);
    slot.resume(&one);
    assert_eq!(slot.replicas().len(), 2);
    slot.suspend(&two);
    assert!(at_once(&table, Call::new(&f)).is_none());
    drop(held);
    assert_eq!(
        port_of(&at_once(&table, Call::new(&f)).unwrap().unwrap()),
        1
    );

    slot.remove(&one);
    slot.resume(&one);
    assert!(slot.replicas().is_empty());
    one.drained().await;
}
