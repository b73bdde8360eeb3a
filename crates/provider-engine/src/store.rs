//! Desired state: functions, their scale, secrets and namespaces.
//!
//! Reads come from memory (`desired.rs`) and go on whatever the disk does. A change is decided upon
//! what is in memory, within the order of changes: a namespace or a secret cannot vanish between
//! the check and the write. It is on disk (`disk.rs`) before the call returns. Changes that are
//! asked for while the disk is busy go there together afterwards, with one sync for all of them.
//!
//! After a write has failed the next one opens the store again, so that a disk that was full is
//! written to as soon as there is space.
//!
//! Changes block on the disk: make them where blocking is fine.

mod desired;
mod disk;
mod medium;
mod migrate;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};

use provider_types::wire::FunctionNamespace;
use provider_types::{ErrorKind, FunctionRef, Namespace, ProviderError, SecretName};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

pub(crate) use self::desired::Desired;
use self::desired::{Changes, View};
use self::disk::{Disk, Fault, Unusable};
use self::medium::Directory;
#[cfg(not(feature = "simulation"))]
pub(crate) use self::medium::Medium;
#[cfg(feature = "simulation")]
pub use self::medium::Medium;
pub(crate) use self::record::{FunctionRecord, PreviousRecord, StoredFunction};
use crate::error::EngineError;

/// Desired state, in memory and on disk.
pub(crate) struct Store {
    default_namespace: Namespace,
    desired: RwLock<Desired>,
    /// What is to be decided and written next.
    waiting: Mutex<Vec<Question>>,
    disk: Mutex<Disk>,
}

