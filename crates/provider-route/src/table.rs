//! The function table: which functions there are, and where their calls go.

use std::fmt;
use std::sync::Arc;

use papaya::{HashMap, ResizeMode};
use provider_types::{Call, FunctionRef, ResolveError, Resolver};
use rustc_hash::FxBuildHasher;

use crate::config::TableConfig;
use crate::replica::ReplicaLease;
use crate::slot::{Slot, SlotInner};

/// All functions and their replicas. Cheap to clone; all clones are the same table.
#[derive(Clone)]
pub struct Table(Arc<TableInner>);

struct TableInner {
    /// Hashed without a secret: only who may deploy chooses what is in it.
    slots: HashMap<FunctionRef, Slot, FxBuildHasher>,
    config: Arc<TableConfig>,
}

impl Table {
    /// A table without functions.
    #[must_use]
    pub fn new(config: TableConfig) -> Self {
        Self(Arc::new(TableInner {
            slots: HashMap::builder()
                .hasher(FxBuildHasher)
                // A resize that goes on in steps would leave look-ups between two tables for as
                // long as nothing is deployed.
                .resize_mode(ResizeMode::Blocking)
                .build(),
            config: Arc::new(config),
        }))
    }

    /// Adds a function without replicas, whose calls wait: see [`Absence::Starting`]. Where the
    /// function is there already, its slot is given back as it is.
    ///
    /// [`Absence::Starting`]: crate::Absence::Starting
    pub fn insert(&self, function: FunctionRef) -> Slot {
        self.0
            .slots
            .pin()
            .get_or_insert_with(function.clone(), || {
                Slot(Arc::new(SlotInner::new(
                    function,
                    Arc::clone(&self.0.config),
                )))
            })
            .clone()
    }

    /// The slot of a function.
    #[must_use]
    pub fn get(&self, function: &FunctionRef) -> Option<Slot> {
        self.0.slots.pin().get(function).cloned()
    }

    /// Takes a function out: calls that wait are told that there is no such function, calls in
    /// flight go on. The replicas that it had drain.
    pub fn remove(&self, function: &FunctionRef) -> Option<Slot> {
        let slot = self.0.slots.pin().remove(function).cloned()?;
        slot.close();
        Some(slot)
    }

    /// A lease without waiting, or where to wait for one.
    pub(crate) fn look(
        &self,
        call: &Call<'_>,
    ) -> Result<Result<ReplicaLease, Arc<SlotInner>>, ResolveError> {
        let slots = self.0.slots.pin();
        let slot = slots.get(call.function).ok_or(ResolveError::NotFound)?;
        let lease = slot.0.try_lease(call.avoid);
        Ok(lease.ok_or_else(|| Arc::clone(&slot.0)))
    }
}

impl Resolver for Table {
    type Lease = ReplicaLease;

    /// Finds a replica; must run on a tokio runtime with time enabled, for it may wait.
    async fn resolve(&self, call: Call<'_>) -> Result<ReplicaLease, ResolveError> {
        match self.look(&call)? {
            Ok(lease) => Ok(lease),
            Err(slot) => slot.wait(call, None).await,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("functions", &self.0.slots.len())
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
