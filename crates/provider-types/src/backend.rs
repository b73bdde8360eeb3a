//! The traits that a back-end implements to be served, and what they are asked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::wire::{FunctionNamespace, FunctionStatus, ProviderInfo};
use crate::{FunctionRef, Namespace, ProviderError, Quantity, SecretName};

/// Who calls, as the authenticator said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The name that the caller proved to hold, for example the basic-auth user.
    pub name: Arc<str>,
}

impl Identity {
    /// An identity of that name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into() }
    }
}

/// What is known of a call besides its arguments.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CallContext {
    /// Ties the reply, the log lines and the metrics of one call together.
    pub request_id: Arc<str>,
    /// Who calls; `None` where no credentials are asked for.
    pub caller: Option<Identity>,
}

impl CallContext {
    /// The context of a call with that request id.
    pub fn new(request_id: impl Into<Arc<str>>) -> Self {
        Self {
            request_id: request_id.into(),
            caller: None,
        }
    }

    /// The same with a caller.
    #[must_use]
    pub fn with_caller(mut self, caller: Option<Identity>) -> Self {
        self.caller = caller;
        self
    }
}

/// Limits or requests, parsed from [`crate::wire::FunctionResources`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<Quantity>,
    /// Cores.
    pub cpu: Option<Quantity>,
    /// Devices by the name that the wire uses, for example `nvidia.com/gpu`.
    pub devices: BTreeMap<String, Quantity>,
}

impl Resources {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_none() && self.cpu.is_none() && self.devices.is_empty()
    }
}

/// What a function is to be: a deployment with its names and quantities parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionSpec {
    /// Which function.
    pub function: FunctionRef,
    /// The image, as deployed.
    pub image: String,
    /// The process, already with `envVars.fprocess` taken into account.
    pub env_process: Option<String>,
    /// The environment, without `fprocess`.
    pub env_vars: BTreeMap<String, String>,
    /// Placement constraints, as deployed.
    pub constraints: Vec<String>,
    /// Secrets that the function reads.
    pub secrets: Vec<SecretName>,
    /// Labels, as deployed.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as deployed.
    pub annotations: BTreeMap<String, String>,
    /// What the function may use at most.
    pub limits: Option<Resources>,
    /// What the function needs at least.
    pub requests: Option<Resources>,
    /// Whether the function's root file system is to be read-only.
    pub read_only_root_filesystem: bool,
}

impl FunctionSpec {
    /// A function with an image and nothing else.
    pub fn new(function: FunctionRef, image: impl Into<String>) -> Self {
        Self {
            function,
            image: image.into(),
            env_process: None,
            env_vars: BTreeMap::new(),
            constraints: Vec::new(),
            secrets: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            limits: None,
            requests: None,
            read_only_root_filesystem: false,
        }
    }
}

/// Whether a mutation is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Nothing is left to do.
    #[default]
    Done,
    /// Accepted and recorded; instances still start or drain.
    Ongoing,
}

/// What a mutation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Whether it is finished.
    pub progress: Progress,
    /// What the caller should know, a line each: fields that are not honoured, for example.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// Finished, nothing to say.
    #[must_use]
    pub fn done() -> Self {
        Self::default()
    }

    /// Accepted; the rest happens after the reply.
    #[must_use]
    pub fn ongoing() -> Self {
        Self {
            progress: Progress::Ongoing,
            warnings: Vec::new(),
        }
    }

    /// The same with one more warning.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// What one function uses, over all its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionUsageReading {
    /// Which function.
    pub function: FunctionRef,
    /// Bytes of memory that its replicas hold.
    pub memory_bytes: u64,
    /// CPU time that its replicas have used, those that have ended included: it never shrinks while
    /// the provider runs.
    pub cpu: Duration,
}

impl FunctionUsageReading {
    /// What one function uses.
    #[must_use]
    pub fn new(function: FunctionRef, memory_bytes: u64, cpu: Duration) -> Self {
        Self {
            function,
            memory_bytes,
            cpu,
        }
    }
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub struct $name {
            /// What is known of the call besides its arguments.
            pub context: CallContext,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// A request of these arguments.
            #[must_use]
            pub fn new(context: CallContext, $($field: $type),*) -> Self {
                Self { context, $($field),* }
            }
        }
    )*};
}

