//! The watchdog process of one instance: what the hidden sub-command runs.
//!
//! It is alone in its session and adopts the orphans below it, so that everything that the
//! function ever starts can be found from here. Its standard input is the lifeline: when it ends,
//! the provider is gone, and the whole tree is killed.

use std::convert::Infallible;
use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use provider_watchdog::{Logs, Watchdog, WatchdogError, causes, tree};
use tokio::net::unix::pipe::Sender;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::instance_dir::SOCKET;
use crate::launch::{Launch, Outset, Report};
use crate::processes;
use crate::readiness::Found;
use crate::sandbox::Ground;

/// How long the kernel may take to end killed processes.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks for orphans that have ended.
const REAP_PAUSE: Duration = Duration::from_secs(1);

/// Runs one instance's watchdog. Call it first thing in `main`, before any thread is started, when
/// the first argument is [`crate::WATCHDOG_ARGUMENT`].
///
/// It reads what to do from standard input, writes log lines to standard output and error, and
/// ends with its parent.
pub fn watchdog_main() -> ExitCode {
    // Its own session, out of reach of the terminal; a leader of a group is in one already.
    let _ = rustix::process::setsid();
    // Not the provider's name: `pkill` on that is not meant for its functions.
    let _ = rustix::thread::set_name(c"fwatchdog-spare");

    let Ok(provider) = Provider::connect() else {
        return ExitCode::FAILURE;
    };
    let code = match begin() {
        Ok(Some((launch, begun))) => run(&launch, begun, &provider),
        // The provider went away, or has nothing for it to do.
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => Err(error),
    };
    // Also what a function left running after its calls.
    let _ = tree::end_tree(Duration::ZERO, END_LIMIT);
    let code = match code {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            provider.tell(&Report::Failed(causes(&error)));
            ExitCode::FAILURE
        }
    };
    // It has waited for everything below it by now.
    if let Some(cpu) = processes::own_cpu() {
        provider.tell(&Report::Used(cpu));
    }
    code
}

/// Why an instance cannot run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the watchdog was told nothing that it understands")]
    Launch(#[from] serde_json::Error),
    #[error("the function's limits cannot be set up")]
    Limits(#[source] io::Error),
    #[error("the working directory {path:?} cannot be entered")]
    WorkingDir { path: PathBuf, source: io::Error },
    #[error("the function's socket cannot be made")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxError),
    #[error(transparent)]
    Config(#[from] provider_watchdog::ConfigError),
    #[error("the watchdog cannot run")]
    System(#[source] io::Error),
    #[error(transparent)]
    Serve(#[from] WatchdogError),
}

/// The way back to the provider.
struct Provider(Mutex<UnixStream>);

impl Provider {
    fn connect() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(Mutex::new(UnixStream::from(socket))))
    }

    fn tell(&self, report: &Report) {
        let Ok(mut line) = serde_json::to_vec(report) else {
            return;
        };
        line.push(b'\n');
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A provider that is gone is noticed by the lifeline.
        let _ = socket.write_all(&line);
    }
}

/// What a watchdog has ready before it knows its instance.
struct Begun {
    ground: Option<Ground>,
    executor: tokio::runtime::Runtime,
}

/// Gets ready for whatever is to run, and waits to be told what that is.
fn begin() -> Result<Option<(Launch, Begun)>, RunError> {
    let Some(outset) = next_line()? else {
        return Ok(None);
    };
    let outset: Outset = serde_json::from_str(&outset)?;
    let ground = outset.hidden.map(Ground::lay).transpose()?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::System)?;
    let Some(_called) = next_line()? else {
        return Ok(None);
    };
    let _ = rustix::thread::set_name(c"fwatchdog");
    let ground = ground.map(Ground::renew).transpose()?;
    let Some(launch) = next_line()? else {
        return Ok(None);
    };
    let launch = serde_json::from_str(&launch)?;
    Ok(Some((launch, Begun { ground, executor })))
}

/// The next line from the provider; `None` when it has gone away.
fn next_line() -> Result<Option<String>, RunError> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(error) => Err(RunError::System(error)),
    }
}

