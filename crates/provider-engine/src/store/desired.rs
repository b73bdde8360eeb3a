//! Desired state in memory, and changes to it.
//!
//! Reads never touch the disk: this is what they see, and it holds what the disk acknowledged. A
//! change is decided upon a [`View`] and is data ([`Changes`]), so that a refused one leaves no
//! trace, several can go to disk at once, and one that failed there never happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use provider_types::wire::FunctionNamespace;
use provider_types::{FunctionRef, Namespace, SecretName};

use super::record::FunctionRecord;

/// Where a secret is found.
pub(crate) type SecretKey = (Namespace, SecretName);

/// All that is kept, apart from logs.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Desired {
    /// The last generation that was given to a function.
    pub(crate) generation: u64,
    pub(crate) functions: BTreeMap<FunctionRef, Arc<FunctionRecord>>,
    pub(crate) secrets: BTreeMap<SecretKey, Arc<[u8]>>,
    pub(crate) namespaces: BTreeMap<Namespace, FunctionNamespace>,
}

/// What is to be different; `None` strikes out.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) generation: Option<u64>,
    pub(crate) functions: BTreeMap<FunctionRef, Option<Arc<FunctionRecord>>>,
    pub(crate) secrets: BTreeMap<SecretKey, Option<Arc<[u8]>>>,
    pub(crate) namespaces: BTreeMap<Namespace, Option<FunctionNamespace>>,
}

/// Desired state as it will be when changes that are not on disk yet have come through.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: &'a Desired,
    pub(crate) changes: &'a Changes,
}

// === impl Desired ===

impl Desired {
    pub(crate) fn apply(&mut self, changes: Changes) {
        self.generation = changes.generation.unwrap_or(self.generation);
        apply(&mut self.functions, changes.functions);
        apply(&mut self.secrets, changes.secrets);
        apply(&mut self.namespaces, changes.namespaces);
    }

    /// What makes this out of `before`.
    pub(crate) fn since(&self, before: &Self) -> Changes {
        Changes {
            generation: (self.generation != before.generation).then_some(self.generation),
            functions: since(&before.functions, &self.functions),
            secrets: since(&before.secrets, &self.secrets),
            namespaces: since(&before.namespaces, &self.namespaces),
        }
    }
}

impl fmt::Debug for Desired {
    /// Names only: secrets do not get out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desired")
            .field("generation", &self.generation)
            .field("functions", &self.functions)
            .field("secrets", &self.secrets.keys())
            .field("namespaces", &self.namespaces)
            .finish()
    }
}

fn apply<K: Ord, V>(to: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, change) in changes {
        match change {
            Some(value) => drop(to.insert(key, value)),
            None => drop(to.remove(&key)),
        }
    }
}

fn since<K: Ord + Clone, V: Clone + PartialEq>(
    before: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = before.keys().filter(|key| !now.contains_key(key));
    let gone = gone.map(|key| (key.clone(), None));
    let put = now
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value));
    gone.chain(put.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}

// === impl Changes ===

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds changes that were decided after these.
    pub(crate) fn extend(&mut self, later: Self) {
        self.generation = later.generation.or(self.generation);
        self.functions.extend(later.functions);
        self.secrets.extend(later.secrets);
        self.namespaces.extend(later.namespaces);
    }

    /// Puts a function in its place.
    pub(crate) fn function(record: FunctionRecord) -> Self {
        let name = record.spec.function.clone();
        Self {
            functions: [(name, Some(Arc::new(record)))].into(),
            ..Self::default()
        }
    }
}

// === impl View ===

impl<'a> View<'a> {
    pub(crate) fn generation(self) -> u64 {
        self.changes.generation.unwrap_or(self.base.generation)
    }

    pub(crate) fn function(self, name: &FunctionRef) -> Option<&'a Arc<FunctionRecord>> {
        get(&self.base.functions, &self.changes.functions, name)
    }

    pub(crate) fn secret(self, key: &SecretKey) -> Option<&'a Arc<[u8]>> {
        get(&self.base.secrets, &self.changes.secrets, key)
    }

    pub(crate) fn namespace(self, name: &Namespace) -> Option<&'a FunctionNamespace> {
        get(&self.base.namespaces, &self.changes.namespaces, name)
    }

    /// The functions of a namespace, in order.
    pub(crate) fn functions_of(
        self,
        within: &'a Namespace,
    ) -> impl Iterator<Item = &'a Arc<FunctionRecord>> {
        let names: BTreeSet<_> = keys(&self.base.functions, &self.changes.functions)
            .filter(|name| name.namespace == *within)
            .collect();
        names
            .into_iter()
            .filter_map(move |name| self.function(name))
    }

    /// The secrets of a namespace, in order.
    pub(crate) fn secrets_of(self, within: &'a Namespace) -> impl Iterator<Item = &'a SecretName> {
        let found: BTreeSet<_> = keys(&self.base.secrets, &self.changes.secrets)
            .filter(|key| key.0 == *within && self.secret(key).is_some())
            .collect();
        found.into_iter().map(|(_, name)| name)
    }
}

fn get<'a, K: Ord, V>(
    base: &'a BTreeMap<K, V>,
    changes: &'a BTreeMap<K, Option<V>>,
    key: &K,
) -> Option<&'a V> {
    match changes.get(key) {
        Some(change) => change.as_ref(),
        None => base.get(key),
    }
}

fn keys<'a, K, V>(
    base: &'a BTreeMap<K, V>,
    changes: &'a BTreeMap<K, Option<V>>,
) -> impl Iterator<Item = &'a K> {
    base.keys().chain(changes.keys())
}
