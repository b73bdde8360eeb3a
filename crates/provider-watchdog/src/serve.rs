//! The watchdog: it takes connections, hands calls to the mode, and drains.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::Signal;
use tokio::io::AsyncRead;
use tokio::process::ChildStdin;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::child::{Group, Launcher, Outputs, Owned, Started};
use crate::error::causes;
use crate::files::Files;
use crate::gauge::Gauge;
use crate::lock::LockFile;
use crate::logs::{LineFormat, Output};
use crate::metrics::Metrics;
use crate::upstream::Connections;
use crate::{Listener, Logs, Mode, WatchdogConfig, WatchdogError, route};

/// Go: `http.Server.MaxHeaderBytes` of of-watchdog is 1 MiB; the count has no bound there.
const MAX_HEADER_BYTES: usize = 1024 * 1024;
const MAX_HEADERS: usize = 2048;
/// After an accept that failed, for want of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may take to send what was answered, once no call goes on.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// How long a program has at least between SIGTERM and SIGKILL.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// How long the pipes of a program that has ended may take to be read.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long a reader of the metrics may take for its request. of-watchdog: `metrics/metrics.go`.
const METRICS_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks for orphans that ended.
const REAP_PAUSE: Duration = Duration::from_secs(1);

/// Turns a program into an HTTP function.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
}

/// What every call needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: WatchdogConfig,
    pub(crate) logs: Logs,
    pub(crate) launcher: Launcher,
    pub(crate) metrics: Metrics,
    /// Calls that go on.
    pub(crate) calls: Gauge,
    /// Processes of calls.
    pub(crate) processes: Gauge,
    /// Pipes whose lines are being logged.
    pipes: Gauge,
    pub(crate) handler: Handler,
    owned: Arc<Owned>,
    pub(crate) lock: std::sync::Mutex<Option<LockFile>>,
    pub(crate) accepting: AtomicBool,
    /// Ends what would outlive its connection.
    cut: watch::Sender<bool>,
}

/// How the function answers.
#[derive(Debug)]
pub(crate) enum Handler {
    Fork,
    Http(Arc<Connections>),
    Static(Files),
}

/// The long-running program of mode `http`.
struct Program {
    group: Group,
    /// Kept open: some programs end with their input.
    _stdin: ChildStdin,
}

// === impl Watchdog ===

