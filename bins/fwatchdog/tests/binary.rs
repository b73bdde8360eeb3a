//! The binary as a container would run it: by its environment, with signals and exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running fwatchdog with a directory of its own, which is its TMPDIR and where it runs.
struct Running {
    child: Child,
    dir: TempDir,
    address: String,
    metrics: String,
    log: mpsc::Receiver<String>,
}

fn fwatchdog(dir: &Path, vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwatchdog"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", dir)
        .env("port", "0")
        .env("metrics_port", "0")
        .env("healthcheck_interval", "0")
        .envs(vars.iter().copied())
        .current_dir(dir);
    command
}

fn start_in(dir: TempDir, vars: &[(&str, &str)]) -> Running {
    let mut child = fwatchdog(dir.path(), vars)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (lines, log) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _gone = lines.send(line);
        }
    });
    let mut running = Running {
        child,
        dir,
        address: String::new(),
        metrics: String::new(),
        log,
    };
    running.metrics = running.line("Metrics listening on: ");
    running.address = running.line(" Listening on: ");
    running
}

fn start(vars: &[(&str, &str)]) -> Running {
    start_in(tempfile::tempdir().unwrap(), vars)
}

fn output(vars: &[(&str, &str)], arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = fwatchdog(dir.path(), vars);
    command.args(arguments).output().unwrap()
}

// === impl Running ===