requests! {
    /// `GET /system/functions`.
    ListFunctions {
        /// Whose functions.
        namespace: Namespace,
    }
    /// `POST /system/functions`.
    DeployFunction {
        /// What the function is to be.
        spec: FunctionSpec,
    }
    /// `PUT /system/functions`: replaces all of the function, nothing is merged.
    UpdateFunction {
        /// What the function is to be.
        spec: FunctionSpec,
    }
    /// `DELETE /system/functions`.
    DeleteFunction {
        /// Which function.
        function: FunctionRef,
    }
    /// `GET /system/function/NAME`.
    GetFunction {
        /// Which function.
        function: FunctionRef,
        /// Whether [`FunctionStatus::usage`] is wanted.
        usage: bool,
    }
    /// `POST /system/scale-function/NAME`.
    ScaleFunction {
        /// Which function.
        function: FunctionRef,
        /// How many replicas are wanted; 0 scales to zero.
        replicas: u64,
    }
    /// `GET /system/secrets`.
    ListSecrets {
        /// Whose secrets.
        namespace: Namespace,
    }
    /// `DELETE /system/secrets`.
    DeleteSecret {
        /// Where the secret lives.
        namespace: Namespace,
        /// Which secret.
        name: SecretName,
    }
    /// `GET /system/namespaces`.
    ListNamespaces {}
    /// `GET /system/namespace/NAME`.
    GetNamespace {
        /// Which namespace.
        namespace: Namespace,
    }
    /// `POST /system/namespace/`.
    CreateNamespace {
        /// Its name.
        namespace: Namespace,
        /// Its labels.
        labels: BTreeMap<String, String>,
        /// Its annotations.
        annotations: BTreeMap<String, String>,
    }
    /// `PUT /system/namespace/NAME`: labels and annotations are replaced.
    UpdateNamespace {
        /// Which namespace.
        namespace: Namespace,
        /// Its labels from now on.
        labels: BTreeMap<String, String>,
        /// Its annotations from now on.
        annotations: BTreeMap<String, String>,
    }
    /// `DELETE /system/namespace/NAME`.
    DeleteNamespace {
        /// Which namespace.
        namespace: Namespace,
    }
}

macro_rules! secret_requests {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        #[non_exhaustive]
        pub struct $name {
            /// What is known of the call besides its arguments.
            pub context: CallContext,
            /// Where the secret lives.
            pub namespace: Namespace,
            /// Which secret.
            pub name: SecretName,
            /// Its bytes; never shown by `Debug`.
            pub value: Vec<u8>,
        }

        impl $name {
            /// A request of these arguments.
            #[must_use]
            pub fn new(
                context: CallContext,
                namespace: Namespace,
                name: SecretName,
                value: Vec<u8>,
            ) -> Self {
                Self { context, namespace, name, value }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { context, namespace, name, value } = self;
                f.debug_struct(stringify!($name))
                    .field("context", context)
                    .field("namespace", namespace)
                    .field("name", name)
                    .field("value", &format_args!("<{} bytes>", value.len()))
                    .finish()
            }
        }
    )*};
}

secret_requests! {
    /// `POST /system/secrets`.
    CreateSecret
    /// `PUT /system/secrets`.
    UpdateSecret
}

/// A back-end that runs functions.
///
/// Methods are the operations of the provider API. Names and quantities arrive parsed, errors are
/// [`ProviderError`]s; nothing here knows HTTP. Methods that are added later have a default which
/// answers [`crate::ErrorKind::Unsupported`].
///
/// Mutations run to their end even when the client has left.
#[doc(alias = "FaaSHandlers")]
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function back-end",
    note = "implement `provider_types::Provider` with `#[async_trait]`"
)]
pub trait Provider: Send + Sync + 'static {
    /// Who this provider is: `provider`, `orchestration` and a non-empty version.
    async fn info(&self) -> Result<ProviderInfo, ProviderError>;

    /// All functions of a namespace, running or not.
    async fn list_functions(
        &self,
        request: ListFunctions,
    ) -> Result<Vec<FunctionStatus>, ProviderError>;

    /// Passes the functions of a namespace on, one by one, in the order of their names.
    ///
    /// The default sorts what [`Provider::list_functions`] gives. A back-end with thousands of
    /// functions does better with one status in memory, filled for each in turn
    /// ([`FunctionStatus::set_spec`]); what `pass` changes in it is for the caller only.
    async fn each_function(
        &self,
        request: ListFunctions,
        pass: &mut (dyn for<'a> FnMut(&'a mut FunctionStatus) + Send),
    ) -> Result<(), ProviderError> {
        let mut functions = self.list_functions(request).await?;
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        for function in &mut functions {
            pass(function);
        }
        Ok(())
    }

    /// Creates a function. One that exists is [`crate::ErrorKind::AlreadyExists`].
    async fn deploy_function(&self, request: DeployFunction) -> Result<Outcome, ProviderError>;

    /// Replaces a function. One that does not exist is [`crate::ErrorKind::NotFound`], on which
    /// clients rely: `faas-cli deploy` then creates it.
    async fn update_function(&self, request: UpdateFunction) -> Result<Outcome, ProviderError>;

    /// Removes a function.
    async fn delete_function(&self, request: DeleteFunction) -> Result<Outcome, ProviderError>;

    /// What a function is and how it fares. Gateways ask on every call: answer from memory.
    async fn function_status(&self, request: GetFunction) -> Result<FunctionStatus, ProviderError>;

    /// Sets how many replicas a function is to have. The status shows the new number at once.
    async fn scale_function(&self, request: ScaleFunction) -> Result<Outcome, ProviderError>;

    /// What functions use, sorted by name, for metrics: asked for with each scrape. Functions that
    /// use nothing and never did may be left out; by default all are.
    async fn usage(&self) -> Result<Vec<FunctionUsageReading>, ProviderError> {
        Ok(Vec::new())
    }
}