impl Watchdog {
    /// A watchdog that logs to these writers. It starts nothing yet.
    ///
    /// # Errors
    ///
    /// [`WatchdogError::Incomplete`] or [`WatchdogError::StaticPath`] when the configuration does
    /// not fit its mode.
    pub fn new(config: WatchdogConfig, logs: Logs) -> Result<Self, WatchdogError> {
        let incomplete = |what| WatchdogError::Incomplete {
            mode: config.mode,
            what,
        };
        let handler = match config.mode {
            Mode::Streaming | Mode::Serializing => Handler::Fork,
            Mode::Http => {
                let upstream = config.upstream.clone();
                Handler::Http(Connections::new(
                    upstream.ok_or_else(|| incomplete("an upstream"))?,
                ))
            }
            Mode::Static => Handler::Static(Files::new(&config.static_path)?),
        };
        if config.command.is_empty() && config.mode != Mode::Static {
            return Err(incomplete("a command"));
        }
        let owned = Arc::<Owned>::default();
        let calls = Gauge::default();
        let shared = Shared {
            launcher: Launcher::new(&config, Arc::clone(&owned)),
            metrics: Metrics::new(calls.clone()).map_err(WatchdogError::Metrics)?,
            calls,
            processes: Gauge::default(),
            pipes: Gauge::default(),
            handler,
            owned,
            lock: std::sync::Mutex::default(),
            accepting: AtomicBool::new(false),
            cut: watch::Sender::new(false),
            config,
            logs,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Serves calls, and the metrics if a listener for them is given, until `shutdown`; then it
    /// goes on for `healthcheck_interval` with its health checks failing, takes no more
    /// connections, waits up to `write_timeout` for the calls that go on, and ends the program of
    /// mode `http`: first SIGTERM, then SIGKILL to its process group.
    ///
    /// Dropping the future instead of that kills what is running.
    ///
    /// # Errors
    ///
    /// [`WatchdogError`] when it cannot start, and when the program of mode `http` ends by itself.
    pub async fn serve(
        self,
        listener: Listener,
        metrics: Option<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), WatchdogError> {
        let shared = &self.shared;
        let result = shared.run(Some(listener), metrics, shutdown).await;
        shared.finish(result).await
    }

    /// Runs the program of mode `http` without standing in its way: its calls go to it directly.
    /// Its lines are logged, its end is an error, and at `shutdown` it gets SIGTERM, and SIGKILL
    /// after `write_timeout`.
    ///
    /// # Errors
    ///
    /// As [`Watchdog::serve`].
    pub async fn supervise(self, shutdown: impl Future<Output = ()>) -> Result<(), WatchdogError> {
        let shared = &self.shared;
        let result = shared.run(None, None, shutdown).await;
        shared.finish(result).await
    }
}

// === impl Shared ===

impl Shared {
    /// Logs the lines of a pipe, in a task of its own.
    pub(crate) fn log_output(&self, pipe: impl AsyncRead + Send + Unpin + 'static, from: Output) {
        let format = LineFormat {
            prefix: self.config.prefix_logs,
            longest: self.config.log_buffer_size,
        };
        let pump = self.logs.clone().pump(pipe, from, format);
        let (counted, _) = self.pipes.enter();
        tokio::spawn(async move {
            pump.await;
            drop(counted);
        });
    }

    /// Ends when everything is to be cut.
    pub(crate) fn cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cut = self.cut.subscribe();
        async move { turned_on(&mut cut).await }
    }

    async fn run(
        self: &Arc<Self>,
        listener: Option<Listener>,
        metrics: Option<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), WatchdogError> {
        let config = &self.config;
        let logs = &self.logs;
        for warning in &config.warnings {
            logs.note(format_args!("Warning: {warning}"));
        }
        // What is started here ends with this function, however it ends.
        let mut helpers = JoinSet::new();
        #[cfg(target_os = "linux")]
        if config.reap_orphans {
            helpers.spawn(reap_orphans(Arc::clone(self)));
        }
        let mut program = match config.mode {
            Mode::Http => Some(self.start_program()?),
            Mode::Streaming | Mode::Serializing => {
                if let Err(error) = self.launcher.program() {
                    logs.note(format_args!("Warning: calls will fail: {}", causes(&error)));
                }
                None
            }
            Mode::Static => None,
        };
        if config.announce {
            logs.note(format_args!(
                "Watchdog mode: {}\tfprocess: {:?}",
                config.mode,
                config.command.join(" ")
            ));
        }
        if let Some(metrics) = metrics {
            logs.note(format_args!("Metrics listening on: {metrics}"));
            helpers.spawn(serve_metrics(Arc::clone(self), metrics));
        }

        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        let (stop, stopped) = watch::channel(false);
        if let Some(listener) = &listener {
            if config.announce {
                logs.note(format_args!(
                    "Timeouts: read: {} write: {:?} first byte: {} exec: {} health: {:?}",
                    or_off(config.read_timeout),
                    config.write_timeout,
                    or_off(config.first_byte_timeout),
                    or_off(config.exec_timeout),
                    config.healthcheck_interval,
                ));
            }
            if let Some(path) = &config.lock_file {
                let lock = LockFile::write(path, listener.tcp_address())?;
                *self.lock() = Some(lock);
            }
            if config.announce {
                logs.note(format_args!("Listening on: {listener}"));
            }
        }
        self.accepting.store(true, Ordering::Release);

        tokio::select! {
            () = &mut shutdown => {}
            status = ended(&mut program) => return Err(WatchdogError::Ended(status?)),
            never = accept(self, listener.as_ref(), &mut connections, &stopped) => match never {},
        }

        self.accepting.store(false, Ordering::Release);
        self.lock().take();
        if let Some(open) = &listener {
            let interval = config.healthcheck_interval;
            logs.note(format_args!("No new connections in {interval:?}"));
            tokio::select! {
                () = sleep(interval) => {}
                status = ended(&mut program) => return Err(WatchdogError::Ended(status?)),
                never = accept(self, Some(open), &mut connections, &stopped) => match never {},
            }
        }
        logs.note(format_args!(
            "No new connections allowed, draining: {} requests",
            self.calls.count()
        ));
        drop(listener);
        let deadline = Instant::now() + config.write_timeout;
        stop.send_replace(true);
        let drained = async {
            self.calls.zero().await;
            let last = async { while connections.join_next().await.is_some() {} };
            let _late = timeout(LAST_BYTES, last).await;
        };
        let _late = timeout_at(deadline, drained).await;
        let left = self.calls.count();
        connections.shutdown().await;
        if let Some(program) = &mut program {
            program
                .end(deadline.max(Instant::now() + LEAST_GRACE))
                .await;
        }
        logs.note(format_args!("Exiting. Active connections: {left}"));
        Ok(())
    }

    /// Ends what is still there, and sees to it that the last lines are written.
    async fn finish(&self, result: Result<(), WatchdogError>) -> Result<(), WatchdogError> {
        self.accepting.store(false, Ordering::Release);
        self.lock().take();
        self.cut.send_replace(true);
        // Their connections are gone, so they are being killed.
        let _stuck = timeout(LEAST_GRACE, self.processes.zero()).await;
        // A process that left its group may hold a pipe open for ever.
        let _held = timeout(LAST_LINES, self.pipes.zero()).await;
        self.logs.flush().await;
        result
    }

    fn start_program(&self) -> Result<Program, WatchdogError> {
        let Started {
            group,
            stdin,
            stdout,
            stderr,
        } = self.launcher.start(Vec::new(), Outputs::Apart)?;
        self.log_output(stdout, Output::Stdout);
        if let Some(stderr) = stderr {
            self.log_output(stderr, Output::Stderr);
        }
        Ok(Program {
            group,
            _stdin: stdin,
        })
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Option<LockFile>> {
        self.lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

// === impl Program ===

impl Program {
    /// SIGTERM to the whole group, and SIGKILL at the deadline.
    async fn end(&mut self, deadline: Instant) {
        self.group.signal(Signal::TERM);
        if timeout_at(deadline, self.group.wait()).await.is_err() {
            let _killed = self.group.kill().await;
        }
    }
}

/// Waits for a program to end; for ever when there is none.
async fn ended(program: &mut Option<Program>) -> Result<ExitStatus, WatchdogError> {
    let Some(program) = program else {
        return std::future::pending().await;
    };
    let status = program.group.wait().await;
    status.map_err(|source| WatchdogError::System {
        what: "the function's program was lost",
        source,
    })
}

/// Takes connections, each into a task of its own. Without a listener it waits for ever.
async fn accept(
    shared: &Arc<Shared>,
    listener: Option<&Listener>,
    connections: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Infallible {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let write_limit = shared.config.write_timeout;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(write_limit) => accepted,
            // Forgets those that have ended.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(connection) => {
                let io = TokioIo::new(connection);
                connections.spawn(drive(Arc::clone(shared), io, stopped.clone()));
            }
            Err(error) => {
                shared.logs.note(refused(&error));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn or_off(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "off".to_owned(), |limit| format!("{limit:?}"))
}

fn refused(error: &io::Error) -> String {
    format!("a connection could not be taken: {error}")
}

/// Waits for a switch to be on; also ends when nobody is left to turn it on.
async fn turned_on(switch: &mut watch::Receiver<bool>) {
    let _gone = switch.wait_for(|on| *on).await;
}

/// Serves one connection until it ends, or until it has nothing more to answer after `stopped`.
async fn drive<I>(shared: Arc<Shared>, io: I, mut stopped: watch::Receiver<bool>)
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.read_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(route::route(&shared, request).await) }
    });
    let mut connection = pin!(server.serve_connection(io, service).with_upgrades());
    let _ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = turned_on(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

async fn serve_metrics(shared: Arc<Shared>, listener: Listener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(LAST_BYTES) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok(connection) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(route::metrics(&shared, &request)) }
            });
            let _ended = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(METRICS_LIMIT)
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// Reaps adopted orphans, soon after any child has ended.
#[cfg(target_os = "linux")]
async fn reap_orphans(shared: Arc<Shared>) {
    use tokio::signal::unix::{SignalKind, signal};

    let mut children = match signal(SignalKind::child()) {
        Ok(children) => children,
        Err(error) => {
            shared
                .logs
                .note(format_args!("Warning: orphans are not reaped: {error}"));
            return;
        }
    };
    while children.recv().await.is_some() {
        shared.owned.reap_others();
        sleep(REAP_PAUSE).await;
    }
}
