//! One replica's word.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::model;
use crate::word::{NO_LIMIT, Word};

#[test]
fn the_limit_is_never_passed_and_what_leaves_makes_room() {
    model(|| {
        let word = Arc::new(Word::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let visit = |word: &Word, inside: &AtomicUsize| {
            let entered = word.try_enter(1);
            if entered {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
                inside.fetch_sub(1, Ordering::SeqCst);
                assert!(!word.leave());
            }
            entered
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (word, inside) = (Arc::clone(&word), Arc::clone(&inside));
                thread::spawn(move || visit(&word, &inside))
            })
            .collect();
        let mut entered = usize::from(visit(&word, &inside));
        for other in others {
            entered += usize::from(other.join().unwrap());
        }
        assert!(entered >= 1, "somebody must have got in");
        assert_eq!(word.in_flight(), 0);
        assert!(word.try_enter(1));
    });
}

#[test]
fn nobody_enters_after_the_drain_and_the_end_is_told_once_or_seen_by_who_drains() {
    model(|| {
        let word = Arc::new(Word::default());
        assert!(word.try_enter(NO_LIMIT));
        let first = {
            let word = Arc::clone(&word);
            thread::spawn(move || word.leave())
        };
        let second = {
            let word = Arc::clone(&word);
            thread::spawn(move || word.try_enter(NO_LIMIT).then(|| word.leave()))
        };
        word.drain();
        let seen = word.is_drained();
        assert!(!word.try_enter(NO_LIMIT));
        let told =
            usize::from(first.join().unwrap()) + usize::from(second.join().unwrap() == Some(true));
        assert!(told <= 1, "told twice");
        assert!(told == 1 || seen, "nobody was told, and nobody saw it");
        assert!(word.is_drained());
        assert!(!word.try_enter(NO_LIMIT));
    });
}

#[test]
fn every_call_is_seen_by_who_looks_for_use() {
    model(|| {
        let word = Arc::new(Word::default());
        // One came before, so that there is something to forget.
        assert!(word.try_enter(NO_LIMIT));
        word.leave();
        let caller = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                assert!(word.try_enter(NO_LIMIT));
                word
            })
        };
        assert!(word.take_used());
        let word = caller.join().unwrap();
        assert_eq!(word.in_flight(), 1, "a call is not counted");
        assert!(word.take_used(), "a call in flight is not seen");
        word.leave();
        assert!(!word.take_used());
    });
}

#[test]
fn a_call_that_comes_and_goes_between_two_looks_is_seen() {
    model(|| {
        let word = Arc::new(Word::default());
        let caller = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                assert!(word.try_enter(NO_LIMIT));
                word.leave();
            })
        };
        let during = word.take_used();
        caller.join().unwrap();
        let after = word.take_used();
        assert!(during || after, "a call came and went unseen");
    });
}
