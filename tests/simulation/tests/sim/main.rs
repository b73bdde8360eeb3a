//! A deterministic simulation of route and engine: see CONTRIBUTING.md.
//!
//! A seed decides everything: what operators and callers do, what the runtime makes of it, when the
//! disk is full and when the provider is killed. Each seed runs twice, and both runs must be the
//! same event for event.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may"
)]

/// Operators, callers and observers.
mod clients;
/// The disk of the simulated host.
mod disk;
/// Whether what is seen can be explained by what was asked for.
mod history;
/// The lives of a provider, one after the other.
mod life;
/// Functions, secrets and namespaces as an observer sees them.
mod models;
/// The simulated runtime.
mod runtime;
/// What outlives a provider.
mod world;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use world::Outcome;

/// How many seeds run that are the same every time, and how many that never ran before.
const KNOWN: u64 = 1_500;
const FRESH: u64 = 500;

thread_local! {
    /// What panicked last on this thread. Tasks catch panics; here none is forgotten.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: give a number")),
    )
}

/// Runs a seed twice; what was wrong, if anything was.
fn check(seed: u64, print: bool) -> Result<u64, String> {
    let run = |print| {
        PANICKED.take();
        let run = std::panic::catch_unwind(|| life::run(seed, print));
        let panicked = PANICKED.take();
        run.map_err(|_| panicked.clone().unwrap_or_default())
            .map(|outcome| (outcome, panicked))
    };
    let failure = |what: &str, tail: &[String]| {
        let mut text = format!("seed {seed} failed: {what}\n\nthe last events:\n");
        for line in tail {
            let _ = writeln!(text, "{line}");
        }
        let _ = write!(
            text,
            "\nreplay it, with all its events:\n  SIM_SEED={seed} cargo test -p simulation -- --nocapture\n\
             run more seeds:\n  SIM_SEEDS=100000 cargo test -p simulation"
        );
        text
    };
    let (first, panicked): (Outcome, _) = run(print).map_err(|what| failure(&what, &[]))?;
    if let Some(what) = first.broken.clone().or(panicked) {
        return Err(failure(&what, &first.tail));
    }
    let (second, _) = run(false).map_err(|what| failure(&what, &[]))?;
    if first.hash != second.hash {
        let what = format!(
            "two runs differ: {} events with hash {:x}, and {} with {:x}",
            first.events, first.hash, second.events, second.hash
        );
        return Err(failure(&what, &second.tail));
    }
    Ok(first.events)
}

#[test]
fn every_invariant_holds_for_every_seed() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        let said = std::thread::current().name() != Some("seeds");
        PANICKED.set(Some(text.clone()));
        if said {
            eprintln!("{text}");
        }
    }));
    if let Some(seed) = variable("SIM_SEED") {
        if let Err(failure) = check(seed, true) {
            panic!("{failure}");
        }
        return;
    }
    let seeds: Vec<u64> = match variable("SIM_SEEDS") {
        Some(count) => {
            let start = variable("SIM_START").unwrap_or(0);
            (start..start.saturating_add(count)).collect()
        }
        None => {
            let start = fastrand::u64(1_000_000_000..u64::MAX / 2);
            // Straight to the stream, so that it is seen when all goes well too.
            let _ = writeln!(
                std::io::stderr(),
                "simulation: seeds 0 to {KNOWN}, and {FRESH} from {start}"
            );
            (0..KNOWN).chain(start..start + FRESH).collect()
        }
    };
    let begun = std::time::Instant::now();
    let (next, events) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let work = || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match check(*seed, false) {
                        Ok(seen) => {
                            events.fetch_add(seen, Ordering::Relaxed);
                        }
                        Err(failure) => failures.lock().unwrap().push((*seed, failure)),
                    }
                    if failures.lock().unwrap().len() >= 10 {
                        return;
                    }
                }
            };
            std::thread::Builder::new()
                .name("seeds".to_owned())
                .spawn_scoped(scope, work)
                .unwrap();
        }
    });
    let failures = failures.into_inner().unwrap();
    let _ = writeln!(
        std::io::stderr(),
        "simulation: {} seeds twice, {} events a time, {:.1?}",
        seeds.len(),
        events.into_inner(),
        begun.elapsed()
    );
    if let Some((_, failure)) = failures.first() {
        let all: Vec<u64> = failures.iter().map(|(seed, _)| *seed).collect();
        panic!("these seeds failed: {all:?}; the first:\n{failure}");
    }
}