/// A back-end that keeps secrets.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// The names of a namespace's secrets; never their values.
    async fn list_secrets(&self, request: ListSecrets) -> Result<Vec<SecretName>, ProviderError>;

    /// Creates a secret. One that exists is [`crate::ErrorKind::AlreadyExists`].
    async fn create_secret(&self, request: CreateSecret) -> Result<Outcome, ProviderError>;

    /// Replaces a secret. One that does not exist is [`crate::ErrorKind::NotFound`].
    async fn update_secret(&self, request: UpdateSecret) -> Result<Outcome, ProviderError>;

    /// Removes a secret.
    async fn delete_secret(&self, request: DeleteSecret) -> Result<Outcome, ProviderError>;
}

/// A back-end with namespaces. The mutating methods are optional.
#[async_trait]
pub trait NamespaceStore: Send + Sync + 'static {
    /// The names of all namespaces that can hold functions, the default one included.
    async fn list_namespaces(
        &self,
        request: ListNamespaces,
    ) -> Result<Vec<Namespace>, ProviderError>;

    /// One namespace with its labels and annotations.
    async fn get_namespace(
        &self,
        _request: GetNamespace,
    ) -> Result<FunctionNamespace, ProviderError> {
        Err(ProviderError::unsupported(NO_NAMESPACE_CHANGES))
    }

    /// Creates a namespace.
    async fn create_namespace(&self, _request: CreateNamespace) -> Result<Outcome, ProviderError> {
        Err(ProviderError::unsupported(NO_NAMESPACE_CHANGES))
    }

    /// Replaces a namespace's labels and annotations.
    async fn update_namespace(&self, _request: UpdateNamespace) -> Result<Outcome, ProviderError> {
        Err(ProviderError::unsupported(NO_NAMESPACE_CHANGES))
    }

    /// Removes an empty namespace.
    async fn delete_namespace(&self, _request: DeleteNamespace) -> Result<Outcome, ProviderError> {
        Err(ProviderError::unsupported(NO_NAMESPACE_CHANGES))
    }
}

/// What the Go SDK answers where a provider has no namespace handler (`serve.go`).
const NO_NAMESPACE_CHANGES: &str = "Feature not implemented in this version of OpenFaaS";

/// A back-end that reports on itself at `GET /system/telemetry`; the shape is its own.
#[async_trait]
pub trait Telemetry: Send + Sync + 'static {
    /// The report, a JSON document.
    async fn telemetry(&self, context: CallContext) -> Result<String, ProviderError>;
}

macro_rules! shared {
    ($($trait:ident { $($method:ident($($arg:ident: $type:ty),*) -> $ok:ty;)* })*) => {$(
        #[async_trait]
        impl<T: $trait + ?Sized> $trait for Arc<T> {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$ok, ProviderError> {
                (**self).$method($($arg),*).await
            })*
        }
    )*};
}

// A back-end that is several things at once is handed out as clones of one `Arc`.
shared! {
    Provider {
        info() -> ProviderInfo;
        list_functions(request: ListFunctions) -> Vec<FunctionStatus>;
        each_function(
            request: ListFunctions,
            pass: &mut (dyn for<'a> FnMut(&'a mut FunctionStatus) + Send)
        ) -> ();
        deploy_function(request: DeployFunction) -> Outcome;
        update_function(request: UpdateFunction) -> Outcome;
        delete_function(request: DeleteFunction) -> Outcome;
        function_status(request: GetFunction) -> FunctionStatus;
        scale_function(request: ScaleFunction) -> Outcome;
        usage() -> Vec<FunctionUsageReading>;
    }
    SecretStore {
        list_secrets(request: ListSecrets) -> Vec<SecretName>;
        create_secret(request: CreateSecret) -> Outcome;
        update_secret(request: UpdateSecret) -> Outcome;
        delete_secret(request: DeleteSecret) -> Outcome;
    }
    NamespaceStore {
        list_namespaces(request: ListNamespaces) -> Vec<Namespace>;
        get_namespace(request: GetNamespace) -> FunctionNamespace;
        create_namespace(request: CreateNamespace) -> Outcome;
        update_namespace(request: UpdateNamespace) -> Outcome;
        delete_namespace(request: DeleteNamespace) -> Outcome;
    }
    Telemetry {
        telemetry(context: CallContext) -> String;
    }
}

const _: fn(&dyn Provider, &dyn SecretStore, &dyn NamespaceStore, &dyn Telemetry) = |_, _, _, _| {};
