//! One running instance as the provider sees it: a watchdog process, the socket to it, its pipes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{future, io};

use provider_types::{
    ExitReason, InstanceId, InstanceState, InstanceStats, LogOutput, RuntimeEvent,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::config::ProcessConfig;
use crate::http_mode::Port;
use crate::launch::{Launch, Outset, Report};
use crate::limits::Group;
use crate::lines::{self, LineSink, LineSource};
use crate::processes;

/// How long a watchdog may take to end its tree once its lifeline is cut.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// What the instances of one runtime share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) events: broadcast::Sender<RuntimeEvent>,
    /// The watchdogs that run; held while one is started.
    watchdogs: Mutex<BTreeSet<i32>>,
    adopt_orphans: bool,
}

/// A watchdog that was just started.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    counted: Counted,
    link: StdUnixStream,
    lines: LineSource,
    /// For lines of the runtime's own.
    sink: LineSink,
    copies: Vec<JoinHandle<()>>,
}

/// A watchdog that is known as one, so that it is not taken for an orphan.
#[derive(Debug)]
struct Counted {
    pid: Pid,
    shared: Arc<Shared>,
}

/// An instance, to be told to stop.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pid: i32,
    group: Arc<Group>,
    stop: mpsc::Sender<Duration>,
    /// It said that it is ready, and not since then that it is not.
    ready: Arc<AtomicBool>,
    ended: watch::Receiver<Option<End>>,
}

/// What is left of an instance that has ended.
#[derive(Debug, Clone)]
struct End {
    /// The CPU time that it has used.
    cpu: Duration,
    reason: ExitReason,
}

impl Shared {
    pub(crate) fn new(adopt_orphans: bool) -> Self {
        // As many events as a reader may be late by; after that it is told to list again.
        let (events, _) = broadcast::channel(1024);
        Self {
            events,
            watchdogs: Mutex::default(),
            adopt_orphans,
        }
    }

    fn watchdogs(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.watchdogs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what a watchdog left behind: whoever carries the instance's mark, and, where orphans
    /// come to us, every child that is no watchdog of ours. Blocks.
    fn end_orphans(&self, mark: &str) -> bool {
        processes::end(|seen| {
            // After the look at the processes: a watchdog in it that is being started is known by
            // the time that its starter lets go of the lock.
            let watchdogs = self.watchdogs();
            seen.iter()
                .filter(|process| {
                    let ours = self.adopt_orphans
                        && process.is_our_child()
                        && !watchdogs.contains(&process.pid.as_raw_nonzero().get());
                    ours || process.has_variable(mark)
                })
                .cloned()
                .collect()
        })
    }
}

/// Starts a watchdog, which waits to be told what to run: [`supervise`] tells it, and one that is
/// dropped ends. Blocks for as long as starting a process takes; needs a tokio runtime.
pub(crate) fn spawn(
    config: &ProcessConfig,
    outset: &Outset,
    shared: &Arc<Shared>,
) -> io::Result<Started> {
    let (mut ours, theirs) = StdUnixStream::pair()?;
    let mut line = serde_json::to_vec(outset)?;
    line.push(b'\n');
    // A few paths: a socket takes them without a reader.
    ours.write_all(&line)?;
    let mut command = std::process::Command::new(&config.watchdog.program);
    command
        .arg0(&config.watchdog.name)
        .args(&config.watchdog.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(user) = &config.run_as {
        // This also drops all other groups.
        command.uid(user.uid).gid(user.gid);
    }
    let mut watchdogs = shared.watchdogs();
    let mut child = Command::from(command).spawn()?;
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        .ok_or_else(|| io::Error::other("the watchdog ended before it began"))?;
    watchdogs.insert(pid.as_raw_nonzero().get());
    drop(watchdogs);
    let counted = Counted {
        pid,
        shared: shared.clone(),
    };

    let (sink, lines) = lines::channel();
    let mut copies = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        lines::widen(&pipe);
        copies.push(tokio::spawn(
            sink.clone().copy_from(pipe, LogOutput::Stdout),
        ));
    }
    if let Some(pipe) = child.stderr.take() {
        lines::widen(&pipe);
        copies.push(tokio::spawn(
            sink.clone().copy_from(pipe, LogOutput::Stderr),
        ));
    }
    Ok(Started {
        child,
        counted,
        link: ours,
        lines,
        sink,
        copies,
    })
}

impl Started {
    /// Lets it know that it is about to be told what to run. Fails where it has ended.
    pub(crate) fn call(&mut self) -> io::Result<()> {
        self.link.write_all(b"\n")
    }

    /// The watchdog's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.counted.pid.as_raw_nonzero().get()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let pid = self.pid.as_raw_nonzero().get();
        self.shared.watchdogs().remove(&pid);
    }
}

impl Handle {
    /// Asks the instance to end, kills it after `grace`, and waits for its end.
    pub(crate) async fn stop(&self, grace: Duration) {
        // It does not listen once it has ended.
        let _ = self.stop.send(grace).await;
        self.ended().await;
    }

