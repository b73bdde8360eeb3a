//! Desired state on disk: functions, their scale, secrets and namespaces.
//!
//! One file, in one redb database. Every change is one transaction that is on disk before the call
//! returns, and what a function refers to is checked within it: a namespace or a secret cannot
//! vanish between the check and the write.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `schema`, `generation` | number |
//! | `functions` | (namespace, name) | JSON, see `record.rs` |
//! | `scale` | (namespace, name) | how many replicas are wanted |
//! | `secrets` | (namespace, name) | the secret's bytes |
//! | `namespaces` | name | JSON of the namespace's labels and annotations |
//!
//! Calls block on the disk: make them where blocking is fine.

mod record;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use provider_types::wire::FunctionNamespace;
use provider_types::{ErrorKind, FunctionRef, Namespace, ProviderError, SecretName};
use redb::backends::FileBackend;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

use self::record::RecordError;
pub(crate) use self::record::{FunctionRecord, PreviousRecord};
use crate::error::EngineError;
use crate::state_dir::private_file;

type NamedKey = (&'static str, &'static str);

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FUNCTIONS: TableDefinition<'_, NamedKey, &[u8]> = TableDefinition::new("functions");
const SCALE: TableDefinition<'_, NamedKey, u64> = TableDefinition::new("scale");
const SECRETS: TableDefinition<'_, NamedKey, &[u8]> = TableDefinition::new("secrets");
const NAMESPACES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("namespaces");

/// The layout that this version writes.
const SCHEMA: u64 = 1;
const SCHEMA_KEY: &str = "schema";
const GENERATION_KEY: &str = "generation";

/// Desired state is small and read from memory: a small cache keeps an idle provider small.
const CACHE_BYTES: usize = 1024 * 1024;

pub(crate) struct Store {
    database: Database,
    path: PathBuf,
    default_namespace: Namespace,
}

/// A function with what is kept beside it.
#[derive(Debug)]
pub(crate) struct StoredFunction {
    pub(crate) function: FunctionRecord,
    pub(crate) replicas: u64,
}

/// A failure of the store itself, or a refusal that goes to the caller as it is.
#[derive(Debug)]
enum Fault {
    Database(redb::Error),
    Record(BadRecord),
    Refused(ProviderError),
}

/// A record that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the record of {whose} is broken")]
struct BadRecord {
    whose: String,
    source: RecordError,
}

