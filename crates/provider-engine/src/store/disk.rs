//! Desired state on disk, in one redb database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `schema`, `generation` | number |
//! | `functions` | (namespace, name) | JSON, see `record.rs` |
//! | `secrets` | (namespace, name) | the secret's bytes |
//! | `namespaces` | name | JSON of the namespace's labels and annotations |
//!
//! A store is looked through as an image in memory before anything is done to it: all checksums,
//! the schema, every record. What is damaged or newer is refused as it was found. A new store, and
//! one in the place of one that cannot be trusted any more, is written beside and takes the place
//! by being renamed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use provider_types::wire::FunctionNamespace;
use provider_types::{FunctionRef, Namespace, ProviderError, SecretName};
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition, WriteTransaction,
};

use super::desired::{Changes, Desired};
use super::medium::{Medium, Watched, image};
use super::migrate::{self, SCHEMA};
use super::record::{FunctionRecord, RecordError};

type NamedKey = (&'static str, &'static str);

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const FUNCTIONS: TableDefinition<'_, NamedKey, &[u8]> =
    TableDefinition::new("functions");
const SECRETS: TableDefinition<'_, NamedKey, &[u8]> = TableDefinition::new("secrets");
const NAMESPACES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("namespaces");

pub(super) const SCHEMA_KEY: &str = "schema";
const GENERATION_KEY: &str = "generation";

/// Reads come from memory: writing needs a few pages only.
const CACHE_BYTES: usize = 1024 * 1024;

/// The disk under a store.
pub(crate) struct Disk {
    medium: Arc<dyn Medium>,
    /// `None` after a failure, until a write finds the disk usable again.
    database: Option<Database>,
    /// What a sync of this store's file was to write may be lost.
    sync_failed: Arc<AtomicBool>,
    /// Another process has the store.
    released: bool,
}

/// Why a store is not opened.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It was written by a newer version.
    Newer(u64),
    /// It is not what was written; its bytes, and why.
    Damaged(Vec<u8>, Fault),
    /// It cannot be read, or not be made.
    Unreachable(Fault),
}

/// What goes wrong with a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Database(redb::Error),
    #[error("the record of {whose} is broken")]
    Record { whose: String, source: RecordError },
    #[error("a name in it is broken")]
    Name(#[source] ProviderError),
    #[error("it is empty")]
    Empty,
    #[error("it is no state of a provider")]
    Foreign,
    #[error("another version of the provider has the state")]
    Released,
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl Fault {
    pub(super) fn record(whose: impl ToString, source: impl Into<RecordError>) -> Self {
        Self::Record {
            whose: whose.to_string(),
            source: source.into(),
        }
    }

    fn name(error: impl Into<ProviderError>) -> Self {
        Self::Name(error.into())
    }

    /// The operating system's reason, where there is one.
    pub(crate) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Database(redb::Error::Io(error)) => Some(error),
            _ => None,
        }
    }
}

// === impl Disk ===

