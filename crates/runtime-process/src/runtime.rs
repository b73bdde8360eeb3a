//! The runtime: instances by id, and what the engine asks of them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use provider_types::{
    BoxStream, Capabilities, Endpoint, ErrorKind, FunctionRef, FunctionSpec, Host, InstanceId,
    InstanceSpec, InstanceStats, LogChunk, Prepared, ProviderError, Runtime, RuntimeEvent,
    RuntimeInstance, SecretName,
};
use tokio::sync::broadcast::error::RecvError;

use crate::config::{ProcessConfig, SetupError};
use crate::environment::{self, DEFAULT_PATH, Place};
use crate::http_mode::{self, HttpMode, Port, Ports};
use crate::instance::{self, Handle, Shared, Started};
use crate::instance_dir::{InstanceDir, SOCKET};
use crate::launch::{Launch, Outset, Settings};
use crate::limits::{self, Group, Limits, LimitsStatus};
use crate::lines::LineSource;
use crate::own_place::{MARK, OwnPlace, own_dir};
use crate::program::{IMAGE_NOT_RUN_ANNOTATION, Mode, Places, Program};
use crate::readiness::Readiness;
use crate::sandbox::{Rules, SandboxStatus, holds};
use crate::secrets_place::{SecretsPlace, SecretsStatus};
use crate::spare::{self, Spare};
use provider_watchdog::causes;

/// Runs functions as child processes, each below a watchdog of its own.
///
/// Dropping it ends all instances at once.
#[derive(Debug)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
    /// One start at a time, so that the same id twice is one instance.
    starting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    config: ProcessConfig,
    sandbox: SandboxStatus,
    limits: Limits,
    host: Host,
    private_temp: bool,
    ports: Arc<Ports>,
    shared: Arc<Shared>,
    spare: Spare,
    instances: Mutex<HashMap<InstanceId, Instance>>,
    place: OwnPlace,
    spare_place: Option<OwnPlace>,
    /// Or why there is none.
    secrets: Result<SecretsPlace, Option<String>>,
}

#[derive(Debug)]
struct Instance {
    shown: RuntimeInstance,
    handle: Handle,
    dir: InstanceDir,
    lines: Option<LineSource>,
    /// Keeps the directory reachable by the short name in the endpoint.
    _dir_handle: Option<File>,
}

impl ProcessRuntime {
    /// Takes a place for instances below the directory for them, ends and removes what killed
    /// providers left there, and asks the kernel what it can do. Blocks briefly.
    ///
    /// # Errors
    /// When a directory cannot be used, or orphans cannot be adopted.
    pub fn new(mut config: ProcessConfig) -> Result<Self, SetupError> {
        if let Some(dir) = &mut config.functions_dir {
            *dir = existing_dir(dir).map_err(|source| SetupError::FunctionsDir {
                path: dir.clone(),
                source,
            })?;
        }
        let mode = if config.run_as.is_some() {
            0o711
        } else {
            0o700
        };
        config.run_dir = own_dir(&config.run_dir, mode)?;
        config.hidden.push(config.run_dir.clone());
        let place = OwnPlace::take(&config.run_dir, mode)?;
        let secrets = match &config.secrets_dir {
            Some(dir) => SecretsPlace::take(dir).map_err(Some),
            None => Err(None),
        };
        if let Ok(secrets) = &secrets {
            config.hidden.push(secrets.root().to_owned());
        }
        let spare_place = match &config.spare_run_dir {
            Some(dir) if secrets.is_err() => spare_place(dir, mode),
            _ => None,
        };
        if let Some((dir, _)) = &spare_place {
            config.hidden.push(dir.clone());
        }
        // Rules are kept by the kernel for real paths.
        for path in config.hidden.iter_mut().chain([&mut config.temp_dir]) {
            *path = fs::canonicalize(&*path).unwrap_or_else(|_| path.clone());
        }
        config
            .environment
            .retain(|name, _| environment::INHERITED.contains(&name.as_str()));
        config
            .environment
            .entry("PATH".to_owned())
            .or_insert_with(|| DEFAULT_PATH.to_owned());
        if let Some(user) = &config.run_as {
            let home = user.home.to_string_lossy().into_owned();
            config.environment.insert("HOME".to_owned(), home);
        }
        if config.adopt_orphans {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .map_err(|error| SetupError::Adopt(error.into()))?;
        }
        let name = group_name(place.path());
        let limits = Limits::detect(config.limits, &name, config.max_processes)?;
        let sandbox = SandboxStatus::probe(config.sandbox);
        let private_temp = sandbox == SandboxStatus::Enforced
            && config.hidden.iter().any(|dir| holds(&config.temp_dir, dir));
        Ok(Self {
            inner: Arc::new(Inner {
                sandbox,
                limits,
                host: limits::host(),
                private_temp,
                ports: Arc::new(Ports::new()),
                shared: Arc::new(Shared::new(config.adopt_orphans)),
                spare: Spare::default(),
                instances: Mutex::default(),
                config,
                place,
                spare_place: spare_place.map(|(_, place)| place),
                secrets,
            }),
            starting: tokio::sync::Mutex::default(),
        })
    }

