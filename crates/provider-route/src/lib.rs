//! Where calls of functions go: a function table, the choice of a replica, limits and a queue.
//!
//! A [`Table`] maps each function to a [`Slot`]; a slot holds the function's replicas. Whoever runs
//! the replicas adds them when they answer and removes them before they are stopped; whoever sends
//! calls asks the table, which is a [`Resolver`](provider_types::Resolver). The crate knows
//! `provider-types` only: neither HTTP nor what a replica is.
//!
//! * Looking a function up takes no lock, and a ready function resolves without suspending.
//! * A replica is one atomic word, {draining, in flight}. Taking a lease is a compare-and-add that
//!   fails on draining or at the limit; then another replica is looked for. Of two replicas picked
//!   at random the one with fewer calls takes the call.
//! * Calls that find no replica wait first come, first served; a lease given back on any thread
//!   wakes the first of them on any thread.
//! * [`Slot::remove`] stops new calls, [`Replica::drained`] waits for those in flight.
//! * An [`Activator`] is a table whose calls wake functions that are scaled to zero, over any
//!   [`Scaler`](provider_types::Scaler).
//! * [`Idler`] says when a function has had no call for long enough, [`Autoscaler`] how many replicas
//!   its calls need, [`ScaleLabels`] what its labels ask for. They take times and numbers, not a
//!   table, so they serve any back-end.
//!
//! Time is tokio's, so a test with paused time controls it; the seed of the random choice is
//! [`TableConfig::seed`]. Nothing is global: every table has its own functions and settings.
//!
//! ```
//! use provider_route::{Table, TableConfig};
//! use provider_types::{Call, Endpoint, FunctionRef, Lease, Namespace, Resolver};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let table = Table::new(TableConfig::default());
//! let figlet = FunctionRef::parse_dotted("figlet", &Namespace::default())?;
//!
//! let slot = table.insert(figlet.clone());
//! let replica = slot.add(Endpoint::tcp("127.0.0.1:4000".parse()?), None);
//!
//! let lease = table.resolve(Call::new(&figlet)).await?;
//! assert_eq!(lease.endpoint(), replica.endpoint());
//! assert_eq!(replica.in_flight(), 1);
//!
//! slot.remove(&replica); // no further call goes there
//! drop(lease); // the last call has ended
//! replica.drained().await; // so the replica may be stopped
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Builds with Rust 1.85.

mod activator;
mod autoscaler;
mod choice;
mod config;
mod dice;
mod idler;
mod queue;
mod replica;
mod scale_labels;
mod slot;
mod sync;
mod table;
mod wait;
mod word;

pub use activator::Activator;
pub use autoscaler::{Autoscaler, Capacity};
pub use config::TableConfig;
pub use idler::{Idle, Idler};
pub use replica::{Replica, ReplicaLease};
pub use scale_labels::ScaleLabels;
pub use slot::{Absence, Slot};
pub use table::Table;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