impl Disk {
    /// Opens the store, or makes one where there is none. One that can be read and, for now, not
    /// written is opened too.
    pub(crate) fn open(medium: Arc<dyn Medium>) -> Result<(Self, Desired), Unusable> {
        let unreachable = |error: io::Error| Unusable::Unreachable(error.into());
        let bytes = medium.read().map_err(unreachable)?;
        let mut disk = Self::new(medium);
        let Some(bytes) = bytes else {
            let nothing = Desired::default();
            disk.create(&nothing).map_err(Unusable::Unreachable)?;
            return Ok((disk, nothing));
        };
        let desired = look_through(bytes)?;
        if let Err(fault) = disk.open_in_place(&desired) {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "the state can be read but not be written: changes fail until that is mended"
            );
        }
        Ok((disk, desired))
    }

    /// Makes a store that holds this, in the place of one that may be there.
    pub(crate) fn make(medium: Arc<dyn Medium>, desired: &Desired) -> Result<(), Fault> {
        Self::new(medium).create(desired)
    }

    fn new(medium: Arc<dyn Medium>) -> Self {
        Self {
            medium,
            database: None,
            sync_failed: Arc::default(),
            released: false,
        }
    }

    /// Writes changes of `before` down, all or none. They are there for good when this returns.
    pub(crate) fn write(&mut self, before: &Desired, changes: &Changes) -> Result<(), Fault> {
        if self.released {
            return Err(Fault::Released);
        }
        let written = match &self.database {
            Some(database) => commit(database, changes),
            None => self.open_again(before).and_then(|()| match &self.database {
                Some(database) => commit(database, changes),
                None => Err(io::Error::from(io::ErrorKind::NotFound).into()),
            }),
        };
        if written.is_err() {
            // After a failure it is not known what is on disk, and the database does no more.
            self.database = None;
        }
        written
    }

    /// Closes the store, so that another process can open it. Nothing is written until
    /// [`Disk::resume`].
    pub(crate) fn release(&mut self) {
        self.released = true;
        self.database = None;
    }

    /// Has the store again, with what it is known to hold and nothing that another process wrote.
    pub(crate) fn resume(&mut self, desired: &Desired) -> Result<(), Fault> {
        self.released = false;
        self.create(desired)
    }

    /// Opens the store after a failure, and brings it to what it is known to hold.
    fn open_again(&mut self, desired: &Desired) -> Result<(), Fault> {
        // What a failed sync was to write may be lost although it can still be read.
        if self.sync_failed.load(Ordering::Relaxed) {
            return self.create(desired);
        }
        self.open_in_place(desired)
            .or_else(|fault| self.create(desired).map_err(|_| fault))
    }

    fn open_in_place(&mut self, desired: &Desired) -> Result<(), Fault> {
        let backend = watched(self.medium.open()?, &self.sync_failed);
        let database = builder().create_with_backend(backend)?;
        if let Some(older) = migrate::older(&database)? {
            // The version before can be gone back to.
            let bytes = self.medium.read()?.unwrap_or_default();
            self.medium.keep(&bytes, &format!(".schema-{older}"))?;
            migrate::migrate(&database)?;
        }
        let changes = desired.since(&load(&database)?);
        if !changes.is_empty() {
            commit(&database, &changes)?;
        }
        self.database = Some(database);
        Ok(())
    }

    /// Writes a new store and puts it in the place of the one that is there.
    fn create(&mut self, desired: &Desired) -> Result<(), Fault> {
        // What was lost of the store that is there stays lost until this one has its place.
        let sync_failed = Arc::default();
        let backend = watched(self.medium.create()?, &sync_failed);
        let database = builder().create_with_backend(backend)?;
        migrate::mark(&database)?;
        commit(&database, &desired.since(&Desired::default()))?;
        self.medium.replace()?;
        self.sync_failed = sync_failed;
        if let Err(error) = self.medium.sync_names() {
            // A loss of power may still bring the old one back, so nothing is written to this one.
            self.sync_failed.store(true, Ordering::Relaxed);
            return Err(error.into());
        }
        self.database = Some(database);
        Ok(())
    }
}

