//! The command line and the environment, made into what the parts of the provider are told.

use std::collections::BTreeMap;
use std::env;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provider_engine::LogLimits;
use provider_http::{Config, Role};
use runtime_process::{LimitsChoice, ProcessConfig, User};

use crate::args::Args;
use crate::bounds::Bounds;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::log_bounds;
use crate::stacks::{self, Stacks};

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const ANY_PORT: &str = "127.0.0.1:0";

/// The proxy says that a function is too slow; the watchdog only where it could not.
const AFTER_THE_PROXY: Duration = Duration::from_secs(1);

/// Everything that was decided before anything is opened.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) http: Config,
    pub(crate) bounds: Bounds,
    /// How much is kept of what functions write.
    pub(crate) logs: LogLimits,
    /// The main address.
    pub(crate) listen: String,
    /// Nobody asked for that address: sockets that others hand over may take its place.
    pub(crate) listen_is_default: bool,
    pub(crate) system_listen: Option<String>,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) state_dir: PathBuf,
    /// Another provider may run on it, and is to go.
    pub(crate) take_over: bool,
    /// Removes the state again.
    pub(crate) temporary: Option<tempfile::TempDir>,
    pub(crate) functions_dir: Option<PathBuf>,
    pub(crate) stacks: Option<Stacks>,
    pub(crate) run_as: Option<User>,
    pub(crate) sandbox: bool,
    pub(crate) limits: LimitsChoice,
    pub(crate) max_processes: u64,
}

/// What a replica may have where nothing is said.
const MAX_PROCESSES: u64 = 1024;

/// A watchdog with one program, and something to spare.
const LEAST_PROCESSES: u64 = 8;

impl Settings {
    /// Reads flags and variables; an empty variable counts as not set.
    pub(crate) fn read(
        args: Args,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut http = Config::from_vars(variable).or_fail(Kind::Usage)?;
        let logs = log_bounds::read(&args, variable)?;
        if let Some(role) = args.role {
            http.role = role;
        } else if variable("role").is_none() {
            http.role = Role::Standalone;
        }
        http.basic_auth |= args.basic_auth;
        if let Some(path) = args.secret_mount_path {
            http.secret_mount_path = path;
        }
        http.allow_hosts.extend(args.allow_host);

        let (state_dir, temporary) = if args.ephemeral {
            let dir = tempfile::Builder::new()
                .prefix("faas-process-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir()
                .or_fail(Kind::Directory)?;
            (absolute(dir.path().to_owned()), Some(dir))
        } else {
            (state_dir(args.state_dir, variable)?, None)
        };
        let from_port = variable("port").map(|_| format!("127.0.0.1:{}", http.port));
        let listen = args
            .listen
            .or_else(|| variable("listen"))
            .or_else(|| args.ephemeral.then(|| ANY_PORT.to_owned()))
            .or(from_port);
        let listen_is_default = listen.is_none();
        let listen = listen.unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        let run_as = args.run_as.or_else(|| variable("run_as"));
        let functions_dir = args
            .functions_dir
            .or_else(|| variable("functions_dir").map(PathBuf::from));
        let mut options = stacks::options(&http);
        if let Some(programs) = &mut options.programs {
            programs.functions_dir = functions_dir.clone().map(absolute);
            programs.ignored.push(state_dir.clone());
        }
        let stacks = Stacks::read(args.stack, args.watch, options)?;
        let limits = limits_choice(args.limits, variable("limits"))?;
        let max_processes = max_processes(args.max_processes, variable("max_processes"))?;
        Ok(Self {
            http,
            bounds: Bounds::read(variable)?,
            logs,
            listen,
            listen_is_default,
            system_listen: args.system_listen.or_else(|| variable("system_listen")),
            metrics_listen: args.metrics_listen.or_else(|| variable("metrics_listen")),
            state_dir,
            take_over: args.take_over,
            temporary,
            functions_dir,
            stacks,
            run_as: run_as.as_deref().map(user).transpose()?,
            sandbox: !args.no_sandbox,
            limits,
            max_processes,
        })
    }

    /// What the runtime is told, once the address is known.
    pub(crate) fn runtime(&self, gateway_url: String) -> ProcessConfig {
        let mut config = ProcessConfig::new(self.run_dir());
        config.secrets_dir = secrets_dir();
        config.spare_run_dir = spare_run_dir();
        config.functions_dir.clone_from(&self.functions_dir);
        config.hidden.push(self.state_dir.clone());
        if self.http.basic_auth {
            config.hidden.push(self.http.secret_mount_path.clone());
        }
        config.environment = inherited();
        config.temp_dir = env::temp_dir();
        config.gateway_url = gateway_url;
        config.first_byte_timeout = self.http.upstream_timeout.saturating_add(AFTER_THE_PROXY);
        config.idle_timeout = self.http.idle_timeout;
        config.sandbox = self.sandbox;
        config.run_as.clone_from(&self.run_as);
        config.limits = self.limits;
        config.max_processes = self.max_processes;
        // Nothing else in this process starts children.
        config.adopt_orphans = true;
        config
    }

    /// Removes what is outside of the state directory, once nothing runs any more. Another version
    /// that took over may have its own place beside.
    pub(crate) fn clean_up(&self, place: &Path) {
        if self.run_as.is_none() {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(place) {
            tracing::warn!(%error, "the directory of the functions could not be removed");
        }
        // It stays while there is another place in it.
        let _ = std::fs::remove_dir(self.run_dir());
    }

    /// Instances live below the state. Those of another user cannot get through to there, so they
    /// have a place of their own, the same one at each start.
    fn run_dir(&self) -> PathBuf {
        if self.run_as.is_none() {
            return self.state_dir.join("run");
        }
        let name = stable_hash(self.state_dir.as_os_str().as_bytes());
        Path::new("/run").join(format!("faas-process-{name:016x}"))
    }
}

/// Where functions see their secrets in memory: for root, whom nothing keeps from reading disks.
/// It is what `RuntimeDirectory=faas-process` of a systemd unit makes.
pub(crate) fn secrets_dir() -> Option<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    root.then(|| PathBuf::from("/run/faas-process"))
}

/// Where instances go while the disk of the state takes none: what the system gives a user in
/// memory, if it does.
fn spare_run_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    (dir.is_absolute() && dir.is_dir()).then(|| dir.join("faas-process"))
}

