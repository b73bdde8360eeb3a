//! When an instance is ready: asked from its watchdog, which sees it as its callers will.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use provider_types::{FunctionSpec, ProviderError, ReadyProbe};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::instance_dir::SOCKET;

/// Between two tries of an instance that is not ready yet: an eighth of the time that it took so
/// far, so that little is lost of a quick start and a slow one is not asked all the time; at most
/// [`LONGEST_PAUSE`] or the period of its annotations.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A status line is longer than this only by mistake.
const LONGEST_STATUS: usize = 64;

/// How an instance says that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Readiness {
    /// A path that is to answer with 2xx; `None` is to take a connection.
    path: Option<String>,
    initial_delay: Duration,
    /// `None` where nothing was said: as fast as makes sense until it is ready, and then no more.
    period: Option<Duration>,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

/// What an instance turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Calls may come.
    Ready,
    /// Not yet or no more, and what it lacks.
    Unready(String),
}

impl Readiness {
    /// Reads the annotations and `ready_path` of a function.
    pub(crate) fn of(spec: &FunctionSpec) -> Result<Self, ProviderError> {
        let said = ReadyProbe::of(spec)?;
        let probe = said.clone().unwrap_or_default();
        Ok(Self {
            path: probe.path.or_else(|| own_path(&spec.env_vars)),
            initial_delay: probe.initial_delay,
            period: said.map(|said| said.period),
            timeout: probe.timeout,
            successes: probe.success_threshold,
            failures: probe.failure_threshold,
        })
    }

    /// Says what the instance is, whenever that changes. Never ends for one that is watched for
    /// longer than until it is ready.
    ///
    /// `program` is where the program itself listens; without it the watchdog serves, which is ready
    /// by now unless the program is to be asked.
    pub(crate) async fn watch(&self, program: Option<SocketAddr>, mut say: impl FnMut(Found)) {
        tokio::time::sleep(self.initial_delay).await;
        let longest = self.period.unwrap_or(LONGEST_PAUSE);
        let begun = Instant::now();
        let (mut ready, mut in_a_row) = (false, 0);
        let mut lacked = String::new();
        loop {
            let tried = tokio::time::timeout(self.timeout, self.ask(program)).await;
            let lacks = match tried {
                Ok(Ok(())) => None,
                Ok(Err(lacks)) => Some(lacks),
                Err(_elapsed) => Some(format!("no answer within {:?}", self.timeout)),
            };
            in_a_row = if lacks.is_none() == ready {
                0
            } else {
                in_a_row + 1
            };
            match lacks {
                None if !ready && in_a_row >= self.successes => {
                    (ready, in_a_row) = (true, 0);
                    say(Found::Ready);
                }
                Some(lacks) if ready && in_a_row >= self.failures => {
                    (ready, in_a_row) = (false, 0);
                    say(Found::Unready(self.lacks(&lacks)));
                }
                // It is not the first time that it is told to wait; say what for when that changes.
                Some(lacks) if !ready => {
                    in_a_row = 0;
                    if self.path.is_some() && lacks != lacked {
                        say(Found::Unready(self.lacks(&lacks)));
                        lacked = lacks;
                    }
                }
                _ => {}
            }
            if ready && (self.period.is_none() || program.is_none()) {
                // A watchdog answers for as long as it runs, and its program runs for each try.
                return;
            }
            let pause = (begun.elapsed() / 8).max(FIRST_PAUSE).min(longest);
            rest(if ready { longest } else { pause }).await;
        }
    }

    fn lacks(&self, what: &str) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        format!("GET {path} does not say that it is ready: {what}")
    }

    async fn ask(&self, program: Option<SocketAddr>) -> Result<(), String> {
        match (program, &self.path) {
            (None, None) => Ok(()),
            (Some(address), path) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.map_err(|_| format!("nothing listens on {address}"))?;
                match path {
                    None => Ok(()),
                    Some(path) => get(stream, path).await,
                }
            }
            // By its short name: the watchdog is in its directory.
            (None, Some(path)) => {
                let stream = UnixStream::connect(SOCKET).await;
                get(
                    stream.map_err(|_| "its watchdog does not listen".to_owned())?,
                    path,
                )
                .await
            }
        }
    }
}