/// Decides a change upon what the changes before it leave, and says who is to be told.
type Question = Box<dyn FnOnce(View<'_>) -> Option<(Changes, Answer)> + Send>;

/// Tells the outcome of a write.
type Answer = Box<dyn FnOnce(Result<(), &Arc<Fault>>) + Send>;

impl Store {
    /// Opens the store in a file, creating it where it is missing.
    pub(crate) fn open(path: &Path, default_namespace: Namespace) -> Result<Self, EngineError> {
        Self::open_on(Directory::new(path), path, default_namespace)
    }

    /// Opens the store of a medium; `path` is what errors call it.
    pub(crate) fn open_on(
        medium: impl Medium + 'static,
        path: &Path,
        default_namespace: Namespace,
    ) -> Result<Self, EngineError> {
        let (disk, mut desired) = open(medium, path)?;
        // It may have been the default one, which is not written down, under another configuration.
        let used = desired.functions.keys().map(|function| &function.namespace);
        let used = used.chain(desired.secrets.keys().map(|(namespace, _)| namespace));
        for namespace in used.cloned().collect::<Vec<_>>() {
            if namespace != default_namespace {
                let unknown = || FunctionNamespace::new(namespace.as_str());
                let namespaces = &mut desired.namespaces;
                namespaces.entry(namespace.clone()).or_insert_with(unknown);
            }
        }
        Ok(Self {
            default_namespace,
            desired: RwLock::new(desired),
            waiting: Mutex::default(),
            disk: Mutex::new(disk),
        })
    }

    /// All that is kept, at one moment.
    pub(crate) fn snapshot(&self) -> Desired {
        self.desired().clone()
    }

    // --- hand-over ---

    /// Lets go of the disk; what is kept can still be read.
    pub(crate) fn release(&self) {
        lock(&self.disk).release();
    }

    /// Takes the disk again, whatever another process has written there.
    pub(crate) fn resume(&self) -> Result<(), ProviderError> {
        let resumed = lock(&self.disk).resume(&self.desired());
        resumed.map_err(|fault| cannot_write(&Arc::new(fault)))
    }

    // --- functions ---

    /// All functions.
    pub(crate) fn functions(&self) -> Vec<Arc<FunctionRecord>> {
        self.desired().functions.values().cloned().collect()
    }

    /// Checks that all that a function refers to is there.
    pub(crate) fn check_references(
        &self,
        function: &FunctionRef,
        secrets: &[SecretName],
    ) -> Result<(), ProviderError> {
        self.read(|view| check_references(view, &self.default_namespace, function, secrets))
    }

    /// Writes a function down, giving it a generation of its own.
    pub(crate) fn put_function(&self, mut record: FunctionRecord) -> Result<u64, ProviderError> {
        let default = self.default_namespace.clone();
        self.change(move |view| {
            let spec = &record.spec;
            check_references(view, &default, &spec.function, &spec.secrets)?;
            let generation = view.generation() + 1;
            record.generation = generation;
            let mut changes = Changes::function(record);
            changes.generation = Some(generation);
            Ok((changes, generation))
        })
    }

    /// Ends an update: puts `record` in the place of the one of `generation`. Nothing happens when
    /// another change came first.
    pub(crate) fn end_update(
        &self,
        generation: u64,
        record: FunctionRecord,
    ) -> Result<(), ProviderError> {
        self.change(move |view| {
            let present = view.function(&record.spec.function);
            let same = present.is_some_and(|present| present.generation == generation);
            let changes = if same {
                Changes::function(record)
            } else {
                Changes::default()
            };
            Ok((changes, ()))
        })
    }

    /// Strikes a function out.
    pub(crate) fn remove_function(&self, function: FunctionRef) -> Result<(), ProviderError> {
        self.change(move |_| {
            let mut changes = Changes::default();
            changes.functions.insert(function, None);
            Ok((changes, ()))
        })
    }

    /// Writes down how many replicas a function is to have.
    pub(crate) fn set_scale(
        &self,
        function: FunctionRef,
        replicas: u64,
    ) -> Result<(), ProviderError> {
        self.change(move |view| {
            let Some(present) = view.function(&function) else {
                let message = format!("function: {function} not found");
                return Err(ProviderError::not_found(message));
            };
            let mut record = FunctionRecord::clone(present);
            record.replicas = replicas;
            // An update that is undone goes back to the count that was asked for last.
            if let Some(previous) = &mut record.previous {
                previous.replicas = replicas;
            }
            if record == **present {
                return Ok((Changes::default(), ()));
            }
            Ok((Changes::function(record), ()))
        })
    }

    // --- secrets ---

    /// The names of a namespace's secrets, sorted.
    pub(crate) fn secret_names(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<SecretName>, ProviderError> {
        self.read(|view| {
            check_namespace(view, &self.default_namespace, namespace)?;
            Ok(view.secrets_of(namespace).cloned().collect())
        })
    }

    /// The present values of some secrets.
    pub(crate) fn secret_values(
        &self,
        namespace: &Namespace,
        names: &[SecretName],
    ) -> Result<Vec<(SecretName, Vec<u8>)>, ProviderError> {
        self.read(|view| {
            let value = |name: &SecretName| match view.secret(&(namespace.clone(), name.clone())) {
                Some(value) => Ok((name.clone(), value.to_vec())),
                None => Err(no_secret(name)),
            };
            names.iter().map(value).collect()
        })
    }

    /// Writes a secret down that must not (`new`), or must, be there already.
    pub(crate) fn put_secret(
        &self,
        namespace: Namespace,
        name: SecretName,
        value: &[u8],
        new: bool,
    ) -> Result<(), ProviderError> {
        let default = self.default_namespace.clone();
        let value: Arc<[u8]> = value.into();
        self.change(move |view| {
            check_namespace(view, &default, &namespace)?;
            let key = (namespace, name);
            match (new, view.secret(&key).is_some()) {
                (true, true) => {
                    return Err(ProviderError::already_exists(format!(
                        "secret {} already exists in namespace {}",
                        key.1, key.0
                    )));
                }
                (false, false) => return Err(absent_secret(&key.0, &key.1)),
                _ => {}
            }
            let mut changes = Changes::default();
            changes.secrets.insert(key, Some(value));
            Ok((changes, ()))
        })
    }

    /// Strikes a secret out that no function uses.
    pub(crate) fn remove_secret(
        &self,
        namespace: Namespace,
        name: SecretName,
    ) -> Result<(), ProviderError> {
        self.change(move |view| {
            let users: Vec<String> = view
                .functions_of(&namespace)
                .filter(|function| function.uses(&name))
                .map(|function| function.spec.function.to_string())
                .collect();
            if !users.is_empty() {
                return Err(ProviderError::new(
                    ErrorKind::Conflict,
                    format!(
                        "secret {name} is in use by {}: remove or update these functions first",
                        users.join(", ")
                    ),
                ));
            }
            let key = (namespace, name);
            if view.secret(&key).is_none() {
                return Err(absent_secret(&key.0, &key.1));
            }
            let mut changes = Changes::default();
            changes.secrets.insert(key, None);
            Ok((changes, ()))
        })
    }

    // --- namespaces ---

    /// All namespaces, the default one first and the others sorted.
    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        let desired = self.desired();
        let others = desired.namespaces.keys().cloned();
        let others = others.filter(|name| *name != self.default_namespace);
        [self.default_namespace.clone()]
            .into_iter()
            .chain(others)
            .collect()
    }

    /// One namespace with its labels and annotations.
    pub(crate) fn namespace(&self, name: &Namespace) -> Result<FunctionNamespace, ProviderError> {
        self.read(|view| match view.namespace(name) {
            Some(namespace) => Ok(namespace.clone()),
            None if *name == self.default_namespace => Ok(FunctionNamespace::new(name.as_str())),
            None => Err(absent_namespace(name)),
        })
    }

    /// Writes a namespace down that must not (`new`), or must, be there already.
    pub(crate) fn put_namespace(
        &self,
        name: Namespace,
        namespace: FunctionNamespace,
        new: bool,
    ) -> Result<(), ProviderError> {
        let is_default = name == self.default_namespace;
        self.change(move |view| {
            match (new, is_default || view.namespace(&name).is_some()) {
                (true, true) => {
                    let message = format!("namespace {name} already exists");
                    return Err(ProviderError::already_exists(message));
                }
                (false, false) => return Err(absent_namespace(&name)),
                _ => {}
            }
            let mut changes = Changes::default();
            changes.namespaces.insert(name, Some(namespace));
            Ok((changes, ()))
        })
    }

    /// Strikes an empty namespace out.
    pub(crate) fn remove_namespace(&self, name: Namespace) -> Result<(), ProviderError> {
        if name == self.default_namespace {
            return Err(ProviderError::invalid(format!(
                "namespace {name} is the default one and cannot be deleted"
            )));
        }
        self.change(move |view| {
            if view.namespace(&name).is_none() {
                return Err(absent_namespace(&name));
            }
            let functions = view.functions_of(&name).count();
            let secrets = view.secrets_of(&name).count();
            if functions + secrets > 0 {
                return Err(ProviderError::new(
                    ErrorKind::Conflict,
                    format!(
                        "namespace {name} is not empty: it has {functions} functions and {secrets} \
                         secrets, remove these first"
                    ),
                ));
            }
            let mut changes = Changes::default();
            changes.namespaces.insert(name, None);
            Ok((changes, ()))
        })
    }

    /// Refuses a namespace that is not there.
    pub(crate) fn check_namespace_exists(&self, name: &Namespace) -> Result<(), ProviderError> {
        self.read(|view| check_namespace(view, &self.default_namespace, name))
    }

    // --- how ---

    fn desired(&self) -> RwLockReadGuard<'_, Desired> {
        self.desired.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, ask: impl FnOnce(View<'_>) -> T) -> T {
        ask(View {
            base: &self.desired(),
            changes: &Changes::default(),
        })
    }

    /// Decides upon a change and writes it down: all of it or, on any error, nothing. On disk when
    /// this returns.
    fn change<T: Send + 'static>(
        &self,
        decide: impl FnOnce(View<'_>) -> Result<(Changes, T), ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (tell, told) = mpsc::sync_channel(1);
        let question: Question = Box::new(move |view| match decide(view) {
            Ok((changes, done)) => {
                let answer: Answer = Box::new(move |written| {
                    drop(tell.send(written.map(|()| done).map_err(cannot_write)));
                });
                Some((changes, answer))
            }
            Err(refusal) => {
                drop(tell.send(Err(refusal)));
                None
            }
        });
        lock(&self.waiting).push(question);
        // Whoever gets the disk next writes for all that wait; this may have been done for us.
        let mut disk = lock(&self.disk);
        told.try_recv().unwrap_or_else(|_| {
            self.write(&mut disk);
            told.try_recv().unwrap_or_else(|error| {
                Err(ProviderError::internal("the state could not be written").with_cause(error))
            })
        })
    }

    /// Decides upon all changes that wait, and writes them down together.
    fn write(&self, disk: &mut Disk) {
        let questions = std::mem::take(&mut *lock(&self.waiting));
        let mut changes = Changes::default();
        let mut answers = Vec::new();
        let written = {
            let desired = self.desired();
            for question in questions {
                let view = View {
                    base: &desired,
                    changes: &changes,
                };
                if let Some((decided, answer)) = question(view) {
                    changes.extend(decided);
                    answers.push(answer);
                }
            }
            if changes.is_empty() {
                Ok(())
            } else {
                disk.write(&desired, &changes).map_err(Arc::new)
            }
        };
        if written.is_ok() {
            let mut desired = self.desired.write().unwrap_or_else(PoisonError::into_inner);
            desired.apply(changes);
        }
        for answer in answers {
            answer(written.as_ref().copied());
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Reads a store without changing it.
pub(crate) fn read(path: &Path) -> Result<Desired, EngineError> {
    let medium = Directory::new(path);
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let bytes = medium.read().and_then(|bytes| bytes.ok_or_else(missing));
    let bytes = bytes.map_err(|error| unusable(error.into(), path))?;
    disk::look_through(bytes).map_err(|reason| refused(reason, path, keeper(&medium)))
}

/// Says whether a store can be read, and leaves everything as it is.
pub(crate) fn examine(path: &Path) -> Result<(), EngineError> {
    let bytes = Directory::new(path).read();
    let Some(bytes) = bytes.map_err(|error| unusable(error.into(), path))? else {
        return Ok(());
    };
    match disk::look_through(bytes) {
        Ok(_) => Ok(()),
        Err(reason) => Err(refused(reason, path, |_, _| None)),
    }
}

/// Puts other content in the place of a store, and says where the store is kept, if there was one.
pub(crate) fn replace(path: &Path, desired: &Desired) -> Result<Option<PathBuf>, EngineError> {
    let medium = Directory::new(path);
    let unused = |n: &u32| !medium.beside(&before_restore(*n)).exists();
    let keep = |bytes: Vec<u8>| {
        let n = (1..).find(unused).unwrap_or_default();
        medium.keep(&bytes, &before_restore(n))
    };
    let kept = medium.read().and_then(|bytes| bytes.map(keep).transpose());
    let kept = kept.map_err(|error| unusable(error.into(), path))?;
    Disk::make(Arc::new(medium), desired).map_err(|fault| unusable(fault, path))?;
    Ok(kept)
}

fn before_restore(n: u32) -> String {
    format!(".before-restore-{n}")
}

/// Opens what a medium holds.
fn open(medium: impl Medium + 'static, path: &Path) -> Result<(Disk, Desired), EngineError> {
    let medium: Arc<dyn Medium> = Arc::new(medium);
    Disk::open(Arc::clone(&medium)).map_err(|reason| refused(reason, path, keeper(&*medium)))
}

/// Keeps a copy under that end of a name.
fn keeper(medium: &dyn Medium) -> impl FnOnce(&[u8], &str) -> Option<PathBuf> {
    move |bytes, name| medium.keep(bytes, name).ok()
}

/// Says why a store is not opened. A damaged one stays as it is, and a copy of it is kept.
fn refused(
    reason: Unusable,
    path: &Path,
    keep: impl FnOnce(&[u8], &str) -> Option<PathBuf>,
) -> EngineError {
    match reason {
        Unusable::Newer(found) => EngineError::Newer {
            path: path.to_owned(),
            found,
            known: migrate::SCHEMA,
        },
        Unusable::Damaged(bytes, fault) => {
            let digest = Sha256::digest(&bytes);
            let name: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
            EngineError::Damaged {
                path: path.to_owned(),
                copy: keep(&bytes, &format!(".damaged-{name}")),
                source: fault.into(),
            }
        }
        Unusable::Unreachable(fault) => unusable(fault, path),
    }
}

fn unusable(fault: Fault, path: &Path) -> EngineError {
    EngineError::Store {
        path: path.to_owned(),
        source: fault.into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_references(
    view: View<'_>,
    default: &Namespace,
    function: &FunctionRef,
    secrets: &[SecretName],
) -> Result<(), ProviderError> {
    check_namespace(view, default, &function.namespace)?;
    for name in secrets {
        let key = (function.namespace.clone(), name.clone());
        if view.secret(&key).is_none() {
            return Err(no_secret(name));
        }
    }
    Ok(())
}

fn check_namespace(
    view: View<'_>,
    default: &Namespace,
    name: &Namespace,
) -> Result<(), ProviderError> {
    if name == default || view.namespace(name).is_some() {
        return Ok(());
    }
    Err(ProviderError::invalid(format!(
        "namespace {name} does not exist: create it first"
    )))
}

/// The words that faasd uses on the wire for a deployment that lists a secret which is not there.
fn no_secret(name: &SecretName) -> ProviderError {
    ProviderError::invalid(format!("unable to find secret: {name}"))
}

fn absent_secret(namespace: &Namespace, name: &SecretName) -> ProviderError {
    ProviderError::not_found(format!("secret {name} not found in namespace {namespace}"))
}

fn absent_namespace(name: &Namespace) -> ProviderError {
    ProviderError::not_found(format!("namespace {name} not found"))
}

/// What a caller is told whose change did not reach the disk.
fn cannot_write(fault: &Arc<Fault>) -> ProviderError {
    let errno = fault.io().and_then(Errno::from_io_error);
    let message = match errno {
        Some(Errno::NOSPC) => "the state could not be written: no space is left on its disk",
        Some(Errno::DQUOT) => "the state could not be written: the quota of its disk is used up",
        Some(Errno::ROFS) => "the state could not be written: its disk is read-only",
        _ => "the state could not be written to disk",
    };
    ProviderError::internal(message).with_cause(Arc::clone(fault))
}