impl Running {
    /// What comes after a text in the next line that holds it.
    fn line(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect(text);
            if let Some((_, rest)) = line.split_once(text) {
                return rest.to_owned();
            }
        }
    }

    fn get(&self, path: &str) -> String {
        ask(&self.address, path)
    }

    fn healthcheck(&self, argument: &str) -> Option<i32> {
        let mut command = fwatchdog(self.dir.path(), &[("fprocess", "cat")]);
        command.arg(argument).output().unwrap().status.code()
    }

    fn number_in(&self, file: &str) -> u32 {
        let path = self.dir.path().join(file);
        let read = || std::fs::read_to_string(&path).ok();
        wait(file, || read().is_some_and(|text| text.ends_with('\n')));
        read().unwrap().trim().parse().unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Sends SIGTERM and waits for its end.
    fn end(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn ask(address: &str, path: &str) -> String {
    let address = address
        .replace("[::]", "[::1]")
        .replace("0.0.0.0", "127.0.0.1");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

fn wait(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn exists(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// A script, run by `sh` so that nobody executes a file that was just written.
fn script(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    std::fs::write(&path, text).unwrap();
    let command = format!("sh {}", path.display());
    (dir, command)
}

#[test]
fn it_serves_and_measures_and_ends_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let mut running = start(&[("fprocess", "env")]);
        let reply = running.get("/x");
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("Http_Path=/x\n"), "{reply}");
        // The function has the environment that the watchdog was given.
        assert!(reply.contains("metrics_port=0\n"), "{reply}");
        running.line("GET /x - 200 - ");
        let metrics = ask(&running.metrics, "/metrics");
        let counted = "http_requests_total{code=\"200\",method=\"get\"} 1\n";
        assert!(metrics.contains(counted), "{metrics}");
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn the_health_check_tells_whether_it_runs() {
    let running = start(&[("fprocess", "cat")]);
    for argument in ["-run-healthcheck", "--run-healthcheck"] {
        assert_eq!(running.healthcheck(argument), Some(0));
    }
    let lock = running.dir.path().join(".lock");
    let address = std::fs::read_to_string(&lock).unwrap();

    // One that was killed leaves its lock file behind.
    running.signal("-KILL");
    wait("its end", || {
        !exists(running.child.id()) || zombie(running.child.id())
    });
    assert!(lock.exists());
    assert_eq!(running.healthcheck("-run-healthcheck"), Some(1));

    // An empty file is a lock of the kind that of-watchdog writes.
    std::fs::write(&lock, "").unwrap();
    assert_eq!(running.healthcheck("-run-healthcheck"), Some(0));
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(running.healthcheck("-run-healthcheck"), Some(1));
    assert!(!address.is_empty());
}

#[test]
fn the_health_check_needs_no_lock_file() {
    let running = start(&[("fprocess", "cat"), ("suppress_lock", "1")]);
    assert!(!running.dir.path().join(".lock").exists());
    let port = running.address.rsplit(':').next().unwrap().to_owned();
    let check = |port: &str| {
        let vars = [("suppress_lock", "1"), ("port", port)];
        output(&vars, &["-run-healthcheck"]).status.code()
    };
    assert_eq!(check(&port), Some(0));
    assert_eq!(running.end(), Some(0));
    assert_eq!(check(&port), Some(1));
}

#[test]
fn a_value_that_means_nothing_is_an_error_that_names_it() {
    for (name, value, wanted) in [
        ("port", "http", "0 to 65535"),
        ("exec_timeout", "soon", "30s"),
        ("max_inflight", "many", "how many"),
        ("mode", "inproc", "Go library"),
        ("prefix_logs", "maybe", "true or false"),
        ("jwt_auth", "true", "does not check tokens"),
        ("fprocess", "sh -c 'date'", "split on blanks"),
    ] {
        let output = output(&[("fprocess", "cat"), (name, value)], &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert!(text.starts_with("fwatchdog: "), "{text}");
        assert!(text.contains(name) && text.contains(wanted), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_variable() {
    let running = start(&[("fprocess", "cat")]);
    let (_, port) = running.address.rsplit_once(':').unwrap();
    let output = output(&[("fprocess", "cat"), ("port", port)], &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("port={port}")), "{text}");
    assert_eq!(running.end(), Some(0));
}

#[test]
fn arguments_are_understood_or_refused() {
    let version = output(&[], &["-version"]);
    assert_eq!(version.status.code(), Some(0));
    let text = String::from_utf8(version.stdout).unwrap();
    assert_eq!(text, format!("fwatchdog {}\n", env!("CARGO_PKG_VERSION")));

    let help = output(&[], &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("upstream_url"), "{text}");

    let unknown = output(&[], &["--no-such"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn the_end_of_the_program_is_told_with_its_code() {
    let (_dir, command) = script("exit 3");
    let vars = [
        ("mode", "http"),
        ("fprocess", command.as_str()),
        ("upstream_url", "http://127.0.0.1:1"),
    ];
    let output = output(&vars, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("exit status: 3"), "{text}");
}

#[test]
fn a_program_that_listens_is_run_and_asked() {
    // The program is another fwatchdog.
    let (_dir, command) = script(&format!(
        "port=$inner_port mode=serializing fprocess=env suppress_lock=true exec {}",
        env!("CARGO_BIN_EXE_fwatchdog")
    ));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("http://localhost:{port}");
    let running = start(&[
        ("mode", "http"),
        ("fprocess", &command),
        ("upstream_url", &url),
        ("inner_port", &port.to_string()),
    ]);
    let reply = running.get("/a?b");
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("Http_Path=/a\nHttp_Query=b\n"), "{reply}");
    assert_eq!(running.end(), Some(0));
}

/// Leaves its process group and its parent, as a daemon does, and lives until `go` exists.
const DAEMON: &str =
    "setsid sh -c 'echo $$ > daemon; while [ ! -e go ]; do sleep 0.02; done' >/dev/null 2>&1 &\n";

#[test]
fn what_left_its_group_and_its_parent_ends_with_the_watchdog() {
    let (_dir, command) = script(DAEMON);
    let running = start(&[("fprocess", &command)]);
    assert!(running.get("/").starts_with("HTTP/1.1 200 OK\r\n"));
    let daemon = running.number_in("daemon");
    assert!(exists(daemon) && !zombie(daemon));
    assert_eq!(running.end(), Some(0));
    assert!(!exists(daemon));
}

#[test]
fn adopted_orphans_are_reaped() {
    let (_dir, command) = script(DAEMON);
    let running = start(&[("fprocess", &command)]);
    assert!(running.get("/").starts_with("HTTP/1.1 200 OK\r\n"));
    let daemon = running.number_in("daemon");
    std::fs::write(running.dir.path().join("go"), "").unwrap();
    wait("the orphan to be reaped", || !exists(daemon));
    assert_eq!(running.end(), Some(0));
}

fn zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_process_whose_output_is_still_open_is_not_taken_for_an_orphan() {
    // The leader ends at once, and is waited for when the other has closed the output.
    let (_dir, command) = script("sleep 0.5 & echo begun");
    let running = start(&[("fprocess", &command)]);
    let reply = running.get("/");
    assert!(reply.ends_with("begun\n\r\n0\r\n\r\n"), "{reply}");
    running.line("Wrote 6 Bytes");
    assert_eq!(running.end(), Some(0));
}

#[test]
fn it_can_be_built_to_need_no_shared_library() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // What the README says, but without the time that optimising takes.
    let status = Command::new(cargo)
        .args(["build", "--locked", "--package", "fwatchdog", "--target"])
        .arg(&triple)
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .unwrap();
    assert!(status.success(), "the static build failed");

    let program = target.join(triple).join("debug/fwatchdog");
    assert!(!names_a_loader(&std::fs::read(&program).unwrap()));
    let dynamic = std::fs::read(env!("CARGO_BIN_EXE_fwatchdog")).unwrap();
    assert!(names_a_loader(&dynamic), "the check finds no loader at all");
    let version = Command::new(&program).arg("--version").output().unwrap();
    assert!(version.status.success());
}

/// Whether a 64-bit little-endian ELF file has a segment of type `PT_INTERP`.
fn names_a_loader(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size).unwrap();
        let number = bytes
            .iter()
            .rev()
            .fold(0_u64, |n, b| n << 8 | u64::from(*b));
        usize::try_from(number).unwrap()
    };
    assert!(elf.starts_with(b"\x7fELF\x02\x01"));
    let (headers, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).any(|n| number(headers + n * size, 4) == 3)
}