    /// Where the instances of this runtime are: a place of its own below
    /// [`ProcessConfig::run_dir`].
    #[must_use]
    pub fn place(&self) -> &Path {
        self.inner.place.path()
    }

    /// Where the files lie that instances read their secrets from.
    #[must_use]
    pub fn secrets(&self) -> SecretsStatus {
        match &self.inner.secrets {
            Ok(place) => SecretsStatus::Memory(place.root().to_owned()),
            Err(lacks) => SecretsStatus::Disk {
                lacks: lacks.clone(),
            },
        }
    }

    /// Whether the kernel holds functions to their own and the temporary directory.
    #[must_use]
    pub fn sandbox(&self) -> SandboxStatus {
        self.inner.sandbox
    }

    /// How instances are held to their limits.
    #[must_use]
    pub fn limits(&self) -> LimitsStatus {
        self.inner.limits.status()
    }

    /// Sees to it that a watchdog waits for the next instance, soon.
    fn order_spare(&self) {
        let Some(order) = self.inner.spare.order() else {
            return;
        };
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            tokio::time::sleep(spare::PAUSE).await;
            let inner = inner.upgrade();
            if let Some(inner) = inner.filter(|inner| inner.spare.is_wanted(order)) {
                // Without one the next start only takes longer, and says what is wrong.
                blocking(move || inner.spare.put(order, inner.spawn().ok())).await;
            }
        });
    }

    /// Whether each instance has a temporary directory of its own, because the common one holds
    /// what functions must not read.
    #[must_use]
    pub fn has_private_temp(&self) -> bool {
        self.inner.private_temp
    }
}