fn run(launch: &Launch, begun: Begun, provider: &Provider) -> Result<(), RunError> {
    join(&launch.groups).map_err(RunError::Limits)?;
    tree::adopt_orphans().map_err(RunError::System)?;
    let listener = match launch.settings.listens {
        // Calls go to the program itself.
        Some(_) => None,
        None => Some(listen(&launch.socket_dir).map_err(RunError::Socket)?),
    };
    std::env::set_current_dir(&launch.working_dir).map_err(|source| RunError::WorkingDir {
        path: launch.working_dir.clone(),
        source,
    })?;
    if let Some(ground) = begun.ground {
        ground.enforce(&launch.rules)?;
    }
    // From here on there may be threads: they are bound by the rules too.
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .stack_size(256 * 1024)
        .spawn(hold_on)
        .map_err(RunError::System)?;
    begun.executor.block_on(serve(launch, listener, provider))
}

/// Joins the groups that hold this instance to its limits, with everything that it will start.
fn join(groups: &[PathBuf]) -> io::Result<()> {
    for file in groups {
        // 0 is whoever writes it.
        fs::write(file, "0")?;
    }
    // A provider that the kernel is to spare for want of memory does not mean its functions.
    const FILE: &str = "/proc/self/oom_score_adj";
    let spared = fs::read_to_string(FILE).is_ok_and(|text| text.starts_with('-'));
    if spared {
        fs::write(FILE, "0")?;
    }
    Ok(())
}

/// Waits for the provider to go away, and ends everything when it has.
fn hold_on() {
    let mut stdin = io::stdin().lock();
    let mut nothing = [0; 64];
    loop {
        match stdin.read(&mut nothing) {
            Ok(0) => break,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
            _ => {}
        }
    }
    let _ = tree::end_tree(Duration::ZERO, END_LIMIT);
    #[expect(
        clippy::exit,
        reason = "the process has nobody left to work for, and this is not its main thread"
    )]
    std::process::exit(0);
}

/// Makes the socket by its short name, as a socket's address is short and the directory may not
/// be.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    std::env::set_current_dir(dir)?;
    let listener = UnixListener::bind(SOCKET)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(
    launch: &Launch,
    listener: Option<UnixListener>,
    provider: &Provider,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::System)?;
    let children = signal(SignalKind::child()).map_err(RunError::System)?;
    let listener = listener.map(tokio::net::UnixListener::from_std);
    let listener = listener.transpose().map_err(RunError::System)?;
    let logs = Logs::new(
        pipe(io::stdout()).map_err(RunError::System)?,
        pipe(io::stderr()).map_err(RunError::System)?,
    );
    let watchdog = Watchdog::new(launch.watchdog_config()?, logs)?;
    let stop = async {
        terminate.recv().await;
    };
    let served = async {
        match listener {
            Some(listener) => watchdog.serve(listener.into(), None, stop).await,
            None => watchdog.supervise(stop).await,
        }
    };
    let ready = async {
        let watch = launch.readiness.watch(launch.settings.listens, |found| {
            provider.tell(&match found {
                Found::Ready => Report::Ready,
                Found::Unready(why) => Report::Unready(why),
            });
        });
        watch.await;
        std::future::pending::<Infallible>().await
    };
    let served = tokio::select! {
        biased;
        served = served => served,
        never = ready => match never {},
        never = reap_orphans(children) => match never {},
    };
    match served {
        Err(WatchdogError::Ended(status)) => {
            provider.tell(&match status.signal() {
                Some(signal) => Report::KilledBy(signal),
                None => Report::ExitedWith(status.code().unwrap_or(0)),
            });
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Takes ended orphans off the kernel. The watchdog waits for its own children, each the leader of
/// a group in our session; everything else came to us when its parent ended.
async fn reap_orphans(mut children: Signal) -> Infallible {
    let session = rustix::process::getsid(None).map_or(0, |id| id.as_raw_nonzero().get());
    let me = rustix::process::getpid().as_raw_nonzero().get();
    loop {
        // It never ends while this process runs.
        children.recv().await;
        for process in processes::all() {
            let own = process.leads_its_group() && process.session == session;
            if process.zombie && process.parent == me && !own {
                processes::reap(&process);
            }
        }
        // Under load children end all the time, and a look at all processes costs.
        tokio::time::sleep(REAP_PAUSE).await;
    }
}

/// The writing end of a pipe that we were started with; nobody else holds it, so that it can be
/// told not to block.
fn pipe(end: impl AsFd) -> io::Result<Sender> {
    Sender::from_owned_fd(end.as_fd().try_clone_to_owned()?)
}