    pub(crate) async fn ended(&self) {
        // An error means that its task is gone, and the instance with it.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// How it fares, and why it has ended if it has: what its events said.
    pub(crate) fn state(&self) -> (InstanceState, Option<ExitReason>) {
        match &*self.ended.borrow() {
            Some(end) => (InstanceState::Exited, Some(end.reason.clone())),
            None if self.ready.load(Ordering::SeqCst) => (InstanceState::Ready, None),
            None => (InstanceState::Started, None),
        }
    }

    /// What it uses, or has used. Blocks.
    pub(crate) fn stats(&self) -> InstanceStats {
        let ended = self.ended.borrow().as_ref().map(|end| end.cpu);
        match ended {
            Some(cpu) => InstanceStats::new(0, cpu),
            None => self
                .group
                .usage(self.pid)
                .map_or_else(InstanceStats::default, |usage| {
                    InstanceStats::new(usage.resident_bytes, usage.cpu)
                }),
        }
    }
}

/// Looks after an instance until it has ended.
pub(crate) fn supervise(
    id: InstanceId,
    started: Started,
    launch: Launch,
    group: Arc<Group>,
    port: Option<Port>,
    mark: String,
    shared: Arc<Shared>,
) -> (Handle, LineSource) {
    let (stop, stops) = mpsc::channel(4);
    let (ended_sender, ended) = watch::channel(None);
    let pid = started.pid();
    let Started {
        child,
        counted,
        link,
        lines,
        sink,
        copies,
    } = started;
    let own_group = group.clone();
    let ready = Arc::new(AtomicBool::new(false));
    let own_ready = ready.clone();
    tokio::spawn(async move {
        let mut watched = Watched {
            id: id.clone(),
            child,
            pid: counted.pid,
            group: own_group,
            ready: own_ready,
            stops,
            sink,
            shared: shared.clone(),
            cause: None,
            last_cpu: Duration::ZERO,
        };
        let (status, stopping) = watched.run(link, launch).await;
        let mut cause = watched.cause.take();
        let (orphans, group) = (shared.clone(), watched.group.clone());
        let swept = tokio::task::spawn_blocking(move || {
            let ended = group.end();
            drop(counted);
            (ended, orphans.end_orphans(&mark))
        })
        .await;
        let ended = match swept {
            Ok((ended, true)) => ended,
            other => {
                tracing::error!(
                    instance = %id,
                    "processes of an ended instance could not be killed"
                );
                other.map(|(ended, _)| ended).unwrap_or_default()
            }
        };
        if ended.out_of_memory {
            cause = Some(ExitReason::OutOfMemory);
        }
        // Nobody holds the pipes any more: what is in them is the instance's last words.
        drop(watched.sink);
        for copy in copies {
            let _ = copy.await;
        }
        // Only now may its port be another's.
        drop(port);
        let reason = reason(cause, status, stopping);
        tracing::debug!(instance = %id, ?reason, "instance ended");
        let cpu = ended.usage.map_or(watched.last_cpu, |usage| usage.cpu);
        let end = End {
            cpu,
            reason: reason.clone(),
        };
        ended_sender.send_replace(Some(end));
        // Without a listener there is nobody to tell.
        let _ = shared.events.send(RuntimeEvent::Exited { id, reason });
    });
    let handle = Handle {
        pid,
        group,
        stop,
        ready,
        ended,
    };
    (handle, lines)
}

struct Watched {
    id: InstanceId,
    child: Child,
    pid: Pid,
    group: Arc<Group>,
    ready: Arc<AtomicBool>,
    stops: mpsc::Receiver<Duration>,
    sink: LineSink,
    shared: Arc<Shared>,
    /// What the watchdog said of its end, or why it was ended.
    cause: Option<ExitReason>,
    /// The CPU time that it had used when it was last looked at before its end.
    last_cpu: Duration,
}

impl Watched {
    /// Until the watchdog has exited: its status, and whether it was told to.
    async fn run(&mut self, link: StdUnixStream, launch: Launch) -> (Option<ExitStatus>, bool) {
        let (mut reports, mut lifeline) = match connect(link, &launch).await {
            Ok((reports, lifeline)) => (Some(reports), Some(lifeline)),
            Err(error) => {
                tracing::warn!(instance = %self.id, %error, "the watchdog took no configuration");
                (None, None)
            }
        };
        let mut kill_at: Option<Instant> = None;
        let mut stopping = false;
        let group = self.group.clone();
        let breached = group.breached(self.pid.as_raw_nonzero().get());
        let mut breached = pin!(breached);
        let mut is_breached = false;
        let mut refusals = group.refusals();
        let status = loop {
            tokio::select! {
                // Reports come first: what the watchdog says counts for more than its status.
                biased;
                report = next_report(&mut reports) => match report {
                    Some(report) => self.hear(report),
                    None => reports = None,
                },
                status = self.child.wait() => break status.ok(),
                stop = self.stops.recv(), if !self.stops.is_closed() || !stopping => {
                    // A closed channel means that the runtime is gone: no grace for nobody.
                    let grace = stop.unwrap_or(Duration::ZERO);
                    if !stopping {
                        stopping = true;
                        // It may have exited just now; then its status follows.
                        let _ = kill_process(self.pid, Signal::TERM);
                    }
                    let wanted = Instant::now() + grace;
                    kill_at = Some(kill_at.map_or(wanted, |earlier| earlier.min(wanted)));
                }
                reason = &mut breached, if !is_breached => {
                    is_breached = true;
                    self.cause = Some(reason);
                    self.kill().await;
                }
                // What is being ended may fork no more.
                limit = refusals.more(), if !is_breached && !stopping => self.refused(limit),
                () = until(kill_at) => {
                    if lifeline.is_some() {
                        // Then it says no more what it has used.
                        self.look().await;
                        lifeline = None;
                        kill_at = Some(Instant::now() + LAST_MOMENT);
                    } else {
                        kill_at = None;
                        // A function may have stopped it, so that it does not even end itself.
                        self.kill().await;
                    }
                }
            }
        };
        if let Some(limit) = refusals.look().filter(|_| !is_breached && !stopping) {
            self.refused(limit);
        }
        while let Some(report) = next_report_now(&mut reports).await {
            self.hear(report);
        }
        (status, stopping)
    }