impl Inner {
    fn instances(&self) -> MutexGuard<'_, HashMap<InstanceId, Instance>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: &InstanceId) -> Option<Handle> {
        self.instances().get(id).map(|it| it.handle.clone())
    }

    fn resolve(&self, spec: &FunctionSpec) -> Result<Program, ProviderError> {
        let search_path = spec.env_vars.get("PATH");
        let search_path = search_path.or_else(|| self.config.environment.get("PATH"));
        let places = Places {
            functions_dir: self.config.functions_dir.as_deref(),
            search_path: search_path.map_or(DEFAULT_PATH, String::as_str),
        };
        let program = Program::resolve(spec, places)?;
        self.keep_out(program.image_dir.as_deref())?;
        self.keep_out(program.command.first().map(Path::new))?;
        let listens = match &program.mode {
            Mode::Http(HttpMode::Fixed { address, .. }) => Some(*address),
            // Any will do to see whether the settings make sense.
            Mode::Http(HttpMode::Told) => Some((Ipv4Addr::LOCALHOST, 1).into()),
            Mode::Watchdog => None,
        };
        Readiness::of(spec)?;
        self.limits.check(spec)?;
        self.settings(spec, listens)
            .watchdog_config()
            .map_err(|error| ProviderError::invalid(format!("envVars: {}", causes(&error))))?;
        Ok(program)
    }

    /// A function may read and write where its program is, so that must not be our own state.
    fn keep_out(&self, path: Option<&Path>) -> Result<(), ProviderError> {
        let Some(Ok(real)) = path.map(fs::canonicalize) else {
            return Ok(());
        };
        let within = |dir: &PathBuf| holds(dir, &real);
        if self.config.functions_dir.as_ref().is_some_and(within)
            || !self.config.hidden.iter().any(within)
        {
            return Ok(());
        }
        Err(ProviderError::invalid(
            "the image or program lies in a directory that belongs to the provider itself: move \
             it elsewhere",
        ))
    }

    /// Starts an instance that there is not. Blocks.
    fn start(&self, spec: &InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        let failed = |what: &'static str| {
            move |error: io::Error| ProviderError::internal(what).with_cause(error)
        };
        let function = &spec.function;
        // It gets ready while the rest goes on.
        let started = match self.spare.take() {
            Some(spare) => spare,
            None => self
                .spawn()
                .and_then(|mut it| it.call().map(|()| it))
                .map_err(failed("the watchdog could not be started"))?,
        };
        let program = self.resolve(function)?;
        let readiness = Readiness::of(function)?;
        let port = match &program.mode {
            Mode::Http(HttpMode::Told) => Some(self.ports.take().map_err(|error| {
                ProviderError::unavailable("there is no free port for the program")
                    .with_cause(error)
            })?),
            Mode::Http(HttpMode::Fixed { .. }) | Mode::Watchdog => None,
        };
        let listens = listens(&program.mode, port.as_ref())?;

        let dir = self.instance_dir(spec)?;
        let (endpoint, dir_handle) = match listens {
            Some(address) => (Endpoint::tcp(address), None),
            None => unix_endpoint(&dir).map_err(failed("the instance's directory is gone"))?,
        };
        let owner = self.config.run_as.as_ref().map(|user| user.uid);
        let group = match self.limits.group(spec.id.as_str(), function, owner) {
            Ok(group) => Arc::new(group),
            Err(error) => {
                let _ = dir.remove();
                return Err(failed("the limits could not be set")(error));
            }
        };
        // It has started nothing yet: it waits to be told what.
        if let Err(error) = group.enter(started.pid()) {
            drop(started);
            group.end();
            let _ = dir.remove();
            return Err(failed("the limits could not be set")(error));
        }
        let launch = self.launch(function, &program, &dir, readiness, listens, &group);
        let mut shown = RuntimeInstance::new(spec.id.clone(), function.function.clone(), endpoint);
        shown.unready = program.mode.unready(listens);
        let mark = format!("{MARK}={}", dir.secrets().display());
        let (handle, lines) = instance::supervise(
            spec.id.clone(),
            started,
            launch,
            group,
            port,
            mark,
            self.shared.clone(),
        );
        let instance = Instance {
            shown: shown.clone(),
            handle,
            dir,
            lines: Some(lines),
            _dir_handle: dir_handle,
        };
        self.instances().insert(spec.id.clone(), instance);
        Ok(shown)
    }

    /// Makes the directory of an instance, in the spare place while the disk takes none.
    fn instance_dir(&self, spec: &InstanceSpec) -> Result<InstanceDir, ProviderError> {
        let create = |place: &Path, secrets: Option<&Path>| {
            let path = place.join(spec.id.as_str());
            let secrets = match secrets {
                Some(place) => place.join(spec.id.as_str()),
                None => path.join("secrets"),
            };
            InstanceDir::create(path, secrets, self.config.run_as.clone(), &spec.secrets)
        };
        let memory = self.secrets.as_ref().ok().map(SecretsPlace::path);
        let error = match create(self.place.path(), memory) {
            Ok(dir) => return Ok(dir),
            Err(error) => error,
        };
        let what = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the instance's directory could not be made: no space is left on its disk"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the instance's directory could not be made: its disk is read-only"
            }
            _ => {
                let what = "the instance's directory could not be made";
                return Err(ProviderError::internal(what).with_cause(error));
            }
        };
        let spare = memory.or(self.spare_place.as_ref().map(OwnPlace::path));
        match spare.map(|place| create(place, None)) {
            Some(Ok(dir)) => Ok(dir),
            Some(Err(error)) => Err(ProviderError::internal(what).with_cause(error)),
            None => Err(ProviderError::internal(what).with_cause(error)),
        }
    }

    /// Starts a watchdog, for any function. Blocks.
    fn spawn(&self) -> io::Result<Started> {
        let hidden = (self.sandbox == SandboxStatus::Enforced).then(|| self.config.hidden.clone());
        instance::spawn(&self.config, &Outset { hidden }, &self.shared)
    }

    fn settings(&self, spec: &FunctionSpec, listens: Option<SocketAddr>) -> Settings {
        Settings {
            variables: spec.env_vars.clone(),
            listens,
            first_byte_timeout: self.config.first_byte_timeout,
            idle_timeout: self.config.idle_timeout,
        }
    }

    fn launch(
        &self,
        spec: &FunctionSpec,
        program: &Program,
        dir: &InstanceDir,
        readiness: Readiness,
        listens: Option<SocketAddr>,
        group: &Group,
    ) -> Launch {
        let config = &self.config;
        let temp_dir = if self.private_temp {
            dir.temp()
        } else {
            config.temp_dir.clone()
        };
        let working_dir = program.image_dir.clone().unwrap_or_else(|| dir.work());
        let place = Place {
            inherited: &config.environment,
            temp_dir: &temp_dir,
            gateway_url: &config.gateway_url,
            secrets_dir: dir.secrets(),
            listens,
        };
        let program_dir = program
            .command
            .first()
            .map(Path::new)
            .and_then(Path::parent);
        let mut readable = vec![
            dir.path().to_owned(),
            dir.secrets().to_owned(),
            working_dir.clone(),
        ];
        readable.extend(program_dir.map(Path::to_owned));
        readable.extend(config.functions_dir.clone());
        let rules = Rules {
            readable,
            writable: vec![
                working_dir.clone(),
                dir.work(),
                dir.temp(),
                temp_dir.clone(),
            ],
        };
        Launch {
            command: program.command.clone(),
            environment: environment::environment(spec, place),
            settings: self.settings(spec, listens),
            readiness,
            socket_dir: dir.path().to_owned(),
            working_dir,
            groups: group.join_files(),
            rules,
        }
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.limits = true;
        can
    }

    fn host(&self) -> Host {
        self.inner.host
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<Prepared, ProviderError> {
        let inner = self.inner.clone();
        let spec = spec.clone();
        let limits = &self.inner.limits;
        let mut prepared = Prepared::default();
        prepared.warnings = limits.warnings(&spec);
        let held = limits.describe(&spec);
        let held = held.map(|held| (LIMITS_ANNOTATION.to_owned(), held));
        prepared.annotations.extend(held);
        let program = blocking(move || inner.resolve(&spec)).await?;
        // It may sleep, and is not started then.
        self.order_spare();
        prepared.single_instance = program.single_instance();
        if let Some(said) = program.image_not_run {
            prepared.warnings.push(said.clone());
            prepared
                .annotations
                .push((IMAGE_NOT_RUN_ANNOTATION.to_owned(), said));
        }
        Ok(prepared)
    }

    async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        let _turn = self.starting.lock().await;
        if let Some(there) = self.inner.instances().get(&spec.id) {
            return Ok(there.shown.clone());
        }
        let inner = self.inner.clone();
        blocking(move || inner.start(&spec)).await
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), ProviderError> {
        if let Some(handle) = self.inner.handle(id) {
            handle.stop(grace).await;
        }
        Ok(())
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), ProviderError> {
        if let Some(handle) = self.inner.handle(id) {
            handle.stop(Duration::ZERO).await;
        }
        let instance = {
            let mut instances = self.inner.instances();
            let Some(instance) = instances.remove(id) else {
                return Ok(());
            };
            let of_it = |other: &Instance| other.shown.function == instance.shown.function;
            if !instances.values().any(of_it) {
                self.order_spare();
            }
            instance
        };
        blocking(move || instance.dir.remove())
            .await
            .map_err(|error| {
                ProviderError::internal("the instance's directory could not be removed")
                    .with_cause(error)
            })
    }

    async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> {
        let mut list: Vec<RuntimeInstance> = self
            .inner
            .instances()
            .values()
            .map(|instance| {
                let mut shown = instance.shown.clone();
                (shown.state, shown.exit) = instance.handle.state();
                shown
            })
            .collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    async fn stats(&self, id: &InstanceId) -> Result<InstanceStats, ProviderError> {
        let handle = self.inner.handle(id).ok_or_else(|| unknown(id))?;
        Ok(blocking(move || handle.stats()).await)
    }

    async fn refresh_secrets(
        &self,
        function: &FunctionRef,
        secrets: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError> {
        let dirs: Vec<InstanceDir> = self
            .inner
            .instances()
            .values()
            .filter(|it| it.shown.function == *function && !it.handle.has_ended())
            .map(|it| it.dir.clone())
            .collect();
        let secrets = secrets.to_vec();
        blocking(move || {
            dirs.iter().try_for_each(|dir| {
                // Another version of the function may list others.
                let listed =
                    |(name, _): &&(SecretName, Vec<u8>)| dir.secrets().join(name.as_str()).exists();
                let own: Vec<_> = secrets.iter().filter(listed).cloned().collect();
                dir.write_secrets(&own)
            })
        })
        .await
        .map_err(|error| {
            ProviderError::internal("the secrets of a running function could not be written")
                .with_cause(error)
        })
    }

    fn events(&self) -> BoxStream<RuntimeEvent> {
        let receiver = self.inner.shared.events.subscribe();
        // A reader that is late learns that it missed something, and lists again.
        Box::pin(stream::unfold(
            (receiver, false),
            |(mut receiver, missed)| async move {
                if missed {
                    return Some((RuntimeEvent::Back, (receiver, false)));
                }
                match receiver.recv().await {
                    Ok(event) => Some((event, (receiver, false))),
                    Err(RecvError::Lagged(_)) => Some((RuntimeEvent::Lost, (receiver, true))),
                    Err(RecvError::Closed) => None,
                }
            },
        ))
    }

    async fn logs(&self, id: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
        let mut instances = self.inner.instances();
        let instance = instances.get_mut(id).ok_or_else(|| unknown(id))?;
        match instance.lines.take() {
            Some(lines) => Ok(lines.into_stream()),
            None => Err(ProviderError::new(
                ErrorKind::Conflict,
                format!("the log lines of instance {id} were taken already"),
            )),
        }
    }
}

/// Says how a function is held to its limits.
pub const LIMITS_ANNOTATION: &str = "dev.provider.limits";

/// A place for instances below that directory, which it is fine to do without.
fn spare_place(dir: &Path, mode: u32) -> Option<(PathBuf, OwnPlace)> {
    let taken = own_dir(dir, mode).and_then(|dir| {
        let place = OwnPlace::take(&dir, mode)?;
        Ok((dir, place))
    });
    taken
        .inspect_err(|error| {
            let error = causes(error);
            tracing::warn!(%error, "functions do not start while the disk is full or read-only");
        })
        .ok()
}

/// The name of the control groups of the runtime of one directory: the same at each start, so that
/// those of a killed one are found. FNV-1a, as the hashes of the standard library may change.
fn group_name(run_dir: &Path) -> String {
    let bytes = run_dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn unknown(id: &InstanceId) -> ProviderError {
    ProviderError::not_found(format!("there is no instance {id}"))
}

/// Where the program itself is to listen, if it does.
fn listens(mode: &Mode, port: Option<&Port>) -> Result<Option<SocketAddr>, ProviderError> {
    match mode {
        Mode::Watchdog => Ok(None),
        Mode::Http(HttpMode::Told) => Ok(port.map(Port::address)),
        Mode::Http(HttpMode::Fixed { address, knob }) => {
            if http_mode::is_taken(*address) {
                return Err(ProviderError::new(
                    ErrorKind::Conflict,
                    format!(
                        "port {} is in use already: give another one in {knob}, or leave it out \
                         and let the program listen on the port in its variable PORT",
                        address.port()
                    ),
                ));
            }
            Ok(Some(*address))
        }
    }
}

/// The socket's address; by way of an open directory where the path is too long for one.
fn unix_endpoint(dir: &InstanceDir) -> io::Result<(Endpoint, Option<File>)> {
    if dir.socket_fits() {
        return Ok((Endpoint::unix(dir.socket()), None));
    }
    let handle = File::open(dir.path())?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
    Ok((Endpoint::unix(short), Some(handle)))
}

fn existing_dir(path: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(path)?;
    if real.is_dir() {
        Ok(real)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// Runs what blocks where blocking is fine.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The tokio runtime ends; nothing polls this any more.
            Err(_) => std::future::pending().await,
        },
    }
}