/// FNV-1a: the same in every build, which the hashers of the standard library do not promise.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where the state is kept: as given, else by the variable, else where the system wants it.
pub(crate) fn state_dir(
    given: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, Failure> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    given
        .or_else(|| variable("state_dir").map(PathBuf::from))
        .map_or_else(|| default_state_dir(variable), Ok)
        .map(absolute)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn limits_choice(
    flag: Option<LimitsChoice>,
    variable: Option<String>,
) -> Result<LimitsChoice, Failure> {
    match (flag, variable) {
        (Some(limits), _) => Ok(limits),
        (None, Some(text)) => text
            .parse()
            .map_err(|why| Failure::usage(format!("limits={text:?} is no way: {why}"))),
        (None, None) => Ok(LimitsChoice::Auto),
    }
}

fn max_processes(flag: Option<u64>, variable: Option<String>) -> Result<u64, Failure> {
    let count = match (flag, variable) {
        (Some(count), _) => Some(count),
        (None, Some(text)) => text.parse().ok(),
        (None, None) => Some(MAX_PROCESSES),
    };
    count
        .filter(|count| *count >= LEAST_PROCESSES)
        .ok_or_else(|| {
            Failure::usage(format!(
                "max_processes (--max-processes) is no count that a replica can do with: give \
                 {LEAST_PROCESSES} or more"
            ))
        })
}

fn default_state_dir(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    // systemd gives several, separated by colons, where a unit asks for several.
    if let Some(dirs) = variable("STATE_DIRECTORY") {
        return Ok(PathBuf::from(dirs.split(':').next().unwrap_or_default()));
    }
    let absolute = |name: &str| {
        let dir = variable(name).map(PathBuf::from);
        dir.filter(|dir| dir.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|dir| dir.join("faas-process"))
        .ok_or_else(|| {
            Failure::usage(
                "there is no place for the state: HOME is not set, so give --state-dir, or \
                 --ephemeral to keep none",
            )
        })
}

fn user(name: &str) -> Result<User, Failure> {
    let user = User::find(name).map_err(|error| {
        Failure::usage(format!(
            "--run-as {name:?}: {error}; name one that is there"
        ))
    })?;
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage(format!(
            "--run-as {name:?} needs root: start the provider as that user instead"
        )));
    }
    Ok(user)
}

