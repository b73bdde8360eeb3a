//! What runs the instances of functions on one host. The engine decides, the runtime obeys.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_core::Stream;

use crate::{Endpoint, FunctionRef, FunctionSpec, ProviderError, SecretName};

/// Names one instance: unique over all functions and never used again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// An id; file names and addresses are made of it, so keep to letters, digits and `-`.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a runtime can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Holds an instance to its limits. Which of them it cannot hold for a function, it says in
    /// [`Prepared::warnings`].
    pub limits: bool,
    /// Gives an instance a root file system that it cannot write to, where that is asked for.
    pub read_only_root_filesystem: bool,
    /// Can pause and resume an instance.
    pub pause: bool,
    /// Instances outlive the provider and can be adopted.
    pub survives_restart: bool,
}

/// What the host of a runtime has to give to functions. `None` is what is not known, and then
/// nothing is refused for the lack of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core.
    pub millicores: Option<u64>,
}

impl Host {
    /// A host of which both are known.
    #[must_use]
    pub fn new(memory_bytes: u64, millicores: u64) -> Self {
        Self {
            memory_bytes: Some(memory_bytes),
            millicores: Some(millicores),
        }
    }
}

/// What [`Runtime::prepare`] found out.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Prepared {
    /// What the deployer should know, a line each.
    pub warnings: Vec<String>,
    /// Annotations that the status shows beside the deployed ones.
    pub annotations: Vec<(String, String)>,
    /// Whether at most one instance can run at a time (a fixed port, for example), and why.
    pub single_instance: Option<String>,
}

/// What an instance is to be.
#[derive(Clone)]
#[non_exhaustive]
pub struct InstanceSpec {
    /// Which instance.
    pub id: InstanceId,
    /// What runs in it.
    pub function: Arc<FunctionSpec>,
    /// Which version of the function that is. A runtime whose instances outlive the provider keeps
    /// it with them and gives it back in [`RuntimeInstance::generation`].
    pub generation: u64,
    /// The function's secrets; never shown by `Debug`.
    pub secrets: Vec<(SecretName, Vec<u8>)>,
}

impl InstanceSpec {
    /// An instance of a function.
    #[must_use]
    pub fn new(
        id: InstanceId,
        function: Arc<FunctionSpec>,
        secrets: Vec<(SecretName, Vec<u8>)>,
    ) -> Self {
        Self {
            id,
            function,
            generation: 0,
            secrets,
        }
    }

    /// The same, of that version of its function.
    #[must_use]
    pub fn with_generation(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }
}

impl fmt::Debug for InstanceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            function,
            generation,
            secrets,
        } = self;
        let names: Vec<&SecretName> = secrets.iter().map(|(name, _)| name).collect();
        f.debug_struct("InstanceSpec")
            .field("id", id)
            .field("function", function)
            .field("generation", generation)
            .field("secrets", &names)
            .finish()
    }
}

/// How an instance fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceState {
    /// It was started and may not listen yet.
    Started,
    /// It answers: [`RuntimeEvent::Ready`] was sent, maybe before anybody listened.
    Ready,
    /// It is paused.
    Paused,
    /// It has ended.
    Exited,
}

/// An instance that the runtime knows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuntimeInstance {
    /// Which instance.
    pub id: InstanceId,
    /// Whose.
    pub function: FunctionRef,
    /// Where it listens, or will.
    pub endpoint: Endpoint,
    /// How it fares.
    pub state: InstanceState,
    /// What it lacks while it does not answer, for clients: one line, no host paths.
    pub unready: Option<String>,
    /// When it was started.
    pub started_at: SystemTime,
    /// The [`InstanceSpec::generation`] that it was started with, where the runtime kept it.
    pub generation: Option<u64>,
    /// Why it ended, of one in [`InstanceState::Exited`], where that is known.
    pub exit: Option<ExitReason>,
}

impl RuntimeInstance {
    /// An instance that was just started.
    #[must_use]
    pub fn new(id: InstanceId, function: FunctionRef, endpoint: Endpoint) -> Self {
        Self {
            id,
            function,
            endpoint,
            state: InstanceState::Started,
            unready: None,
            started_at: SystemTime::now(),
            generation: None,
            exit: None,
        }
    }
}

/// Why an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was told to stop.
    Stopped,
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It used more memory than it may.
    OutOfMemory,
    /// It went beyond another of its limits and was ended for that; which, with numbers: one line.
    LimitExceeded(String),
    /// It never got as far as running; why, for the status: one line, no secrets.
    StartFailed(String),
}

