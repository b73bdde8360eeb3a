//! A function watchdog as one static binary, compatible with the OpenFaaS watchdogs.
//!
//! Environment, then configuration, then listeners, then calls until SIGTERM or SIGINT. Exit
//! codes: 0 when it was told to end, or is healthy; 1 when it could not start, when the function's
//! program ended, or when it is not healthy; 2 for an argument that it does not know.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use provider_watchdog::{Listener, Logs, Watchdog, WatchdogConfig, is_healthy, tree};
use tokio::io::{stderr, stdout};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
fwatchdog: turns a program into an HTTP function, compatible with the OpenFaaS watchdogs

It is configured by environment variables; the main ones:

  fprocess       the program and its arguments, split on blanks, no shell
  mode           streaming (default), serializing, http or static
  upstream_url   mode http: where the program listens, such as http://127.0.0.1:5000
  static_path    mode static: the directory (/home/app/public)
  port           where to listen (8080); metrics_port for /metrics (8081)
  exec_timeout, read_timeout, write_timeout, healthcheck_interval
                 seconds, or durations such as 1m30s
  max_inflight   how many calls may run at a time (0: any number)

  --run-healthcheck   exit 0 if a watchdog with this environment runs and is healthy, else 1
  --version           print the version
  --help              print this

Exit codes: 0 told to end, or healthy; 1 could not start, the program ended, or not healthy;
2 unknown argument.
";

/// How long what is left of the function's processes may take to die.
const LAST_PROCESSES: Duration = Duration::from_secs(2);

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program's own output"
)]
fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    // Go programs take one dash for two.
    let argument = argument.map(|argument| argument.trim_start_matches('-').to_owned());
    let result = match argument.as_deref() {
        None => run(),
        Some("run-healthcheck") => health(),
        Some("version") => {
            println!("fwatchdog {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("help" | "h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("fwatchdog: there is no option --{other}; --help lists them");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fwatchdog: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn health() -> anyhow::Result<()> {
    // What the function is does not matter for where its health is found.
    let config = WatchdogConfig::from_vars(|name| match name {
        "mode" => Some("static".to_owned()),
        name => variable(name),
    })?;
    anyhow::ensure!(is_healthy(&config), "not healthy");
    Ok(())
}

fn run() -> anyhow::Result<()> {
    let mut config = WatchdogConfig::from_vars(variable)?;
    config.environment = std::env::vars_os().collect();
    config.reap_orphans = true;
    // So that no process of a function is lost, whatever it does.
    tree::adopt_orphans().context("orphaned processes cannot be adopted")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let result = runtime.block_on(serve(config));
    drop(runtime);
    tree::end_tree(Duration::ZERO, LAST_PROCESSES)?;
    result
}

async fn serve(config: WatchdogConfig) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let listener = listen("port", config.port).await?;
    let metrics = listen("metrics_port", config.metrics_port).await?;
    let told_to_end = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    let logs = Logs::new(stdout(), stderr());
    Watchdog::new(config, logs)?
        .serve(listener, Some(metrics), told_to_end)
        .await?;
    Ok(())
}

async fn listen(variable: &str, port: u16) -> anyhow::Result<Listener> {
    Listener::any_address(port).await.with_context(|| {
        format!("{variable}={port} cannot be listened on; {variable} sets another")
    })
}
