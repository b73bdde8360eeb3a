//! The JSON bodies of the provider API, named as `faas-provider` names them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// `{"memory":"128Mi","cpu":"500m"}`: limits or requests as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct FunctionResources {
    /// Bytes of memory, a quantity.
    pub memory: String,
    /// Cores, a quantity.
    pub cpu: String,
    /// `nvidia.com/gpu`.
    pub nvidia_gpu: String,
    /// `amd.com/gpu`.
    pub amd_gpu: String,
    /// `intel.com/gpu`.
    pub intel_gpu: String,
}

/// What a function uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct FunctionUsage {
    /// Millicores, summed over replicas.
    pub cpu: f64,
    /// Bytes, summed over replicas.
    pub total_memory_bytes: f64,
}

/// The body of `POST` and `PUT /system/functions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, rename_all = "camelCase")]
pub struct FunctionDeployment {
    /// The function's name.
    pub service: String,
    /// Its image.
    pub image: String,
    /// Its namespace; empty is the default one.
    pub namespace: String,
    /// The process that the watchdog runs.
    pub env_process: String,
    /// Its environment.
    pub env_vars: BTreeMap<String, String>,
    /// Where it may run.
    pub constraints: Vec<String>,
    /// Names of its secrets.
    pub secrets: Vec<String>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// What it may use.
    pub limits: Option<FunctionResources>,
    /// What it needs.
    pub requests: Option<FunctionResources>,
    /// Whether its root file system is read-only.
    pub read_only_root_filesystem: bool,
}

/// An element of `GET /system/functions`, and the body of `GET /system/function/NAME`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct FunctionStatus {
    /// The function's name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its namespace.
    pub namespace: String,
    /// The process that the watchdog runs.
    pub env_process: String,
    /// Its environment.
    pub env_vars: BTreeMap<String, String>,
    /// Where it may run.
    pub constraints: Vec<String>,
    /// Names of its secrets.
    pub secrets: Vec<String>,
    /// Its labels; always written, as an object.
    pub labels: BTreeMap<String, String>,
    /// Its annotations; always written, as an object.
    pub annotations: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Option<FunctionResources>,
    /// What it needs.
    pub requests: Option<FunctionResources>,
    /// Whether its root file system is read-only.
    pub read_only_root_filesystem: bool,
    /// How often it was called.
    pub invocation_count: f64,
    /// How many replicas are wanted.
    pub replicas: u64,
    /// How many replicas answer.
    pub available_replicas: u64,
    /// When it was deployed first; `None` is Go's zero time.
    pub created_at: Option<SystemTime>,
    /// What it uses; only when asked for.
    pub usage: Option<FunctionUsage>,
}

/// `GET /system/info` of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// The provider's name.
    pub provider: String,
    /// Its version.
    pub version: Option<VersionInfo>,
    /// What it runs functions on.
    pub orchestration: String,
}

impl ProviderInfo {
    /// Who a provider is.
    pub fn new(
        provider: impl Into<String>,
        orchestration: impl Into<String>,
        version: VersionInfo,
    ) -> Self {
        Self {
            provider: provider.into(),
            version: Some(version),
            orchestration: orchestration.into(),
        }
    }
}

/// A version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub sha: String,
    /// The release.
    pub release: String,
}

impl VersionInfo {
    /// A version.
    pub fn new(release: impl Into<String>, sha: impl Into<String>) -> Self {
        Self {
            commit_message: String::new(),
            sha: sha.into(),
            release: release.into(),
        }
    }
}

/// The body of the namespace routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionNamespace {
    /// Its name.
    pub name: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}
