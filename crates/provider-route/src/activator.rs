//! Calls that wake what is asleep.

use std::fmt;
use std::sync::Arc;

use provider_types::{Call, ErrorKind, ProviderError, ResolveError, Resolver, Scaler};

use super::replica::ReplicaLease;
use super::slot::SlotInner;
use super::table::Table;

/// A [`Table`] whose functions are woken by calls.
///
/// A call for a function that is [scaled to zero](crate::Absence::ScaledToZero) waits, and the
/// first of them asks the [`Scaler`] for replicas, once. Further calls wait with it, at most
/// [`TableConfig::queue_len`](crate::TableConfig::queue_len), no longer than their deadline. A call
/// that leaves takes nothing away from the others. The phases of each call's wait are in its lease.
///
/// Works over any back-end: one that watches replicas elsewhere adds those that it sees to the
/// table and implements [`Scaler`] by writing the wanted count there.
///
/// ```
/// use async_trait::async_trait;
/// use provider_route::{Absence, Activator, Table, TableConfig};
/// use provider_types::{
///     Call, Endpoint, FunctionRef, Lease, Namespace, ProviderError, Resolver, Scaler,
/// };
///
/// /// A back-end whose functions start at once.
/// struct Backend(Table);
///
/// #[async_trait]
/// impl Scaler for Backend {
///     async fn wake(&self, function: &FunctionRef) -> Result<(), ProviderError> {
///         self.scale(function, 1).await
///     }
///
///     async fn scale(&self, function: &FunctionRef, replicas: u64) -> Result<(), ProviderError> {
///         let gone = || ProviderError::not_found(format!("function: {function} not found"));
///         let slot = self.0.get(function).ok_or_else(gone)?;
///         for _ in 0..replicas {
///             slot.add(Endpoint::unix("/run/figlet.sock"), None);
///         }
///         Ok(())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let table = Table::new(TableConfig::default());
/// let figlet = FunctionRef::parse_dotted("figlet", &Namespace::default())?;
/// table.insert(figlet.clone()).set_absence(Absence::ScaledToZero);
///
/// // Give this to a server as its resolver.
/// let activator = Activator::new(table.clone(), Backend(table));
/// let lease = activator.resolve(Call::new(&figlet)).await?;
/// assert_eq!(*lease.endpoint(), Endpoint::unix("/run/figlet.sock"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Activator {
    table: Table,
    scaler: Arc<dyn Scaler>,
}

impl Activator {
    /// Wakes the functions of that table by that scaler.
    pub fn new(table: Table, scaler: impl Scaler) -> Self {
        Self {
            table,
            scaler: Arc::new(scaler),
        }
    }

    /// The functions.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }
}

impl Resolver for Activator {
    type Lease = ReplicaLease;

    /// Finds a replica; must run on a tokio runtime with time enabled. The wish to wake a function
    /// runs there in a task of its own.
    async fn resolve(&self, call: Call<'_>) -> Result<ReplicaLease, ResolveError> {
        match self.table.look(&call)? {
            Ok(lease) => Ok(lease),
            Err(slot) => slot.wait(call, Some(&self.scaler)).await,
        }
    }
}

impl fmt::Debug for Activator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activator")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Asks for replicas in a task of its own: the call that asks may leave while others wait.
pub(crate) fn wake(slot: Arc<SlotInner>, scaler: Arc<dyn Scaler>) {
    let mut wish = Wish { slot, ended: false };
    tokio::spawn(async move {
        let answer = scaler.wake(&wish.slot.function).await;
        wish.end(answer);
    });
}

/// A wish to wake a function, which must not stay open for ever.
struct Wish {
    slot: Arc<SlotInner>,
    ended: bool,
}

impl Wish {
    fn end(&mut self, answer: Result<(), ProviderError>) {
        self.ended = true;
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::NotFound => ResolveError::NotFound,
            _ => self.slot.not_ready(error.message(), error.retry_after()),
        });
        self.slot.woken(answer);
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        if !self.ended {
            // The scaler panicked, or the runtime that this ran on ends.
            self.end(Err(ProviderError::internal("it could not be woken")));
        }
    }
}
