//! `cargo xtask conformance`: the kit against a provider that runs, or against our own.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::runner::{Runner, cargo, display, output, root, target_directory};
use crate::test::SELECTION;

/// How long a provider of ours may take until it says where it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// The credentials that ours are started with.
const USER: &str = "admin";
const PASSWORD: &str = "conformance:run";

/// What is passed on to the kit.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// The provider to check, http://HOST:PORT or unix:/PATH [default: our own, started here]
    #[arg(long)]
    url: Option<String>,
    /// The user for its API
    #[arg(long, requires_all = ["url", "password_file"])]
    user: Option<String>,
    /// A file with the password of the user
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Profiles and features that it keeps to, separated by commas [default: what it seems to
    /// have; what they declare for our own]
    #[arg(long, value_name = "NAMES")]
    features: Option<String>,
    /// A requirement, an area or a case that is not judged
    #[arg(long, value_name = "WHAT")]
    skip: Vec<String>,
    /// Write report.json, report.html and junit.xml into this directory; for our own into one
    /// below it for each run
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Write JUnit XML to this file; where there are several runs the later ones get their name in
    /// its name
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write SPEC.md anew, and check nothing
    #[arg(long, exclusive = true)]
    spec: bool,
}

/// One of our providers in one of the ways to run it.
struct Site {
    name: &'static str,
    binary: &'static str,
    /// Where it listens; a relative socket is in a directory of its own.
    listen: &'static str,
    credentials: bool,
    arguments: &'static [&'static str],
    /// What is declared beside the binary's own declaration, because it was started so.
    features: &'static [&'static str],
}

const SITES: [Site; 2] = [
    Site {
        name: "faas-process",
        binary: "faas-process",
        listen: "127.0.0.1:0",
        credentials: true,
        arguments: &["--ephemeral", "--role", "provider"],
        features: &["auth", "short-timeout"],
    },
    Site {
        name: "faas-process-unix",
        binary: "faas-process",
        listen: "unix:",
        credentials: false,
        arguments: &["--ephemeral", "--role", "standalone"],
        features: &["short-timeout"],
    },
];

/// What is in `bins/` and is no provider.
const NO_PROVIDERS: [&str; 1] = ["fwatchdog"];

/// Checks what it is told to; the exit code is the kit's, the worst of several.
///
/// # Errors
/// When something does not build or start.
pub(crate) fn run(runner: &Runner, arguments: &Arguments) -> Result<ExitCode> {
    // The examples are small, and with them cargo takes the features of tests too: what the stage
    // `test` has built is not built once more with fewer.
    runner.run(
        cargo(&["build"])
            .args(SELECTION)
            .args(["--bins", "--examples"]),
    )?;
    if arguments.spec {
        let text = output(Command::new(kit()).arg("spec"))?;
        fs::write(root().join("SPEC.md"), text + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut worst = 0;
    if let Some(url) = &arguments.url {
        let mut kit = Command::new(kit());
        kit.args(["run", "--url", url]);
        if let (Some(user), Some(file)) = (&arguments.user, &arguments.password_file) {
            kit.args(["--user", user]).arg("--password-file").arg(file);
        }
        pass(&mut kit, arguments, None);
        worst = code(&mut kit)?;
    } else {
        let mut summary = Vec::new();
        for site in &SITES {
            let code = check(site, arguments)?;
            summary.push(format!("{}: exit code {code}", site.name));
            worst = worst.max(code);
        }
        for entry in fs::read_dir(root().join("bins"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if NO_PROVIDERS.contains(&name.as_str()) {
                summary.push(format!("{name}: not checked, it is no provider"));
            } else if SITES.iter().all(|site| site.binary != name) {
                bail!("bins/{name} is not checked: say how in xtask/src/conformance.rs");
            }
        }
        println!("\n{}", summary.join("\n"));
    }
    Ok(ExitCode::from(worst))
}

fn kit() -> PathBuf {
    target_directory().join("debug/provider-conformance")
}

fn check(site: &Site, arguments: &Arguments) -> Result<u8> {
    let directory = tempfile::tempdir()?;
    let password = directory.path().join("basic-auth-password");
    fs::write(&password, PASSWORD)?;
    fs::write(directory.path().join("basic-auth-user"), USER)?;
    let started = Started::new(site, directory.path())?;

    let mut kit = Command::new(kit());
    kit.current_dir(root());
    kit.args(["run", "--url", &started.url]);
    if site.credentials {
        kit.args(["--user", USER, "--password-file"]).arg(&password);
    }
    if arguments.features.is_none() {
        kit.args(["--features", &site.features.join(","), "--declaration"])
            .arg(
                root()
                    .join("bins")
                    .join(site.binary)
                    .join("conformance.json"),
            );
    }
    pass(&mut kit, arguments, Some(site.name));
    code(&mut kit)
}

/// What the user said, in the words of the kit.
fn pass(kit: &mut Command, arguments: &Arguments, site: Option<&str>) {
    if let Some(features) = &arguments.features {
        kit.args(["--features", features]);
    }
    for what in &arguments.skip {
        kit.args(["--skip", what]);
    }
    if let Some(directory) = &arguments.report {
        let name = site.map(OsString::from);
        kit.arg("--report")
            .arg(name.map_or_else(|| directory.clone(), |name| directory.join(name)));
    }
    if let Some(file) = &arguments.junit {
        let first = SITES.first().map(|site| site.name);
        let file = match site {
            Some(name) if Some(name) != first => file.with_extension(format!("{name}.xml")),
            _ => file.clone(),
        };
        kit.arg("--junit").arg(file);
    }
}

fn code(kit: &mut Command) -> Result<u8> {
    println!("$ {}", display(kit));
    let status = kit.status()?;
    // A kit that was killed has said nothing.
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(2))
}

/// A provider while it is checked: told to stop when dropped.
struct Started {
    child: Child,
    url: String,
}

impl Started {
    fn new(site: &Site, directory: &Path) -> Result<Self> {
        let program = target_directory().join("debug").join(site.binary);
        let listen = match site.listen {
            "unix:" => format!("unix:{}", directory.join("provider.sock").display()),
            address => address.to_owned(),
        };
        let log = fs::File::create(directory.join("log"))?;
        let mut command = Command::new(program);
        command
            .args(["--listen", &listen])
            .args(site.arguments)
            // So that a limit is met in seconds.
            .env("header_timeout", "2s")
            .env("upstream_timeout", "2s")
            .stdout(Stdio::piped())
            .stderr(log);
        if site.credentials {
            command
                .arg("--basic-auth")
                .arg("--secret-mount-path")
                .arg(directory);
        }
        println!("$ {}", display(&command));
        let mut child = command.spawn()?;
        let said = child.stdout.take().context("its output was not piped")?;
        // Read to its end, so that it never waits for a reader.
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(" listens on ") {
                    let _ = tell.send(url.trim().to_owned());
                }
            }
        });
        let mut started = Self {
            child,
            url: String::new(),
        };
        match told.recv_timeout(PATIENCE) {
            Ok(url) => started.url = url,
            Err(_) => {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                bail!("{} does not say where it listens:\n{log}", site.binary);
            }
        }
        Ok(started)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