fn bad_record(whose: String, source: RecordError) -> Fault {
    Fault::Record(BadRecord { whose, source })
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl Fault {
    fn into_provider_error(self, doing: &'static str) -> ProviderError {
        match self {
            Self::Database(error) => ProviderError::internal(doing).with_cause(error),
            Self::Record(error) => ProviderError::internal(doing).with_cause(error),
            Self::Refused(error) => error,
        }
    }

    fn into_cause(self) -> Box<dyn std::error::Error + Send + Sync> {
        match self {
            Self::Database(error) => error.into(),
            Self::Record(error) => error.into(),
            Self::Refused(error) => error.into(),
        }
    }
}

fn refused<T>(kind: ErrorKind, message: String) -> Result<T, Fault> {
    Err(Fault::Refused(ProviderError::new(kind, message)))
}

fn key(function: &FunctionRef) -> (&str, &str) {
    (function.namespace.as_str(), function.name.as_str())
}

impl Store {
    /// Opens the store, creating it where it is missing.
    pub(crate) fn open(path: &Path, default_namespace: Namespace) -> Result<Self, EngineError> {
        let file = || Ok(FileBackend::new(private_file(path)?)?);
        Self::open_on(file, path, default_namespace)
    }

    /// Opens the store that a back-end of redb holds; `path` is what errors call it.
    pub(crate) fn open_on<B: StorageBackend>(
        backend: impl FnOnce() -> Result<B, Box<dyn std::error::Error + Send + Sync>>,
        path: &Path,
        default_namespace: Namespace,
    ) -> Result<Self, EngineError> {
        let unreadable = |cause| EngineError::Store {
            path: PathBuf::from(path),
            source: cause,
        };
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend().map_err(unreadable)?)
            .map_err(|error| unreadable(error.into()))?;
        let store = Self {
            database,
            path: path.to_owned(),
            default_namespace,
        };
        let found = store
            .schema()
            .map_err(|fault| unreadable(fault.into_cause()))?;
        match found {
            None => store
                .lay_out()
                .map_err(|fault| unreadable(fault.into_cause()))?,
            Some(SCHEMA) => {}
            Some(found) => {
                return Err(EngineError::Newer {
                    path: PathBuf::from(path),
                    found,
                    known: SCHEMA,
                });
            }
        }
        Ok(store)
    }

    /// The schema of the store; `None` in a new one.
    fn schema(&self) -> Result<Option<u64>, Fault> {
        let read = self.database.begin_read()?;
        match read.open_table(META) {
            Ok(meta) => Ok(meta.get(SCHEMA_KEY)?.map(|found| found.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes all tables, so that reading need not ask whether they are there.
    fn lay_out(&self) -> Result<(), Fault> {
        self.write(|txn| {
            txn.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
            txn.open_table(FUNCTIONS)?;
            txn.open_table(SCALE)?;
            txn.open_table(SECRETS)?;
            txn.open_table(NAMESPACES)?;
            Ok(())
        })
    }

    // --- functions ---

    /// All functions.
    pub(crate) fn functions(&self) -> Result<Vec<StoredFunction>, EngineError> {
        let read = || -> Result<Vec<StoredFunction>, Fault> {
            let txn = self.database.begin_read()?;
            let scale = txn.open_table(SCALE)?;
            let mut all = Vec::new();
            for entry in txn.open_table(FUNCTIONS)?.iter()? {
                let (key, value) = entry?;
                let function = read_function(key.value(), value.value())?;
                let replicas = scale.get(key.value())?.map_or(1, |count| count.value());
                all.push(StoredFunction { function, replicas });
            }
            Ok(all)
        };
        read().map_err(|fault| EngineError::Store {
            path: self.path.clone(),
            source: fault.into_cause(),
        })
    }

    /// Checks that all that a function refers to is there.
    pub(crate) fn check_references(
        &self,
        function: &FunctionRef,
        secrets: &[SecretName],
    ) -> Result<(), ProviderError> {
        let check = || -> Result<(), Fault> {
            let txn = self.database.begin_read()?;
            let namespaces = txn.open_table(NAMESPACES)?;
            self.check_namespace(&namespaces, &function.namespace)?;
            check_secrets(&txn.open_table(SECRETS)?, &function.namespace, secrets)
        };
        check().map_err(cannot_read)
    }

    /// Writes a function down, giving it a generation of its own.
    pub(crate) fn put_function(
        &self,
        mut record: FunctionRecord,
        replicas: u64,
    ) -> Result<u64, ProviderError> {
        self.write(|txn| {
            let function = record.spec.function.clone();
            self.check_namespace(&txn.open_table(NAMESPACES)?, &function.namespace)?;
            let secrets = txn.open_table(SECRETS)?;
            check_secrets(&secrets, &function.namespace, &record.spec.secrets)?;

            let mut meta = txn.open_table(META)?;
            let last = meta.get(GENERATION_KEY)?.map_or(0, |last| last.value());
            record.generation = last + 1;
            meta.insert(GENERATION_KEY, record.generation)?;

            insert_function(txn, &record, replicas)?;
            Ok(record.generation)
        })
        .map_err(cannot_write)
    }

    /// Ends an update: puts `record` in the place of the one of `generation`, with a count where
    /// that changes too. Nothing happens when another change came first.
    pub(crate) fn end_update(
        &self,
        generation: u64,
        record: &FunctionRecord,
        replicas: u64,
    ) -> Result<(), ProviderError> {
        self.write(|txn| {
            let present = {
                let functions = txn.open_table(FUNCTIONS)?;
                let found = functions.get(key(&record.spec.function))?;
                match found {
                    Some(bytes) => {
                        read_function(key(&record.spec.function), bytes.value())?.generation
                    }
                    None => return Ok(()),
                }
            };
            if present == generation {
                insert_function(txn, record, replicas)?;
            }
            Ok(())
        })
        .map_err(cannot_write)
    }

    /// Strikes a function out.
    pub(crate) fn remove_function(&self, function: &FunctionRef) -> Result<(), ProviderError> {
        self.write(|txn| {
            txn.open_table(FUNCTIONS)?.remove(key(function))?;
            txn.open_table(SCALE)?.remove(key(function))?;
            Ok(())
        })
        .map_err(cannot_write)
    }

    /// Writes down how many replicas a function is to have.
    pub(crate) fn set_scale(
        &self,
        function: &FunctionRef,
        replicas: u64,
    ) -> Result<(), ProviderError> {
        self.write(|txn| {
            txn.open_table(SCALE)?.insert(key(function), replicas)?;
            Ok(())
        })
        .map_err(cannot_write)
    }

    // --- secrets ---

    /// The names of a namespace's secrets, sorted.
    pub(crate) fn secret_names(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<SecretName>, ProviderError> {
        let read = || -> Result<Vec<SecretName>, Fault> {
            let txn = self.database.begin_read()?;
            self.check_namespace(&txn.open_table(NAMESPACES)?, namespace)?;
            let mut names = Vec::new();
            for entry in txn.open_table(SECRETS)?.range((namespace.as_str(), "")..)? {
                let (key, _) = entry?;
                let (within, name) = key.value();
                if within != namespace.as_str() {
                    break;
                }
                names.push(SecretName::new(name).map_err(|error| Fault::Refused(error.into()))?);
            }
            Ok(names)
        };
        read().map_err(cannot_read)
    }

    /// The present values of some secrets.
    pub(crate) fn secret_values(
        &self,
        namespace: &Namespace,
        names: &[SecretName],
    ) -> Result<Vec<(SecretName, Vec<u8>)>, ProviderError> {
        let read = || -> Result<Vec<(SecretName, Vec<u8>)>, Fault> {
            let txn = self.database.begin_read()?;
            let secrets = txn.open_table(SECRETS)?;
            let mut values = Vec::with_capacity(names.len());
            for name in names {
                match secrets.get((namespace.as_str(), name.as_str()))? {
                    Some(value) => values.push((name.clone(), value.value().to_vec())),
                    None => return no_secret(name),
                }
            }
            Ok(values)
        };
        read().map_err(cannot_read)
    }

    /// Writes a secret down that must not (`new`), or must, be there already.
    pub(crate) fn put_secret(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        value: &[u8],
        new: bool,
    ) -> Result<(), ProviderError> {
        self.write(|txn| {
            self.check_namespace(&txn.open_table(NAMESPACES)?, namespace)?;
            let mut secrets = txn.open_table(SECRETS)?;
            let there = secrets
                .insert((namespace.as_str(), name.as_str()), value)?
                .is_some();
            match (new, there) {
                (true, true) => refused(
                    ErrorKind::AlreadyExists,
                    format!("secret {name} already exists in namespace {namespace}"),
                ),
                (false, false) => absent_secret(namespace, name),
                _ => Ok(()),
            }
        })
        .map_err(cannot_write)
    }

    /// Strikes a secret out that no function uses.
    pub(crate) fn remove_secret(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<(), ProviderError> {
        self.write(|txn| {
            let mut users = Vec::new();
            for function in functions_of(txn, namespace)? {
                let mut specs = vec![&function.spec];
                specs.extend(function.previous.as_ref().map(|previous| &previous.spec));
                if specs.iter().any(|spec| spec.secrets.contains(name)) {
                    users.push(function.spec.function.to_string());
                }
            }
            if !users.is_empty() {
                return refused(
                    ErrorKind::Conflict,
                    format!(
                        "secret {name} is in use by {}: remove or update these functions first",
                        users.join(", ")
                    ),
                );
            }
            let mut secrets = txn.open_table(SECRETS)?;
            let there = secrets
                .remove((namespace.as_str(), name.as_str()))?
                .is_some();
            if there {
                Ok(())
            } else {
                absent_secret(namespace, name)
            }
        })
        .map_err(cannot_write)
    }

    // --- namespaces ---

    /// All namespaces, the default one first and the others sorted.
    pub(crate) fn namespaces(&self) -> Result<Vec<Namespace>, ProviderError> {
        let read = || -> Result<Vec<Namespace>, Fault> {
            let txn = self.database.begin_read()?;
            let mut all = vec![self.default_namespace.clone()];
            for entry in txn.open_table(NAMESPACES)?.iter()? {
                let (name, _) = entry?;
                let name =
                    Namespace::new(name.value()).map_err(|error| Fault::Refused(error.into()))?;
                if name != self.default_namespace {
                    all.push(name);
                }
            }
            Ok(all)
        };
        read().map_err(cannot_read)
    }

    /// One namespace with its labels and annotations.
    pub(crate) fn namespace(&self, name: &Namespace) -> Result<FunctionNamespace, ProviderError> {
        let read = || -> Result<FunctionNamespace, Fault> {
            let txn = self.database.begin_read()?;
            let namespaces = txn.open_table(NAMESPACES)?;
            match namespaces.get(name.as_str())? {
                Some(bytes) => serde_json::from_slice(bytes.value())
                    .map_err(|error| bad_record(format!("namespace {name}"), error.into())),
                None if *name == self.default_namespace => {
                    Ok(FunctionNamespace::new(name.as_str()))
                }
                None => absent_namespace(name),
            }
        };
        read().map_err(cannot_read)
    }

    /// Writes a namespace down that must not (`new`), or must, be there already.
    pub(crate) fn put_namespace(
        &self,
        name: &Namespace,
        namespace: &FunctionNamespace,
        new: bool,
    ) -> Result<(), ProviderError> {
        self.write(|txn| {
            let mut namespaces = txn.open_table(NAMESPACES)?;
            let bytes = serde_json::to_vec(namespace)
                .map_err(|error| bad_record(format!("namespace {name}"), error.into()))?;
            let there = namespaces
                .insert(name.as_str(), bytes.as_slice())?
                .is_some()
                || *name == self.default_namespace;
            match (new, there) {
                (true, true) => refused(
                    ErrorKind::AlreadyExists,
                    format!("namespace {name} already exists"),
                ),
                (false, false) => absent_namespace(name),
                _ => Ok(()),
            }
        })
        .map_err(cannot_write)
    }

    /// Strikes an empty namespace out.
    pub(crate) fn remove_namespace(&self, name: &Namespace) -> Result<(), ProviderError> {
        if *name == self.default_namespace {
            return Err(ProviderError::invalid(format!(
                "namespace {name} is the default one and cannot be deleted"
            )));
        }
        self.write(|txn| {
            if txn.open_table(NAMESPACES)?.remove(name.as_str())?.is_none() {
                return absent_namespace(name);
            }
            let functions = functions_of(txn, name)?.len();
            let mut secrets = 0;
            for entry in txn.open_table(SECRETS)?.range((name.as_str(), "")..)? {
                if entry?.0.value().0 != name.as_str() {
                    break;
                }
                secrets += 1;
            }
            if functions + secrets > 0 {
                return refused(
                    ErrorKind::Conflict,
                    format!(
                        "namespace {name} is not empty: it has {functions} functions and {secrets} \
                         secrets, remove these first"
                    ),
                );
            }
            Ok(())
        })
        .map_err(cannot_write)
    }

    /// Refuses a namespace that is not there.
    pub(crate) fn check_namespace_exists(&self, name: &Namespace) -> Result<(), ProviderError> {
        let check = || -> Result<(), Fault> {
            let txn = self.database.begin_read()?;
            self.check_namespace(&txn.open_table(NAMESPACES)?, name)
        };
        check().map_err(cannot_read)
    }

    fn check_namespace(
        &self,
        namespaces: &impl ReadableTable<&'static str, &'static [u8]>,
        name: &Namespace,
    ) -> Result<(), Fault> {
        if *name == self.default_namespace || namespaces.get(name.as_str())?.is_some() {
            return Ok(());
        }
        refused(
            ErrorKind::InvalidArgument,
            format!("namespace {name} does not exist: create it first"),
        )
    }

    /// Runs a change: all of it or, on any error, nothing. On disk when this returns.
    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let done = change(&txn)?;
        txn.commit()?;
        Ok(done)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

fn insert_function(
    txn: &WriteTransaction,
    record: &FunctionRecord,
    replicas: u64,
) -> Result<(), Fault> {
    let bytes = record
        .to_bytes()
        .map_err(|error| bad_record(format!("function {}", record.spec.function), error))?;
    let key = key(&record.spec.function);
    txn.open_table(FUNCTIONS)?.insert(key, bytes.as_slice())?;
    txn.open_table(SCALE)?.insert(key, replicas)?;
    Ok(())
}

fn read_function((namespace, name): (&str, &str), bytes: &[u8]) -> Result<FunctionRecord, Fault> {
    FunctionRecord::from_bytes(bytes)
        .map_err(|error| bad_record(format!("function {name}.{namespace}"), error))
}

fn functions_of(
    txn: &WriteTransaction,
    namespace: &Namespace,
) -> Result<Vec<FunctionRecord>, Fault> {
    let mut all = Vec::new();
    for entry in txn
        .open_table(FUNCTIONS)?
        .range((namespace.as_str(), "")..)?
    {
        let (key, value) = entry?;
        if key.value().0 != namespace.as_str() {
            break;
        }
        all.push(read_function(key.value(), value.value())?);
    }
    Ok(all)
}

fn check_secrets(
    secrets: &impl ReadableTable<NamedKey, &'static [u8]>,
    namespace: &Namespace,
    names: &[SecretName],
) -> Result<(), Fault> {
    for name in names {
        if secrets.get((namespace.as_str(), name.as_str()))?.is_none() {
            return no_secret(name);
        }
    }
    Ok(())
}

/// The words that faasd uses on the wire for a deployment that lists a secret which is not there.
fn no_secret<T>(name: &SecretName) -> Result<T, Fault> {
    refused(
        ErrorKind::InvalidArgument,
        format!("unable to find secret: {name}"),
    )
}

fn absent_secret<T>(namespace: &Namespace, name: &SecretName) -> Result<T, Fault> {
    refused(
        ErrorKind::NotFound,
        format!("secret {name} not found in namespace {namespace}"),
    )
}

fn absent_namespace<T>(name: &Namespace) -> Result<T, Fault> {
    refused(ErrorKind::NotFound, format!("namespace {name} not found"))
}

fn cannot_read(fault: Fault) -> ProviderError {
    fault.into_provider_error("the stored state could not be read")
}

fn cannot_write(fault: Fault) -> ProviderError {
    fault.into_provider_error("the state could not be written to disk")
}