fn watched(inner: Box<dyn StorageBackend>, sync_failed: &Arc<AtomicBool>) -> Watched {
    let sync_failed = Arc::clone(sync_failed);
    Watched { inner, sync_failed }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Reads a whole store, believing nothing of it.
pub(crate) fn look_through(bytes: Vec<u8>) -> Result<Desired, Unusable> {
    let read = || {
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        let database = builder()
            .set_check_integrity_on_open(true)
            .create_with_backend(image(&bytes)?)?;
        match migrate::schema(&database)? {
            Some(newer) if newer > SCHEMA => return Ok(Err(newer)),
            _ => migrate::migrate(&database)?,
        }
        load(&database).map(Ok)
    };
    match read() {
        Ok(Ok(desired)) => Ok(desired),
        Ok(Err(newer)) => Err(Unusable::Newer(newer)),
        Err(fault) => Err(Unusable::Damaged(bytes, fault)),
    }
}

/// Reads all of a store of the present schema.
fn load(database: &Database) -> Result<Desired, Fault> {
    let txn = database.begin_read()?;
    let mut desired = Desired::default();
    if let Some(generation) = txn.open_table(META)?.get(GENERATION_KEY)? {
        desired.generation = generation.value();
    }
    for entry in txn.open_table(FUNCTIONS)?.iter()? {
        let (key, value) = entry?;
        let (namespace, name) = key.value();
        let record = FunctionRecord::from_bytes(value.value())
            .map_err(|error| Fault::record(format!("function {name}.{namespace}"), error))?;
        let function = record.spec.function.clone();
        if named(&function) != key.value() {
            let other = RecordError::OtherName(function.to_string());
            return Err(Fault::record(format!("function {name}.{namespace}"), other));
        }
        desired.functions.insert(function, Arc::new(record));
    }
    for entry in txn.open_table(SECRETS)?.iter()? {
        let (key, value) = entry?;
        let (namespace, name) = key.value();
        let namespace = Namespace::new(namespace).map_err(Fault::name)?;
        let name = SecretName::new(name).map_err(Fault::name)?;
        desired
            .secrets
            .insert((namespace, name), value.value().into());
    }
    for entry in txn.open_table(NAMESPACES)?.iter()? {
        let (key, value) = entry?;
        let namespace: FunctionNamespace = serde_json::from_slice(value.value())
            .map_err(|error| Fault::record(format!("namespace {}", key.value()), error))?;
        let name = Namespace::new(key.value()).map_err(Fault::name)?;
        desired.namespaces.insert(name, namespace);
    }
    Ok(desired)
}

/// Makes all tables, so that reading need not ask whether they are there.
pub(super) fn lay_out(txn: &WriteTransaction) -> Result<(), Fault> {
    txn.open_table(FUNCTIONS)?;
    txn.open_table(SECRETS)?;
    txn.open_table(NAMESPACES)?;
    Ok(())
}

/// One transaction, on disk when this returns.
fn commit(database: &Database, changes: &Changes) -> Result<(), Fault> {
    let txn = begin(database)?;
    {
        if let Some(generation) = changes.generation {
            txn.open_table(META)?.insert(GENERATION_KEY, generation)?;
        }
        let mut functions = txn.open_table(FUNCTIONS)?;
        for (function, change) in &changes.functions {
            match change {
                Some(record) => {
                    let bytes = record
                        .to_bytes()
                        .map_err(|error| Fault::record(format!("function {function}"), error))?;
                    functions.insert(named(function), bytes.as_slice())?;
                }
                None => drop(functions.remove(named(function))?),
            }
        }
        let mut secrets = txn.open_table(SECRETS)?;
        for ((namespace, name), change) in &changes.secrets {
            let key = (namespace.as_str(), name.as_str());
            match change {
                Some(value) => drop(secrets.insert(key, &**value)?),
                None => drop(secrets.remove(key)?),
            }
        }
        let mut namespaces = txn.open_table(NAMESPACES)?;
        for (name, change) in &changes.namespaces {
            match change {
                Some(namespace) => {
                    let bytes = serde_json::to_vec(namespace)
                        .map_err(|error| Fault::record(format!("namespace {name}"), error))?;
                    namespaces.insert(name.as_str(), bytes.as_slice())?;
                }
                None => drop(namespaces.remove(name.as_str())?),
            }
        }
    }
    txn.commit()?;
    Ok(())
}

/// A transaction that is synced before it counts, and once more when it does: what is damaged later
/// is then never taken for a write that was cut off, and undone.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(true);
    Ok(txn)
}

fn named(function: &FunctionRef) -> (&str, &str) {
    (function.namespace.as_str(), function.name.as_str())
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// A closed store with another schema, or another function, written into it.
#[cfg(test)]
pub(super) fn altered(
    bytes: &[u8],
    alter: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    let database = Database::open(&path).unwrap();
    let txn = begin(&database).unwrap();
    alter(&txn).unwrap();
    txn.commit().unwrap();
    drop(database);
    std::fs::read(path).unwrap()
}
