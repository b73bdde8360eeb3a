//! Servers, clients and a resolver that counts its leases.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use provider_proxy::{Budgets, Ended, HeaderPolicy, Observer, Peer, Proxy};
use provider_types::{Call, Endpoint, FunctionRef, Lease, Report, ResolveError, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for anything here that does not hang.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(SOON, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen within {SOON:?}"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Functions by name, their leases counted. Some names have a meaning: `cold` never gets ready,
/// `starting` is not ready, `busy` is at its limit, `broken` cannot be looked up.
#[derive(Clone, Default)]
pub(crate) struct Functions(Arc<State>);

#[derive(Default)]
struct State {
    replicas: Mutex<HashMap<String, Vec<Endpoint>>>,
    held: AtomicUsize,
    resolved: AtomicUsize,
    reports: Mutex<Vec<Report>>,
    held_when_avoiding: Mutex<Option<usize>>,
}

impl Functions {
    pub(crate) fn one(endpoint: Endpoint) -> Self {
        Self::default().with("f", [endpoint])
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::one(Endpoint::tcp(address))
    }

    pub(crate) fn with(self, name: &str, replicas: impl Into<Vec<Endpoint>>) -> Self {
        self.0
            .replicas
            .lock()
            .unwrap()
            .insert(name.into(), replicas.into());
        self
    }

    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }

    pub(crate) fn resolved(&self) -> usize {
        self.0.resolved.load(Ordering::SeqCst)
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.0.reports.lock().unwrap().clone()
    }

    /// How many leases were held when a call looked for another replica.
    pub(crate) fn held_when_avoiding(&self) -> Option<usize> {
        *self.0.held_when_avoiding.lock().unwrap()
    }

    pub(crate) async fn all_given_back(&self) {
        until("taking a lease", || self.resolved() > 0).await;
        until("giving back all leases", || self.held() == 0).await;
    }
}

pub(crate) struct CountedLease {
    endpoint: Endpoint,
    state: Arc<State>,
}

impl Lease for CountedLease {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn report(&self, report: Report) {
        self.state.reports.lock().unwrap().push(report);
    }
}

impl Drop for CountedLease {
    fn drop(&mut self) {
        self.state.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Resolver for Functions {
    type Lease = CountedLease;

    async fn resolve(&self, call: Call<'_>) -> Result<CountedLease, ResolveError> {
        if call.avoid.is_some() {
            *self.0.held_when_avoiding.lock().unwrap() = Some(self.held());
        }
        match call.function.name.as_str() {
            "cold" => std::future::pending().await,
            "starting" => Err(ResolveError::NotReady {
                retry_after: Some(Duration::from_millis(2500)),
                reason: Some("the program exited\nwith code 1".into()),
            }),
            "deaf" => Err(ResolveError::TimedOut {
                reason: Some("nothing listens there".into()),
            }),
            "busy" => Err(ResolveError::Overloaded { retry_after: None }),
            "broken" => Err(ResolveError::Internal("a secret cause".into())),
            name => {
                let replicas = self.0.replicas.lock().unwrap();
                let endpoint = replicas
                    .get(name)
                    .into_iter()
                    .flatten()
                    .find(|endpoint| Some(*endpoint) != call.avoid)
                    .or_else(|| replicas.get(name).and_then(|all| all.first()))
                    .cloned()
                    .ok_or(ResolveError::NotFound)?;
                self.0.held.fetch_add(1, Ordering::SeqCst);
                self.0.resolved.fetch_add(1, Ordering::SeqCst);
                Ok(CountedLease {
                    endpoint,
                    state: Arc::clone(&self.0),
                })
            }
        }
    }
}

/// An observer that keeps what it is told.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Note>>>);

/// A function, and how its call ended.
type Note = (String, Option<Ended>);

impl Observer for Notes {
    type Call = usize;

    fn started(&self, function: &FunctionRef) -> usize {
        let mut notes = self.0.lock().unwrap();
        notes.push((function.to_string(), None));
        notes.len() - 1
    }

    fn ended(&self, call: usize, ended: &Ended) {
        self.0.lock().unwrap()[call].1 = Some(*ended);
    }
}

impl Notes {
    pub(crate) fn functions(&self) -> Vec<String> {
        let notes = self.0.lock().unwrap();
        notes.iter().map(|(function, _)| function.clone()).collect()
    }

    /// Waits until that many calls have ended, and says how.
    pub(crate) async fn ended(&self, calls: usize) -> Vec<Ended> {
        until("the end of the calls", || {
            let notes = self.0.lock().unwrap();
            notes.len() >= calls && notes.iter().all(|(_, ended)| ended.is_some())
        })
        .await;
        let notes = self.0.lock().unwrap();
        notes.iter().filter_map(|(_, ended)| *ended).collect()
    }
}

/// Serves a proxy; says where.
pub(crate) async fn serve<R: Resolver, O: Observer>(proxy: Proxy<R, O>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (proxy, peer) = (proxy.clone(), Peer::from(peer));
            let service = service_fn(move |request: Request<Incoming>| {
                let call = proxy.call_from(Some(&peer), request);
                async move { Ok::<_, Infallible>(call.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

/// A proxy with short budgets in front of these functions.
pub(crate) async fn front(functions: &Functions) -> SocketAddr {
    serve(Proxy::builder(functions.clone()).build()).await
}

pub(crate) async fn front_within(functions: &Functions, budgets: Budgets) -> SocketAddr {
    serve(Proxy::builder(functions.clone()).budgets(budgets).build()).await
}

pub(crate) async fn front_with(functions: &Functions, policy: HeaderPolicy) -> SocketAddr {
    serve(Proxy::builder(functions.clone()).headers(policy).build()).await
}

/// One end of a connection, read and written byte by byte.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends, or says that the other end is gone.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        soon("reading", self.stream.read_buf(&mut self.buffer)).await
    }

    /// Reads up to and with a mark; `None` if the connection ends before it.
    pub(crate) async fn through(&mut self, mark: &str) -> Option<String> {
        loop {
            let found = self
                .buffer
                .windows(mark.len())
                .position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                let read = self.buffer.drain(..at + mark.len()).collect();
                return Some(String::from_utf8(read).unwrap());
            }
            if !matches!(self.more().await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The head of a message.
    pub(crate) async fn head(&mut self) -> String {
        let head = self.through("\r\n\r\n").await;
        head.expect("a head instead of an end")
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(
                self.more().await.unwrap() > 0,
                "the connection ended early, after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        self.buffer.drain(..count).collect()
    }

    /// All that comes until the other end closes, however it does it.
    pub(crate) async fn rest(&mut self) -> String {
        while matches!(self.more().await, Ok(1..)) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Waits until the other end has closed, and nothing came before.
    pub(crate) async fn closed(&mut self) {
        let rest = self.rest().await;
        assert_eq!(rest, "", "something came before the end");
    }

    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// The value of a header in a head, names in any case. All values if it stands there more often.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    (!values.is_empty()).then(|| values.join(" | "))
}

/// A function as a script: what it does with its first, second … connection.
pub(crate) async fn function<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(usize, Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for count in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(count, Wire::new(stream)));
        }
    });
    address
}

/// A function that answers each request with the same bytes and keeps its connections.
pub(crate) async fn replying(reply: &'static str) -> SocketAddr {
    function(move |_, mut wire| async move {
        while wire.through("\r\n\r\n").await.is_some() {
            if wire.try_send(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// A function that answers with the head that it got.
pub(crate) async fn mirror() -> SocketAddr {
    function(|_, mut wire| async move {
        while let Some(head) = wire.through("\r\n\r\n").await {
            if let Some(length) = header(&head, "content-length") {
                wire.exactly(length.parse().unwrap()).await;
            } else if header(&head, "transfer-encoding").is_some() {
                wire.through("0\r\n\r\n").await.unwrap();
            }
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
                head.len()
            );
            if wire.try_send(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// A function on hyper.
pub(crate) async fn hyper_function<F, Fut, B>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

/// Sends one request on a connection of its own and reads until the end.
pub(crate) async fn ask(front: SocketAddr, request: &str) -> String {
    let mut wire = Wire::connect(front).await;
    wire.send(request).await;
    wire.rest().await
}

/// `GET` of a path, the connection closed after it.
pub(crate) async fn get(front: SocketAddr, path: &str) -> String {
    ask(
        front,
        &format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"),
    )
    .await
}
