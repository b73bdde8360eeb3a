//! A back-end in memory, a server around it, and a client that sees every byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use provider_http::{Drained, Server, ServerBuilder};
use provider_types::wire::{FunctionNamespace, FunctionStatus, ProviderInfo, VersionInfo};
use provider_types::{
    Call, CreateNamespace, CreateSecret, DeleteFunction, DeleteNamespace, DeleteSecret,
    DeployFunction, Endpoint, FunctionRef, FunctionSpec, GetFunction, GetNamespace, Line,
    ListFunctions, ListNamespaces, ListSecrets, LogEvent, LogReading, LogRequest, LogSource,
    LogStream, Namespace, NamespaceStore, Outcome, Provider, ProviderError, ResolveError, Resolver,
    ScaleFunction, SecretName, SecretStore, Telemetry, UpdateFunction, UpdateNamespace,
    UpdateSecret,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Functions, secrets and namespaces in maps. Some names make it misbehave, see its methods.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) functions: Mutex<BTreeMap<FunctionRef, (FunctionSpec, u64)>>,
    secrets: Mutex<BTreeMap<(Namespace, SecretName), Vec<u8>>>,
    namespaces: Mutex<BTreeMap<Namespace, FunctionNamespace>>,
    /// Where every function runs.
    pub(crate) upstream: Mutex<Option<SocketAddr>>,
    /// Set once a call to `slow` has run to its end, or was given up.
    pub(crate) slow_done: AtomicBool,
    pub(crate) slow_dropped: Arc<AtomicBool>,
    /// What the metrics say of the logs.
    pub(crate) log_reading: Mutex<Option<LogReading>>,
    pub(crate) slow_begun: tokio::sync::Notify,
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn absent(function: &FunctionRef) -> ProviderError {
    ProviderError::not_found(format!("function: {function} not found"))
}

#[async_trait]
impl Provider for Memory {
    async fn info(&self) -> Result<ProviderInfo, ProviderError> {
        let version = VersionInfo::new("1.2.3", "abcdef");
        Ok(ProviderInfo::new("memory", "none", version))
    }

    async fn list_functions(
        &self,
        request: ListFunctions,
    ) -> Result<Vec<FunctionStatus>, ProviderError> {
        if request.namespace.as_str() == "nowhere" {
            return Err(ProviderError::not_found("namespace nowhere not found"));
        }
        let functions = self.functions.lock().unwrap();
        let of_namespace = functions
            .values()
            .filter(|(spec, _)| spec.function.namespace == request.namespace);
        // In the wrong order on purpose.
        Ok(of_namespace.rev().map(status).collect())
    }

