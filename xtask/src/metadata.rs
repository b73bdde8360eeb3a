//! What `cargo metadata` says of the workspace and of everything that it is built from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::runner::{cargo, output};

/// The part of cargo's answer that the checks look at.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    resolve: Resolve,
}

/// A package, ours or somebody's.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Declared>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo fails, for example because `Cargo.lock` is not up to date.
    pub(crate) fn load() -> Result<Self> {
        let text = output(&mut cargo(&[
            "metadata",
            "--locked",
            "--all-features",
            "--format-version=1",
        ]))?;
        serde_json::from_str(&text).context("cannot read the answer of cargo metadata")
    }

    /// The workspace's own packages, sorted by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// The names of all packages that end up in a build of this one, in every feature set that the
    /// workspace uses, each with the package that brings it in.
    pub(crate) fn tree(&self, package: &Package) -> BTreeMap<&str, &str> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let names: BTreeMap<&str, &str> = self
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package.name.as_str()))
            .collect();
        let name = |id: &str| names.get(id).copied().unwrap_or_default();

        let mut tree = BTreeMap::new();
        let mut seen = BTreeSet::from([package.id.as_str()]);
        let mut queue = VecDeque::from([package.id.as_str()]);
        while let Some(id) = queue.pop_front() {
            let edges = nodes.get(id).map_or(&[][..], |node| &node.deps);
            for edge in edges {
                let normal = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if normal && seen.insert(&edge.pkg) {
                    tree.entry(name(&edge.pkg)).or_insert_with(|| name(id));
                    queue.push_back(&edge.pkg);
                }
            }
        }
        tree
    }
}

impl Package {
    /// The folder of the package.
    pub(crate) fn folder(&self) -> PathBuf {
        self.manifest_path
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default()
    }

    /// The names of what it declares to depend on, without dependencies of tests and build scripts.
    pub(crate) fn direct_dependencies(&self) -> BTreeSet<&str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
            .map(|dependency| dependency.name.as_str())
            .collect()
    }
}
