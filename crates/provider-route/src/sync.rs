//! What threads share state with, in one place: `tests/model.rs` compiles the same code over the
//! counterparts of loom, which tries every order in which threads may run.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use arc_swap::ArcSwap;
