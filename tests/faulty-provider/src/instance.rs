//! A replica: the test function of the kit, on a port of its own within this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use provider_conformance::{FunctionSettings, TestFunction};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::defect::Defect;
use crate::deployment::Deployment;
use crate::logs::{Logs, Output};
use crate::state::{Inner, Key};

/// The one program that there is, as the first word of `envProcess`; what the kit asks for unless
/// told otherwise, `PATH/provider-conformance function`, is the same.
pub(crate) const PROGRAM: &str = "test-function";

/// The arguments of that program, if the line runs it.
fn arguments(line: &str) -> Option<Vec<String>> {
    let mut words = line.split_ascii_whitespace();
    let program = words.next()?;
    let kit = program.rsplit('/').next() == Some("provider-conformance");
    let ours = program == PROGRAM || (kit && words.next() == Some("function"));
    ours.then(|| words.map(str::to_owned).collect())
}

/// A replica. It ends once nobody holds it: neither its function nor a call.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) generation: u64,
    address: OnceLock<SocketAddr>,
    too_soon: bool,
    /// A connection that is kept although it may be closed (a defect).
    pub(crate) kept: Mutex<Option<TcpStream>>,
    _held: oneshot::Sender<()>,
}

impl Instance {
    /// Whether it counts as one that answers.
    pub(crate) fn is_ready(&self) -> bool {
        self.too_soon || self.address().is_some()
    }

    /// Where it listens, as soon as it does.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }
}

/// Starts a replica; whether it comes up shows later.
pub(crate) fn start(
    inner: &Arc<Inner>,
    key: &Key,
    (id, generation): (String, u64),
    deployment: &Deployment,
    logs: &Arc<Logs>,
    secrets: Vec<(String, Vec<u8>)>,
) -> Arc<Instance> {
    let (held, dropped) = oneshot::channel();
    let instance = Arc::new(Instance {
        id,
        generation,
        address: OnceLock::new(),
        too_soon: inner.has(Defect::AvailableTooSoon),
        kept: Mutex::default(),
        _held: held,
    });
    let program = Program {
        inner: Arc::clone(inner),
        key: key.clone(),
        id: instance.id.clone(),
        deployment: deployment.clone(),
        logs: Arc::clone(logs),
        secrets,
    };
    tokio::spawn(program.run(Arc::downgrade(&instance), dropped));
    instance
}

/// What a replica runs.
struct Program {
    inner: Arc<Inner>,
    key: Key,
    id: String,
    deployment: Deployment,
    logs: Arc<Logs>,
    secrets: Vec<(String, Vec<u8>)>,
}

impl Program {
    async fn run(self, instance: Weak<Instance>, mut dropped: oneshot::Receiver<()>) {
        if self.inner.has(Defect::AvailableTooSoon) {
            // Longer than a busy machine takes for a first call.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let bound = tokio::select! {
            bound = self.bind() => bound,
            _ = &mut dropped => return,
        };
        let ended = match bound {
            Ok((function, _directory)) => {
                if let Some(instance) = instance.upgrade() {
                    let _ = instance.address.set(function.address());
                }
                self.inner.look_again(&self.key);
                let code = function.serve(async { drop(dropped.await) }).await;
                format!("the function has ended with {code}")
            }
            Err(error) => format!("the function cannot start: {error}"),
        };
        // A replica that is not held any more was told to end.
        if instance.strong_count() > 0 {
            self.logs.push(&self.id, ended);
            self.inner.gone(&self.key, &self.id);
        }
    }

    async fn bind(&self) -> anyhow::Result<(TestFunction, TempDir)> {
        let line = self.deployment.process(&self.inner);
        let Some(arguments) = arguments(&line) else {
            anyhow::bail!("there is no program {line:?}, only {PROGRAM}");
        };
        let directory = tempfile::tempdir()?;
        for (name, value) in &self.secrets {
            std::fs::write(directory.path().join(name), self.as_read(value))?;
        }
        let mut variables = BTreeMap::from([
            ("host".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), "0".to_owned()),
            ("OPENFAAS_NAME".to_owned(), self.key.1.clone()),
            ("OPENFAAS_NAMESPACE".to_owned(), self.key.0.clone()),
        ]);
        if self.inner.has(Defect::EnvironmentLeaks) {
            variables.insert("secret_mount_path".to_owned(), "/run/secrets".to_owned());
        }
        for (name, value) in &self.deployment.env_vars {
            if let Some(value) = self.as_variable(value) {
                variables.insert(name.clone(), value);
            }
        }
        let mut settings = FunctionSettings::from_variables(variables)?;
        settings.secrets = PathBuf::from(directory.path());
        settings.arguments = arguments;
        let long = self.inner.has(Defect::LongLineStops);
        let output = || Box::new(Output::new(&self.id, &self.logs, long));
        settings.stdout = output();
        settings.stderr = output();
        Ok((TestFunction::bind(settings).await?, directory))
    }

    fn as_variable(&self, value: &str) -> Option<String> {
        let has = |defect| self.inner.has(defect);
        if has(Defect::EnvEmptyDropped) && value.is_empty() {
            return None;
        }
        let mut value = value.to_owned();
        if has(Defect::EnvTrimmed) {
            value = value.trim().to_owned();
        }
        if has(Defect::EnvCutAtEquals) {
            value = value.split('=').take(2).collect::<Vec<_>>().join("=");
        }
        if has(Defect::EnvCut) {
            value = value.chars().take(4096).collect();
        }
        if has(Defect::EnvAscii) {
            value.retain(|one| one.is_ascii());
        }
        Some(value)
    }

    fn as_read(&self, value: &[u8]) -> Vec<u8> {
        let has = |defect| self.inner.has(defect);
        let mut value = value.to_vec();
        if has(Defect::SecretAsText) {
            value = String::from_utf8_lossy(&value).into_owned().into_bytes();
        }
        if has(Defect::SecretCut) {
            value.truncate(4096);
        }
        if has(Defect::SecretNewline) {
            value.push(b'\n');
        }
        value
    }
}
