//! A provider in a temporary directory, and what a test does with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary beside this test's own directory.
pub(crate) fn binary() -> PathBuf {
    built("faas-process", "-p faas-process")
}

/// An example of the client.
pub(crate) fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"), "-p provider-client --examples")
}

fn built(name: &str, selection: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let dir = own.parent().and_then(Path::parent).unwrap();
    let path = dir.join(name);
    assert!(
        path.exists(),
        "{} is not built: run cargo build {selection} first, in the same profile",
        path.display()
    );
    path
}

/// A directory with `functions`, `state` and `tmp` in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["functions", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file that functions can name as their image.
    pub(crate) fn script(&self, name: &str, body: &str) {
        let path = self.path("functions").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, body).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command line with only the address and the state given.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.0.path())
            .env("TMPDIR", self.path("tmp"))
            .args(["--listen", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--functions-dir")
            .arg(self.path("functions"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn start(&self) -> Provider {
        Provider::start(self.command()).await
    }
}

/// A provider that runs.
pub(crate) struct Provider {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// What it printed at its start.
    pub(crate) banner: String,
    /// What it logged so far.
    pub(crate) log: Arc<Mutex<String>>,
    pub(crate) client: Client,
}

impl Provider {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        let printed = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                banner.push_str(&line);
                banner.push('\n');
                if line.trim_start().starts_with("curl ") {
                    break;
                }
            }
        };
        timeout(PATIENCE, printed)
            .await
            .expect("nothing was printed");
        if banner.is_empty() {
            let mut said = String::new();
            let mut stderr = child.stderr.take().unwrap();
            stderr.read_to_string(&mut said).await.unwrap();
            panic!("the provider did not start: {said}");
        }
        // A reader that never comes must not hold it up.
        let stderr = child.stderr.take();
        let log = Arc::<Mutex<String>>::default();
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            let Some(mut stderr) = stderr else { return };
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
                let text = String::from_utf8_lossy(&chunk[..length]);
                written.lock().unwrap().push_str(&text);
            }
        });
        let url = banner.lines().next().unwrap().rsplit(' ').next().unwrap();
        Self {
            url: url.to_owned(),
            child,
            banner,
            log,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) async fn system(&self, method: Method, path: &str, body: Value) -> Response {
        let request = self
            .client
            .request(method, format!("{}/system/{path}", self.url));
        request.json(&body).send().await.unwrap()
    }

    /// Deploys; gives the status and what was said.
    pub(crate) async fn deploy(&self, deployment: &Value) -> (StatusCode, String) {
        let reply = self
            .system(Method::POST, "functions", deployment.clone())
            .await;
        (reply.status(), reply.text().await.unwrap())
    }

    /// Deploys what must be taken.
    pub(crate) async fn deployed(&self, deployment: Value) {
        let (status, said) = self.deploy(&deployment).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    }

    pub(crate) async fn call(&self, name: &str, body: &str) -> (StatusCode, String) {
        let url = format!("{}/function/{name}", self.url);
        let reply = self.client.post(url).body(body.to_owned()).send();
        let reply = timeout(PATIENCE, reply).await.expect("no reply").unwrap();
        (reply.status(), reply.text().await.unwrap())
    }

    /// Calls what must answer.
    pub(crate) async fn called(&self, name: &str, body: &str) -> String {
        let (status, text) = self.call(name, body).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn list(&self) -> Value {
        self.get("/system/functions").await.json().await.unwrap()
    }

    pub(crate) async fn status(&self, name: &str) -> Value {
        let path = format!("/system/function/{name}");
        self.get(&path).await.json().await.unwrap()
    }

    pub(crate) async fn scale(&self, name: &str, replicas: u64) -> StatusCode {
        let body = json!({"serviceName": name, "replicas": replicas});
        self.system(Method::POST, &format!("scale-function/{name}"), body)
            .await
            .status()
    }

    pub(crate) async fn delete(&self, name: &str) -> StatusCode {
        self.system(Method::DELETE, "functions", json!({"functionName": name}))
            .await
            .status()
    }

    /// Waits until that many replicas answer.
    pub(crate) async fn available(&self, name: &str, wanted: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name).await;
            // Go leaves a zero out.
            if status["availableReplicas"].as_u64().unwrap_or(0) == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the log holds that.
    pub(crate) async fn logged(&self, text: &str) {
        let log = || self.log.lock().unwrap().clone();
        until(text, || log().contains(text)).await;
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().expect("it has ended").to_string()
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn end(&mut self, name: &str) -> ExitStatus {
        signal(name, &self.pid());
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it goes on")
            .unwrap()
    }
}

/// Runs a command that is to fail: its exit code and what it said.
pub(crate) async fn failing(mut command: Command) -> (i32, String) {
    let output = timeout(PATIENCE, command.output())
        .await
        .expect("it runs")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("a signal ended it"), said)
}

pub(crate) fn signal(name: &str, pid: &str) {
    let sent = std::process::Command::new("kill")
        .args([name, pid])
        .status();
    assert!(sent.unwrap().success(), "kill {name} {pid}");
}

/// A deployment of a command.
pub(crate) fn process(name: &str, command: &str) -> Value {
    json!({"service": name, "image": "ghcr.io/openfaas/alpine", "envProcess": command})
}

/// A deployment of an image.
pub(crate) fn image(name: &str, image: &str) -> Value {
    json!({"service": name, "image": image})
}

/// The same with variables.
pub(crate) fn with(mut deployment: Value, variables: Value) -> Value {
    deployment
        .as_object_mut()
        .unwrap()
        .insert("envVars".to_owned(), variables);
    deployment
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// The processes below one, but for the watchdog that waits while a function sleeps.
pub(crate) fn children(of: &str) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().into_string().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.to_owned();
            (parent == of && !stat.contains("(fwatchdog-spare)")).then_some(pid)
        })
        .collect()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server that says which process it is, in what every Debian has.
pub(crate) const SERVER: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1; $SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT},
    Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
print "listening\n";
while (my $client = $server->accept) {
    my $request = <$client>;
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    my $body = "$$ $ENV{VERSION}";
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body)
        . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
"#;