/// Sleeps. tokio's timers are one to two milliseconds late, which is as long as a small program
/// takes to start; so what is shorter is slept on the thread itself, which has nothing better to
/// do.
async fn rest(pause: Duration) {
    if pause < Duration::from_millis(2) {
        std::thread::sleep(pause);
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

/// What of-watchdog asks its program for.
fn own_path(variables: &BTreeMap<String, String>) -> Option<String> {
    let path = variables.get("ready_path")?.trim();
    (!path.is_empty()).then(|| path.to_owned())
}

/// Asks for a path; anything but 2xx is an error in words.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<(), String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ready\r\nConnection: close\r\n\r\n"
    );
    let status = async {
        stream.write_all(request.as_bytes()).await?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") && line.len() < LONGEST_STATUS {
            line.push(stream.read_u8().await?);
        }
        // What follows is read, or the program would see its reply refused.
        let rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        rest.map(|_| line)
    };
    let line: io::Result<Vec<u8>> = status.await;
    let line = line.map_err(|_| "the connection was closed".to_owned())?;
    let line = String::from_utf8_lossy(&line);
    match line.split(' ').nth(1).map(str::trim) {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
        Some(status) if status.len() == 3 => Err(format!("the answer was {status}")),
        _ => Err("the answer was no HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn readiness(path: Option<&str>, period: Option<u64>) -> Readiness {
        Readiness {
            path: path.map(str::to_owned),
            initial_delay: Duration::ZERO,
            period: period.map(Duration::from_millis),
            timeout: Duration::from_secs(5),
            successes: 2,
            failures: 2,
        }
    }

    /// Answers each connection with the next of these statuses.
    async fn program(statuses: &'static [u16]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for status in statuses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /ready?x=1 HTTP/1.1\r\n"));
                let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn it_is_ready_after_so_many_successes_in_a_row_and_unready_after_so_many_failures() {
        let address = program(&[503, 200, 503, 204, 200, 500, 200, 500, 500, 200, 200]).await;
        let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
        let watch = tokio::spawn(async move {
            let watch = readiness(Some("/ready?x=1"), Some(5));
            let say = move |found| drop(sender.send(found));
            watch.watch(Some(address), say).await;
        });
        let mut next = async || {
            let wait = tokio::time::timeout(Duration::from_secs(20), said.recv());
            wait.await.unwrap().unwrap()
        };
        let unready = |status| {
            let what =
                format!("GET /ready?x=1 does not say that it is ready: the answer was {status}");
            Found::Unready(what)
        };
        assert_eq!(next().await, unready(503));
        assert_eq!(next().await, Found::Ready);
        assert_eq!(next().await, unready(500));
        assert_eq!(next().await, Found::Ready);
        // Nobody answers any more.
        assert!(matches!(next().await, Found::Unready(why) if why.contains("nothing listens")));
        watch.abort();
    }

    #[tokio::test]
    async fn without_a_path_a_connection_is_enough_and_nothing_is_asked_later() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut said = Vec::new();
        let mut watch = readiness(None, None);
        watch.successes = 1;
        let address = listener.local_addr().unwrap();
        watch.watch(Some(address), |found| said.push(found)).await;
        watch.watch(None, |found| said.push(found)).await;
        assert_eq!(said, [Found::Ready, Found::Ready]);
    }

    #[tokio::test]
    async fn what_is_no_http_or_closes_is_said() {
        for (reply, word) in [(&b"hello world again\n"[..], "no HTTP"), (b"", "closed")] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(reply).await.unwrap();
            theirs.shutdown().await.unwrap();
            let said = get(ours, "/").await.unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
