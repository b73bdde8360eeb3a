//! Wire types of the OpenFaaS provider API, and the traits that a back-end or a runtime implements.
//!
//! This crate is the vocabulary of the workspace. It knows no HTTP library and no async runtime.
//!
//! * [`wire`]: the JSON bodies, read as leniently and written as exactly as Go's types do.
//! * [`Provider`] and its optional sisters [`SecretStore`], [`NamespaceStore`] and [`Telemetry`]:
//!   what a back-end implements to be served.
//! * [`Resolver`]: where a call of a function goes. Asked once per invocation.
//! * [`LogSource`]: where log lines come from.
//! * [`Runtime`]: what runs the instances of functions on one host, for `provider-engine`.
//!
//! ```
//! use provider_types::{FunctionRef, Namespace};
//!
//! let default = Namespace::default();
//! let plain = FunctionRef::parse_dotted("figlet", &default)?;
//! assert_eq!(plain.to_string(), "figlet.openfaas-fn");
//!
//! let elsewhere = FunctionRef::parse_dotted("figlet.staging", &default)?;
//! assert_eq!(elsewhere.namespace.as_str(), "staging");
//! # Ok::<(), provider_types::NameError>(())
//! ```

mod backend;
mod duration;
mod error;
mod logs;
mod names;
mod quantity;
mod ready;
mod resolve;
mod runtime;
mod scale;
mod spec;
mod timestamp;
pub mod wire;

pub use backend::{
    CallContext, CreateNamespace, CreateSecret, DeleteFunction, DeleteNamespace, DeleteSecret,
    DeployFunction, FunctionSpec, FunctionUsageReading, GetFunction, GetNamespace, Identity,
    ListFunctions, ListNamespaces, ListSecrets, NamespaceStore, Outcome, Progress, Provider,
    Resources, ScaleFunction, SecretStore, Telemetry, UpdateFunction, UpdateNamespace,
    UpdateSecret,
};
pub use duration::{DurationError, seconds_or_duration};
pub use error::{ErrorKind, ProviderError};
pub use logs::{
    DroppedLines, FunctionLogReading, Line, LogEvent, LogReading, LogRequest, LogSource, LogStream,
};
pub use names::{
    DEFAULT_NAMESPACE, FunctionName, FunctionRef, NameError, NameRule, Namespace, SecretName,
};
pub use quantity::{Quantity, QuantityError};
pub use ready::ReadyProbe;
pub use resolve::{
    Call, Endpoint, EndpointAddress, Lease, Phases, Report, ResolveError, Resolver,
    UpstreamProtocol,
};
pub use runtime::{
    BoxStream, Capabilities, ExitReason, Host, InstanceId, InstanceSpec, InstanceState,
    InstanceStats, LogChunk, LogOutput, Prepared, Runtime, RuntimeEvent, RuntimeInstance,
};
pub use scale::Scaler;
pub use timestamp::{Timestamp, TimestampError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
