//! The word, the slot and the queue, model-checked: loom runs each test in every order in which its
//! threads can run, up to three switches that no thread asked for, and with every value that a
//! relaxed read may see.
//!
//! The modules below are those of the crate, compiled over loom's atomics and locks in place of the
//! standard library's (`sync`).

#![expect(
    dead_code,
    unreachable_pub,
    reason = "the crate's modules, of which models use a part"
)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of test functions may panic too"
)]

#[path = "../../src/activator.rs"]
mod activator;
#[path = "../../src/choice.rs"]
mod choice;
#[path = "../../src/config.rs"]
mod config;
#[path = "../../src/dice.rs"]
mod dice;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/replica.rs"]
mod replica;
#[path = "../../src/slot.rs"]
mod slot;
#[path = "../../src/table.rs"]
mod table;
#[path = "../../src/wait.rs"]
mod wait;
#[path = "../../src/word.rs"]
mod word;

/// What `src/sync.rs` is made of here.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// The pointer that is swapped. Its own crate checks how; here it counts that what is loaded was
    /// stored before.
    #[derive(Default)]
    pub(crate) struct ArcSwap<T>(Mutex<std::sync::Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn load(&self) -> std::sync::Arc<T> {
            std::sync::Arc::clone(&self.0.lock().unwrap())
        }

        pub(crate) fn store(&self, new: std::sync::Arc<T>) {
            let old = std::mem::replace(&mut *self.0.lock().unwrap(), new);
            drop(old);
        }
    }
}

mod slots;
mod words;

/// Runs a model in every order, up to three switches that no thread asked for.
fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}