/// What a runtime tells by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RuntimeEvent {
    /// An instance answers: calls may go to it.
    Ready(InstanceId),
    /// An instance that was ready answers no more, and runs: no call may go to it until it is ready
    /// again.
    Unready {
        /// Which instance.
        id: InstanceId,
        /// What it lacks, for clients: one line, no host paths.
        reason: String,
    },
    /// An instance was held to one of its limits and runs on.
    LimitReached {
        /// Which instance.
        id: InstanceId,
        /// Which limit, with numbers, as the end of a sentence that begins with the instance: one
        /// line.
        limit: String,
    },
    /// How far [`Runtime::prepare`] has got with what it fetches.
    Preparing {
        /// For which function.
        function: FunctionRef,
        /// How far, for the status: one line.
        progress: String,
    },
    /// An instance has ended.
    Exited {
        /// Which instance.
        id: InstanceId,
        /// Why.
        reason: ExitReason,
    },
    /// The runtime cannot be reached; events may be missed from here on.
    Lost,
    /// The runtime is back: list again.
    Back,
}

/// What an instance uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct InstanceStats {
    /// Resident bytes of the whole instance.
    pub memory_bytes: u64,
    /// CPU time used since its start.
    pub cpu: Duration,
}

impl InstanceStats {
    /// What an instance uses.
    #[must_use]
    pub fn new(memory_bytes: u64, cpu: Duration) -> Self {
        Self { memory_bytes, cpu }
    }
}

/// Which of its outputs an instance wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Lines that an instance wrote to one of its outputs and that were read together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogChunk {
    /// When they were read.
    pub timestamp: SystemTime,
    /// Where they were written to.
    pub output: LogOutput,
    /// The lines, any bytes, each with a newline at its end. Lines up to 1 MiB are whole; the
    /// pieces of a longer one are lines of their own.
    pub lines: Vec<u8>,
    /// How many lines are missing before these, since nobody took them in time.
    pub dropped: u64,
}

impl LogChunk {
    /// One line, read now and given without its newline.
    #[must_use]
    pub fn new(output: LogOutput, mut line: Vec<u8>) -> Self {
        line.push(b'\n');
        Self::of_lines(output, line)
    }

    /// Lines read now, each with its newline.
    #[must_use]
    pub fn of_lines(output: LogOutput, lines: Vec<u8>) -> Self {
        Self {
            timestamp: SystemTime::now(),
            output,
            lines,
            dropped: 0,
        }
    }
}

/// A stream of what a runtime tells.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Runs instances. Every call may come twice, and then answers the same.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What the host has. The engine refuses requests for more; by default nothing is known.
    fn host(&self) -> Host {
        Host::default()
    }

    /// Checks that a function can run here and fetches what it needs, without starting it.
    /// What is wrong with the deployment is [`crate::ErrorKind::InvalidArgument`].
    async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError>;

    /// Starts an instance. The same id twice is one instance.
    async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError>;

    /// Stops giving an instance CPU.
    async fn pause(&self, _id: &InstanceId) -> Result<(), ProviderError> {
        Err(ProviderError::unsupported(
            "this runtime cannot pause an instance",
        ))
    }

    /// Lets a paused instance go on.
    async fn resume(&self, _id: &InstanceId) -> Result<(), ProviderError> {
        Err(ProviderError::unsupported(
            "this runtime cannot resume an instance",
        ))
    }

    /// Asks an instance to end and waits; after `grace` it is killed with all it started.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), ProviderError>;

    /// Forgets an ended instance and frees what it held. An unknown id is fine.
    async fn remove(&self, id: &InstanceId) -> Result<(), ProviderError>;

    /// All instances it knows.
    async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError>;

    /// What an instance uses. Of one that has ended, until it is removed: the CPU time that it used
    /// in all.
    async fn stats(&self, id: &InstanceId) -> Result<InstanceStats, ProviderError>;

    /// Gives running instances of a function the present values of its secrets. During an update
    /// two versions run, which may list different ones: each instance sees those of its own spec only.
    async fn refresh_secrets(
        &self,
        function: &FunctionRef,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError>;

    /// What happens from now on. After [`RuntimeEvent::Lost`] list again.
    fn events(&self) -> BoxStream<RuntimeEvent>;

    /// What an instance writes, from its start; to be taken once per instance and provider. Ends with
    /// it. Of an instance that outlived a provider: what was not handed to the one before.
    async fn logs(&self, id: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError>;
}

const _: fn(&dyn Runtime) = |_| {};
