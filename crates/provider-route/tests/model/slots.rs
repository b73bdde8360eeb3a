//! A slot: leases, calls that wait, replicas that come and go.

use std::num::NonZeroUsize;
use std::sync::Arc;

use loom::thread;
use provider_types::{Call, Endpoint, FunctionRef, Namespace, ResolveError};

use crate::config::TableConfig;
use crate::model;
use crate::queue::{Answer, Refused};
use crate::replica::{Replica, ReplicaLease};
use crate::slot::{Absence, Slot, SlotInner};
use crate::wait::Place;

fn function() -> FunctionRef {
    FunctionRef::parse_dotted("f", &Namespace::default()).unwrap()
}

fn slot() -> Slot {
    Slot(Arc::new(SlotInner::new(
        function(),
        Arc::new(TableConfig::default()),
    )))
}

fn add(slot: &Slot, port: u16) -> Replica {
    let endpoint = Endpoint::tcp(([127, 0, 0, 1], port).into());
    slot.add(endpoint, NonZeroUsize::new(1))
}

/// What a call does up to where it would sleep.
enum Asked {
    Served(ReplicaLease),
    Waits(Place),
}

fn ask(slot: &Slot, can_wake: bool) -> Asked {
    if let Some(lease) = slot.0.try_lease(None) {
        return Asked::Served(lease);
    }
    let place = slot.0.join(&Call::new(&function()), can_wake).unwrap();
    slot.0.serve_waiting();
    Asked::Waits(place)
}

/// What a call that sleeps was told by now.
fn told(asked: &mut Asked) -> Option<Answer> {
    match asked {
        Asked::Served(_) => None,
        Asked::Waits(place) => place.answer.try_recv().ok(),
    }
}

#[test]
fn a_lease_given_back_wakes_who_waits() {
    model(|| {
        let slot = slot();
        let replica = add(&slot, 1);
        let held = slot.0.try_lease(None).unwrap();
        let caller = {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, false))
        };
        drop(held);
        let mut asked = caller.join().unwrap();
        match told(&mut asked) {
            None => assert!(matches!(asked, Asked::Served(_)), "it sleeps for ever"),
            Some(answer) => drop(answer.unwrap()),
        }
        drop(asked);
        assert_eq!((replica.in_flight(), slot.waiting()), (0, 0));
    });
}

#[test]
fn two_that_wait_are_served_one_after_the_other() {
    model(|| {
        let slot = slot();
        let replica = add(&slot, 1);
        let held = slot.0.try_lease(None).unwrap();
        let mut first = ask(&slot, false);
        let second = {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, false))
        };
        drop(held);
        let lease = told(&mut first)
            .expect("the first sleeps for ever")
            .unwrap();
        assert_eq!(replica.in_flight(), 1, "above the limit");
        drop(lease);
        let mut second = second.join().unwrap();
        if matches!(second, Asked::Waits(_)) {
            let lease = told(&mut second).expect("the second sleeps for ever");
            drop(lease.unwrap());
        }
        drop((first, second));
        assert_eq!((replica.in_flight(), slot.waiting()), (0, 0));
    });
}

#[test]
fn a_call_that_gives_up_as_it_is_answered_passes_its_lease_on() {
    model(|| {
        let slot = slot();
        let replica = add(&slot, 1);
        let held = slot.0.try_lease(None).unwrap();
        let first = ask(&slot, false);
        let mut second = ask(&slot, false);
        let impatient = thread::spawn(move || drop(first));
        drop(held);
        impatient.join().unwrap();
        let lease = told(&mut second).expect("the second sleeps for ever");
        drop(lease.unwrap());
        drop(second);
        assert_eq!((replica.in_flight(), slot.waiting()), (0, 0));
    });
}

#[test]
fn a_replica_that_comes_serves_who_waits() {
    model(|| {
        let slot = slot();
        let caller = {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, false))
        };
        let replica = add(&slot, 1);
        let mut asked = caller.join().unwrap();
        if matches!(asked, Asked::Waits(_)) {
            told(&mut asked).expect("it sleeps for ever").unwrap();
        }
        drop(asked);
        assert_eq!((replica.in_flight(), slot.waiting()), (0, 0));
    });
}

#[test]
fn no_call_is_on_a_removed_replica_once_it_is_drained_and_the_next_one_serves() {
    model(|| {
        let slot = slot();
        let old = add(&slot, 1);
        let caller = {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, false))
        };
        let new = add(&slot, 2);
        slot.remove(&old);
        let drained = old.0.is_drained();
        let mut asked = caller.join().unwrap();
        if let Some(answer) = told(&mut asked) {
            asked = Asked::Served(answer.unwrap());
        }
        let Asked::Served(lease) = asked else {
            panic!("it sleeps for ever");
        };
        if drained {
            assert_eq!((old.in_flight(), new.in_flight()), (0, 1));
        }
        drop(lease);
        assert!(old.0.is_drained());
        assert_eq!(new.in_flight(), 0);
    });
}

#[test]
fn calls_for_a_sleeping_function_wake_it_once_or_are_told_that_it_sleeps() {
    model(|| {
        let slot = slot();
        slot.set_absence(Absence::ScaledToZero);
        let caller = || {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, true))
        };
        let calls = [caller(), caller()].map(|caller| caller.join().unwrap());
        let wakes = calls
            .iter()
            .filter(|asked| matches!(asked, Asked::Waits(place) if place.wakes))
            .count();
        assert_eq!(wakes, 1);
        for mut asked in calls {
            assert!(told(&mut asked).is_none(), "it waits for what was woken");
        }
    });
}

#[test]
fn a_call_caught_by_the_sleep_is_told_to_wake_or_served() {
    model(|| {
        let slot = slot();
        let replica = add(&slot, 1);
        let caller = {
            let slot = slot.clone();
            thread::spawn(move || ask(&slot, true))
        };
        slot.remove(&replica);
        slot.set_absence(Absence::ScaledToZero);
        let mut asked = caller.join().unwrap();
        match told(&mut asked) {
            Some(Err(Refused::Asleep) | Ok(_)) => {}
            Some(Err(Refused::Error(error))) => panic!("{error:?}"),
            None => match &asked {
                Asked::Served(_) => {}
                Asked::Waits(place) => assert!(place.wakes, "it sleeps for ever"),
            },
        }
    });
}

#[test]
fn a_wish_that_fails_leaves_nobody_waiting() {
    model(|| {
        let slot = slot();
        slot.set_absence(Absence::ScaledToZero);
        let mut first = ask(&slot, true);
        let waker = {
            let slot = slot.clone();
            thread::spawn(move || slot.0.woken(Err(ResolveError::not_ready())))
        };
        let mut second = ask(&slot, true);
        waker.join().unwrap();
        assert!(told(&mut first).expect("it sleeps for ever").is_err());
        let wakes_again = matches!(&second, Asked::Waits(place) if place.wakes);
        assert!(told(&mut second).is_some() != wakes_again);
    });
}
