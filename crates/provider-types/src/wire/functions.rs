//! Functions: what is deployed, and what is said of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::codec::wire_struct;

wire_struct! {
    /// `{"memory":"128Mi","cpu":"500m"}`: limits or requests, each a Kubernetes quantity as text.
    ///
    /// `faas-provider`: types/function_deployment.go.
    #[derive(Debug, Eq)]
    FunctionResources {
        /// Bytes of memory.
        memory: String = "memory" omitempty,
        /// Cores.
        cpu: String = "cpu" omitempty,
        /// Devices of this make.
        nvidia_gpu: String = "nvidia.com/gpu" omitempty,
        /// Devices of this make.
        amd_gpu: String = "amd.com/gpu" omitempty,
        /// Devices of this make.
        intel_gpu: String = "intel.com/gpu" omitempty,
    }
}

impl FunctionResources {
    /// Memory and cores; an empty text is neither.
    pub fn new(memory: impl Into<String>, cpu: impl Into<String>) -> Self {
        Self {
            memory: memory.into(),
            cpu: cpu.into(),
            ..Self::default()
        }
    }
}

wire_struct! {
    /// What a function uses, over all of its replicas. `faas-provider`: types/function_status.go.
    #[derive(Debug)]
    FunctionUsage {
        /// Millicores.
        cpu: f64 = "cpu" omitempty,
        /// Bytes.
        total_memory_bytes: f64 = "totalMemoryBytes" omitempty,
    }
}

impl FunctionUsage {
    /// Millicores and bytes.
    #[must_use]
    pub fn new(cpu: f64, total_memory_bytes: f64) -> Self {
        Self {
            cpu,
            total_memory_bytes,
        }
    }
}

wire_struct! {
    /// The body of `POST` and `PUT /system/functions`.
    ///
    /// `faas-provider`: types/function_deployment.go. [`FunctionDeployment::into_spec`] checks it.
    #[derive(Debug, Eq)]
    FunctionDeployment {
        /// The function's name.
        service: String = "service",
        /// Its image.
        image: String = "image",
        /// Its namespace; empty is the default one.
        namespace: String = "namespace" omitempty,
        /// The process that the watchdog runs.
        env_process: String = "envProcess" omitempty,
        /// Its environment.
        env_vars: BTreeMap<String, String> = "envVars" omitempty,
        /// Where it may run.
        constraints: Vec<String> = "constraints" omitempty,
        /// Names of its secrets.
        secrets: Vec<String> = "secrets" omitempty,
        /// Its labels.
        labels: Option<BTreeMap<String, String>> = "labels" omitempty,
        /// Its annotations.
        annotations: Option<BTreeMap<String, String>> = "annotations" omitempty,
        /// What it may use.
        limits: Option<FunctionResources> = "limits" omitempty,
        /// What it needs.
        requests: Option<FunctionResources> = "requests" omitempty,
        /// Whether its root file system is read-only.
        read_only_root_filesystem: bool = "readOnlyRootFilesystem" omitempty,
    }
}

impl FunctionDeployment {
    /// A function with an image and nothing else.
    pub fn new(service: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            image: image.into(),
            ..Self::default()
        }
    }
}

wire_struct! {
    /// An element of `GET /system/functions`, and the body of `GET /system/function/NAME`.
    ///
    /// `faas-provider`: types/function_status.go. Labels and annotations are always written, as
    /// objects, since clients of the Go types dereference them.
    #[derive(Debug)]
    FunctionStatus {
        /// The function's name.
        name: String = "name",
        /// Its image.
        image: String = "image",
        /// Its namespace.
        namespace: String = "namespace" omitempty,
        /// The process that the watchdog runs.
        env_process: String = "envProcess" omitempty,
        /// Its environment.
        env_vars: BTreeMap<String, String> = "envVars" omitempty,
        /// Where it may run.
        constraints: Vec<String> = "constraints" omitempty,
        /// Names of its secrets.
        secrets: Vec<String> = "secrets" omitempty,
        /// Its labels; always written, as an object.
        labels: BTreeMap<String, String> = "labels",
        /// Its annotations; always written, as an object.
        annotations: BTreeMap<String, String> = "annotations",
        /// What it may use.
        limits: Option<FunctionResources> = "limits" omitempty,
        /// What it needs.
        requests: Option<FunctionResources> = "requests" omitempty,
        /// Whether its root file system is read-only.
        read_only_root_filesystem: bool = "readOnlyRootFilesystem" omitempty,
        /// How often it was called.
        invocation_count: f64 = "invocationCount" omitempty,
        /// How many replicas are wanted.
        replicas: u64 = "replicas" omitempty,
        /// How many replicas answer.
        available_replicas: u64 = "availableReplicas" omitempty,
        /// When it was deployed first; `None` is Go's zero time.
        created_at: Option<SystemTime> = "createdAt",
        /// What it uses; only when asked for.
        usage: Option<FunctionUsage> = "usage" omitempty,
    }
}

wire_struct! {
    /// The body of `POST /system/scale-function/NAME`. `faas-provider`: types/requests.go.
    #[derive(Debug, Eq)]
    ScaleServiceRequest {
        /// The function's name; the one in the path wins.
        service_name: String = "serviceName",
        /// How many replicas are wanted.
        replicas: u64 = "replicas",
        /// The function's namespace; empty is the default one.
        namespace: String = "namespace" omitempty,
    }
}

impl ScaleServiceRequest {
    /// A number of replicas for a function of the default namespace.
    pub fn new(service_name: impl Into<String>, replicas: u64) -> Self {
        Self {
            service_name: service_name.into(),
            replicas,
            namespace: String::new(),
        }
    }
}

wire_struct! {
    /// The body of `DELETE /system/functions`. `faas-provider`: types/requests.go.
    #[derive(Debug, Eq)]
    DeleteFunctionRequest {
        /// The function's name.
        function_name: String = "functionName",
        /// The function's namespace; empty is the default one.
        namespace: String = "namespace" omitempty,
    }
}

impl DeleteFunctionRequest {
    /// A function of the default namespace.
    pub fn new(function_name: impl Into<String>) -> Self {
        Self {
            function_name: function_name.into(),
            namespace: String::new(),
        }
    }
}