    /// `panics` panics; `slow` takes a while and says when it is done.
    async fn deploy_function(&self, request: DeployFunction) -> Result<Outcome, ProviderError> {
        let function = request.spec.function.clone();
        match function.name.as_str() {
            "panics" => panic!("the back-end fell over"),
            "slow" => {
                self.slow_begun.notify_one();
                tokio::time::sleep(Duration::from_millis(400)).await;
                self.slow_done.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        let mut functions = self.functions.lock().unwrap();
        if functions.contains_key(&function) {
            let message = format!("function: {function} already exists");
            return Err(ProviderError::already_exists(message));
        }
        functions.insert(function, (request.spec, 1));
        Ok(Outcome::ongoing().warn("constraints are not looked at"))
    }

    async fn update_function(&self, request: UpdateFunction) -> Result<Outcome, ProviderError> {
        let mut functions = self.functions.lock().unwrap();
        let function = request.spec.function.clone();
        let Some((spec, _)) = functions.get_mut(&function) else {
            return Err(absent(&function));
        };
        *spec = request.spec;
        Ok(Outcome::ongoing())
    }

    /// `drains` goes on after the reply.
    async fn delete_function(&self, request: DeleteFunction) -> Result<Outcome, ProviderError> {
        let mut functions = self.functions.lock().unwrap();
        if functions.remove(&request.function).is_none() {
            return Err(absent(&request.function));
        }
        Ok(match request.function.name.as_str() {
            "drains" => Outcome::ongoing(),
            _ => Outcome::done(),
        })
    }

    /// `panics` panics; `slow` never answers.
    async fn function_status(&self, request: GetFunction) -> Result<FunctionStatus, ProviderError> {
        match request.function.name.as_str() {
            "panics" => panic!("the back-end fell over"),
            "slow" => {
                let _given_up = OnDrop(Arc::clone(&self.slow_dropped));
                self.slow_begun.notify_one();
                std::future::pending::<()>().await;
            }
            "broken" => {
                return Err(
                    ProviderError::internal("could not look it up").with_cause("/secret/path")
                );
            }
            _ => {}
        }
        let functions = self.functions.lock().unwrap();
        let found = functions.get(&request.function);
        let mut found = found.map(status).ok_or_else(|| absent(&request.function))?;
        if request.usage {
            found.usage = Some(provider_types::wire::FunctionUsage::default());
        }
        Ok(found)
    }

    async fn scale_function(&self, request: ScaleFunction) -> Result<Outcome, ProviderError> {
        let mut functions = self.functions.lock().unwrap();
        let Some((_, replicas)) = functions.get_mut(&request.function) else {
            return Err(absent(&request.function));
        };
        *replicas = request.replicas;
        Ok(Outcome::ongoing())
    }
}

fn status((spec, replicas): &(FunctionSpec, u64)) -> FunctionStatus {
    let mut status = FunctionStatus::from_spec(spec);
    status.replicas = *replicas;
    status.available_replicas = *replicas;
    status
}

impl Resolver for Memory {
    type Lease = Endpoint;

    async fn resolve(&self, call: Call<'_>) -> Result<Endpoint, ResolveError> {
        if call.function.name.as_str() == "panics" {
            panic!("the resolver fell over");
        }
        let functions = self.functions.lock().unwrap();
        if !functions.contains_key(call.function) {
            return Err(ResolveError::NotFound);
        }
        let upstream = *self.upstream.lock().unwrap();
        upstream
            .map(Endpoint::tcp)
            .ok_or_else(ResolveError::not_ready)
    }
}

#[async_trait]
impl SecretStore for Memory {
    async fn list_secrets(&self, request: ListSecrets) -> Result<Vec<SecretName>, ProviderError> {
        let secrets = self.secrets.lock().unwrap();
        let names = secrets.keys().rev();
        Ok(names
            .filter(|(namespace, _)| *namespace == request.namespace)
            .map(|(_, name)| name.clone())
            .collect())
    }

    async fn create_secret(&self, request: CreateSecret) -> Result<Outcome, ProviderError> {
        let mut secrets = self.secrets.lock().unwrap();
        let key = (request.namespace, request.name);
        if secrets.contains_key(&key) {
            return Err(ProviderError::already_exists("the secret exists"));
        }
        secrets.insert(key, request.value);
        Ok(Outcome::done())
    }

    async fn update_secret(&self, request: UpdateSecret) -> Result<Outcome, ProviderError> {
        let mut secrets = self.secrets.lock().unwrap();
        let key = (request.namespace, request.name);
        match secrets.get_mut(&key) {
            Some(value) => *value = request.value,
            None => return Err(ProviderError::not_found("no such secret")),
        }
        Ok(Outcome::done())
    }

    async fn delete_secret(&self, request: DeleteSecret) -> Result<Outcome, ProviderError> {
        let mut secrets = self.secrets.lock().unwrap();
        match secrets.remove(&(request.namespace, request.name)) {
            Some(_) => Ok(Outcome::done()),
            None => Err(ProviderError::not_found("no such secret")),
        }
    }
}

impl Memory {
    pub(crate) fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let key = (Namespace::default(), SecretName::new(name).unwrap());
        self.secrets.lock().unwrap().get(&key).cloned()
    }

    /// Has a function without going through the API.
    pub(crate) fn add(&self, name: &str) {
        let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
        let spec = FunctionSpec::new(function.clone(), "image");
        self.functions.lock().unwrap().insert(function, (spec, 1));
    }
}

#[async_trait]
impl NamespaceStore for Memory {
    async fn list_namespaces(&self, _: ListNamespaces) -> Result<Vec<Namespace>, ProviderError> {
        let namespaces = self.namespaces.lock().unwrap();
        let mut names: Vec<_> = namespaces.keys().rev().cloned().collect();
        names.push(Namespace::default());
        names.push(Namespace::default());
        Ok(names)
    }

    async fn get_namespace(
        &self,
        request: GetNamespace,
    ) -> Result<FunctionNamespace, ProviderError> {
        let namespaces = self.namespaces.lock().unwrap();
        let found = namespaces.get(&request.namespace).cloned();
        found.ok_or_else(|| no_namespace(&request.namespace))
    }

