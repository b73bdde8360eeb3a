//! The command line.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::Parser;
use provider_http::Role;
use runtime_process::LimitsChoice;

use crate::commands::Command;

const ABOUT: &str = "\
An OpenFaaS-compatible provider that runs local programs as functions.

Functions run as the user that runs this provider and are not isolated from each other: deploy
only programs that you would run yourself. Where the kernel has Landlock they cannot write outside
their own and the temporary directory, nor read the provider's state and credentials.

A function's envProcess is the command that is run. Its image may name a directory, in which the
command then runs, or a program; any other image is only a name, and nothing is pulled.";

const AFTER: &str = "\
Variables, each with the flag's meaning where there is one:
  listen, system_listen, metrics_listen, role, state_dir, functions_dir, basic_auth,
  secret_mount_path, allow_host (separated by commas), run_as, limits, max_processes,
  log_bytes, log_age, log_total_bytes
  port                     of 127.0.0.1, where no address is given
  header_timeout (10s)     for the header of a request
  upstream_timeout (60s)   for the first byte of a function's reply
  idle_timeout (5m)        for silence on a stream
  read_timeout             stands for the first two, and for the body of a system call (60s)
  resolve_timeout (20s)    for a call to find a replica
  ready_timeout (60s)      for an instance to get ready; then it has failed
  queue_wait (1s)          for a call to find a free replica, where all are at max_inflight
  queue_length (1024)      how many calls of one function may wait for a replica
  max_replicas (100)       of one function
  connect_timeout (5s), total_timeout (none), drain_timeout (60s), write_timeout
  max_idle_conns (1024), max_idle_conns_per_host, trusted_proxies, function_namespace
  RUST_LOG (info)          what is logged, for example debug or provider_engine=debug

Exit codes:
  0  told to stop, and drained
  1  failed while it ran
  2  a flag, a variable or a stack file is wrong
  3  an address cannot be listened on
  4  the state directory, another one, or a backup cannot be used
  5  the credentials cannot be used

Examples:
  faas-process
      on 127.0.0.1:8080, without credentials, for this machine only
  faas-process --ephemeral
      to try something: a free port, and nothing is kept
  faas-process --listen 0.0.0.0:8080 --basic-auth --secret-mount-path /etc/faas
      for others, with the user and password in /etc/faas/basic-auth-user and basic-auth-password
  faas-process --functions-dir ./functions
      so that image hello means ./functions/hello
  faas-process --stack stack.yaml --watch
      to develop functions: what is saved is deployed
  faas-process --take-over
      in the place of the one that runs: it goes when this one serves";

/// The whole command line: without a command the provider serves, by its flags.
#[derive(Debug, Parser)]
#[command(name = "faas-process", version, about = ABOUT, long_about = ABOUT, after_help = AFTER)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Args,
}

/// The flags of a provider that serves. A flag wins over its variable; `--ephemeral`, `--stack`,
/// `--watch` and `--no-sandbox` have none, so that they are seen where the provider is started.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on: HOST:PORT, :PORT for all interfaces, or unix:/PATH [default:
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", help_heading = "Addresses")]
    pub(crate) listen: Option<String>,
    /// One more address, for /system/ calls; --listen then answers function calls only
    #[arg(long, value_name = "ADDRESS", help_heading = "Addresses")]
    pub(crate) system_listen: Option<String>,
    /// One more address, for /metrics and /healthz, open to everybody
    #[arg(long, value_name = "ADDRESS", help_heading = "Addresses")]
    pub(crate) metrics_listen: Option<String>,
    /// Who talks to the provider: standalone (clients do) or provider (a gateway does) [default:
    /// standalone]
    #[arg(long, value_parser = Role::from_str, help_heading = "Addresses")]
    pub(crate) role: Option<Role>,

    /// Where functions and secrets are kept [default: $STATE_DIRECTORY, else
    /// $XDG_STATE_HOME/faas-process, else ~/.local/state/faas-process]
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where an image that is a relative path is looked up [default: the working directory]
    #[arg(long, value_name = "DIR", help_heading = "Directories")]
    pub(crate) functions_dir: Option<PathBuf>,
    /// Take over from the provider that runs on this state directory without losing a call, and
    /// start as usual where none runs
    #[arg(long, conflicts_with = "ephemeral", help_heading = "Directories")]
    pub(crate) take_over: bool,
    /// Keep the state in a temporary directory, and take a free port unless --listen names one
    #[arg(long, conflicts_with = "state_dir", help_heading = "Directories")]
    pub(crate) ephemeral: bool,

    /// Deploy the functions of a stack file, as faas-cli reads it; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Functions")]
    pub(crate) stack: Vec<PathBuf>,
    /// Keep to the stack files while they, or the programs in them, change
    #[arg(long, help_heading = "Functions")]
    pub(crate) watch: bool,

    /// The most bytes of log lines kept of one function, whose newest 1,000 lines stay anyway
    /// [default: 64Mi]
    #[arg(long, value_name = "BYTES", help_heading = "Logs")]
    pub(crate) log_bytes: Option<String>,
    /// How long log lines are kept, except a function's newest 1,000; 0 for no bound [default:
    /// 720h]
    #[arg(long, value_name = "TIME", help_heading = "Logs")]
    pub(crate) log_age: Option<String>,
    /// The most bytes of log lines kept of all functions together [default: 2Gi]
    #[arg(long, value_name = "BYTES", help_heading = "Logs")]
    pub(crate) log_total_bytes: Option<String>,

    /// Ask for credentials, which are in the files basic-auth-user and basic-auth-password
    #[arg(long, help_heading = "Protection")]
    pub(crate) basic_auth: bool,
    /// The directory of these files [default: /run/secrets]
    #[arg(long, value_name = "DIR", help_heading = "Protection")]
    pub(crate) secret_mount_path: Option<PathBuf>,
    /// Also answer /system/ calls for this Host where no credentials are asked for; may be repeated
    #[arg(long, value_name = "HOST", help_heading = "Protection")]
    pub(crate) allow_host: Vec<String>,
    /// Run functions as this user (needs root)
    #[arg(long, value_name = "USER", help_heading = "Protection")]
    pub(crate) run_as: Option<String>,
    /// Let functions read and write whatever their user may
    #[arg(long, help_heading = "Protection")]
    pub(crate) no_sandbox: bool,

    /// How functions are held to their limits: auto (the best that this host gives), cgroup-v2,
    /// cgroup-v1 or watch; one that cannot be used does not start [default: auto]
    #[arg(long, value_name = "WAY", value_parser = LimitsChoice::from_str, help_heading = "Limits")]
    pub(crate) limits: Option<LimitsChoice>,
    /// The most processes and threads of one replica [default: 1024]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(crate) max_processes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn flags_and_commands_fit_together() {
        super::CommandLine::command().debug_assert();
    }
}