    fn hear(&mut self, report: Report) {
        match report {
            // Before it is told, so that a list which follows an event never contradicts it.
            Report::Ready => {
                self.ready.store(true, Ordering::SeqCst);
                let _ = self
                    .shared
                    .events
                    .send(RuntimeEvent::Ready(self.id.clone()));
            }
            Report::Unready(reason) => {
                self.ready.store(false, Ordering::SeqCst);
                let id = self.id.clone();
                let _ = self
                    .shared
                    .events
                    .send(RuntimeEvent::Unready { id, reason });
            }
            Report::Used(cpu) => self.last_cpu = cpu,
            // What it was ended for counts for more than what its watchdog saw of that.
            _ if self.cause.is_some() => {}
            Report::Failed(why) => self.cause = Some(ExitReason::StartFailed(why)),
            Report::ExitedWith(code) => self.cause = Some(ExitReason::Code(code)),
            Report::KilledBy(signal) => self.cause = Some(ExitReason::Signal(signal)),
        }
    }

    /// Tells that forks were refused: in the function's log, where its own words about that are,
    /// and to whoever listens.
    fn refused(&self, limit: String) {
        self.sink.note(format!("this replica {limit}"));
        let id = self.id.clone();
        let _ = self
            .shared
            .events
            .send(RuntimeEvent::LimitReached { id, limit });
    }

    /// Ends the watchdog and everything below it.
    async fn kill(&mut self) {
        self.look().await;
        let (group, root) = (self.group.clone(), self.pid.as_raw_nonzero().get());
        let killed = tokio::task::spawn_blocking(move || group.kill(root));
        if !matches!(killed.await, Ok(true)) {
            tracing::error!(instance = %self.id, "the instance could not be killed");
        }
    }

    /// Takes down what it has used so far.
    async fn look(&mut self) {
        let (group, root) = (self.group.clone(), self.pid.as_raw_nonzero().get());
        let usage = tokio::task::spawn_blocking(move || group.usage(root)).await;
        if let Ok(Some(usage)) = usage {
            self.last_cpu = usage.cpu;
        }
    }
}

type Reports = Lines<BufReader<OwnedReadHalf>>;

/// Hands over the configuration.
async fn connect(link: StdUnixStream, launch: &Launch) -> io::Result<(Reports, OwnedWriteHalf)> {
    link.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(link)?.into_split();
    let mut line = serde_json::to_vec(launch)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok((BufReader::new(read).lines(), write))
}

async fn next_report(reports: &mut Option<Reports>) -> Option<Report> {
    match reports {
        Some(lines) => {
            let line = lines.next_line().await.ok().flatten()?;
            serde_json::from_str(&line).ok()
        }
        None => future::pending().await,
    }
}

/// What is left of the reports of a watchdog that has exited.
async fn next_report_now(reports: &mut Option<Reports>) -> Option<Report> {
    if reports.is_none() {
        return None;
    }
    next_report(reports).await
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => future::pending().await,
    }
}

fn reason(cause: Option<ExitReason>, status: Option<ExitStatus>, stopping: bool) -> ExitReason {
    if stopping {
        return ExitReason::Stopped;
    }
    cause.unwrap_or_else(|| {
        let status = status.unwrap_or_default();
        match status.signal() {
            Some(signal) => ExitReason::Signal(signal),
            None => ExitReason::Code(status.code().unwrap_or(0)),
        }
    })
}