/// Of our own environment, what programs get.
fn inherited() -> BTreeMap<String, String> {
    ["PATH", "HOME", "LANG", "TZ"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CommandLine;
    use clap::Parser as _;

    fn read(line: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let words = format!("faas-process {line}");
        let line = CommandLine::try_parse_from(words.split_ascii_whitespace())
            .map_err(|error| error.to_string())?;
        Settings::read(line.serve, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .map_err(|failure| {
            assert_eq!(failure.kind, Kind::Usage);
            failure.to_string()
        })
    }

    const HOME: (&str, &str) = ("HOME", "/home/u");

    #[test]
    fn nothing_has_to_be_said() {
        let settings = read("", &[HOME]).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:8080");
        assert_eq!(
            settings.state_dir,
            Path::new("/home/u/.local/state/faas-process")
        );
        assert_eq!(settings.http.role, Role::Standalone);
        assert!(settings.sandbox && !settings.http.basic_auth);
        assert_eq!(settings.limits, LimitsChoice::Auto);
        assert_eq!(settings.max_processes, 1024);
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_that_over_the_default() {
        let variables = [
            HOME,
            ("listen", "127.0.0.1:1"),
            ("role", "provider"),
            ("port", "7"),
        ];
        let settings = read("--role standalone", &variables).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:1");
        assert_eq!(settings.http.role, Role::Standalone);
        let settings = read("--listen unix:/x", &variables).unwrap();
        assert_eq!(settings.listen, "unix:/x");
        assert_eq!(settings.http.role, Role::Provider);
        assert_eq!(
            read("", &[HOME, ("port", "7")]).unwrap().listen,
            "127.0.0.1:7"
        );
        assert_eq!(
            read("", &[HOME, ("listen", "")]).unwrap().listen,
            DEFAULT_LISTEN
        );
    }

    #[test]
    fn every_address_has_a_variable() {
        let variables = [HOME, ("system_listen", ":1"), ("metrics_listen", ":2")];
        let settings = read("", &variables).unwrap();
        assert_eq!(settings.system_listen.as_deref(), Some(":1"));
        assert_eq!(settings.metrics_listen.as_deref(), Some(":2"));
        let settings = read("--system-listen :3", &variables).unwrap();
        assert_eq!(settings.system_listen.as_deref(), Some(":3"));
    }

    #[test]
    fn the_place_of_functions_of_another_user_is_the_same_in_every_build() {
        // Published values of FNV-1a.
        assert_eq!(stable_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
        let mut settings = read("--state-dir /foobar", &[]).unwrap();
        assert_eq!(settings.run_dir(), Path::new("/foobar/run"));
        settings.run_as = Some(User::find("root").unwrap());
        let dir = settings.run_dir().display().to_string();
        assert!(dir.starts_with("/run/faas-process-"), "{dir}");
    }

    #[test]
    fn the_state_is_where_the_system_wants_it() {
        let at = |variables: &[(&str, &str)]| read("", variables).unwrap().state_dir;
        let xdg = ("XDG_STATE_HOME", "/xdg");
        assert_eq!(at(&[HOME, xdg]), Path::new("/xdg/faas-process"));
        let systemd = ("STATE_DIRECTORY", "/var/lib/faas:/var/lib/other");
        assert_eq!(at(&[HOME, xdg, systemd]), Path::new("/var/lib/faas"));
        assert_eq!(at(&[systemd, ("state_dir", "/mine")]), Path::new("/mine"));
        assert!(read("", &[]).unwrap_err().contains("--state-dir"));
    }

    #[test]
    fn an_ephemeral_provider_takes_a_free_port_and_leaves_nothing() {
        let settings = read("--ephemeral", &[]).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:0");
        let dir = settings.state_dir.clone();
        assert!(dir.is_dir());
        drop(settings);
        assert!(!dir.exists());
        assert_eq!(read("--ephemeral --listen :1", &[]).unwrap().listen, ":1");
    }

    #[test]
    fn a_wrong_value_says_which_and_why() {
        let said = |line, variables: &[_]| read(line, variables).unwrap_err();
        assert!(said("", &[HOME, ("basic_auth", "yes")]).contains("basic_auth=\"yes\""));
        assert!(said("", &[HOME, ("read_timeout", "soon")]).contains("read_timeout"));
        assert!(said("", &[HOME, ("limits", "cgroup")]).contains("cgroup-v2"));
        assert!(said("", &[HOME, ("max_processes", "many")]).contains("8 or more"));
        assert!(said("--max-processes 1", &[HOME]).contains("8 or more"));
        assert!(said("--role gateway", &[HOME]).contains("--role"));
        assert!(said("--run-as no-such-user", &[HOME]).contains("no-such-user"));
        assert!(said("--ephemeral --state-dir /x", &[HOME]).contains("--state-dir"));
    }

    #[test]
    fn functions_see_four_of_our_variables() {
        let inherited = inherited();
        assert!(inherited.contains_key("PATH"));
        assert!(inherited.len() <= 4, "{inherited:?}");
    }
}
