//! A served watchdog, and small helpers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use provider_watchdog::{Listener, Logs, Watchdog, WatchdogConfig, WatchdogError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A watchdog that serves, and its directory.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) stdout: Written,
    pub(crate) stderr: Written,
    pub(crate) dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), WatchdogError>>,
}

/// What was written to a stream.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

/// A directory with a script, run by `sh` so that nobody executes a file that was just written.
pub(crate) fn script(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    std::fs::write(&path, text).unwrap();
    let command = format!("sh {}", path.display());
    (dir, command)
}

pub(crate) fn config(vars: &[(&str, &str)]) -> WatchdogConfig {
    let mut all: HashMap<&str, &str> = HashMap::from([
        ("suppress_lock", "true"),
        ("healthcheck_interval", "0"),
        ("write_timeout", "10s"),
    ]);
    all.extend(vars.iter().copied());
    let mut config =
        WatchdogConfig::from_vars(|name| all.get(name).map(|value| (*value).to_owned())).unwrap();
    config.environment = [("PATH", "/usr/bin:/bin"), ("FUNCTION_OWN", "yes")]
        .into_iter()
        .collect();
    config
}

/// Serves a script with these variables; it runs in the directory `dir`.
pub(crate) async fn serve_script(text: &str, vars: &[(&str, &str)]) -> Served {
    let (dir, command) = script(text);
    let mut all = vec![("fprocess", command.as_str())];
    all.extend_from_slice(vars);
    let mut config = config(&all);
    config.working_dir = Some(dir.path().to_owned());
    serve_config(config, dir).await
}

pub(crate) async fn serve(vars: &[(&str, &str)]) -> Served {
    serve_config(config(vars), tempfile::tempdir().unwrap()).await
}

pub(crate) async fn serve_config(config: WatchdogConfig, dir: TempDir) -> Served {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let metrics = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (stdout, stderr) = (Written::default(), Written::default());
    let watchdog = Watchdog::new(config, Logs::new(stdout.clone(), stderr.clone())).unwrap();
    let (stop, stopped) = oneshot::channel();
    let address = listener.tcp_address().unwrap();
    let metrics_address = metrics.tcp_address().unwrap();
    let task = tokio::spawn(watchdog.serve(listener, Some(metrics), async {
        let _dropped = stopped.await;
    }));
    Served {
        address,
        metrics: metrics_address,
        stdout,
        stderr,
        dir,
        stop: Some(stop),
        task,
    }
}

// === impl Served ===

impl Served {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where a file of the function's directory is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = client().post(self.url(path)).body(body);
        Reply::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(client().get(self.url(path)).send().await.unwrap()).await
    }

    /// Begins the drain.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) -> Result<(), WatchdogError> {
        timeout(PATIENCE, self.task).await.expect("ends").unwrap()
    }

    pub(crate) async fn stopped(mut self) {
        self.stop();
        self.ended().await.unwrap();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Kills it as a lost task would: by dropping its future.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

// === impl Reply ===

impl Reply {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

// === impl Written ===

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until a text was written; all that was written until then.
    pub(crate) async fn until(&self, text: &str) -> String {
        wait(&format!("{text:?} in the log"), || {
            self.text().contains(text)
        })
        .await;
        self.text()
    }
}

impl AsyncWrite for Written {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Waits until something holds.
pub(crate) async fn wait(what: &str, holds: impl Fn() -> bool) {
    let looked = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, looked)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// Waits for a file that holds a number, and is complete: it ends in a line end.
pub(crate) async fn number_in(path: &Path) -> u32 {
    wait(&format!("a number in {}", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Whether there is such a process, and it is no zombie.
pub(crate) fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// A process's state, while there is such a process.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A raw connection.
pub(crate) struct Raw(pub(crate) TcpStream);

// === impl Raw ===

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until a text has come; all that came until then.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&read).contains(text) {
                let length = self.0.read_buf(&mut read).await.unwrap();
                let so_far = String::from_utf8_lossy(&read);
                assert!(length > 0, "closed before {text:?}: {so_far:?}");
            }
        };
        let late = timeout(PATIENCE, reading).await.is_err();
        let read = String::from_utf8_lossy(&read).into_owned();
        assert!(!late, "no {text:?} in {read:?}");
        read
    }

    /// Reads until the connection is closed or reset.
    pub(crate) async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        let reading = async { while let Ok(1..) = self.0.read_buf(&mut read).await {} };
        timeout(PATIENCE, reading).await.expect("closed");
        String::from_utf8_lossy(&read).into_owned()
    }
}
