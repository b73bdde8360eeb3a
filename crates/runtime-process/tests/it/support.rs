//! A runtime in a temporary directory, functions made of scripts, and a client.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use provider_types::{
    BoxStream, Endpoint, EndpointAddress, ExitReason, FunctionName, FunctionRef, FunctionSpec,
    InstanceId, InstanceSpec, Namespace, Runtime as _, RuntimeEvent, RuntimeInstance, SecretName,
};
use runtime_process::{ProcessConfig, ProcessRuntime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    pub(crate) runtime: ProcessRuntime,
    pub(crate) dir: tempfile::TempDir,
    events: BoxStream<RuntimeEvent>,
    next: AtomicU64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ProcessConfig)) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), change)
    }

    pub(crate) fn in_dir(dir: tempfile::TempDir, change: impl FnOnce(&mut ProcessConfig)) -> Self {
        let config = config(dir.path(), change);
        let runtime = ProcessRuntime::new(config).unwrap();
        let events = runtime.events();
        Self {
            runtime,
            dir,
            events,
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a script that functions can name as their image.
    pub(crate) fn script(&self, name: &str, body: &str) -> String {
        let path = self.path("functions").join(name);
        fs::write(&path, body).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) async fn start(&self, spec: FunctionSpec) -> RuntimeInstance {
        self.start_with(spec, &[]).await
    }

    pub(crate) async fn start_with(
        &self,
        spec: FunctionSpec,
        secrets: &[(&str, &str)],
    ) -> RuntimeInstance {
        let instance = self.instance(spec, secrets);
        self.runtime.start(instance).await.unwrap()
    }

    pub(crate) fn instance(&self, spec: FunctionSpec, secrets: &[(&str, &str)]) -> InstanceSpec {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = InstanceId::new(format!("{}-{number}", spec.function.name));
        InstanceSpec::new(id, Arc::new(spec), named(secrets))
    }

    /// Starts an instance and waits until it answers.
    pub(crate) async fn up(&mut self, spec: FunctionSpec) -> RuntimeInstance {
        let started = self.start(spec).await;
        self.ready(&started.id).await;
        started
    }

    pub(crate) async fn ready(&mut self, id: &InstanceId) {
        match self.event(id).await {
            RuntimeEvent::Ready(_) => {}
            other => panic!("not ready but {other:?}"),
        }
    }

    pub(crate) async fn exit(&mut self, id: &InstanceId) -> ExitReason {
        match self.event(id).await {
            RuntimeEvent::Exited { reason, .. } => reason,
            other => panic!("not exited but {other:?}"),
        }
    }

    /// What an instance lacks that is not ready, or no more.
    pub(crate) async fn unready(&mut self, id: &InstanceId) -> String {
        match self.event(id).await {
            RuntimeEvent::Unready { reason, .. } => reason,
            other => panic!("not unready but {other:?}"),
        }
    }

    /// The limit that an instance is held to.
    pub(crate) async fn limit(&mut self, id: &InstanceId) -> String {
        match self.event(id).await {
            RuntimeEvent::LimitReached { limit, .. } => limit,
            other => panic!("no limit but {other:?}"),
        }
    }

    async fn event(&mut self, wanted: &InstanceId) -> RuntimeEvent {
        loop {
            let event = timeout(PATIENCE, self.events.next()).await;
            let event = event.expect("no event came").expect("no more events");
            let id = match &event {
                RuntimeEvent::Ready(id)
                | RuntimeEvent::Unready { id, .. }
                | RuntimeEvent::Exited { id, .. }
                | RuntimeEvent::LimitReached { id, .. } => id,
                other => panic!("{other:?}"),
            };
            if id == wanted {
                return event;
            }
        }
    }
}

pub(crate) fn config(dir: &Path, change: impl FnOnce(&mut ProcessConfig)) -> ProcessConfig {
    let functions = dir.join("functions");
    fs::create_dir_all(&functions).unwrap();
    let mut config = ProcessConfig::new(dir.join("state/run"));
    config.watchdog.program = PathBuf::from(env!("CARGO_BIN_EXE_process-watchdog"));
    config.functions_dir = Some(functions);
    config.hidden = vec![dir.join("state")];
    change(&mut config);
    config
}

pub(crate) fn named(secrets: &[(&str, &str)]) -> Vec<(SecretName, Vec<u8>)> {
    secrets
        .iter()
        .map(|(name, value)| (SecretName::new(name).unwrap(), value.as_bytes().to_vec()))
        .collect()
}

pub(crate) fn function(image: &str) -> FunctionSpec {
    let name = FunctionName::new("it").unwrap();
    FunctionSpec::new(FunctionRef::new(name, Namespace::default()), image)
}

pub(crate) fn process(command: &str) -> FunctionSpec {
    let mut spec = function("ghcr.io/openfaas/alpine");
    spec.env_process = Some(command.to_owned());
    spec
}

pub(crate) fn with(mut spec: FunctionSpec, variables: &[(&str, &str)]) -> FunctionSpec {
    for (name, value) in variables {
        spec.env_vars
            .insert((*name).to_owned(), (*value).to_owned());
    }
    spec
}

/// Calls an instance once and gives status and body.
pub(crate) async fn call(endpoint: &Endpoint, body: &str) -> (u16, String) {
    timeout(PATIENCE, try_call(endpoint, body))
        .await
        .expect("no answer")
        .unwrap()
}

pub(crate) async fn try_call(endpoint: &Endpoint, body: &str) -> std::io::Result<(u16, String)> {
    match &endpoint.address {
        EndpointAddress::Unix(path) => exchange(UnixStream::connect(&**path).await?, body).await,
        EndpointAddress::Tcp(address) => exchange(TcpStream::connect(address).await?, body).await,
        other => panic!("{other:?}"),
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    body: &str,
) -> std::io::Result<(u16, String)> {
    let request = format!(
        "POST / HTTP/1.1\r\nHost: it\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    let body = if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        dechunk(body)
    } else {
        body.to_owned()
    };
    Ok((status.unwrap_or_default(), body))
}

fn dechunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        text.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    text
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// The ids that a script has written to a file, one a line.
pub(crate) fn pids(file: &Path) -> Vec<String> {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}