    async fn create_namespace(&self, request: CreateNamespace) -> Result<Outcome, ProviderError> {
        let mut namespaces = self.namespaces.lock().unwrap();
        if namespaces.contains_key(&request.namespace) {
            let message = format!("namespace {} already exists", request.namespace);
            return Err(ProviderError::already_exists(message));
        }
        let mut made = FunctionNamespace::default();
        made.name = request.namespace.to_string();
        made.labels = request.labels;
        made.annotations = request.annotations;
        namespaces.insert(request.namespace, made);
        Ok(Outcome::done())
    }

    async fn update_namespace(&self, request: UpdateNamespace) -> Result<Outcome, ProviderError> {
        let mut namespaces = self.namespaces.lock().unwrap();
        let Some(found) = namespaces.get_mut(&request.namespace) else {
            return Err(no_namespace(&request.namespace));
        };
        found.labels = request.labels;
        found.annotations = request.annotations;
        Ok(Outcome::done())
    }

    async fn delete_namespace(&self, request: DeleteNamespace) -> Result<Outcome, ProviderError> {
        let mut namespaces = self.namespaces.lock().unwrap();
        match namespaces.remove(&request.namespace) {
            Some(_) => Ok(Outcome::done()),
            None => Err(no_namespace(&request.namespace)),
        }
    }
}

fn no_namespace(namespace: &Namespace) -> ProviderError {
    ProviderError::not_found(format!("namespace {namespace} not found"))
}

#[async_trait]
impl LogSource for Memory {
    /// One line, and with `follow` silence until the client leaves.
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
        if !self
            .functions
            .lock()
            .unwrap()
            .contains_key(&request.function)
        {
            return Err(absent(&request.function));
        }
        let line = Line::new("i-1", std::time::SystemTime::UNIX_EPOCH, "a <line>");
        let given_up = OnDrop(Arc::clone(&self.slow_dropped));
        let state = (Some(line), request.follow, given_up);
        Ok(Box::pin(futures_util::stream::unfold(
            state,
            |(line, follow, guard)| async move {
                match line {
                    Some(line) => Some((Ok(LogEvent::Line(line)), (None, follow, guard))),
                    None if follow => std::future::pending().await,
                    None => None,
                }
            },
        )))
    }

    fn reading(&self) -> Option<LogReading> {
        self.log_reading.lock().unwrap().clone()
    }
}

#[async_trait]
impl Telemetry for Memory {
    async fn telemetry(&self, _: provider_types::CallContext) -> Result<String, ProviderError> {
        Ok(r#"{"ok":true}"#.to_owned())
    }
}

/// A server that runs, with everything turned on, and its back-end.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<Memory>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<Drained>,
}

pub(crate) type Builder = ServerBuilder<Arc<Memory>>;

/// A builder with every capability.
pub(crate) fn full(backend: &Arc<Memory>) -> Builder {
    Server::builder(Arc::clone(backend))
        .resolver(Arc::clone(backend))
        .secrets(Arc::clone(backend))
        .namespaces(Arc::clone(backend))
        .logs(Arc::clone(backend))
        .telemetry(Arc::clone(backend))
}

/// Starts a server with everything, changed as said.
pub(crate) async fn start(change: impl FnOnce(Builder) -> Builder) -> Running {
    let backend = Arc::new(Memory::default());
    let builder = change(full(&backend)).bind("127.0.0.1:0");
    run(builder, backend)
}

pub(crate) fn run<R: Resolver>(builder: ServerBuilder<R>, backend: Arc<Memory>) -> Running {
    let server = builder.listen().unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move { server.serve_until(stopped).await.unwrap() });
    Running {
        address,
        backend,
        stop: Some(stop),
        served,
    }
}

impl Running {
    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &str) -> Reply {
        self.ask_with(method, target, &[], body).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "Connection: close\r\n\r\n";
        text += body;
        self.raw(text.as_bytes()).await
    }

    /// Sends bytes as they are and reads to the end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Reply::read_to_end(&mut stream).await
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) -> Drained {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .unwrap()
            .unwrap()
    }
}

/// A reply, byte for byte.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Self {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("no end of the reply")
            .unwrap();
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no reply: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// The values of a header, joined by `|`; empty without it.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.head.lines().skip(1);
        let values: Vec<&str> = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect();
        values.join("|")
    }

    /// A refusal in the shape of Go's `http.Error`: its one line.
    pub(crate) fn refusal(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            "text/plain; charset=utf-8",
            "{self:?}"
        );
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
        let line = self
            .body
            .strip_suffix('\n')
            .unwrap_or_else(|| panic!("no newline: {self:?}"));
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "not one line: {self:?}"
        );
        line
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.header("content-type").is_empty()
    }
}
